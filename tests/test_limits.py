"""Concurrency and rate limits, across threads, coroutines and processes."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from children import Child, run_child

from nbflow import flow, runs, tags, task, wiring
from nbflow.concurrency import asyncio as for_asyncio
from nbflow.concurrency import concurrency, rate_limit
from nbflow.errors import AcquireTimedOut, LimitNotFound, RunTimedOut


@pytest.fixture
def store():
    return wiring.current().store


class Gauge:
    """How many are inside at once, at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now = self.most = 0

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.now -= 1


def n_active(store, name="db"):
    return store.limits(name)[0].n_active


def test_never_more_hold_than_there_are_slots(store):
    store.create_limit("db", 2)
    gauge = Gauge()

    @task
    def t():
        with concurrency("db"), gauge:
            time.sleep(0.01)

    @flow
    def f():
        for future in [t.submit() for _ in range(20)]:
            future.result()

    f()

    assert gauge.most == 2
    assert n_active(store) == 0


def test_who_waits_in_this_process_is_woken_at_once(store):
    """20 tasks of 0.1 s at limit 5 take four rounds, without polling in between."""
    store.create_limit("db", 5)
    gauge = Gauge()

    @task
    def t():
        with concurrency("db"), gauge:
            time.sleep(0.1)

    @flow
    def f():
        for future in [t.submit() for _ in range(20)]:
            future.result()

    started = time.monotonic()
    f()

    assert time.monotonic() - started < 1
    assert gauge.most == 5


def test_limit_holds_across_processes(home, store, tmp_path):
    store.create_limit("db", 2)
    counter = tmp_path / "counter"
    counter.write_text("0 0")
    code = """
        import fcntl, sys, time
        from nbflow import flow, task
        from nbflow.concurrency import concurrency

        def add(n):
            with open(sys.argv[1], "r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                now, most = map(int, file.read().split())
                file.seek(0)
                file.truncate()
                file.write(f"{now + n} {max(most, now + n)}")

        @task
        def t():
            with concurrency("db"):
                add(1)
                time.sleep(0.02)
                add(-1)

        @flow
        def f():
            for future in [t.submit() for _ in range(8)]:
                future.result()

        print("ready", flush=True)
        input()
        f()
    """
    children = [Child(code, home, counter) for _ in range(4)]
    for child in children:
        assert child.line() == "ready"
    for child in children:
        child.tell()
    for child in children:
        child.end()

    assert counter.read_text() == "0 2"
    assert n_active(store) == 0


def test_release_in_another_process_is_noticed(home, store):
    store.create_limit("db", 1)
    code = """
        from nbflow.concurrency import concurrency
        with concurrency("db"):
            print("held", flush=True)
            input()
        print("released")
    """
    child = Child(code, home)
    assert child.line() == "held"
    held = threading.Event()
    thread = threading.Thread(target=lambda: concurrency("db").acquire() and held.set())
    thread.start()

    assert not held.wait(0.2)
    child.tell()

    assert held.wait(5)
    thread.join()
    child.end()


def test_slot_of_a_killed_holder_comes_free_while_waiting(home, store):
    store.create_limit("db", 1)
    code = """
        from nbflow.concurrency import concurrency
        with concurrency("db"):
            print("held", flush=True)
            input()
    """
    child = Child(code, home)
    assert child.line() == "held"
    child.kill()

    with concurrency("db", timeout_seconds=5):
        assert n_active(store) == 1


def test_timeout(store):
    store.create_limit("db", 1)

    with concurrency("db"):
        with pytest.raises(AcquireTimedOut, match=r"no free slot of 'db' within 0\.1 seconds"):
            with concurrency("db", timeout_seconds=0.1):
                pass
        with pytest.raises(TimeoutError):
            asyncio.run(enter("db", timeout_seconds=0.1))

    assert n_active(store) == 0


async def enter(*names, **options):
    async with concurrency(*names, **options):
        pass


def test_timeout_of_nothing_tries_once(store):
    store.create_limit("db", 1)

    with concurrency("db", timeout_seconds=0):
        with pytest.raises(AcquireTimedOut), concurrency("db", timeout_seconds=0):
            pass


def test_missing_limit_limits_nothing_and_says_so_once(store, caplog):
    for _ in range(3):
        with concurrency("absent"), concurrency("absent"):
            pass

    (record,) = caplog.records
    assert "there is no concurrency limit 'absent'" in record.getMessage()
    assert "nbflow concurrency-limit create absent N" in record.getMessage()


def test_strict_refuses_a_missing_limit_and_keeps_no_slot(store):
    store.create_limit("db", 1)

    with pytest.raises(LimitNotFound, match="absent"):
        with concurrency(["db", "absent"], strict=True):
            pass
    with pytest.raises(LimitNotFound):
        rate_limit("absent", strict=True)

    assert n_active(store) == 0


def test_several_limits_are_taken_together_or_not_at_all(store):
    store.create_limit("a", 1)
    store.create_limit("b", 1)

    with concurrency("b"):
        with pytest.raises(AcquireTimedOut), concurrency(["a", "b"], timeout_seconds=0):
            pass
        assert n_active(store, "a") == 0
    with concurrency(["a", "b", "a"]):
        assert (n_active(store, "a"), n_active(store, "b")) == (1, 1)
    assert (n_active(store, "a"), n_active(store, "b")) == (0, 0)


def test_occupy_takes_several_slots(store):
    store.create_limit("db", 3)

    with concurrency("db", occupy=2):
        assert n_active(store) == 2
        with pytest.raises(AcquireTimedOut), concurrency("db", occupy=2, timeout_seconds=0):
            pass
        with concurrency("db", occupy=1, timeout_seconds=0):
            assert n_active(store) == 3


@pytest.mark.parametrize("occupy", [0, -1])
def test_occupy_below_one_is_refused(occupy):
    with pytest.raises(ValueError, match="takes a number from 1 on"):
        concurrency("db", occupy=occupy)


def test_limit_option_creates_the_limit_in_place(store):
    with concurrency("db", limit=2):
        assert store.limits("db")[0].limit == 2
    with concurrency("db", limit=5):
        assert store.limits("db")[0].limit == 5


def test_limit_option_leaves_a_rate_a_rate(store):
    store.create_limit("api", 1, 10.0)

    with concurrency("api", limit=2):
        pass

    assert (store.limits("api")[0].limit, store.limits("api")[0].decay_per_second) == (2, 10.0)


@pytest.mark.parametrize(("slots", "decay"), [(-1, None), (1, 0.0), (1, -2.0), (1, float("inf"))])
def test_impossible_limits_are_refused(store, slots, decay):
    with pytest.raises(ValueError, match="is not valid"):
        store.create_limit("db", slots, decay)


def test_raised_limit_lets_waiters_in(store):
    store.create_limit("db", 0)
    held = threading.Event()
    thread = threading.Thread(target=lambda: concurrency("db").acquire() and held.set())
    thread.start()
    assert not held.wait(0.1)

    store.create_limit("db", 1)

    assert held.wait(5)
    thread.join()


def test_deleted_limit_lets_waiters_in(store):
    store.create_limit("db", 0)
    held = threading.Event()
    thread = threading.Thread(target=lambda: concurrency("db").acquire() and held.set())
    thread.start()
    assert not held.wait(0.1)

    store.delete_limit("db")

    assert held.wait(5)
    thread.join()
    with pytest.raises(LimitNotFound):
        store.delete_limit("db")


def test_decay_keeps_its_rate(store):
    store.create_limit("api", 2, 20.0)
    started = time.monotonic()

    for _ in range(22):
        rate_limit("api")

    # Two at once, then one every 50 ms.
    seconds = time.monotonic() - started
    assert 0.95 <= seconds < 1.6


def test_decay_keeps_its_rate_across_processes(home, store):
    store.create_limit("api", 1, 40.0)
    code = """
        import time
        from nbflow.concurrency import rate_limit
        print("ready", flush=True)
        input()
        for _ in range(10):
            rate_limit("api")
            print(time.time(), flush=True)
    """
    children = [Child(code, home) for _ in range(3)]
    for child in children:
        assert child.line() == "ready"
    for child in children:
        child.tell()

    times = sorted(float(line) for child in children for line in child.end())

    assert times[-1] - times[0] >= 29 / 40 * 0.97
    for first, second in zip(times, times[8:], strict=False):  # at any time, not only on average
        assert second - first >= 6 / 40


def test_tags_name_limits(store, events):
    store.create_limit("db", 1)
    gauge = Gauge()

    @task(tags=["db"])
    def t():
        with gauge:
            time.sleep(0.01)

    @task
    def free():
        return n_active(store)

    @flow
    def f():
        futures = [t.submit() for _ in range(6)]
        with tags("db"):
            futures.append(free.submit())
        return futures[-1].result()

    assert f() == 1
    assert gauge.most == 1
    assert n_active(store) == 0
    assert set(runs(kind="task").state) == {"Completed"}


def test_holders_are_known_by_their_run(store):
    store.create_limit("db", 1)

    @task
    def t():
        with concurrency("db"):
            return store.limits("db")[0].holders

    ((run_id, slots),) = t()

    assert (run_id, slots) == (runs().id[0], 1)


def test_slots_are_given_back_when_the_block_raises(store):
    store.create_limit("db", 1)

    @task
    def t():
        with concurrency("db"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        t()

    assert n_active(store) == 0


# --- asynchronous ---------------------------------------------------------------------------


def test_more_coroutines_than_threads_pass_one_slot(store):
    """None of them may hold a thread while it waits: the holder needs one to go on."""
    store.create_limit("db", 1)
    gauge = Gauge()

    async def one():
        async with for_asyncio.concurrency("db"):
            with gauge:
                await asyncio.to_thread(time.sleep, 0.001)

    async def main():
        await asyncio.wait_for(asyncio.gather(*(one() for _ in range(60))), 60)

    asyncio.run(main())

    assert gauge.most == 1
    assert n_active(store) == 0


def test_event_loop_goes_on_while_a_coroutine_waits(store):
    store.create_limit("db", 1)

    async def main():
        async with concurrency("db"):
            waiting = asyncio.create_task(enter("db"))
            for _ in range(20):
                await asyncio.sleep(0.005)
            assert not waiting.done()
        await asyncio.wait_for(waiting, 5)

    asyncio.run(main())


def test_cancelled_wait_takes_no_slot(store):
    store.create_limit("db", 1)

    async def main():
        for _ in range(30):
            async with concurrency("db"):
                waiting = [asyncio.create_task(enter("db")) for _ in range(3)]
                await asyncio.sleep(0.003)
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            await asyncio.wait_for(enter("db"), 5)

    asyncio.run(main())

    assert n_active(store) == 0


def test_cancelled_holder_gives_its_slot_back(store):
    store.create_limit("db", 1)

    async def main():
        async def hold():
            async with concurrency("db"):
                await asyncio.sleep(100)

        for _ in range(10):
            holder = asyncio.create_task(hold())
            while n_active(store) == 0:
                await asyncio.sleep(0.001)
            holder.cancel()
            with pytest.raises(asyncio.CancelledError):
                await holder
            await asyncio.wait_for(enter("db"), 5)

    asyncio.run(main())

    assert n_active(store) == 0


def test_async_rate_limit(store):
    store.create_limit("api", 1, 20.0)

    async def main():
        started = time.monotonic()
        await asyncio.gather(*(for_asyncio.rate_limit("api") for _ in range(11)))
        return time.monotonic() - started

    assert 0.48 <= asyncio.run(main()) < 1.5


# --- ended while waiting ----------------------------------------------------------------------


def test_task_that_times_out_while_waiting_takes_no_slot(store):
    store.create_limit("db", 1)

    @task(timeout_seconds=0.1)
    def t():
        with concurrency("db"):
            pass

    with concurrency("db"), pytest.raises(RunTimedOut):
        t()

    assert n_active(store) == 0
    with concurrency("db", timeout_seconds=5):
        pass


def test_interrupt_of_a_wait_leaves_no_slot_taken(home):
    """What is in the writer's hands when Ctrl-C comes is given back."""
    code = """
        import random, signal
        from nbflow import wiring
        from nbflow.concurrency import concurrency
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        store = wiring.current().store
        store.create_limit("db", 1_000)
        n = 0
        while n < 200:
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-4, 3e-3))
                while True:
                    with concurrency("db"):
                        pass
            except KeyboardInterrupt:
                n += 1
        print(store.limits("db")[0].n_active)
    """

    # A few instructions between taking and keeping cannot be covered in Python.
    assert int(run_child(code, home)[-1]) <= 30  # without that it is over 100

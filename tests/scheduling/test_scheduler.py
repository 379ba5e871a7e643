"""The scheduler on a real store: fires what is due, once, whatever the clock does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import time_machine

from nbflow.model.deployments import (
    DeploymentKind,
    DeploymentRecord,
    DeploymentSpec,
    OrderRecord,
)
from nbflow.model.schedules import CatchUp, Overlap, ScheduleSpec
from nbflow.scheduling.scheduler import Scheduler
from nbflow.store.store import Store
from nbflow.triggers.events import AfterTrigger, FilesTrigger
from nbflow.triggers.interval import IntervalTrigger
from nbflow.triggers.trigger import Trigger

NOW = 1_790_000_000.0
HOUR = 3_600.0


class Runs:
    """A host that notes what it was told to begin."""

    def __init__(self, room: int | None = None) -> None:
        self.orders: list[OrderRecord] = []
        self.lateness: list[float] = []
        self.cancelled: list[str] = []
        self.room = room

    def start(self, order: OrderRecord, deployment: DeploymentRecord) -> None:
        self.lateness.append(time.time() - order.due_at)
        self.orders.append(order)

    def cancel(self, run_id: str) -> None:
        self.cancelled.append(run_id)

    def free(self) -> int | None:
        return None if self.room is None else self.room - len(self.orders)

    @property
    def times(self) -> list[float]:
        return [order.scheduled_at for order in self.orders]


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    one = Store(home)
    yield one
    one.close()


def declare(
    store: Store, trigger: Trigger, *, name: str = "daily", now: float = NOW, **fields: object
) -> DeploymentRecord:
    spec = ScheduleSpec(
        name=name,
        trigger=trigger.to_json(),
        first_at=trigger.next_after(now),
        **fields,  # type: ignore[arg-type]
    )
    deployment = DeploymentSpec(
        flow_name="report", name=name, kind=DeploymentKind.SCRIPT, target="f.py:f", folder="."
    )
    return store.put_deployment(deployment, [spec])


def every(seconds: float) -> IntervalTrigger:
    return IntervalTrigger(seconds, anchor_at=0.0)


def serving(store: Store, host: Runs, *deployments: DeploymentRecord) -> Scheduler:
    scheduler = Scheduler(store, host)
    for one in deployments:
        scheduler.serve(one.id)
    scheduler.turn(rung=True)
    return scheduler


def states(store: Store) -> list[str]:
    """Of all runs, oldest first."""
    store.flush()
    return [run.state_name for run in reversed(store.runs(limit=10_000))]


def until(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not claim():
        assert time.monotonic() < deadline, "it did not come true in 20 s"
        threading.Event().wait(0.005)


# --- with a clock of our own --------------------------------------------------------------------


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def test_a_fire_time_begins_one_run(store: Store, clock: time_machine.Traveller) -> None:
    host = Runs()
    scheduler = serving(store, host, declare(store, every(HOUR)))
    assert host.orders == []
    clock.move_to(NOW - NOW % HOUR + HOUR)
    scheduler.turn()
    scheduler.turn()
    assert host.times == [NOW - NOW % HOUR + HOUR]
    assert states(store) == ["Pending"]
    scheduler.close()


@pytest.mark.parametrize("catch_up", list(CatchUp))
def test_a_clock_that_jumps_an_hour_ahead_and_back_fires_each_time_once(
    store: Store, clock: time_machine.Traveller, catch_up: CatchUp
) -> None:
    host = Runs()
    ten = every(600.0)
    scheduler = serving(store, host, declare(store, ten, catch_up=catch_up, overlap=Overlap.ALLOW))
    steps = [*range(0, 1_800, 20), 1_800 + 3_600, *range(1_800, 9_000, 20)]
    for at in steps:  # at half an hour an hour ahead, then back again
        clock.move_to(NOW + at)
        scheduler.turn()
    expected = [NOW - NOW % 600 + n * 600 for n in range(1, 16)]
    scheduled = sorted(run.scheduled_at or 0.0 for run in store.runs(limit=1_000))
    assert scheduled == [at for at in expected if at <= NOW + 9_000]
    missed = {CatchUp.ALL: 0, CatchUp.LATEST: 5, CatchUp.SKIP: 6}
    assert states(store).count("Missed") == missed[catch_up]
    scheduler.close()


def test_after_the_machine_slept_what_was_missed_is_told(
    store: Store, clock: time_machine.Traveller
) -> None:
    host = Runs()
    scheduler = serving(store, host, declare(store, every(HOUR)))
    clock.move_to(NOW + 5 * HOUR)  # no tick in between
    scheduler.turn()
    assert states(store) == ["Missed"] * 4 + ["Pending"]
    assert "late" in host.orders[0].message or host.orders[0].state_name in ("Late", "Pending")
    scheduler.close()


def test_a_run_that_has_not_ended_skips_the_next_fire_time(
    store: Store, clock: time_machine.Traveller
) -> None:
    host = Runs()
    scheduler = serving(store, host, declare(store, every(10.0)))
    for _ in range(3):
        clock.shift(10)
        scheduler.turn()
    assert len(host.orders) == 1
    assert states(store) == ["Pending", "Skipped", "Skipped"]
    scheduler.close()


def test_queued_runs_begin_one_after_the_other(store: Store, clock: time_machine.Traveller) -> None:
    host = Runs()
    scheduler = serving(store, host, declare(store, every(10.0), overlap=Overlap.QUEUE))
    for _ in range(3):
        clock.shift(10)
        scheduler.turn()
    assert len(host.orders) == 1
    for n in range(2):
        store.crash_run(host.orders[n].run_id, store.owner_id, "it ended")
        scheduler.turn(rung=True)
        assert len(host.orders) == n + 2
    scheduler.close()


def test_a_running_run_is_cancelled_for_the_next(
    store: Store, clock: time_machine.Traveller
) -> None:
    host = Runs()
    scheduler = serving(store, host, declare(store, every(10.0), overlap=Overlap.CANCEL))
    clock.shift(10)
    scheduler.turn()
    clock.shift(10)
    scheduler.turn()
    first = host.orders[0].run_id
    assert host.cancelled == [first]
    assert len(host.orders) == 1
    store.crash_run(first, store.owner_id, "it ended")
    scheduler.turn(rung=True)
    assert len(host.orders) == 2
    scheduler.close()


def test_a_jittered_run_begins_later_within_its_bounds(
    store: Store, clock: time_machine.Traveller
) -> None:
    host = Runs()
    scheduler = serving(store, host, declare(store, every(HOUR), jitter_seconds=60.0))
    at = NOW - NOW % HOUR + HOUR
    clock.move_to(at)
    scheduler.turn()
    assert host.orders == []
    clock.move_to(at + 60)
    scheduler.turn()
    scheduler.turn()
    assert host.times == [at]
    scheduler.close()


def test_a_host_without_room_gets_nothing_until_it_has_some(
    store: Store, clock: time_machine.Traveller
) -> None:
    host = Runs(room=2)
    many = [declare(store, every(HOUR), name=f"n{n}") for n in range(5)]
    scheduler = serving(store, host, *many)
    clock.shift(2 * HOUR)
    scheduler.turn()
    assert len(host.orders) == 2
    host.room = 4
    scheduler.turn(rung=True)
    assert len(host.orders) == 4
    scheduler.close()


def test_a_paused_schedule_and_a_paused_deployment_do_not_fire(
    store: Store, clock: time_machine.Traveller
) -> None:
    host = Runs()
    one, other = (declare(store, every(HOUR), name=name) for name in ("a", "b"))
    scheduler = serving(store, host, one, other)
    store.pause_schedule(store.schedules(deployment_ids=[one.id])[0].id, True)
    store.pause_deployment(other.id, True)
    clock.shift(2 * HOUR)
    scheduler.turn()  # it does not know of it, the store does
    scheduler.turn(rung=True)
    assert host.orders == []
    scheduler.close()


def test_of_two_schedulers_one_begins_the_run(
    store: Store, home: Path, clock: time_machine.Traveller
) -> None:
    deployment = declare(store, every(HOUR))
    other = Store(home)
    hosts = Runs(), Runs()
    both = [serving(s, h, deployment) for s, h in zip((store, other), hosts, strict=True)]
    for _ in range(3):
        clock.shift(HOUR)
        for scheduler in both:
            scheduler.turn()
        for host in hosts:
            for order in host.orders:
                for one in (store, other):
                    one.crash_run(order.run_id, one.owner_id, "it ended")
    assert sorted(hosts[0].times + hosts[1].times) == [
        NOW - NOW % HOUR + n * HOUR for n in (1, 2, 3)
    ]
    for scheduler in both:
        scheduler.close()
    other.close()


# --- with the real clock --------------------------------------------------------------------------


def test_the_thread_fires_without_being_asked(store: Store) -> None:
    host = Runs()
    deployment = declare(store, every(0.1), now=time.time(), overlap=Overlap.ALLOW)
    scheduler = Scheduler(store, host)
    scheduler.serve(deployment.id)
    scheduler.start()
    until(lambda: len(host.orders) >= 10)
    scheduler.close()
    gaps = [b - a for a, b in zip(host.times, host.times[1:], strict=False)]
    assert gaps == pytest.approx([0.1] * len(gaps), abs=1e-5)
    assert min(host.lateness) >= 0


def test_the_bell_of_another_process_wakes_the_thread(store: Store, home: Path) -> None:
    host = Runs()
    deployment = declare(store, every(HOUR), now=time.time())
    scheduler = Scheduler(store, host)
    scheduler.serve(deployment.id)
    scheduler.start()
    other = Store(home)
    began = time.monotonic()
    other.add_order(deployment.id)
    until(lambda: len(host.orders) == 1)
    assert time.monotonic() - began < 5  # not the 30 s of its longest sleep
    scheduler.close()
    other.close()


def test_files_that_change_fire_once_for_each_change(store: Store, tmp_path: Path) -> None:
    host = Runs()
    trigger = FilesTrigger(("*.csv",), str(tmp_path))
    deployment = declare(store, trigger, now=time.time(), overlap=Overlap.ALLOW)
    schedulers = [Scheduler(store, host) for _ in range(2)]
    for scheduler in schedulers:
        scheduler.serve(deployment.id)
        scheduler.start()
    until(lambda: all(one._events._watches for one in schedulers))
    (tmp_path / "other.txt").write_text("no")
    (tmp_path / "a.csv").write_text("1")
    until(lambda: len(host.orders) == 1)
    (tmp_path / "a.csv").write_text("12")
    until(lambda: len(host.orders) == 2)
    for scheduler in schedulers:
        scheduler.close()
    assert len(host.orders) == 2


def test_a_flow_that_completes_fires_those_that_come_after_it(store: Store, home: Path) -> None:
    from nbflow import Flow, wiring

    host = Runs()
    deployment = declare(store, AfterTrigger("first"), now=time.time(), overlap=Overlap.ALLOW)
    scheduler = Scheduler(store, host)
    scheduler.serve(deployment.id)
    scheduler.start()

    def first() -> None: ...

    def broken() -> None:
        raise ValueError

    Flow(first)()
    assert Flow(broken, name="first")(return_state=True).is_failed()
    Flow(first)()
    wiring.current().store.flush()
    until(lambda: len(host.orders) == 2)
    scheduler.close()

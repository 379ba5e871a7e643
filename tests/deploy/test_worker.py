"""Workers, in real processes: what they take they end, whatever dies meanwhile."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import nbformat
import psutil
import pytest

from nbflow import wiring
from nbflow.deploy.worker import Worker
from nbflow.errors import InvalidOption, PoolNotFound
from nbflow.flow_runs import cancel_run
from nbflow.model.schedules import Overlap, ScheduleSpec
from nbflow.triggers.date import DateTrigger
from tests.deploy.deployed import Deployed, Workers, wait_for

SLEEPS = """
@flow
def work(seconds: float = 60.0):
    say("began", os.getpid())
    time.sleep(seconds)
    say("ended", os.getpid())
"""


@pytest.fixture
def deployed(home: Path, tmp_path: Path) -> Deployed:
    return Deployed(home, tmp_path / "scripts")


@pytest.fixture
def workers(deployed: Deployed) -> Iterator[Workers]:
    workers = Workers(deployed)
    yield workers
    workers.end()


def states(deployed: Deployed, run_id: str) -> list[str]:
    """The states that a run has entered."""
    lines = deployed.store.lines(run_id, inner=False)
    return [line.state_name for line in lines if line.state_name]


def is_alive(pid: int) -> bool:
    """Whether a process still runs; one that only nobody has asked about does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def ready_process(worker_pid: int) -> psutil.Process:
    """The process that a worker keeps for the next run, once it is one of its own."""

    def look() -> psutil.Process | None:
        # Before that it is a copy of the worker, which waits for it.
        children = psutil.Process(worker_pid).children()
        found = [one for one in children if "nbflow.deploy.run_process" in one.cmdline()]
        return found[0] if found else None

    return wait_for(look)


def pid_of(deployed: Deployed, n: int = 0) -> int:
    """Process of the n-th run that has said that it began."""
    began = wait_for(lambda: [one for one in deployed.said() if "began" in one][n:])
    return int(began[0].split()[1])


# --- what is taken ----------------------------------------------------------------------------


def test_a_run_is_picked_up_and_runs_in_a_process_of_its_own(deployed: Deployed, workers: Workers):
    work = deployed.script(
        """
        import sys
        from nbflow.runtime import flow_run

        def ended(flow, run, state):
            say("hook", state.name, os.getpid())

        @task
        def double(n):
            return 2 * n

        @flow(log_prints=True, on_completion=[ended])
        def work(n: int):
            say(os.getpid(), os.getcwd(), sys.stdin.read() == "", flow_run.scheduled_start_time)
            print("logged", double(n))
            os.write(1, b"written\\n")
        """,
        parameters={"n": 1},
    )
    worker = workers.start()
    asked_at = time.time()

    order = deployed.order(work, n="21")  # converted, as the flow's parameters are
    run = deployed.until(order, "Completed")

    assert run.started_at - asked_at < 5
    pid, folder, is_stdin_empty, *planned = deployed.said()[0].split()
    assert int(pid) not in (worker.pid, os.getpid())
    assert folder == str(deployed.folder)
    assert is_stdin_empty == "True"
    assert " ".join(planned).startswith(time.strftime("%Y-%m-%d %H:%M", time.gmtime(asked_at)))
    assert deployed.said()[1:] == [f"hook Completed {pid}"]
    assert "logged 42" in [line.message for line in deployed.store.lines(order.run_id)]
    assert "written\n" in deployed.file(order, "output.log").read_text()
    names = states(deployed, order.run_id)
    assert names == ["Scheduled", "Pending", "Running", "Completed"]


def test_what_says_nothing_leaves_no_file(deployed: Deployed, workers: Workers):
    work = deployed.script("@flow\ndef work(): pass")
    workers.start(log_level="ERROR")

    order = deployed.order(work)
    deployed.until(order, "Completed")

    wait_for(lambda: not deployed.file(order, "output.log").parent.exists())


def test_the_limit_of_a_worker_holds(deployed: Deployed, workers: Workers):
    work = deployed.script("""
        @flow
        def work():
            say("+")
            time.sleep(0.1)
            say("-")
    """)
    orders = [deployed.order(work) for _ in range(8)]
    workers.start(limit=2)

    for order in orders:
        deployed.until(order, "Completed")

    n, most = 0, 0
    for one in deployed.said():
        n += 1 if one == "+" else -1
        most = max(most, n)
    assert most <= 2


def test_runs_of_a_paused_pool_wait(deployed: Deployed, workers: Workers):
    work = deployed.script("@flow\ndef work(): say('ran')")
    deployed.store.pause_pool("pool", True)
    workers.start()
    order = deployed.order(work)
    other = deployed.order(work)
    assert deployed.store.cancel_waiting(other.run_id)

    assert deployed.run(order).state_name == "Scheduled"
    deployed.store.pause_pool("pool", False)

    deployed.until(order, "Completed")
    assert deployed.said() == ["ran"]


def test_two_workers_share_fifty_runs_and_each_runs_once(deployed: Deployed, workers: Workers):
    work = deployed.script("@flow\ndef work(n: int): say(n, os.getppid())")
    both = {workers.start(limit=4).pid, workers.start(limit=4).pid}

    orders = [deployed.order(work, n=n) for n in range(50)]
    for order in orders:
        deployed.until(order, "Completed", 60)

    said = [line.split() for line in deployed.said()]
    assert sorted(int(n) for n, _ in said) == list(range(50))
    assert {int(parent) for _, parent in said} <= both


def test_a_worker_that_was_stopped_for_a_while_begins_nothing_twice(
    deployed: Deployed, workers: Workers
):
    work = deployed.script("""
        @flow
        def work(n: int):
            say("run", n)
            time.sleep(0.5)
    """)
    stopped = workers.start(limit=3)
    orders = [deployed.order(work, n=n) for n in range(3)]
    wait_for(deployed.said)
    stopped.send(signal.SIGSTOP)

    workers.start()
    orders += [deployed.order(work, n=n) for n in range(3, 6)]
    for order in orders[3:]:
        deployed.until(order, "Completed")
    deployed.store.reap()
    stopped.send(signal.SIGCONT)
    for order in orders:
        deployed.until(order, "Completed")

    assert Counter(deployed.said()) == {f"run {n}": 1 for n in range(6)}


def test_a_schedule_fires_through_a_worker(deployed: Deployed, workers: Workers):
    work = deployed.script("@flow\ndef work(n: int): say(n)")
    trigger = DateTrigger(time.time() + 1).to_json()
    deployed.store.put_deployment(
        work,
        [
            ScheduleSpec(
                name="soon",
                trigger=trigger,
                first_at=time.time() + 1,
                parameters={"n": 7},
                overlap=Overlap.ALLOW,
            )
        ],
    )
    workers.start()
    workers.start()

    wait_for(lambda: deployed.said() == ["7"])
    ((order, _),) = deployed.store.orders(deployment_id=work.id)
    deployed.until(order, "Completed")


def test_a_pool_of_notebooks_takes_no_scripts(deployed: Deployed, workers: Workers):
    deployed.store.create_pool("notebooks", "notebook")
    work = deployed.script("@flow\ndef work(): say('ran')", pool="notebooks")
    workers.start(pool="notebooks")

    run = deployed.until(deployed.order(work), "Failed")

    assert "work pools of type 'notebook' take notebook deployments" in run.message
    assert deployed.said() == []


def test_a_worker_needs_a_pool_of_a_type_that_is_known(deployed: Deployed):
    deployed.store.create_pool("cluster", "dask")

    with pytest.raises(PoolNotFound, match="nowhere"):
        Worker("nowhere").run()
    with pytest.raises(InvalidOption, match="takes 'process' or 'notebook'"):
        Worker("cluster").run()


# --- cancelling -------------------------------------------------------------------------------


def test_a_run_is_cancelled_on_request_and_its_hook_called_once(
    deployed: Deployed, workers: Workers
):
    work = deployed.script("""
        def ended(flow, run, state):
            say("hook", state.name)

        @flow(on_cancellation=[ended], retries=2)
        def work():
            say("began", os.getpid())
            time.sleep(60)
    """)
    workers.start()
    order = deployed.order(work)
    pid = pid_of(deployed)

    cancel_run(order.run_id)
    deployed.until(order, "Cancelled")

    wait_for(lambda: not is_alive(pid))
    assert deployed.said()[1:] == ["hook Cancelled"]


def test_a_run_that_does_not_end_when_cancelled_is_killed_and_not_run_again(
    deployed: Deployed, workers: Workers
):
    work = deployed.script(
        """
        import subprocess, sys

        @flow
        def work():
            child = subprocess.Popen(
                [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True
            )
            say("began", child.pid)
            while True:
                try:
                    time.sleep(60)
                except BaseException:
                    pass
        """,
        retries=3,
    )
    workers.start(force=1)
    order = deployed.order(work)
    pid = pid_of(deployed)

    cancel_run(order.run_id)
    deployed.until(order, "Cancelled")

    assert not is_alive(pid)
    assert len(deployed.said()) == 1


def test_a_run_is_cancelled_while_its_script_is_still_being_imported(
    deployed: Deployed, workers: Workers
):
    work = deployed.script("""
        say("began", os.getpid())
        time.sleep(60)
        @flow
        def work():
            say("ran")
    """)
    worker = workers.start()
    order = deployed.order(work)
    pid = pid_of(deployed)

    os.kill(pid, signal.SIGTERM)  # as its worker's cancelling does
    deployed.until(order, "Cancelled")

    assert len(deployed.said()) == 1
    worker.send(signal.SIGTERM)
    worker.end()


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_run_is_cancelled_before_its_process_has_taken_it_over(
    deployed: Deployed, workers: Workers, goes_on: bool
):
    work = deployed.script("@flow\ndef work(): say('ran')", retries=1)
    worker = workers.start(force=1)
    ready = ready_process(worker.pid)
    ready.send_signal(signal.SIGSTOP)
    order = deployed.order(work)
    deployed.until(order, "Pending")

    cancel_run(order.run_id)
    if goes_on:
        time.sleep(0.3)  # until the worker has told the process, which cannot answer
        ready.send_signal(signal.SIGCONT)

    deployed.until(order, "Cancelled")
    assert deployed.said() == []
    worker.send(signal.SIGTERM)
    worker.end()


# --- deaths -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dies", "told"),
    [
        ("os.kill(os.getpid(), 9)", "was killed by signal 9 (SIGKILL; out of memory, perhaps"),
        ("os._exit(3)", "ended with exit code 3 before its run had"),
        ("import ctypes; ctypes.string_at(0)", "was killed by signal 11 (SIGSEGV; a fault in"),
    ],
)
def test_a_run_whose_process_dies_is_crashed_and_its_hooks_are_called_once(
    deployed: Deployed, workers: Workers, dies: str, told: str
):
    work = deployed.script(f"""
        def crashed(flow, run, state):
            say("hook", flow.name, run.name, run.id, state.name, run.state.name)

        @flow(on_crashed=[crashed])
        def work():
            say("began")
            {dies}
    """)
    workers.start()
    workers.start()
    order = deployed.order(work)

    run = deployed.until(order, "Crashed")

    assert told in run.message
    wait_for(lambda: len(deployed.said()) == 2)
    hook = f"hook work {order.run_name} {order.run_id} Crashed Crashed"
    second = deployed.order(work)
    deployed.until(second, "Crashed")
    wait_for(lambda: len(deployed.said()) == 4)
    assert deployed.said()[:2] == ["began", hook]


@pytest.mark.parametrize("dies", ["os.kill(os.getpid(), 9)", "os._exit(1)"])
@pytest.mark.parametrize(
    "options", ["env={}", "start_new_session=True"], ids=["without the mark", "out of the group"]
)
def test_nothing_that_a_process_had_started_outlives_its_death(
    deployed: Deployed, workers: Workers, dies: str, options: str
):
    work = deployed.script(f"""
        import subprocess, sys

        @flow
        def work():
            sleeps = [sys.executable, "-c", "import time; time.sleep(60)"]
            say("began", subprocess.Popen(sleeps, {options}).pid)
            {dies}
    """)
    workers.start()
    order = deployed.order(work)

    deployed.until(order, "Crashed")

    assert not is_alive(pid_of(deployed))


def test_what_a_process_had_started_ends_before_the_next_try_though_it_said_all_was_well(
    deployed: Deployed, workers: Workers
):
    work = deployed.script("""
        import subprocess, sys

        @flow
        def work():
            sleeps = [sys.executable, "-c", "import time; time.sleep(60)"]
            say("began", subprocess.Popen(sleeps).pid)
            os._exit(0)
    """)
    workers.start()

    deployed.until(deployed.order(work), "Crashed")

    assert not is_alive(pid_of(deployed))


def test_a_run_that_is_deleted_while_it_goes_on_ends_and_makes_room(
    deployed: Deployed, workers: Workers
):
    work = deployed.script(SLEEPS)
    worker = workers.start(limit=1)
    order = deployed.order(work)
    pid = pid_of(deployed)

    deployed.store.delete_run(order.run_id)
    after = deployed.order(work, seconds=0)

    deployed.until(after, "Completed")
    assert not is_alive(pid)
    worker.send(signal.SIGTERM)
    worker.end()
    assert "was deleted" in worker.stderr


def test_a_run_whose_process_dies_is_run_again_where_its_retries_allow(
    deployed: Deployed, workers: Workers
):
    work = deployed.script(
        """
        from nbflow.runtime import flow_run

        @task(persist_result=True)
        def first():
            say("first")

        @flow(retries=1)
        def work():
            first()
            say("try", flow_run.run_count)
            if flow_run.run_count == 1:
                os.kill(os.getpid(), 9)
        """,
        retries=1,
    )
    workers.start()
    order = deployed.order(work)

    run = deployed.until(order, "Completed")

    assert deployed.said() == ["first", "try 1", "try 2"]
    assert run.run_count == 2
    assert states(deployed, order.run_id) == [
        *("Scheduled", "Pending", "Running", "Crashed", "AwaitingRetry"),
        *("Pending", "Retrying", "Completed"),
    ]


def test_a_hook_of_a_crash_that_the_flow_itself_told_of_is_called_once(
    deployed: Deployed, workers: Workers
):
    work = deployed.script("""
        def crashed(flow, run, state):
            say("hook")

        @flow(on_crashed=[crashed])
        def work():
            raise SystemExit(2)
    """)
    worker = workers.start()
    order = deployed.order(work)

    deployed.until(order, "Crashed")
    worker.send(signal.SIGTERM)
    worker.end()

    assert deployed.said() == ["hook"]
    assert not deployed.store.claim_once(order.run_id, "on_crashed")


@pytest.mark.parametrize("retries", [0, 1])
def test_a_killed_workers_run_ends_with_it_and_another_sees_to_it(
    deployed: Deployed, workers: Workers, retries: int
):
    work = deployed.script(
        """
        def crashed(flow, run, state):
            say("hook")

        @flow(on_crashed=[crashed])
        def work():
            say("began", os.getpid())
            time.sleep(60)
        """,
        retries=retries,
    )
    killed = workers.start()
    order = deployed.order(work)
    pid = pid_of(deployed)
    workers.start()

    killed.kill()
    wait_for(lambda: not is_alive(pid))

    if retries:
        assert pid_of(deployed, 1) != pid
        cancel_run(order.run_id)
        assert deployed.until(order, "Cancelled").run_count == 2
    else:
        deployed.until(order, "Crashed")
        workers.start()  # a worker that starts sees to the hooks that were left
        wait_for(lambda: deployed.said()[-1] == "hook")
        assert [line.split()[0] for line in deployed.said()] == ["began", "hook"]


def test_what_a_killed_worker_had_taken_but_not_begun_is_run_by_another(
    deployed: Deployed, workers: Workers
):
    work = deployed.script("@flow\ndef work(): say('ran')")
    deployed.store.register_worker("this one", "pool")
    order = deployed.order(work)
    (taken,) = deployed.store.take_orders(pool="pool")
    assert taken.run_id == order.run_id
    wiring.current().store._owner._forget()  # what the system does when a process dies
    wiring.close()

    workers.start()
    deployed.until(order, "Completed")

    assert deployed.said() == ["ran"]


def test_a_process_that_does_not_end_with_its_run_is_killed(deployed: Deployed, workers: Workers):
    work = deployed.script("""
        import threading

        @flow
        def work():
            say("began", os.getpid())
            threading.Thread(target=time.sleep, args=(60,)).start()
    """)
    workers.start(linger=1)
    order = deployed.order(work)
    pid = pid_of(deployed)

    deployed.until(order, "Completed")

    wait_for(lambda: not is_alive(pid))
    assert deployed.run(order).state_name == "Completed"


# --- ending a worker --------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_told_to_end_waits_for_what_runs(
    deployed: Deployed, workers: Workers, number: signal.Signals
):
    work = deployed.script(SLEEPS)
    worker = workers.start()
    order = deployed.order(work, seconds=1)
    pid_of(deployed)

    worker.send(number)
    wait_for(lambda: not deployed.store.workers("pool") or deployed.said()[1:])
    later = deployed.order(work, seconds=0)
    worker.end()

    assert deployed.run(order).state_name == "Completed"
    assert deployed.run(later).state_name == "Scheduled"
    assert "takes no more runs; waits for 1 run to end. Ctrl-C again cancels" in worker.stderr
    told = [line.partition("|")[2].partition("|")[2] for line in worker.stderr.splitlines()]
    assert told[0].startswith(" worker ")
    assert f" Flow run {order.run_name!r} of 'work/test' begins in process " in told[1]
    assert f" Flow run {order.run_name!r} - Finished in state Completed() after" in told[3]
    assert deployed.store.workers() == []


def test_a_worker_that_is_told_twice_cancels_what_runs(deployed: Deployed, workers: Workers):
    work = deployed.script(SLEEPS)
    worker = workers.start()
    orders = [deployed.order(work), deployed.order(work)]
    pid_of(deployed, 1)

    worker.send(signal.SIGTERM)
    time.sleep(0.2)  # two signals at once are one
    worker.send(signal.SIGTERM)
    worker.end()

    assert [deployed.run(one).state_name for one in orders] == ["Cancelled"] * 2


def test_a_worker_says_that_it_lives(deployed: Deployed, workers: Workers):
    child = workers.start(limit=3)
    (worker,) = deployed.store.workers("pool")
    assert (worker.pid, worker.limit, worker.is_alive) == (child.pid, 3, True)

    child.kill()

    deployed.store.reap()
    assert deployed.store.workers("pool") == []


# --- notebooks --------------------------------------------------------------------------------


def test_a_notebook_runs_in_a_fresh_kernel_and_is_kept(deployed: Deployed, workers: Workers):
    report = deployed.notebook(
        "city = 'none'",
        "import os\nprint(city, os.getcwd())",
        "%load_ext nbflow\nos.write(2, b'past the kernel')",
        "%%task count\nn = len(city)",
    )
    workers.start()

    order = deployed.order(report, city="Montreal")
    deployed.until(order, "Completed", 60)

    executed = nbformat.read(deployed.file(order, "executed.ipynb"), as_version=4)
    printed = [one.text for cell in executed.cells for one in cell.outputs if "text" in one]
    assert printed[0] == f"Montreal {deployed.folder}\n"
    page = deployed.file(order, "executed.html").read_text()
    assert "Montreal" in page
    assert deployed.run(order).n_tasks == {"Completed": 1}
    assert "past the kernel" in deployed.file(order, "output.log").read_text()


def test_a_cancelled_notebook_leaves_no_kernel(deployed: Deployed, workers: Workers):
    report = deployed.notebook(
        "import os, time",
        f"open({str(deployed.log)!r}, 'w').write(f'began {{os.getpid()}}\\n')",
        "time.sleep(60)",
    )
    workers.start()
    order = deployed.order(report)
    kernel = pid_of(deployed)

    cancel_run(order.run_id)
    deployed.until(order, "Cancelled")

    wait_for(lambda: not is_alive(kernel))
    assert json.loads(deployed.file(order, "executed.ipynb").read_text())["cells"]


@pytest.mark.parametrize("whom", ["worker", "process"])
def test_no_kernel_outlives_its_run(deployed: Deployed, workers: Workers, whom: str):
    report = deployed.notebook(
        "import os, time",
        f"open({str(deployed.log)!r}, 'w').write(f'began {{os.getpid()}} {{os.getppid()}}\\n')",
        "time.sleep(60)",
    )
    worker = workers.start()
    order = deployed.order(report)
    kernel = pid_of(deployed)

    if whom == "worker":
        worker.kill()
    else:
        os.kill(int(deployed.said()[0].split()[2]), signal.SIGKILL)
        deployed.until(order, "Crashed")
        assert not is_alive(kernel)

    wait_for(lambda: not is_alive(kernel), 3)
    wait_for(lambda: deployed.store.reap() or deployed.run(order).state_name == "Crashed")

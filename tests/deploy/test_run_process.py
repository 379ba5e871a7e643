"""The process of one run: what it is told, how it is tied to its worker, what it leaves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from nbflow import wiring
from nbflow.deploy.assignments import Assignment
from nbflow.deploy.processes import ChildProcess, told_of_exit
from nbflow.deploy.run_process import NOT_OURS
from nbflow.model.deployments import DeploymentRecord, OrderRecord
from tests.deploy.deployed import Deployed, wait_for

Start = Callable[..., ChildProcess]


@pytest.fixture
def deployed(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    monkeypatch.setenv("NBFLOW_HOME", str(home))
    return Deployed(home, tmp_path / "scripts")


@pytest.fixture
def start(deployed: Deployed) -> Iterator[Start]:
    """Takes an order as a worker does, and starts its process."""
    children = []

    def start(order: OrderRecord, **options: object) -> ChildProcess:
        deployed.store.take_orders(pool="pool")
        child = ChildProcess(deployed.home)
        children.append(child)
        about = {
            "run_id": order.run_id,
            "owner_id": deployed.store.owner_id,
            "folder": str(deployed.folder),
            "family": child.family,
            **options,
        }
        child.begin(Assignment(**about))
        return child

    yield start
    for child in children:
        child.kill()
        child.wait()
        child.close()


def exit_code(child: ChildProcess) -> int:
    child.wait()
    return child._process.returncode


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


SLEEPS = """
import subprocess, sys
@flow
def work(seconds: float = 60.0):
    sleeper = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True
    )
    say("began", os.getpid(), sleeper.pid)
    time.sleep(seconds)
"""


@pytest.mark.parametrize(
    ("body", "code", "state"),
    [("pass", 0, "Completed"), ("1 / 0", 1, "Failed"), ("return 'kept nowhere'", 0, "Completed")],
)
def test_the_exit_code_tells_whether_the_run_completed(
    deployed: Deployed, start: Start, body: str, code: int, state: str
):
    work = deployed.script(f"@flow\ndef work(): {body}")
    order = deployed.order(work)

    assert exit_code(start(order)) == code
    assert deployed.run(order).state_name == state


def test_what_is_not_its_own_is_not_run(deployed: Deployed, start: Start):
    work = deployed.script("@flow\ndef work(): say('ran')")
    order = deployed.order(work)

    assert exit_code(start(order, owner_id="somebody else")) == NOT_OURS
    assert exit_code(start(order)) == 0
    assert exit_code(start(order)) == NOT_OURS
    assert deployed.said() == ["ran"]


def test_by_hand_it_is_told_on_the_command_line(deployed: Deployed):
    work = deployed.script("@flow\ndef work(): say('ran')")
    order = deployed.order(work)
    deployed.store.take_orders(pool="pool")

    command = [sys.executable, "-m", "nbflow.deploy.run_process"]
    done = subprocess.run([*command, order.run_id, deployed.store.owner_id], timeout=60)

    assert done.returncode == 0
    assert deployed.said() == ["ran"]


def test_without_an_assignment_it_ends(deployed: Deployed):
    child = ChildProcess(deployed.home)

    child.dismiss()

    assert child._process.returncode == 0


def test_when_its_worker_is_gone_nothing_of_it_is_left(deployed: Deployed, start: Start):
    work = deployed.script(SLEEPS)
    order = deployed.order(work)
    child = start(order)
    child._take_life()
    _, *pids = wait_for(deployed.said)[0].split()

    child._leash.close()

    wait_for(lambda: not any(is_alive(int(pid)) for pid in pids))
    deployed.store.reap()
    assert deployed.run(order).state_name == "Running"  # who held its life has not let go of it
    child.close()
    wait_for(lambda: deployed.store.reap() or deployed.run(order).state_name == "Crashed")


def test_it_ends_as_well_when_its_worker_is_gone_without_having_listened(
    deployed: Deployed, start: Start
):
    work = deployed.script(SLEEPS)
    order = deployed.order(work)
    child = start(order)
    _, *pids = wait_for(deployed.said)[0].split()

    child._leash.close()  # with its message unread, which the other side learns as an error

    wait_for(lambda: not any(is_alive(int(pid)) for pid in pids))
    wait_for(lambda: deployed.store.reap() or deployed.run(order).state_name == "Crashed")


def test_killed_it_takes_all_along_that_it_has_started(deployed: Deployed, start: Start):
    work = deployed.script(SLEEPS)
    child = start(deployed.order(work))
    _, *pids = wait_for(deployed.said)[0].split()

    child.kill()

    assert child.wait().startswith("the run's process was killed by signal 9 (SIGKILL;")
    assert not any(is_alive(int(pid)) for pid in pids)


def test_asked_for_before_it_begins_a_cancellation_keeps_the_run_from_beginning(
    deployed: Deployed, start: Start
):
    work = deployed.script("""
        def ended(flow, run, state):
            say(state.name)

        @flow(on_cancellation=[ended])
        def work():
            say("ran")
    """)
    order = deployed.order(work)

    child = start(order)
    child.cancel()

    assert exit_code(child) == 1
    assert deployed.run(order).state_name == "Cancelled"
    assert "ran" not in deployed.said()


@pytest.mark.parametrize("how", ["socket", "signal"])
def test_it_is_cancelled_by_its_worker_or_by_sigterm(deployed: Deployed, start: Start, how: str):
    work = deployed.script("""
        @flow
        async def work():
            import asyncio
            say("began", os.getpid())
            await asyncio.sleep(60)
    """)
    order = deployed.order(work)
    child = start(order)
    wait_for(deployed.said)

    child.cancel() if how == "socket" else os.kill(child.pid, signal.SIGTERM)

    assert exit_code(child) == 1
    assert deployed.run(order).state_name == "Cancelled"


def test_a_script_with_a_handler_of_its_own_is_cancelled_all_the_same(
    deployed: Deployed, start: Start
):
    work = deployed.script("""
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

        @flow
        def work():
            say("began")
            time.sleep(60)
    """)
    order = deployed.order(work)
    child = start(order)
    wait_for(deployed.said)

    child.cancel()

    assert exit_code(child) == 1
    assert deployed.run(order).state_name == "Cancelled"


def test_the_projects_settings_hold_and_its_modules_are_found(deployed: Deployed, start: Start):
    (deployed.folder / "pyproject.toml").write_text("[tool.nbflow]\nlog_prints = true\n")
    (deployed.folder / "beside.py").write_text("word = 'beside'\n")
    work = deployed.script("""
        @flow
        def work():
            from beside import word
            print("logged", word)
    """)
    order = deployed.order(work)

    assert exit_code(start(order)) == 0
    assert "logged beside" in [line.message for line in deployed.store.lines(order.run_id)]


def gone_folder(deployed: Deployed) -> DeploymentRecord:
    return deployed.script("@flow\ndef work(): pass", folder=str(deployed.folder / "gone"))


def exits(deployed: Deployed) -> DeploymentRecord:
    return deployed.script("raise SystemExit(7)")


def raises(deployed: Deployed) -> DeploymentRecord:
    return deployed.script("1 / 0")


def gone_file(deployed: Deployed) -> DeploymentRecord:
    work = deployed.script("@flow\ndef work(): pass")
    (deployed.folder / "script.py").unlink()
    return work


@pytest.mark.parametrize(
    ("deploy", "state", "told"),
    [
        (gone_folder, "Failed", "is gone; deploy it again"),
        (gone_file, "Failed", "does not exist"),
        (raises, "Failed", "ZeroDivisionError: division by zero"),
        (exits, "Crashed", "SystemExit: 7"),
    ],
)
def test_a_run_that_cannot_be_begun_ends_and_says_why(
    deployed: Deployed,
    start: Start,
    deploy: Callable[[Deployed], DeploymentRecord],
    state: str,
    told: str,
):
    order = deployed.order(deploy(deployed))

    assert exit_code(start(order)) == 1
    run = deployed.run(order)
    assert run.state_name == state
    assert told in run.message


def test_a_run_whose_deployment_was_deleted_is_crashed(deployed: Deployed, start: Start):
    work = deployed.script("@flow\ndef work(): say('ran')")
    order = deployed.order(work)
    deployed.store.take_orders(pool="pool")
    deployed.store.delete_deployment(work.id)

    assert exit_code(start(order)) == 1
    assert (deployed.run(order).state_name, deployed.said()) == ("Crashed", [])


def test_what_was_said_before_a_kill_is_in_the_runs_file(deployed: Deployed, start: Start):
    work = deployed.script("""
        import sys

        @flow
        def work():
            print("printed")
            print("told", file=sys.stderr)
            os.kill(os.getpid(), 9)
    """)
    order = deployed.order(work)

    start(order).wait()

    text = deployed.file(order, "output.log").read_text()
    assert "printed\n" in text
    assert "told\n" in text


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (0, "ended with exit code 0 before its run had"),
        (-9, "killed by signal 9 (SIGKILL; out of memory, perhaps, or somebody's kill -9)"),
        (-13, "killed by signal 13 (SIGPIPE)"),
        (-99, "killed by signal 99"),
    ],
)
def test_an_exit_is_told_in_words(code: int, told: str):
    assert told_of_exit(code).removeprefix("the run's process ").removeprefix("was ") == told


def test_hooks_of_a_crash_are_called_in_a_process_of_their_own(deployed: Deployed, start: Start):
    work = deployed.script("""
        def crashed(flow, run, state):
            say("hook", os.getpid(), run.parameters, run.run_count, state.message)

        @flow(on_crashed=[crashed])
        def work():
            say("began", os.getpid())
            os._exit(5)
    """)
    order = deployed.order(work)
    child = start(order)
    child.wait()
    deployed.store.crash_run(order.run_id, child.owner_id, "it died")

    hooks = start(order, is_crashed=True)

    assert exit_code(hooks) == 0
    assert deployed.said()[1] == f"hook {hooks.pid} None 1 it died"
    assert deployed.run(order).state_name == "Crashed"


def test_its_life_is_shared_with_its_worker(deployed: Deployed):
    """Between a process' death and its worker's answer nobody may take its run for abandoned."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        from nbflow.deploy.run_process import _share_life

        store = wiring.current().store
        _share_life(store, theirs.fileno())
        told, fds, _, _ = socket.recv_fds(ours, 64, 1)

    assert told.decode() == store.owner_id
    store._owner._forget()  # as when the process dies
    assert store.is_alive(store.owner_id)
    os.close(fds[0])
    assert not store.is_alive(store.owner_id)

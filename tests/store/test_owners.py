"""Which processes live: told by a lock that the operating system drops, never by a clock."""

from __future__ import annotations

import os
import signal

import pytest
from children import Child, is_intact, read, run_child

from nbflow import flow, task, wiring
from nbflow.model.runs import RunKind
from nbflow.store.owners import is_alive

# There are threads at the fork, of which Python 3.12 and later warn.
FORKING = {"PYTHONWARNINGS": "error,ignore::DeprecationWarning"}
SITTING = """
    import sys
    from nbflow import flow, task
    @task
    def t():
        print("inside", flush=True)
        input()
    @flow
    def f():
        t()
    f()
    print("done")
"""


def states(store):
    store.reap()
    return {record.kind: record.state_name for record in store.runs()}


def sitting(home, store):
    """A child inside a task; what it has said so far is on disk."""
    child = Child(SITTING, home)
    assert child.line() == "inside"
    while states(store) != {RunKind.FLOW: "Running", RunKind.TASK: "Running"}:
        pass  # its writer commits within 50 ms
    return child


def test_killed_process_leaves_crashed_runs(home, store):
    child = sitting(home, store)

    child.kill()

    assert states(store) == {RunKind.FLOW: "Crashed", RunKind.TASK: "Crashed"}
    record = store.runs(kind=RunKind.FLOW)[0]
    assert record.ended_at is not None
    assert "process" in record.message
    assert [line.state_name for line in store.lines(record.id, inner=False)] == [
        *("Pending", "Running", "Crashed")
    ]


def test_crashed_runs_are_told_once(home, store):
    sitting(home, store).kill()
    for _ in range(3):
        store.reap()

    told = [line.state_name for line in store.lines(store.runs(kind=RunKind.FLOW)[0].id)]

    assert told.count("Crashed") == 2
    assert os.listdir(home / "owners") in ([], [store.owner_id])


def test_everybody_who_looks_sees_the_crash(home, store):
    child = sitting(home, store)
    child.kill()
    code = "import nbflow; print(sorted(nbflow.runs().state))"

    lookers = [Child(code, home) for _ in range(4)]

    assert {line for looker in lookers for line in looker.end()} == {"['Crashed', 'Crashed']"}


def test_stopped_process_is_alive(home, store):
    child = sitting(home, store)
    child.send(signal.SIGSTOP)

    assert states(store)[RunKind.FLOW] == "Running"

    child.send(signal.SIGCONT)
    child.tell()
    assert child.end() == ["done"]
    assert states(store)[RunKind.FLOW] == "Completed"


def test_child_by_fork_does_not_keep_its_dead_parent_alive(home, store):
    code = """
        import os, signal, sys
        from nbflow import flow
        @flow
        def f():
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(write)
                os.write(1, f"forked {os.getpid()}\\n".encode())  # in one piece
                os.read(read, 1)
                os._exit(0)
            os.write(1, b"parent\\n")
            input()
        f()
    """
    child = Child(code, home, **FORKING)
    lines = sorted([child.line(), child.line()])
    assert [line.split()[0] for line in lines] == ["forked", "parent"]
    forked = int(lines[0].split()[1])
    while not store.runs():
        pass
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    states_now = states(store)
    os.kill(forked, signal.SIGKILL)
    child.kill()

    assert states_now == {RunKind.FLOW: "Crashed"}


@pytest.mark.parametrize("how", ["os._exit(0)", "sys.exit(0)", "raise ValueError"])
def test_fork_inside_a_run_leaves_the_store_to_the_parent(home, how):
    """However the child leaves it, no matter that it unwinds the parent's frames."""
    code = f"""
        import os, sys
        from nbflow import flow, task
        @task
        def t(n):
            return n
        @flow
        def f():
            t.map(range(20)).result()
            pid = os.fork()
            if pid == 0:
                sys.stderr = open(os.devnull, "w")
                {how}
            os.waitpid(pid, 0)
            return sum(t.map(range(20)).result())
        print(f())
    """
    assert run_child(code, home, **FORKING) == ["190"]

    assert is_intact(home)
    assert read(home, "SELECT state_name, count(*) FROM runs GROUP BY 1") == [("Completed", 41)]


def test_forked_child_records_runs_of_its_own(home):
    code = """
        import os
        from nbflow import flow
        @flow
        def f(n):
            return n
        f(1)
        pid = os.fork()
        if pid == 0:
            print(f(2), flush=True)
            raise SystemExit
        os.waitpid(pid, 0)
        print(f(3))
    """

    assert run_child(code, home, **FORKING) == ["2", "3"]
    assert read(home, "SELECT count(*), count(DISTINCT owner_id) FROM runs") == [(3, 2)]
    assert is_intact(home)


def test_a_pid_that_is_in_use_again_means_nothing(home, store):
    child = sitting(home, store)
    child.kill()
    store.limits()  # open
    update = "UPDATE owners SET pid = ?"
    store._do(lambda connection: connection.execute(update, (os.getpid(),)))

    assert states(store)[RunKind.FLOW] == "Crashed"


def test_runs_of_another_host_are_left_alone(home, store):
    child = sitting(home, store)
    store._do(lambda connection: connection.execute("UPDATE owners SET host = 'elsewhere'"))
    child.kill()

    assert states(store)[RunKind.FLOW] == "Running"


def test_slots_of_a_dead_process_come_free(home, store):
    store.create_limit("db", 1)
    code = """
        from nbflow.concurrency import concurrency
        with concurrency("db"):
            print("held", flush=True)
            input()
    """
    child = Child(code, home)
    assert child.line() == "held"
    assert store.acquire(["db"], 1, "mine", "").wait_seconds is not None

    child.kill()
    store.reap()

    assert store.acquire(["db"], 1, "mine", "").taken == ("db",)


def test_process_that_ends_in_good_order_takes_its_lock_along(home, store):
    run_child("from nbflow import flow\n@flow\ndef f(): pass\nf()", home)

    assert os.listdir(home / "owners") == []
    assert states(store) == {RunKind.FLOW: "Completed"}


def test_living_owner_is_alive_and_a_closed_one_is_not(home):
    @task
    def t():
        store = wiring.current().store
        return store.folder, store.owner_id

    @flow
    def f():
        return t()

    folder, owner_id = f()

    assert is_alive(folder, owner_id)
    wiring.close()
    assert not is_alive(folder, owner_id)

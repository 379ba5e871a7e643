"""The one place where parts are put together, and their end."""

from __future__ import annotations

import os
import threading

import pytest
from children import Child, is_intact, read, run_child

from nbflow import flow, task, wiring
from nbflow.settings import Settings


@task
def one():
    return 1


@flow
def f():
    return sum(future.result() for future in [one.submit() for _ in range(5)])


@pytest.fixture
def ours():
    """Gives the threads of nbflow's that this test has started."""
    before = set(threading.enumerate())

    def ours():
        new = set(threading.enumerate()) - before
        return [thread for thread in new if thread.name.startswith("nbflow-")]

    return ours


def test_nothing_is_opened_before_it_is_used(home, ours):
    wiring.current()

    assert not home.exists()
    assert ours() == []


def test_close_ends_every_thread(home, ours):
    f()
    assert ours()

    wiring.close()
    for thread in ours():
        thread.join(5)

    assert ours() == []
    assert os.listdir(home / "owners") == []


def test_next_run_after_close_starts_anew(home):
    for _ in range(3):
        assert f() == 5
        wiring.close()

    assert read(home, "SELECT count(DISTINCT owner_id) FROM runs") == [(3,)]


def test_close_without_a_wiring_is_nothing():
    wiring.close()
    wiring.close()


def test_other_settings_hold_for_a_while(home, tmp_path):
    f()
    with wiring.using(Settings(home=tmp_path / "other")) as other:
        assert wiring.current() is other
        f()
    f()
    wiring.close()

    assert read(tmp_path / "other", "SELECT count(*) FROM runs WHERE kind = 'flow'") == [(1,)]
    assert read(home, "SELECT count(*) FROM runs WHERE kind = 'flow'") == [(2,)]


def test_no_file_stays_open_after_close(home):
    f()
    wiring.close()

    paths = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if is_fd(fd)]

    assert [path for path in paths if str(home) in path] == []


def is_fd(fd):
    return os.path.lexists(f"/proc/self/fd/{fd}")


def test_script_that_just_ends_has_recorded_everything(home):
    code = """
        from nbflow import task
        @task
        def t(n):
            print(n)
        for n in range(50):
            t.submit(n)
    """
    assert len(run_child(code, home)) == 50

    assert read(home, "SELECT state_name, count(*) FROM runs GROUP BY 1") == [("Completed", 50)]
    assert is_intact(home)


def test_request_that_is_not_known_is_survived(home):
    """A newer nbflow may ask for what this one cannot do."""
    code = """
        from nbflow import flow
        @flow
        def f():
            print("inside", flush=True)
            input()
            return 7
        print(f())
    """
    child = Child(code, home)
    assert child.line() == "inside"
    store = wiring.current().store
    while not store.runs():
        pass
    record = store.runs()[0]
    store.request(record.owner_id, record.id, "levitate")
    while read(home, "SELECT count(*) FROM requests WHERE handled_at IS NULL") != [(0,)]:
        pass
    child.tell()

    assert child.end() == ["7"]
    assert read(home, "SELECT state_name FROM runs") == [("Completed",)]


def test_flow_that_ends_after_close_is_not_held_up(home):
    inside, go, answers = threading.Event(), threading.Event(), []

    @flow
    def slow():
        inside.set()
        go.wait()
        return 7

    thread = threading.Thread(target=lambda: answers.append(slow()))
    thread.start()
    inside.wait()
    wiring.close(wait=False)
    go.set()
    thread.join(10)

    assert answers == [7]

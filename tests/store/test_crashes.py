"""Runs of processes that died are Crashed, or run again where their deployment says so."""

from __future__ import annotations

import time

import pytest
from children import Child, read
from declared import declare, enter, finish, fire, run_of, scheduled, states

from nbflow.model.events import LogEmitted, RunCreated
from nbflow.model.runs import Run, RunKind
from nbflow.model.specs import TaskSpec
from nbflow.store.store import Store

# Takes what is due, has it in the given state, and sits there.
TAKING = """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from declared import enter, run_of
    from nbflow.store.store import Store
    store = Store(Path(sys.argv[1]), may_fall_back=False)
    if sys.argv[4:] == ["worker"]:
        store.register_worker("w", "p")
    for order in store.take_orders():
        if sys.argv[3] != "Pending":
            enter(store, run_of(order), sys.argv[3])
        print(order.run_id, flush=True)
    print(store.owner_id, flush=True)
    input()
"""


def taking(home, state="Running", *more):
    from pathlib import Path

    return Child(TAKING, home, home, Path(__file__).parent, state, *more)


def test_run_of_a_dead_process_is_crashed(home, store):
    store.add_order(declare(store).id)
    child = taking(home)
    run_id = child.line()
    child.kill()

    store.reap()

    run = store.find_run(run_id)
    assert (run.state_name, run.ended_at is not None) == ("Crashed", True)
    assert states(store, run_id) == ["Scheduled", "Pending", "Running", "Crashed"]
    assert store.take_orders() == []


@pytest.mark.parametrize("state", ["Pending", "Running"])
def test_run_with_tries_left_waits_again(home, store, state):
    """Also when its process has only taken it: nobody can tell how far it was."""
    store.add_order(declare(store, retries=1).id)
    child = taking(home, state)
    run_id = child.line()
    child.kill()

    store.reap()

    run = store.find_run(run_id)
    assert (run.state_name, run.owner_id, run.ended_at) == ("AwaitingRetry", "", None)
    assert states(store, run_id)[-2:] == ["Crashed", "AwaitingRetry"]
    (again,) = store.take_orders()
    assert (again.run_id, again.retries_left) == (run_id, 0)
    store.crash_run(run_id, store.owner_id, "again")
    assert store.find_run(run_id).state_name == "Crashed"


def test_run_that_was_being_cancelled_is_not_run_again(home, store):
    store.add_order(declare(store, retries=1).id)
    child = taking(home, "Cancelling")
    run_id = child.line()
    child.kill()

    store.reap()

    assert store.find_run(run_id).state_name == "Cancelled"
    assert store.take_orders() == []


def test_tries_of_a_flow_are_counted_on(home, store):
    store.add_order(declare(store, retries=1).id)
    (order,) = store.take_orders()
    run = run_of(order)
    run.run_count = 1
    enter(store, run, "Running")

    store.crash_run(order.run_id, store.owner_id, "it died")

    assert store.order(order.run_id).run_count == 1


def test_run_waits_as_long_as_was_said(store):
    store.add_order(declare(store, retries=1, retry_delay_seconds=500).id)
    (order,) = store.take_orders()

    run = store.crash_run(order.run_id, store.owner_id, "it died")

    assert run.state_name == "AwaitingRetry"
    assert store.take_orders() == []
    assert 400 < store.next_order_at() - time.time() <= 500


def test_what_a_worker_had_not_begun_is_handed_back(home, store):
    """It has done nothing: no try is spent."""
    store.create_pool("p", "process")
    store.add_order(declare(store, pool="p").id)
    child = taking(home, "Pending", "worker")
    run_id = child.line()
    child.line()
    child.kill()

    store.reap()

    assert store.find_run(run_id).state_name == "Scheduled"
    assert store.workers() == []
    assert [one.run_id for one in store.take_orders(pool="p")] == [run_id]
    assert store.find_run(run_id).state_name == "Pending"


def test_dead_worker_without_runs_is_not_listed_for_ever(home, store):
    store.create_pool("p", "process")
    child = taking(home, "Pending", "worker")
    child.line()
    assert [one.is_alive for one in store.workers()] == [True]
    child.kill()

    assert [one.is_alive for one in store.workers()] == [False]
    store.reap()
    assert store.workers() == []


def test_dead_process_serves_nothing(home, store):
    order = store.add_order(declare(store, serve=True).id)
    child = taking(home)
    child.line()
    owner_id = child.line()
    store._do(lambda c: c.execute("UPDATE deployments SET server_id = ?", (owner_id,)))
    child.kill()

    assert not store.is_alive(owner_id)
    store.reap()
    assert store.find_deployment("d").server_id == ""
    assert store.find_run(order.run_id).state_name == "Crashed"


def test_what_ran_inside_is_crashed_with_it(store):
    store.add_order(declare(store, retries=1).id)
    (order,) = store.take_orders()
    inner = Run(RunKind.TASK, TaskSpec(fn=print, name="t"), parent_id=order.run_id)
    deeper = Run(RunKind.TASK, TaskSpec(fn=print, name="t"), parent_id=inner.id)
    done = Run(RunKind.TASK, TaskSpec(fn=print, name="t"), parent_id=order.run_id)
    for run in (inner, deeper, done):
        store.record(RunCreated(run, run.state))
    enter(store, done, "Completed")

    store.crash_run(order.run_id, store.owner_id, "its process was killed by signal 9")

    found = {run.id: store.find_run(run.id).state_name for run in (inner, deeper, done)}
    assert list(found.values()) == ["Crashed", "Crashed", "Completed"]
    assert store.find_run(order.run_id).state_name == "AwaitingRetry"
    assert store.find_run(inner.id).message == "its process was killed by signal 9"


@pytest.mark.parametrize("how", ["asked", "said"])
def test_cancelled_run_whose_process_was_killed_is_cancelled(store, how):
    store.add_order(declare(store, retries=5).id)
    (order,) = store.take_orders()
    if how == "asked":
        enter(store, run_of(order), "Cancelling")

    run = store.crash_run(order.run_id, store.owner_id, "killed", is_cancelled=how == "said")

    assert (run.state_name, store.take_orders()) == ("Cancelled", [])


def test_run_of_another_is_not_crashed(store, home):
    store.add_order(declare(store).id)
    (order,) = store.take_orders()
    child = Store(home, may_fall_back=False)
    child.adopt_order(order.run_id, store.owner_id)

    assert store.crash_run(order.run_id, store.owner_id, "?").state_name == "Pending"
    finish(child, order)
    assert store.crash_run(order.run_id, child.owner_id, "?").state_name == "Completed"
    child.close()


def test_process_that_lost_its_run_is_not_listened_to(store, home):
    """A worker that counted as dead and was not; the run is another's by now."""
    store.add_order(declare(store, retries=1).id)
    (order,) = store.take_orders()
    run = run_of(order)
    enter(store, run, "Running")
    other = Store(home, may_fall_back=False)
    other.crash_run(order.run_id, store.owner_id, "it seems to be dead")
    (again,) = other.take_orders()
    enter(other, run_of(again), "Running")

    enter(store, run, "Completed")
    store.record(LogEmitted(run, 20, "user", "said late", time.time(), True))
    store.flush()

    assert store.find_run(run.id).state_name == "Running"
    assert store.find_run(run.id).owner_id == other.owner_id
    finish(other, again)
    history = ["Scheduled", "Pending", "Running", "Crashed", "AwaitingRetry", "Pending", "Running"]
    lines = store.lines(run.id, inner=False)
    assert [line.state_name for line in lines if line.state_name] == [*history, "Completed"]
    assert [line.message for line in lines if not line.state_name] == ["said late"]
    other.close()


def test_next_run_of_a_schedule_waits_until_the_crash_is_known(home, store):
    schedule = scheduled(store)
    (order,) = fire(store, schedule, start=False).orders
    child = taking(home)
    child.line()
    child.kill()

    assert fire(store, schedule).orders[0].state_name == "Skipped"
    store.reap()
    assert fire(store, schedule).orders[0].state_name == "Pending"
    assert store.find_run(order.run_id).state_name == "Crashed"


def test_processes_long_gone_are_forgotten(home, store):
    store.add_order(declare(store).id)
    child = taking(home)
    child.line()
    owner_id = child.line()
    store.request(owner_id, "r", "cancel")
    old = time.time() - 30 * 86_400

    def age(connection):
        rows = [(f"{n:032x}", "here", 1, old) for n in range(20)]
        sql = "INSERT INTO owners (id, host, pid, started_at) VALUES (?, ?, ?, ?)"
        connection.executemany(sql, rows)
        connection.execute("UPDATE owners SET host = (SELECT max(host) FROM owners)")
        connection.execute("UPDATE owners SET started_at = ? WHERE id <> ?", (old, owner_id))
        connection.execute("INSERT INTO requests SELECT NULL, 'x', 'r', 'cancel', ?, ?", (old, old))

    import socket

    store._do(age)
    name = socket.gethostname()
    store._do(lambda c: c.execute("UPDATE owners SET host = ?", (name,)))
    child.kill()
    store.reap()

    # Itself, which lives for a month already, and the one that has just died.
    left = {row[0] for row in read(home, "SELECT id FROM owners")}
    assert left == {store.owner_id, owner_id}
    assert read(home, "SELECT owner_id FROM requests") == [(owner_id,)]


def test_run_that_waits_again_waits_where_its_deployment_is_now(store):
    store.create_pool("new", "process")
    record = declare(store, retries=1)
    store.add_order(record.id)
    (order,) = store.take_orders()
    store.move_deployment(record.id, "new")

    store.crash_run(order.run_id, store.owner_id, "it died")

    assert [one.run_id for one in store.take_orders(pool="new")] == [order.run_id]


def test_run_of_a_deleted_deployment_does_not_wait_for_ever(store):
    record = declare(store, retries=1)
    store.add_order(record.id)
    (order,) = store.take_orders()
    store.delete_deployment(record.id)

    assert store.crash_run(order.run_id, store.owner_id, "it died").state_name == "Crashed"

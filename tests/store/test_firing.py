"""One fire time is one run, whoever claims it; what it may not overlap decides its fate."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from children import read
from declared import (
    declare,
    enter,
    finish,
    fire,
    fire_of,
    past,
    run_of,
    schedule_spec,
    scheduled,
    states,
)

from nbflow.model.schedules import Fire, Firing, Overlap
from nbflow.model.states import StateType
from nbflow.store.store import Store


def test_fired_run_is_in_the_store_with_all_that_is_known(store):
    deployment = {"parameters": {"a": 1, "b": 1}, "tags": ("y", "x"), "retries": 2, "pool": "p"}
    schedule = scheduled(store, deployment, parameters={"b": 2})
    began = time.time()

    fired = fire(store, schedule, start=False)

    (order,) = fired.orders
    assert (fired.is_claimed, fired.next_at, fired.taken, fired.cancel) == (True, 160.0, (), ())
    assert order.parameters == {"a": 1, "b": 2}
    assert (order.cause, order.scheduled_at, order.due_at) == ("100.0", 100.0, 100.0)
    assert (order.retries_left, order.pool, order.schedule_id) == (2, "p", schedule.id)
    assert store.order(order.run_id) == order
    run = store.find_run(order.run_id)
    assert (run.state_name, run.state_type, run.owner_id) == ("Scheduled", StateType.SCHEDULED, "")
    assert (run.spec_name, run.name, run.flow_run_id) == ("f", order.run_name, run.id)
    assert (run.tags, run.inputs) == (["y", "x"], {"a": 1, "b": 2})
    assert (run.scheduled_at, run.ended_at, run.source) == (100.0, None, {"kind": "order"})
    assert began <= run.created_at <= time.time()
    assert states(store, run.id) == ["Scheduled"]
    assert store.orders(schedule_id=schedule.id) == [(order, run)]


def test_started_run_is_this_process_own(store):
    schedule = scheduled(store)

    fired = fire(store, schedule)

    (order,) = fired.taken
    run = store.find_run(order.run_id)
    assert (run.state_name, run.owner_id) == ("Pending", store.owner_id)
    assert states(store, run.id) == ["Scheduled", "Pending"]
    assert store.take_orders() == []


def test_second_claim_of_a_fire_time_gets_nothing(store, home):
    schedule = scheduled(store)
    other = Store(home, may_fall_back=False)
    wanted = [fire_of(schedule)]

    answers = [one.fire(wanted, start=True)[0] for one in (store, other, store)]

    assert [one.is_claimed for one in answers] == [True, False, False]
    assert [one.next_at for one in answers] == [160.0] * 3
    assert len(store.orders()) == 1
    other.close()


def test_fire_time_that_has_run_never_runs_again(store):
    """Not after a clock went back, nor when the schedule was deleted and declared anew."""
    schedule = scheduled(store)
    fire(store, schedule)
    store.delete_schedule(schedule.id)
    again = scheduled(store)

    fired = fire(store, again)

    assert (fired.is_claimed, fired.orders, fired.next_at) == (True, (), 160.0)
    assert len(store.orders()) == 1


@pytest.mark.parametrize("resting", ["schedule", "deployment", "deleted"])
def test_nothing_fires_that_rests(store, resting):
    schedule = scheduled(store)
    if resting == "schedule":
        store.pause_schedule(schedule.id, paused=True)
    elif resting == "deployment":
        store.pause_deployment(schedule.deployment_id, paused=True)
    else:
        store.delete_schedule(schedule.id)

    (fired,) = store.fire([fire_of(schedule)], start=True)

    assert (fired.is_claimed, fired.orders, fired.next_at) == (False, (), None)
    assert store.orders() == []


def test_deployment_that_goes_on_may_move_its_schedules(store):
    schedule = scheduled(store)
    store.pause_deployment(schedule.deployment_id, paused=True)
    store.pause_deployment(schedule.deployment_id, paused=False, next_at={schedule.id: 700.0})

    assert store.schedules()[0].next_at == 700.0


def test_event_is_claimed_by_its_cause(store):
    schedule = scheduled(store, first_at=None, overlap=Overlap.ALLOW)
    event = Fire(
        schedule_id=schedule.id,
        expected_at=None,
        firings=(Firing(cause="files-1", fire_at=5.0, due_at=5.0, message="files have changed"),),
        next_at=None,
    )
    other = replace(event, firings=(replace(event.firings[0], cause="files-2"),))

    answers = [store.fire([one], start=True)[0] for one in (event, event, other)]

    assert [one.is_claimed for one in answers] == [True, False, True]
    assert [order.cause for order, _ in store.orders()] == ["files-2", "files-1"]
    assert answers[0].orders[0].state_name == "Pending"


def test_missed_fire_times_are_recorded_and_over(store):
    schedule = scheduled(store)

    fired = fire(store, schedule, 100.0, 160.0, state="Missed")

    assert (fired.taken, fired.next_at) == ((), 220.0)
    for order in fired.orders:
        run = store.find_run(order.run_id)
        assert (run.state_name, run.state_type) == ("Missed", StateType.CANCELLED)
        assert run.ended_at is not None
    assert store.take_orders() == []
    assert fire(store, schedule).taken  # they stand in nobody's way


def test_run_with_jitter_waits_for_its_time(store):
    schedule = scheduled(store)
    due_at = time.time() + 1000

    fired = fire(store, schedule, due_at=due_at)

    assert (len(fired.orders), fired.taken) == (1, ())
    assert store.take_orders() == []
    assert store.next_order_at() == due_at


def test_start_takes_no_more_than_there_is_room_for(store):
    deployment = declare(store, *(schedule_spec(str(n)) for n in range(5)))
    fires = [fire_of(one) for one in store.schedules(deployment_ids=[deployment.id])]

    answers = store.fire(fires, start=True, limit=2)

    assert sum(len(one.taken) for one in answers) == 2
    assert sum(len(one.orders) for one in answers) == 5
    assert len(store.take_orders(deployment_ids=[deployment.id], limit=2)) == 2
    assert len(store.take_orders(deployment_ids=[deployment.id])) == 1


# --- overlap -------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["waiting", "begun", "ended"])
@pytest.mark.parametrize("overlap", Overlap)
def test_overlap(store, overlap, before):
    schedule = scheduled(store, overlap=overlap)
    (first,) = fire(store, schedule, start=before != "waiting").orders
    if before == "ended":
        finish(store, first)

    fired = fire(store, schedule)

    (second,) = fired.orders
    expected = {
        ("skip", "waiting"): "Skipped",
        ("skip", "begun"): "Skipped",
        ("queue", "waiting"): "Scheduled",
        ("queue", "begun"): "Scheduled",
        ("cancel", "begun"): "Scheduled",
    }.get((overlap.value, before), "Pending")
    assert second.state_name == expected
    is_cancelled = overlap is Overlap.CANCEL and before == "begun"
    assert fired.cancel == ((first.run_id,) if is_cancelled else ())
    gave_way = overlap is Overlap.CANCEL and before == "waiting"
    assert (store.find_run(first.run_id).state_name == "Cancelled") == gave_way


def test_skipped_run_says_why(store):
    schedule = scheduled(store)
    (first,) = fire(store, schedule).orders

    (second,) = fire(store, schedule).orders

    run = store.find_run(second.run_id)
    assert run.message == f"The run before it, {first.run_name!r}, had not ended"
    assert (run.ended_at is not None, states(store, run.id)) == (True, ["Skipped"])


@pytest.mark.parametrize("overlap", [Overlap.SKIP, Overlap.QUEUE, Overlap.CANCEL])
def test_fire_times_made_up_for_follow_one_another(store, overlap):
    schedule = scheduled(store, overlap=overlap)

    fired = fire(store, schedule, 100.0, 160.0, 220.0, state="Late")

    assert [one.cause for one in fired.orders] == ["100.0", "160.0", "220.0"]
    begun = list(fired.taken)
    while len(begun) < 3:
        assert store.take_orders() == []
        finish(store, begun[-1])
        (more,) = store.take_orders()
        begun.append(more)
    assert begun[0].cause == "100.0"
    assert [one.cause for one in begun] == ["100.0", "160.0", "220.0"]


def test_fire_times_that_may_overlap_begin_at_once(store):
    schedule = scheduled(store, overlap=Overlap.ALLOW)

    assert len(fire(store, schedule, 100.0, 160.0, 220.0).taken) == 3


def test_cancelled_run_is_followed_when_it_has_ended(store):
    schedule = scheduled(store, overlap=Overlap.CANCEL)
    (first,) = fire(store, schedule).taken
    (second,) = fire(store, schedule).orders
    assert store.take_orders() == []

    finish(store, first, "Cancelled")

    assert [one.run_id for one in store.take_orders()] == [second.run_id]


def test_run_of_another_schedule_is_no_overlap(store):
    deployment = declare(store, schedule_spec("a"), schedule_spec("b"))
    a, b = store.schedules(deployment_ids=[deployment.id])
    fire(store, a)
    store.add_order(deployment.id)

    assert len(fire(store, b).taken) == 1


# --- what the engine writes of a run that was asked for ------------------------------------------


def test_engine_carries_on_the_history_of_the_order(store):
    from nbflow.model.events import RunCreated

    schedule = scheduled(store)
    (order,) = fire(store, schedule).taken
    run = run_of(order)
    store.record(RunCreated(run, run.state))
    run.run_count, run.started_at = 1, 5.0
    enter(store, run, "Running")
    enter(store, run, "Completed")

    record = store.find_run(order.run_id)
    assert states(store, run.id) == ["Scheduled", "Pending", "Running", "Completed"]
    assert (record.state_name, record.run_count, record.started_at) == ("Completed", 1, 5.0)
    assert record.ended_at is not None
    assert record.owner_id == store.owner_id


def test_all_of_a_run_in_one_batch(store):
    from nbflow.model.events import RunCreated, StateChanged
    from nbflow.model.states import state_named

    (order,) = fire(store, scheduled(store)).taken
    run = run_of(order)
    store.record(RunCreated(run, run.state))
    for name in ("Running", "Completed"):
        store.record(StateChanged(run, state_named(name)))
    store.flush()

    assert store.find_run(order.run_id).state_name == "Completed"
    assert states(store, run.id) == ["Scheduled", "Pending", "Running", "Completed"]


def test_many_at_one_instant_are_one_transaction(store, home):
    declare(store, *(schedule_spec(f"{n}", parameters={"n": n % 7}) for n in range(2_000)))
    fires = [fire_of(one) for one in store.schedules()]

    answers = store.fire(fires, start=True)

    assert all(len(one.taken) == 1 for one in answers)
    assert read(home, "SELECT count(*), count(DISTINCT schedule_id) FROM orders") == [(2000, 2000)]
    times = past()
    assert {store.find_schedule(one.schedule_id).next_at for one in fires[:10]} == {160.0}
    assert next(times)


def test_queued_runs_keep_their_order(store):
    schedule = scheduled(store, overlap=Overlap.QUEUE)
    (first,) = fire(store, schedule).orders
    (second,) = fire(store, schedule).orders
    finish(store, first)

    (third,) = fire(store, schedule).orders

    assert third.state_name == "Scheduled"
    assert [one.run_id for one in store.take_orders()] == [second.run_id]


def test_deleting_a_run_does_not_free_its_fire_time(store):
    schedule = scheduled(store)
    fired = fire(store, schedule)
    (order,) = fired.orders
    finish(store, order)
    store.delete_run(order.run_id)

    again = Fire(
        schedule_id=schedule.id,
        expected_at=None,
        firings=(Firing(cause=order.cause, fire_at=1.0, due_at=1.0),),
        next_at=None,
    )

    assert store.fire([again], start=True)[0].orders == ()

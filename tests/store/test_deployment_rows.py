"""Deployments and schedules: declared again they stay, deleted they leave no run waiting."""

from __future__ import annotations

import time

import pytest
from declared import TRIGGER, declare, finish, fire, schedule_spec, scheduled, spec

from nbflow.errors import AmbiguousDeployment, DeploymentNotFound, ScheduleNotFound
from nbflow.model.deployments import DeploymentKind
from nbflow.model.schedules import CatchUp, Overlap

FULL = spec(
    kind=DeploymentKind.FUNCTION,
    target="nb.ipynb",
    snapshot=b"\0sealed",
    pool="p",
    place="/a/nb.ipynb",
    parameters={"x": [1, "é"], "y": None},
    tags=("b", "a"),
    description="told",
    version="1",
    retries=3,
    retry_delay_seconds=1.5,
    concurrency_limit=2,
    autotask=True,
    notify=("json://host",),
)


def test_deployment_comes_back_as_it_was_declared(store):
    record = store.put_deployment(FULL, [], serve=True)

    for name in FULL.__dataclass_fields__:
        assert getattr(record, name) == getattr(FULL, name)
    assert (record.server_id, record.is_paused) == (store.owner_id, False)
    assert store.find_deployment("f/d") == store.find_deployment("d") == record
    assert store.find_deployment(record.id) == record


def test_schedule_comes_back_as_it_was_declared(store):
    declared = schedule_spec(
        parameters={"x": 1},
        catch_up=CatchUp.ALL,
        overlap=Overlap.ALLOW,
        jitter_seconds=2.5,
        until_at=1e10,
    )
    record = declare(store, declared)

    (found,) = store.schedules(deployment_ids=[record.id])

    for name in ("name", "parameters", "catch_up", "overlap", "jitter_seconds", "until_at"):
        assert getattr(found, name) == getattr(declared, name)
    assert (found.trigger, found.next_at, found.is_active) == (TRIGGER, 100.0, True)


def test_declared_again_it_keeps_its_id_and_what_was_done_to_it(store):
    before = declare(store, schedule_spec(), serve=True)
    store.pause_deployment(before.id, paused=True)

    after = declare(store, schedule_spec(), tags=("new",))

    assert (after.id, after.created_at) == (before.id, before.created_at)
    assert (after.is_paused, after.server_id, after.tags) == (True, store.owner_id, ("new",))


AGAIN = {
    "unchanged": ({}, 160.0),
    "parameters": ({"parameters": {"x": 1}}, 160.0),
    "overlap": ({"overlap": Overlap.ALLOW}, 160.0),
    "trigger": ({"trigger": {"kind": "cron", "cron": "* * * * *"}}, 500.0),
    "until": ({"until_at": 900.0}, 500.0),
}


@pytest.mark.parametrize("case", AGAIN)
def test_schedule_declared_again_goes_on_where_it_was(store, case):
    changes, next_at = AGAIN[case]
    schedule = scheduled(store)
    fire(store, schedule)

    declare(store, schedule_spec(first_at=500.0, **changes))

    (again,) = store.schedules()
    assert (again.id, again.next_at) == (schedule.id, next_at)
    for name, value in changes.items():
        assert getattr(again, name) == value


@pytest.mark.parametrize(
    ("is_active", "expected"),
    [(None, (False, 100.0)), (True, (True, 500.0)), (False, (False, 100))],
)
def test_paused_schedule_declared_again(store, is_active, expected):
    """Where it is made active, it begins from now: its rest was no absence."""
    schedule = scheduled(store)
    store.pause_schedule(schedule.id, paused=True)

    declare(store, schedule_spec(first_at=500.0, is_active=is_active))

    (again,) = store.schedules()
    assert (again.is_active, again.next_at) == expected


def test_schedules_are_replaced_as_a_set(store):
    record = declare(store, schedule_spec("a"), schedule_spec("b"))
    (a,) = [one for one in store.schedules() if one.name == "a"]
    order = store.add_order(record.id, schedule_id=a.id)

    declare(store, schedule_spec("b"), schedule_spec("c"))

    assert [one.name for one in store.schedules()] == ["b", "c"]
    assert store.find_run(order.run_id).state_name == "Cancelled"


def test_schedules_may_be_left_as_they_are(store):
    declare(store, schedule_spec("a"))

    store.put_deployment(spec(version="2"), [], replace_schedules=False)

    assert [one.name for one in store.schedules()] == ["a"]


def test_deployments_are_found_by_what_is_asked(store):
    one = declare(store, name="a", pool="p", place="/x.ipynb")
    two = declare(store, name="b", pool="p")
    three = declare(store, name="a", flow_name="g")

    assert store.deployments() == [one, two, three]
    assert store.deployments(pool="p") == [one, two]
    assert store.deployments(place="/x.ipynb") == [one]
    assert store.deployments(name="a") == [one, three]
    assert store.deployments(name="g/a") == [three]
    assert store.deployments(ids=[two.id, "none"]) == [two]
    assert store.deployments(ids=[]) == []
    assert store.find_deployment("g/a") == three
    with pytest.raises(AmbiguousDeployment, match="give one of f/a, g/a"):
        store.find_deployment("a")
    with pytest.raises(DeploymentNotFound, match="nbflow deployment ls"):
        store.find_deployment("zzz")


def test_schedules_are_found_by_any_name_that_only_they_fit(store):
    declare(store, schedule_spec("daily"), schedule_spec("hourly"), name="a")
    declare(store, schedule_spec("daily"), name="b", pool="p")

    assert store.find_schedule("hourly").name == "hourly"
    found = store.find_schedule("f/a/daily")
    assert found == store.find_schedule(found.id) == store.find_schedule("a/daily")
    assert store.find_schedule("b") == store.find_schedule("f/b") == store.schedules(pool="p")[0]
    for name, text in (("daily", "fits 2 schedules.*f/a/daily, f/b/daily"), ("x", "no schedule")):
        with pytest.raises(ScheduleNotFound, match=text):
            store.find_schedule(name)


def test_one_that_serves_it_no_longer_does_not_unserve_another(store, home):
    from nbflow.store.store import Store

    record = declare(store, serve=True)
    other = Store(home, may_fall_back=False)
    other.serve_deployment(record.id)

    store.unserve_deployment(record.id)
    assert store.find_deployment("d").server_id == other.owner_id
    assert store.is_alive(other.owner_id)
    other.unserve_deployment(record.id)
    assert store.find_deployment("d").server_id == ""
    other.close()


def test_moved_deployment_takes_its_waiting_runs_along(store):
    record = declare(store)
    begun, waiting = store.add_order(record.id), store.add_order(record.id)
    store.take_orders(limit=1)

    store.create_pool("p", "process")
    store.move_deployment(record.id, "p")

    assert store.order(begun.run_id).pool is None
    assert [one.run_id for one in store.take_orders(pool="p")] == [waiting.run_id]


def test_deleted_deployment_leaves_its_runs_and_cancels_those_that_wait(store):
    schedule = scheduled(store)
    done = store.add_order(schedule.deployment_id)
    (begun,) = store.take_orders()
    finish(store, begun)
    waiting = store.add_order(schedule.deployment_id, due_at=time.time() + 1000)

    store.delete_deployment(schedule.deployment_id)

    assert store.deployments() == store.schedules() == []
    assert store.find_run(done.run_id).state_name == "Completed"
    assert store.find_run(waiting.run_id).state_name == "Cancelled"
    assert store.find_run(waiting.run_id).ended_at is not None
    assert store.take_orders() == []
    assert store.next_order_at() is None
    with pytest.raises(DeploymentNotFound):
        store.delete_deployment(schedule.deployment_id)


def test_run_that_is_deleted_takes_its_order_along(store):
    order = store.add_order(declare(store).id)
    store.claim_once(order.run_id, "told")

    assert store.delete_run(order.run_id) == 1

    assert store.order(order.run_id) is None
    assert store.take_orders() == []


@pytest.mark.parametrize("do", ["serve_deployment", "move_deployment", "pause_deployment"])
def test_what_is_not_there_is_said(store, do):
    more = {"move_deployment": ("p",), "pause_deployment": (True,)}.get(do, ())
    with pytest.raises(DeploymentNotFound):
        getattr(store, do)("nowhere", *more)

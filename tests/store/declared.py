"""Deployments and fire times for the tests of this folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from nbflow.model.deployments import DeploymentKind, DeploymentRecord, DeploymentSpec, OrderRecord
from nbflow.model.events import StateChanged
from nbflow.model.runs import Appointment, Run, RunKind
from nbflow.model.schedules import Fire, Firing, ScheduleRecord, ScheduleSpec
from nbflow.model.specs import FlowSpec
from nbflow.model.states import state_named
from nbflow.store.orders import Fired
from nbflow.store.store import Store

TRIGGER = {"kind": "interval", "seconds": 60}


def spec(name: str = "d", **fields: Any) -> DeploymentSpec:
    return DeploymentSpec(
        **{
            "flow_name": "f",
            "name": name,
            "kind": DeploymentKind.SCRIPT,
            "target": "/a/b.py:f",
            "folder": "/a",
            **fields,
        }
    )


def schedule_spec(name: str = "s", first_at: float | None = 100.0, **fields: Any) -> ScheduleSpec:
    return ScheduleSpec(**{"name": name, "trigger": TRIGGER, "first_at": first_at, **fields})


def declare(
    store: Store, *schedules: ScheduleSpec, serve: bool = False, **fields: Any
) -> DeploymentRecord:
    return store.put_deployment(spec(**fields), schedules, serve=serve)


def scheduled(store: Store, deployment: dict[str, Any] | None = None, **fields: Any) -> Any:
    """The one schedule of a new deployment."""
    record = declare(store, schedule_spec(**fields), **(deployment or {}))
    return store.schedules(deployment_ids=[record.id])[0]


def fire_of(schedule: ScheduleRecord, *at: float, state: str = "Scheduled", **fields: Any) -> Fire:
    """Its next fire times, up to now or `at`."""
    times = at or (schedule.next_at,)
    firings = tuple(
        Firing(cause=str(one), fire_at=one, due_at=fields.get("due_at", one), state=state)
        for one in times
    )
    return Fire(
        schedule_id=schedule.id,
        expected_at=schedule.next_at,
        firings=firings,
        next_at=times[-1] + 60,
    )


def fire(store: Store, schedule: ScheduleRecord, *at: float, **fields: Any) -> Fired:
    """Claim the next fire times of a schedule as the store has it now."""
    now = store.find_schedule(schedule.id)
    start = fields.pop("start", True)
    limit = fields.pop("limit", None)
    return store.fire([fire_of(now, *at, **fields)], start=start, limit=limit)[0]


def run_of(order: OrderRecord) -> Run:
    """The run that carries an order out, as the engine has it."""
    appointment = Appointment(
        run_id=order.run_id,
        name=order.run_name,
        deployment_id=order.deployment_id,
        origin_id=order.origin_id,
    )
    return Run(
        RunKind.FLOW,
        FlowSpec(fn=print, name="f"),
        name=order.run_name,
        id=order.run_id,
        appointment=appointment,
    )


def enter(store: Store, run: Run, name: str) -> None:
    """Have a run enter a state; it is on disk then."""
    run.state = state_named(name)
    store.record(StateChanged(run, run.state))
    store.flush()


def finish(store: Store, order: OrderRecord, name: str = "Completed") -> None:
    """End the run of an order, carried out by this process."""
    enter(store, run_of(order), name)


def states(store: Store, run_id: str) -> list[str | None]:
    """The history of a run."""
    return [line.state_name for line in store.lines(run_id, inner=False)]


def past() -> Iterator[float]:
    """Fire times that have come, one after another."""
    at = time.time() - 10_000
    while True:
        at += 1
        yield at

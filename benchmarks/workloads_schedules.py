"""nbflow's side of the rows about schedules: a server in this process, the store on disk."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks import due
from benchmarks.measuring import Measured
from nbflow import flow, runtime, wiring
from nbflow.model.deployments import DeploymentKind, DeploymentSpec
from nbflow.model.schedules import ScheduleSpec
from nbflow.scheduling.serving import current_server
from nbflow.triggers.date import DateTrigger
from nbflow.triggers.interval import IntervalTrigger
from nbflow.triggers.trigger import Trigger

_N_ORDERS = 10
_SCRIPT = """
from nbflow import flow

@flow
def picked():
    pass
"""

_late: list[float] = []


@flow
def note() -> None:
    """How long after its fire time it begins."""
    now = time.time()
    _late.append(now - runtime.flow_run.scheduled_start_time.timestamp())


def workloads(_: str) -> dict[str, Callable[[], Measured]]:
    """Every workload by the name it has in `rows_schedules`."""
    found: dict[str, Callable[[], Measured]] = {
        name: partial(spread, load) for name, load in due.LOADS.items()
    }
    return {**found, "due_at_once": at_once, "idle": idle, "pick_up": pick_up}


def spread(load: due.Load) -> Measured:
    begin_at = time.time() + 3 + load.n / 2_000
    firsts = load.first_times(begin_at)
    _serve([(IntervalTrigger(load.every_seconds, at), at) for at in firsts])
    due.until(begin_at + due.WATCH_SECONDS)
    n_due = load.n * due.WATCH_SECONDS / load.every_seconds
    return due.lateness(list(_late), int(n_due * 0.9))


def at_once() -> Measured:
    at = time.time() + 8
    _serve([(DateTrigger(at), at)] * due.N_AT_ONCE)
    if time.time() > at:
        raise RuntimeError("the schedules could not be added in time")
    due.wait_for(lambda: len(_late) == due.N_AT_ONCE, at - time.time() + 100, "all have run")
    return due.lateness(_late, due.N_AT_ONCE)


def idle() -> float:
    tomorrow = time.time() + 86_400
    deployment_id = _serve([(IntervalTrigger(86_400.0, tomorrow), tomorrow)] * due.N_AT_ONCE)
    time.sleep(3)
    share = due.busy_share(due.IDLE_SECONDS)
    # A scheduler that had died would have been idle as well.
    wiring.current().store.add_order(deployment_id)
    due.wait_for(lambda: _late, 10, "the scheduler is alive")
    return share


def pick_up() -> Measured:
    """Seconds from the order to the state Running: of a worker at rest, and of a busy one.

    They are two figures: a worker at rest has a process ready, which one that has just used it
    has not. Their common median would be anything between the two.
    """
    script = Path("picked.py").resolve()
    script.write_text(_SCRIPT, encoding="utf-8")
    store = wiring.current().store
    store.create_pool("bench", "process")
    spec = DeploymentSpec(
        flow_name="picked",
        name="bench",
        kind=DeploymentKind.SCRIPT,
        target=f"{script}:picked",
        folder=os.getcwd(),
        pool="bench",
    )
    deployment = store.put_deployment(spec, [])
    command = [sys.executable, "-m", "nbflow.cli.main", "worker", "start", "--pool", "bench"]
    worker = subprocess.Popen(command)
    try:
        due.wait_for(lambda: store.workers("bench"), 30, "the worker is up")
        _picked_up(deployment.id)
        at_rest = []
        for _ in range(_N_ORDERS):
            time.sleep(1)
            at_rest.append(_picked_up(deployment.id))
        busy = [_picked_up(deployment.id) for _ in range(2 * _N_ORDERS)]
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(30)
    return {"p50": statistics.median(at_rest), "last": max(at_rest + busy)}


def _picked_up(deployment_id: str) -> float:
    store = wiring.current().store
    began = time.time()
    order = store.add_order(deployment_id)
    due.wait_for(lambda: store.find_run(order.run_id).is_final, 60, "the run has ended")
    run = store.find_run(order.run_id)
    if run.state_name != "Completed" or run.started_at is None:
        raise RuntimeError(f"the run ended as {run.state_name}: {run.message}")
    return run.started_at - began


def _serve(planned: Sequence[tuple[Trigger, float]]) -> str:
    """Serve one deployment of `note` with these schedules, each with its first fire time.

    Gives its id.
    """
    spec = DeploymentSpec(
        flow_name="note",
        name="bench",
        kind=DeploymentKind.FUNCTION,
        target="bench",
        folder=os.getcwd(),
    )
    schedules = [
        ScheduleSpec(name=f"s{i}", trigger=trigger.to_json(), first_at=at)
        for i, (trigger, at) in enumerate(planned)
    ]
    record = wiring.current().store.put_deployment(spec, schedules, serve=True)
    current_server().serve(record, note)
    return record.id

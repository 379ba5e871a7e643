"""Each schedule with its next fire time and who will run it; work pools and their workers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from nbflow.console import duration
from nbflow.doctor.facts import Fact
from nbflow.errors import NbflowError
from nbflow.model.deployments import DeploymentKind, DeploymentRecord, PoolRecord, WorkerRecord
from nbflow.model.schedules import ScheduleRecord
from nbflow.store import health
from nbflow.store.store import Store
from nbflow.triggers.loading import load
from nbflow.triggers.preview import told

# The scheduler looks at least every half minute.
_OVERDUE_SECONDS = 90.0
_SILENT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _House:
    """Who there is to run something."""

    servers: dict[str, int]  # pid by owner id, of those that live
    pools: dict[str, PoolRecord]
    workers: dict[str, list[WorkerRecord]]  # living ones, by pool


def schedules(store: Store) -> Iterator[Fact]:
    """Every schedule: its words, when next, by whom."""
    house = _house(store)
    deployments = {one.id: one for one in store.deployments()}
    for schedule in store.schedules():
        deployment = deployments.get(schedule.deployment_id)
        if deployment is None:  # deleted meanwhile
            continue
        try:
            yield _of_schedule(schedule, deployment, house)
        except NbflowError as error:
            name = f"{deployment.full_name}/{schedule.name}"
            advice = f"nobody fires it: upgrade nbflow, or `nbflow schedule delete {name}`"
            yield Fact("schedules", name, str(error), advice)


def pools(store: Store) -> Iterator[Fact]:
    """Every work pool: its workers, what waits and runs."""
    house = _house(store)
    for pool in house.pools.values():
        workers = house.workers.get(pool.name, [])
        limit = "" if pool.concurrency_limit is None else f" of {pool.concurrency_limit}"
        text = f"{pool.kind}, {pool.n_running}{limit} running, {pool.n_waiting} waiting, "
        text += _names(workers) or "no worker"
        advice = ""
        if pool.is_paused:
            text += ", paused"
        if pool.n_waiting and pool.is_paused:
            advice = f"runs wait: go on with `nbflow work-pool resume {pool.name}`"
        elif pool.n_waiting and pool.concurrency_limit == 0:
            told = f"`nbflow work-pool clear-concurrency-limit {pool.name}`"
            advice = f"runs wait, and none may begin: lift the limit with {told}"
        elif pool.n_waiting and not workers:
            advice = f"runs wait: start a worker with `nbflow worker start --pool {pool.name}`"
        yield Fact("work pools", pool.name, text, advice)
        for worker in workers:
            silent = time.time() - worker.heartbeat_at
            if silent > _SILENT_SECONDS:
                text = f"worker {worker.name!r} (pid {worker.pid}) lives, but has said nothing"
                advice = "it was stopped or hangs: look at the process, or start another worker"
                yield Fact("work pools", pool.name, f"{text} for {duration(silent)}", advice)


def notices(store: Store) -> Iterator[Fact]:
    """Whether those can be told who want to be."""
    names = [one.full_name for one in store.deployments() if one.notify]
    if not names:
        return
    missing = find_spec("apprise") is None
    advice = "install apprise with `pip install 'nbflow[notify]'`" if missing else ""
    yield Fact("notices", "apprise", "missing" if missing else "installed", advice)
    yield Fact("notices", "of", ", ".join(sorted(names)))


def in_kernels(store: Store) -> bool:
    """Whether a living kernel has schedules to see to."""
    alive = _house(store).servers
    return any(_is_notebook(one.place) and one.server_id in alive for one in store.deployments())


def _house(store: Store) -> _House:
    found = health.processes(store.database.reader(), store.folder)
    workers: dict[str, list[WorkerRecord]] = {}
    for worker in store.workers():
        if worker.is_alive:
            workers.setdefault(worker.pool, []).append(worker)
    return _House(
        {process.id: process.pid for process in found},
        {pool.name: pool for pool in store.pools()},
        workers,
    )


def _of_schedule(schedule: ScheduleRecord, deployment: DeploymentRecord, house: _House) -> Fact:
    name = f"{deployment.full_name}/{schedule.name}"
    trigger = load(schedule.trigger)
    words = trigger.words()
    if not schedule.is_active or deployment.is_paused:
        what = "deployment" if schedule.is_active else "schedule"
        return Fact("schedules", name, f"{words}; paused: `nbflow {what} resume`")
    if schedule.next_at is None and schedule.trigger["kind"] not in ("files", "after"):
        return Fact("schedules", name, f"{words}; it has ended")
    when = "" if schedule.next_at is None else f"; next {told(schedule.next_at, trigger.timezone)}"
    who, advice = _who(schedule, deployment, house)
    overdue = 0.0 if schedule.next_at is None else time.time() - schedule.next_at
    if not advice and who and overdue > _OVERDUE_SECONDS:
        advice = f"it is {duration(overdue)} overdue: {who} may hang; look at it, or end it"
    return Fact("schedules", name, f"{words}{when}; by {who or 'nobody'}", advice)


def _who(schedule: ScheduleRecord, deployment: DeploymentRecord, house: _House) -> tuple[str, str]:
    """Who will run a deployment, and what is to be done if nobody will."""
    pid = house.servers.get(deployment.server_id)
    if pid is not None:
        what = "kernel" if _is_notebook(deployment.place) else "process"
        return f"{what} pid {pid} of {deployment.place or deployment.target}", ""
    if deployment.pool is None:
        return "", _gone(schedule, deployment)
    name = deployment.pool
    pool = house.pools.get(name)
    if pool is None:
        kind = "notebook" if deployment.kind is DeploymentKind.NOTEBOOK else "process"
        advice = f"there is no pool {name!r}: `nbflow work-pool create --type {kind} {name}`"
        return "", advice
    if pool.kind == "notebook" and deployment.kind is not DeploymentKind.NOTEBOOK:
        return "", f"pool {name!r} runs notebooks only: deploy it to a pool of type process"
    if pool.is_paused:
        return f"nobody while pool {name!r} is paused", ""
    if pool.concurrency_limit == 0:
        return f"nobody while the limit of pool {name!r} is 0", ""
    workers = house.workers.get(name)
    if not workers:
        return "", f"pool {name!r} has no worker: `nbflow worker start --pool {name}`"
    return f"{_names(workers)} of pool {name!r}", ""


def _gone(schedule: ScheduleRecord, deployment: DeploymentRecord) -> str:
    place = deployment.place or deployment.target
    if _is_notebook(place) and _is_in_memory_only(deployment):
        return f"its flow was kept in memory only: run the cell again that schedules it, in {place}"
    if place.endswith(os.sep):
        return f"no kernel serves it: run `%load_ext nbflow` in its notebook, in {place}"
    if _is_notebook(place):
        hand_over = f"%schedule --hand-over {schedule.name} --pool POOL"
        return (
            f"no kernel of {place} is alive: open it and run `%load_ext nbflow`, "
            f"then it can be handed to a worker with `{hand_over}`"
        )
    return f"the process that served it is gone: run {place} again, or deploy it to a work pool"


def _is_notebook(place: str) -> bool:
    """Whether a kernel declared it; a folder stands for a notebook whose path is not known."""
    return place.endswith((".ipynb", os.sep))


def _is_in_memory_only(deployment: DeploymentRecord) -> bool:
    return deployment.kind is DeploymentKind.FUNCTION and deployment.snapshot is None


def _names(workers: list[WorkerRecord]) -> str:
    names = ", ".join(repr(one.name) for one in workers[:3])
    more = f" and {len(workers) - 3} more" if len(workers) > 3 else ""
    return f"worker{'s' if len(workers) > 1 else ''} {names}{more}" if workers else ""

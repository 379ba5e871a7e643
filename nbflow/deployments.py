"""Flows that workers run: deploying them, and asking for runs of them."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from nbflow import wiring
from nbflow.errors import NbflowError
from nbflow.model.deployments import DeploymentRecord, OrderRecord
from nbflow.model.records import RunRecord
from nbflow.scheduling.declaring import Deployment
from nbflow.scheduling.handles import is_in_run
from nbflow.scheduling.kept_parameters import check_json
from nbflow.scheduling.runners import Runners
from nbflow.scheduling.telling import next_text
from nbflow.store.store import Store
from nbflow.triggers.texts import instant, local_zone_name

__all__ = ["deploy", "run_deployment"]

logger = logging.getLogger(__name__)

# Who hears a bell need not look; this is for processes that died without ringing.
_LOOK_SECONDS = 0.5


def deploy(*deployments: Deployment, work_pool_name: str | None = None) -> list[str]:
    """Have the workers of a work pool run deployments by their schedules; gives their ids.

    Prints one line about each. Schedules that a deployment of the same names had before are deleted
    unless they are declared again, and named. Where one is replaced that ran something else, a line
    on stderr says so. In a script or notebook that a worker runs it does nothing.

    Args:
        deployments: As `flow.to_deployment(...)` gives them.
        work_pool_name: For those that name no pool.

    Raises:
        PoolNotFound: There is no such pool; says how to create it.
        NotPicklable: A flow uses something that cannot go to another process; names it.
        NbflowError: No pool was named.
    """
    __tracebackhide__ = True
    store = wiring.current().store
    if is_in_run():
        return [_id_of(store, one) for one in deployments]
    try:
        return _deploy(store, deployments, work_pool_name)
    except NbflowError as error:
        # Of what the caller has written: no line of ours would tell more.
        raise error.with_traceback(None) from error.__cause__


def _id_of(store: Store, deployment: Deployment) -> str:
    """Its id; empty: it is not in the store."""
    found = _named(store, deployment.full_name)
    return "" if found is None else found.id


def _deploy(
    store: Store, deployments: Collection[Deployment], work_pool_name: str | None
) -> list[str]:
    pools = [one.spec.pool or work_pool_name or _no_pool(one, store) for one in deployments]
    # All of them before any is written.
    sealed = [one.sealed(pool) for one, pool in zip(deployments, pools, strict=True)]
    ids = []
    for one in sealed:
        before, had = _named(store, one.full_name), _schedule_names(store, one.full_name)
        record = one.apply()
        gone = sorted(had - _schedule_names(store, one.full_name))
        replaced = replaced_text(before, record, gone)
        if replaced:
            sys.stderr.write(f"nbflow: {replaced}\n")
        removed = f"; deleted schedule {', '.join(gone)}" if gone and not replaced else ""
        sys.stdout.write(f"{deployed_text(store, record)}{removed}\n")
        ids.append(record.id)
    return ids


def _named(store: Store, full_name: str) -> DeploymentRecord | None:
    found = [one for one in store.deployments(name=full_name) if one.full_name == full_name]
    return found[0] if found else None


def _schedule_names(store: Store, full_name: str) -> set[str]:
    found = _named(store, full_name)
    ids = [] if found is None else [found.id]
    return {one.name for one in store.schedules(deployment_ids=ids)}


def replaced_text(
    before: DeploymentRecord | None, now: DeploymentRecord, gone: Collection[str]
) -> str:
    """What a deployment has replaced that ran something else; empty: nothing.

    Args:
        gone: Names of schedules that were deleted with it.
    """
    if before is None or _what(before) == _what(now):
        return ""
    told = f"replaces {now.full_name}, which was {before.kind.value} {before.target}"
    if before.target == now.target and before.place != now.place:
        told += f" of {before.place or 'a script'}"
    if not gone:
        return told
    names = ", ".join(sorted(gone))
    return f"{told}; its schedule{'s' if len(gone) > 1 else ''} {names} " + (
        "are deleted" if len(gone) > 1 else "is deleted"
    )


def _what(one: DeploymentRecord) -> tuple[str, str, str]:
    return one.kind.value, one.target, one.place


def deployed_text(store: Store, record: DeploymentRecord) -> str:
    """One line for people: what was deployed, who runs it, and when."""
    workers = [one for one in store.workers(record.pool) if one.is_alive]
    if workers:
        by = f"{len(workers)} worker{'s' if len(workers) > 1 else ''} of pool {record.pool!r}"
    else:
        by = f"pool {record.pool!r} (start a worker: nbflow worker start --pool {record.pool})"
    if Runners(store).is_served(record):
        by = f"the process that serves it while that lives, then to {by}"
    now = time.time()
    schedules = store.schedules(deployment_ids=[record.id])
    times = [next_text(one, now, is_paused=record.is_paused) for one in schedules]
    when = (
        f"next: {', '.join(times)}"
        if times
        else f"run it: nbflow deployment run {record.full_name}"
    )
    return f"deployed {record.full_name} to {by}; {when}"


def run_deployment(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    scheduled_time: str | date | None = None,
    flow_run_name: str | None = None,
    tags: Collection[str] | None = None,
) -> RunRecord:
    """Have a deployment run once, by its worker or by the process that serves it.

    Waits until the run has ended, whatever its final state, and gives the run as it is then. May
    be called inside a flow; the flow's task runners do not wait meanwhile.

    Args:
        name: `flow/deployment`, the deployment's name, or its id.
        parameters: On top of the deployment's.
        timeout: Seconds to wait for its end; 0: do not wait. None: as long as it takes.
        scheduled_time: When it may begin; None: now.
        flow_run_name: Default: one of nbflow's friendly names.
        tags: On top of the deployment's.

    Raises:
        DeploymentNotFound, AmbiguousDeployment: Which deployments there are.
        ParameterError: A parameter is not JSON.
        NbflowError: Nobody would run it, so that waiting would never end.
    """
    store = wiring.current().store
    order = order_run(
        store,
        name,
        parameters,
        scheduled_time=scheduled_time,
        flow_run_name=flow_run_name,
        tags=tags,
        waits=timeout is None or timeout > 0,
    )
    return ended_run(store, order.run_id, timeout)


def order_run(
    store: Store,
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    scheduled_time: str | date | None = None,
    flow_run_name: str | None = None,
    tags: Collection[str] | None = None,
    schedule_id: str | None = None,
    waits: bool = False,
) -> OrderRecord:
    """Ask for a run of a deployment, as `run_deployment`; returns when that is on disk.

    Args:
        schedule_id: The schedule whose parameters it has, and to whose runs it counts.
        waits: Whether somebody waits for its end: then it is an error that nobody would run it,
            not a warning.
    """
    deployment = store.find_deployment(name)
    check_json(deployment.flow_name, parameters or {})
    due_at = None
    if scheduled_time is not None:
        due_at = instant(scheduled_time, local_zone_name(), "scheduled_time")
    _check_somebody_runs_it(store, deployment, waits=waits)
    return store.add_order(
        deployment.id,
        parameters=dict(parameters or {}),
        due_at=due_at,
        run_name=flow_run_name,
        tags=tuple(tags or ()),
        schedule_id=schedule_id,
    )


def ended_run(store: Store, run_id: str, timeout: float | None = None) -> RunRecord:
    """A run as it is when it has ended, or after `timeout` seconds."""
    end = None if timeout is None else time.monotonic() + timeout
    record = store.find_run(run_id)
    if record.is_final or timeout == 0:
        return record
    bell = store.bell()
    try:
        while True:
            record = store.find_run(run_id)
            left = _LOOK_SECONDS if end is None else end - time.monotonic()
            if record.is_final or left <= 0:
                return record
            # In short steps: a flow that is cancelled meanwhile must notice.
            if not bell.wait(min(left, _LOOK_SECONDS)):
                store.reap()
    finally:
        bell.close()


def _check_somebody_runs_it(store: Store, deployment: DeploymentRecord, *, waits: bool) -> None:
    """Raise, or warn where nobody waits, if nothing that there is would ever run it."""
    told = ""
    runners = Runners(store)
    is_served = runners.is_served(deployment)
    trouble = None if deployment.pool is None else runners.trouble(deployment.pool)
    if deployment.is_paused:
        told = f"it is paused; resume it with `nbflow deployment resume {deployment.full_name}`"
    elif not is_served and deployment.pool is None:
        told = (
            "it has no work pool and no process serves it; call its flow's serve() again, or "
            "deploy it with work_pool_name="
        )
    elif not is_served and deployment.pool is not None and not runners.has_pool(deployment.pool):
        told = f"there is no work pool {deployment.pool!r} any more; deploy it to another one"
    if told and waits:
        raise NbflowError(f"nobody would run {deployment.full_name}: {told}")
    if told:
        logger.warning("nobody runs %s yet: %s", deployment.full_name, told)
    elif not is_served and trouble is not None:
        logger.warning(
            "%s waits for a worker of pool %r: %s: %s",
            deployment.full_name,
            deployment.pool,
            trouble.text,
            trouble.advice,
        )


def _no_pool(deployment: Deployment, store: Store) -> str:
    pools = ", ".join(repr(pool.name) for pool in store.pools())
    create = "create one with `nbflow work-pool create --type process NAME`"
    raise NbflowError(
        f"deployment {deployment.full_name} names no work pool; give work_pool_name= "
        f"({f'there is {pools}' if pools else create}), or use serve() to run it in this process"
    )

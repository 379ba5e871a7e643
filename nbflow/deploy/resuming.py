"""Runs that failed, started again from what they had completed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, chdir, nullcontext
from pathlib import Path
from typing import Any

from nbflow import wiring
from nbflow.deploy.executing import execute
from nbflow.deploy.notebooks import run_notebook
from nbflow.deploy.scripts import load_flow, run_as
from nbflow.errors import NbflowError
from nbflow.flow_runs import ask
from nbflow.flows import Flow
from nbflow.model.deployments import DeploymentRecord, OrderRecord
from nbflow.model.ids import new_id
from nbflow.model.records import RunRecord
from nbflow.model.runs import Appointment, RunKind
from nbflow.model.states import StateType
from nbflow.store.store import Store

_MOST_LATER_RUNS = 10_000


def resume(
    run: str,
    *,
    flows: Mapping[str, Any] | None = None,
    notebook: Callable[..., object] = run_notebook,
) -> RunRecord:
    """Let a paused flow run go on, or start one again that did not complete, as a new run.

    The new run uses the results of the tasks and cells that had completed in it, and in the runs
    it went on from. It is carried out as the first one was: by the workers or the server of its
    deployment, or else here, which blocks until it has ended.

    Args:
        run: Its id, the first digits of it, or its name.
        flows: Where flows that were called by hand are looked up, such as a notebook's variables.
        notebook: Called in place of `run_notebook`.

    Returns:
        The run that goes on: the new one, or the one that was paused.

    Raises:
        RunNotFound: There is none.
        NbflowError: There is nothing to go on from, or nobody knows how the run was started.
        Exception: What the flow raises, where it is carried out here.
    """
    connected = wiring.current()
    store = connected.store
    store.flush()
    store.reap()
    record = store.find_run(run)
    if record.state_type is StateType.PAUSED:
        return ask(record.id, "resume")
    # Of several that resume it at once, one does: the others would do all that is left as well.
    claim = connected.results.claim(f"resume-of-{_origin(record)}", record.id)
    if claim is None:
        raise NbflowError(f"{record.label} is being resumed by another process right now")
    with claim:
        _check(store, record)
        return _again(store, record, flows or {}, notebook)


def _again(
    store: Store, record: RunRecord, flows: Mapping[str, Any], notebook: Callable[..., object]
) -> RunRecord:
    order = store.order(record.id)
    if order is not None:
        return _order_again(store, record, order)
    source = record.source or {}
    kind, parameters = source.get("kind"), source.get("parameters")
    if kind == "order":
        raise _deployment_gone(record)
    if kind is None or parameters is None:
        raise NbflowError(
            f"nobody knows how {record.label} was started, as not all of its arguments are small "
            f"and plain; call {record.spec_name!r} again"
        )
    again = Appointment(
        run_id=new_id(),
        name="",
        origin_id=_origin(record),
        is_resumable=kind != "call",  # as the first one
        source=source,
    )
    if kind == "notebook":
        _notebook_again(notebook, record, source, again)
    elif kind == "script":
        with _in_folder(source["folder"]):
            run_as(again, load_flow(source["target"]), parameters)
    else:
        run_as(again, _flow_named(record, flows), parameters)
    store.flush()
    return store.find_run(again.run_id)


def _check(store: Store, record: RunRecord) -> None:
    """Raise the reason why there is nothing to go on from."""
    if record.parent_id is not None:
        outer = store.find_run(min(store.ancestors(record.id)))  # ids grow with time
        raise NbflowError(
            f"{record.label} is a part of {outer.label}; resume that: `nbflow resume {outer.name}`"
        )
    if record.kind is RunKind.TASK:
        raise NbflowError(f"{record.label} is of no flow run, and only these can be resumed")
    _check_state(record, record.label)
    for one in store.runs(outermost=True, name=record.spec_name, limit=_MOST_LATER_RUNS):
        goes_on = one.id > record.id and _origin(one) == _origin(record)
        if goes_on and (one.state_type is StateType.COMPLETED or not one.is_final):
            _check_state(one, f"{record.label} was resumed as {one.name!r}, which")


def _check_state(record: RunRecord, label: str) -> None:
    if record.state_type is StateType.COMPLETED:
        raise NbflowError(f"{label} has completed; there is nothing left to do")
    if not record.is_final:
        raise NbflowError(
            f"{label} is {record.state_name}; a run can be resumed when it is paused, has failed "
            f"or was cancelled (`nbflow cancel {record.name}`)"
        )


def _origin(record: RunRecord) -> str:
    return record.origin_id or record.id


# --- each in its way ----------------------------------------------------------------------------


def _notebook_again(
    notebook: Callable[..., object],
    record: RunRecord,
    source: Mapping[str, Any],
    again: Appointment,
) -> None:
    path = Path(source["target"])
    if not path.is_file():
        raise NbflowError(f"the notebook of {record.label} is gone: {path}")
    notebook(
        path,
        parameters=source["parameters"],
        output=Path(source["output"]),
        autotask=bool(source.get("autotask")),
        allow_errors=bool(source.get("allow_errors")),
        appointment=again,
    )


def _flow_named(record: RunRecord, flows: Mapping[str, Any]) -> Flow[..., Any]:
    name = record.spec_name
    found = [one for one in flows.values() if isinstance(one, Flow) and one.name == name]
    if not found:
        raise NbflowError(
            f"{record.label} was a call of {name!r} in a notebook or a script; resume it in a "
            f"notebook that defines this flow (`%nbflow resume {record.name}`), or with "
            f"nbflow.deploy.resuming.resume({record.name!r}, flows={{...}}). Flows that are run "
            "with `nbflow run script.py:flow` can be resumed from anywhere"
        )
    if found[-1].spec.colour.yields:
        raise NbflowError(f"flow {name!r} yields its values to who calls it; call it again")
    return found[-1]


def _order_again(store: Store, record: RunRecord, order: OrderRecord) -> RunRecord:
    """Ask for the run again; carry it out here if there is nobody else who would."""
    deployment = next(iter(store.deployments(ids=[order.deployment_id])), None)
    if deployment is None:
        raise _deployment_gone(record)
    # Its planned time stays: which day's report it is may hang on that.
    again = store.add_order(
        deployment.id,
        parameters=dict(order.parameters),
        due_at=order.scheduled_at,
        tags=order.tags,
        origin_id=_origin(record),
        schedule_id=order.schedule_id,
    )
    store.claim_once(again.run_id, "late")  # nobody needs to hear that it begins after that
    if not _is_served(store, deployment):
        _carry_out(store, deployment, again.run_id)
    return store.find_run(again.run_id)


def _deployment_gone(record: RunRecord) -> NbflowError:
    return NbflowError(f"the deployment of {record.label} was deleted; deploy it again")


def _carry_out(store: Store, deployment: DeploymentRecord, run_id: str) -> None:
    """Begin runs of the deployment here until that one has been: it is not always the first."""
    taken: list[OrderRecord] = [*store.take_orders(deployment_ids=[deployment.id], limit=1)]
    while taken:
        order = taken.pop()
        with _in_folder(deployment.folder):
            execute(order, deployment)
        if order.run_id != run_id:
            taken += store.take_orders(deployment_ids=[deployment.id], limit=1)
    store.flush()


def _in_folder(folder: str) -> AbstractContextManager[None]:
    """The working directory of the first run; one that is gone, the flow has to do without."""
    return chdir(folder) if os.path.isdir(folder) else nullcontext()


def _is_served(store: Store, deployment: DeploymentRecord) -> bool:
    """Whether a process lives that begins runs of the deployment."""
    if deployment.server_id and store.is_alive(deployment.server_id):
        return True
    pool = deployment.pool
    return pool is not None and any(one.is_alive for one in store.workers(pool))

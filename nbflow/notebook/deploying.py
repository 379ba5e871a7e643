"""What a notebook schedules, as deployments: its own task cells, or one of its flows."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from nbflow.deployments import replaced_text
from nbflow.errors import NotPicklable
from nbflow.flows import Flow
from nbflow.model.deployments import (
    DeploymentKind,
    DeploymentRecord,
    DeploymentSpec,
    PoolRecord,
)
from nbflow.model.schedules import ScheduleRecord
from nbflow.notebook.shells import flows_in
from nbflow.notebook.snapshot import snapshot
from nbflow.schedules import Schedule
from nbflow.scheduling.declaring import Deployment, check_pool, declare, declare_notebook
from nbflow.scheduling.snapshots import sealed_flow

if TYPE_CHECKING:
    from nbflow.notebook.session import Session

_FIELDS = fields(DeploymentSpec)


@dataclass(frozen=True, slots=True)
class Deployed:
    """What was written to the store.

    Attributes:
        before: The schedule whose place it took, if there was one.
        replaced: What else it took the place of, if it was something else that ran.
        note: What the user has to know about it; empty: nothing.
    """

    record: DeploymentRecord
    before: ScheduleRecord | None
    replaced: str = ""
    note: str = ""


def stem_of(place: str) -> str:
    """What a notebook's flow is called."""
    return Path(place).stem if place.endswith(".ipynb") else "notebook"


def deploy_notebook(
    session: Session, name: str, schedule: Schedule, options: dict[str, Any]
) -> Deployed:
    """The task cells as they are now, to be run in a kernel of their own each time.

    Raises:
        UsageError: A cell needs what a new kernel would not have.
        NbflowError: An option does not take its value.
    """
    taken = snapshot(session, options["parameters"])
    made = declare_notebook(
        session.place,
        taken.text,
        name,
        flow_name=stem_of(session.place),
        schedules=[schedule],
        autotask=taken.autotask,
        folder=os.getcwd(),
        place=session.place,
        **options,
    )
    other, before = _before(session, made, schedule)
    note = "its cells as they are now: run this again when they have changed"
    record = made.apply(serve=True)
    return Deployed(record, before, _replaced(other, record), note)


def deploy_flow(
    session: Session, flow: Flow[..., Any], name: str, schedule: Schedule, options: dict[str, Any]
) -> Deployed:
    """A flow, to be run in this kernel, and in a later one as it is now.

    Raises:
        NbflowError: An option does not take its value.
    """
    made = declare(flow, name, schedules=[schedule], place=session.place, **options)
    other, before = _before(session, made, schedule)
    note = ""
    if made.spec.kind is DeploymentKind.FUNCTION and made.spec.pool is None:
        folder = session.watch().store.folder
        try:
            sealed = sealed_flow(flow.newest_spec.owner, made.spec, folder)
            made = replace(made, spec=replace(made.spec, snapshot=sealed))
        except NotPicklable as error:  # as good as ever while this kernel lives
            reason = str(error).replace("cannot be deployed", "is not kept", 1)
            note = f"it ends with this kernel: {reason}"
    record = made.apply(serve=True)
    return Deployed(record, before, _replaced(other, record), note)


def hand_over(session: Session, deployment: DeploymentRecord, pool: PoolRecord) -> None:
    """Leave a deployment to the workers of a pool, with all they need to run it.

    Raises:
        NbflowError: They cannot; says why.
    """
    store = session.watch().store
    check_pool(deployment, pool)
    if deployment.kind is not DeploymentKind.FUNCTION or deployment.snapshot is not None:
        store.move_deployment(deployment.id, pool.name)
        return
    flows = [one for one in flows_in(session.shell).values() if one.name == deployment.flow_name]
    if not flows:
        raise UsageError(
            f"the code of {deployment.full_name} was not kept, and the notebook has no flow "
            f"{deployment.flow_name!r}; run the cell that defines it, then this again"
        )
    spec = DeploymentSpec(**{one.name: getattr(deployment, one.name) for one in _FIELDS})
    sealed = sealed_flow(flows[-1].newest_spec.owner, spec, store.folder)
    spec = replace(spec, pool=pool.name, snapshot=sealed)
    store.put_deployment(spec, (), replace_schedules=False)


def _replaced(before: DeploymentRecord | None, now: DeploymentRecord) -> str:
    """What ran under its name before, and who ran it, where that was something else."""
    told = replaced_text(before, now, ())
    if before is None or before.pool is None or before.pool == now.pool:
        return told
    left = (
        f"the workers of pool {before.pool!r} do not run it any more; with --pool {before.pool} "
        "they do when this kernel has ended"
    )
    return f"{told}; {left}" if told else left


def _before(
    session: Session, made: Deployment, schedule: Schedule
) -> tuple[DeploymentRecord | None, ScheduleRecord | None]:
    """The deployment and the schedule that it replaces.

    Raises:
        UsageError: It belongs to another notebook.
    """
    store = session.watch().store
    found = store.deployments(name=made.full_name)
    if not found:
        return None, None
    (other,) = found
    if other.place not in ("", session.place) and os.path.exists(other.place):
        raise UsageError(
            f"{made.full_name} is the schedule of {other.place}; give this one another name, as in "
            f"--name {made.name}-2, or delete that one: !nbflow deployment rm {made.full_name}"
        )
    schedules = store.schedules(deployment_ids=[other.id])
    wanted = schedule.name or made.name
    return other, next((one for one in schedules if one.name == wanted), None)

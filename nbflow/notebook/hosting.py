"""A kernel as the host of its notebook's schedules: their runs, and taking them up again."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from nbflow.model.deployments import DeploymentKind, DeploymentRecord, OrderRecord
from nbflow.model.schedules import ScheduleRecord
from nbflow.notebook.figures import own_figures, unwatch
from nbflow.notebook.recording import unshown
from nbflow.notebook.shells import LiveName, flows_in
from nbflow.settings import notebook_path

if TYPE_CHECKING:
    from nbflow.notebook.session import Session
    from nbflow.scheduling.serving import Server
    from nbflow.wiring import Wiring

# What has to do with schedules is imported where there are some: `%load_ext` stays quick.

logger = logging.getLogger(__name__)

_MOST_COUNTED = 1_000
#: Whether the code at hand is a run that this kernel carries out for a schedule.
_is_hosted: ContextVar[bool] = ContextVar("nbflow_is_hosted", default=False)


def place_of(shell: Any) -> str:
    """The notebook, as its schedules name it; a text of its own where its path is not known."""
    path = str(notebook_path() or shell.user_ns.get("__vsc_ipynb_file__", ""))
    # The path alone where it is known: a cell may change the working directory.
    return path if os.path.isabs(path) else os.path.join(os.getcwd(), path)


def is_hosted() -> bool:
    """Whether the code at hand runs for a schedule: no cell is the one to show what it does."""
    return _is_hosted.get()


def server_of(session: Session) -> Server:
    """This process' server, made if there is none, ready for what a notebook needs."""
    from nbflow.scheduling.serving import current_server

    server = current_server()
    if server is not session.equipped:
        _equip(session, server)
    return server


def existing_server(session: Session) -> Server | None:
    """This process' server, if something has made one: `%schedule`, or a flow's `serve`."""
    found = _server_of(session.watch())
    if found is not None and found is not session.equipped:
        _equip(session, found)
    return found


def serves(connected: Wiring) -> bool:
    """Whether schedules are this process' to fire."""
    server = _server_of(connected)
    return server is not None and bool(server.served)


def give_up(session: Session) -> None:
    """Serve nothing any more; a session to come takes it up again. Runs in flight go on."""
    unwatch()
    connected = session._wiring
    server = None if connected is None else _server_of(connected)
    if server is not None:
        for deployment_id in server.served:
            server.stop(deployment_id)


def _server_of(connected: Wiring) -> Server | None:
    serving = sys.modules.get("nbflow.scheduling.serving")
    return None if serving is None else serving.existing_server(connected)


def _equip(session: Session, server: Server) -> None:
    session.equipped = server
    server.equip(
        executors=dict.fromkeys(DeploymentKind, _execute),
        around=_hosted,
    )


def _execute(order: OrderRecord, deployment: DeploymentRecord) -> None:
    from nbflow.deploy.executing import execute

    execute(order, deployment)


@contextmanager
def _hosted() -> Iterator[None]:
    """Around a run: what it prints and displays goes to its log, and to no cell."""
    token = _is_hosted.set(True)
    try:
        with unshown(), own_figures():
            yield
    finally:
        _is_hosted.reset(token)


# --- after a restart ----------------------------------------------------------------------------


def take_up(session: Session) -> None:
    """Serve again what this notebook has scheduled in an earlier kernel, and tell in one line.

    Not in a kernel that carries out a run itself: it is gone when that has ended. Never fails: a
    notebook whose store is broken can be used.
    """
    settings = session.watch().settings
    if settings.parent_run or not os.path.exists(settings.home / "nbflow.db"):
        return
    try:
        told = _take_up(session)
    except Exception as error:
        logger.warning("the notebook's schedules could not be taken up again: %s", error)
        logger.debug("taking up", exc_info=True)
        return
    if told:
        print(f"nbflow: {told}")  # noqa: T201  (so that nobody wonders)


def _take_up(session: Session) -> str:
    store = session.watch().store
    # What has a pool is its workers' once the kernel that declared it has ended.
    deployments = [one for one in store.deployments(place=session.place) if one.pool is None]
    if session.place.endswith(os.sep):  # any notebook of the folder: this one may be another
        deployments = [one for one in deployments if not store.is_alive(one.server_id)]
    if not deployments:
        return ""
    lost = [one for one in deployments if not _has_code(one)]
    deployments = [one for one in deployments if one not in lost]
    schedules = store.schedules(deployment_ids=[one.id for one in deployments])
    n_missed = sum(map(_missed, (one for one in schedules if one.is_active)))
    names = session.shell.user_ns
    flows = {one.name: LiveName(names, name, one) for name, one in flows_in(session.shell).items()}
    for one in deployments:
        store.serve_deployment(one.id)
        # After %reload_ext the flow is still there, and may be newer than what was kept.
        flow = None if one.kind is DeploymentKind.NOTEBOOK else flows.get(one.flow_name)
        server_of(session).serve(one, flow)
    session.keep_alive.wake()
    ids = [one.id for one in lost if not store.is_alive(one.server_id)]
    again = [one.name for one in store.schedules(deployment_ids=ids) if one.is_active]
    left = f"to go on with {', '.join(again)}, run its cell again" if again else ""
    if not schedules:
        return left
    is_stable = session.watch().settings.stable_output
    paused = {one.id for one in deployments if one.is_paused}
    names = ", ".join(
        one.name if is_stable else f"{one.name} ({_next(one, one.deployment_id in paused)})"
        for one in schedules
    )
    n = len(schedules)
    told = f"took up {n} schedule{'s' if n > 1 else ''} again: {names}"
    if n_missed and not is_stable:
        most = f"over {_MOST_COUNTED:,}" if n_missed > _MOST_COUNTED else str(n_missed)
        told += f"; {most} fire time{'s were' if n_missed > 1 else ' was'} missed"
    return f"{told}; {left}" if left else told


def _has_code(deployment: DeploymentRecord) -> bool:
    """Whether it can be run without the kernel that declared it."""
    return deployment.kind is DeploymentKind.SCRIPT or deployment.snapshot is not None


def _missed(schedule: ScheduleRecord) -> int:
    """How many fire times came while nobody was there, those that are made up for now too."""
    from nbflow.scheduling.policy import GRACE_SECONDS, next_fire_time
    from nbflow.triggers.loading import load

    trigger, at = load(schedule.trigger), schedule.next_at
    end, n = time.time() - GRACE_SECONDS, 0
    while at is not None and at < end and n <= _MOST_COUNTED:
        n += 1
        at = next_fire_time(trigger, at, schedule.until_at)
    return n


def _next(schedule: ScheduleRecord, is_paused: bool) -> str:
    from nbflow.triggers.loading import load
    from nbflow.triggers.preview import told

    if is_paused or not schedule.is_active:
        return "paused"
    trigger = load(schedule.trigger)
    at = schedule.next_at
    if at is not None and at <= time.time():
        at = trigger.next_after(time.time())
    return trigger.words() if at is None else f"next {told(at, trigger.timezone)}"

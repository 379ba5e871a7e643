"""Telling people of runs of deployments: that one failed, works again, was late or never ran.

Each is told once, whichever processes share the store: who claims it in the store tells it. What
goes wrong meanwhile is a warning in the log and changes no run.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from nbflow.console import duration
from nbflow.errors import NbflowError
from nbflow.model.deployments import DeploymentRecord, OrderRecord
from nbflow.model.records import RunRecord
from nbflow.model.states import StateType
from nbflow.scheduling.addresses import check_addresses
from nbflow.scheduling.sending import TIMEOUT_SECONDS, Notice, Sender
from nbflow.store.store import Store

__all__ = ["Notices", "check_addresses", "tell_ended", "tell_late", "wait_sent"]

logger = logging.getLogger(__name__)

#: A run that begins more than this after its time is told of as late.
LATE_SECONDS = 60.0
# Runs to look at for the one that ended before; all of the nearest may have been skipped.
_LOOKS_BACK = (100, 5_000)
_LONG_AGO_SECONDS = 3_600.0
_LONGEST_TEXT = 500
_FAILED = (StateType.FAILED, StateType.CRASHED)
_COUNTED = (*_FAILED, StateType.COMPLETED)  # not what somebody cancelled, nor what never began


def tell_ended(store: Store, run: RunRecord, deployment: DeploymentRecord) -> None:
    """Tell of a run that has ended, if it failed, or if it is the first to complete since.

    Call it for every run of a deployment that ends; again for the same run does nothing. Blocks
    for a transaction or two, and only where the deployment wants notices.
    """
    if not deployment.notify or run.state_type not in _COUNTED:
        return
    with _harmless(deployment):
        name = deployment.full_name
        if run.state_type in _FAILED:
            if store.claim_once(run.id, "failure"):
                _post(f"{name}: run {run.name} failed", _ended(run), "failure", deployment)
        elif _failed_before(store, run, deployment) and store.claim_once(run.id, "recovery"):
            _post(f"{name}: works again", _ended(run), "success", deployment)


def tell_late(
    store: Store,
    orders: Sequence[OrderRecord],
    deployment: DeploymentRecord,
    *,
    now: float | None = None,
) -> None:
    """Tell of fire times that were missed, and of runs that begin more than a minute late.

    Args:
        orders: Of this deployment; those that are Missed, or are begun at this moment.
        now: Seconds since the epoch.
    """
    if not deployment.notify:
        return
    now = time.time() if now is None else now
    missed = [one for one in orders if one.state_name == "Missed"]
    late = [
        one
        for one in orders
        # A run that runs again because its process died is told of as a failure, if it is one.
        if one.state_name != "Missed" and one.run_count == 0 and now - one.due_at > LATE_SECONDS
    ]
    with _harmless(deployment):
        missed = [one for one in missed if store.claim_once(one.run_id, "late")]
        if missed:
            times = "a fire time was" if len(missed) == 1 else f"{len(missed)} fire times were"
            title = f"{deployment.full_name}: {times} missed"
            _post(title, "\n".join(_missed(missed)), "warning", deployment)
        for one in late:
            if store.claim_once(one.run_id, "late"):
                seconds = duration(now - one.due_at)
                title = f"{deployment.full_name}: run {one.run_name} begins {seconds} late"
                body = f"Planned: {_clock(one.scheduled_at)}\n{_more(one.run_id)}"
                _post(title, body, "warning", deployment)


class Notices:
    """What the hosts of a store's deployments call, so that people are told. Blocks for some reads.

    Deployments that want no notices cost nothing.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[str, set[str]] = {}  # runs that were looked at, by deployment

    def began(self, order: OrderRecord, deployment: DeploymentRecord) -> None:
        """A run begins."""
        tell_late(self._store, [order], deployment)

    def ended(self, order: OrderRecord, deployment: DeploymentRecord) -> None:
        """A run has ended; what it left is in the store."""
        if not deployment.notify:
            return
        with _harmless(deployment):
            run = self._store.find_run(order.run_id)
            tell_late(self._store, [order], deployment, now=run.started_at)
            tell_ended(self._store, run, deployment)
            self._look_back(deployment)

    def look_back(self) -> None:
        """Tell of what happened within the last hour while nobody could tell of it.

        Runs of processes that were killed, which others mark as Crashed, and fire times that were
        missed. For a host that starts, and from time to time, after `store.reap()`.
        """
        for deployment in self._store.deployments(with_snapshot=False):
            if deployment.notify:
                with _harmless(deployment):
                    self._look_back(deployment)

    def _look_back(self, deployment: DeploymentRecord) -> None:
        since = time.time() - _LONG_AGO_SECONDS
        pairs = self._store.orders(deployment_id=deployment.id)
        seen = self._seen.get(deployment.id, set())
        new = [(order, run) for order, run in pairs if run.is_final and run.id not in seen]
        self._seen[deployment.id] = {run.id for _, run in pairs if run.is_final}
        recent = [(order, run) for order, run in new if (run.ended_at or 0.0) >= since]
        for _, run in recent:
            if run.state_type is StateType.CRASHED:
                tell_ended(self._store, run, deployment)
        missed = [order for order, run in recent if run.state_name == "Missed"]
        tell_late(self._store, missed, deployment)


def wait_sent(seconds: float = TIMEOUT_SECONDS) -> bool:
    """Wait until every notice is sent or given up; False: some are not after `seconds`.

    For a process that is about to end: a thread cannot send any more while Python shuts down.
    """
    return _sender.wait(seconds)


def _failed_before(store: Store, run: RunRecord, deployment: DeploymentRecord) -> bool:
    """Whether the run of the deployment that ended before this one had failed."""
    ended = run.ended_at or time.time()
    for n in _LOOKS_BACK:
        before = [
            one
            for _, one in store.orders(deployment_id=deployment.id, limit=n)
            if one.id != run.id and one.state_type in _COUNTED and (one.ended_at or ended) < ended
        ]
        if before:
            last = max(before, key=lambda one: one.ended_at or 0.0)
            return last.state_type in _FAILED
    return False


def _ended(run: RunRecord) -> str:
    after = "" if run.seconds is None else f" after {duration(run.seconds)}"
    lines = [f"{run.state_name}{after}"]
    if run.scheduled_at is not None:
        lines.append(f"Planned: {_clock(run.scheduled_at)}")
    if run.ended_at is not None:
        lines.append(f"Ended: {_clock(run.ended_at)}")
    if run.state_type in _FAILED and run.message:
        lines.append(f"Error: {run.message.strip().partition(chr(10))[0][:_LONGEST_TEXT]}")
    return "\n".join([*lines, _more(run.id)])


def _missed(orders: Sequence[OrderRecord]) -> Iterator[str]:
    orders = sorted(orders, key=lambda one: one.scheduled_at)
    yield f"From {_clock(orders[0].scheduled_at)} to {_clock(orders[-1].scheduled_at)}"
    # One record may stand for many fire times, and says so.
    yield from dict.fromkeys(one.message for one in orders[:3] if one.message)
    yield _more(orders[-1].run_id)


def _more(run_id: str) -> str:
    return f"More: nbflow runs logs {run_id}"


def _clock(at: float) -> str:
    """An instant in local time, with its offset from UTC."""
    return datetime.fromtimestamp(at, UTC).astimezone().isoformat(sep=" ", timespec="seconds")


@contextlib.contextmanager
def _harmless(deployment: DeploymentRecord) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        told = str(error) if isinstance(error, NbflowError) else repr(error)
        logger.warning("no notice could be given of %s: %s", deployment.full_name, told)


def _post(title: str, body: str, tone: str, deployment: DeploymentRecord) -> None:
    _sender.post(Notice(title=title, body=body, tone=tone, addresses=deployment.notify))


_sender = Sender()

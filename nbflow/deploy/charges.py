"""The runs that a worker has begun: each is seen to until nothing is left to do for it.

The worker owns a run until whoever carries it out adopts it, and sees to it again when that one has
ended without having ended the run.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from nbflow.console import console_line, duration, level_of_state, told_of_state
from nbflow.deploy.assignments import CRASHED_HOOKS
from nbflow.deploy.pool_types import Execution, Starter
from nbflow.errors import NbflowError, RunNotFound
from nbflow.model.deployments import DeploymentKind, DeploymentRecord, OrderRecord
from nbflow.model.records import RunRecord
from nbflow.model.states import State, StateType
from nbflow.scheduling.notices import Notices
from nbflow.store.store import Store

logger = logging.getLogger(__name__)

#: What a run gets to end by itself when it is cancelled.
FORCE_SECONDS = 10.0
#: What its process gets to end when the run has.
LINGER_SECONDS = 30.0
_AGAIN_SECONDS = 1.0
_RECENT_SECONDS = 3_600.0
_MOST_RECENT = 10  # of each deployment


@dataclass(slots=True, eq=False)
class Charge:
    """A run that this worker has begun.

    Attributes:
        began_at, cancelled_at, ended_at: By the monotonic clock; the latter two when they were
            first noticed.
        is_killed: Whether it was ended by force.
    """

    order: OrderRecord
    deployment: DeploymentRecord
    execution: Execution
    began_at: float = field(default_factory=time.monotonic)
    cancelled_at: float | None = None
    ended_at: float | None = None
    is_killed: bool = False

    @property
    def label(self) -> str:
        """How lines name it."""
        return f"Flow run {self.order.run_name!r}"


class Charges:
    """What a worker has begun. Its methods may be called on any thread.

    Args:
        ended: Called when one is over: there is room for another.
    """

    def __init__(self, store: Store, starter: Starter, ended: Callable[[], object]) -> None:
        self._store = store
        self._starter = starter
        self._ended = ended
        self._notices = Notices(store)
        self._all: dict[str, Charge] = {}
        self._early: set[str] = set()  # cancelled between being taken and being begun
        self._lock = threading.Lock()
        self._is_given_up = False

    def __len__(self) -> int:
        return len(self._all)

    def start(self, order: OrderRecord, deployment: DeploymentRecord, refusal: str) -> None:
        """Have a run begun that the worker owns. Returns at once."""
        execution = self._starter.start(order, deployment, refusal)
        charge = Charge(order, deployment, execution)
        with self._lock:
            self._all[order.run_id] = charge
            is_early = order.run_id in self._early
            self._early.discard(order.run_id)
        threading.Thread(
            target=self._wait_for, args=(charge,), name="nbflow-run", daemon=True
        ).start()
        say(f"{charge.label} of {deployment.full_name!r} begins in {execution.where}")
        if is_early:
            self.cancel(order.run_id)
        harmless(lambda: self._notices.began(order, deployment))

    def cancel(self, run_id: str) -> None:
        """End a run, whichever process it runs in."""
        with self._lock:
            charge = self._all.get(run_id)
        if charge is None:
            try:
                record = self._store.find_run(run_id)
            except RunNotFound:  # deleted, and so is what was to be cancelled
                return
            if record.is_final or (not record.owner_id and self._store.cancel_waiting(run_id)):
                return
            if record.owner_id and record.owner_id != self._store.owner_id:
                self._store.request(record.owner_id, run_id, "cancel")
                return
            with self._lock:
                charge = self._all.get(run_id)
                if charge is None:
                    self._early.add(run_id)
                    return
        charge.cancelled_at = charge.cancelled_at or time.monotonic()
        charge.execution.cancel()

    def cancel_all(self) -> None:
        """Cancel what runs."""
        for run_id in list(self._all):
            self.cancel(run_id)

    def kill_all(self) -> None:
        """End what runs by force, and let other processes see to what cannot be written now."""
        self._is_given_up = True
        for charge in list(self._all.values()):
            self._kill(charge, "its worker was told to end for the third time")

    def look_after(self) -> None:
        """End by force what was to end and has not. Called once a second; blocks for reading."""
        now = time.monotonic()
        for charge in list(self._all.values()):
            harmless(partial(self._look_at, charge, now))

    def look_back(self, pool: str) -> None:
        """See to runs whose process and worker have both died, whichever worker that was."""
        self._notices.look_back()
        since = time.time() - _RECENT_SECONDS
        for deployment in self._store.deployments(pool=pool):
            for order, run in self._store.orders(deployment_id=deployment.id, limit=_MOST_RECENT):
                # A process that lives calls its hooks itself, perhaps now.
                if (run.ended_at or 0.0) >= since and not self._store.is_alive(run.owner_id):
                    self._call_crashed_hooks(order, deployment, run)

    def _found(self, charge: Charge) -> RunRecord | None:
        """Its run; None: somebody has deleted it."""
        try:
            return self._store.find_run(charge.order.run_id)
        except RunNotFound:
            return None

    def _look_at(self, charge: Charge, now: float) -> None:
        record = self._found(charge)
        if record is not None and record.state_type is StateType.CANCELLING:
            charge.cancelled_at = charge.cancelled_at or now
        if record is None and charge.ended_at is None:
            self._kill(charge, "its run was deleted")
        elif record is None or record.is_final:
            charge.ended_at = charge.ended_at or now
            if now - charge.ended_at >= LINGER_SECONDS:
                self._kill(charge, f"it is still there {LINGER_SECONDS:g} s after the run's end")
        elif charge.cancelled_at is not None and now - charge.cancelled_at >= FORCE_SECONDS:
            self._kill(charge, f"it did not end within {FORCE_SECONDS:g} s of being cancelled")

    def _kill(self, charge: Charge, why: str) -> None:
        if not charge.is_killed:
            charge.is_killed = True
            say(f"{charge.label}: {charge.execution.where} is killed: {why}", logging.WARNING)
        charge.execution.kill()

    def _wait_for(self, charge: Charge) -> None:
        """In a thread of its own: wait for the end of a run, and see to what is left to do."""
        how = charge.execution.wait()
        try:
            # Nobody else would: a run that was not adopted is this worker's, which lives.
            while not harmless(lambda: self._settle(charge, how)) and not self._is_given_up:
                time.sleep(_AGAIN_SECONDS)
        finally:
            charge.execution.close()
            with self._lock:
                self._all.pop(charge.order.run_id, None)
            self._ended()

    def _settle(self, charge: Charge, how: str) -> None:
        store, run_id = self._store, charge.order.run_id
        record = self._found(charge)
        if record is None or not record.is_final:
            # Whatever the exit code was: nothing may go on beside the next try.
            charge.execution.kill()
        if record is None:
            say(f"{charge.label} was deleted; its process has ended")
            return
        for owner_id in (store.owner_id, charge.execution.owner_id):
            if not record.is_final and record.owner_id == owner_id:
                is_cancelled = charge.cancelled_at is not None
                record = store.crash_run(run_id, owner_id, how, is_cancelled=is_cancelled)
        if not record.is_final:  # it waits to be run again, or is another process' by now
            told = f"{charge.label} - {record.state_name}: {how}"
            say(told, logging.WARNING)
            return
        state = State(record.state_type, record.state_name, record.message)
        seconds = duration(time.monotonic() - charge.began_at)
        say(f"{told_of_state(charge.label, state)} after {seconds}", level_of_state(state))
        self._notices.ended(charge.order, charge.deployment)
        self._call_crashed_hooks(charge.order, charge.deployment, record)

    def _call_crashed_hooks(
        self, order: OrderRecord, deployment: DeploymentRecord, record: RunRecord
    ) -> None:
        """Once for every run that ended as its process died; other crashes it has told itself."""
        if (
            record.state_type is StateType.CRASHED
            and deployment.kind is not DeploymentKind.NOTEBOOK
            and self._store.claim_once(order.run_id, CRASHED_HOOKS)
        ):
            self._starter.call_crashed_hooks(order, deployment)


def harmless(work: Callable[[], object]) -> bool:
    """Do something that may fail for a while, as with a full disk; False: it has."""
    try:
        work()
    except Exception as error:
        say(str(error) if isinstance(error, NbflowError) else repr(error), logging.WARNING)
        logger.debug("the worker goes on", exc_info=True)
        return False
    return True


def say(text: str, level: int = logging.INFO) -> None:
    """A line on stderr, where a terminal or the log of a service shows it."""
    sys.stderr.write(console_line(time.time(), level, text) + "\n")
    sys.stderr.flush()

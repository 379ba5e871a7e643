"""The thread that fires schedules and begins the runs that were asked for.

It sleeps until the next fire time or until its bell rings, and never longer than half a minute:
a machine that was asleep and a clock that was set are noticed. Any number of schedulers may share
a store; what makes a fire time happen once is the store's claim, never the thread.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Protocol

from nbflow.errors import NbflowError
from nbflow.model.deployments import DeploymentRecord, OrderRecord
from nbflow.model.schedules import Fire, ScheduleRecord
from nbflow.scheduling import policy
from nbflow.scheduling.events import Events
from nbflow.scheduling.notices import tell_late
from nbflow.store.orders import Fired
from nbflow.store.store import Store
from nbflow.triggers.loading import load
from nbflow.triggers.trigger import Trigger

logger = logging.getLogger(__name__)

_LONGEST_SLEEP_SECONDS = 30.0
_REAP_SECONDS = 1.0
_AFTER_ERROR_SECONDS = 5.0


class Host(Protocol):
    """Who carries out the runs. Its methods return at once."""

    def start(self, order: OrderRecord, deployment: DeploymentRecord) -> None:
        """Begin a run, which this process owns from now on."""

    def cancel(self, run_id: str) -> None:
        """End a run, whichever process it runs in."""

    def free(self) -> int | None:
        """How many more runs may begin now; None: any number."""


class Scheduler:
    """Fires schedules and begins runs, for the deployments it serves or those of a pool.

    Args:
        pool: Serve the deployments of this work pool; those that a living process serves itself
            are left to it.
        clock: Gives seconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        host: Host,
        *,
        pool: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._host = host
        self._pool = pool
        self._clock = clock
        self._served: frozenset[str] = frozenset()
        self._deployments: dict[str, DeploymentRecord] = {}
        self._schedules: dict[str, ScheduleRecord] = {}
        self._triggers: dict[str, Trigger] = {}
        self._next: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._unusable: set[str] = set()  # schedules that were warned of
        self._revision = -1
        self._has_changed = True
        self._read_at = self._reaped_at = 0.0
        self._orders_at: float | None = 0.0  # when to look for orders that wait
        self._trouble = ""  # what was told of last
        self._closing = False
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._turning = threading.RLock()  # a host may be told to stop within a turn
        self._bell = store.bell()
        self._events = Events(store, self._bell.ring)

    # --- from any thread --------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread; again: nothing happens."""
        with self._lock:
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(
                    target=self._loop, name="nbflow-scheduler", daemon=True
                )
                self._thread.start()

    def serve(self, deployment_id: str) -> None:
        """Fire this deployment's schedules and begin its runs."""
        with self._lock:
            self._served = self._served | {deployment_id}
        self._has_changed = True
        self.wake()

    def forget(self, deployment_id: str) -> None:
        """Serve a deployment no longer. What runs goes on; no run of it begins after this.

        Waits for the turn that is under way.
        """
        with self._turning:
            with self._lock:
                self._served = self._served - {deployment_id}
            self._has_changed = True
        self.wake()

    @property
    def served(self) -> frozenset[str]:
        """Ids of the deployments that it was told to serve."""
        return self._served

    def wake(self) -> None:
        """Have it look now: there may be something to begin, or room for it."""
        self._bell.ring()

    def close(self) -> None:
        """Fire nothing any more and end the thread. What runs goes on."""
        self._closing = True
        self._bell.ring()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._events.close()
        self._bell.close()

    # --- the thread -------------------------------------------------------------------------------

    def _loop(self) -> None:
        rung = True
        while not self._closing:
            try:
                self.turn(rung=rung)
                seconds, self._trouble = self._sleep_seconds(), ""
            except Exception as error:  # a full disk, say: the schedules must live on
                told = str(error) if isinstance(error, NbflowError) else repr(error)
                if told != self._trouble:
                    logger.warning("the scheduler could not go on, and tries again: %s", told)
                self._trouble = told
                logger.debug("the scheduler", exc_info=True)
                self._has_changed, seconds = True, _AFTER_ERROR_SECONDS
            rung = self._bell.wait(seconds) or bool(self._trouble)

    def turn(self, *, rung: bool = False) -> None:
        """Fire what is due and begin what may begin. Blocks for some transactions.

        Args:
            rung: Whether something may have changed in the store.
        """
        with self._turning:
            self._turn(rung=rung)

    def _turn(self, *, rung: bool) -> None:
        now = self._clock()
        is_tick = abs(now - self._read_at) >= _LONGEST_SLEEP_SECONDS
        if rung or is_tick or self._has_changed:
            self._read_again(now, anew=is_tick)
        if abs(now - self._reaped_at) >= _REAP_SECONDS and (rung or is_tick):
            self._reaped_at = now
            self._store.reap()  # also runs whose process died: they may have to run again
        fires = self._due(now)
        if rung or is_tick:
            fires += self._events.fires(now)
        if fires:
            self._fire(fires)
        if rung or is_tick or (self._orders_at is not None and self._orders_at <= now):
            self._take()

    def _sleep_seconds(self) -> float:
        now = self._clock()
        at = [when for when in (self._peek(), self._orders_at) if when is not None]
        # A host without room rings when it has some.
        return max(0.0, min([_LONGEST_SLEEP_SECONDS, *(when - now for when in at)]))

    def _read_again(self, now: float, *, anew: bool) -> None:
        """Take over what has changed. With `anew` also who is alive may have."""
        has_changed, self._has_changed = self._has_changed, False
        revision = self._store.revision()
        if revision == self._revision and not has_changed and (self._pool is None or not anew):
            self._read_at = now if anew else self._read_at
            return
        self._revision, self._read_at = revision, now
        ids = None if self._pool is not None else sorted(self._served)
        # A worker's run processes read the code for themselves.
        deployments = self._store.deployments(
            ids=ids, pool=self._pool, with_snapshot=self._pool is None
        )
        self._deployments = {
            one.id: one for one in deployments if ids is not None or not self._is_served(one)
        }
        found = self._store.schedules(deployment_ids=list(self._deployments))
        self._schedules = {one.id: one for one in found if one.is_active}
        triggers, self._triggers = self._triggers, {}
        self._next, self._heap = {}, []
        for one in list(self._schedules.values()):
            known = triggers.get(one.id)
            same = known is not None and known.to_json() == one.trigger
            try:
                self._triggers[one.id] = known if known is not None and same else load(one.trigger)
            except NbflowError as error:  # of a newer nbflow, or of a zone that is not known here
                del self._schedules[one.id]
                self._warn_of(one, error)
                continue
            self._note_next(one.id, one.next_at)
        self._events.watch(self._schedules, self._triggers)

    def _warn_of(self, schedule: ScheduleRecord, error: NbflowError) -> None:
        if schedule.id not in self._unusable:
            self._unusable.add(schedule.id)
            logger.warning("schedule %r is not fired here: %s", schedule.name, error)

    def _is_served(self, deployment: DeploymentRecord) -> bool:
        """Whether a living process sees to the deployment itself."""
        return bool(deployment.server_id) and self._store.is_alive(deployment.server_id)

    def _note_next(self, schedule_id: str, at: float | None) -> None:
        if at is None or self._deployments[self._schedules[schedule_id].deployment_id].is_paused:
            self._next.pop(schedule_id, None)
            return
        self._next[schedule_id] = at
        heapq.heappush(self._heap, (at, schedule_id))

    def _peek(self) -> float | None:
        """The earliest fire time; entries that something newer has replaced are dropped."""
        heap = self._heap
        while heap and self._next.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def _due(self, now: float) -> list[Fire]:
        fires = []
        while (at := self._peek()) is not None and at <= now:
            _, schedule_id = heapq.heappop(self._heap)
            del self._next[schedule_id]
            schedule = self._schedules[schedule_id]
            try:
                fire = policy.due(_with_next(schedule, at), self._triggers[schedule_id], now)
            except Exception:  # one schedule may not stop all others
                logger.exception("schedule %r cannot go on", schedule.name)
                continue
            if fire is not None:
                fires.append(fire)
        return fires

    def _fire(self, fires: Sequence[Fire]) -> None:
        """Claim fire times; what another process has claimed is only taken note of."""
        limit = self._host.free()
        answers: list[Fired] = self._store.fire(fires, start=limit != 0, limit=limit)
        self._events.claimed(fires)
        for fired in answers:
            if fired.schedule_id in self._schedules:
                self._note_next(fired.schedule_id, fired.next_at)
        for fired in answers:
            for order in fired.taken:
                self._start(order)
        for fired in answers:
            self._tell_missed(fired)
            for run_id in fired.cancel:
                self._host.cancel(run_id)
            if len(fired.taken) < len(fired.orders):
                self._orders_at = 0.0  # some wait: look when

    def _tell_missed(self, fired: Fired) -> None:
        missed = [order for order in fired.orders if order.state_name == "Missed"]
        deployment = self._deployments.get(missed[0].deployment_id) if missed else None
        if deployment is not None:
            tell_late(self._store, missed, deployment)

    def _take(self) -> None:
        limit = self._host.free()
        # Of a pool not those that a living process serves itself.
        scope: Collection[str] = self._served if self._pool is None else self._deployments
        looked_at = time.time()  # the store's clock
        if limit != 0:
            for order in self._store.take_orders(
                deployment_ids=scope, pool=self._pool, limit=limit
            ):
                self._start(order)
        # What is due and waits (for a slot, for another run to end) is begun when the bell rings.
        # What has become due since is looked for at once.
        self._orders_at = self._store.next_order_at(
            deployment_ids=scope, pool=self._pool, after=looked_at
        )

    def _start(self, order: OrderRecord) -> None:
        deployment = self._deployments.get(order.deployment_id)
        if deployment is None:
            found = self._store.deployments(ids=[order.deployment_id])
            if not found:
                reason = "its deployment was deleted before it began"
                self._store.crash_run(order.run_id, self._store.owner_id, reason)
                return
            deployment = found[0]
        try:
            self._host.start(order, deployment)
        except Exception as error:
            logger.exception("run %r could not be begun", order.run_name)
            self._store.crash_run(
                order.run_id, self._store.owner_id, f"it could not begin: {error}"
            )


def _with_next(schedule: ScheduleRecord, at: float) -> ScheduleRecord:
    return schedule if schedule.next_at == at else replace(schedule, next_at=at)

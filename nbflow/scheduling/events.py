"""Schedules that wait for something to happen: files that change, flows that complete."""

from __future__ import annotations

import glob
import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from nbflow.model.records import RunRecord
from nbflow.model.runs import RunKind
from nbflow.model.schedules import CatchUp, Fire, Firing, ScheduleRecord
from nbflow.model.states import StateType
from nbflow.scheduling.policy import GRACE_SECONDS, jitter
from nbflow.store.store import Store
from nbflow.triggers.events import AfterTrigger, FilesTrigger
from nbflow.triggers.trigger import Trigger

logger = logging.getLogger(__name__)

_MOST_COMPLETIONS = 100
# Files must rest for so long: who writes a large one should have ended.
_REST_MILLISECONDS = 500
_MOST_UNREST_MILLISECONDS = 10_000
# For what changes while watching begins, and where the system does not tell (network folders).
_LOOK_MILLISECONDS = 10_000


class Events:
    """Tells which events have happened since they were last looked for.

    All but `close` is called on the scheduler's thread.

    Args:
        ring: Called, on any thread, when there may be something to look for.
    """

    def __init__(self, store: Store, ring: Callable[[], None]) -> None:
        self._store = store
        self._ring = ring
        self._schedules: dict[str, tuple[ScheduleRecord, AfterTrigger | FilesTrigger]] = {}
        self._watches: dict[str, _Watch] = {}
        self._known: dict[str, set[str]] = {}  # causes of each schedule that have been claimed

    def watch(
        self, schedules: Mapping[str, ScheduleRecord], triggers: Mapping[str, Trigger]
    ) -> None:
        """Look for the events of these schedules, and of no others."""
        self._schedules = {
            one: (schedules[one], trigger)
            for one, trigger in triggers.items()
            if isinstance(trigger, AfterTrigger | FilesTrigger)
        }
        for schedule_id in list(self._watches):
            _, trigger = self._schedules.get(schedule_id, (None, None))
            if self._watches[schedule_id].trigger != trigger:
                self._watches.pop(schedule_id).close()
        for schedule_id, (_, trigger) in self._schedules.items():
            if isinstance(trigger, FilesTrigger) and schedule_id not in self._watches:
                self._watches[schedule_id] = _Watch(trigger, self._ring)
        self._known = {one: known for one, known in self._known.items() if one in schedules}

    def fires(self, now: float) -> list[Fire]:
        """What has happened and was not claimed yet, as far as this process knows."""
        found = []
        for schedule_id, (schedule, trigger) in self._schedules.items():
            known = self._causes(schedule_id)
            if isinstance(trigger, AfterTrigger):
                firings = list(self._completions(schedule, trigger, now))
            else:
                firings = list(self._changes(schedule, self._watches[schedule_id], now))
            new = tuple(
                replace(one, due_at=one.due_at + jitter(schedule, one.fire_at))
                for one in firings
                if one.cause not in known
                and (schedule.until_at is None or one.fire_at <= schedule.until_at)
            )
            if new:
                fire = Fire(schedule_id=schedule_id, expected_at=None, firings=new, next_at=None)
                found.append(fire)
        return found

    def claimed(self, fires: Sequence[Fire]) -> None:
        """These have been claimed, by this process or another."""
        for fire in fires:
            if fire.schedule_id in self._schedules:
                self._causes(fire.schedule_id).update(one.cause for one in fire.firings)

    def close(self) -> None:
        """Watch nothing any more."""
        while self._watches:
            self._watches.popitem()[1].close()

    def _causes(self, schedule_id: str) -> set[str]:
        known = self._known.get(schedule_id)
        if known is None:
            orders = self._store.orders(schedule_id=schedule_id, limit=_MOST_COMPLETIONS)
            known = self._known[schedule_id] = {order.cause for order, _ in orders}
        return known

    def _completions(
        self, schedule: ScheduleRecord, trigger: AfterTrigger, now: float
    ) -> Iterator[Firing]:
        runs = self._store.runs(
            kind=RunKind.FLOW,
            state=StateType.COMPLETED,
            name=trigger.flow_name,
            limit=_MOST_COMPLETIONS,
        )
        known = self._causes(schedule.id)
        new = [
            run
            for run in reversed(runs)
            if run.spec_name == trigger.flow_name
            and run.id not in known
            and (run.ended_at or 0.0) >= schedule.created_at
        ]
        for run in new:
            yield _after(schedule, run, now, is_latest=run is new[-1])

    def _changes(self, schedule: ScheduleRecord, watch: _Watch, now: float) -> Iterator[Firing]:
        state = watch.state
        if state is None or state[0] in self._causes(schedule.id):
            return
        # Without a claim so far, files count as changed that are newer than the schedule.
        is_old = state[1] <= schedule.created_at and not self._causes(schedule.id)
        is_skipped = schedule.catch_up is CatchUp.SKIP  # what changed while nobody looked
        if state == watch.first_state and (is_old or is_skipped):
            return
        yield Firing(cause=state[0], fire_at=now, due_at=now, message="files have changed")


def _after(schedule: ScheduleRecord, run: RunRecord, now: float, *, is_latest: bool) -> Firing:
    """What becomes of the completion of a flow run."""
    at = run.ended_at or now
    is_late = now - at > GRACE_SECONDS
    runs = not is_late or schedule.catch_up is CatchUp.ALL
    runs = runs or (schedule.catch_up is CatchUp.LATEST and is_latest)
    state = ("Late" if is_late else "Scheduled") if runs else "Missed"
    message = f"after {run.label} of {run.spec_name!r}"
    return Firing(cause=run.id, fire_at=at, due_at=at, state=state, message=message)


class _Watch:
    """Watches the files of one schedule on a thread of its own.

    Attributes:
        state: Digest of which files there are, of what size and age, and the newest's time of
            change; None: there are none.
        first_state: As it was when watching began.
    """

    def __init__(self, trigger: FilesTrigger, ring: Callable[[], None]) -> None:
        self.trigger = trigger
        self.state = self.first_state = _state(trigger)
        self._ring = ring
        self._stop = threading.Event()
        threading.Thread(target=self._loop, name="nbflow-files", daemon=True).start()

    def close(self) -> None:
        """End the thread, soon."""
        self._stop.set()

    def _loop(self) -> None:
        from watchfiles import watch

        folders, is_deep = _folders(self.trigger)
        try:
            for _ in watch(
                *folders,
                stop_event=self._stop,
                step=_REST_MILLISECONDS,
                debounce=_MOST_UNREST_MILLISECONDS,
                recursive=is_deep,
                raise_interrupt=False,
                rust_timeout=_LOOK_MILLISECONDS,
                yield_on_timeout=True,
            ):
                state = _state(self.trigger)
                if state != self.state:
                    self.state = state
                    self._ring()
        except Exception:  # a folder that was taken away
            logger.warning(
                "the files %s are not watched any more; they are looked at every half minute",
                ", ".join(self.trigger.patterns),
                exc_info=True,
            )
            while not self._stop.wait(30.0):
                self.state = _state(self.trigger)
                self._ring()


def _folders(trigger: FilesTrigger) -> tuple[list[str], bool]:
    """The deepest folders that hold all that the patterns may fit, and whether not directly."""
    found, is_deep = set(), False
    for pattern in trigger.patterns:
        folder = os.path.dirname(os.path.join(trigger.folder, pattern))
        while glob.has_magic(folder) or not os.path.isdir(folder):
            folder, is_deep = os.path.dirname(folder), True
        found.add(folder)
    return sorted(found), is_deep


def _state(trigger: FilesTrigger) -> tuple[str, float] | None:
    facts, newest = [], 0.0
    for pattern in trigger.patterns:
        for path in glob.iglob(os.path.join(trigger.folder, pattern), recursive=True):
            try:
                about = os.stat(path)
            except OSError:
                continue
            facts.append((path, about.st_size, about.st_mtime_ns))
            newest = max(newest, about.st_mtime)
    if not facts:
        return None
    digest = hashlib.blake2b(repr(sorted(set(facts))).encode(), digest_size=16)
    return f"files-{digest.hexdigest()}", newest

"""Which fire times have come and what becomes of each: pure, so that every clock can be tried."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from nbflow.model.schedules import CatchUp, Fire, Firing, ScheduleRecord
from nbflow.triggers.trigger import Trigger

#: A fire time that is noticed within this many seconds counts as met. Above the longest that the
#: scheduler sleeps, so that a machine that wakes up or a busy kernel misses nothing by that alone.
GRACE_SECONDS = 60.0
#: From this lateness on a run is created as Late, not Scheduled.
LATE_SECONDS = 15.0
#: With `CatchUp.LATEST` a fire time older than this is not made up for.
OLDEST_SECONDS = 86_400.0
#: Fire times that are recorded each by a run of its own; what is older becomes one record.
_MOST_RECORDS = 100
#: So many fire times are looked at one by one (a second): a second's schedule has 604,800 a week.
_MOST_TIMES = 20_000
#: So many are made up for at a time; the rest follows at once.
_MOST_AT_ONCE = 1_000


def due(schedule: ScheduleRecord, trigger: Trigger, now: float) -> Fire | None:
    """The fire times of a schedule that have come by `now`, as one thing to claim.

    None: none has. Of very many that are to be made up for it gives the first, and its `next_at`
    has come as well.
    """
    if schedule.next_at is None or schedule.next_at > now:
        return None
    is_all = schedule.catch_up is CatchUp.ALL
    times, next_at = _times(schedule, trigger, now, _MOST_AT_ONCE if is_all else _MOST_TIMES)
    firings: list[Firing] = []
    if next_at is not None and next_at <= now and not is_all:
        message = f"more than {len(times)} fire times from {_utc(times[0])} on were missed"
        firings = [_missed(times[-1], message)]
        last = times[-1]
        for seconds in (GRACE_SECONDS, 3_600.0, OLDEST_SECONDS):  # until the latest is among them
            first_at = next_fire_time(trigger, max(now - seconds, last), schedule.until_at)
            times, next_at = _times(replace(schedule, next_at=first_at), trigger, now, _MOST_TIMES)
            if times:
                break
    firings += _firings(schedule, times, now)
    return Fire(
        schedule_id=schedule.id,
        expected_at=schedule.next_at,
        firings=tuple(firings),
        next_at=next_at,
    )


def next_fire_time(trigger: Trigger, after: float, until_at: float | None) -> float | None:
    """The first fire time after `after`, unless the schedule has ended by then."""
    at = trigger.next_after(after)
    return None if at is None or (until_at is not None and at > until_at) else at


def jitter(schedule: ScheduleRecord, fire_at: float) -> float:
    """Seconds that a run waits: the same in every process, and for each fire time another."""
    if not schedule.jitter_seconds:
        return 0.0
    digest = hashlib.blake2b(f"{schedule.id} {fire_at!r}".encode(), digest_size=8).digest()
    return schedule.jitter_seconds * int.from_bytes(digest, "big") / 2**64


def cause_of(fire_at: float) -> str:
    """A fire time as what makes it happen once: to the millisecond, whatever computed it."""
    return str(round(fire_at * 1000))


def _times(
    schedule: ScheduleRecord, trigger: Trigger, now: float, at_most: int
) -> tuple[list[float], float | None]:
    """The first fire times up to `now`, and the one after those."""
    times: list[float] = []
    at = schedule.next_at
    while at is not None and at <= now and len(times) < at_most:
        times.append(at)
        at = next_fire_time(trigger, at, schedule.until_at)
    return times, at


def _firings(schedule: ScheduleRecord, times: list[float], now: float) -> Iterator[Firing]:
    running = set(_to_run(schedule, times, now))
    missed = [at for at in times if at not in running]
    if len(missed) > _MOST_RECORDS:
        n = len(missed) - _MOST_RECORDS + 1
        older = missed[:n]
        message = f"{n} fire times from {_utc(older[0])} to {_utc(older[-1])} were missed"
        yield _missed(older[-1], message)
        told = set(older)
        times = [at for at in times if at not in told]
    for at in times:
        late = now - at
        if at not in running:
            yield _missed(at, f"missed: nobody was there for it; noticed {_told(late)} later")
            continue
        is_late = late > LATE_SECONDS
        yield Firing(
            cause=cause_of(at),
            fire_at=at,
            due_at=at + jitter(schedule, at),
            state="Late" if is_late else "Scheduled",
            message=f"it begins {_told(late)} late" if is_late else "",
        )


def _to_run(schedule: ScheduleRecord, times: list[float], now: float) -> list[float]:
    if schedule.catch_up is CatchUp.ALL or not times:
        return times
    met = [at for at in times if now - at <= GRACE_SECONDS]
    if met or schedule.catch_up is CatchUp.SKIP:
        return met
    return [times[-1]] if now - times[-1] <= OLDEST_SECONDS else []


def _missed(at: float, message: str) -> Firing:
    return Firing(cause=cause_of(at), fire_at=at, due_at=at, state="Missed", message=message)


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _told(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"

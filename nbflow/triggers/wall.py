"""Wall times and instants: the policy for clock changes, in one place.

A schedule that names times of the day has each of them once: one that does not exist comes when
the clock has jumped over it, one that comes twice is the first of the two. A schedule that repeats
within the day runs on elapsed time: whenever the wall shows one of its times, however often.

Wall times are naive datetimes without seconds' fractions, instants whole seconds since the epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

NextWall = Callable[[datetime], datetime | None]

EPOCH = datetime(1970, 1, 1)
LATEST_AT = 253_370_764_800.0  #: the year 9999; what comes later never comes
_EARLIEST_AT = -62_000_000_000.0
_ONE_SECOND = timedelta(seconds=1)


def wall_time(at: float, zone: ZoneInfo) -> datetime:
    """What the wall shows at an instant, down to the second; `fold` tells a second showing."""
    return datetime.fromtimestamp(math.floor(at), zone).replace(tzinfo=None)


def instant_of(wall: datetime, zone: ZoneInfo) -> float:
    """When the wall shows it first; what it never shows: when the clock has jumped over it."""
    before, after = _offsets(wall, zone)
    if before < after:
        return float(_jump(wall, zone, before, after))
    return _epoch_seconds(wall) - before


def first_after(
    at: float, zone: ZoneInfo, next_wall: NextWall, *, is_elapsed: bool
) -> float | None:
    """The first instant strictly after `at` of those that `next_wall` names.

    Args:
        next_wall: The first wall time of the schedule strictly after one; None: there is none.
        is_elapsed: Whether it runs on elapsed time, see above.
    """
    if not at < LATEST_AT:  # nor for what is no number
        return None
    at = max(at, _EARLIEST_AT)
    now = wall_time(at, zone)
    if is_elapsed:
        return _first_elapsed(at, now, zone, next_wall)
    wall = next_wall(now.replace(fold=0))
    while wall is not None:
        found = instant_of(wall, zone)
        if found > at:
            return found
        wall = next_wall(wall)  # it is shown for the second time, and has had its turn
    return None


def _first_elapsed(at: float, now: datetime, zone: ZoneInfo, next_wall: NextWall) -> float | None:
    before, after = _offsets(now, zone)
    wall = next_wall(now.replace(fold=0))
    if before > after and not now.fold:
        # The clock is going to be put back over times that have been shown already.
        back_at = _last_showing(now, zone, before, after)
        if wall is None or _epoch_seconds(wall) - before >= back_at:
            start = EPOCH + timedelta(seconds=back_at + after)
            wall = next_wall(start - _ONE_SECOND)
            return None if wall is None else _showing_after(back_at - 1, wall, zone, next_wall)
    return None if wall is None else _showing_after(at, wall, zone, next_wall)


def _showing_after(at: float, wall: datetime, zone: ZoneInfo, next_wall: NextWall) -> float | None:
    """The first instant after `at` at which the wall shows this time, or a later one."""
    found: datetime | None = wall
    while found is not None:
        before, after = _offsets(found, zone)
        if before >= after:
            for offset in (before, after):
                shown_at = _epoch_seconds(found) - offset
                if shown_at > at:
                    return shown_at
        found = next_wall(found)
    return None


def _offsets(wall: datetime, zone: ZoneInfo) -> tuple[float, float]:
    """Seconds ahead of UTC, by the zone's rules before and after a change near this time."""
    aware = wall.replace(tzinfo=zone)
    before, after = aware.utcoffset(), aware.replace(fold=1).utcoffset()
    assert before is not None
    assert after is not None
    return before.total_seconds(), after.total_seconds()


def _epoch_seconds(wall: datetime) -> float:
    return (wall - EPOCH).total_seconds()


def _jump(wall: datetime, zone: ZoneInfo, before: float, after: float) -> int:
    """The instant at which the clock jumps over this time."""
    shown = _epoch_seconds(wall)
    return _change_between(math.floor(shown - after), math.ceil(shown - before), zone, before)


def _last_showing(wall: datetime, zone: ZoneInfo, before: float, after: float) -> int:
    """The instant at which the clock is put back over this time."""
    shown = _epoch_seconds(wall)
    return _change_between(math.floor(shown - before), math.ceil(shown - after), zone, before)


def _change_between(early: int, late: int, zone: ZoneInfo, offset: float) -> int:
    """The first second that no longer has this offset; `early` has it, `late` has not."""
    while late - early > 1:
        middle = (early + late) // 2
        found = datetime.fromtimestamp(middle, zone).utcoffset()
        assert found is not None
        if found.total_seconds() == offset:
            early = middle
        else:
            late = middle
    return late

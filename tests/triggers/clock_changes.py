"""The policy for clock changes once more, as a walk through every minute of the clock's own time.

Nothing here computes: each real minute is looked at, and what the wall then shows decides.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Change:
    """One clock change: at `at` the wall goes from `before` seconds ahead of UTC to `after`."""

    zone: str
    at: int
    before: int
    after: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Zones that change alike at the same moment show the same walls around it."""
        return self.at, self.before, self.after

    def wall(self, seconds: float) -> datetime:
        """What a clock that is never changed shows, so long after the change."""
        return datetime.fromtimestamp(self.at + self.before + seconds, UTC).replace(tzinfo=None)

    def __str__(self) -> str:
        hours = (self.after - self.before) / 3600
        return f"{self.zone} {self.wall(0):%Y-%m-%d %H:%M} {hours:+g}h"


def offset(zone: ZoneInfo, at: int) -> int:
    found = datetime.fromtimestamp(at, zone).utcoffset()
    assert found is not None
    return int(found.total_seconds())


def changes(first_year: int, last_year: int) -> list[Change]:
    """Every change of every zone in these years."""
    start = int(datetime(first_year, 1, 1, tzinfo=UTC).timestamp())
    end = int(datetime(last_year + 1, 1, 1, tzinfo=UTC).timestamp())
    return [
        change
        for name in sorted(zoneinfo.available_timezones())
        if name not in {"localtime", "Factory"}
        for change in _changes_of(name, start, end)
    ]


def _changes_of(name: str, start: int, end: int) -> Iterator[Change]:
    zone = ZoneInfo(name)
    step = 6 * 3600
    before = offset(zone, start)
    for at in range(start, end, step):
        after = offset(zone, at + step)
        if after != before:
            low, high = at, at + step
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(zone, middle) == before else (low, middle)
            yield Change(name, high, before, after)
            before = after


@dataclass(frozen=True)
class Minute:
    """One minute of real time.

    Attributes:
        at: Its first second.
        shown: The minute of the day on the wall.
        day: The date on the wall.
        is_again: Whether the wall has shown it before.
        left_out: Minutes of the day that the wall has just jumped over.
    """

    at: int
    shown: int
    day: datetime
    is_again: bool
    left_out: tuple[int, ...]


def walk(zone: str, start: int, end: int) -> list[Minute]:
    """Every minute from `start` to before `end`."""
    known = ZoneInfo(zone)
    minutes = []
    latest = datetime.fromtimestamp(start, known).replace(tzinfo=None, fold=0, second=0)
    latest -= timedelta(minutes=1)
    for at in range(start - start % 60, end, 60):
        wall = datetime.fromtimestamp(at, known).replace(tzinfo=None, fold=0)
        left_out = []
        is_again = wall <= latest
        while not is_again and latest + timedelta(minutes=1) < wall:
            latest += timedelta(minutes=1)
            left_out.append(latest.hour * 60 + latest.minute)
        latest = max(latest, wall)
        shown = wall.hour * 60 + wall.minute
        day = wall.replace(hour=0, minute=0)
        minutes.append(Minute(at, shown, day, is_again, tuple(left_out)))
    return minutes


def fire_times(minutes: list[Minute], times: frozenset[int], *, is_elapsed: bool) -> list[int]:
    """When a schedule of these minutes of the day, on every day, is to fire.

    On elapsed time: whenever the wall shows one of them. Otherwise: when the wall shows one for the
    first time, or has just jumped over one.
    """
    if is_elapsed:
        return [minute.at for minute in minutes if minute.shown in times]
    return [
        minute.at
        for minute in minutes
        if (minute.shown in times and not minute.is_again) or not times.isdisjoint(minute.left_out)
    ]

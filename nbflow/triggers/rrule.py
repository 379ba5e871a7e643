"""Times named by a recurrence rule of iCalendar (RFC 5545)."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from nbflow.errors import InvalidSchedule
from nbflow.triggers.rrule_text import Rule, RuleText, read
from nbflow.triggers.rrule_words import words_of
from nbflow.triggers.wall import first_after
from nbflow.triggers.zones import zone

if TYPE_CHECKING:
    from dateutil.rrule import rrule

_STEP_SECONDS = {"WEEKLY": 604_800, "DAILY": 86_400, "HOURLY": 3600, "MINUTELY": 60, "SECONDLY": 1}
_WITHIN_DAY = frozenset({"HOURLY", "MINUTELY", "SECONDLY"})


@dataclass(frozen=True)
class RRuleTrigger:
    """Fires at the wall times that a rule names; at clock changes as `wall` says.

    Attributes:
        rrule: One rule, "FREQ=WEEKLY;BYDAY=MO", or lines of DTSTART, RRULE, RDATE, EXDATE. Without
            DTSTART it is counted from Monday, 1 January 2024, 00:00.
        timezone: Whose wall times. A zone that DTSTART names takes the place of UTC.
    """

    rrule: str
    timezone: str = "UTC"
    _text: RuleText = field(init=False, repr=False, compare=False)
    _zone: ZoneInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        text = _checked(self.rrule, zone(self.timezone).key)
        object.__setattr__(self, "_text", text)
        object.__setattr__(self, "timezone", text.timezone)
        object.__setattr__(self, "_zone", zone(text.timezone))

    def next_after(self, at: float) -> float | None:
        is_elapsed = any(rule.frequency in _WITHIN_DAY for rule in self._text.rules)
        return first_after(at, self._zone, self._next_wall, is_elapsed=is_elapsed)

    def _next_wall(self, after: datetime) -> datetime | None:
        return _next_wall(self._text, after)

    def to_json(self) -> dict[str, Any]:
        return {"kind": "rrule", "rrule": self.rrule, "timezone": self.timezone}

    def words(self) -> str:
        return f"{words_of(self._text)} ({self.timezone})"


@lru_cache(maxsize=256)
def _checked(rrule: str, timezone: str) -> RuleText:
    text = read(rrule, timezone)
    try:
        first = _next_wall(text, text.start - timedelta(seconds=1))
    except (ValueError, TypeError, LookupError, OverflowError) as error:  # dateutil's own checks
        raise InvalidSchedule("rrule", rrule, f"{error}") from None
    if first is None:
        raise InvalidSchedule("rrule", rrule, "it names no time of the coming centuries")
    return text


def _next_wall(text: RuleText, after: datetime) -> datetime | None:
    while True:
        found = [wall for rule in text.rules if (wall := _next_of(rule, text.start, after))]
        n = bisect_right(text.extra, after)
        found += text.extra[n : n + 1]
        if not found:
            return None
        after = min(found)
        if after not in text.excluded:
            return after


def _next_of(rule: Rule, start: datetime, after: datetime) -> datetime | None:
    if rule.count is not None:
        walls = _counted(rule, start)
        n = bisect_right(walls, after)
        found = walls[n] if n < len(walls) else None
    else:
        years = _years_to_the_end(after)
        near = _dateutil_rule(rule.parts, _later(_near(rule, start, after), years))
        found = near.after(_later(after, years))
        found = None if found is None else _later(found, -years)
    if found is None or (rule.until is not None and found > rule.until):
        return None
    return found


@lru_cache(maxsize=64)
def _counted(rule: Rule, start: datetime) -> tuple[datetime, ...]:
    years = _years_to_the_end(start)
    found = islice(_dateutil_rule(rule.parts, _later(start, years)), rule.count)
    return tuple(_later(wall, -years) for wall in found)


def _years_to_the_end(wall: datetime) -> int:
    """How far to move a rule so that dateutil has 49 to 448 years left, for which it is fast.

    It looks for times that never come until the year 9999, whatever end it is given. The calendar
    is the same every 400 years, weekdays and all.
    """
    return (9950 - wall.year) // 400 * 400


def _later(wall: datetime, years: int) -> datetime:
    return wall.replace(year=wall.year + years)


@lru_cache(maxsize=256)
def _dateutil_rule(parts: str, start: datetime) -> rrule:
    from dateutil.rrule import rrule, rrulestr

    found = rrulestr(parts, dtstart=start)
    assert isinstance(found, rrule)
    return found


def _near(rule: Rule, start: datetime, after: datetime) -> datetime:
    """A start in step with the true one, shortly before `after`; dateutil counts from there."""
    if after <= start:
        return start
    step = _STEP_SECONDS.get(rule.frequency)
    if step is not None:
        n = (after - start) // timedelta(seconds=step * rule.interval) - 1
        return start + max(n, 0) * timedelta(seconds=step * rule.interval)
    months = 12 * rule.interval if rule.frequency == "YEARLY" else rule.interval
    first = start.year * 12 + (0 if rule.frequency == "YEARLY" else start.month - 1)
    n = (after.year * 12 + after.month - 1 - first) // months
    if n <= 0:
        return start
    year, month = divmod(first + n * months, 12)
    return datetime(year, month + 1, 1)

"""A cron expression, read by croniter in strict mode and by stricter rules of ours.

croniter alone takes `5-5` for every minute, `*/90` for every hour and a sixth field for seconds,
which other crons put first. Such texts are refused with a sentence, or taken for what they say.
"""

from __future__ import annotations

import calendar
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from nbflow.errors import InvalidSchedule

_LONGEST = 1000
_EXAMPLE = "minute hour day month weekday, such as '0 8 * * 1-5' for 08:00 from Monday to Friday"
_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = (
    ("minute", range(60), "0-59"),
    ("hour", range(24), "0-23"),
    ("day", range(1, 32), "1-31, L for the last day, 15W for the weekday nearest the 15th"),
    ("month", range(1, 13), "1-12 or jan-dec"),
    ("weekday", range(8), "0-7 or sun-sat (0 and 7 are Sunday), fri#2 for the second, L5 the last"),
)
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_WEEKDAYS = "mon tue wed thu fri sat sun".split()
_SIGNS = re.compile(r"[0-9a-z*,/#?-]+", re.ASCII)
_LAST_WEEKDAY = re.compile(r"\b([0-7]|sun|mon|tue|wed|thu|fri|sat)l\b", re.ASCII)
_STEP = re.compile(r"/(\d+)", re.ASCII)
_RANGE = re.compile(r"^(\w+)-(\w+)(/\d+)?$", re.ASCII)
_NEAREST = re.compile(r"^(?:(\d+)w|w(\d+))$", re.ASCII)
# The 29th of February on a given weekday may be 40 years away, across 2100.
_YEARS_AHEAD = 41


@dataclass(frozen=True)
class CronFields:
    """The days and times of day that an expression names.

    Attributes:
        times: Minutes of the day, ascending.
        days: Of the month.
        weekdays: 0 is Sunday.
        nth: Weekday to the ordinals it is restricted to, 6 for the last in the month.
        is_last_day: Whether the month's last day is named.
        nearest_weekday: The day of the month whose nearest weekday is meant; None: none is.
        is_both: Whether day and weekday must both fit; otherwise one of them is enough.
        is_elapsed: Whether it repeats within the hour or every hour, see `wall`.
    """

    times: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    nth: tuple[tuple[int, frozenset[int]], ...]
    is_last_day: bool
    nearest_weekday: int | None
    is_both: bool
    is_elapsed: bool
    _known: dict[tuple[int, int], tuple[int, ...]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def next_wall(self, after: datetime) -> datetime | None:
        """The first wall time strictly after the minute of `after`."""
        year, month = after.year, after.month
        days = self.days_of(year, month)
        if after.day in days:
            n = bisect_right(self.times, after.hour * 60 + after.minute)
            if n < len(self.times):
                hour, minute = divmod(self.times[n], 60)
                return datetime(year, month, after.day, hour, minute)
        n = bisect_right(days, after.day)
        last_year = min(year + _YEARS_AHEAD, 9999)
        while n == len(days):
            n = 0
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
            if year > last_year:
                return None
            days = self.days_of(year, month)
        hour, minute = divmod(self.times[0], 60)
        return datetime(year, month, days[n], hour, minute)

    def days_of(self, year: int, month: int) -> tuple[int, ...]:
        """The days of this month, ascending."""
        if month not in self.months:
            return ()
        found = self._known.get((year, month))
        if found is None:
            if len(self._known) > 600:
                self._known.clear()
            found = self._known[year, month] = self._days_of(year, month)
        return found

    def _days_of(self, year: int, month: int) -> tuple[int, ...]:
        first, n_days = calendar.monthrange(year, month)
        by_date = {day for day in self.days if day <= n_days}
        if self.is_last_day:
            by_date.add(n_days)
        if self.nearest_weekday is not None and self.nearest_weekday <= n_days:
            by_date.add(_nearest_weekday(self.nearest_weekday, first, n_days))
        nth = dict(self.nth)
        by_weekday = set()
        for day in range(1, n_days + 1):
            weekday = (first + day) % 7
            ordinals = nth.get(weekday)
            if ordinals is None:
                fits = weekday in self.weekdays
            else:
                fits = (day + 6) // 7 in ordinals or (6 in ordinals and day + 7 > n_days)
            if fits:
                by_weekday.add(day)
        both = by_date & by_weekday if self.is_both else by_date | by_weekday
        return tuple(sorted(both))


def _nearest_weekday(day: int, first: int, n_days: int) -> int:
    """The day from Monday to Friday that is nearest, in the same month; `first` as of calendar."""
    weekday = (first + day - 1) % 7
    if weekday == 5:
        return day - 1 if day > 1 else day + 2
    if weekday == 6:
        return day + 1 if day < n_days else day - 2
    return day


@lru_cache(maxsize=1024)
def fields_of(cron: str, day_or: bool) -> CronFields:
    """Read an expression.

    Args:
        day_or: False: day and weekday must both fit. True: as in cron, one of them is enough,
            unless one of the two begins with `*`.

    Raises:
        InvalidSchedule: The expression is not understood, or names no time that ever comes.
    """
    from croniter import CroniterError, croniter

    parts = _parts(cron)
    text = " ".join(parts)
    try:
        expanded, nth = croniter.expand(text, strict=True)
    except (CroniterError, ValueError, LookupError, TypeError) as error:
        raise InvalidSchedule("cron", cron, _complaint(parts, str(error))) from None
    minutes, hours, days, months, weekdays = (
        frozenset(named[1] if "*" in values else (v for v in values if isinstance(v, int)))
        for values, named in zip(expanded, _FIELDS, strict=True)
    )
    nearest = _NEAREST.match(parts[2])
    found = CronFields(
        times=tuple(sorted(hour * 60 + minute for hour in hours for minute in minutes)),
        days=frozenset() if nearest else days,
        months=months,
        weekdays=weekdays,
        nth=tuple(
            (int(day), frozenset(6 if str(n) == "l" else int(n) for n in which))
            for day, which in nth.items()
        ),
        is_last_day="l" in expanded[2],
        nearest_weekday=int(nearest[1] or nearest[2]) if nearest else None,
        is_both=not day_or or parts[2].startswith("*") or parts[4].startswith("*"),
        is_elapsed=(
            parts[0].startswith("*")
            or parts[1].startswith("*")
            or len(minutes) == 60
            or len(hours) == 24
        ),
    )
    if found.next_wall(datetime(2000, 1, 1)) is None:
        raise InvalidSchedule("cron", cron, "it names a day that never comes")
    return found


def plain_text(cron: str) -> str:
    """The five fields, without aliases, as croniter and others take them."""
    return " ".join(_parts(cron))


def _parts(cron: str) -> list[str]:
    """The five fields as croniter is to have them."""
    if not isinstance(cron, str):
        raise InvalidSchedule("cron", cron, f"give a text of five fields: {_EXAMPLE}")
    if len(cron) > _LONGEST:
        raise InvalidSchedule("cron", cron, f"it has over {_LONGEST} characters")
    text = cron.strip().lower()
    if text.startswith("@"):
        if text not in _ALIASES:
            raise InvalidSchedule("cron", cron, f"of aliases there are {', '.join(_ALIASES)}")
        text = _ALIASES[text]
    parts = text.split()
    if len(parts) != 5:
        has = f"{len(parts)} field{'s' * (len(parts) != 1)}"
        more = "; for seconds use an interval, such as 10s" if len(parts) == 6 else ""
        raise InvalidSchedule("cron", cron, f"it has {has}, cron has five: {_EXAMPLE}{more}")
    for index, part in enumerate(parts):
        reason = _refusal(part, index)
        if reason:
            raise InvalidSchedule("cron", cron, reason)
    parts[2], parts[4] = parts[2].replace("?", "*"), parts[4].replace("?", "*")
    parts[4] = _LAST_WEEKDAY.sub(r"l\1", parts[4])
    return [",".join(_single(item, n) for item in part.split(",")) for n, part in enumerate(parts)]


def _refusal(part: str, n: int) -> str:
    """Why croniter is not to see this field; empty: it may."""
    name, values, takes = _FIELDS[n]
    if not _SIGNS.fullmatch(part) or ("?" in part and (part != "?" or n not in {2, 4})):
        return f"{name} {part!r} is not understood; {name} takes {takes}"
    if re.match(r"^[hr]([(/]|$)", part):  # croniter: a hashed or a random value
        return f"{name} {part!r} is not fixed; {name} takes {takes}"
    special = [item for item in part.split(",") if n == 4 and ("#" in item or "l" in item)]
    if special and ("-" in part or len(special) <= part.count(",")):
        return (
            f"{name} {part!r} mixes weekdays of every week with one of the month; "
            "write them one by one, such as mon#2,fri#2"
        )
    for step in _STEP.findall(part):
        if int(step[:6]) > len(values):
            return (
                f"{name} {part!r} has a step beyond its range {values[0]}-{values[-1]}, so it "
                f"would not repeat every {step[:6]} {name}s; use an interval"
            )
    for item in part.split(","):
        ends = _RANGE.match(item)
        if ends and ends[3] and _number(ends[1], n, 0) > _number(ends[2], n, 7):
            return f"{name} {item!r} runs backwards; with a step it goes from low to high"
    return ""


def _number(text: str, n: int, sunday: int) -> int:
    """A number or a name of field `n`; Sunday begins a range as 0 and ends it as 7."""
    names = {3: _MONTHS, 4: _WEEKDAYS}.get(n, ())
    number = names.index(text) + 1 if text in names else int(text[:6]) if text.isdigit() else 0
    return sunday if n == 4 and number in {0, 7} else number


def _single(item: str, n: int) -> str:
    """`5-5` as `5`: croniter would take it for the whole field."""
    ends = _RANGE.match(item)
    if not ends or _number(ends[1], n, 7) != _number(ends[2], n, 7):
        return item
    # `0-7` and `0-sun` are the whole week, `7-0` and `sun-sun` are one day.
    is_week = n == 4 and ends[1] == "0" and ends[2] in {"7", "sun"}
    return item if is_week else ends[1]


def _complaint(parts: list[str], error: str) -> str:
    """Which field croniter does not understand, and what it takes."""
    from croniter import CroniterError, croniter

    for n, part in enumerate(parts):
        alone = ["*"] * 5
        alone[n] = part
        try:
            croniter.expand(" ".join(alone))
        except (CroniterError, ValueError, LookupError, TypeError):
            name, _, takes = _FIELDS[n]
            return (
                f"{name} {part!r} is not understood; {name} takes {takes}, lists 1,3, ranges 1-5 "
                "and steps */2"
            )
    if "can never occur" in error:
        return f"day {parts[2]!r} never comes in month {parts[3]!r}"
    return f"cron has five fields: {_EXAMPLE}"

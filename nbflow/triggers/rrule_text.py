"""The text of a recurrence rule: read line by line, with limits, into local wall times.

dateutil would start a rule without DTSTART at the moment it is read, and goes on for minutes over
rules that never match; so the parts that decide about this are taken out and judged here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from math import prod

from nbflow.errors import InvalidSchedule
from nbflow.triggers.wall import instant_of, wall_time
from nbflow.triggers.zones import zone

LONGEST = 6000
MOST_COUNTED = 10_000
_MOST_PER_DAY = 288  # every 5 minutes; what is denser is an interval
_EXAMPLE = "such as 'FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=8;BYMINUTE=0'"
# What a rule without DTSTART is counted from: a Monday.
_START = datetime(2024, 1, 1)
_PARTS = frozenset(
    "FREQ INTERVAL COUNT UNTIL WKST BYSETPOS BYMONTH BYMONTHDAY BYYEARDAY BYWEEKNO BYDAY "
    "BYWEEKDAY BYHOUR BYMINUTE BYSECOND".split()
)
_FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
_DAY_PARTS = ("BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY")
# With more frequent rules than these, dateutil looks for minutes for days that never come.
_LAST_RANK = {"BYSETPOS": 3, "BYMONTHDAY": 3, "BYYEARDAY": 3, "BYWEEKNO": 3, "BYMONTH": 5}
_RANGES = {
    "BYSETPOS": (-366, 366),
    "BYMONTH": (1, 12),
    "BYMONTHDAY": (-31, 31),
    "BYYEARDAY": (-366, 366),
    "BYWEEKNO": (-53, 53),
    "BYHOUR": (0, 23),
    "BYMINUTE": (0, 59),
    "BYSECOND": (0, 59),
}
_DATE = re.compile(r"(\d{8})(?:T(\d{6})(Z?))?", re.ASCII)
_VALUE = re.compile(r"[A-Z0-9,+-]+", re.ASCII)


@dataclass(frozen=True)
class Rule:
    """One RRULE line.

    Attributes:
        parts: Its other parts, with those that dateutil would take from DTSTART made explicit.
        interval: In units of `frequency`.
        count: How many there are; None: no end by number.
        until: No wall time comes after it; None: no end by time.
    """

    parts: str
    frequency: str
    interval: int
    count: int | None
    until: datetime | None


@dataclass(frozen=True)
class RuleText:
    """All lines of a text, in wall times of `timezone`."""

    timezone: str
    start: datetime
    rules: tuple[Rule, ...]
    extra: tuple[datetime, ...]
    excluded: frozenset[datetime]


def read(text: str, timezone: str) -> RuleText:
    """Read DTSTART, RRULE, RDATE and EXDATE lines, or the parts of a single rule.

    Raises:
        InvalidSchedule: The text is not understood, or asks for what would never end.
    """
    if not isinstance(text, str) or not text.strip():
        raise InvalidSchedule("rrule", text, f"give a text {_EXAMPLE}")
    if len(text) > LONGEST:
        raise InvalidSchedule("rrule", text, f"it has over {LONGEST} characters")
    lines = [_Line(text, line) for line in text.upper().split()]
    starts = [line for line in lines if line.name == "DTSTART"]
    if len(starts) > 1:
        raise InvalidSchedule("rrule", text, "it has more than one DTSTART")
    # The name of a zone, unlike all else, is not in capitals.
    named = re.search(r"DTSTART;[^:\s]*?TZID=([^:;\s]+)", text, re.IGNORECASE)
    if named and timezone not in ("UTC", named[1]):
        reason = f"its DTSTART is in {named[1]}, the schedule in {timezone}; give one of them"
        raise InvalidSchedule("rrule", text, reason)
    timezone = zone(named[1] if named else timezone).key
    start = starts[0].walls(timezone)[0] if starts else _START
    rules = tuple(_rule(line, start, timezone) for line in lines if line.name == "RRULE")
    extra = [wall for line in lines if line.name == "RDATE" for wall in line.walls(timezone)]
    if not rules and not extra:
        raise InvalidSchedule("rrule", text, f"it has no rule; give one {_EXAMPLE}")
    if any(rule.count for rule in rules) and not starts:
        raise InvalidSchedule("rrule", text, "COUNT counts from DTSTART, which it does not have")
    excluded = [wall for line in lines if line.name == "EXDATE" for wall in line.walls(timezone)]
    return RuleText(timezone, start, rules, tuple(sorted(extra)), frozenset(excluded))


class _Line:
    def __init__(self, text: str, line: str) -> None:
        head, colon, self.value = line.rpartition(":")
        self.text = text
        self.name = head.partition(";")[0] if colon else "RRULE"
        self.zone = head.partition("TZID=")[2].partition(";")[0]
        if self.name not in {"DTSTART", "RRULE", "RDATE", "EXDATE"}:
            known = "DTSTART, RRULE, RDATE and EXDATE"
            raise self.error(f"{self.name[:20]!r} is not known; a rule has {known}")

    def error(self, reason: str) -> InvalidSchedule:
        return InvalidSchedule("rrule", self.text, reason)

    def walls(self, timezone: str) -> list[datetime]:
        """Its dates and times, as the wall there shows them."""
        if self.zone not in {"", timezone.upper()}:
            raise self.error(f"its {self.name} is in another zone than {timezone}; give all in one")
        return [self.wall(value, timezone) for value in self.value.split(",")]

    def wall(self, value: str, timezone: str) -> datetime:
        """A date and time, as the wall there shows it."""
        match = _DATE.fullmatch(value)
        try:
            if not match:
                raise ValueError("not a date")
            found = datetime.strptime(match[1] + (match[2] or "000000"), "%Y%m%d%H%M%S")
            if not 1900 <= found.year < 9900:
                raise ValueError("not a year of ours")
        except ValueError:
            reason = (
                f"{value[:40]!r} is no date; write 20261224T180000, or 20261224T230000Z for UTC"
            )
            raise self.error(reason) from None
        if not match[3]:
            return found
        return wall_time(instant_of(found, zone("UTC")), zone(timezone)).replace(fold=0)


def _rule(line: _Line, start: datetime, timezone: str) -> Rule:
    parts: dict[str, str] = {}
    for part in line.value.strip(";").split(";"):
        name, equals, value = part.partition("=")
        if not equals or name not in _PARTS or name in parts or not _VALUE.fullmatch(value):
            raise line.error(f"{part[:40]!r} is not understood; write a rule {_EXAMPLE}")
        parts["BYDAY" if name == "BYWEEKDAY" else name] = value
    frequency = parts.get("FREQ", "")
    if frequency not in _FREQUENCIES:
        raise line.error(f"FREQ must be one of {', '.join(_FREQUENCIES)}")
    interval = _number(line, parts, "INTERVAL", 1_000_000) or 1
    count = _number(line, parts, "COUNT", MOST_COUNTED)
    until = line.wall(parts["UNTIL"], timezone) if "UNTIL" in parts else None
    if until is not None and "T" not in parts["UNTIL"]:
        until = until.replace(hour=23, minute=59, second=59)  # a date: all of it
    rank = _FREQUENCIES.index(frequency)
    if rank > 1 and any(sign.isdigit() for sign in parts.get("BYDAY", "")):
        raise line.error(f"BYDAY={parts['BYDAY'][:20]} needs FREQ=MONTHLY or FREQ=YEARLY")
    for name in parts:
        if rank > _LAST_RANK.get(name, rank):
            needs = _FREQUENCIES[_LAST_RANK[name]]
            raise line.error(f"{name} cannot be combined with FREQ={frequency}; it needs {needs}")
    for name, (low, high) in _RANGES.items():
        _check_range(line, parts, name, low, high)
    per_day = prod(
        len(parts[name].split(",")) for name in ("BYHOUR", "BYMINUTE", "BYSECOND") if name in parts
    )
    if rank <= 3 and per_day > _MOST_PER_DAY:
        raise line.error(f"it has over {_MOST_PER_DAY} times a day; use an interval")
    for name in ("INTERVAL", "COUNT", "UNTIL"):
        parts.pop(name, None)
    _make_explicit(parts, rank, start)
    text = ";".join(f"{name}={value}" for name, value in parts.items())
    return Rule(f"{text};INTERVAL={interval}", frequency, interval, count, until)


def _number(line: _Line, parts: dict[str, str], name: str, most: int) -> int | None:
    value = parts.get(name)
    if value is None:
        return None
    if not (value.isdigit() and len(value) < 10 and 1 <= int(value) <= most):
        raise line.error(f"{name}={value[:20]} must be a number from 1 to {most}")
    return int(value)


def _check_range(line: _Line, parts: dict[str, str], name: str, low: int, high: int) -> None:
    for value in parts[name].split(",") if name in parts else ():
        try:
            is_good = low <= int(value) <= high and not (low < 0 and int(value) == 0)
        except ValueError:
            is_good = False
        if not is_good:
            but = " but 0" if low < 0 else ""
            raise line.error(f"{name}={value[:20]} must be a number from {low} to {high}{but}")


def _make_explicit(parts: dict[str, str], rank: int, start: datetime) -> None:
    """Write down what follows from DTSTART, so that a later start gives the same times."""
    if not any(name in parts for name in _DAY_PARTS):
        if rank == 0:
            parts.setdefault("BYMONTH", str(start.month))
        if rank <= 1:
            parts["BYMONTHDAY"] = str(start.day)
        elif rank == 2:
            parts["BYDAY"] = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")[start.weekday()]
    times = (("BYHOUR", start.hour), ("BYMINUTE", start.minute), ("BYSECOND", start.second))
    for above, (name, value) in enumerate(times, start=4):
        if rank < above:
            parts.setdefault(name, str(value))

"""What people write: intervals, instants, zones. What cannot be read says what can."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, timedelta

from nbflow.errors import InvalidSchedule
from nbflow.triggers.wall import LATEST_AT, instant_of
from nbflow.triggers.zones import local_zone_name, zone

__all__ = ["instant", "interval_seconds", "local_zone_name", "seconds", "zone"]

_INTERVALS = "write seconds or a text such as 90s, 15m, 6h, 1h30m, 2d or 1w"
_INSTANTS = (
    "write a date and a time such as 2026-12-24T18:00, with seconds or an offset such as "
    "2026-12-24T18:00:30+01:00 if need be"
)
_UNITS = {
    "ms": 0.001, "millisecond": 0.001,
    "s": 1, "sec": 1, "second": 1,
    "m": 60, "min": 60, "minute": 60,
    "h": 3600, "hr": 3600, "hour": 3600,
    "d": 86_400, "day": 86_400,
    "w": 604_800, "week": 604_800,
}  # fmt: skip
_PART = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\s*([a-z]+)[\s,]*", re.ASCII)
_NUMBER = re.compile(r"\d{1,12}(\.\d{1,9})?", re.ASCII)
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?\s?(Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)
LEAST_INTERVAL_SECONDS = 0.01
_MOST_SECONDS = 100 * 366 * 86_400.0


def interval_seconds(value: str | float | timedelta) -> float:
    """The length of an interval: "6h", "90s", "1h30m", a timedelta or a number of seconds.

    Raises:
        InvalidSchedule: It is none, or shorter than 0.01 s, or longer than a century.
    """
    return seconds(value, "interval", least=LEAST_INTERVAL_SECONDS)


def seconds(value: str | float | timedelta, what: str, *, least: float = 0.0) -> float:
    """A length of time, given as for `interval_seconds`; `what` names it in errors."""
    found = _seconds(value)
    if found is None:
        raise InvalidSchedule(what, value, _INTERVALS)
    if not least <= found <= _MOST_SECONDS:
        raise InvalidSchedule(what, value, f"it must last from {least:g} seconds to a century")
    return found


def _seconds(value: object) -> float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    if not isinstance(value, str) or len(value) > 100:
        return None
    text = value.strip().lower()
    if _NUMBER.fullmatch(text):
        return float(text)
    total, at = 0.0, 0
    while at < len(text):
        part = _PART.match(text, at)
        unit = None if part is None else _unit(part[2])
        if part is None or unit is None:
            return None
        total, at = total + float(part[1]) * unit, part.end()
    return round(total, 6) if text else None


def _unit(name: str) -> float | None:
    return _UNITS.get(name) or (_UNITS.get(name[:-1]) if len(name) > 3 else None)


def instant(value: str | float | date, timezone: str, what: str = "time") -> float:
    """A point in time, in seconds since the epoch.

    Args:
        value: "2026-12-24T18:00", a datetime, a date (its midnight) or seconds since the epoch.
        timezone: Of texts and datetimes that have no offset. A time that the clocks jump over
            there is the moment they do, one that comes twice is the first.

    Raises:
        InvalidSchedule: It cannot be read; `what` names it in the sentence.
    """
    known = zone(timezone)
    found = _instant(value, what)
    if isinstance(found, float):
        return found
    if found.tzinfo is not None:
        at = found.timestamp()
    else:
        at = instant_of(found.replace(microsecond=0, fold=0), known) + found.microsecond / 1e6
    return at


def _instant(value: object, what: str) -> datetime | float:
    if isinstance(value, datetime):
        found = value
    elif isinstance(value, date):
        found = datetime(value.year, value.month, value.day)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) < LATEST_AT:
            raise InvalidSchedule(what, value, _INSTANTS)
        return float(value)
    else:
        found = _written(value, what)
    if not 1900 <= found.year < 9999:
        raise InvalidSchedule(what, value, "the year must be from 1900 to 9998")
    return found


def _written(value: object, what: str) -> datetime:
    text = value.strip() if isinstance(value, str) and len(value) <= 100 else ""
    if not _INSTANT.fullmatch(text):
        raise InvalidSchedule(what, value, _INSTANTS)
    try:
        return datetime.fromisoformat(text.replace(" +", "+").replace(" -", "-").replace(" Z", "Z"))
    except ValueError as error:  # such as the 30th of February
        raise InvalidSchedule(what, value, f"{error}; {_INSTANTS}") from None

"""A recurrence rule in English."""

from __future__ import annotations

from nbflow.triggers.rrule_text import Rule, RuleText

_UNITS = {
    "YEARLY": "year", "MONTHLY": "month", "WEEKLY": "week", "DAILY": "day",
    "HOURLY": "hour", "MINUTELY": "minute", "SECONDLY": "second",
}  # fmt: skip
_DAYS = {
    "MO": "Monday", "TU": "Tuesday", "WE": "Wednesday", "TH": "Thursday",
    "FR": "Friday", "SA": "Saturday", "SU": "Sunday",
}  # fmt: skip
_MONTHS = (
    "January February March April May June July August September October November December"
).split()
_NTH = {"1": "first", "2": "second", "3": "third", "4": "fourth", "5": "fifth", "-1": "last"}
_SAID = frozenset("FREQ INTERVAL BYDAY BYMONTHDAY BYMONTH BYHOUR BYMINUTE BYSECOND WKST".split())


def words_of(text: RuleText) -> str:
    """The rules in words: "every week on Monday and Friday at 08:00"."""
    said = [_said(rule) for rule in text.rules]
    if text.extra:
        said.append(f"at {len(text.extra)} given time{'s' * (len(text.extra) != 1)}")
    if text.excluded:
        said.append(f"without {len(text.excluded)} given time{'s' * (len(text.excluded) != 1)}")
    return ", ".join(said)


def _said(rule: Rule) -> str:
    parts = dict(part.split("=", 1) for part in rule.parts.split(";"))
    unit = _UNITS[rule.frequency]
    words = f"every {unit}" if rule.interval == 1 else f"every {rule.interval} {unit}s"
    if "BYDAY" in parts:
        words += f" on {_listed([_day(day) for day in parts['BYDAY'].split(',')])}"
    if "BYMONTHDAY" in parts:
        words += f" on day {_listed(parts['BYMONTHDAY'].split(','))}"
    if "BYMONTH" in parts:
        names = [_MONTHS[int(n) - 1] for n in parts["BYMONTH"].split(",")]
        words += f" in {_listed(names)}"
    words += _times(parts)
    rest = [f"{name}={value}" for name, value in parts.items() if name not in _SAID]
    words += "".join(f" {part}" for part in rest)
    if rule.count is not None:
        words += f", {rule.count} times"
    if rule.until is not None:
        words += f", until {rule.until:%Y-%m-%d %H:%M}"
    return words


def _times(parts: dict[str, str]) -> str:
    hours, minutes, seconds = (
        parts.get(name, "").split(",") for name in ("BYHOUR", "BYMINUTE", "BYSECOND")
    )
    if all((*hours, *minutes, *seconds)):
        ends = [""] if seconds == ["0"] else [f":{int(second):02}" for second in seconds]
        times = [f"{int(h):02}:{int(m):02}{s}" for h in hours for m in minutes for s in ends]
        return f" at {_listed(times)}"
    given = (
        ("hour", hours),
        ("minute", minutes),
        ("second", seconds if seconds != ["0"] else [""]),
    )
    named = [f"{name} {_listed(values)}" for name, values in given if all(values)]
    return f" at {', '.join(named)}" if named else ""


def _day(day: str) -> str:
    nth, name = day[:-2].lstrip("+"), _DAYS.get(day[-2:], day)
    if not nth:
        return name
    return f"the {_NTH.get(nth, nth)} {name}"


def _listed(values: list[str]) -> str:
    if len(values) > 12:
        values = [*values[:12], "more"]
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} and {values[-1]}"

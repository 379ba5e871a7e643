"""A cron expression in English."""

from __future__ import annotations

from functools import lru_cache

from nbflow.triggers.cron_fields import CronFields, plain_text

_MIDNIGHT = "0 0"  # "At 00:00, ", which is cut off again


@lru_cache(maxsize=1024)
def _described(text: str) -> str | None:
    from cron_descriptor import ExpressionDescriptor, Options

    options = Options()
    options.use_24hour_time_format = True
    options.locale_code = "en_US"  # the user's would mix two languages in one sentence
    try:
        return str(ExpressionDescriptor(text, options))
    except Exception:  # it gives up on some valid ones, by errors of many types
        return None


def words_of(cron: str, fields: CronFields) -> str:
    """The expression in words, or itself where there are none: "at 08:00, Monday to Friday"."""
    minute, hour, day, month, weekday = plain_text(cron).upper().split()  # "day L", not "day l"
    if day == "*" or weekday == "*":
        found = _described(f"{minute} {hour} {day} {month} {weekday}")
    else:
        # It would not tell whether one of the two is enough.
        dates = _described(f"{minute} {hour} {day} * *")
        named = _described(f"{_MIDNIGHT} * * {weekday}")
        season = "" if month == "*" else _described(f"{_MIDNIGHT} * {month} *")
        found = None
        if dates and named and season is not None:
            link = "but only on" if fields.is_both else "or on"
            named = _tail(named).removeprefix("only ").removeprefix("on ")
            found = f"{dates}, {link} {named}" + (season and f", {_tail(season)}")
    if not found:
        return f"cron {cron}"
    found = found.replace(", only on ", ", on ").replace(" through ", " to ")
    return found[0].lower() + found[1:]


def _tail(found: str) -> str:
    return found.partition(", ")[2]

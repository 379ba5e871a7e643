"""Triggers from the JSON form that the store keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nbflow.errors import InvalidSchedule
from nbflow.triggers.cron import CronTrigger
from nbflow.triggers.date import DateTrigger
from nbflow.triggers.events import AfterTrigger, FilesTrigger
from nbflow.triggers.interval import IntervalTrigger
from nbflow.triggers.rrule import RRuleTrigger
from nbflow.triggers.trigger import Trigger

_KINDS: dict[str, Callable[..., Trigger]] = {
    "cron": CronTrigger,
    "interval": IntervalTrigger,
    "date": DateTrigger,
    "rrule": RRuleTrigger,
    "files": lambda patterns, **rest: FilesTrigger(tuple(patterns), **rest),
    "after": AfterTrigger,
}


def load(json: Mapping[str, Any]) -> Trigger:
    """The trigger whose `to_json()` this is.

    Raises:
        InvalidSchedule: It is none, or of a newer nbflow.
    """
    fields = dict(json)
    kind = fields.pop("kind", None)
    make = _KINDS.get(kind) if isinstance(kind, str) else None
    if make is None:
        raise InvalidSchedule("trigger", kind, f"this nbflow knows {', '.join(_KINDS)}")
    try:
        return make(**fields)
    except TypeError as error:
        raise InvalidSchedule("trigger", dict(json), str(error)) from None

"""What is to come, for people."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from nbflow.triggers.trigger import Trigger
from nbflow.triggers.zones import zone

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def next_times(
    trigger: Trigger, n: int, after: float, until_at: float | None = None
) -> list[float]:
    """The next `n` fire times strictly after `after`, or fewer; none later than `until_at`."""
    found: list[float] = []
    at = trigger.next_after(after)
    while at is not None and len(found) < n and (until_at is None or at <= until_at):
        found.append(at)
        at = trigger.next_after(at)
    return found


def told(at: float, timezone: str) -> str:
    """An instant as the wall there shows it: "Thu 2026-12-24 18:00 UTC-05:00"."""
    milliseconds = round((at - math.floor(at)) * 1000)
    second, rest = math.floor(at) + milliseconds // 1000, milliseconds % 1000
    wall = datetime.fromtimestamp(second, zone(timezone))
    # Locales would change strftime's day names, and what one process wrote another reads.
    text = f"{_DAYS[wall.weekday()]} {wall:%Y-%m-%d %H:%M}"
    if wall.second or rest:
        text += f":{wall.second:02}"
    if rest:
        text += f".{rest:03}"
    return f"{text} {_offset(wall.utcoffset() or timedelta())}"


def _offset(offset: timedelta) -> str:
    minutes = round(offset.total_seconds() / 60)
    return f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"

"""Equal steps of elapsed time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nbflow.triggers import texts
from nbflow.triggers.preview import told
from nbflow.triggers.wall import LATEST_AT, instant_of
from nbflow.triggers.zones import zone

_MONDAY = datetime(2024, 1, 1)


@dataclass(frozen=True)
class IntervalTrigger:
    """Fires every so many seconds, whatever the clocks do meanwhile.

    Fire times lie on a grid, so none drifts and every process knows the same ones. They are
    counted in whole microseconds, so that none is computed twice or left out.

    Attributes:
        seconds: Between two fire times, at least 0.01.
        anchor_at: One point of the grid, in seconds since the epoch. None: midnight of
            Monday, 1 January 2024, in `timezone`: every 6 hours is at 00:00, 06:00, ...
    """

    seconds: float
    anchor_at: float | None = None
    timezone: str = "UTC"
    _grid: tuple[int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        step = texts.interval_seconds(self.seconds)
        object.__setattr__(self, "seconds", step)
        known = zone(self.timezone)
        if self.anchor_at is None:
            anchor = instant_of(_MONDAY, known)
        else:
            anchor = texts.instant(self.anchor_at, self.timezone, "anchor")
        object.__setattr__(self, "_grid", (round(step * 1e6), round(anchor * 1e6)))

    def next_after(self, at: float) -> float | None:
        if not abs(at) < LATEST_AT:
            return None
        step, anchor = self._grid
        micros = anchor + ((math.floor(at * 1e6) - anchor) // step) * step
        while micros / 1e6 <= at:  # once or twice
            micros += step
        return micros / 1e6 if micros / 1e6 < LATEST_AT else None

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "interval",
            "seconds": self.seconds,
            "anchor_at": self.anchor_at,
            "timezone": self.timezone,
        }

    def words(self) -> str:
        text = f"every {_length(self._grid[0])}"
        if self.anchor_at is not None:
            text += f" from {told(self.anchor_at, self.timezone)}"
        return f"{text} ({self.timezone})"


def _length(micros: int) -> str:
    """A length of time in words: "hour", "6 hours", "1 hour 30 minutes"."""
    seconds, fraction = divmod(micros, 1_000_000)
    parts = []
    for unit, size in (("week", 604_800), ("day", 86_400), ("hour", 3600), ("minute", 60)):
        if unit == "week" and seconds % size:
            continue  # 10 days are not 1 week 3 days
        n, seconds = divmod(seconds, size)
        if n:
            parts.append((str(n), unit))
    if fraction and not parts and not seconds:
        parts.append((f"{fraction / 1000:g}", "millisecond"))
    elif fraction or seconds:
        parts.append((f"{seconds + fraction / 1e6:.15g}", "second"))
    if len(parts) == 1 and parts[0][0] == "1":
        return parts[0][1]
    return " ".join(f"{n} {unit}" + ("s" if n != "1" else "") for n, unit in parts)

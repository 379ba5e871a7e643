"""One instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nbflow.errors import InvalidSchedule
from nbflow.triggers.preview import told
from nbflow.triggers.wall import LATEST_AT
from nbflow.triggers.zones import zone


@dataclass(frozen=True)
class DateTrigger:
    """Fires once.

    Attributes:
        at: Seconds since the epoch.
        timezone: In which it is shown.
    """

    at: float
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        zone(self.timezone)
        if not abs(self.at) < LATEST_AT:
            raise InvalidSchedule("time", self.at, "it must lie before the year 9999")

    def next_after(self, at: float) -> float | None:
        return self.at if self.at > at else None

    def to_json(self) -> dict[str, Any]:
        return {"kind": "date", "at": self.at, "timezone": self.timezone}

    def words(self) -> str:
        return f"once, {told(self.at, self.timezone)} ({self.timezone})"

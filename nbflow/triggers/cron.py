"""Times named by a cron expression."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from nbflow.errors import InvalidSchedule
from nbflow.triggers.cron_fields import CronFields, fields_of
from nbflow.triggers.cron_words import words_of
from nbflow.triggers.wall import first_after
from nbflow.triggers.zones import zone


@dataclass(frozen=True)
class CronTrigger:
    """Fires at the wall times that a cron expression names; at clock changes as `wall` says.

    Attributes:
        cron: Five fields, or an alias such as @daily.
        timezone: Whose wall times.
        day_or: Where both day and weekday are given, one of them is enough, as in cron; False:
            both must fit.
    """

    cron: str
    timezone: str = "UTC"
    day_or: bool = True
    _fields: CronFields = field(init=False, repr=False, compare=False)
    _zone: ZoneInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.cron, str):
            raise InvalidSchedule("cron", self.cron, "give a text such as '0 8 * * 1-5'")
        object.__setattr__(self, "_fields", fields_of(self.cron, self.day_or))
        object.__setattr__(self, "_zone", zone(self.timezone))

    def next_after(self, at: float) -> float | None:
        fields = self._fields
        return first_after(at, self._zone, fields.next_wall, is_elapsed=fields.is_elapsed)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "cron",
            "cron": self.cron,
            "timezone": self.timezone,
            "day_or": self.day_or,
        }

    def words(self) -> str:
        return f"{words_of(self.cron, self._fields)} ({self.timezone})"

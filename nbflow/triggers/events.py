"""Triggers that wait for an event and so have no fire times: files that change, flows that end."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from nbflow.errors import InvalidSchedule

_LONGEST = 4096


@dataclass(frozen=True)
class FilesTrigger:
    """Fires when a file that fits one of the patterns is made, written or removed.

    Attributes:
        patterns: As for `glob`, relative to `folder` where they are not absolute; `**` is any
            number of folders.
        folder: An absolute path.
        timezone: In which times are shown.
    """

    patterns: tuple[str, ...]
    folder: str
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        for pattern in self.patterns:
            if not isinstance(pattern, str) or not pattern.strip() or "\0" in pattern:
                raise InvalidSchedule(
                    "on-change", pattern, "give a path or a pattern such as 'data/*.csv'"
                )
            if len(pattern) > _LONGEST:
                raise InvalidSchedule("on-change", pattern, f"it has over {_LONGEST} characters")
        if not self.patterns:
            raise InvalidSchedule(
                "on-change", self.patterns, "give at least one pattern such as 'data/*.csv'"
            )
        if not os.path.isabs(self.folder):
            raise InvalidSchedule("on-change folder", self.folder, "it must be an absolute path")

    def next_after(self, at: float) -> float | None:
        return None

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "files",
            "patterns": list(self.patterns),
            "folder": self.folder,
            "timezone": self.timezone,
        }

    def words(self) -> str:
        return f"when {' or '.join(self.patterns)} changes (in {self.folder})"


@dataclass(frozen=True)
class AfterTrigger:
    """Fires when a run of another flow has completed.

    Attributes:
        flow_name: As runs of it are called in the store, without a deployment.
        timezone: In which times are shown.
    """

    flow_name: str
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        if not isinstance(self.flow_name, str) or not self.flow_name.strip():
            raise InvalidSchedule("after", self.flow_name, "give the name of a flow")

    def next_after(self, at: float) -> float | None:
        return None

    def to_json(self) -> dict[str, Any]:
        return {"kind": "after", "flow_name": self.flow_name, "timezone": self.timezone}

    def words(self) -> str:
        return f"after each completed run of {self.flow_name}"

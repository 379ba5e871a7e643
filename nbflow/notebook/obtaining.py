"""How a cell got its results."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Obtained:
    """How the results of one executed cell came to be.

    Attributes:
        status: "completed" (run, and remembered from now on), "cached" (not run), "uncached" (run,
            and to be run the next time as well) or "failed".
        reason: Why it is uncached or has failed, in words.
        seconds: How long it took now.
        saved_seconds: For a cached one: how long it took when it ran.
        changed: Names that it was seen to change in place.
    """

    status: str
    reason: str = ""
    seconds: float = 0.0
    key: str = ""
    name: str = ""
    saved_seconds: float = 0.0
    changed: tuple[str, ...] = ()

    def to_json(self) -> str:
        """For the metadata of an executed notebook."""
        return json.dumps(asdict(self))

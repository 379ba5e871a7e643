"""What a worker tells the process that is to carry out a run: one line of JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

#: Who claims this of a run in the store sees to its flow's `on_crashed` hooks.
CRASHED_HOOKS = "on_crashed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A run to carry out.

    Attributes:
        owner_id: Who has the run now: the worker.
        folder: Where to work, and whose project settings hold.
        family: Mark of the process and those it starts, see `families`; empty: there is none.
        refusal: Why the run cannot be carried out; it fails with this. Empty: it can.
        is_crashed: The run's process has died: only its flow's `on_crashed` hooks are called.
    """

    run_id: str
    owner_id: str
    folder: str = ""
    family: str = ""
    refusal: str = ""
    is_crashed: bool = False

    def line(self) -> bytes:
        """As it is sent."""
        return json.dumps(asdict(self)).encode() + b"\n"


def assignment_of(line: bytes) -> Assignment:
    """What `Assignment.line` gave."""
    return Assignment(**json.loads(line))

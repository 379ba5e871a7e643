"""States by name, to return from flows and tasks or to compare with.

`return Failed("no rows")` fails a run without an exception; `return Completed(data=42)` ends it.
"""

from __future__ import annotations

from typing import Any

from nbflow.model.states import State, StateType, state_named

__all__ = [
    "AwaitingRetry",
    "Cached",
    "Cancelled",
    "Cancelling",
    "Completed",
    "Crashed",
    "Failed",
    "Late",
    "Paused",
    "Pending",
    "Retrying",
    "RolledBack",
    "Running",
    "Scheduled",
    "State",
    "StateType",
    "TimedOut",
]


class _Constructor:
    """Makes states of one name: `Failed("no rows")`."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, message: str = "", *, data: Any = None, name: str | None = None) -> State:
        state = state_named(self.__name__, message, data)
        return state if name is None else State(state.type, name, message, data, state.at)

    def __repr__(self) -> str:
        return f"nbflow.states.{self.__name__}"


Scheduled = _Constructor("Scheduled")
Late = _Constructor("Late")
AwaitingRetry = _Constructor("AwaitingRetry")
Pending = _Constructor("Pending")
Running = _Constructor("Running")
Retrying = _Constructor("Retrying")
Paused = _Constructor("Paused")
Cancelling = _Constructor("Cancelling")
Completed = _Constructor("Completed")
Cached = _Constructor("Cached")
RolledBack = _Constructor("RolledBack")
Failed = _Constructor("Failed")
TimedOut = _Constructor("TimedOut")
Crashed = _Constructor("Crashed")
Cancelled = _Constructor("Cancelled")

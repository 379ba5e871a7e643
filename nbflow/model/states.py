"""Where a run stands: a type that decides, a name that tells more, and the data it left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from nbflow.errors import CancelledRun, CrashedRun, FailedRun, UnfinishedRun


class StateType(StrEnum):
    """The nine types of state; the names refine them (a `Late` run is of type SCHEDULED)."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CRASHED = "CRASHED"
    CANCELLED = "CANCELLED"


FINAL_TYPES = frozenset(
    {StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED}
)

#: Every state name and the type it belongs to.
STATE_NAMES: dict[str, StateType] = {
    "Scheduled": StateType.SCHEDULED,
    "Late": StateType.SCHEDULED,
    "AwaitingRetry": StateType.SCHEDULED,
    "Pending": StateType.PENDING,
    "Running": StateType.RUNNING,
    "Retrying": StateType.RUNNING,
    "Paused": StateType.PAUSED,
    "Cancelling": StateType.CANCELLING,
    "Completed": StateType.COMPLETED,
    "Cached": StateType.COMPLETED,
    "RolledBack": StateType.COMPLETED,
    "Failed": StateType.FAILED,
    "TimedOut": StateType.FAILED,
    "Crashed": StateType.CRASHED,
    "Cancelled": StateType.CANCELLED,
    "Missed": StateType.CANCELLED,  # nobody was there at its fire time, and it was not made up for
    "Skipped": StateType.CANCELLED,  # the run before it had not ended
}


@dataclass(frozen=True, slots=True)
class Deferred:
    """Stands in for a value that is kept elsewhere and read when it is asked for."""

    load: Callable[[], Any]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class State:
    """Where a run stands. A new State replaces the old one; nothing mutates.

    Attributes:
        type: What decides how the run goes on.
        name: A refinement of the type, one of `STATE_NAMES` or the user's own.
        message: One sentence for people; may be empty.
        data: The run's value when it completed, its exception when it did not.
        at: When the run entered the state, in seconds since the epoch.
    """

    type: StateType
    name: str
    message: str = ""
    data: Any = None
    at: float = field(default_factory=time.time)

    @property
    def timestamp(self) -> datetime:
        """When the run entered the state, as an aware UTC datetime."""
        return datetime.fromtimestamp(self.at, UTC)

    def is_scheduled(self) -> bool:
        return self.type is StateType.SCHEDULED

    def is_pending(self) -> bool:
        return self.type is StateType.PENDING

    def is_running(self) -> bool:
        return self.type is StateType.RUNNING

    def is_paused(self) -> bool:
        return self.type is StateType.PAUSED

    def is_cancelling(self) -> bool:
        return self.type is StateType.CANCELLING

    def is_completed(self) -> bool:
        return self.type is StateType.COMPLETED

    def is_failed(self) -> bool:
        return self.type is StateType.FAILED

    def is_crashed(self) -> bool:
        return self.type is StateType.CRASHED

    def is_cancelled(self) -> bool:
        return self.type is StateType.CANCELLED

    def is_final(self) -> bool:
        return self.type in FINAL_TYPES

    def result(self, raise_on_failure: bool = True) -> Any:
        """The run's value.

        Args:
            raise_on_failure: False: give the exception back instead of raising it.

        Raises:
            Exception: The run's own exception, unwrapped, when it failed.
            RunError: When the run was cancelled, crashed or has not finished.
        """
        __tracebackhide__ = True
        if self.type is StateType.COMPLETED:
            return self.data.load() if type(self.data) is Deferred else self.data
        error = self.error
        if raise_on_failure:
            raise error
        return error

    @property
    def error(self) -> BaseException:
        """What `result()` raises for a state that is not completed."""
        if isinstance(self.data, BaseException):
            return self.data
        text = self.message or f"the run is in state {self.name}"
        kinds = {
            StateType.FAILED: FailedRun,
            StateType.CANCELLED: CancelledRun,
            StateType.CRASHED: CrashedRun,
        }
        return kinds.get(self.type, UnfinishedRun)(text)

    def with_data(self, data: Any) -> State:
        """The same state holding other data."""
        return replace(self, data=data)

    def __repr__(self) -> str:
        return f"{self.name}({self.message!r})" if self.message else f"{self.name}()"


def state_named(name: str, message: str = "", data: Any = None) -> State:
    """A state by one of the names in `STATE_NAMES`, entered now."""
    return State(STATE_NAMES[name], name, message, data)

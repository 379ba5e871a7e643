"""The only ways a run's protocol may block. Drivers perform them and send an `Outcome` back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbflow.engine.context import RunContext
    from nbflow.engine.futures import TaskFuture


@dataclass(slots=True)
class Call:
    """Call the user's function as one try of the run."""

    context: RunContext
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@dataclass(slots=True)
class Offload:
    """Do a blocking piece of nbflow's own work, such as reading a result.

    Attributes:
        undo: Gives back what `fn` got when the run did not wait for it: it was cancelled.
    """

    fn: Callable[[], Any]
    undo: Callable[[Any], object] | None = None

    def drop(self, outcome: Outcome) -> None:
        """The outcome came too late."""
        if self.undo is not None and outcome.error is None:
            self.undo(outcome.value)


@dataclass(slots=True)
class Sleep:
    """Wait; a cancelled run wakes up at once."""

    context: RunContext
    seconds: float


@dataclass(slots=True)
class Wait:
    """Wait until all of these are final, for the rest of a try's time at most."""

    context: RunContext
    futures: Collection[TaskFuture[Any]]
    timeout_seconds: float | None = None


@dataclass(slots=True)
class Outcome:
    """What came of an effect. Errors are data here: no frame of ours ends up in a traceback.

    Attributes:
        ended: Name of the state nbflow ended the try with (TimedOut, Cancelled, Crashed); None
            where the user's function ended by itself.
    """

    value: Any = None
    error: BaseException | None = None
    ended: str | None = None
    repeatable: bool = True


Effect = Call | Offload | Sleep | Wait

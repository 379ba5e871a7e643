"""Where submitted tasks run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from nbflow.engine.effects import Call, Outcome
from nbflow.errors import InvalidOption

if TYPE_CHECKING:
    from nbflow.engine.pool import ThreadPool

Answered = Callable[[Outcome], None]


class TaskRunner(Protocol):
    """Chooses the threads or processes of a flow run's submitted tasks."""

    @property
    def max_workers(self) -> int | None: ...

    @property
    def elsewhere(self) -> bool:
        """Whether tasks leave this process, by `start`."""

    def start(
        self, call: Call, began: Callable[[], None], answered: Answered
    ) -> Callable[[], object]:
        """Run a call in another process; gives a function that kills it there.

        Args:
            began: To be called when a worker takes the call up: until then it only waits.
            answered: To be called once with what came of it.
        """

    def close(self) -> None:
        """The flow run has ended."""


def checked_workers(owner: str, max_workers: int | None) -> int | None:
    """`max_workers`, if it is a number from 1 on or None.

    Raises:
        InvalidOption: It is not.
    """
    valid = max_workers is None or (
        isinstance(max_workers, int) and not isinstance(max_workers, bool) and max_workers >= 1
    )
    if not valid:
        raise InvalidOption(owner, "max_workers", max_workers, "a whole number from 1 on")
    return max_workers


class ThreadPoolTaskRunner:
    """Runs submitted tasks on threads of this process: right for waiting, I/O, numpy and pandas.

    Args:
        max_workers: Threads at a time; None: the process-wide pool (see `NBFLOW_MAX_THREADS`).
    """

    elsewhere = False

    def __init__(self, max_workers: int | None = None) -> None:
        self.max_workers = checked_workers("ThreadPoolTaskRunner", max_workers)
        self.pool: ThreadPool | None = None

    def start(
        self, call: Call, began: Callable[[], None], answered: Answered
    ) -> Callable[[], object]:
        raise NotImplementedError("threads run their calls themselves")

    def close(self) -> None:
        if self.pool is not None:
            self.pool.close()
            self.pool = None

    def __repr__(self) -> str:
        return f"ThreadPoolTaskRunner(max_workers={self.max_workers})"

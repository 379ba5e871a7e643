"""Which run the code at hand belongs to."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from nbflow.model.runs import Run
from nbflow.model.specs import Spec

if TYPE_CHECKING:
    from nbflow.engine.futures import TaskFuture
    from nbflow.engine.runners import TaskRunner


class FlowScope:
    """What the runs of one flow run share; tasks outside of any flow share one of their own.

    Attributes:
        run: The flow run; None for the scope outside of flows.
        runner: Where submitted tasks go.
        unfinished: Futures that have not ended.
        failed: Futures that failed and were not looked at yet.
        persist: Whether results are kept where a task does not say.
        gate: Closed while the flow run is paused.
        cancelled: Whether its end was asked for.
        origin_id: The flow run whose kept results its tasks use; empty: each flow run its own.
        is_resumable: Whether results are kept for a run that goes on from this one.
    """

    __slots__ = (
        "_numbers",
        "cancelled",
        "failed",
        "gate",
        "is_resumable",
        "origin_id",
        "parameters",
        "persist",
        "run",
        "runner",
        "unfinished",
    )

    def __init__(
        self, run: Run | None, runner: TaskRunner, persist: bool = False, origin_id: str = ""
    ) -> None:
        self.run = run
        self.runner = runner
        self.persist = persist
        self.parameters: dict[str, Any] = {}
        self.unfinished: set[TaskFuture[Any]] = set()
        self.failed: set[TaskFuture[Any]] = set()
        self.gate: threading.Event | None = None
        self.cancelled = False
        self.origin_id = origin_id
        self.is_resumable = False
        self._numbers: dict[str, itertools.count[int]] = {}

    def number(self, name: str) -> int:
        """0, 1, 2, ...: how many runs of this name there were before in the flow run."""
        numbers = self._numbers.get(name)
        if numbers is None:
            numbers = self._numbers.setdefault(name, itertools.count())
        return next(numbers)


class RunContext(NamedTuple):
    """What code inside a run may ask about it. Travels with `contextvars`, so into threads too."""

    run: Run
    spec: Spec
    scope: FlowScope
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    log_prints: bool

    def parameters(self) -> dict[str, Any]:
        """The run's arguments by name."""
        if self.run.parameters is None:
            self.run.parameters = self.spec.bind(self.args, self.kwargs)
        return self.run.parameters


current_run: ContextVar[RunContext | None] = ContextVar("nbflow_current_run", default=None)
current_tags: ContextVar[frozenset[str]] = ContextVar("nbflow_current_tags", default=frozenset())


@contextmanager
def inside(context: RunContext | None) -> Iterator[None]:
    """Make `context` the current run."""
    token = current_run.set(context)
    try:
        yield
    finally:
        current_run.reset(token)

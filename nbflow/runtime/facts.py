"""Looking up one fact about a run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from nbflow.engine.context import RunContext, current_run
from nbflow.model.records import as_utc
from nbflow.model.runs import RunKind


def _flow_run(context: RunContext) -> Any:
    return context.run if context.run.kind is RunKind.FLOW else context.scope.run


def _scheduled(context: RunContext) -> datetime | None:
    run = _flow_run(context)
    return as_utc(run.scheduled_at or run.created_at) if run is not None else None


_FLOW: dict[str, tuple[Callable[[RunContext, Any], Any], Any]] = {
    "id": (lambda _, run: run.id, None),
    "name": (lambda _, run: run.name, None),
    "flow_name": (lambda _, run: run.spec.name, None),
    "flow_version": (lambda _, run: run.spec.version, None),
    "parameters": (lambda context, _: dict(context.scope.parameters), {}),
    "tags": (lambda _, run: sorted(run.tags), []),
    "run_count": (lambda _, run: run.run_count, 0),
    "scheduled_start_time": (lambda context, _: _scheduled(context), None),
    "start_time": (lambda _, run: run.start_time, None),
    "parent_flow_run_id": (lambda _, run: run.parent_id, None),
    "state": (lambda _, run: run.state, None),
}
_TASK: dict[str, tuple[Callable[[RunContext, Any], Any], Any]] = {
    "id": (lambda _, run: run.id, None),
    "name": (lambda _, run: run.name, None),
    "task_name": (lambda _, run: run.spec.name, None),
    "parameters": (lambda context, _: context.parameters(), {}),
    "tags": (lambda _, run: sorted(run.tags), []),
    "run_count": (lambda _, run: run.run_count, 0),
    "start_time": (lambda _, run: run.start_time, None),
    "flow_run_id": (lambda _, run: run.flow_run_id, None),
    "parent_id": (lambda _, run: run.parent_id, None),
    "state": (lambda _, run: run.state, None),
}


def flow_fact(name: str) -> Any:
    """A fact about the flow run around the caller.

    Raises:
        AttributeError: There is no such fact.
    """
    return _look_up("flow_run", _FLOW, name, _flow_run)


def task_fact(name: str) -> Any:
    """A fact about the task run around the caller.

    Raises:
        AttributeError: There is no such fact.
    """
    return _look_up(
        "task_run", _TASK, name, lambda c: c.run if c.run.kind is RunKind.TASK else None
    )


def _look_up(
    module: str,
    facts: dict[str, tuple[Callable[[RunContext, Any], Any], Any]],
    name: str,
    run_of: Callable[[RunContext], Any],
) -> Any:
    if name not in facts:
        raise AttributeError(f"nbflow.runtime.{module} has no {name!r}; it has {', '.join(facts)}")
    fact, empty = facts[name]
    context = current_run.get()
    run = run_of(context) if context is not None else None
    return empty if context is None or run is None else fact(context, run)

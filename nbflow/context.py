"""The run that the code at hand belongs to, and tags for the runs made inside a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from nbflow.engine.context import RunContext, current_run, current_tags
from nbflow.errors import NotInRun
from nbflow.model.runs import Run, RunKind

__all__ = ["FlowRunContext", "TaskRunContext", "get_run_context", "tags"]


@dataclass(frozen=True, slots=True)
class FlowRunContext:
    """Code in the body of a flow.

    Attributes:
        flow: The `Flow` that runs.
        parameters: Its arguments by name.
    """

    flow: Any
    flow_run: Run
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TaskRunContext:
    """Code in the body of a task.

    Attributes:
        task: The `Task` that runs.
        parameters: Its arguments by name.
    """

    task: Any
    task_run: Run
    parameters: dict[str, Any]


def get_run_context() -> FlowRunContext | TaskRunContext:
    """What is known of the innermost run around the caller.

    Raises:
        NotInRun: There is none.
    """
    context = running("get_run_context()")
    kind = FlowRunContext if context.run.kind is RunKind.FLOW else TaskRunContext
    return kind(context.spec.owner, context.run, context.parameters())


@contextmanager
def tags(*new_tags: str) -> Iterator[set[str]]:
    """Give these tags to every run that is made inside the block."""
    all_tags = current_tags.get() | frozenset(new_tags)
    token = current_tags.set(all_tags)
    try:
        yield set(all_tags)
    finally:
        current_tags.reset(token)


def running(what: str) -> RunContext:
    """The current run.

    Raises:
        NotInRun: There is none; `what` names what needs one.
    """
    context = current_run.get()
    if context is None:
        raise NotInRun(f"{what} needs a running flow or task; call it inside one")
    return context

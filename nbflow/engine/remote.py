"""The worker's side of a process pool: the run's context, its prints and its log records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from nbflow.engine import capture
from nbflow.engine.context import FlowScope, RunContext, inside
from nbflow.engine.runners import ThreadPoolTaskRunner
from nbflow.model.runs import Run, RunKind
from nbflow.model.specs import Colour, TaskSpec

Lines = list[tuple[int, str, str, float]]


def run_remotely(
    fn: Callable[..., Any], args: Any, kwargs: Any, about: dict[str, Any], lines: Lines
) -> Any:
    """Call `fn` as the run that `about` describes; what it says is added to `lines`."""
    spec = TaskSpec(fn=fn, name=about["task_name"])
    run = Run(RunKind.TASK, spec, **{n: about[n] for n in about if n not in _NOT_OF_RUN})
    scope = FlowScope(None, ThreadPoolTaskRunner())
    context = RunContext(run, spec, scope, args, kwargs, about["log_prints"])

    def keep(_: RunContext, level: int, logger: str, message: str, at: float, echo: bool) -> None:
        lines.append((level, logger, message, at))

    capture.install(keep)
    with inside(context):
        if spec.colour is Colour.ASYNC:
            return asyncio.run(fn(*args, **kwargs))
        if spec.colour is Colour.ASYNC_GENERATOR:
            return asyncio.run(_collect(fn(*args, **kwargs)))
        value = fn(*args, **kwargs)
        return list(value) if spec.colour is Colour.GENERATOR else value


_NOT_OF_RUN = ("kind", "task_name", "log_prints")


async def _collect(items: Any) -> list[Any]:
    return [item async for item in items]

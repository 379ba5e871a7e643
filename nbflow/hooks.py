"""Calls the user's state hooks: a bus subscriber, so a hook that raises changes no run."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

from nbflow.model.events import Event, StateChanged
from nbflow.model.runs import Run
from nbflow.model.specs import Hooks
from nbflow.model.states import State, StateType

logger = logging.getLogger(__name__)


class HookCaller:
    """Runs hooks in the thread in which their run entered the state, in the order given.

    Args:
        run_async: Runs a coroutine to its end, for hooks that are `async def`.
    """

    def __init__(self, run_async: Callable[[Any], Any]) -> None:
        self._run_async = run_async

    def on_event(self, event: Event) -> None:
        """Bus subscriber. Blocks for as long as the hooks do."""
        if type(event) is not StateChanged or not event.run.spec.hooks.watch_states:
            return
        for hook in _due(event.run.spec.hooks, event.run, event.state):
            self._call(hook, event.run, event.state)

    def _call(self, hook: Callable[..., Any], run: Run, state: State) -> None:
        try:
            answer = hook(run.spec.owner, run, state)
            if inspect.iscoroutine(answer):
                self._run_async(answer)
        except (Exception, SystemExit):
            name = getattr(hook, "__name__", repr(hook))
            logger.exception("hook %r raised for %s", name, run.label)


def _due(hooks: Hooks, run: Run, state: State) -> tuple[Callable[..., Any], ...]:
    match state.type:
        case StateType.RUNNING:
            # Neither a retry nor a run that was paused begins anew.
            return hooks.on_running if state.at == run.started_at else ()
        case StateType.COMPLETED:
            return hooks.on_completion if state.name != "RolledBack" else ()
        case StateType.FAILED:
            return hooks.on_failure
        case StateType.CANCELLED:
            return hooks.on_cancellation
        case StateType.CRASHED:
            return hooks.on_crashed
    return ()

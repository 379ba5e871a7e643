"""One line that tells how a run stands, under the cell that started it."""

from __future__ import annotations

import html
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from nbflow.console import duration
from nbflow.model.events import Event, RunCreated, StateChanged
from nbflow.model.runs import Run, RunKind
from nbflow.model.states import State, StateType
from nbflow.notebook.output import unwatched

_TICK_SECONDS = 1.0
#: A shape and a word for each state: colour is never the only sign.
SHAPES = {
    "Scheduled": "◷",
    "Late": "◷",
    "AwaitingRetry": "↻",
    "Pending": "○",
    "Running": "◐",
    "Retrying": "↻",
    "Paused": "‖",
    "Cancelling": "⊘",
    "Completed": "✔",
    "Cached": "↻✔",
    "RolledBack": "↩",
    "Failed": "✖",
    "TimedOut": "⏱✖",
    "Crashed": "⚡",
    "Cancelled": "⊘",
    "Missed": "⊝",
    "Skipped": "⊝",
}


class StatusLine:
    """The live line of one top-level run. A bus subscriber, from its run's creation to its end.

    Args:
        call_later: `Timers.call_later`.
        stable: Show only the end, without times and names that differ from run to run.
    """

    def __init__(self, run: Run, call_later: Callable[[float, Any], Any], *, stable: bool) -> None:
        self._run = run
        self._call_later = call_later
        self._stable = stable
        self._tasks: dict[str, StateType] = {}
        self._handle: Any = None
        self._ended = False
        # Displays go to the cell of the context they are sent in; the ticks come from a timer.
        self._context = copy_context()

    def show(self) -> None:
        """Display the line and keep it up to date."""
        if not self._stable:
            self._publish()
            self._tick()

    def on_event(self, event: Event) -> None:
        """Take notice of the tasks of a flow run."""
        run = event.run
        if run is not self._run and run.kind is RunKind.TASK and run.parent_id == self._run.id:
            if type(event) is RunCreated:
                self._tasks[run.id] = run.state.type
            elif type(event) is StateChanged:
                self._tasks[run.id] = event.state.type

    def end(self) -> None:
        """The run has ended: show how, for good."""
        if not self._ended:
            self._ended = True
            self._publish()

    def text(self) -> str:
        """The line as it is now."""
        run, state = self._run, self._run.state
        if self._stable:
            return f"nbflow: {run.spec.name} — {state.name}{self._counts()}"
        parts = [f"{SHAPES.get(state.name, '·')} {self._title()}", self._how(state)]
        if counts := self._counts():
            parts.append(counts.strip(" ()"))
        obtained = getattr(run.spec.owner, "obtained", None)
        if state.is_completed() and obtained is not None and obtained.status == "uncached":
            parts.append(f"not cached: {_one_line(obtained.reason)}")
        return " · ".join(part for part in parts if part)

    def _title(self) -> str:
        run = self._run
        return run.spec.name if run.kind is RunKind.TASK else f"{run.spec.name} {run.name}"

    def _how(self, state: State) -> str:
        run = self._run
        if state.name == "Cached" and state.message:
            return state.message
        if run.started_at is None:
            return state.name
        seconds = (run.ended_at or time.time()) - run.started_at
        tries = f" after {run.run_count} tries" if run.run_count > 1 else ""
        if not state.is_final():
            detail = f": {state.message}" if state.name == "AwaitingRetry" else ""
            return f"{state.name} {duration(seconds)}{tries}{detail}"
        told = "" if state.is_completed() else f": {_one_line(state.message)}"
        return f"{state.name} in {duration(seconds)}{tries}{told}"

    def _counts(self) -> str:
        if not self._tasks:
            return ""
        kinds = list(self._tasks.values())
        n_done = sum(kind is StateType.COMPLETED for kind in kinds)
        n_bad = sum(kind in (StateType.FAILED, StateType.CRASHED) for kind in kinds)
        bad = f", {n_bad} failed" if n_bad else ""
        tasks = "task" if len(kinds) == 1 else "tasks"
        if not self._stable:
            return f" ({n_done}/{len(kinds)} {tasks}{bad})"
        return f" ({len(kinds)} {tasks}: {n_done} completed{bad})"

    def _publish(self) -> None:
        from IPython.display import display

        text = self.text()
        bundle = {"text/plain": text, "text/html": f"<div><code>{html.escape(text)}</code></div>"}
        with unwatched():
            if self._stable:
                display({"text/plain": text}, raw=True)
            elif self._handle is None:
                self._handle = display(bundle, raw=True, display_id=True)
            else:
                self._handle.update(bundle, raw=True)

    def _tick(self) -> None:
        if not self._ended:
            self._call_later(_TICK_SECONDS, self._update)

    def _update(self) -> None:
        if not self._ended:
            self._context.run(self._publish)
            self._tick()


def _one_line(text: str) -> str:
    line = text.splitlines()[0] if text else ""
    return line if len(line) <= 160 else f"{line[:159]}…"

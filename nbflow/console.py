"""What people see of runs on the terminal: what they say, the states they enter, their errors."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import TextIO

from nbflow.model.events import Event, LogEmitted, RunCreated, StateChanged
from nbflow.model.records import LineRecord
from nbflow.model.runs import Run, RunKind
from nbflow.model.states import FINAL_TYPES, State, StateType

_LEVELS = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}


class Console:
    """A bus subscriber that writes a line for what a person wants to follow.

    Args:
        level: Lowest level of `logging` that is shown.
        stream: Where to; None: whatever `sys.stderr` is at the time.
    """

    def __init__(self, level: int = logging.INFO, stream: TextIO | None = None) -> None:
        self._level = level
        self._stream = stream

    def on_event(self, event: Event) -> None:
        """Bus subscriber."""
        if type(event) is StateChanged:
            level = level_of_state(event.state)
            if level >= self._level:
                self._write(event.state.at, level, told_of_state(event.run.label, event.state))
        elif type(event) is LogEmitted:
            if event.echo and event.level >= self._level:
                self._write(event.at, event.level, f"{event.run.label} - {event.message}")
        elif (
            type(event) is RunCreated
            and event.run.kind is RunKind.FLOW
            and self._level <= logging.INFO
        ):
            self._write(event.run.created_at, logging.INFO, told_of_flow(event.run))

    def _write(self, at: float, level: int, text: str) -> None:
        stream = self._stream or sys.stderr
        stream.write(console_line(at, level, text) + "\n")
        stream.flush()


def console_line(at: float, level: int, text: str) -> str:
    """`15:42:01.234 | INFO    | text`, in local time."""
    clock = time.strftime("%H:%M:%S", time.localtime(at))
    name = _LEVELS.get(level) or logging.getLevelName(level)
    return f"{clock}.{int(at % 1 * 1000):03d} | {name:<7} | {text}"


def told_of_flow(run: Run) -> str:
    """What is said of a new flow run."""
    kind = "flow" if run.parent_id is None else "subflow"
    return f"nbflow.engine - Created {kind} run {run.name!r} for flow {run.spec.name!r}"


_STATE_LEVELS = {
    StateType.COMPLETED: logging.INFO,
    StateType.FAILED: logging.ERROR,
    StateType.CRASHED: logging.ERROR,
    StateType.CANCELLED: logging.WARNING,
    StateType.CANCELLING: logging.INFO,
    StateType.PAUSED: logging.INFO,
}
_UNSAID = -1


def level_of_state(state: State) -> int:
    """How loudly a state is told of; below every level where it is not worth a line."""
    if state.name == "AwaitingRetry":
        return logging.WARNING
    return _STATE_LEVELS.get(state.type, _UNSAID)


def told_of_state(label: str, state: State) -> str:
    """What is said when a run enters a state."""
    if state.type is StateType.COMPLETED:
        return f"{label} - Finished in state {state.name}()"
    if state.type in FINAL_TYPES:
        return f"{label} - Finished in state {state!r}"
    if state.name == "AwaitingRetry":
        return f"{label} - {_capitalised(state.message)}"
    told = f": {state.message}" if state.message else ""
    return f"{label} - {state.name}{told}"


def told_of_line(label: str, line: LineRecord) -> tuple[int, str]:
    """Level and text of a recorded line."""
    if line.state_name is None or line.state_type is None:
        return line.level, f"{label} - {line.message}"
    state = State(line.state_type, line.state_name, line.message)
    return level_of_state(state), told_of_state(label, state)


def duration(seconds: float) -> str:
    """Seconds for people: `20 ms`, `3.1 s`, `4 min 05 s`, `2 h 03 min`."""
    if seconds < 0.1:
        return f"{max(1, round(seconds * 1000))} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def users_traceback(error: BaseException, filename: str) -> TracebackType | None:
    """A traceback from the frames of a cell or script on, without nbflow's; None: it has none."""
    frames: list[TracebackType] = []
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        is_ours = str(frame.f_globals.get("__name__")).partition(".")[0] == "nbflow"
        if frame.f_code.co_filename == filename or (frames and not is_ours):
            frames.append(trace)
        trace = trace.tb_next
    shown: TracebackType | None = None
    for one in reversed(frames):
        shown = TracebackType(shown, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return shown


def _capitalised(text: str) -> str:
    """With a capital letter, for a message that is shown as a sentence."""
    return text[:1].upper() + text[1:]

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
            said = told_of_state(event.run.label, event.state)
            if said is not None and said[0] >= self._level:
                self._write(event.state.at, said[0], said[1])
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


def told_of_state(label: str, state: State) -> tuple[int, str] | None:
    """Level and text of what is said when a run enters a state; None: nothing."""
    if state.type in FINAL_TYPES:
        if state.type is StateType.COMPLETED:
            return logging.INFO, f"{label} - Finished in state {state.name}()"
        level = logging.WARNING if state.type is StateType.CANCELLED else logging.ERROR
        return level, f"{label} - Finished in state {state!r}"
    if state.name == "AwaitingRetry":
        return logging.WARNING, f"{label} - {_capitalised(state.message)}"
    if state.type in (StateType.CANCELLING, StateType.PAUSED):
        return logging.INFO, f"{label} - {state.name}: {state.message}"
    return None


def told_of_line(label: str, line: LineRecord) -> tuple[int, str] | None:
    """Level and text of a recorded line; None: nothing is said of it."""
    if line.state_name is None or line.state_type is None:
        return line.level, f"{label} - {line.message}"
    return told_of_state(label, State(line.state_type, line.state_name, line.message))


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

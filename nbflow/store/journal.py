"""Events as rows: what the bus publishes is written here, a batch in a handful of statements.

A batch goes to SQLite as one JSON text per table. SQLite then works through all of its rows inside
one call, without the interpreter lock: row by row (`executemany`) it would take the lock back
after each row, and with a busy main thread every one of those costs up to 5 ms.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable
from typing import Any

from nbflow.model.events import Event, LogEmitted, RunCreated, StateChanged
from nbflow.model.runs import Run
from nbflow.model.states import FINAL_TYPES, State, StateType

_MESSAGE_LIMIT = 4_000
_LOG_LIMIT = 100_000
# SQLite ends a text at a NUL; kept instead is the sign for it. After an odd number of backslashes
# it is not a NUL but a backslash and letters.
_NUL = re.compile(r"((?<!\\)(?:\\\\)*)\\u0000")

_INSERT_RUNS = """
    INSERT OR IGNORE INTO runs (id, kind, spec_name, name, parent_id, flow_run_id, owner_id,
        created_at, scheduled_at, tags, inputs, upstream,
        state_type, state_name, message, run_count, started_at, ended_at)
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6,
        value->>7, value->>8, value->>9, value->>10, value->>11,
        value->>12, value->>13, value->>14, value->>15, value->>16, value->>17
    FROM json_each(?)"""
# A final state is never left, whoever asks; only a rollback may rename a completed run.
# `_may_follow` says the same of two states within one batch.
_UPDATE_RUNS = """
    UPDATE runs SET name = new.value->>1, state_type = new.value->>2, state_name = new.value->>3,
        message = new.value->>4, run_count = new.value->>5, started_at = new.value->>6,
        ended_at = new.value->>7
    FROM json_each(?) AS new
    WHERE runs.id = new.value->>0
        AND (state_type NOT IN ('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED')
             OR (state_type = 'COMPLETED' AND new.value->>3 = 'RolledBack'))"""
_INSERT_LINES = """
    INSERT INTO lines (run_id, at, level, logger, message, state_name, state_type)
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6
    FROM json_each(?)"""


class Journal:
    """Writes batches of events. Used on the store thread only."""

    def __init__(self, owner_id: str) -> None:
        self._owner_id = owner_id
        self._open: set[str] = set()

    @property
    def n_open(self) -> int:
        """Number of runs created here that have not ended."""
        return len(self._open)

    def write(self, connection: sqlite3.Connection, events: list[Event]) -> None:
        """Write `events` in their order, in the caller's transaction."""
        created: dict[str, list[Any]] = {}
        changed: dict[str, list[Any]] = {}
        lines: list[list[Any]] = []
        last: dict[str, State] = {}  # of each run, as far as this batch tells
        opened, ended = set[str](), set[str]()
        for event in events:
            run = event.run
            if type(event) is StateChanged:
                state = event.state
                lines.append(_state_line(run, state))
                if not _may_follow(last.get(run.id), state):
                    continue
                last[run.id] = state
                if run.id in created:
                    created[run.id][12:] = _state_columns(run, state)
                else:
                    changed[run.id] = [run.id, run.name, *_state_columns(run, state)]
                if state.type in FINAL_TYPES:
                    ended.add(run.id)
            elif type(event) is RunCreated:
                created[run.id] = self._run_row(run, event.state)
                lines.append(_state_line(run, event.state))
                opened.add(run.id)
            elif type(event) is LogEmitted:
                text = event.message[:_LOG_LIMIT]
                lines.append([run.id, event.at, event.level, event.logger, text, None, None])
        for sql, rows in (
            (_INSERT_RUNS, created.values()),
            (_UPDATE_RUNS, changed.values()),
            (_INSERT_LINES, lines),
        ):
            if rows:
                connection.execute(sql, (_dumps(rows),))
        self._open |= opened
        self._open -= ended

    def _run_row(self, run: Run, state: State) -> list[Any]:
        return [
            run.id,
            run.kind,
            run.spec.name,
            run.name,
            run.parent_id,
            run.flow_run_id,
            self._owner_id,
            run.created_at,
            run.scheduled_at,
            sorted(run.tags) if run.tags else None,
            run.inputs,
            run.upstream or None,
            *_state_columns(run, state),
        ]


def _may_follow(last: State | None, state: State) -> bool:
    if last is None or last.type not in FINAL_TYPES:
        return True
    return last.type is StateType.COMPLETED and state.name == "RolledBack"


def _state_columns(run: Run, state: State) -> list[Any]:
    ended_at = state.at if state.type in FINAL_TYPES else None
    message = state.message[:_MESSAGE_LIMIT]
    return [state.type, state.name, message, run.run_count, run.started_at, ended_at]


def _state_line(run: Run, state: State) -> list[Any]:
    return [run.id, state.at, 0, "", state.message[:_MESSAGE_LIMIT], state.name, state.type]


def _dumps(rows: Iterable[list[Any]]) -> str:
    text = json.dumps(list(rows), separators=(",", ":"), default=str, ensure_ascii=False)
    if "\\u0000" in text:
        text = _NUL.sub(r"\1\\u2400", text)
    # What has no UTF-8 would make every later reading of its row fail.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()

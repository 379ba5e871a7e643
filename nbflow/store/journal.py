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

from nbflow.model.events import Event, RunCreated, StateChanged
from nbflow.model.states import FINAL_TYPES, StateType

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


#: What is to be written of an event: primitive values only. The event itself must not wait in the
#: queue: it holds the run's result, and by the time it is written the run has moved on.
Entry = tuple[Any, ...]

_CREATED, _CHANGED, _SAID = range(3)


def entry_of(event: Event) -> Entry:
    """What is to be written of `event`. Called in the publisher's thread."""
    run = event.run
    if type(event) is StateChanged:
        state = event.state
        kind, message = state.type, state.message[:_MESSAGE_LIMIT]
        return (
            _CHANGED, run.id, run.name, kind, state.name, message, run.run_count,
            run.started_at, state.at if kind in FINAL_TYPES else None, state.at,
        )  # fmt: skip
    if type(event) is RunCreated:
        state = event.state
        tags = sorted(run.tags) if run.tags else None
        return (
            _CREATED, run.id, run.kind, run.spec.name, run.name, run.parent_id, run.flow_run_id,
            run.created_at, run.scheduled_at, tags, run.inputs, run.upstream or None,
            state.type, state.name, state.message[:_MESSAGE_LIMIT], state.at,
        )  # fmt: skip
    text = event.message[:_LOG_LIMIT]  # type: ignore[union-attr]  # the only kind left
    return (_SAID, run.id, event.at, event.level, event.logger, text)  # type: ignore[union-attr]


class Journal:
    """Writes batches of entries. Used on the store thread only."""

    def __init__(self, owner_id: str) -> None:
        self._owner_id = owner_id
        self._open: set[str] = set()

    @property
    def n_open(self) -> int:
        """Number of runs created here that have not ended."""
        return len(self._open)

    def write(self, connection: sqlite3.Connection, entries: list[Entry]) -> None:
        """Write `entries` in their order, in the caller's transaction."""
        created: dict[str, list[Any]] = {}
        changed: dict[str, tuple[Any, ...]] = {}
        lines: list[tuple[Any, ...]] = []
        last: dict[str, tuple[StateType, str]] = {}  # of each run, as far as this batch tells
        opened, ended = set[str](), set[str]()
        for entry in entries:
            what, run_id = entry[:2]
            if what == _CHANGED:
                _, _, name, kind, state_name, message, run_count, started_at, ended_at, at = entry
                lines.append((run_id, at, 0, "", message, state_name, kind))
                if not _may_follow(last.get(run_id), state_name):
                    continue
                last[run_id] = kind, state_name
                columns = (kind, state_name, message, run_count, started_at, ended_at)
                if run_id in created:
                    created[run_id][12:] = columns
                else:
                    changed[run_id] = (run_id, name, *columns)
                if kind in FINAL_TYPES:
                    ended.add(run_id)
            elif what == _CREATED:
                *about, kind, state_name, message, at = entry[1:]
                about.insert(6, self._owner_id)
                created[run_id] = [*about, kind, state_name, message, 0, None, None]
                lines.append((run_id, at, 0, "", message, state_name, kind))
                opened.add(run_id)
            else:
                lines.append((*entry[1:], None, None))
        for sql, rows in (
            (_INSERT_RUNS, created.values()),
            (_UPDATE_RUNS, changed.values()),
            (_INSERT_LINES, lines),
        ):
            if rows:
                connection.execute(sql, (_dumps(rows),))
        self._open |= opened
        self._open -= ended


def _may_follow(last: tuple[StateType, str] | None, state_name: str) -> bool:
    if last is None or last[0] not in FINAL_TYPES:
        return True
    return last[0] is StateType.COMPLETED and state_name == "RolledBack"


def _dumps(rows: Iterable[Any]) -> str:
    text = json.dumps(list(rows), separators=(",", ":"), default=str, ensure_ascii=False)
    if "\\u0000" in text:
        text = _NUL.sub(r"\1\\u2400", text)
    # What has no UTF-8 would make every later reading of its row fail.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()

"""Events as rows: what the bus publishes is written here, a batch in a handful of statements.

Rows go to SQLite up to 1,024 at a time, in one statement. SQLite then works through all of them
inside one call, without the interpreter lock: row by row (`executemany`) it would take the lock
back after each row, and beside a busy thread every one of those costs up to 5 ms.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from functools import lru_cache
from itertools import chain, islice
from typing import Any

from nbflow.model.events import Event, RunCreated, StateChanged
from nbflow.model.runs import Run, RunKind
from nbflow.model.states import FINAL_TYPES, StateType

_MESSAGE_LIMIT = 4_000
_LOG_LIMIT = 100_000
# Times the 20 columns of a run well below the 32,766 variables that SQLite allows.
_ROWS_PER_STATEMENT = 1_024

_INSERT_RUNS = """
    INSERT OR IGNORE INTO runs (id, kind, spec_name, name, parent_id, flow_run_id, owner_id,
        created_at, scheduled_at, tags, inputs, upstream,
        origin_id, source, state_type, state_name, message, run_count, started_at, ended_at)
    VALUES {rows}"""
# A final state is never left, whoever asks; only a rollback may rename a completed run.
# `_may_follow` says the same of two states within one batch. And only its owner writes a run:
# one that counts as dead, and whose run another process has by now, is not listened to.
_UPDATE_RUNS = """
    WITH new (id, name, type, state, message, run_count, started_at, ended_at) AS (VALUES {rows})
    UPDATE runs SET name = new.name, state_type = new.type, state_name = new.state,
        message = new.message, run_count = new.run_count, started_at = new.started_at,
        ended_at = new.ended_at
    FROM new
    WHERE runs.id = new.id
        AND (state_type NOT IN ('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED')
             OR (state_type = 'COMPLETED' AND new.state = 'RolledBack'))
        AND owner_id = ?"""
_INSERT_LINES = """
    INSERT INTO lines (run_id, at, level, logger, message, state_name, state_type) VALUES {rows}"""

#: What is to be written of an event: primitive values only. The event itself must not wait in the
#: queue: it holds the run's result, and by the time it is written the run has moved on.
Entry = tuple[Any, ...]

_CREATED, _CHANGED, _SAID = range(3)
# What a run is to others: nothing, the outermost of its family, or the run of an order.
_INNER, _OUTERMOST, _ORDERED = range(3)
_FLOW = RunKind.FLOW


def entry_of(event: Event) -> Entry:
    """What is to be written of `event`. Called in the publisher's thread."""
    run = event.run
    if type(event) is StateChanged:
        state = event.state
        kind, message = state.type, _text(state.message[:_MESSAGE_LIMIT])
        return (
            _CHANGED, run.id, _text(run.name), kind._value_, _text(state.name), message,
            run.run_count, run.started_at, state.at if kind in FINAL_TYPES else None, state.at,
            _rank(run),
        )  # fmt: skip
    if type(event) is RunCreated:
        state = event.state
        tags = _json([_text(tag) for tag in sorted(run.tags)]) if run.tags else None
        return (
            _CREATED, run.id, run.kind._value_, _text(run.spec.name), _text(run.name),
            run.parent_id, run.flow_run_id, run.created_at, run.scheduled_at, tags, run.inputs,
            run.upstream, *_origin(run),
            state.type._value_, _text(state.name), _text(state.message[:_MESSAGE_LIMIT]), state.at,
            _rank(run),
        )  # fmt: skip
    text = _text(event.message[:_LOG_LIMIT])  # type: ignore[union-attr]  # the only kind left
    return (_SAID, run.id, event.at, event.level, _text(event.logger), text)  # type: ignore[union-attr]


def _rank(run: Run) -> int:
    if run.parent_id is not None or run.kind is not _FLOW:
        return _INNER
    appointment = run.appointment
    return _ORDERED if appointment is not None and appointment.deployment_id else _OUTERMOST


def _origin(run: Run) -> tuple[str | None, dict[str, Any] | None]:
    appointment, source = run.appointment, run.source
    origin_id = None if appointment is None else appointment.origin_id
    return origin_id, None if source is None else dict(source)


class Journal:
    """Writes batches of entries. Used on the store thread only.

    Attributes:
        has_news: Whether a flow run has ended that others may wait for. Its reader resets it.
    """

    def __init__(self, owner_id: str) -> None:
        self._owner_id = owner_id
        self._open: set[str] = set()
        self.has_news = False

    @property
    def n_open(self) -> int:
        """Number of runs created here that have not ended."""
        return len(self._open)

    def write(self, connection: sqlite3.Connection, entries: list[Entry]) -> None:
        """Write `entries` in their order, in the caller's transaction."""
        created: dict[str, list[Any]] = {}
        changed: dict[str, tuple[Any, ...]] = {}
        lines: list[tuple[Any, ...]] = []
        # Of each run, as far as this batch tells.
        last = self._before(connection, entries)
        opened, ended = set[str](), set[str]()
        lost = self._lost(connection, entries)
        for entry in entries:
            what, run_id = entry[:2]
            if what == _CHANGED:
                (
                    _, _, name, kind, state_name, message, run_count, started_at, ended_at, at,
                    rank,
                ) = entry  # fmt: skip
                if run_id in lost:
                    ended.add(run_id)
                    continue
                lines.append((run_id, at, 0, "", message, state_name, kind))
                if not _may_follow(last.get(run_id), state_name):
                    continue
                columns = (kind, state_name, message, run_count, started_at, ended_at)
                last[run_id] = kind, state_name
                if run_id in created:
                    created[run_id][14:] = columns
                else:
                    changed[run_id] = (run_id, name, *columns)
                if kind in FINAL_TYPES:
                    ended.add(run_id)
                    self.has_news = self.has_news or rank != _INNER
            elif what == _CREATED:
                opened.add(run_id)
                if entry[-1] == _ORDERED:
                    continue  # its row and its history have begun with the order
                (
                    *about, tags, inputs, upstream, origin_id, source, kind, state_name, message,
                    at, _,
                ) = entry[1:]  # fmt: skip
                about.insert(6, self._owner_id)
                about += tags, _json(inputs), _json(upstream), origin_id, _json(source)
                created[run_id] = [*about, kind, state_name, message, 0, None, None]
                lines.append((run_id, at, 0, "", message, state_name, kind))
            else:
                lines.append((*entry[1:], None, None))
        for sql, rows, n_columns, more in (
            (_INSERT_RUNS, created.values(), 20, ()),
            (_UPDATE_RUNS, changed.values(), 8, (self._owner_id,)),
            (_INSERT_LINES, lines, 7, ()),
        ):
            for statement, values in _statements(sql, rows, n_columns):
                connection.execute(statement, (*values, *more))
        self._open |= opened
        self._open -= ended

    def _before(
        self, connection: sqlite3.Connection, entries: list[Entry]
    ) -> dict[str, tuple[str, str]]:
        """The states of runs that are rolled back: whether they may be is for those to say."""
        ids = [one[1] for one in entries if one[0] == _CHANGED and one[4] == "RolledBack"]
        if not ids:
            return {}
        rows = connection.execute(
            """SELECT id, state_type, state_name FROM runs
               WHERE id IN (SELECT value FROM json_each(?))""",
            (json.dumps(ids),),
        ).fetchall()
        return {row[0]: (row[1], row[2]) for row in rows}

    def _lost(self, connection: sqlite3.Connection, entries: list[Entry]) -> set[str]:
        """Runs of orders in `entries` that another process has taken over."""
        ordered = {entry[1] for entry in entries if entry[0] == _CHANGED and entry[-1] == _ORDERED}
        if not ordered:
            return ordered
        rows = connection.execute(
            """SELECT id FROM runs WHERE id IN (SELECT value FROM json_each(?))
               AND owner_id <> ?""",
            (json.dumps(list(ordered)), self._owner_id),
        ).fetchall()
        return {row[0] for row in rows}


def _may_follow(last: tuple[str, str] | None, state_name: str) -> bool:
    if last is None or last[0] not in FINAL_TYPES:
        return True
    return last[0] == StateType.COMPLETED and state_name == "RolledBack"


def _statements(sql: str, rows: Collection[Any], n_columns: int) -> Iterator[tuple[str, list[Any]]]:
    """Statements that write `rows`, each with its values.

    The numbers of rows are powers of two: SQLite compiles eleven texts and no more.
    """
    left, waiting = len(rows), iter(rows)
    while left:
        n = min(_ROWS_PER_STATEMENT, 1 << (left.bit_length() - 1))
        yield _statement(sql, n, n_columns), list(chain.from_iterable(islice(waiting, n)))
        left -= n


@lru_cache(maxsize=64)
def _statement(sql: str, n_rows: int, n_columns: int) -> str:
    row = f"({', '.join('?' * n_columns)})"
    return sql.format(rows=", ".join([row] * n_rows))


def _text(text: str) -> str:
    """What has no UTF-8 would make every later reading of its row fail; a NUL would cut it."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\0", "␀") if "\0" in text else text


def _json(value: Any) -> str | None:
    return json.dumps(value, separators=(",", ":"), default=str) if value else None

"""The index of kept results: small ones in the row itself, large ones in a file it names."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A kept result.

    Attributes:
        entry: The signed entry itself, or None when it is in `file`.
        file: Name of the file in the results folder, or None.
        seconds: How long the task ran to make it.
    """

    key: str
    size_bytes: int
    entry: bytes | None
    file: str | None
    created_at: float
    expires_at: float | None
    task_name: str
    run_id: str
    seconds: float


def put(connection: sqlite3.Connection, row: ResultRow) -> None:
    """Keep a result, in place of any other under the same key."""
    connection.execute(
        "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.key,
            row.size_bytes,
            row.entry,
            row.file,
            row.created_at,
            row.expires_at,
            row.task_name,
            row.run_id,
            row.seconds,
        ),
    )


def get(connection: sqlite3.Connection, key: str) -> ResultRow | None:
    """The result under `key`, expired or not."""
    row = connection.execute("SELECT * FROM results WHERE key = ?", (key,)).fetchone()
    return None if row is None else ResultRow(*row)


def drop(connection: sqlite3.Connection, key: str) -> None:
    """Forget the result under `key`."""
    connection.execute("DELETE FROM results WHERE key = ?", (key,))

"""What one process asks of a run in another: rows that the owner of the run looks for."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """Something to do to a run.

    Attributes:
        verb: "cancel", "pause" or "resume".
    """

    id: int
    run_id: str
    verb: str


def post(connection: sqlite3.Connection, owner_id: str, run_id: str, verb: str) -> None:
    """Ask a run's owner to do something, in the caller's transaction."""
    connection.execute(
        "INSERT INTO requests (owner_id, run_id, verb, created_at) VALUES (?, ?, ?, ?)",
        (owner_id, run_id, verb, time.time()),
    )


def take(connection: sqlite3.Connection, owner_id: str) -> list[Request]:
    """The requests to this owner that were not handled yet; they count as handled from now on."""
    sql = "SELECT id, run_id, verb FROM requests WHERE owner_id = ? AND handled_at IS NULL"
    if connection.execute(sql, (owner_id,)).fetchone() is None:
        return []  # the usual case: no write lock taken
    connection.execute("BEGIN IMMEDIATE")
    with connection:  # commits, or rolls back what a full disk interrupts
        rows = connection.execute(sql, (owner_id,)).fetchall()
        connection.execute(
            "UPDATE requests SET handled_at = ? WHERE owner_id = ? AND handled_at IS NULL",
            (time.time(), owner_id),
        )
    return [Request(*row) for row in rows]

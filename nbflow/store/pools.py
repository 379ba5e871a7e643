"""Rows of work pools and of the workers that see to them. In the caller's transaction."""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from collections.abc import Callable

from nbflow.errors import PoolExists, PoolNotFound
from nbflow.model.deployments import PoolRecord, WorkerRecord
from nbflow.store.orders import UNFINISHED


def create(connection: sqlite3.Connection, name: str, kind: str, limit: int | None) -> None:
    """Create a pool; one that is there already, of the same type, gets this limit if it is one.

    Raises:
        PoolExists: There is one of another type.
    """
    check_limit(limit)
    row = connection.execute("SELECT kind FROM pools WHERE name = ?", (name,)).fetchone()
    if row is not None and row[0] != kind:
        raise PoolExists(name, row[0])
    connection.execute(
        """INSERT INTO pools (name, kind, concurrency_limit, created_at) VALUES (?, ?, ?, ?)
           ON CONFLICT (name) DO UPDATE SET
               concurrency_limit = coalesce(excluded.concurrency_limit, concurrency_limit)""",
        (name, kind, limit, time.time()),
    )


def listed(connection: sqlite3.Connection, name: str | None = None) -> list[PoolRecord]:
    """Every pool by name, or the one asked for."""
    rows = connection.execute(
        f"""SELECT p.name, p.kind, p.concurrency_limit, p.is_paused, p.created_at,
                (SELECT count(*) FROM orders o INDEXED BY orders_waiting_in_pool
                 WHERE o.taken_at IS NULL AND o.pool = p.name AND o.due_at <= ?),
                (SELECT count(*) FROM runs r INDEXED BY runs_begun
                 CROSS JOIN orders o ON o.run_id = r.id
                 WHERE r.kind = 'flow' AND r.parent_id IS NULL AND r.{UNFINISHED}
                     AND r.owner_id > '' AND o.pool = p.name)
            FROM pools p WHERE p.name = coalesce(?, p.name) ORDER BY p.name""",
        (time.time(), name),
    ).fetchall()
    return [
        PoolRecord(
            name=row[0],
            kind=row[1],
            concurrency_limit=row[2],
            is_paused=bool(row[3]),
            created_at=row[4],
            n_waiting=row[5],
            n_running=row[6],
        )
        for row in rows
    ]


def find(connection: sqlite3.Connection, name: str) -> PoolRecord:
    """One pool.

    Raises:
        PoolNotFound: There is none of this name.
    """
    found = listed(connection, name)
    if not found:
        raise PoolNotFound(name)
    return found[0]


def pause(connection: sqlite3.Connection, name: str, paused: bool) -> None:
    """Let no run of a pool begin, or let them again.

    Raises:
        PoolNotFound: There is none of this name.
    """
    _changed(
        connection.execute("UPDATE pools SET is_paused = ? WHERE name = ?", (paused, name)), name
    )


def limit(connection: sqlite3.Connection, name: str, n: int | None) -> None:
    """Let so many runs of a pool run at a time; None: any number.

    Raises:
        PoolNotFound: There is none of this name.
    """
    check_limit(n)
    sql = "UPDATE pools SET concurrency_limit = ? WHERE name = ?"
    _changed(connection.execute(sql, (n, name)), name)


def delete(connection: sqlite3.Connection, name: str) -> None:
    """Delete a pool. Its deployments and their waiting runs stay, and wait for another of its name.

    Raises:
        PoolNotFound: There is none of this name.
    """
    _changed(connection.execute("DELETE FROM pools WHERE name = ?", (name,)), name)


def check_limit(n: int | None) -> None:
    """Refuse what is no number of runs.

    Raises:
        ValueError: It is below 0.
    """
    if n is not None and n < 0:
        raise ValueError(f"limit={n!r} is not valid; it takes a number from 0 on, or None")


def _changed(cursor: sqlite3.Cursor, name: str) -> None:
    if cursor.rowcount == 0:
        raise PoolNotFound(name)


# --- workers ------------------------------------------------------------------------------------


def register(
    connection: sqlite3.Connection, owner_id: str, name: str, pool: str, slots: int | None
) -> None:
    """Note that this process is a worker."""
    now = time.time()
    connection.execute(
        "INSERT OR REPLACE INTO workers VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (owner_id, name, pool, slots, socket.gethostname(), os.getpid(), now, now),
    )


def beat(connection: sqlite3.Connection, owner_id: str) -> None:
    """Note that this worker lives."""
    connection.execute("UPDATE workers SET heartbeat_at = ? WHERE id = ?", (time.time(), owner_id))


def unregister(connection: sqlite3.Connection, owner_id: str) -> None:
    """Note that this process is a worker no longer."""
    connection.execute("DELETE FROM workers WHERE id = ?", (owner_id,))


def workers(
    connection: sqlite3.Connection, pool: str | None, is_alive: Callable[[str], bool]
) -> list[WorkerRecord]:
    """Workers, of all pools or of one, the oldest first."""
    here = socket.gethostname()
    rows = connection.execute(
        "SELECT * FROM workers WHERE pool = coalesce(?, pool) ORDER BY started_at, id", (pool,)
    ).fetchall()
    return [
        WorkerRecord(
            id=row[0],
            name=row[1],
            pool=row[2],
            limit=row[3],
            host=row[4],
            pid=row[5],
            started_at=row[6],
            heartbeat_at=row[7],
            is_alive=row[4] != here or is_alive(row[0]),
        )
        for row in rows
    ]

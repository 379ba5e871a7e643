"""What `nbflow doctor` asks the file itself. Called with the calling thread's own connection."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import NamedTuple

from nbflow.store.database import _file_system
from nbflow.store.owners import is_alive

_INSTRUCTIONS = 100_000  # of SQLite's machine, between two looks at the clock: about a millisecond


class Process(NamedTuple):
    """A living process that uses the store."""

    id: str
    host: str
    pid: int
    started_at: float


def quick_check(connection: sqlite3.Connection, seconds: float) -> str | None:
    """What SQLite finds wrong with the file: "ok", or the first faults; None: out of time."""
    end = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > end, _INSTRUCTIONS)
    try:
        return "; ".join(row[0] for row in connection.execute("PRAGMA quick_check(3)"))
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            raise
        return None
    finally:
        connection.set_progress_handler(None, 0)


def schema_number(connection: sqlite3.Connection) -> int:
    """Which schema the file has."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def n_runs(connection: sqlite3.Connection) -> int:
    """How many runs are recorded."""
    return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])


def newest_run_at(connection: sqlite3.Connection) -> float | None:
    """When the newest run was created, by the clock of that time."""
    row = connection.execute("SELECT created_at FROM runs ORDER BY id DESC LIMIT 1").fetchone()
    return None if row is None else float(row[0])


def processes(connection: sqlite3.Connection, folder: Path) -> list[Process]:
    """Living processes of this machine, oldest first."""
    rows = connection.execute(
        "SELECT id, host, pid, started_at FROM owners WHERE ended_at IS NULL ORDER BY started_at"
    ).fetchall()
    return [Process(*row) for row in rows if is_alive(folder, row[0])]


def file_system(folder: Path) -> str:
    """Type of the file system that holds a folder; empty where the system does not tell."""
    return _file_system(folder)

"""The index of kept results: small ones in the row itself, large ones in a file it names."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Any

from nbflow.model.records import ResultRecord

#: First item of what `Store` posts for a hit; the rest is (key, seconds saved, time).
USED = "used"
# Eviction makes room for a while, or every save would have to.
_KEPT_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A kept result.

    Attributes:
        entry: The signed entry itself, or None when it is in `file`.
        file: Name of the file in the results folder, or None.
        seconds: How long the task ran to make it.
        group: By which entries of one family are found; None: of no family.
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
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Removed:
    """What was taken out of the index.

    Attributes:
        files: To be removed from the results folder.
    """

    n: int
    size_bytes: int
    files: list[str]


_COLUMNS = """key, size_bytes, entry, file, created_at, expires_at, task_name, run_id, seconds,
    family"""
_COUNT = """
    UPDATE results SET hits = hits + new.n, seconds_saved = seconds_saved + new.seconds,
        used_at = max(used_at, new.at)
    FROM (SELECT value ->> 0 AS key, value ->> 1 AS n, value ->> 2 AS seconds, value ->> 3 AS at
          FROM json_each(?)) AS new
    WHERE results.key = new.key"""


def put(connection: sqlite3.Connection, row: ResultRow) -> str | None:
    """Keep a result in place of any other under the same key; gives that one's file."""
    old = connection.execute("SELECT file FROM results WHERE key = ?", (row.key,)).fetchone()
    # What it has saved so far stays: the new value is the old one's successor.
    connection.execute(
        f"""INSERT INTO results ({_COLUMNS}, used_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (key) DO UPDATE SET size_bytes = excluded.size_bytes,
                entry = excluded.entry, file = excluded.file, created_at = excluded.created_at,
                expires_at = excluded.expires_at, task_name = excluded.task_name,
                run_id = excluded.run_id, seconds = excluded.seconds, family = excluded.family,
                used_at = excluded.used_at""",
        (*astuple(row), row.created_at),
    )
    return old[0] if old is not None and old[0] != row.file else None


def get(connection: sqlite3.Connection, key: str) -> ResultRow | None:
    """The result under `key`, expired or not."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM results WHERE key = ?", (key,)).fetchone()
    return None if row is None else ResultRow(*row)


def use(connection: sqlite3.Connection, uses: Iterable[tuple[str, str, float, float]]) -> None:
    """Count hits."""
    of_keys: dict[str, list[Any]] = {}
    for _, key, seconds, at in uses:
        counted = of_keys.setdefault(key, [key, 0, 0.0, at])
        counted[1] += 1
        counted[2] += seconds
        counted[3] = at
    # One statement for all: between two, a busy thread would keep the interpreter lock for 5 ms.
    connection.execute(_COUNT, (json.dumps(list(of_keys.values())),))


def drop(connection: sqlite3.Connection, row: ResultRow) -> None:
    """Forget a result, but not another that has taken its place."""
    connection.execute(
        "DELETE FROM results WHERE key = ? AND created_at = ? AND file IS ?",
        (row.key, row.created_at, row.file),
    )


def listed(
    connection: sqlite3.Connection, task_name: str | None = None, group: str | None = None
) -> list[ResultRecord]:
    """Kept results, newest first."""
    rows = connection.execute(
        """SELECT key, task_name, family, size_bytes, created_at, expires_at, used_at, hits,
               seconds, seconds_saved, run_id
           FROM results WHERE task_name = coalesce(?, task_name) AND (? IS NULL OR family = ?)
           ORDER BY created_at DESC, id DESC""",
        (task_name, group, group),
    )
    return [ResultRecord(*row) for row in rows]


def forget(
    connection: sqlite3.Connection,
    *,
    key: str | None = None,
    task_name: str | None = None,
    run_id: str | None = None,
) -> Removed:
    """Take out the results that fit all that is given; without anything: all."""
    where = """key = coalesce(?, key) AND task_name = coalesce(?, task_name)
        AND run_id = coalesce(?, run_id)"""
    return _remove(connection, where, (key, task_name, run_id))


def keys(connection: sqlite3.Connection, group: str) -> list[str]:
    """The keys of the results of a group that have not expired."""
    rows = connection.execute(
        "SELECT key FROM results WHERE family = ? AND (expires_at IS NULL OR expires_at > ?)",
        (group, time.time()),
    )
    return [row[0] for row in rows]


def prune(
    connection: sqlite3.Connection,
    *,
    now: float,
    max_bytes: int,
    oldest_at: float | None,
) -> Removed:
    """Take out what has expired or is too old, and, over the size, what was used longest ago."""
    old = _remove(
        connection,
        "expires_at <= ? OR created_at < ?",
        (now, oldest_at),
    )
    excess = total_bytes(connection) - max_bytes
    if excess <= 0:
        return old
    excess += int(max_bytes * (1 - _KEPT_SHARE))
    ids = list[int]()
    # First what was kept for runs that might be resumed: nobody has asked for it.
    rows = connection.execute(
        """SELECT id, size_bytes FROM results
           ORDER BY coalesce(family, '') NOT LIKE 'resume-%', used_at, size_bytes"""
    )
    for row_id, size_bytes in rows:
        if excess <= 0:
            break
        ids.append(row_id)
        excess -= size_bytes
    found = [_remove(connection, "id = ?", (row_id,)) for row_id in ids]
    return Removed(
        old.n + len(found),
        old.size_bytes + sum(one.size_bytes for one in found),
        old.files + [file for one in found for file in one.files],
    )


def total_bytes(connection: sqlite3.Connection) -> int:
    """Size of all kept results."""
    return int(connection.execute("SELECT coalesce(sum(size_bytes), 0) FROM results").fetchone()[0])


def files(connection: sqlite3.Connection) -> set[str]:
    """Names of all files that belong to a result."""
    rows = connection.execute("SELECT file FROM results WHERE file IS NOT NULL")
    return {row[0] for row in rows}


def ancestors(connection: sqlite3.Connection, run_id: str) -> set[str]:
    """The run's id and those of the runs around it."""
    rows = connection.execute(
        """WITH RECURSIVE above (id) AS (VALUES (?) UNION
               SELECT parent_id FROM runs JOIN above USING (id) WHERE parent_id IS NOT NULL)
           SELECT id FROM above""",
        (run_id,),
    )
    return {row[0] for row in rows}


def _remove(connection: sqlite3.Connection, where: str, values: tuple[Any, ...]) -> Removed:
    rows = connection.execute(
        f"DELETE FROM results WHERE {where} RETURNING size_bytes, file", values
    ).fetchall()
    return Removed(len(rows), sum(row[0] for row in rows), [row[1] for row in rows if row[1]])

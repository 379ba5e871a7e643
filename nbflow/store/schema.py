"""Tables, and how an older file is brought up to date."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from nbflow.errors import StoreTooNew

#: Entry n brings a file from schema n to n + 1. Append only: files in the field depend on it.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE owners (
        id TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, started_at REAL NOT NULL,
        ended_at REAL
    ) WITHOUT ROWID;

    CREATE TABLE runs (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, spec_name TEXT NOT NULL, name TEXT NOT NULL,
        parent_id TEXT, flow_run_id TEXT, owner_id TEXT NOT NULL, created_at REAL NOT NULL,
        scheduled_at REAL, tags TEXT, inputs TEXT, upstream TEXT,
        state_type TEXT NOT NULL, state_name TEXT NOT NULL, message TEXT NOT NULL,
        run_count INTEGER NOT NULL, started_at REAL, ended_at REAL
    ) WITHOUT ROWID;
    CREATE INDEX runs_by_parent ON runs (parent_id) WHERE parent_id IS NOT NULL;
    CREATE INDEX runs_unfinished ON runs (owner_id)
        WHERE state_type NOT IN ('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED');
    CREATE INDEX runs_by_kind ON runs (kind, id);

    -- One table for states entered and lines logged: both are lines of a run's history, they are
    -- read together in order, and one sequence lets another process follow everything.
    CREATE TABLE lines (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, at REAL NOT NULL,
        level INTEGER NOT NULL, logger TEXT NOT NULL, message TEXT NOT NULL,
        state_name TEXT, state_type TEXT
    );
    CREATE INDEX lines_by_run ON lines (run_id, seq);

    CREATE TABLE requests (
        id INTEGER PRIMARY KEY, owner_id TEXT NOT NULL, run_id TEXT NOT NULL, verb TEXT NOT NULL,
        created_at REAL NOT NULL, handled_at REAL
    );
    CREATE INDEX requests_open ON requests (owner_id) WHERE handled_at IS NULL;

    CREATE TABLE limits (
        name TEXT PRIMARY KEY, slots INTEGER NOT NULL, decay_per_second REAL,
        decayed_active REAL NOT NULL DEFAULT 0, decayed_at REAL NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
    CREATE TABLE leases (
        id TEXT NOT NULL, limit_name TEXT NOT NULL, owner_id TEXT NOT NULL, run_id TEXT NOT NULL,
        slots INTEGER NOT NULL, acquired_at REAL NOT NULL, PRIMARY KEY (limit_name, id)
    ) WITHOUT ROWID;

    CREATE TABLE artifacts (
        id TEXT PRIMARY KEY, key TEXT, kind TEXT NOT NULL, data TEXT NOT NULL, description TEXT,
        run_id TEXT, flow_run_id TEXT, created_at REAL NOT NULL, updated_at REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX artifacts_by_key ON artifacts (key, created_at);

    CREATE TABLE variables (
        name TEXT PRIMARY KEY, value TEXT NOT NULL, tags TEXT NOT NULL, updated_at REAL NOT NULL
    ) WITHOUT ROWID;

    CREATE TABLE results (
        key TEXT PRIMARY KEY, size_bytes INTEGER NOT NULL, entry BLOB, file TEXT,
        created_at REAL NOT NULL, expires_at REAL, task_name TEXT NOT NULL, run_id TEXT NOT NULL,
        seconds REAL NOT NULL
    ) WITHOUT ROWID;
    """,
    # Entries of the first form cannot be read any more. With row ids, as entries of 16 KB would
    # make the tree of keys deep; the entry last, so that listing does not read it.
    """
    DROP TABLE results;
    CREATE TABLE results (
        id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, size_bytes INTEGER NOT NULL, file TEXT,
        created_at REAL NOT NULL, expires_at REAL, task_name TEXT NOT NULL, family TEXT,
        run_id TEXT NOT NULL, seconds REAL NOT NULL, seconds_saved REAL NOT NULL DEFAULT 0,
        hits INTEGER NOT NULL DEFAULT 0, used_at REAL NOT NULL, entry BLOB
    );
    CREATE INDEX results_by_use ON results (used_at, size_bytes);
    CREATE INDEX results_by_family ON results (family, created_at) WHERE family IS NOT NULL;
    CREATE INDEX results_by_expiry ON results (expires_at) WHERE expires_at IS NOT NULL;
    """,
    # Flows that others than their caller run. The snapshot last, so that listing can leave it.
    """
    ALTER TABLE runs ADD COLUMN origin_id TEXT;
    ALTER TABLE runs ADD COLUMN source TEXT;
    -- What runs now, few rows whatever the store holds: limits and overlaps count them.
    CREATE INDEX runs_begun ON runs (owner_id) WHERE kind = 'flow' AND parent_id IS NULL
        AND owner_id > '' AND state_type NOT IN ('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED');

    CREATE TABLE deployments (
        id TEXT PRIMARY KEY, flow_name TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
        target TEXT NOT NULL, folder TEXT NOT NULL, pool TEXT, place TEXT NOT NULL,
        parameters TEXT NOT NULL, tags TEXT NOT NULL, description TEXT, version TEXT,
        retries INTEGER NOT NULL, retry_delay REAL NOT NULL, concurrency_limit INTEGER,
        autotask INTEGER NOT NULL, notify TEXT NOT NULL, server_id TEXT NOT NULL DEFAULT '',
        is_paused INTEGER NOT NULL DEFAULT 0, created_at REAL NOT NULL, updated_at REAL NOT NULL,
        snapshot BLOB
    );
    CREATE INDEX deployments_by_pool ON deployments (pool) WHERE pool IS NOT NULL;
    CREATE INDEX deployments_by_place ON deployments (place);

    CREATE TABLE schedules (
        id TEXT PRIMARY KEY, deployment_id TEXT NOT NULL, name TEXT NOT NULL,
        trigger TEXT NOT NULL, parameters TEXT NOT NULL, catch_up TEXT NOT NULL,
        overlap TEXT NOT NULL, jitter_seconds REAL NOT NULL, until_at REAL,
        is_active INTEGER NOT NULL, next_at REAL, created_at REAL NOT NULL,
        updated_at REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX schedules_by_deployment ON schedules (deployment_id);

    -- One row for each run that was asked for. A cause counts once per schedule; it is NULL for
    -- what a person asked for. `taken_at` is also set where nobody is to take it any more.
    CREATE TABLE orders (
        run_id TEXT PRIMARY KEY, deployment_id TEXT NOT NULL, schedule_id TEXT, cause TEXT,
        pool TEXT, due_at REAL NOT NULL, parameters TEXT NOT NULL, retries_left INTEGER NOT NULL,
        retry_delay REAL NOT NULL, taken_at REAL, UNIQUE (schedule_id, cause)
    ) WITHOUT ROWID;
    CREATE INDEX orders_by_deployment ON orders (deployment_id);
    CREATE INDEX orders_by_schedule ON orders (schedule_id) WHERE schedule_id IS NOT NULL;
    CREATE INDEX orders_waiting ON orders (due_at, run_id, deployment_id, pool, schedule_id)
        WHERE taken_at IS NULL;
    CREATE INDEX orders_waiting_in_pool ON orders (pool, due_at)
        WHERE taken_at IS NULL AND pool IS NOT NULL;
    CREATE INDEX orders_waiting_of_schedule ON orders (schedule_id)
        WHERE taken_at IS NULL AND schedule_id IS NOT NULL;

    CREATE TABLE pools (
        name TEXT PRIMARY KEY, kind TEXT NOT NULL, concurrency_limit INTEGER,
        is_paused INTEGER NOT NULL DEFAULT 0, created_at REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE workers (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, pool TEXT NOT NULL, slots INTEGER,
        host TEXT NOT NULL, pid INTEGER NOT NULL, started_at REAL NOT NULL,
        heartbeat_at REAL NOT NULL
    ) WITHOUT ROWID;

    -- What was done for a run and is not to be done again, by any process.
    CREATE TABLE once (run_id TEXT NOT NULL, what TEXT NOT NULL, PRIMARY KEY (run_id, what))
        WITHOUT ROWID;

    -- One row; its number grows with every change of deployments, schedules and pools.
    CREATE TABLE declarations (revision INTEGER NOT NULL);
    INSERT INTO declarations VALUES (0);
    """,
)


def migrate(
    connection: sqlite3.Connection, path: Path, migrations: tuple[str, ...] = MIGRATIONS
) -> None:
    """Bring the file to the newest schema, in one transaction; several processes may race.

    Raises:
        StoreTooNew: The file is of a newer nbflow; nothing was changed.
    """
    if check_version(connection, path, migrations) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Again: another process may have been faster.
        found = check_version(connection, path, migrations)
        for script in migrations[found:]:
            for statement in _statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # on a full disk SQLite has rolled back by itself
            connection.execute("ROLLBACK")
        raise


def check_version(
    connection: sqlite3.Connection, path: Path, migrations: tuple[str, ...] = MIGRATIONS
) -> int:
    """The file's schema; 0 for a new file.

    Raises:
        StoreTooNew: The file is of a newer nbflow.
    """
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found > len(migrations):
        raise StoreTooNew(path, found, len(migrations))
    return found


def _statements(script: str) -> list[str]:
    # Not executescript(): it commits the transaction that must hold all of it.
    bare = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("--"))
    return [statement for statement in bare.split(";") if statement.strip()]

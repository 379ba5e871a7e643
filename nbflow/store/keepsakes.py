"""Artifacts and variables: JSON values that outlive the run that wrote them."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import Any

from nbflow.model.ids import new_id
from nbflow.model.records import ArtifactRecord


def add_artifact(
    connection: sqlite3.Connection,
    *,
    key: str | None,
    kind: str,
    data: Any,
    description: str | None,
    run_id: str | None,
    flow_run_id: str | None,
) -> str:
    """Keep an artifact; gives its id."""
    artifact_id, now = new_id(), time.time()
    connection.execute(
        "INSERT INTO artifacts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (artifact_id, key, kind, json.dumps(data), description, run_id, flow_run_id, now, now),
    )
    return artifact_id


def update_artifact(
    connection: sqlite3.Connection, artifact_id: str, data: Any, description: str | None
) -> bool:
    """Change an artifact in place; False: there is none with this id."""
    cursor = connection.execute(
        """UPDATE artifacts SET data = ?, description = coalesce(?, description), updated_at = ?
           WHERE id = ?""",
        (json.dumps(data), description, time.time(), artifact_id),
    )
    return cursor.rowcount == 1


def artifacts(
    connection: sqlite3.Connection,
    *,
    key: str | None = None,
    run_id: str | None = None,
    artifact_id: str | None = None,
    limit: int = 100,
) -> list[ArtifactRecord]:
    """Artifacts, newest first."""
    rows = connection.execute(
        """SELECT * FROM artifacts WHERE (? IS NULL OR key = ?)
           AND (? IS NULL OR run_id = ? OR flow_run_id = ?) AND (? IS NULL OR id = ?)
           ORDER BY id DESC LIMIT ?""",
        (key, key, run_id, run_id, run_id, artifact_id, artifact_id, limit),
    ).fetchall()
    return [
        ArtifactRecord(row[0], row[1], row[2], json.loads(row[3]), *tuple(row)[4:]) for row in rows
    ]


def set_variable(
    connection: sqlite3.Connection, name: str, value: Any, tags: list[str], overwrite: bool
) -> bool:
    """Keep a value under a name; False: there is one and it may not be overwritten."""
    conflict = (
        "DO UPDATE SET value = excluded.value, tags = excluded.tags, "
        "updated_at = excluded.updated_at"
        if overwrite
        else "DO NOTHING"
    )
    cursor = connection.execute(
        f"INSERT INTO variables VALUES (?, ?, ?, ?) ON CONFLICT (name) {conflict}",
        (name, json.dumps(value), json.dumps(tags), time.time()),
    )
    return cursor.rowcount == 1


def unset_variable(connection: sqlite3.Connection, name: str) -> bool:
    """Forget a variable; False: there was none."""
    return connection.execute("DELETE FROM variables WHERE name = ?", (name,)).rowcount == 1


def variables(connection: sqlite3.Connection, name: str | None = None) -> dict[str, Any]:
    """Values by name: of every variable, or of the one asked for."""
    rows = connection.execute(
        "SELECT name, value FROM variables WHERE ? IS NULL OR name = ? ORDER BY name", (name, name)
    ).fetchall()
    return {row[0]: json.loads(row[1]) for row in rows}

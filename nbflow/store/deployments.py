"""Rows of deployments. All but reading is done in the caller's transaction."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Sequence
from typing import Any

from nbflow.errors import AmbiguousDeployment, DeploymentNotFound
from nbflow.model.deployments import DeploymentKind, DeploymentRecord, DeploymentSpec
from nbflow.store.schedules import as_json, id_of

_COLUMNS = """id, flow_name, name, kind, target, folder, pool, place, parameters, tags, description,
    version, retries, retry_delay, concurrency_limit, autotask, notify, server_id, is_paused,
    created_at, updated_at"""
# Kept when it is declared again: who serves it, whether it is paused, and since when it exists.
_DECLARED = (
    *("kind", "target", "folder", "pool", "place", "parameters", "tags", "description", "version"),
    *("retries", "retry_delay", "concurrency_limit", "autotask", "notify", "updated_at"),
    "snapshot",
)


def put(connection: sqlite3.Connection, spec: DeploymentSpec) -> str:
    """Declare a deployment, anew or again; gives its id. Its waiting orders go to its pool."""
    deployment_id, now = id_of(spec.flow_name, spec.name), time.time()
    values = (
        deployment_id, spec.flow_name, spec.name, spec.kind.value, spec.target, spec.folder,
        spec.pool, spec.place, as_json(dict(spec.parameters)), as_json(list(spec.tags)),
        spec.description, spec.version, spec.retries, spec.retry_delay_seconds,
        spec.concurrency_limit, spec.autotask, as_json(list(spec.notify)), "", False, now, now,
        spec.snapshot,
    )  # fmt: skip
    changes = ", ".join(f"{column} = excluded.{column}" for column in _DECLARED)
    connection.execute(
        f"""INSERT INTO deployments ({_COLUMNS}, snapshot) VALUES ({", ".join("?" * len(values))})
            ON CONFLICT (id) DO UPDATE SET {changes}""",
        values,
    )
    _move_orders(connection, deployment_id, spec.pool)
    return deployment_id


def listed(
    connection: sqlite3.Connection,
    *,
    name: str | None = None,
    pool: str | None = None,
    place: str | None = None,
    ids: Collection[str] | None = None,
    with_snapshot: bool = True,
) -> list[DeploymentRecord]:
    """Deployments by name.

    Args:
        name: Its name, or its flow's name and its own: `flow/name`.
        place: The notebook or script that declared it.
        with_snapshot: Read also their code, which may be megabytes each.
    """
    wheres, values = ["1"], list[Any]()
    if name is not None:
        wheres.append("? IN (name, flow_name || '/' || name)")
        values.append(name.encode("utf-8", "replace").decode())
    for column, wanted in (("pool", pool), ("place", place)):
        if wanted is not None:
            wheres.append(f"{column} = ?")
            values.append(wanted)
    if ids is not None:
        wheres.append("id IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(list(ids)))
    code = "snapshot" if with_snapshot else "NULL"
    rows = connection.execute(
        f"""SELECT {_COLUMNS}, {code} FROM deployments WHERE {" AND ".join(wheres)}
            ORDER BY flow_name, name""",
        values,
    ).fetchall()
    return [_deployment(row) for row in rows]


def find(connection: sqlite3.Connection, name: str) -> DeploymentRecord:
    """One deployment by `flow/name`, its own name or its id.

    Raises:
        DeploymentNotFound: There is none.
        AmbiguousDeployment: Several flows have a deployment of this name.
    """
    found = listed(connection, name=name) or listed(connection, ids=[name])
    if not found:
        raise DeploymentNotFound(name)
    exact = [record for record in found if record.full_name == name]
    if len(exact or found) > 1:
        raise AmbiguousDeployment(name, [record.full_name for record in found])
    return (exact or found)[0]


def serve(connection: sqlite3.Connection, deployment_id: str, server_id: str) -> None:
    """Note that a process sees to a deployment itself.

    Raises:
        DeploymentNotFound: There is none with this id.
    """
    _change(connection, deployment_id, "server_id", server_id)


def unserve(connection: sqlite3.Connection, deployment_id: str, server_id: str) -> None:
    """Note that a process does so no longer; of another server nothing changes."""
    connection.execute(
        "UPDATE deployments SET server_id = '' WHERE id = ? AND server_id = ?",
        (deployment_id, server_id),
    )


def move(connection: sqlite3.Connection, deployment_id: str, pool: str | None) -> None:
    """Give a deployment and its waiting orders to a pool.

    Raises:
        DeploymentNotFound: There is none with this id.
    """
    _change(connection, deployment_id, "pool", pool)
    _move_orders(connection, deployment_id, pool)


def pause(connection: sqlite3.Connection, deployment_id: str, paused: bool) -> None:
    """Let a deployment rest, or go on.

    Raises:
        DeploymentNotFound: There is none with this id.
    """
    _change(connection, deployment_id, "is_paused", paused)


def delete(connection: sqlite3.Connection, deployment_id: str) -> None:
    """Delete a deployment. What hangs on it is the caller's to see to.

    Raises:
        DeploymentNotFound: There is none with this id.
    """
    if connection.execute("DELETE FROM deployments WHERE id = ?", (deployment_id,)).rowcount == 0:
        raise DeploymentNotFound(deployment_id)


def _change(connection: sqlite3.Connection, deployment_id: str, column: str, value: Any) -> None:
    cursor = connection.execute(
        f"UPDATE deployments SET {column} = ? WHERE id = ?", (value, deployment_id)
    )
    if cursor.rowcount == 0:
        raise DeploymentNotFound(deployment_id)


def _move_orders(connection: sqlite3.Connection, deployment_id: str, pool: str | None) -> None:
    connection.execute(
        """UPDATE orders SET pool = ?
           WHERE taken_at IS NULL AND +deployment_id = ? AND pool IS NOT ?""",
        (pool, deployment_id, pool),
    )


def _deployment(row: Sequence[Any]) -> DeploymentRecord:
    return DeploymentRecord(
        id=row[0],
        flow_name=row[1],
        name=row[2],
        kind=DeploymentKind(row[3]),
        target=row[4],
        folder=row[5],
        pool=row[6],
        place=row[7],
        parameters=json.loads(row[8]),
        tags=tuple(json.loads(row[9])),
        description=row[10],
        version=row[11],
        retries=row[12],
        retry_delay_seconds=row[13],
        concurrency_limit=row[14],
        autotask=bool(row[15]),
        notify=tuple(json.loads(row[16])),
        server_id=row[17],
        is_paused=bool(row[18]),
        created_at=row[19],
        updated_at=row[20],
        snapshot=row[21],
    )

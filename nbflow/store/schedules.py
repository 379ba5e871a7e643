"""Rows of schedules. All but reading is done in the caller's transaction."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from nbflow.errors import ScheduleNotFound
from nbflow.model.schedules import CatchUp, Overlap, ScheduleRecord, ScheduleSpec

_COLUMNS = """s.id, s.deployment_id, s.name, s.trigger, s.parameters, s.catch_up, s.overlap,
    s.jitter_seconds, s.until_at, s.is_active, s.next_at, s.created_at, s.updated_at"""


def id_of(*names: str) -> str:
    """An id made of names: the same wherever and however often they are declared."""
    return hashlib.sha256("\0".join(names).encode("utf-8", "replace")).hexdigest()[:32]


def as_json(value: Any) -> str:
    """`value` as it is written: equal mappings give equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def replace(
    connection: sqlite3.Connection, deployment_id: str, specs: Sequence[ScheduleSpec]
) -> list[str]:
    """Make `specs` the schedules of a deployment; gives the ids of those that are gone.

    One whose trigger and end stay as they were goes on where it was.
    """
    found = {record.id: record for record in listed(connection, deployment_ids=[deployment_id])}
    now = time.time()
    for spec in specs:
        schedule_id = id_of(deployment_id, spec.name)
        before = found.pop(schedule_id, None)
        is_active = spec.is_active
        if is_active is None:
            is_active = before is None or before.is_active
        next_at = spec.first_at
        if before is not None and _goes_on(before, spec, is_active=is_active):
            next_at = before.next_at
        connection.execute(
            """INSERT INTO schedules VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
               ON CONFLICT (id) DO UPDATE SET trigger = excluded.trigger,
                   parameters = excluded.parameters, catch_up = excluded.catch_up,
                   overlap = excluded.overlap, jitter_seconds = excluded.jitter_seconds,
                   until_at = excluded.until_at, is_active = excluded.is_active,
                   next_at = excluded.next_at, updated_at = excluded.updated_at,
                   -- Events of before another trigger was declared are none of its.
                   created_at = CASE WHEN trigger = excluded.trigger THEN created_at
                                     ELSE excluded.created_at END""",
            (
                schedule_id, deployment_id, spec.name, as_json(dict(spec.trigger)),
                as_json(dict(spec.parameters)), spec.catch_up.value, spec.overlap.value,
                spec.jitter_seconds, spec.until_at, is_active, next_at, now, now,
            ),
        )  # fmt: skip
    return list(found)


def _goes_on(before: ScheduleRecord, spec: ScheduleSpec, *, is_active: bool) -> bool:
    same = before.until_at == spec.until_at and as_json(dict(before.trigger)) == as_json(
        dict(spec.trigger)
    )
    return same and (before.is_active or not is_active)  # what was paused starts from now


def listed(
    connection: sqlite3.Connection,
    *,
    ids: Collection[str] | None = None,
    deployment_ids: Collection[str] | None = None,
    pool: str | None = None,
) -> list[ScheduleRecord]:
    """Schedules by name: all, or those of some deployments, or of the deployments of a pool."""
    wheres, values = ["1"], list[Any]()
    for column, wanted in (("s.id", ids), ("s.deployment_id", deployment_ids)):
        if wanted is not None:
            wheres.append(f"{column} IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(list(wanted)))
    if pool is not None:
        wheres.append("s.deployment_id IN (SELECT id FROM deployments WHERE pool = ?)")
        values.append(pool)
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM schedules s WHERE {' AND '.join(wheres)} ORDER BY s.name, s.id",
        values,
    ).fetchall()
    return [_schedule(row) for row in rows]


def find(connection: sqlite3.Connection, name: str) -> ScheduleRecord:
    """One schedule by its id, `flow/deployment/schedule`, or a name that only it fits.

    The name may be that of its deployment, with or without its flow's, where that has just one.

    Raises:
        ScheduleNotFound: None fits, or several do.
    """
    by_id = listed(connection, ids=[name])
    if by_id:
        return by_id[0]
    rows = connection.execute(
        """SELECT s.id, d.flow_name || '/' || d.name || '/' || s.name FROM schedules s
           JOIN deployments d ON d.id = s.deployment_id
           WHERE ? IN (s.name, d.name, d.flow_name || '/' || d.name, d.name || '/' || s.name,
                        d.flow_name || '/' || d.name || '/' || s.name)""",
        (name.encode("utf-8", "replace").decode(),),
    ).fetchall()
    exact = [row for row in rows if row[1] == name]
    fitting = exact or rows
    if len(fitting) != 1:
        raise ScheduleNotFound(name, sorted(row[1] for row in fitting))
    return listed(connection, ids=[fitting[0][0]])[0]


def pause(
    connection: sqlite3.Connection, schedule_id: str, paused: bool, next_at: float | None = None
) -> None:
    """Let a schedule rest, or go on with `next_at` as its next fire time.

    Raises:
        ScheduleNotFound: There is none with this id.
    """
    changes = "is_active = ?, updated_at = ?" + ("" if paused else ", next_at = ?")
    values: list[Any] = [not paused, time.time()]
    values += [] if paused else [next_at]
    cursor = connection.execute(
        f"UPDATE schedules SET {changes} WHERE id = ?", (*values, schedule_id)
    )
    if cursor.rowcount == 0:
        raise ScheduleNotFound(schedule_id)


def move(connection: sqlite3.Connection, next_at: Mapping[str, float | None]) -> None:
    """Set the next fire times of schedules, by their ids."""
    connection.executemany(
        "UPDATE schedules SET next_at = ? WHERE id = ?",
        [(at, schedule_id) for schedule_id, at in next_at.items()],
    )


def delete(connection: sqlite3.Connection, ids: Collection[str]) -> int:
    """Delete schedules; gives how many there were."""
    return connection.execute(
        "DELETE FROM schedules WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    ).rowcount


def revise(connection: sqlite3.Connection) -> None:
    """Note that what is declared has changed."""
    connection.execute("UPDATE declarations SET revision = revision + 1")


def revision(connection: sqlite3.Connection) -> int:
    """A number that grows with every change of what is declared, but not by firing."""
    return int(connection.execute("SELECT revision FROM declarations").fetchone()[0])


def _schedule(row: Sequence[Any]) -> ScheduleRecord:
    return ScheduleRecord(
        id=row[0],
        deployment_id=row[1],
        name=row[2],
        trigger=json.loads(row[3]),
        parameters=json.loads(row[4]),
        catch_up=CatchUp(row[5]),
        overlap=Overlap(row[6]),
        jitter_seconds=row[7],
        until_at=row[8],
        is_active=bool(row[9]),
        next_at=row[10],
        created_at=row[11],
        updated_at=row[12],
    )

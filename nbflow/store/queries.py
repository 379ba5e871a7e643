"""Reading runs and their lines back, on the calling thread's own connection."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

from nbflow.errors import AmbiguousRun, RunNotFound
from nbflow.model.records import LineRecord, RunRecord
from nbflow.model.runs import RunKind
from nbflow.model.states import StateType

# The run and all that was called in it, at any depth.
_FAMILY = """
    WITH RECURSIVE family (id) AS (
        VALUES (?) UNION ALL SELECT runs.id FROM runs JOIN family ON runs.parent_id = family.id)"""

_OF_DEPLOYMENT = """id IN (
    SELECT run_id FROM orders JOIN deployments ON deployments.id = orders.deployment_id
    WHERE deployments.name = ? OR deployments.flow_name || '/' || deployments.name = ?)"""


def runs(
    connection: sqlite3.Connection,
    *,
    kind: RunKind | None = None,
    state: str | None = None,
    name: str | None = None,
    parent_id: str | None = None,
    deployment: str | None = None,
    outermost: bool = False,
    limit: int = 50,
) -> list[RunRecord]:
    """Runs, newest first.

    Args:
        state: A state's name or type.
        name: Name of a run, flow or task.
        deployment: Only runs of this deployment: its name, or `flow/name`.
        outermost: Only runs that no other run has called.
    """
    wheres, values = ["1"], list[Any]()
    if kind is not None:
        wheres.append("kind = ?")
        values.append(kind)
    if state is not None:
        wheres.append("(state_name = ? COLLATE NOCASE OR state_type = ? COLLATE NOCASE)")
        values += [state, state]
    if name is not None:
        wheres.append("(name = ? OR spec_name = ?)")
        values += [name, name]
    if outermost:
        wheres.append("parent_id IS NULL")
    if parent_id is not None:
        wheres.append("parent_id = ?")
        values.append(parent_id)
    if deployment is not None:
        wheres.append(_OF_DEPLOYMENT)
        values += [deployment, deployment]
    rows = connection.execute(
        f"SELECT * FROM runs WHERE {' AND '.join(wheres)} ORDER BY id DESC LIMIT ?",
        (*values, limit),
    ).fetchall()
    return _with_task_counts(connection, [_run(row) for row in rows])


def find(connection: sqlite3.Connection, run: str, path: Path) -> RunRecord:
    """One run by its id, the first digits of its id, or its name (the newest of that name).

    Raises:
        RunNotFound: There is none.
        AmbiguousRun: The digits fit several.
    """
    run = run.encode("utf-8", "replace").decode()  # from a command line it may be any bytes
    rows = connection.execute("SELECT * FROM runs WHERE id = ?", (run,)).fetchall()
    if not rows:
        rows = connection.execute(
            "SELECT * FROM runs WHERE name = ? ORDER BY id DESC LIMIT 1", (run,)
        ).fetchall()
    if not rows and len(run) >= 4 and set(run) <= set("0123456789abcdef"):
        rows = connection.execute(
            "SELECT * FROM runs WHERE id >= ? AND id < ? LIMIT 6", (run, run + "g")
        ).fetchall()
    if not rows:
        raise RunNotFound(run, path)
    if len(rows) > 1:
        raise AmbiguousRun(run, [row["id"] for row in rows])
    return _with_task_counts(connection, [_run(rows[0])])[0]


def family(connection: sqlite3.Connection, run_id: str) -> list[RunRecord]:
    """The run and every run inside it, oldest first."""
    rows = connection.execute(
        f"{_FAMILY} SELECT * FROM runs WHERE id IN family ORDER BY id", (run_id,)
    ).fetchall()
    return _with_task_counts(connection, [_run(row) for row in rows])


def by_ids(connection: sqlite3.Connection, ids: list[str]) -> dict[str, RunRecord]:
    """Runs by their ids, as far as there are any, without the counts of their tasks."""
    rows = connection.execute(
        "SELECT * FROM runs WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(ids),)
    ).fetchall()
    return {row["id"]: _run(row) for row in rows}


def lines(
    connection: sqlite3.Connection,
    run_id: str,
    *,
    after: int = 0,
    limit: int = 1_000_000,
    inner: bool = True,
    states: bool = True,
    level: int = 0,
) -> list[LineRecord]:
    """What a run logged and the states it entered, in order.

    Args:
        after: Only lines with a greater `seq`.
        inner: Also the lines of every run inside it.
        states: Also the states, not only the log.
        level: Only log lines of at least this level.
    """
    which = "run_id IN family" if inner else "run_id = (SELECT id FROM family LIMIT 1)"
    rows = connection.execute(
        f"""{_FAMILY} SELECT * FROM lines WHERE {which} AND seq > ?
            AND (state_name IS NULL OR ?) AND (state_name IS NOT NULL OR level >= ?)
            ORDER BY seq LIMIT ?""",
        (run_id, after, states, level, limit),
    ).fetchall()
    return [_line(row) for row in rows]


def delete(connection: sqlite3.Connection, run_id: str) -> int:
    """Delete a run and every run inside it, in the caller's transaction; gives their number."""
    ids = [
        row[0]
        for row in connection.execute(
            f"{_FAMILY} SELECT id FROM runs WHERE id IN family", (run_id,)
        ).fetchall()
    ]
    listed = json.dumps(ids)
    # What a schedule has claimed stays claimed: the fire time or event may not come again.
    connection.execute(
        """UPDATE orders SET taken_at = coalesce(taken_at, ?)
           WHERE run_id IN (SELECT value FROM json_each(?))""",
        (time.time(), listed),
    )
    connection.execute(
        """DELETE FROM orders WHERE schedule_id IS NULL
               AND run_id IN (SELECT value FROM json_each(?))""",
        (listed,),
    )
    tables = ("lines", "artifacts", "once", "runs")
    for table, column in ((table, "id" if table == "runs" else "run_id") for table in tables):
        connection.execute(
            f"DELETE FROM {table} WHERE {column} IN (SELECT value FROM json_each(?))", (listed,)
        )
    return len(ids)


def _with_task_counts(connection: sqlite3.Connection, records: list[RunRecord]) -> list[RunRecord]:
    flows = {record.id: record for record in records if record.kind is RunKind.FLOW}
    rows = connection.execute(
        """SELECT parent_id, state_name, count(*) FROM runs
           WHERE parent_id IN (SELECT value FROM json_each(?)) AND kind = 'task'
           GROUP BY parent_id, state_name""",
        (json.dumps(list(flows)),),
    ).fetchall()
    for parent_id, state_name, n in rows:
        flows[parent_id].n_tasks[state_name] = n
    return records


def _run(row: sqlite3.Row) -> RunRecord:
    return RunRecord(
        id=row["id"],
        kind=RunKind(row["kind"]),
        spec_name=row["spec_name"],
        name=row["name"],
        parent_id=row["parent_id"],
        flow_run_id=row["flow_run_id"],
        owner_id=row["owner_id"],
        state_type=StateType(row["state_type"]),
        state_name=row["state_name"],
        message=row["message"],
        run_count=row["run_count"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        scheduled_at=row["scheduled_at"],
        tags=json.loads(row["tags"] or "[]"),
        inputs=json.loads(row["inputs"] or "{}"),
        upstream=json.loads(row["upstream"] or "[]"),
        origin_id=row["origin_id"],
        source=json.loads(row["source"] or "null"),
    )


def _line(row: sqlite3.Row) -> LineRecord:
    return LineRecord(
        seq=row["seq"],
        run_id=row["run_id"],
        at=row["at"],
        level=row["level"],
        logger=row["logger"],
        message=row["message"],
        state_name=row["state_name"],
        state_type=StateType(row["state_type"]) if row["state_type"] else None,
    )

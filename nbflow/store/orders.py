"""Runs that were asked for: each an order and, from the same moment, a row of the runs table.

An order waits while `taken_at` is NULL: its run is of type SCHEDULED and nobody owns it. All but
reading is done in the caller's transaction.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from nbflow.errors import DeploymentNotFound
from nbflow.model.deployments import OrderRecord
from nbflow.model.describe import describe
from nbflow.model.ids import friendly_name, new_id
from nbflow.model.states import FINAL_TYPES, STATE_NAMES

UNFINISHED = "state_type NOT IN ('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED')"
_COLUMNS = """o.run_id, r.name, o.deployment_id, o.schedule_id, o.cause, r.scheduled_at, o.due_at,
    o.pool, o.parameters, r.tags, r.state_name, r.message, r.run_count, o.retries_left,
    r.origin_id"""
_SOURCE = '{"kind":"order"}'
_INSERT_RUN = """INSERT INTO runs (id, flow_run_id, kind, spec_name, name, owner_id, created_at,
    scheduled_at, tags, inputs, state_type, state_name, message, run_count, ended_at, origin_id,
    source)
    VALUES (?, ?, 'flow', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?)"""
_INSERT_ORDER = """INSERT INTO orders (run_id, deployment_id, schedule_id, cause, pool, due_at,
    parameters, retries_left, retry_delay, taken_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_INSERT_LINE = """INSERT INTO lines (run_id, at, level, logger, message, state_name, state_type)
    VALUES (?, ?, 0, '', ?, ?, ?)"""


@dataclass(frozen=True, slots=True)
class Fired:
    """What became of a fire.

    Attributes:
        next_at: The schedule's next fire time as it is in the store now; None: it fires no more,
            or rests.
        is_claimed: Whether this process got the fire times.
        orders: All that were created, those that are not to run too.
        taken: Those of them that this process has to begin now.
        cancel: Ids of earlier runs that give way.
    """

    schedule_id: str
    next_at: float | None
    is_claimed: bool
    orders: tuple[OrderRecord, ...] = ()
    taken: tuple[OrderRecord, ...] = ()
    cancel: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class NewOrder:
    """An order to be written, with the columns of its run.

    Attributes:
        states: (type, name, message) of the states that its run has been in, the last one too.
        parameters, tags: As JSON.
        ended_at: When its run ended, if it is not to run.
    """

    flow_name: str
    deployment_id: str
    schedule_id: str | None
    cause: str | None
    scheduled_at: float
    due_at: float
    pool: str | None
    parameters: str
    tags: str
    retries: int
    retry_delay: float
    states: list[tuple[str, str, str]]
    origin_id: str | None = None
    run_id: str
    run_name: str
    owner_id: str = ""
    taken_at: float | None = None
    ended_at: float | None = None

    def record(self) -> OrderRecord:
        _, state_name, message = self.states[-1]
        return OrderRecord(
            run_id=self.run_id,
            run_name=self.run_name,
            deployment_id=self.deployment_id,
            schedule_id=self.schedule_id,
            cause=self.cause or "",
            scheduled_at=self.scheduled_at,
            due_at=self.due_at,
            pool=self.pool,
            parameters=dict(_parsed(self.parameters)),
            tags=tuple(_parsed(self.tags)),
            state_name=state_name,
            message=message,
            run_count=0,
            retries_left=self.retries,
            origin_id=self.origin_id,
        )


def insert(connection: sqlite3.Connection, new: Sequence[NewOrder]) -> None:
    """Write orders and their runs. The caller has seen to it that no cause is there twice."""
    now = time.time()
    connection.executemany(
        _INSERT_RUN,
        [
            (
                one.run_id, one.run_id, one.flow_name, one.run_name, one.owner_id, now,
                one.scheduled_at, None if one.tags == "[]" else one.tags,
                _described(one.parameters), *one.states[-1], one.ended_at, one.origin_id, _SOURCE,
            )
            for one in new
        ],
    )  # fmt: skip
    connection.executemany(
        _INSERT_ORDER,
        [
            (
                one.run_id, one.deployment_id, one.schedule_id, one.cause, one.pool, one.due_at,
                one.parameters, one.retries, one.retry_delay, one.taken_at,
            )
            for one in new
        ],
    )  # fmt: skip
    connection.executemany(
        _INSERT_LINE,
        [(one.run_id, now, told, name, kind) for one in new for kind, name, told in one.states],
    )


def add(
    connection: sqlite3.Connection,
    deployment_id: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    due_at: float | None = None,
    run_name: str | None = None,
    tags: Collection[str] = (),
    origin_id: str | None = None,
    schedule_id: str | None = None,
) -> OrderRecord:
    """Ask for one run of a deployment, now or at `due_at`.

    Args:
        parameters: On top of the deployment's and the schedule's.
        schedule_id: The schedule whose parameters it has, and to whose runs it counts.

    Raises:
        DeploymentNotFound: There is none with this id.
    """
    row = connection.execute(
        """SELECT d.flow_name, d.pool, d.parameters, d.tags, d.retries, d.retry_delay, s.parameters
           FROM deployments d LEFT JOIN schedules s ON s.id = ? WHERE d.id = ?""",
        (schedule_id, deployment_id),
    ).fetchone()
    if row is None:
        raise DeploymentNotFound(deployment_id)
    flow_name, pool, of_deployment, of_tags, retries, retry_delay, of_schedule = row
    planned_at = time.time() if due_at is None else due_at
    new = NewOrder(
        flow_name=flow_name,
        deployment_id=deployment_id,
        schedule_id=schedule_id,
        cause=None,
        scheduled_at=planned_at,
        due_at=planned_at,
        pool=pool,
        parameters=merged(of_deployment, of_schedule or "{}", json.dumps(dict(parameters or {}))),
        tags=json.dumps(sorted({*json.loads(of_tags), *tags})),
        retries=retries,
        retry_delay=retry_delay,
        states=[("SCHEDULED", "Scheduled", "")],
        origin_id=origin_id,
        run_id=new_id(),
        run_name=run_name or friendly_name(),
    )
    insert(connection, [new])
    return new.record()


def listed(
    connection: sqlite3.Connection,
    *,
    run_ids: Collection[str] | None = None,
    deployment_id: str | None = None,
    schedule_id: str | None = None,
    limit: int = 50,
) -> list[OrderRecord]:
    """Orders, newest first."""
    wheres, values = ["1"], list[Any]()
    if run_ids is not None:
        wheres.append("o.run_id IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(list(run_ids)))
    for column, wanted in (("schedule_id", schedule_id), ("deployment_id", deployment_id)):
        if wanted is not None:
            wheres.append(f"o.{column} = ?")
            values.append(wanted)
    rows = connection.execute(
        f"""SELECT {_COLUMNS} FROM orders o CROSS JOIN runs r ON r.id = o.run_id
            WHERE {" AND ".join(wheres)} ORDER BY o.run_id DESC LIMIT ?""",
        (*values, limit),
    ).fetchall()
    return [_order(row) for row in rows]


def next_at(
    connection: sqlite3.Connection,
    *,
    deployment_ids: Collection[str] | None,
    pool: str | None,
    after: float | None = None,
) -> float | None:
    """When the first of the orders that are due after an instant, or after now, may begin."""
    scope, values = within(deployment_ids, pool)
    row = connection.execute(
        f"SELECT due_at FROM {scope} AND due_at > ? ORDER BY due_at LIMIT 1",
        (*values, time.time() if after is None else after),
    ).fetchone()
    return None if row is None else float(row[0])


def within(deployment_ids: Collection[str] | None, pool: str | None) -> tuple[str, list[Any]]:
    """Where the waiting orders of these deployments and of this pool are, for a FROM.

    The index is named: left alone SQLite may go through all orders that ever were.
    """
    index = "orders_waiting" if pool is None else "orders_waiting_in_pool"
    wheres, values = ["taken_at IS NULL"], list[Any]()
    if pool is not None:
        wheres.append("pool = ?")
        values.append(pool)
    if deployment_ids is not None:
        wheres.append("+deployment_id IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(list(deployment_ids)))
    return f"orders INDEXED BY {index} WHERE {' AND '.join(wheres)}", values


def adopt(connection: sqlite3.Connection, run_id: str, from_owner: str, owner_id: str) -> bool:
    """Take a begun run over from the process that started this one; False: it is not its own."""
    cursor = connection.execute(
        f"UPDATE runs SET owner_id = ? WHERE id = ? AND owner_id = ? AND {UNFINISHED}",
        (owner_id, run_id, from_owner),
    )
    return cursor.rowcount == 1


def cancel_waiting(
    connection: sqlite3.Connection,
    *,
    run_ids: Collection[str] | None = None,
    deployment_id: str | None = None,
    schedule_ids: Collection[str] | None = None,
    message: str,
) -> list[str]:
    """Cancel runs that nobody has begun, by exactly one of the three; gives the ids of these."""
    if run_ids is not None:
        which, wanted = "run_id", list(run_ids)
    elif deployment_id is not None:
        which, wanted = "+deployment_id", [deployment_id]
    else:
        which, wanted = "schedule_id", list(schedule_ids or ())
    now = time.time()
    rows = connection.execute(
        f"""UPDATE orders SET taken_at = ?
            WHERE taken_at IS NULL AND {which} IN (SELECT value FROM json_each(?))
            RETURNING run_id""",
        (now, json.dumps(wanted)),
    ).fetchall()
    ids = [row[0] for row in rows]
    enter(connection, ids, "Cancelled", message)
    return ids


def claim_once(connection: sqlite3.Connection, run_id: str, what: str) -> bool:
    """True for the first that asks, ever."""
    cursor = connection.execute("INSERT OR IGNORE INTO once VALUES (?, ?)", (run_id, what))
    return cursor.rowcount == 1


def enter(
    connection: sqlite3.Connection, run_ids: Sequence[str], state_name: str, message: str
) -> None:
    """Bring runs that nobody carries out into a state, and say so in their history."""
    kind, now = STATE_NAMES[state_name], time.time()
    ended_at = now if kind in FINAL_TYPES else None
    listed = json.dumps(list(run_ids))
    connection.execute(
        """UPDATE runs SET state_type = ?, state_name = ?, message = ?, ended_at = ?
           WHERE id IN (SELECT value FROM json_each(?))""",
        (kind.value, state_name, message, ended_at, listed),
    )
    say(connection, run_ids, state_name, message)


def say(
    connection: sqlite3.Connection, run_ids: Sequence[str], state_name: str, message: str
) -> None:
    """Write into the history of runs that they have entered a state."""
    connection.execute(
        """INSERT INTO lines (run_id, at, level, logger, message, state_name, state_type)
           SELECT value, ?, 0, '', ?, ?, ? FROM json_each(?)""",
        (
            time.time(),
            message,
            state_name,
            STATE_NAMES[state_name].value,
            json.dumps(list(run_ids)),
        ),
    )


@lru_cache(maxsize=1024)
def merged(of_deployment: str, of_schedule: str, own: str = "{}") -> str:
    """Parameters as JSON, the later over the earlier."""
    if own == "{}":
        if of_schedule == "{}":
            return of_deployment
        if of_deployment == "{}":
            return of_schedule
    return json.dumps(json.loads(of_deployment) | json.loads(of_schedule) | json.loads(own))


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Any:
    return json.loads(text)


@lru_cache(maxsize=1024)
def _described(parameters: str) -> str | None:
    found = json.loads(parameters)
    return json.dumps({name: describe(value) for name, value in found.items()}) if found else None


def _order(row: Sequence[Any]) -> OrderRecord:
    return OrderRecord(
        run_id=row[0],
        run_name=row[1],
        deployment_id=row[2],
        schedule_id=row[3],
        cause=row[4] or "",
        scheduled_at=row[5],
        due_at=row[6],
        pool=row[7],
        parameters=json.loads(row[8]),
        tags=tuple(json.loads(row[9] or "[]")),
        state_name=row[10],
        message=row[11],
        run_count=row[12],
        retries_left=row[13],
        origin_id=row[14],
    )

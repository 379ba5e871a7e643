"""Which of the orders that are due may begin now. All of it in the caller's transaction."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from nbflow.model.deployments import OrderRecord
from nbflow.store import orders

_BEGUN = f"""
    SELECT o.run_id, r.name, o.deployment_id, o.schedule_id, o.pool
    FROM runs r INDEXED BY runs_begun CROSS JOIN orders o ON o.run_id = r.id
    WHERE r.kind = 'flow' AND r.parent_id IS NULL AND r.{orders.UNFINISHED} AND r.owner_id > ''"""
_UNLIMITED = 1 << 62


class Candidate(NamedTuple):
    """An order that may be begun, if there is room for it."""

    run_id: str
    deployment_id: str
    schedule_id: str | None
    pool: str | None


class Begun(NamedTuple):
    """A run of an order that has begun and not ended."""

    run_id: str
    name: str
    deployment_id: str
    schedule_id: str | None
    pool: str | None


def begun(connection: sqlite3.Connection) -> list[Begun]:
    """What runs now, few rows whatever the store holds."""
    return [Begun(*row) for row in connection.execute(_BEGUN)]


class Room:
    """How many more runs may begin, by pool, deployment and schedule, as this transaction sees it.

    Args:
        limit: Of all together; None: any number.
        begun: What runs already.
    """

    def __init__(
        self, connection: sqlite3.Connection, limit: int | None, begun: Iterable[Begun]
    ) -> None:
        self._connection = connection
        self.left = _UNLIMITED if limit is None else limit
        self._begun_in_pool: Counter[str | None] = Counter()
        self._begun_of: Counter[str] = Counter()
        self._begun_by: set[str] = set()
        self._pools: dict[str, int] = {}
        self._deployments: dict[str, int] = {}
        self._alone: dict[str, bool] = {}
        if self.left > 0:
            for one in begun:
                self._count(one.deployment_id, one.schedule_id, one.pool)

    def is_for(self, one: Candidate) -> bool:
        """Whether it may begin; if so, it counts as begun."""
        if self.left <= 0 or not self.in_pool(one.pool):
            return False
        if self._begun_of[one.deployment_id] >= self._most_of(one.deployment_id):
            return False
        if one.schedule_id in self._begun_by and self._runs_alone(one.schedule_id):
            return False
        self._count(one.deployment_id, one.schedule_id, one.pool)
        self.left -= 1
        return True

    def in_pool(self, pool: str | None) -> bool:
        """Whether a run of this pool may begin, as far as the pool is concerned."""
        return pool is None or self._begun_in_pool[pool] < self._most_in(pool)

    def know_schedule(self, schedule_id: str, *, alone: bool) -> None:
        """Tell what would have to be read."""
        self._alone[schedule_id] = alone

    def _count(self, deployment_id: str, schedule_id: str | None, pool: str | None) -> None:
        self._begun_of[deployment_id] += 1
        self._begun_in_pool[pool] += 1
        if schedule_id is not None:
            self._begun_by.add(schedule_id)

    def _most_in(self, pool: str) -> int:
        most = self._pools.get(pool)
        if most is None:
            row = self._connection.execute(
                "SELECT concurrency_limit, is_paused FROM pools WHERE name = ?", (pool,)
            ).fetchone()
            most = self._pools[pool] = 0 if row is None else _most(row)  # deleted: nobody's
        return most

    def _most_of(self, deployment_id: str) -> int:
        most = self._deployments.get(deployment_id)
        if most is None:
            row = self._connection.execute(
                "SELECT concurrency_limit, is_paused FROM deployments WHERE id = ?",
                (deployment_id,),
            ).fetchone()
            most = self._deployments[deployment_id] = _most(row)
        return most

    def _runs_alone(self, schedule_id: str | None) -> bool:
        if schedule_id is None:
            return False
        alone = self._alone.get(schedule_id)
        if alone is None:
            row = self._connection.execute(
                "SELECT overlap <> 'allow' FROM schedules WHERE id = ?", (schedule_id,)
            ).fetchone()
            alone = self._alone[schedule_id] = row is not None and bool(row[0])
        return alone


def _most(row: tuple[int | None, int] | None) -> int:
    if row is None:
        return _UNLIMITED
    limit, is_paused = row
    return 0 if is_paused else _UNLIMITED if limit is None else limit


def is_any_due(
    connection: sqlite3.Connection, *, deployment_ids: Collection[str] | None, pool: str | None
) -> bool:
    """Whether there is anything to take at all."""
    scope, values = orders.within(deployment_ids, pool)
    sql = f"SELECT 1 FROM {scope} AND due_at <= ? LIMIT 1"
    return connection.execute(sql, (*values, time.time())).fetchone() is not None


def take(
    connection: sqlite3.Connection,
    owner_id: str,
    *,
    deployment_ids: Collection[str] | None,
    pool: str | None,
    limit: int | None,
) -> list[OrderRecord]:
    """Give this process the orders that are due and may begin, oldest first.

    Not those of paused deployments and pools, nor more than their limits allow, nor two at a time
    of a schedule whose runs may not overlap.
    """
    room = Room(connection, limit, begun(connection))
    if not room.left or not room.in_pool(pool):
        return []
    scope, values = orders.within(deployment_ids, pool)
    due = connection.execute(
        f"""SELECT run_id, deployment_id, schedule_id, pool FROM {scope} AND due_at <= ?
            ORDER BY due_at, run_id""",
        (*values, time.time()),
    )
    chosen = []
    for row in due:
        one = Candidate(*row)
        if room.is_for(one):
            chosen.append(one.run_id)
        if not room.left or not room.in_pool(pool):
            break
    due.close()
    return assign(connection, chosen, owner_id)


def assign(
    connection: sqlite3.Connection, run_ids: Sequence[str], owner_id: str
) -> list[OrderRecord]:
    """Give waiting orders to a process; their runs become Pending."""
    if not run_ids:
        return []
    now, listed = time.time(), json.dumps(list(run_ids))
    connection.execute(
        """UPDATE orders SET taken_at = ?
           WHERE taken_at IS NULL AND run_id IN (SELECT value FROM json_each(?))""",
        (now, listed),
    )
    connection.execute(
        "UPDATE runs SET owner_id = ? WHERE id IN (SELECT value FROM json_each(?))",
        (owner_id, listed),
    )
    orders.enter(connection, run_ids, "Pending", "")
    found = orders.listed(connection, run_ids=run_ids, limit=len(run_ids))
    by_id = {record.run_id: record for record in found}
    return [by_id[run_id] for run_id in run_ids if run_id in by_id]


def unfinished(
    connection: sqlite3.Connection, schedule_ids: Collection[str], begun: Iterable[Begun]
) -> dict[str, list[tuple[str, str, bool]]]:
    """(run id, run name, whether it has begun) of the unfinished runs, by schedule."""
    found: dict[str, list[tuple[str, str, bool]]] = {}
    for schedule_id, run_id, name in connection.execute(
        """SELECT o.schedule_id, o.run_id, r.name
           FROM orders o INDEXED BY orders_waiting_of_schedule JOIN runs r ON r.id = o.run_id
           WHERE o.taken_at IS NULL AND o.schedule_id IN (SELECT value FROM json_each(?))""",
        (json.dumps(list(schedule_ids)),),
    ):
        found.setdefault(schedule_id, []).append((run_id, name, False))
    wanted = set(schedule_ids)
    for one in begun:
        if one.schedule_id in wanted:
            assert one.schedule_id is not None
            found.setdefault(one.schedule_id, []).append((one.run_id, one.name, True))
    return found

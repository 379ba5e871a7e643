"""Claiming fire times: each becomes a run exactly once, whoever else tries to.

A schedule's `next_at` moves on and the runs are created in one transaction: who comes second sees
another `next_at` than it expected, and who declares it again finds its causes taken.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from nbflow.model.ids import friendly_name, new_id
from nbflow.model.schedules import Fire, Firing, Overlap
from nbflow.model.states import FINAL_TYPES, STATE_NAMES
from nbflow.store import orders, schedules
from nbflow.store.orders import Fired, NewOrder
from nbflow.store.taking import Candidate, Room, begun, unfinished

_GIVES_WAY = "The next fire time of its schedule came before it had begun."


@dataclass(slots=True)
class _Schedule:
    """What is read of a schedule and its deployment, and what has become of it here."""

    id: str
    deployment_id: str
    parameters: str
    overlap: str
    next_at: float | None
    may_fire: bool
    flow_name: str
    pool: str | None
    tags: str
    retries: int
    retry_delay: float
    has_moved: bool = False
    before: list[tuple[str, str, bool]] = field(default_factory=list)


def fire(
    connection: sqlite3.Connection,
    fires: Sequence[Fire],
    owner_id: str,
    *,
    start: bool,
    limit: int | None,
) -> list[Fired]:
    """Claim fire times for this process, in the caller's transaction.

    Args:
        start: Whether it begins the runs that may begin now; else they wait to be taken.
        limit: How many it can begin; None: any number.
    """
    found = _read(connection, {one.schedule_id for one in fires})
    claimed = [_claim(found.get(one.schedule_id), one) for one in fires]
    known = _known(connection, fires, claimed)
    may_not_overlap = [one.id for one in found.values() if one.overlap != Overlap.ALLOW]
    running = begun(connection) if may_not_overlap or start else []
    for schedule_id, runs in unfinished(connection, may_not_overlap, running).items():
        found[schedule_id].before = runs
    room = Room(connection, limit if start else 0, running)
    answers, new, give_way = [], list[NewOrder](), list[str]()
    for one, is_claimed in zip(fires, claimed, strict=True):
        schedule = found.get(one.schedule_id)
        if schedule is None or not is_claimed:
            answers.append(Fired(one.schedule_id, _next_at(schedule), is_claimed=False))
            continue
        created = list(_orders(schedule, one, known))
        cancel = [run for run in schedule.before if _gives_way(schedule, created)]
        give_way += [run_id for run_id, _, has_begun in cancel if not has_begun]
        _start(schedule, created, room, owner_id)
        records = [order.record() for order in created]
        answers.append(
            Fired(
                one.schedule_id,
                schedule.next_at,
                is_claimed=bool(created) or one.expected_at is not None,
                orders=tuple(records),
                taken=tuple(
                    record for order, record in zip(created, records, strict=True) if order.owner_id
                ),
                cancel=tuple(run_id for run_id, _, has_begun in cancel if has_begun),
            )
        )
        schedule.before += [
            (order.run_id, order.run_name, bool(order.owner_id))
            for order in created
            if order.ended_at is None
        ]
        new += created
    schedules.move(connection, {one.id: one.next_at for one in found.values() if one.has_moved})
    orders.insert(connection, new)
    if give_way:
        orders.cancel_waiting(connection, run_ids=give_way, message=_GIVES_WAY)
    return answers


def _read(connection: sqlite3.Connection, ids: set[str]) -> dict[str, _Schedule]:
    rows = connection.execute(
        """SELECT s.id, s.deployment_id, d.parameters, s.parameters, s.overlap, s.next_at,
               s.is_active AND NOT d.is_paused, d.flow_name, d.pool, d.tags, d.retries,
               d.retry_delay
           FROM json_each(?) wanted CROSS JOIN schedules s ON s.id = wanted.value
           JOIN deployments d ON d.id = s.deployment_id""",
        (json.dumps(list(ids)),),
    ).fetchall()
    return {
        row[0]: _Schedule(row[0], row[1], orders.merged(row[2], row[3]), *row[4:]) for row in rows
    }


def _claim(schedule: _Schedule | None, one: Fire) -> bool:
    if schedule is None or not schedule.may_fire:
        return False
    if one.expected_at is not None:
        if schedule.next_at != one.expected_at:
            return False
        schedule.next_at, schedule.has_moved = one.next_at, True
    return True


def _next_at(schedule: _Schedule | None) -> float | None:
    return schedule.next_at if schedule is not None and schedule.may_fire else None


def _known(
    connection: sqlite3.Connection, fires: Sequence[Fire], claimed: Sequence[bool]
) -> set[tuple[str, str]]:
    """Which of the causes there is an order for already."""
    wanted = [
        (one.schedule_id, firing.cause)
        for one, is_claimed in zip(fires, claimed, strict=True)
        if is_claimed
        for firing in one.firings
    ]
    rows = connection.execute(
        """SELECT o.schedule_id, o.cause FROM json_each(?) wanted
           CROSS JOIN orders o ON o.schedule_id = wanted.value ->> 0
               AND o.cause = wanted.value ->> 1""",
        (json.dumps(wanted),),
    ).fetchall()
    return set(rows)


def _orders(schedule: _Schedule, one: Fire, known: set[tuple[str, str]]) -> Iterator[NewOrder]:
    now = time.time()
    for firing in one.firings:
        claim = schedule.id, firing.cause
        if claim in known:
            continue
        known.add(claim)
        state_name, message = firing.state, firing.message
        kind = STATE_NAMES[state_name]
        # Those of one claim follow one another; it is earlier ones that they may not overlap.
        if kind not in FINAL_TYPES and schedule.overlap == Overlap.SKIP and schedule.before:
            state_name, message = "Skipped", _skipped(schedule, firing)
            kind = STATE_NAMES[state_name]
        ended_at = now if kind in FINAL_TYPES else None
        yield NewOrder(
            flow_name=schedule.flow_name,
            deployment_id=schedule.deployment_id,
            schedule_id=schedule.id,
            cause=firing.cause,
            scheduled_at=firing.fire_at,
            due_at=firing.due_at,
            pool=schedule.pool,
            parameters=schedule.parameters,
            tags=schedule.tags,
            retries=schedule.retries,
            retry_delay=schedule.retry_delay,
            states=[(kind.value, state_name, message)],
            run_id=new_id(),
            run_name=friendly_name(),
            ended_at=ended_at,
            taken_at=ended_at,
        )


def _skipped(schedule: _Schedule, firing: Firing) -> str:
    names = sorted(name for _, name, _ in schedule.before)
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    said = f"; {firing.message}" if firing.message else ""
    return f"The run before it, {names[0]!r}{more}, had not ended{said}"


def _gives_way(schedule: _Schedule, created: list[NewOrder]) -> bool:
    is_new = any(order.ended_at is None for order in created)
    return is_new and schedule.overlap == Overlap.CANCEL


def _start(schedule: _Schedule, created: list[NewOrder], room: Room, owner_id: str) -> None:
    """Take those of them that may begin now."""
    if schedule.overlap == Overlap.QUEUE and any(not begun for _, _, begun in schedule.before):
        return  # those that wait come first
    now = time.time()
    room.know_schedule(schedule.id, alone=schedule.overlap != Overlap.ALLOW)
    for order in created:
        if order.ended_at is None and order.due_at <= now:
            candidate = Candidate(order.run_id, order.deployment_id, order.schedule_id, order.pool)
            if room.is_for(candidate):
                order.owner_id, order.taken_at = owner_id, now
                order.states.append(("PENDING", "Pending", ""))

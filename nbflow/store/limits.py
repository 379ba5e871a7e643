"""Concurrency and rate limits: rows that say how many slots there are and who holds them.

A lease belongs to a process, not to a clock: it ends by release or with its holder's death.
"""

from __future__ import annotations

import math
import sqlite3
import time
from dataclasses import dataclass

from nbflow.errors import LimitNotFound
from nbflow.model.records import LimitRecord


@dataclass(frozen=True, slots=True)
class Acquisition:
    """The answer to a try to take slots.

    Attributes:
        taken: Names of the limits whose slots were taken; all that exist, or none.
        missing: Names without a limit.
        wait_seconds: None: taken; else when to try again at the latest (infinite: on a release).
    """

    taken: tuple[str, ...]
    missing: tuple[str, ...]
    wait_seconds: float | None


def acquire(
    connection: sqlite3.Connection,
    names: list[str],
    slots: int,
    *,
    lease_id: str,
    owner_id: str,
    run_id: str,
) -> Acquisition:
    """Take `slots` of every named limit, or of none, in the caller's transaction."""
    now = time.time()
    found, waits = list[str](), list[float]()
    decaying = dict[str, float]()
    for name in names:
        row = connection.execute("SELECT * FROM limits WHERE name = ?", (name,)).fetchone()
        if row is None:
            continue
        found.append(name)
        _, limit, decay, decayed_active, decayed_at = row
        if decay is None:
            active = _leased(connection, name)
            if active + slots > limit:
                waits.append(float("inf"))
        else:
            active = max(0.0, decayed_active - (now - decayed_at) * decay)
            decaying[name] = active + slots
            # Tolerance: the float rest of a slot that has decayed must not cost another wait.
            if active + slots > limit + 1e-6:
                waits.append((active + slots - limit) / decay)
    missing = tuple(name for name in names if name not in found)
    if waits:
        return Acquisition((), missing, max(waits))
    for name in found:
        if name in decaying:
            connection.execute(
                "UPDATE limits SET decayed_active = ?, decayed_at = ? WHERE name = ?",
                (decaying[name], now, name),
            )
        else:
            connection.execute(
                "INSERT INTO leases VALUES (?, ?, ?, ?, ?, ?)",
                (lease_id, name, owner_id, run_id, slots, now),
            )
    return Acquisition(tuple(found), missing, None)


def release(connection: sqlite3.Connection, lease_id: str, names: tuple[str, ...]) -> None:
    """Give slots back. Slots of a decaying limit come back by themselves."""
    for name in names:
        connection.execute("DELETE FROM leases WHERE limit_name = ? AND id = ?", (name, lease_id))


def create(
    connection: sqlite3.Connection, name: str, slots: int, decay_per_second: float | None
) -> None:
    """Create a limit, or change the number of its slots; who holds some keeps them.

    Raises:
        ValueError: A number is out of range.
    """
    if slots < 0:
        raise ValueError(f"limit={slots!r} is not valid; it takes a number from 0 on")
    if decay_per_second is not None and not 0 < decay_per_second < math.inf:
        raise ValueError(
            f"decay_per_second={decay_per_second!r} is not valid; it takes a number above 0"
        )
    connection.execute(
        """INSERT INTO limits (name, slots, decay_per_second) VALUES (?, ?, ?)
           ON CONFLICT (name) DO UPDATE SET slots = excluded.slots,
               decay_per_second = excluded.decay_per_second""",
        (name, slots, decay_per_second),
    )


def delete(connection: sqlite3.Connection, name: str) -> None:
    """Delete a limit and its leases.

    Raises:
        LimitNotFound: There is none of this name.
    """
    if connection.execute("DELETE FROM limits WHERE name = ?", (name,)).rowcount == 0:
        raise LimitNotFound(name)
    connection.execute("DELETE FROM leases WHERE limit_name = ?", (name,))


def listed(connection: sqlite3.Connection, name: str | None = None) -> list[LimitRecord]:
    """Every limit by name, or the one asked for, with its holders."""
    rows = connection.execute(
        "SELECT * FROM limits WHERE ? IS NULL OR name = ? ORDER BY name", (name, name)
    ).fetchall()
    now = time.time()
    records = []
    for limit_name, slots, decay, decayed_active, decayed_at in rows:
        holders = connection.execute(
            "SELECT run_id, slots FROM leases WHERE limit_name = ? ORDER BY acquired_at",
            (limit_name,),
        ).fetchall()
        active = sum(held for _, held in holders)
        if decay is not None:
            active = round(max(0.0, decayed_active - (now - decayed_at) * decay))
        records.append(
            LimitRecord(limit_name, slots, decay, active, [(run, n) for run, n in holders])
        )
    return records


def _leased(connection: sqlite3.Connection, name: str) -> int:
    sql = "SELECT coalesce(sum(slots), 0) FROM leases WHERE limit_name = ?"
    return int(connection.execute(sql, (name,)).fetchone()[0])

"""What becomes of the runs of a process that died. All of it in the caller's transaction.

They are Crashed; an order with tries left waits again, and one that was never begun waits on.
"""

from __future__ import annotations

import json
import sqlite3
import time

from nbflow.store.orders import UNFINISHED, enter, say

_NEVER_BEGUN = "The worker that had taken it ended before it began."
_REPEATED = "Its process ended; it is run again."
_CANCELLED = "It was cancelled, and its process ended."


def crash_owner(connection: sqlite3.Connection, owner_id: str, reason: str) -> int:
    """End every run of a dead process; gives the number of orders that wait again."""
    # A worker's runs are begun by processes that take them over first: what is still the
    # worker's own has done nothing yet.
    handed_back = connection.execute(
        f"""UPDATE orders SET taken_at = NULL, pool = d.pool FROM deployments d
            WHERE d.id = orders.deployment_id
                AND run_id IN (SELECT id FROM runs WHERE owner_id = ? AND {UNFINISHED}
                                   AND state_type = 'PENDING')
                AND EXISTS (SELECT 1 FROM workers w WHERE w.id = ?)
            RETURNING run_id""",
        (owner_id, owner_id),
    ).fetchall()
    ids = [row[0] for row in handed_back]
    _wait(connection, ids, "Scheduled", _NEVER_BEGUN)
    rows = connection.execute(
        f"SELECT id FROM runs WHERE owner_id = ? AND {UNFINISHED} ORDER BY id", (owner_id,)
    ).fetchall()
    return len(ids) + _crash(connection, [row[0] for row in rows], reason)


def crash_run(
    connection: sqlite3.Connection,
    run_id: str,
    owner_id: str,
    reason: str,
    *,
    is_cancelled: bool = False,
) -> bool:
    """End a run whose process died, with all inside it.

    Args:
        owner_id: Whose it has to be; nothing happens to a run that is another's by now.
        is_cancelled: Its end was asked for: it is Cancelled, and not run again.
    """
    row = connection.execute(
        f"SELECT state_type FROM runs WHERE id = ? AND owner_id = ? AND {UNFINISHED}",
        (run_id, owner_id),
    ).fetchone()
    if row is None:
        return False
    inner = connection.execute(
        f"""WITH RECURSIVE inner (id) AS (
                SELECT id FROM runs WHERE parent_id = ?
                UNION ALL SELECT runs.id FROM runs JOIN inner ON runs.parent_id = inner.id)
            SELECT id FROM runs WHERE id IN inner AND {UNFINISHED} ORDER BY id""",
        (run_id,),
    ).fetchall()
    enter(connection, [one[0] for one in inner], "Crashed", reason)
    if is_cancelled:
        enter(connection, [run_id], "Cancelled", _CANCELLED)
    else:
        _crash(connection, [run_id], reason)
    return True


def _crash(connection: sqlite3.Connection, ids: list[str], reason: str) -> int:
    """End runs as Crashed; those of them whose orders have tries left wait again."""
    rows = connection.execute(
        """UPDATE orders SET retries_left = retries_left - 1, taken_at = NULL,
               due_at = ? + orders.retry_delay, pool = d.pool
           FROM deployments d
           WHERE d.id = orders.deployment_id AND run_id IN (SELECT value FROM json_each(?))
               AND retries_left > 0
               AND (SELECT state_type FROM runs WHERE id = run_id) <> 'CANCELLING'
           RETURNING run_id""",
        (time.time(), json.dumps(ids)),
    ).fetchall()
    repeated = {row[0] for row in rows}
    cancelled = _cancelling(connection, ids)
    enter(connection, sorted(cancelled), "Cancelled", _CANCELLED)
    ended = [run_id for run_id in ids if run_id not in repeated | cancelled]
    enter(connection, ended, "Crashed", reason)
    # A final state is never left: these only pass by it in their history.
    say(connection, sorted(repeated), "Crashed", reason)
    _wait(connection, sorted(repeated), "AwaitingRetry", _REPEATED)
    return len(repeated)


def _cancelling(connection: sqlite3.Connection, ids: list[str]) -> set[str]:
    rows = connection.execute(
        """SELECT id FROM runs WHERE state_type = 'CANCELLING'
               AND id IN (SELECT value FROM json_each(?))""",
        (json.dumps(ids),),
    ).fetchall()
    return {row[0] for row in rows}


def _wait(connection: sqlite3.Connection, ids: list[str], state_name: str, message: str) -> None:
    connection.execute(
        "UPDATE runs SET owner_id = '' WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(ids),),
    )
    enter(connection, ids, state_name, message)

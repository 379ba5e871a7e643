"""Which processes are alive: each holds a file lock that the operating system drops on its death.

A heartbeat would lie (a long C call that holds the GIL stops it for seconds); a lock does not.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sqlite3
import time
from pathlib import Path

from nbflow.model.ids import new_id
from nbflow.store.crashes import crash_owner
from nbflow.store.orders import UNFINISHED
from nbflow.store.schedules import revise

_CRASHED = "The process that ran it ended without finishing it."
_KEPT_SECONDS = 7 * 86_400.0
_MOST_PRUNED = 500


class Owner:
    """This process in the store: an id, and a lock held as long as it lives."""

    def __init__(self, folder: Path) -> None:
        self.id = new_id()
        self._folder = folder / "owners"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path = self._folder / self.id
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        # A forked child inherits the lock and would keep it after our death.
        os.register_at_fork(after_in_child=self._forget)

    def register(self, connection: sqlite3.Connection) -> None:
        """Write this process' row. Called on the store thread, inside a transaction."""
        connection.execute(
            "INSERT INTO owners (id, host, pid, started_at) VALUES (?, ?, ?, ?)",
            (self.id, socket.gethostname(), os.getpid(), time.time()),
        )

    def release(self) -> None:
        """Drop the lock and its file: the process ends in good order."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                self._path.unlink()
            self._forget()

    def _forget(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def is_alive(folder: Path, owner_id: str) -> bool:
    """Whether the process with this owner id still runs on this machine."""
    try:
        fd = os.open(folder / "owners" / owner_id, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # it cannot be told, so no run of its is given up
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(fd)


def dead_owners(connection: sqlite3.Connection, folder: Path, me: str) -> list[str]:
    """Processes of this machine that are gone but still own unfinished runs or leases.

    Or that are still listed as workers.
    """
    rows = connection.execute(
        f"""SELECT id FROM owners WHERE id <> ? AND host = ? AND id IN (
                SELECT owner_id FROM runs WHERE {UNFINISHED} AND owner_id > ''
                UNION SELECT owner_id FROM leases UNION SELECT id FROM workers)""",
        (me, socket.gethostname()),
    ).fetchall()
    return [row[0] for row in rows if not is_alive(folder, row[0])]


def bury(connection: sqlite3.Connection, folder: Path, owner_id: str) -> int:
    """End a dead process' runs, see `crashes.crash_owner`, and free its leases.

    In the caller's transaction; gives the number of orders that wait again.
    """
    n_waiting = crash_owner(connection, owner_id, _CRASHED)
    connection.execute("DELETE FROM leases WHERE owner_id = ?", (owner_id,))
    connection.execute("DELETE FROM workers WHERE id = ?", (owner_id,))
    served = connection.execute(
        "UPDATE deployments SET server_id = '' WHERE server_id = ?", (owner_id,)
    )
    if served.rowcount:
        revise(connection)  # they are the workers' now
    connection.execute("UPDATE owners SET ended_at = ? WHERE id = ?", (time.time(), owner_id))
    _prune(connection, folder)
    with contextlib.suppress(OSError):
        (folder / "owners" / owner_id).unlink()
    return n_waiting


def _prune(connection: sqlite3.Connection, folder: Path) -> None:
    """Forget processes that are long gone, and what was asked of them; a bounded number."""
    before = time.time() - _KEPT_SECONDS
    # Ids sort by time: the oldest come first.
    rows = connection.execute(
        f"""SELECT id FROM owners WHERE started_at < ? AND host = ?
                AND NOT EXISTS (SELECT 1 FROM leases WHERE owner_id = owners.id)
                AND NOT EXISTS (SELECT 1 FROM runs WHERE owner_id = owners.id AND {UNFINISHED})
            ORDER BY id LIMIT ?""",
        (before, socket.gethostname(), _MOST_PRUNED),
    ).fetchall()
    dead = [(row[0],) for row in rows if not is_alive(folder, row[0])]
    connection.executemany("DELETE FROM owners WHERE id = ?", dead)
    for (owner_id,) in dead:
        with contextlib.suppress(OSError):
            (folder / "owners" / owner_id).unlink()
    connection.execute(
        """DELETE FROM requests WHERE id IN (SELECT id FROM requests ORDER BY id LIMIT ?)
               AND created_at < ?""",
        (_MOST_PRUNED, before),
    )

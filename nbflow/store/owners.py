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

_CRASHED = "The process that ran it ended without finishing it."
_UNFINISHED = "state_type NOT IN ('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED')"


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
    """Processes of this machine that are gone but still own unfinished runs or leases."""
    rows = connection.execute(
        f"""SELECT id FROM owners WHERE id <> ? AND host = ? AND id IN (
                SELECT owner_id FROM runs WHERE {_UNFINISHED} UNION SELECT owner_id FROM leases)""",
        (me, socket.gethostname()),
    ).fetchall()
    return [row[0] for row in rows if not is_alive(folder, row[0])]


def bury(connection: sqlite3.Connection, folder: Path, owner_id: str) -> None:
    """Mark a dead process' runs as Crashed and free its leases, in the caller's transaction."""
    now = time.time()
    connection.execute(
        f"""INSERT INTO lines (run_id, at, level, logger, message, state_name, state_type)
            SELECT id, ?, 0, '', ?, 'Crashed', 'CRASHED' FROM runs
            WHERE owner_id = ? AND {_UNFINISHED} ORDER BY id""",
        (now, _CRASHED, owner_id),
    )
    connection.execute(
        f"""UPDATE runs SET state_type = 'CRASHED', state_name = 'Crashed', message = ?,
            ended_at = ? WHERE owner_id = ? AND {_UNFINISHED}""",
        (_CRASHED, now, owner_id),
    )
    connection.execute("DELETE FROM leases WHERE owner_id = ?", (owner_id,))
    connection.execute("UPDATE owners SET ended_at = ? WHERE id = ?", (now, owner_id))
    with contextlib.suppress(OSError):
        (folder / "owners" / owner_id).unlink()

"""Opening the SQLite file: pragmas, one reading connection per thread, errors in plain words."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import threading
import time
from pathlib import Path

from nbflow.errors import StoreUnavailable
from nbflow.store.schema import check_version, migrate

_BUSY_SECONDS = 30.0
_WAL_BYTES = 4 << 20
_SMALL_WAL_BYTES = 64 << 10
_OLDEST_SQLITE = (3, 38)  # the operator ->> and UPDATE ... FROM
# WAL needs memory shared between processes, which network file systems do not give.
_NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "fuse.sshfs", "lustre", "gpfs", "9p", "afs")


class _Connection(sqlite3.Connection):
    """Closes itself with the last reference to it: a reader's with the thread that read.

    From Python 3.13 on sqlite3 warns of those that nobody has closed.
    """

    def __del__(self) -> None:
        self.close()


class Database:
    """One SQLite file. Opening it creates or migrates it.

    Raises:
        StoreUnavailable: It cannot be opened, with the reason and what to do.
        StoreTooNew: It was written by a newer nbflow.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "nbflow.db"
        self.on_network = False
        self._local = threading.local()
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            reason = f"SQLite {sqlite3.sqlite_version} is older than 3.38"
            raise StoreUnavailable(self.path, reason, "use a Python built with a newer SQLite")
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in (folder, self.path):
                # SQLite would open it for reading, and fail at the first write.
                if path.exists() and not os.access(path, os.W_OK):
                    raise PermissionError(errno.EACCES, "it is read-only")
            # Its user's only, also where the folder is not: it holds addresses with passwords.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            self.on_network = _file_system(folder).startswith(_NETWORK_FILE_SYSTEMS)
            connection = self.connect()
            try:
                check_version(connection, self.path)  # before anything is changed
                self._choose_journal(connection)
                migrate(connection, self.path)
            finally:
                connection.close()
        except (OSError, sqlite3.Error) as error:
            raise unavailable(self.path, error) from error

    def connect(self) -> sqlite3.Connection:
        """A new connection, in autocommit: every write opens its own `BEGIN IMMEDIATE`."""
        connection = sqlite3.connect(
            self.path,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            factory=_Connection,
        )
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        return connection

    def reader(self) -> sqlite3.Connection:
        """This thread's reading connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self.connect()
            connection.execute("PRAGMA query_only = 1")
            connection.row_factory = sqlite3.Row
            self._local.connection = connection
        return connection

    def close_reader(self) -> None:
        """Close this thread's reading connection; other threads' end with their threads."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def checkpoint(self, connection: sqlite3.Connection, at_least_bytes: int = _WAL_BYTES) -> None:
        """Move the write-ahead log into the file when it has grown.

        SQLite's own checkpoints let it grow to over 100 MB under eight writers; one that
        truncates takes the writer lock and keeps it at a few MB.
        """
        try:
            size_bytes = os.stat(f"{self.path}-wal").st_size
        except OSError:
            return
        if size_bytes > at_least_bytes or (
            # On a disk that is nearly full, while the file still has the room it needs for this.
            size_bytes > _SMALL_WAL_BYTES
            and size_bytes > shutil.disk_usage(self.path.parent).free // 2
        ):
            connection.execute("PRAGMA busy_timeout = 100")
            try:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                connection.execute(f"PRAGMA busy_timeout = {int(_BUSY_SECONDS * 1000)}")

    def make_room(self, connection: sqlite3.Connection) -> bool:
        """Give a full disk back what the write-ahead log holds; False: it holds nothing."""
        try:
            before = os.stat(f"{self.path}-wal").st_size
            self.checkpoint(connection, at_least_bytes=0)
            return os.stat(f"{self.path}-wal").st_size < before
        except (OSError, sqlite3.Error):
            return False

    def _choose_journal(self, connection: sqlite3.Connection) -> None:
        mode = "DELETE" if self.on_network else "WAL"
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                connection.execute(f"PRAGMA journal_mode = {mode}").fetchone()
                return
            except sqlite3.OperationalError as error:
                # The change to WAL does not wait for SQLite's busy timeout.
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)


def unavailable(path: Path, error: Exception) -> StoreUnavailable:
    """What happened to the store and what to do about it, from an error of the system's."""
    text = str(getattr(error, "strerror", None) or error)
    low = text.lower()
    advice = "set NBFLOW_HOME to a folder you can write to"
    if "i/o error" in low and _is_full(path.parent):
        text = low = "the disk is full"
    if "full" in low or "no space" in low:
        advice = "free some space there, or set NBFLOW_HOME to a folder on another disk"
    elif "malformed" in low or "not a database" in low or "corrupt" in low:
        advice = (
            "the file is left as it is; move it aside to start afresh, "
            f"or salvage it with `sqlite3 {path} .recover`"
        )
    elif isinstance(error, FileExistsError | NotADirectoryError):
        text = f"{path.parent} is not a folder"
    elif os.path.exists(path) and not os.access(path, os.W_OK):
        advice = f"make it writable (`chmod u+w {path}`), or set NBFLOW_HOME to another folder"
    return StoreUnavailable(path, text, advice)


def _is_full(folder: Path) -> bool:
    """Whether there is no room for the files SQLite makes to open a database."""
    try:
        return shutil.disk_usage(folder).free < 64 << 10
    except OSError:
        return False


def _file_system(folder: Path) -> str:
    """Type of the file system that holds `folder`; '' where the system does not tell."""
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    real = os.path.realpath(folder)
    best, kind = "", ""
    for line in mounts:
        _, point, found, *_ = line.split(" ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, found
    return kind

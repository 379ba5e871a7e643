"""The one thread per process that writes to the database, with group commit.

What is posted waits a moment for company; what is called is committed at once and answered.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from nbflow.errors import StoreError

logger = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")
Job = Callable[[sqlite3.Connection], R]

_GATHER_SECONDS = 0.03  # well under the 50 ms after which a journalled fact must be on disk
_POLL_SECONDS = 0.15  # how soon a request of another process is noticed
_AGAIN_SECONDS = 0.5  # between two tries while the disk is full
_ROOM_SECONDS = 0.005
_BATCH = 5_000
_BACKLOG = 50_000  # above it whoever posts waits: 100,000 tasks must not queue up in memory
# SQLite's primary codes for what is wrong with the file or the disk, not with what is written.
_OF_THE_FILE = frozenset({
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOTADB,
})  # fmt: skip


class Backend(Generic[T]):
    """What the writer needs from its owner. All methods are called on the store thread."""

    def open(self) -> sqlite3.Connection:
        raise NotImplementedError

    def write(self, connection: sqlite3.Connection, items: list[T]) -> None:
        raise NotImplementedError

    def poll(self, connection: sqlite3.Connection) -> None:
        """Another process has written, or some time has passed while `watching`."""

    @property
    def watching(self) -> bool:
        """Whether `poll` is to be called while nothing is posted."""
        return False

    def committed(self, connection: sqlite3.Connection) -> None:
        """A transaction is on disk."""

    def failed(self, connection: sqlite3.Connection, error: sqlite3.Error) -> None:
        """A batch could not be written; called once until one could be again."""

    def release(self, connection: sqlite3.Connection) -> None:
        """Nothing more will be written."""


class Reply(Generic[R]):
    """The answer to a job.

    Not a `Future`: where Ctrl-C or a timeout strikes inside one's `result()`, its condition can
    stay locked for ever, and the store thread would wait for it. A plain lock cannot.
    """

    __slots__ = ("_answered", "_error", "_value")

    def __init__(self) -> None:
        self._value: R | None = None
        self._error: BaseException | None = None
        self._answered = threading.Lock()
        self._answered.acquire()

    def answer(self, value: R | None, error: BaseException | None = None) -> None:
        """Called once, on the store thread."""
        self._value, self._error = value, error
        self._answered.release()

    def result(self) -> R:
        """What the job gave, when it is committed; raises what it raised."""
        with self._answered:
            pass
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # it was answered


class Writer(Generic[T]):
    """Takes items to write from any thread. The thread starts with the first of them."""

    def __init__(self, backend: Backend[T]) -> None:
        self._backend = backend
        self._items: deque[T] = deque()
        self._jobs: deque[tuple[Job[Any], Reply[Any]]] = deque()
        # Rung with True for what must not wait. As `Reply`, safe from interrupts: it is all in C.
        self._bell: SimpleQueue[bool] = SimpleQueue()
        self._rung = False
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._refusal: StoreError | None = None  # why nothing is taken any more
        self._broken = False
        self._data_version = -1

    def post(self, item: T) -> None:
        """Write `item` soon. Returns at once, or when there is room if the backlog is full."""
        if self._refusal is not None:
            return
        self._items.append(item)
        if not self._rung:
            self._start()
            self._rung = True
            self._bell.put(False)
        elif len(self._items) > _BACKLOG:
            self._wait_for_room()

    def call(self, job: Job[R]) -> Reply[R]:
        """Run `job` in a transaction after all that was posted; the reply comes with its commit."""
        reply: Reply[R] = Reply()
        self._jobs.append((job, reply))
        self._start()
        self._bell.put(True)
        if self._refusal is not None:  # looked at after the append: one of the two sees the other
            self._turn_away(self._refusal)
        return reply

    def flush(self) -> None:
        """Wait until all that was posted is committed."""
        if self._thread is not None:
            with contextlib.suppress(sqlite3.Error, StoreError):
                self.call(lambda _: None).result()

    def close(self) -> None:
        """Write what is left, close the connection, end the thread."""
        if self._thread is None or self._refusal is not None:
            return
        self._closing = True
        self._bell.put(True)
        self._thread.join()

    def abandon(self) -> None:
        """Take nothing any more, without waiting: in a forked child the thread does not exist."""
        self._refuse(StoreError("the store belongs to the process that was forked"))

    def _start(self) -> None:
        if self._thread is None:
            with self._start_lock:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._loop, name="nbflow-store", daemon=True
                    )
                    self._thread.start()

    def _wait_for_room(self) -> None:
        if threading.current_thread() is self._thread:
            return
        self._bell.put(True)
        while len(self._items) > _BACKLOG and not (self._closing or self._refusal):
            time.sleep(_ROOM_SECONDS)

    def _loop(self) -> None:
        refusal = StoreError("the store is closed")
        try:
            connection = self._backend.open()
            try:
                while not (self._closing and not self._items and not self._jobs):
                    self._turn(connection)
            finally:
                with contextlib.suppress(sqlite3.Error):
                    self._backend.release(connection)
        except StoreError as error:
            refusal = error
        except Exception as error:
            logger.exception("the store thread ended")
            refusal = StoreError(str(error))
        finally:
            self._refuse(refusal)  # every caller is told, nobody hangs

    def _turn(self, connection: sqlite3.Connection) -> None:
        urgent = self._closing or self._ring(_POLL_SECONDS if self._backend.watching else None)
        if urgent is False:
            self._ring(_GATHER_SECONDS)
        while not self._bell.empty():
            self._bell.get()
        self._rung = False
        while self._items or self._jobs:
            if not self._commit(connection):
                # Keep what could not be written and try again, but never spin.
                if self._closing:
                    self._items.clear()
                    return
                self._ring(_AGAIN_SECONDS)
                self._bell.put(True)
                break
            if len(self._items) < _BATCH and not self._jobs:
                break
        if self._backend.watching or urgent is None:
            self._poll(connection)

    def _ring(self, seconds: float | None) -> bool | None:
        """Wait for the bell: whether it is urgent; None: it was not rung in time."""
        try:
            return self._bell.get(timeout=seconds)
        except Empty:
            return None

    def _commit(self, connection: sqlite3.Connection) -> bool:
        """Write one batch and every waiting job in one transaction; False: nothing was written."""
        n_jobs = len(self._jobs)  # before the items: a job sees all that was posted before it
        items = list(_take(self._items, _BATCH if not n_jobs else len(self._items)))
        jobs = list(_take(self._jobs, n_jobs))
        answers: list[tuple[Reply[Any], Any, BaseException | None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            if items:
                self._write(connection, items)
            for job, reply in jobs:
                answers.append((reply, *_perform(connection, job)))
            connection.execute("COMMIT")
        except Exception as error:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            for _, reply in jobs:
                reply.answer(None, error)
            if not isinstance(error, sqlite3.Error):  # a bug of ours must not stop the thread
                logger.exception("%d journal entries could not be written", len(items))
                return True
            self._report(connection, error)
            self._items.extendleft(reversed(items))
            self._shed()
            return False
        self._broken = False
        for reply, value, failure in answers:
            reply.answer(value, failure)
        with contextlib.suppress(sqlite3.Error):
            self._backend.committed(connection)
        return True

    def _write(self, connection: sqlite3.Connection, items: list[T]) -> None:
        """Write `items`; where one of them cannot be, all the others."""
        write = self._backend.write
        failure = _perform(connection, partial(write, items=items))[1]
        if failure is None:
            return
        n_lost = 0
        for item in items:
            lost = _perform(connection, partial(write, items=[item]))[1]
            n_lost += lost is not None
            failure = lost or failure
        logger.error("%d journal entries could not be written", n_lost, exc_info=failure)

    def _shed(self) -> None:
        """The disk stays full: drop the oldest rather than grow, or hold up the user's flow."""
        while len(self._items) > _BACKLOG // 2:
            self._items.popleft()

    def _report(self, connection: sqlite3.Connection, error: sqlite3.Error) -> None:
        if not self._broken:
            self._broken = True
            with contextlib.suppress(Exception):  # there may be nobody to tell
                self._backend.failed(connection, error)

    def _poll(self, connection: sqlite3.Connection) -> None:
        try:
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            if version != self._data_version:
                self._data_version = version
                self._backend.poll(connection)
        except Exception:
            logger.exception("reading requests failed")

    def _refuse(self, refusal: StoreError) -> None:
        """From here on drop what is posted and fail what is called."""
        self._refusal = refusal
        self._items.clear()
        self._turn_away(refusal)

    def _turn_away(self, refusal: StoreError) -> None:
        for _, reply in _take(self._jobs, len(self._jobs)):
            reply.answer(None, refusal)


def _take(queue: deque[Any], at_most: int) -> Any:
    for _ in range(at_most):
        try:
            yield queue.popleft()
        except IndexError:
            return


def _perform(connection: sqlite3.Connection, job: Job[Any]) -> tuple[Any, BaseException | None]:
    """One job under a savepoint, so that a bad one does not lose the batch."""
    connection.execute("SAVEPOINT job")
    try:
        value, failure = job(connection), None
    except Exception as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _OF_THE_FILE:  # nothing else of the batch can be written either
            raise
        connection.execute("ROLLBACK TO job")
        value, failure = None, error
    connection.execute("RELEASE job")
    return value, failure

"""Bells between processes: who waits for a change in the store reads a FIFO, who changes it rings.

A bell carries no news, only that there may be some: whoever hears it looks into the store.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import threading
import time
from pathlib import Path
from weakref import WeakSet

from nbflow.model.ids import new_id

logger = logging.getLogger(__name__)

_LONGEST_DEAF_SECONDS = 1.0
_FD_SETSIZE = 1024  # of what select() can wait for
_NEW = "."  # begins the names of FIFOs that nobody reads yet
_open: WeakSet[Bell] = WeakSet()


class Bell:
    """A FIFO in the store's folder that this object reads. One thread waits, any may ring.

    Where the file system has no FIFOs it hears only its own `ring`, and `wait` gives up after a
    second at the latest, so that its owner looks for itself.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "bells" / new_id()
        self._lock = threading.Lock()
        self._own = threading.Event()
        self._fd = -1
        try:
            self._fd = self._hang()
        except OSError as error:
            logger.debug("no bell at %s: %s", self._path, error)
        _open.add(self)

    def wait(self, seconds: float) -> bool:
        """Wait until it is rung, at most so long: whether it was."""
        fd = self._fd
        if fd < 0:
            rung = self._own.wait(max(0.0, min(seconds, _LONGEST_DEAF_SECONDS)))
            self._own.clear()
            return rung
        if not _is_readable(fd, max(0.0, seconds)):
            return False
        with self._lock, contextlib.suppress(OSError):
            while self._fd >= 0 and os.read(self._fd, 4096):
                pass  # rung often, heard once; ends with BlockingIOError
        return True

    def ring(self) -> None:
        """Ring this bell."""
        self._own.set()
        with self._lock, contextlib.suppress(OSError):
            if self._fd >= 0:
                os.write(self._fd, b"!")

    def close(self) -> None:
        """Take it down; who waits returns."""
        self.ring()
        with self._lock:
            fd, self._fd = self._fd, -1
            if fd >= 0:
                with contextlib.suppress(OSError):
                    self._path.unlink()
                os.close(fd)

    def _hang(self) -> int:
        self._path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        new = self._path.with_name(_NEW + self._path.name)
        os.mkfifo(new, 0o600)
        try:
            # For reading and writing: it never ends, and opening it does not wait for a ringer.
            fd = os.open(new, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            # Only now, so that no ringer finds it without a reader and takes it away.
            new.rename(self._path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        return fd

    def _forget(self) -> None:
        """In a forked child: what is in the FIFO is for the parent to read."""
        fd, self._fd = self._fd, -1
        self._lock = threading.Lock()
        self._own = threading.Event()
        if fd >= 0:
            os.close(fd)


def _is_readable(fd: int, seconds: float) -> bool:
    """Wait until there is something to read, at most so long: whether there is."""
    if fd < _FD_SETSIZE:
        return bool(select.select([fd], [], [], seconds)[0])
    poll = select.poll()  # takes whole milliseconds: half a one late on average
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def ring_all(folder: Path) -> None:
    """Ring every bell of the store. Never waits; takes away the bells of processes that died."""
    try:
        with os.scandir(folder / "bells") as entries:
            paths = [entry.path for entry in entries if not entry.name.startswith(_NEW)]
    except OSError:
        return  # nobody has ever listened
    for path in paths:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ENXIO:
                _take_away(path)
            continue
        try:
            os.write(fd, b"!")
        except OSError:  # it is full: it was rung often enough, or its reader has just gone
            pass
        finally:
            os.close(fd)


def _take_away(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
        _sweep(os.path.dirname(path))


def _sweep(folder: str) -> None:
    """Take away what processes have left that died between making a FIFO and opening it."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_NEW) and time.time() - entry.stat().st_mtime > 60:
                os.unlink(entry.path)


def _forget_all() -> None:
    for bell in list(_open):
        bell._forget()


os.register_at_fork(after_in_child=_forget_all)

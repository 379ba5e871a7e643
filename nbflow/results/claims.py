"""Of several that need one result, one computes it and the others wait.

A claim is a file lock, so the operating system drops it with its holder's death. Two threads of one
process open the file each for itself and exclude each other as two processes do.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
import weakref
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Self

# How soon the end of a holder in another process is noticed; one in this process rings.
_POLL_SECONDS = 0.02
_RUN_ID_BYTES = 128
_STALE_SECONDS = 3600.0


class Claim:
    """The right to compute one result. It ends by `release()`, or with its process."""

    def __init__(self, claims: Claims, path: Path, fd: int | None) -> None:
        self._claims = claims
        self.path = path
        self._fd = fd
        if fd is not None:
            _held.add(self)

    def release(self) -> None:
        """Let another compute it; again: nothing happens."""
        fd, self._fd = self._fd, None
        if fd is None:
            return
        _held.discard(self)
        with contextlib.suppress(OSError):
            os.unlink(self.path)  # while it is locked: whoever has opened it sees that it is gone
        os.close(fd)
        for bell in list(self._claims.bells):
            bell.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        """A run that ended in no good order must not keep others waiting."""
        self.release()

    def _forget(self) -> None:
        """In a forked child: the lock is the parent's, who must not hold it through us."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


class Claims:
    """The claims on results of one store folder.

    Attributes:
        bells: One of each thread of this process that waits.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.bells: set[SimpleQueue[None]] = set()

    def take(self, key: str, run_id: str) -> Claim | None:
        """Claim a key for a run; None: it is taken. Does not wait.

        Where there can be no locks (a full disk, some network file systems) everybody gets a claim.
        """
        path = self._path(key)
        try:
            while True:
                fd = self._open(path)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if _is_at(fd, path):
                        # Over the whole of a killed holder's. Not `ftruncate`: ext4 then writes
                        # the file to the disk when it is closed, which takes 2 ms.
                        os.pwrite(fd, run_id.encode()[:_RUN_ID_BYTES].ljust(_RUN_ID_BYTES), 0)
                        return Claim(self, path, fd)
                except BlockingIOError:
                    os.close(fd)
                    return None
                except BaseException:
                    os.close(fd)
                    raise
                os.close(fd)  # its holder has removed it: the next one is another file
        except OSError:
            return Claim(self, path, None)

    def holder(self, key: str) -> str:
        """Id of the run that holds the claim on a key, or ''. It may have ended since."""
        try:
            with self._path(key).open("rb") as file:
                return file.read(_RUN_ID_BYTES).decode().rstrip()
        except (OSError, UnicodeDecodeError):
            return ""

    def is_held_here(self, key: str) -> bool:
        """Whether a run of this process holds the claim on a key."""
        path = self._path(key)
        return any(claim.path == path for claim in list(_held))

    def wait(self, bell: SimpleQueue[None]) -> None:
        """Wait a moment, or until a claim of this process is released."""
        # Not a condition: Ctrl-C inside one can leave it locked.
        with contextlib.suppress(Empty):
            bell.get(timeout=_POLL_SECONDS)

    def sweep(self) -> None:
        """Remove the files of holders that were killed."""
        before = time.time() - _STALE_SECONDS
        with contextlib.suppress(OSError), os.scandir(self._folder) as found:
            for file in found:
                with contextlib.suppress(OSError):
                    if file.stat().st_mtime < before:
                        _remove_unlocked(Path(file.path))

    def _open(self, path: Path) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(path, flags, 0o600)
        except FileNotFoundError:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return os.open(path, flags, 0o600)

    def _path(self, key: str) -> Path:
        about = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16)
        return self._folder / about.hexdigest()


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _remove_unlocked(path: Path) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(fd, path):
            os.unlink(path)
    finally:
        os.close(fd)


_held: weakref.WeakSet[Claim] = weakref.WeakSet()


def _after_fork() -> None:
    for claim in list(_held):
        claim._forget()
    _held.clear()


os.register_at_fork(after_in_child=_after_fork)

"""Files of large results: written whole or not at all, read as private memory.

A file is never changed once it has its name, and every save takes a new name. So whoever has one
open or mapped keeps what it read, even where the file is removed meanwhile.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import mmap
import os
import secrets
import threading
import time
import weakref
from collections.abc import Collection, Sequence
from pathlib import Path
from pickle import PickleBuffer
from typing import TYPE_CHECKING

from nbflow.results.entries import Draft
from nbflow.results.signing import Signer

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_SUFFIX = ".result"
_TEMPORARY = ".tmp"
_PARTS = 512  # of one writev(2); the least that POSIX systems have in common is 16, Linux 1,024
# Below it reading is quicker than mapping: a mapping costs its pages' faults and a system call.
_MAPPED_BYTES = 64 << 10
# Of writers that were killed. Nobody writes one file for longer than this.
_STALE_SECONDS = 3600.0


class ResultFiles:
    """The folder of result files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, draft: Draft, signer: Signer, key: str) -> str:
        """Write an entry; gives the file's name. Returns when it is on disk.

        Raises:
            OSError: It cannot be written; nothing is left of it.
        """
        about = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        name = f"{about}-{secrets.token_hex(4)}{_SUFFIX}"
        temporary = self.folder / (name + _TEMPORARY)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            fd = os.open(temporary, flags, 0o600)
        except FileNotFoundError:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd = os.open(temporary, flags, 0o600)
        try:
            try:
                digesting = _Digesting(draft)  # reads the buffers while they are written
                os.lseek(fd, draft.head_bytes, os.SEEK_SET)
                try:
                    _write(fd, draft.body)
                finally:
                    digests = digesting.result()
                os.lseek(fd, 0, os.SEEK_SET)
                _write(fd, draft.head(signer, key, digests))
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(temporary, self.folder / name)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        return name

    def read(self, name: str) -> memoryview:
        """The entry in memory of the caller's own: what is written to it stays there.

        Raises:
            OSError: There is no such file, or it cannot be read.
        """
        fd = os.open(self.folder / os.path.basename(name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            size_bytes = os.fstat(fd).st_size
            if size_bytes >= _MAPPED_BYTES:
                return _map(fd, size_bytes)
            entry = bytearray(size_bytes)
            n_read = os.readv(fd, [entry])
            return memoryview(entry)[:n_read]
        finally:
            os.close(fd)

    def remove(self, names: Collection[str]) -> None:
        """Remove files, as far as they are there."""
        for name in names:
            with contextlib.suppress(OSError):
                os.unlink(self.folder / os.path.basename(name))

    def sweep(self, known: Collection[str]) -> tuple[int, int]:
        """Remove what killed writers left behind; gives the number of files and their bytes.

        Args:
            known: Names of the files that belong to a result.
        """
        n, n_bytes, before = 0, 0, time.time() - _STALE_SECONDS
        known = frozenset(known)
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as found:
            for file in found:
                if not file.name.endswith((_SUFFIX, _TEMPORARY)) or file.name in known:
                    continue
                with contextlib.suppress(OSError):
                    about = file.stat(follow_symlinks=False)
                    if about.st_mtime < before:
                        os.unlink(file.path)
                        n, n_bytes = n + 1, n_bytes + about.st_size
        return n, n_bytes


class _Digesting:
    """Takes a draft's digests on another thread."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._digests: bytes | None = None
        self._thread: threading.Thread | None = threading.Thread(
            target=self._take, name="nbflow-digest", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:  # at the interpreter's end no thread starts
            self._thread = None

    def result(self) -> bytes:
        if self._thread is not None:
            self._thread.join()
        if self._digests is None:
            self._take()
        assert self._digests is not None
        return self._digests

    def _take(self) -> None:
        self._digests = self._draft.digests()


def _write(fd: int, parts: Sequence[Buffer]) -> None:
    left = [view for part in parts if (view := memoryview(part)).nbytes]
    at = 0
    while at < len(left):
        n = os.writev(fd, left[at : at + _PARTS])
        while at < len(left) and n >= left[at].nbytes:
            n -= left[at].nbytes
            at += 1
        if n:
            left[at] = left[at][n:]


_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
)  # fmt: skip
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_FAILED = ctypes.c_void_p(-1).value


def _map(fd: int, size_bytes: int) -> memoryview:
    """The file's bytes, writable and private; unmapped with the last view of them.

    Not `mmap.mmap`: before Python 3.13 each keeps a file descriptor open as long as it lives, and a
    thousand results in use would leave none for the user.
    """
    access = mmap.PROT_READ | mmap.PROT_WRITE
    address = _libc.mmap(None, size_bytes, access, mmap.MAP_PRIVATE, fd, 0)
    if address is None or address == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    block = (ctypes.c_ubyte * size_bytes).from_address(address)
    # At the interpreter's end views may outlive the finalizer; the system unmaps it all.
    weakref.finalize(block, _libc.munmap, address, size_bytes).atexit = False
    return PickleBuffer(block).raw()

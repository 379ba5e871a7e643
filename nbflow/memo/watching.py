"""What a cell does to the world outside Python while it runs: the interpreter's audit events.

Audit hooks cannot be taken away again: there is one, which does nothing while no cell is watched.
"""

from __future__ import annotations

import os
import random
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_REASONS = {
    "subprocess.Popen": "it starts another program",
    "os.system": "it starts another program",
    "os.exec": "it starts another program",
    "os.posix_spawn": "it starts another program",
    "os.spawn": "it starts another program",
    "pty.spawn": "it starts another program",
    "os.fork": "it forks",
    "os.forkpty": "it forks",
    "socket.connect": "it uses the network",
    "socket.bind": "it uses the network",
    "socket.sendto": "it uses the network",
    "socket.getaddrinfo": "it uses the network",
    "socket.gethostbyname": "it uses the network",
    "urllib.Request": "it uses the network",
    "sqlite3.connect": "it opens a database",
    "builtins.input": "it waits for input",
    "webbrowser.open": "it opens a browser",
    "os.kill": "it sends signals",
    "os.remove": "it removes files",
    "os.rename": "it moves files",
    "os.rmdir": "it removes a folder",
    "os.mkdir": "it makes a folder",
    "os.link": "it makes links",
    "os.symlink": "it makes links",
    "os.truncate": "it changes files",
    "os.chmod": "it changes files",
    "os.chown": "it changes files",
    "os.utime": "it changes files",
    "tempfile.mkstemp": "it makes a temporary file",
    "tempfile.mkdtemp": "it makes a temporary folder",
    "mmap.__new__": "",
}
_LISTINGS = {"os.listdir", "os.scandir"}
_ENTROPY = "it draws fresh randomness"


def _own_folders() -> tuple[str, ...]:
    """Where libraries keep what is theirs: reading it is no input of the cell's."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [os.path.join(prefix, part) for prefix in (sys.prefix, sys.base_prefix)
              for part in ("lib", "share", "etc")]  # fmt: skip
    paths += ["/proc", "/sys", "/dev", "/etc", "/usr/share", "/usr/lib"]
    home = os.path.expanduser("~")
    paths += [os.path.join(home, part) for part in (".cache", ".config", ".ipython", ".jupyter")]
    paths += [os.environ.get("XDG_CACHE_HOME", ""), os.environ.get("MPLCONFIGDIR", "")]
    return tuple(os.path.abspath(path) + os.sep for path in paths if path)


@dataclass(slots=True, eq=False)
class Observation:
    """What was seen of one cell.

    Attributes:
        reasons: Why it may not be cached, in words for the user.
        files: Files it read, with their `file_facts` when they were opened.
        folders: Folders whose entries it listed.
    """

    own_folders: tuple[str, ...]
    reasons: dict[str, None] = field(default_factory=dict)
    files: dict[str, tuple[int, ...] | None] = field(default_factory=dict)
    folders: dict[str, None] = field(default_factory=dict)

    def event(self, name: str, args: tuple[Any, ...]) -> None:
        """An audit event of the cell."""
        if name == "open":
            self._opened(*args)
        elif name in _LISTINGS:
            path = _as_path(args[0] if args and args[0] is not None else ".")
            if path is not None and not self._is_own(path):
                self.folders[path] = None
        else:
            reason = _REASONS.get(name)
            if reason and not self._is_of_python(name, args):
                self.reasons[reason] = None

    def _opened(self, file: Any, mode: Any, flags: Any) -> None:
        path = _as_path(file)
        if path is None or self._is_own(path):
            return
        writes = isinstance(mode, str) and any(one in mode for one in "wax+")
        if writes or (not isinstance(mode, str) and isinstance(flags, int) and flags & _WRITES):
            self.reasons[f"it writes {os.path.basename(path)}"] = None
        elif path not in self.files:
            self.files[path] = file_facts(path)

    def _is_own(self, path: str) -> bool:
        return path.startswith(self.own_folders) or path.endswith(".pyc")

    def _is_of_python(self, name: str, args: tuple[Any, ...]) -> bool:
        """Byte code that is written beside an imported module."""
        if name not in ("os.mkdir", "os.rename", "os.remove"):
            return False
        paths = [_as_path(one) for one in args if isinstance(one, str | bytes | os.PathLike)]
        return all(
            path is not None and ("__pycache__" in path or path.startswith(self.own_folders))
            for path in paths
        )


def file_facts(path: str) -> tuple[int, ...] | None:
    """Device, inode, size and time of change of a file; None: there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _as_path(file: Any) -> str | None:
    if isinstance(file, int):
        return None
    try:
        return os.path.abspath(os.fsdecode(file))
    except (TypeError, ValueError, OSError):
        return None


# --- the one hook -----------------------------------------------------------------------------

_active: list[tuple[Observation, int]] = []
_installed = False
#: Threads of the notebook's own machinery, whose doings are not the cell's.
_NOT_CELLS = ("nbflow-", "IOPub", "Heartbeat", "Control", "Subshell", "IPythonHistory", "Shell ")


def _hook(name: str, args: tuple[Any, ...]) -> None:
    if not _active or (name != "open" and name not in _LISTINGS and name not in _REASONS):
        return
    me = threading.get_ident()
    for observation, thread in tuple(_active):
        if thread == me:
            observation.event(name, args)
            return
    if threading.current_thread().name.startswith(_NOT_CELLS):
        return
    for observation, _ in tuple(_active):  # a thread that one of them started
        observation.event(name, args)


@contextmanager
def observed(ignored_folders: tuple[str, ...] = ()) -> Iterator[Observation]:
    """Watch what this thread, and threads that are started meanwhile, do inside the block."""
    global _installed
    if not _installed:
        sys.addaudithook(_hook)
        _installed = True
    ignored = tuple(os.path.abspath(folder) + os.sep for folder in ignored_folders)
    observation = Observation((*_own_folders(), *ignored))
    entry = (observation, threading.get_ident())
    before = {id(thread) for thread in threading.enumerate()}
    _active.append(entry)
    with _entropy:
        try:
            yield observation
        finally:
            _active.remove(entry)
            for thread in threading.enumerate():
                if id(thread) not in before and not thread.name.startswith(_NOT_CELLS):
                    observation.reasons[f"it left the thread {thread.name!r} running"] = None


class _Entropy:
    """`default_rng()`, `secrets`, `SystemRandom`: all go through one function of `random`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_users = 0
        self._inner: Any = None

    def __enter__(self) -> None:
        with self._lock:
            self._n_users += 1
            if self._n_users == 1:
                module: Any = random
                self._inner = module._urandom
                module._urandom = self._draw

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_users -= 1
            if self._n_users == 0:
                module: Any = random
                module._urandom = self._inner

    def _draw(self, size: int) -> bytes:
        me = threading.get_ident()
        for observation, thread in tuple(_active):
            if thread == me:
                observation.reasons[_ENTROPY] = None
        data: bytes = self._inner(size)
        return data


_entropy = _Entropy()

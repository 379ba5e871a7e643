"""Runs notebooks in fresh processes and compares two runs. A run costs some 30 ms."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.notebook.replay.shells import Event

#: Imported before the fork. pyplot too: the cells' `import` costs nothing then.
WARM = ("numpy", "pandas", "matplotlib.pyplot", "nbflow.notebook.extension", "nbflow.wiring")
#: Only what any kernel has.
COLD = ("IPython",)
_PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Obtained:
    """How one cell of an autotask run came about."""

    status: str
    reason: str
    seconds: float
    key: str


@dataclass(frozen=True)
class Run:
    """All that can be seen of a notebook run.

    Attributes:
        cells: Per cell its events in order.
        names: Name -> comparable text; `hidden:...`, `probe:...` and `memory:` too.
        files: Relative path -> digest, of the notebook's folder after the run.
        obtained: One per cell of an autotask run.
    """

    cells: tuple[list[Event], ...]
    names: dict[str, str]
    files: dict[str, str]
    obtained: tuple[Obtained, ...] = ()

    @property
    def statuses(self) -> list[str]:
        return [one.status for one in self.obtained]


class Session:
    """A process with a shell, as fresh as a restarted kernel."""

    def __init__(self, connection: Connection, pid: int, folder: Path) -> None:
        self._connection = connection
        self._pid = pid
        self._place = str(folder.parent)

    def run(self, source: str, cell_id: str | None = None) -> list[Event]:
        """Run one cell."""
        events = self._ask("run", source, cell_id)
        return _as_seen(_without(events, self._place))

    def poke(self, statements: str) -> str:
        """Change the namespace without running a cell; gives the error, if any."""
        return self._ask("poke", statements)

    def look(self, probes: Sequence[str] = ()) -> dict[str, str]:
        """The namespace and the hidden state."""
        looked = self._ask("look", tuple(probes))
        return {name: text.replace(self._place, "PLACE") for name, text in looked.items()}

    def obtained(self) -> tuple[Obtained, ...]:
        return tuple(Obtained(**one) for one in self._ask("obtained"))

    def end(self) -> None:
        """Let the process end as a kernel does that is shut down."""
        self._ask("end")
        # Its end of the connection closes when it is gone, its last writes done.
        with contextlib.suppress(EOFError, OSError):
            self._connection.poll(_PATIENCE_SECONDS)
            self._connection.recv()
        self._connection.close()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        self._connection.close()

    def _ask(self, *request: Any) -> Any:
        self._connection.send(request)
        try:
            if not self._connection.poll(_PATIENCE_SECONDS):
                raise TimeoutError(f"no answer to {request}")
            return self._connection.recv()
        except (EOFError, OSError):
            self.kill()
            raise


class Template:
    """The warm process that sessions are forked from. Keeps what it needs in `folder`."""

    def __init__(self, folder: Path, *modules: str, hash_seed: int = 0) -> None:
        self._folder = folder
        self._home: Path | None = None
        self._requests, theirs = socket.socketpair()
        environment = os.environ | {
            "PYTHONHASHSEED": str(hash_seed),
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "IPYTHONDIR": str(folder / "ipython"),
            "NBFLOW_CACHE_MIN_SECONDS": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        environment.pop("NBFLOW_PARENT_RUN", None)
        module = "tests.notebook.replay.server"
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(theirs.fileno()), *(modules or WARM)],
            env=environment,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        if self._requests.recv(64) != b"ready":
            self.close()
            raise RuntimeError("the template process did not start")

    def session(
        self,
        folder: Path,
        home: Path | None = None,
        *,
        entropy: bool = False,
        **environment: str,
    ) -> Session:
        """A fresh process in `folder`; with a home: under autotask.

        Args:
            entropy: Random states are the process' own; by default they are always the same.
        """
        ours, theirs = socket.socketpair()
        request = {
            "folder": str(folder),
            "autotask": home is not None,
            "entropy": entropy,
            "environment": {"NBFLOW_HOME": str(home or folder.parent / "unused"), **environment},
        }
        socket.send_fds(self._requests, [json.dumps(request).encode()], [theirs.fileno()])
        theirs.close()
        pid = int(self._requests.recv(64))
        return Session(Connection(ours.detach()), pid, folder)

    def run(
        self,
        cells: Sequence[str],
        folder: Path,
        home: Path | None = None,
        *,
        probes: Sequence[str] = (),
        entropy: bool = False,
        **environment: str,
    ) -> Run:
        """Run a notebook from top to bottom in a process of its own; errors do not stop it."""
        session = self.session(folder, home, entropy=entropy, **environment)
        events = tuple(session.run(source, f"cell-{n}") for n, source in enumerate(cells))
        obtained = session.obtained()
        names = session.look(probes)
        session.end()
        return Run(events, names, _files(folder), obtained)

    def new_home(self, home: Path) -> Path:
        """A store's folder that is ready to use: setting one up anew takes 0.1 s."""
        if self._home is None:
            folder = home.parent / "first"
            folder.mkdir()
            self._home = self._folder / "home"
            self.run(["pass"], folder, self._home)
        shutil.copytree(self._home, home)
        return home

    def close(self) -> None:
        self._requests.close()
        self._process.wait(10)


def differences(plain: Run, other: Run) -> list[str]:
    """What is not equal, in words; empty: the runs cannot be told apart."""
    found = []
    for n, (want, got) in enumerate(zip(plain.cells, other.cells, strict=True)):
        if want != got:
            found.append(f"cell {n} put out\n    {got}\n  and plainly\n    {want}")
    found += unlike("name", plain.names, other.names)
    found += unlike("file", plain.files, other.files)
    return found


def told(run: Run) -> str:
    """How the cells of an autotask run came about, for a failing test's message."""
    return "\n".join(f"  {n}: {one.status}: {one.reason}" for n, one in enumerate(run.obtained))


def without(run: Run, *names: str) -> Run:
    """The run without some names, which no two runs have in common."""
    return replace(run, names={k: v for k, v in run.names.items() if k not in names})


def unlike(what: str, want: dict[str, str], got: dict[str, str]) -> list[str]:
    found = []
    for name in sorted(want.keys() | got.keys()):
        ours, plainly = got.get(name, "(missing)"), want.get(name, "(missing)")
        if ours != plainly:
            if "\n" in plainly:
                ours = " ".join(difflib.unified_diff(plainly.split("\n"), ours.split("\n"), n=0))
            found.append(f"{what} {name} is\n    {ours}\n  and plainly\n    {plainly[:2000]}")
    return found


def _as_seen(events: list[Event]) -> list[Event]:
    """What is cleared again is gone from the screen, and from the notebook's file."""
    cleared = [n for n, event in enumerate(events) if event == ("clear", False)]
    return events[cleared[-1] + 1 :] if cleared else events


def _without(value: Any, folder: str) -> Any:
    """Events without addresses and the folder's name."""
    from tests.notebook.replay.rendering import normal

    if isinstance(value, str):
        return normal(value).replace(folder, "PLACE")
    if isinstance(value, (list, tuple)):
        return type(value)(_without(item, folder) for item in value)
    if isinstance(value, dict):
        return {key: _without(item, folder) for key, item in value.items()}
    if isinstance(value, bytes):
        return hashlib.blake2b(value, digest_size=8).hexdigest()
    return value


def _files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }

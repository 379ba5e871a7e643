"""A warm process that forks one notebook process after the other.

`python -m tests.notebook.replay.server FD MODULE...`: the socket FD brings requests, each with the
socket that the new process is to be talked to over; the modules are imported before any fork.
The forked process is to a notebook as fresh as a new kernel: own shell, own `__main__`, no thread.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import random
import signal
import socket
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any

from tests.notebook.replay.rendering import render
from tests.notebook.replay.shells import make_shell, record_streams, recording


def main() -> None:
    requests = socket.socket(fileno=int(sys.argv[1]))
    for name in sys.argv[2:]:
        importlib.import_module(name)
    shell = make_shell()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forked ones
    gc.collect()
    gc.freeze()
    requests.send(b"ready")
    while True:
        text, fds, _, _ = socket.recv_fds(requests, 1 << 16, 1)
        if not text:
            return
        pid = os.fork()
        if pid == 0:
            requests.close()
            _begin(shell, Connection(fds[0]), json.loads(text))
        os.close(fds[0])
        requests.send(str(pid).encode())


def _begin(shell: Any, connection: Connection, request: dict[str, Any]) -> None:
    """The forked process' life."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = 1
    try:
        os.chdir(request["folder"])
        os.environ.update(request["environment"])
        sys.argv[:] = ["kernel"]
        sys.path.insert(0, "")
        _seed(request["entropy"])
        record_streams()
        session = Notebook(shell, autotask=request["autotask"])
        while session.answer(connection):
            pass
        code = 0
    except EOFError:  # the test has ended
        code = 0
    except BaseException:
        os.write(2, traceback.format_exc()[-3000:].encode())
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        os._exit(code)


def _seed(entropy: bool) -> None:
    """Random states of a new process, or the same ones every time so that runs can be compared."""
    random.seed(None if entropy else 12345)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(None if entropy else 12345)


class Notebook:
    """Runs cells and tells what came of them."""

    def __init__(self, shell: Any, *, autotask: bool) -> None:
        self._shell = shell
        self._autotask = autotask
        self._initial = frozenset(shell.user_ns)
        if autotask:
            shell.run_cell("%load_ext nbflow\n%autotask on", store_history=False, silent=True)
            told = recording.take()
            if told:
                raise RuntimeError(f"%autotask on: {told}")

    def answer(self, connection: Connection) -> bool:
        """Answer one request; False: it was the last one."""
        verb, *arguments = connection.recv()
        if verb == "end":
            connection.send(None)
            return False
        connection.send(getattr(self, verb)(*arguments))
        return True

    def run(self, source: str, cell_id: str | None) -> list[Any]:
        """Run one cell; gives the events."""
        self._shell.run_cell(source, store_history=True, cell_id=cell_id)
        sys.stdout.flush()
        return recording.take()

    def poke(self, statements: str) -> str:
        """Change the namespace past the shell, as a debugger does; gives the error, if any."""
        try:
            exec(statements, self._shell.user_ns)
        except Exception as error:
            return repr(error)
        return ""

    def look(self, probes: tuple[str, ...]) -> dict[str, str]:
        """Every name's value, hidden state, and the probes' values, as comparable texts."""
        looked = render(self._shell, self._initial, probes)
        recording.take()
        return looked

    def obtained(self) -> list[dict[str, Any]]:
        """How each cell so far was obtained; of plain runs: nothing."""
        if not self._autotask:
            return []
        from nbflow.notebook import session

        return [
            {name: getattr(one, name) for name in ("status", "reason", "seconds", "key")}
            for one in session.open_in(self._shell).obtained
        ]


if __name__ == "__main__":
    # The shell's namespace takes the place of `__main__`: this module goes on under its own name.
    importlib.import_module("tests.notebook.replay.server").main()

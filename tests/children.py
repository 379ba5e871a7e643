"""Real processes for tests: what nbflow promises across processes is tested across processes."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path


class Child:
    """A Python process that runs `code` with the test's home."""

    def __init__(self, code: str, home: Path, *arguments: object, **env: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
            env={
                **os.environ,
                "NBFLOW_HOME": str(home),
                "NBFLOW_LOG_LEVEL": "ERROR",
                "PYTHONWARNINGS": "error",
                **env,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self.stderr = ""

    def __del__(self) -> None:
        """A test that failed leaves nothing behind."""
        if self._process.poll() is None:
            self.kill()

    def line(self) -> str:
        """The next line it prints; fails with its stderr when it ends without one."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(self._process.communicate()[1])
        return line.strip()

    def error_line(self) -> str:
        """The next line of its stderr; empty: there is none any more."""
        assert self._process.stderr is not None
        return self._process.stderr.readline().strip()

    def tell(self, text: str = "") -> None:
        """Give it a line on stdin."""
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def end(self, code: int = 0) -> list[str]:
        """Wait until it has ended as expected; gives the lines it printed meanwhile."""
        out, self.stderr = self._process.communicate(timeout=100)
        assert self._process.returncode == code, self.stderr
        return out.splitlines()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> list[str]:
        """`kill -9`; gives the whole lines that it had printed."""
        self._process.kill()
        out, self.stderr = self._process.communicate()
        return [line.strip() for line in out.splitlines(keepends=True) if line.endswith("\n")]


def run_child(code: str, home: Path, *arguments: object, **env: str) -> list[str]:
    """Run code in a process to its good end; gives the lines it printed."""
    return Child(code, home, *arguments, **env).end()


def read(home: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    """Ask a store's file, past all of nbflow's code."""
    connection = sqlite3.connect(home / "nbflow.db")
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def is_intact(home: Path) -> bool:
    """What SQLite itself says of the file."""
    return read(home, "PRAGMA integrity_check") == [("ok",)]

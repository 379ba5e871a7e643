"""`nbflow run NOTEBOOK`: the run as it goes, and a table of what it was."""

from __future__ import annotations

import logging
import sys
import threading
import time
from pathlib import Path
from typing import Any

import typer

from nbflow import wiring
from nbflow.cli.shared import print_table, seconds_text, state_text
from nbflow.console import console_line, told_of_line
from nbflow.deploy.notebook_client import CellFacts, CellProgress
from nbflow.deploy.notebooks import executed_copy, run_notebook
from nbflow.errors import NbflowError
from nbflow.model.records import LineRecord
from nbflow.model.runs import Appointment
from nbflow.store.store import Store

_POLL_SECONDS = 0.1


def run_and_show(
    notebook: str,
    parameters: dict[str, Any],
    output: str | None,
    *,
    autotask: bool = False,
    allow_errors: bool = False,
    appointment: Appointment | None = None,
) -> int:
    """Run a notebook, showing states, logs and progress as they come; gives the exit code.

    It is 0 only if no cell failed, whether or not errors are allowed.

    Args:
        appointment: The flow run, where it goes on from another.
    """
    path = Path(notebook)
    target = executed_copy(path) if output is None else Path(output)
    follower = Follower(wiring.current())
    code, failure = 0, ""
    try:
        run_notebook(
            path,
            parameters=parameters,
            output=target,
            autotask=autotask,
            allow_errors=allow_errors,
            progress=follower.cell,
            obtained=follower.cell_obtained,
            began=follower.follow,
            appointment=appointment,
        )
    except KeyboardInterrupt:
        code, failure = 130, "interrupted"
    except NbflowError as error:
        if not follower.has_begun:
            raise
        code, failure = 1, str(error)
    finally:
        follower.finish()
    follower.print_table()
    if (autotask or appointment is not None) and (counted := follower.tally.text()):
        typer.echo(f"\n{counted}")
    if target.exists():
        typer.echo(f"\nexecuted notebook: {target}")
    if not code and follower.tally.n_unexpected:
        code, failure = 1, follower.tally.failed_text()
    if failure:
        sys.stderr.write(f"nbflow: {failure}\n")
    return code


class CellTally:
    """How many cells of a notebook run were obtained in which way.

    Attributes:
        n_unexpected: Cells that failed though the notebook does not say that they raise.
    """

    def __init__(self) -> None:
        self.n_unexpected = 0
        self._n_cells = 0
        self._counts: dict[str, int] = {}
        self._saved_seconds = 0.0

    def add(self, place: CellProgress, facts: CellFacts) -> None:
        """Count a cell."""
        self._n_cells = place.n_cells
        self._counts[facts.status] = self._counts.get(facts.status, 0) + 1
        self.n_unexpected += facts.status == "failed" and not facts.is_expected
        if facts.status == "cached":
            self._saved_seconds += facts.saved_seconds

    @property
    def n_cached(self) -> int:
        """Cells that were not run."""
        return self._counts.get("cached", 0)

    def failed_text(self) -> str:
        """`2 of 12 cells failed`."""
        return f"{self.n_unexpected} of {_cells(self._n_cells)} failed"

    def text(self) -> str:
        """`12 cells: 8 cached (saved 41.0 s), 3 run, 1 uncached`; empty: nothing was told."""
        cached = f"cached (saved {seconds_text(self._saved_seconds)})"
        words = {"cached": cached, "completed": "run", "uncached": "uncached", "failed": "failed"}
        parts = [f"{n} {words[status]}" for status in words if (n := self._counts.get(status))]
        return f"{_cells(self._n_cells)}: {', '.join(parts)}" if parts else ""


def _cells(n: int) -> str:
    return "1 cell" if n == 1 else f"{n} cells"


class Follower:
    """Prints the lines of one flow run and of all inside it, whichever process writes them.

    The tasks run in the notebook's kernel; the store is where this process hears of them.

    Attributes:
        tally: How its cells were obtained.
    """

    def __init__(self, connected: wiring.Wiring) -> None:
        self._store: Store = connected.store
        self._run_id: str | None = None
        self._seq = 0
        self._labels: dict[str, str] = {}
        self._progress = ""
        self.tally = CellTally()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._began_at = time.monotonic()
        connected.silence_console()  # this run's own lines come from the store as well

    @property
    def has_begun(self) -> bool:
        """Whether there is a flow run to show."""
        return self._run_id is not None

    def follow(self, run_id: str) -> None:
        """The flow run has begun."""
        self._run_id = run_id
        self._thread = threading.Thread(target=self._loop, name="nbflow-follow", daemon=True)
        self._thread.start()

    def cell(self, progress: CellProgress) -> None:
        """A cell begins."""
        with self._lock:
            self._progress = f"cell {progress.number} of {progress.n_cells}: {progress.title}"
            if not sys.stderr.isatty():
                sys.stderr.write(f"-- {self._progress}\n")

    def cell_obtained(self, place: CellProgress, facts: CellFacts) -> None:
        """A cell has ended, and how it came by its outputs is known."""
        with self._lock:
            self.tally.add(place, facts)
            if facts.status == "cached":
                told = f"cached (saved {seconds_text(facts.saved_seconds)})"
                self._progress = f"cell {place.number} of {place.n_cells}: {told}"
                if not sys.stderr.isatty():
                    sys.stderr.write(f"-- {self._progress}\n")

    def finish(self) -> None:
        """The run has ended: print what is left."""
        self._done.set()
        if self._thread is not None:
            self._thread.join()
            self._store.flush()
            self._store.reap()  # of a kernel that died the runs are Crashed
            self._print_new()
        self._clear()

    def print_table(self) -> None:
        """Print every run with its state, tries and duration."""
        if self._run_id is None:
            return
        rows = [
            (
                one.name,
                one.spec_name,
                state_text(one),
                str(one.run_count),
                seconds_text(one.seconds),
            )
            for one in self._store.family(self._run_id)
        ]
        typer.echo("")
        print_table(("run", "of", "state", "tries", "duration"), rows)

    def _loop(self) -> None:
        while not self._done.wait(_POLL_SECONDS):
            self._print_new()
            self._draw()

    def _print_new(self) -> None:
        assert self._run_id is not None
        lines = self._store.lines(self._run_id, after=self._seq)
        if not lines:
            return
        if any(line.run_id not in self._labels for line in lines):
            family = self._store.family(self._run_id)
            self._labels = {record.id: record.label for record in family}
        with self._lock:
            self._clear()
            for line in lines:
                self._print(line)
        self._seq = lines[-1].seq

    def _print(self, line: LineRecord) -> None:
        label = self._labels.get(line.run_id, line.run_id)
        loudness, told = told_of_line(label, line)
        if line.state_name == "Running":  # worth a line where a run is followed as it goes
            loudness = logging.INFO
        # The executed notebook holds the tracebacks, and the error is told at the end.
        if loudness >= logging.DEBUG and line.logger != "traceback":
            sys.stderr.write(console_line(line.at, loudness, told) + "\n")

    def _draw(self) -> None:
        """The progress line: one line of the terminal, drawn over and over."""
        if sys.stderr.isatty():
            elapsed = seconds_text(time.monotonic() - self._began_at)
            with self._lock:
                n_cached = self.tally.n_cached
                cached = f" · {n_cached} cached" if n_cached else ""
                sys.stderr.write(f"\r\x1b[K{self._progress}{cached} · {elapsed}")
                sys.stderr.flush()

    def _clear(self) -> None:
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")

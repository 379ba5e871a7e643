"""The store as commands use it, and how they show what they found."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from nbflow.console import duration, users_traceback
from nbflow.errors import NbflowError
from nbflow.flow_runs import ask
from nbflow.model.records import RunRecord, as_utc
from nbflow.settings import load_settings
from nbflow.store.store import Store

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]

_COLOURS = {
    "COMPLETED": "green",
    "FAILED": "red",
    "CRASHED": "magenta",
    "CANCELLED": "yellow",
    "RUNNING": "blue",
}


def open_store() -> Store:
    """The store of the settings' home, with the runs of dead processes marked as Crashed.

    Raises:
        StoreError: It cannot be opened. Unlike a flow, a command has no use for a temporary one.
    """
    store = Store(load_settings().home, may_fall_back=False)
    store.reap()
    return store


def acting_on_run(run: str, verb: str) -> None:
    """Ask for something to be done to a run, and say so."""
    record = ask(run, verb)
    if record.is_final:
        typer.echo(f"{record.label} has ended already: {record.state_name}")
    else:
        typer.echo(f"{record.label}: {verb} was asked for")


def showing_traceback(work: Callable[[], object], script: str) -> int:
    """Do what runs a script; gives the exit code. Its errors are shown from its own lines on.

    Raises:
        NbflowError: It is not of the script's making: wrong parameters, no such flow.
    """
    try:
        work()
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        trace = users_traceback(error, os.path.abspath(script))
        if trace is None and isinstance(error, NbflowError):
            raise
        traceback.print_exception(type(error), error, trace)
        return 1
    return 0


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2, default=str))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn for a terminal, tab-separated for a pipe."""
    if not sys.stdout.isatty():
        for row in (headings, *rows):
            typer.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def state_text(record: RunRecord) -> str:
    """A state's name, coloured where a table is drawn."""
    colour = _COLOURS.get(record.state_type)
    if colour is None or not sys.stdout.isatty():
        return record.state_name
    return f"[{colour}]{record.state_name}[/{colour}]"


def seconds_text(seconds: float | None) -> str:
    """A duration for people; nothing while there is none."""
    return "" if seconds is None else duration(seconds)


def ago(at: float | None) -> str:
    """How long ago an instant is."""
    if at is None:
        return ""
    seconds = max(0.0, time.time() - at)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def iso(at: float | None) -> str | None:
    """An instant as ISO 8601 in UTC."""
    instant: datetime | None = as_utc(at)
    return None if instant is None else instant.isoformat()


def record_as_json(record: RunRecord) -> dict[str, Any]:
    """A run as `--json` gives it."""
    return {
        "id": record.id,
        "kind": record.kind,
        "name": record.name,
        "of": record.spec_name,
        "state": record.state_name,
        "state_type": record.state_type,
        "message": record.message,
        "tries": record.run_count,
        "created_at": iso(record.created_at),
        "started_at": iso(record.started_at),
        "ended_at": iso(record.ended_at),
        "seconds": record.seconds,
        "parent_id": record.parent_id,
        "flow_run_id": record.flow_run_id,
        "tags": record.tags,
        "inputs": record.inputs,
        "tasks": record.n_tasks,
    }

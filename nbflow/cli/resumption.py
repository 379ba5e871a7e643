"""`nbflow resume RUN`: a run that goes on, and what came of it."""

from __future__ import annotations

from typing import Any

import typer

from nbflow import wiring
from nbflow.cli.notebook_run import run_and_show
from nbflow.cli.shared import showing_traceback
from nbflow.deploy.resuming import resume
from nbflow.model.records import RunRecord


def resume_and_show(run: str) -> int:
    """Resume a run and show it as `nbflow run` does; gives the exit code."""
    codes, found = list[int](), list[RunRecord]()

    def notebook(path: Any, *, output: Any, **options: Any) -> None:
        parameters = options.pop("parameters")
        codes.append(run_and_show(str(path), parameters, str(output), **options))

    store = wiring.current().store
    store.flush()
    record = store.find_run(run)
    script = str((record.source or {}).get("target", "")).partition(":")[0]
    code = showing_traceback(lambda: found.append(resume(run, notebook=notebook)), script)
    if not found:
        return code
    again = found[0]
    if again.id == record.id:
        typer.echo(f"{again.label}: resume was asked for")
        return 0
    typer.echo(f"{again.label} goes on from {record.name!r}: {again.state_name}")
    if codes:
        return codes[0]
    return int(again.is_final and again.state_name != "Completed")

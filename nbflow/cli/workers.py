"""`nbflow worker ...`: processes that carry out the runs of a work pool."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Annotated

import typer

from nbflow.cli.shared import Json, ago, iso, open_store, print_json, print_table
from nbflow.model.deployments import WorkerRecord

_RUNS_PER_CORE = 4

app = typer.Typer(help="Workers: start, ls.", no_args_is_help=True)


@app.command()
def start(
    pool: Annotated[str, typer.Option("--pool", "-p", help="The work pool whose runs it begins.")],
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-l", min=1, help="Runs at a time; default: four a core."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="For people; default: made of the host.")
    ] = None,
) -> None:
    """Begin the runs of a work pool when they are due, until Ctrl-C or SIGTERM.

    Told once it takes nothing new and waits for what runs; told again it cancels that.
    """
    from nbflow.deploy.worker import Worker

    # Each run is a process: a thousand that are due at once may not take the machine down.
    default = _RUNS_PER_CORE * (os.cpu_count() or 1)
    Worker(pool, limit=default if limit is None else limit, name=name).run()


@app.command("ls")
def list_workers(
    pool: Annotated[
        str | None, typer.Option("--pool", "-p", help="Only those of this work pool.")
    ] = None,
    json: Json = False,
) -> None:
    """List the workers that live."""
    workers = [one for one in open_store().workers(pool) if one.is_alive]
    if json:
        print_json([_as_json(one) for one in workers])
        return
    if not workers:
        typer.echo("no workers; start one with `nbflow worker start --pool NAME`")
        return
    headings = ("worker", "pool", "limit", "host", "pid", "started", "heard of")
    print_table(headings, [_row(one) for one in workers])


def _row(worker: WorkerRecord) -> tuple[str, ...]:
    limit = "" if worker.limit is None else str(worker.limit)
    seen = (ago(worker.started_at), ago(worker.heartbeat_at))
    return (worker.name, worker.pool, limit, worker.host, str(worker.pid), *seen)


def _as_json(worker: WorkerRecord) -> dict[str, object]:
    times = {"started_at": iso(worker.started_at), "heartbeat_at": iso(worker.heartbeat_at)}
    return {**asdict(worker), **times}

"""`nbflow runs ...`: looking at recorded runs."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from nbflow.cli.shared import (
    Json,
    acting_on_run,
    ago,
    iso,
    open_store,
    print_json,
    print_table,
    record_as_json,
    seconds_text,
    state_text,
)
from nbflow.console import console_line, told_of_line
from nbflow.deploy.run_files import delete_files, run_folder
from nbflow.model.records import RunRecord
from nbflow.model.runs import RunKind

app = typer.Typer(help="Recorded runs: list, show, logs, cancel, rm.", no_args_is_help=True)

RunName = Annotated[str, typer.Argument(help="A run's id, its first digits, or its name.")]


@app.command("ls")
def list_runs(
    kind: Annotated[
        str | None, typer.Option(help="'flow' or 'task'; default: flows and tasks outside of them.")
    ] = None,
    state: Annotated[str | None, typer.Option(help="A state, such as Failed.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of a run, flow or task.")] = None,
    deployment: Annotated[
        str | None, typer.Option(help="Only runs of this deployment: its name, or FLOW/NAME.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    json: Json = False,
) -> None:
    """List runs, newest first."""
    if kind is not None and kind not in list(RunKind):
        raise typer.BadParameter(f"--kind takes 'flow' or 'task', not {kind!r}")
    store = open_store()
    records = store.runs(
        kind=None if kind is None else RunKind(kind),
        state=state,
        name=name,
        deployment=deployment,
        limit=limit,
        outermost=kind is None and name is None,
    )
    if json:
        print_json([record_as_json(record) for record in records])
        return
    if not records:
        typer.echo(f"no runs in {store.folder}")
        return
    headings = ("run", "of", "kind", "state", "tasks", "duration", "created", "id")
    print_table(headings, [_row(record) for record in records])


@app.command()
def show(run: RunName, json: Json = False) -> None:
    """Show a run and the runs inside it."""
    store = open_store()
    record = store.find_run(run)
    family = store.family(record.id)
    if json:
        inner = [record_as_json(one) for one in family if one.id != record.id]
        print_json({**record_as_json(record), "runs": inner})
        return
    typer.echo(f"{record.label} of {record.spec_name!r}: {record.state_name}")
    order = store.order(record.id)
    of = store.deployments(ids=[order.deployment_id]) if order is not None else []
    folder = run_folder(store.folder, record.id)
    for label, text in (
        ("id", record.id),
        ("message", record.message),
        ("duration", seconds_text(record.seconds)),
        ("tries", str(record.run_count)),
        ("created", ago(record.created_at)),
        ("planned", iso(record.scheduled_at)),
        ("by", of[0].full_name if of else ""),
        ("files", str(folder) if folder.is_dir() else ""),
        ("tags", ", ".join(record.tags)),
        ("inputs", ", ".join(f"{name}={value!r}" for name, value in record.inputs.items())),
    ):
        if text:
            typer.echo(f"  {label:<9} {text}")
    if len(family) > 1:
        typer.echo("")
        headings = ("run", "of", "state", "tries", "duration", "message")
        print_table(
            headings,
            [
                (
                    one.name,
                    one.spec_name,
                    state_text(one),
                    str(one.run_count),
                    seconds_text(one.seconds),
                    one.message.partition("\n")[0],
                )
                for one in family[1:]
            ],
        )


@app.command()
def logs(
    run: RunName,
    level: Annotated[str, typer.Option(help="Lowest level shown.")] = "DEBUG",
    inner: Annotated[bool, typer.Option(help="Also the runs inside it.")] = True,
    json: Json = False,
) -> None:
    """Print what a run logged, with the states it entered."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise typer.BadParameter(f"--level takes DEBUG, INFO, WARNING or ERROR, not {level!r}")
    store = open_store()
    record = store.find_run(run)
    lines = store.lines(record.id, inner=inner, level=number)
    if json:
        print_json(
            [
                {
                    "at": iso(line.at),
                    "run_id": line.run_id,
                    "level": logging.getLevelName(line.level) if line.state_name is None else None,
                    "state": line.state_name,
                    "message": line.message,
                }
                for line in lines
            ]
        )
        return
    labels = {one.id: one.label for one in store.family(record.id)}
    for line in lines:
        loudness, told = told_of_line(labels.get(line.run_id, line.run_id), line)
        if loudness >= number:
            typer.echo(console_line(line.at, loudness, told))


@app.command()
def cancel(run: RunName) -> None:
    """End a run and all inside it, whichever process it runs in."""
    acting_on_run(run, "cancel")


@app.command()
def rm(
    runs: Annotated[list[str], typer.Argument(help="Ids or names of runs.")],
    force: Annotated[bool, typer.Option("--force", help="Also runs that have not ended.")] = False,
) -> None:
    """Delete runs with all inside them and the files they left. Kept results stay."""
    store = open_store()
    for run in runs:
        record = store.find_run(run)
        if not record.is_final and not force:
            typer.echo(f"{record.label} has not ended; cancel it first or add --force", err=True)
            raise typer.Exit(1)
        n = store.delete_run(record.id)
        delete_files(store.folder, record.id)
        typer.echo(f"deleted {record.label}" + (f" and {n - 1} runs inside it" if n > 1 else ""))


def _row(record: RunRecord) -> tuple[str, ...]:
    tasks = ", ".join(f"{n} {name.lower()}" for name, n in sorted(record.n_tasks.items()))
    return (
        record.name,
        record.spec_name,
        record.kind,
        state_text(record),
        tasks,
        seconds_text(record.seconds),
        ago(record.created_at),
        record.id,
    )

"""`nbflow cache ...`: the kept results, how often they were used, and dropping them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from nbflow.cli.shared import Json, ago, iso, open_store, print_json, print_table, seconds_text
from nbflow.errors import NbflowError
from nbflow.model.records import ResultRecord
from nbflow.results.results import Results
from nbflow.settings import load_settings
from nbflow.store.store import Store

app = typer.Typer(help="Kept results: list, rm, clear, prune.", invoke_without_command=True)

_FEWEST_DIGITS = 6  # of a key: fewer would often fit several


@app.callback()
def cache(context: typer.Context, json: Json = False) -> None:
    """List the kept results, newest first, unless a command says otherwise."""
    if context.invoked_subcommand is None:
        list_results(task=None, json=json)


@app.command("ls")
def list_results(
    task: Annotated[str | None, typer.Option("--task", help="Only those of this task.")] = None,
    json: Json = False,
) -> None:
    """List the kept results, newest first."""
    store = open_store()
    records = _results(store).entries(task)
    if json:
        print_json([_as_json(record) for record in records])
        return
    from nbflow.memo.visits import NEEDS  # a third of what other commands take to start

    records = [
        record
        for record in records
        if not record.key.endswith(NEEDS) and not record.key.startswith("notebook-")
    ]
    if not records:
        typer.echo(f"no kept results in {store.folder}")
        return
    headings = ("task", "size", "age", "hits", "saved", "key")
    print_table(headings, [_row(record) for record in records])


@app.command()
def rm(
    names: Annotated[
        list[str], typer.Argument(help="Names of tasks; keys, or their first digits.")
    ],
) -> None:
    """Drop the results of a task, or single ones. Their tasks run again when they are called."""
    results = _results(open_store())
    entries = results.entries()
    for name in names:
        if any(entry.task_name == name for entry in entries):
            dropped = results.forget(task_name=name)
        else:
            dropped = results.forget(key=_key(name, entries))
        _tell("dropped", *dropped, of=name)


@app.command()
def clear() -> None:
    """Drop every kept result."""
    _tell("dropped", *_results(open_store()).forget(all=True))


@app.command()
def prune() -> None:
    """Drop what has expired, what is over the limits of size and age, and left-over files."""
    _tell("pruned", *_results(open_store()).prune())


def _results(store: Store) -> Results:
    settings = load_settings()
    return Results(
        store,
        max_bytes=settings.cache_max_bytes,
        max_age_seconds=settings.cache_max_age_seconds,
    )


def _key(name: str, entries: list[ResultRecord]) -> str:
    keys = [entry.key for entry in entries if entry.key == name]
    if not keys and len(name) >= _FEWEST_DIGITS:
        keys = [entry.key for entry in entries if entry.key.startswith(name)]
    if not keys:
        raise NbflowError(
            f"no kept result of a task {name!r} or under such a key; list them with `nbflow cache`"
        )
    if len(keys) > 1:
        raise NbflowError(f"{name!r} fits {len(keys)} keys: {', '.join(keys[:3])}")
    return keys[0]


def _tell(verb: str, n: int, n_bytes: int, of: str = "") -> None:
    results = "1 result" if n == 1 else f"{n} results"
    named = f" of {of!r}" if of else ""
    typer.echo(f"{verb} {results}{named} ({size_text(n_bytes)})")


def _row(record: ResultRecord) -> tuple[str, ...]:
    return (
        record.task_name,
        size_text(record.size_bytes),
        ago(record.created_at),
        str(record.hits),
        seconds_text(record.seconds_saved) if record.hits else "",
        record.key,
    )


def _as_json(record: ResultRecord) -> dict[str, object]:
    times = {name: iso(getattr(record, name)) for name in ("created_at", "expires_at", "used_at")}
    return {**asdict(record), **times}


def size_text(n_bytes: float) -> str:
    """A size for people: `512 B`, `1.5 KB`, `2.1 GB`, in powers of 1000 as disks are sold."""
    if n_bytes < 1000:
        return f"{n_bytes:.0f} B"
    size, units = n_bytes / 1000, ["KB", "MB", "GB"]
    while size >= 999.5 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.1f} {units[0]}" if size < 10 else f"{size:.0f} {units[0]}"

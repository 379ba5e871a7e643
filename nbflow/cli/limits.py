"""`nbflow concurrency-limit ...`: how much may run at a time."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from nbflow.cli.shared import Json, open_store, print_json, print_table
from nbflow.errors import LimitNotFound

app = typer.Typer(
    help="Limits used by concurrency(), rate_limit() and tags of the same name.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="The limit's name.")]


@app.command()
def create(
    name: Name,
    slots: Annotated[int | None, typer.Argument(min=0, help="How many at a time.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-l", min=0, help="The same.")] = None,
    slot_decay_per_second: Annotated[
        float | None,
        typer.Option(min=1e-9, help="Slots that come free by themselves, for rate_limit()."),
    ] = None,
) -> None:
    """Create a limit, or change an existing one."""
    n = slots if slots is not None else limit
    if n is None:
        raise typer.BadParameter("say how many: nbflow concurrency-limit create NAME N")
    open_store().create_limit(name, n, slot_decay_per_second)
    typer.echo(f"concurrency limit {name!r}: {n} at a time")


@app.command("ls")
def list_limits(json: Json = False) -> None:
    """List the limits and what is taken of them."""
    records = open_store().limits()
    if json:
        print_json([asdict(record) for record in records])
        return
    rows = [
        (one.name, str(one.limit), str(one.n_active), f"{one.decay_per_second or ''}")
        for one in records
    ]
    if rows:
        print_table(("name", "limit", "taken", "decay per second"), rows)
    else:
        typer.echo(
            "no concurrency limits; create one with `nbflow concurrency-limit create NAME N`"
        )


@app.command()
def inspect(name: Name, json: Json = False) -> None:
    """Show a limit and the runs that hold it."""
    found = open_store().limits(name)
    if not found:
        raise LimitNotFound(name)
    limit = found[0]
    if json:
        print_json(asdict(limit))
        return
    typer.echo(f"{limit.name}: {limit.n_active} of {limit.limit} taken")
    for run_id, slots in limit.holders:
        typer.echo(f"  {slots} by {run_id or 'code outside of runs'}")


@app.command()
def delete(name: Name) -> None:
    """Delete a limit."""
    open_store().delete_limit(name)
    typer.echo(f"deleted concurrency limit {name!r}")

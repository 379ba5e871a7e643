"""`nbflow work-pool ...`: where deployments wait for workers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from nbflow.cli.shared import Json, ago, iso, open_store, print_json, print_table
from nbflow.model.deployments import PoolRecord
from nbflow.store.store import Store

app = typer.Typer(
    help="Work pools: create, ls, inspect, pause, resume, limits, delete.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="The work pool's name.")]


@app.command()
def create(
    name: Name,
    kind: Annotated[
        str,
        typer.Option(
            "--type",
            "-t",
            metavar="process|notebook",
            help="process: each run in a process of its own. notebook: notebooks only.",
        ),
    ] = "process",
    limit: Annotated[
        int | None,
        typer.Option("--limit", "--concurrency-limit", min=0, help="Runs at a time, in all."),
    ] = None,
    paused: Annotated[
        bool, typer.Option("--paused", help="Begin no runs before `resume`.")
    ] = False,
) -> None:
    """Create a work pool. One of the same name and type stays as it is."""
    from nbflow.deploy import pool_types

    pool_types.find(kind)
    store = open_store()
    store.create_pool(name, kind, limit)
    if paused:
        store.pause_pool(name, True)
    typer.echo(
        f"work pool {name!r} of type {kind}; start a worker: nbflow worker start --pool {name}"
    )


@app.command("ls")
def list_pools(json: Json = False) -> None:
    """List the work pools with what waits and runs in them."""
    store = open_store()
    pools = store.pools()
    workers = _workers(store)
    if json:
        print_json([_as_json(one, workers.get(one.name, 0)) for one in pools])
        return
    if not pools:
        typer.echo("no work pools; create one with `nbflow work-pool create --type process NAME`")
        return
    headings = ("pool", "type", "state", "limit", "workers", "waiting", "running")
    print_table(headings, [_row(one, workers.get(one.name, 0)) for one in pools])


@app.command()
def inspect(name: Name, json: Json = False) -> None:
    """Show a work pool, its workers and the deployments that it runs."""
    store = open_store()
    pool = store.find_pool(name)
    workers = [one for one in store.workers(name) if one.is_alive]
    deployments = [one.full_name for one in store.deployments(pool=name)]
    if json:
        names = [one.name for one in workers]
        told = _as_json(pool, len(workers))
        print_json({**told, "workers": names, "deployments": deployments})
        return
    typer.echo(f"work pool {pool.name!r} of type {pool.kind}: {_state(pool)}")
    for label, text in (
        ("limit", "none" if pool.concurrency_limit is None else str(pool.concurrency_limit)),
        ("waiting", str(pool.n_waiting)),
        ("running", str(pool.n_running)),
        ("created", ago(pool.created_at)),
        ("workers", ", ".join(f"{one.name} (pid {one.pid})" for one in workers) or "none"),
        ("deployed", ", ".join(deployments) or "nothing"),
    ):
        typer.echo(f"  {label:<9} {text}")


@app.command()
def pause(name: Name) -> None:
    """Begin no more runs of a work pool. Those that run go on."""
    open_store().pause_pool(name, True)
    typer.echo(f"work pool {name!r} is paused")


@app.command()
def resume(name: Name) -> None:
    """Begin the runs of a work pool again."""
    open_store().pause_pool(name, False)
    typer.echo(f"work pool {name!r} goes on")


@app.command()
def set_concurrency_limit(
    name: Name, limit: Annotated[int, typer.Argument(min=0, help="Runs at a time.")]
) -> None:
    """Let no more than so many runs of a work pool run at a time, whatever number of workers."""
    open_store().limit_pool(name, limit)
    typer.echo(f"work pool {name!r}: {limit} at a time")


@app.command()
def clear_concurrency_limit(name: Name) -> None:
    """Let any number of runs of a work pool run at a time."""
    open_store().limit_pool(name, None)
    typer.echo(f"work pool {name!r}: any number at a time")


@app.command()
def delete(name: Name) -> None:
    """Delete a work pool. Its deployments stay, and nobody runs them."""
    store = open_store()
    deployments = store.deployments(pool=name)
    store.delete_pool(name)
    typer.echo(f"deleted work pool {name!r}")
    if deployments:
        names = ", ".join(one.full_name for one in deployments)
        typer.echo(f"nobody runs any more: {names}; deploy them to another pool", err=True)


def _workers(store: Store) -> dict[str, int]:
    found: dict[str, int] = {}
    for worker in store.workers():
        if worker.is_alive:
            found[worker.pool] = found.get(worker.pool, 0) + 1
    return found


def _state(pool: PoolRecord) -> str:
    return "paused" if pool.is_paused else "ready"


def _row(pool: PoolRecord, n_workers: int) -> tuple[str, ...]:
    limit = "" if pool.concurrency_limit is None else str(pool.concurrency_limit)
    numbers = (n_workers, pool.n_waiting, pool.n_running)
    return (pool.name, pool.kind, _state(pool), limit, *map(str, numbers))


def _as_json(pool: PoolRecord, n_workers: int) -> dict[str, object]:
    told = {**asdict(pool), "created_at": iso(pool.created_at), "n_workers": n_workers}
    told["type"] = told.pop("kind")
    return told

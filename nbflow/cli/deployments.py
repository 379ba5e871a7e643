"""`nbflow deployment ...`: looking at deployments and running them."""

from __future__ import annotations

import sys
import time
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import Annotated, Any

import typer

from nbflow.cli.parameters import Parameters, parse_parameters
from nbflow.cli.shared import (
    Json,
    ago,
    iso,
    open_store,
    print_json,
    print_table,
    record_as_json,
)
from nbflow.model.deployments import DeploymentRecord
from nbflow.model.schedules import ScheduleRecord
from nbflow.store.store import Store

app = typer.Typer(help="Deployments: ls, inspect, run, pause, resume, rm.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="FLOW/NAME", help="The deployment.")]
_N_RUNS = 5


@app.command("ls")
def list_deployments(
    pool: Annotated[str | None, typer.Option("--pool", help="Only those of this pool.")] = None,
    json: Json = False,
) -> None:
    """List the deployments with their schedules and who runs them."""
    from nbflow.scheduling.runners import Runners
    from nbflow.scheduling.telling import next_text, runner_text, words

    store = open_store()
    deployments = store.deployments(pool=pool)
    schedules = _schedules(store, deployments)
    if json:
        print_json([as_json(one, schedules.get(one.id, [])) for one in deployments])
        return
    if not deployments:
        typer.echo("no deployments; make one with `nbflow deploy TARGET --name NAME --pool POOL`")
        return
    now, runners, rows = time.time(), Runners(store), []
    for one in deployments:
        own = schedules.get(one.id, [])
        when = "; ".join(words(schedule) for schedule in own)
        following = ", ".join(next_text(schedule, now, is_paused=one.is_paused) for schedule in own)
        rows.append((one.full_name, one.kind.value, runner_text(one, runners), when, following))
    print_table(("deployment", "kind", "run by", "schedules", "next"), rows)


@app.command()
def inspect(name: Name, json: Json = False) -> None:
    """Show a deployment, its schedules and its last runs."""
    from nbflow.scheduling.runners import Runners
    from nbflow.scheduling.telling import run_text, runner_text, schedule_text
    from nbflow.triggers.texts import local_zone_name

    store = open_store()
    one = store.find_deployment(name)
    schedules = store.schedules(deployment_ids=[one.id])
    runs = [run for _, run in store.orders(deployment_id=one.id, limit=_N_RUNS)]
    if json:
        told = as_json(one, schedules)
        print_json({**told, "runs": [record_as_json(run) for run in runs]})
        return
    runners = Runners(store)
    typer.echo(f"{one.full_name}: {one.description or one.kind.value}".partition("\n")[0])
    parameters = ", ".join(f"{name}={value!r}" for name, value in one.parameters.items())
    limit = "" if one.concurrency_limit is None else f"{one.concurrency_limit} run(s) at a time"
    for label, text in (
        ("runs", f"{one.kind.value} {one.target}"),
        ("by", runner_text(one, runners)),
        ("in", one.folder),
        ("with", parameters),
        ("tags", ", ".join(one.tags)),
        ("version", one.version or ""),
        ("limit", limit),
        ("retries", str(one.retries or "")),
        ("deployed", ago(one.updated_at)),
    ):
        if text:
            typer.echo(f"  {label:<9} {text}")
    now, zone = time.time(), local_zone_name()
    for schedule in schedules:
        found = [run for _, run in store.orders(schedule_id=schedule.id, limit=_N_RUNS)]
        typer.echo("\n" + schedule_text(schedule, one, found, now, runners))
    typer.echo("\nlast runs" if runs else "\nno runs yet")
    for run in runs:
        typer.echo(f"  {run_text(run, zone)}")


@app.command()
def run(
    name: Name,
    param: Parameters = None,
    at: Annotated[
        str | None,
        typer.Option("--at", "--start-at", metavar="WHEN", help="Not before 2026-12-24T18:00."),
    ] = None,
    run_name: Annotated[
        str | None, typer.Option("--run-name", "--flow-run-name", help="Name of the run.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", "-t", help="A tag of the run; may be repeated.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show the run as it goes, until it has ended.")
    ] = False,
    json: Json = False,
) -> None:
    """Have a deployment run once, by its worker or by the process that serves it."""
    from nbflow.deploy.checking import check_run
    from nbflow.deployments import order_run

    store = open_store()
    parameters = parse_parameters(param or [])
    if parameters:  # else its own, which were looked at when it was deployed
        with redirect_stdout(sys.stderr):  # what the script prints when it is imported is no answer
            check_run(store.find_deployment(name), parameters)
    order = order_run(
        store,
        name,
        parameters,
        scheduled_time=at,
        flow_run_name=run_name,
        tags=tag,
        waits=watch,
    )
    if watch:
        from nbflow.cli.watching import watch_run

        raise typer.Exit(watch_run(order.run_id, json=json))
    if json:
        print_json(record_as_json(store.find_run(order.run_id)))
    else:
        typer.echo(
            f"asked for run {order.run_name!r} ({order.run_id}); "
            f"nbflow runs show {order.run_name} tells how it goes"
        )


@app.command()
def pause(name: Name) -> None:
    """Begin no runs of a deployment and fire none of its schedules. What runs goes on."""
    store = open_store()
    one = store.find_deployment(name)
    store.pause_deployment(one.id, True)
    typer.echo(f"{one.full_name} is paused")


@app.command()
def resume(name: Name) -> None:
    """Let a deployment run and fire again, from now on."""
    store = open_store()
    from nbflow.scheduling.telling import times_from_now

    one = store.find_deployment(name)
    next_at = times_from_now(store.schedules(deployment_ids=[one.id]), time.time())
    store.pause_deployment(one.id, False, next_at=next_at)
    typer.echo(f"{one.full_name} goes on")


@app.command("rm")
def remove(
    names: Annotated[list[str], typer.Argument(metavar="FLOW/NAME...", help="The deployments.")],
) -> None:
    """Delete deployments with their schedules and waiting runs. Runs that were begun stay."""
    store = open_store()
    for name in names:
        one = store.find_deployment(name)
        store.delete_deployment(one.id)
        typer.echo(f"deleted {one.full_name}")


app.command("delete", hidden=True)(remove)  # the name Prefect's users know


def as_json(one: DeploymentRecord, schedules: list[ScheduleRecord]) -> dict[str, Any]:
    """A deployment as `--json` gives it, without its snapshot and where notices go."""
    from nbflow.cli.schedules import schedule_as_json

    told = {key: value for key, value in asdict(one).items() if key not in ("snapshot", "notify")}
    return {
        **told,
        "full_name": one.full_name,
        "notifies": bool(one.notify),
        "created_at": iso(one.created_at),
        "updated_at": iso(one.updated_at),
        "schedules": [schedule_as_json(schedule, one) for schedule in schedules],
    }


def _schedules(
    store: Store, deployments: list[DeploymentRecord]
) -> dict[str, list[ScheduleRecord]]:
    found: dict[str, list[ScheduleRecord]] = {}
    for one in store.schedules(deployment_ids=[one.id for one in deployments]):
        found.setdefault(one.deployment_id, []).append(one)
    return found

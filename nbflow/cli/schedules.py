"""`nbflow schedule ...`: when deployments run by themselves."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer

from nbflow.cli import schedule_options as options
from nbflow.cli.parameters import Parameters, parse_parameters
from nbflow.cli.shared import Json, iso, open_store, print_json, print_table
from nbflow.model.deployments import DeploymentRecord
from nbflow.model.schedules import ScheduleRecord, ScheduleSpec
from nbflow.store.store import Store

app = typer.Typer(
    help="Schedules: ls, create, inspect, pause, resume, trigger, delete.", no_args_is_help=True
)

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="The schedule's name, FLOW/DEPLOYMENT/SCHEDULE, or its deployment."
    ),
]
_N_RUNS = 5


@app.command("ls")
def list_schedules(
    deployment: Annotated[
        str | None, typer.Argument(metavar="[FLOW/NAME]", help="Only those of this deployment.")
    ] = None,
    json: Json = False,
) -> None:
    """List the schedules with their next fire times and who runs them."""
    from nbflow.scheduling.runners import Runners
    from nbflow.scheduling.telling import next_text, runner_text, words

    store = open_store()
    wanted = [store.find_deployment(deployment)] if deployment else store.deployments()
    by_id = {one.id: one for one in wanted}
    schedules = store.schedules(deployment_ids=list(by_id))
    if json:
        print_json([schedule_as_json(one, by_id[one.deployment_id]) for one in schedules])
        return
    if not schedules:
        typer.echo(
            "no schedules; make one with `nbflow schedule create FLOW/NAME --cron '0 8 * * *'`"
        )
        return
    now, runners, rows = time.time(), Runners(store), []
    for one in schedules:
        of = by_id[one.deployment_id]
        following = next_text(one, now, is_paused=of.is_paused)
        rows.append((one.name, of.full_name, words(one), following, runner_text(of, runners)))
    print_table(("schedule", "deployment", "fires", "next", "run by"), rows)


@app.command()
def inspect(name: Name, json: Json = False) -> None:
    """Show a schedule in words, its next five fire times and its last runs."""
    store = open_store()
    one = store.find_schedule(name)
    if json:
        print_json(schedule_as_json(one, _deployment(store, one)))
    else:
        _show(store, one)


@app.command()
def create(
    deployment: Annotated[
        str, typer.Argument(metavar="FLOW/NAME", help="The deployment that it runs.")
    ],
    cron: options.Cron = None,
    every: options.Every = None,
    at: options.At = None,
    rrule: options.RRule = None,
    on_change: options.OnChange = None,
    after: options.After = None,
    tz: options.Zone = None,
    name: Annotated[
        str | None,
        typer.Option("--name", "-n", help="Its name; default: the deployment's, with a number."),
    ] = None,
    param: Parameters = None,
    catch_up: options.CatchUp = None,
    overlap: options.Overlap = None,
    jitter: options.Jitter = None,
    until: options.Until = None,
) -> None:
    """Give a deployment one more schedule, or another one of the same name."""
    store = open_store()
    of = store.find_deployment(deployment)
    schedule = options.schedule_of(
        cron=cron,
        interval=every,
        at=at,
        rrule=rrule,
        on_change=on_change,
        after=after,
        timezone=tz,
        catch_up=catch_up,
        overlap=overlap,
        jitter=jitter,
        until=until,
        name=name,
    )
    if schedule is None:
        raise typer.BadParameter("say when: --cron, --every, --at, --rrule, --on-change or --after")
    from nbflow.deploy.checking import check_run

    schedule = replace(schedule, parameters=parse_parameters(param or []))
    check_run(of, schedule.parameters)
    others = {one.name: _spec(one) for one in store.schedules(deployment_ids=[of.id])}
    spec = schedule.spec(_free_name(of.name, set(others)), time.time())
    store.put_deployment(of, list({**others, spec.name: spec}.values()))
    _show(store, store.find_schedule(f"{of.full_name}/{spec.name}"))


@app.command()
def pause(name: Name) -> None:
    """Fire a schedule no more until it is resumed. Fire times meanwhile are nobody's loss."""
    store = open_store()
    one = store.find_schedule(name)
    store.pause_schedule(one.id, True)
    typer.echo(f"schedule {one.name!r} is paused")


@app.command()
def resume(name: Name) -> None:
    """Fire a paused schedule again, from now on."""
    store = open_store()
    one = store.find_schedule(name)
    from nbflow.scheduling.telling import next_text, times_from_now

    next_at = times_from_now([one], time.time())[one.id]
    store.pause_schedule(one.id, False, next_at=next_at)
    of = _deployment(store, one)
    following = next_text(replace(one, is_active=True), time.time(), is_paused=of.is_paused)
    typer.echo(f"schedule {one.name!r} goes on, next: {following}")


@app.command()
def trigger(name: Name, param: Parameters = None) -> None:
    """Have a schedule's deployment run once now, with the schedule's parameters."""
    from nbflow.deploy.checking import check_run
    from nbflow.deployments import order_run

    store = open_store()
    one = store.find_schedule(name)
    parameters = parse_parameters(param or [])
    if parameters:
        check_run(_deployment(store, one), {**one.parameters, **parameters})
    order = order_run(store, one.deployment_id, parameters, schedule_id=one.id)
    typer.echo(f"asked for run {order.run_name!r} ({order.run_id})")


@app.command()
def delete(name: Name) -> None:
    """Delete a schedule. Its deployment and its runs stay."""
    store = open_store()
    one = store.find_schedule(name)
    store.delete_schedule(one.id)
    typer.echo(f"deleted schedule {one.name!r}")


app.command("rm", hidden=True)(delete)


def schedule_as_json(one: ScheduleRecord, of: DeploymentRecord) -> dict[str, Any]:
    """A schedule as `--json` gives it, with its next five fire times in UTC."""
    from nbflow.scheduling.telling import next_fire_times, words

    times = next_fire_times(one, time.time(), is_paused=of.is_paused)
    dates = {key: iso(getattr(one, key)) for key in ("until_at", "created_at", "updated_at")}
    told = {key: value for key, value in asdict(one).items() if key != "next_at"}
    next_times = [iso(at) for at in times]
    return {
        **told,
        **dates,
        "deployment": of.full_name,
        "words": words(one),
        "next_times": next_times,
    }


def _show(store: Store, one: ScheduleRecord) -> None:
    from nbflow.scheduling.runners import Runners
    from nbflow.scheduling.telling import schedule_text

    runs = [run for _, run in store.orders(schedule_id=one.id, limit=_N_RUNS)]
    told = schedule_text(one, _deployment(store, one), runs, time.time(), Runners(store))
    typer.echo(told)


def _deployment(store: Store, one: ScheduleRecord) -> DeploymentRecord:
    return store.deployments(ids=[one.deployment_id])[0]


def _spec(one: ScheduleRecord) -> ScheduleSpec:
    """A schedule that there is, to be declared again as it is."""
    return ScheduleSpec(
        name=one.name,
        trigger=one.trigger,
        first_at=one.next_at,
        parameters=one.parameters,
        catch_up=one.catch_up,
        overlap=one.overlap,
        jitter_seconds=one.jitter_seconds,
        until_at=one.until_at,
        is_active=one.is_active,
    )


def _free_name(name: str, taken: set[str]) -> str:
    n = 1
    while (free := name if n == 1 else f"{name}-{n}") in taken:
        n += 1
    return free

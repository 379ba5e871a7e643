"""`nbflow deploy`: a flow of a script, or a notebook, for the workers of a work pool."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nbflow.cli import schedule_options as options
from nbflow.cli.parameters import Parameters, parse_parameters
from nbflow.cli.shared import showing_traceback

if TYPE_CHECKING:
    from nbflow.flows import Flow
    from nbflow.schedules import Schedule
    from nbflow.scheduling.declaring import Deployment


def deploy(
    target: Annotated[str, typer.Argument(help="A notebook, or file.py:flow.")],
    name: Annotated[
        str, typer.Option("--name", "-n", help="The deployment's name, such as daily.")
    ],
    pool: Annotated[
        str, typer.Option("--pool", "--work-pool", help="The work pool whose workers run it.")
    ],
    cron: options.Cron = None,
    every: options.Every = None,
    at: options.At = None,
    rrule: options.RRule = None,
    on_change: options.OnChange = None,
    after: options.After = None,
    tz: options.Zone = None,
    catch_up: options.CatchUp = None,
    overlap: options.Overlap = None,
    jitter: options.Jitter = None,
    until: options.Until = None,
    param: Parameters = None,
    params: Annotated[
        str | None, typer.Option("--params", metavar="JSON", help="Parameters as one JSON object.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", "-t", help="A tag of its runs; may be repeated.")
    ] = None,
    notify: Annotated[
        list[str] | None,
        typer.Option(
            "--notify",
            metavar="URL",
            help="Tell of failure, recovery and lateness there (apprise); may be repeated.",
        ),
    ] = None,
    autotask: Annotated[
        bool, typer.Option("--autotask", help="Of a notebook: reuse what cells left before.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option("--limit", "--concurrency-limit", min=1, help="Runs at a time."),
    ] = None,
    retries: Annotated[
        int | None,
        typer.Option(
            "--retries",
            min=0,
            help="How often a run whose process dies is run again; default: the flow's retries.",
        ),
    ] = None,
    description: Annotated[
        str | None, typer.Option("--description", "-d", help="For people; default: the flow's.")
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", "-v", help="Any text; default: the flow's.")
    ] = None,
    paused: Annotated[
        bool, typer.Option("--paused", help="Run nothing of it before it is resumed.")
    ] = False,
) -> None:
    """Have the workers of a work pool run a flow or a notebook, by a schedule or when asked.

    A flow of a file is read anew for each run; a notebook is kept as it is now.
    """
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
    )
    given: dict[str, Any] = {
        "schedules": [] if schedule is None else [schedule],
        "parameters": {**_object(params), **parse_parameters(param or [])},
        "tags": tag,
        "notify": _checked(notify),
        "concurrency_limit": limit,
        "description": description,
        "version": version,
        "paused": True if paused else None,
        "work_pool_name": pool,
    }
    if target.endswith(".ipynb"):
        deployment = _of_notebook(target, name, autotask=autotask, retries=retries or 0, **given)
    elif autotask:
        raise typer.BadParameter("--autotask is for notebooks")
    else:
        deployment = _of_script(target, name, retries=retries, **given)
    from nbflow import deployments

    deployments.deploy(deployment)


def _of_notebook(
    target: str, name: str, *, schedules: Sequence[Schedule], parameters: Any, **given: Any
) -> Deployment:
    import nbformat

    from nbflow.deploy.checking import check_names
    from nbflow.deploy.notebooks import read_notebook, with_parameters
    from nbflow.scheduling.declaring import declare_notebook

    notebook = read_notebook(Path(target))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    text = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    for one in (parameters, *(schedule.parameters for schedule in schedules)):
        with_parameters(notebook, one)  # refuses what could not be written into it
        check_names(Path(target).stem, text, one)
    return declare_notebook(
        target,
        text,
        name,
        schedules=schedules,
        parameters=parameters,
        **given,
    )


def _of_script(target: str, name: str, **given: Any) -> Deployment:
    from nbflow.deploy.scripts import load_flow
    from nbflow.scheduling.declaring import declare

    file = os.path.abspath(target.partition(":")[0])
    flows: list[Flow[..., Any]] = []
    if code := showing_traceback(lambda: flows.append(load_flow(target)), file):
        raise typer.Exit(code)
    flow = flows[0]
    names = [key for key, value in vars(sys.modules[Path(file).stem]).items() if value is flow]
    return declare(flow, name, target=f"{file}:{names[0]}", place=file, **given)


def _checked(addresses: list[str] | None) -> list[str] | None:
    if not addresses:
        return None
    from nbflow.scheduling.addresses import check_addresses

    return list(check_addresses(addresses))


def _object(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"--params is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise typer.BadParameter("""--params takes a JSON object such as '{"n": 3}'""")
    return found

"""The commands and what they have in common."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

import nbflow
from nbflow.cli import (
    cache,
    deploying,
    deployments,
    doctor,
    limits,
    pools,
    runs,
    schedules,
    workers,
)
from nbflow.cli.parameters import Parameters, parse_parameters
from nbflow.cli.shared import acting_on_run
from nbflow.errors import NbflowError

app = typer.Typer(
    help="Notebooks and Python functions as tracked workflows; no server, no account.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(runs.app, name="runs")
app.add_typer(cache.app, name="cache")
app.add_typer(limits.app, name="concurrency-limit")
app.add_typer(limits.app, name="gcl", hidden=True)  # the other name Prefect's users know
app.command()(deploying.deploy)
app.add_typer(deployments.app, name="deployment")
app.add_typer(schedules.app, name="schedule")
app.add_typer(pools.app, name="work-pool")
app.add_typer(workers.app, name="worker")


@app.command()
def run(
    target: Annotated[str, typer.Argument(help="A notebook, or file.py:flow.")],
    param: Parameters = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="Where the executed notebook goes.")
    ] = None,
    autotask: Annotated[
        bool,
        typer.Option("--autotask", help="Reuse what cells left before, where that is safe."),
    ] = False,
    allow_errors: Annotated[
        bool, typer.Option("--allow-errors", help="Go on after cells that raise.")
    ] = False,
) -> None:
    """Run a notebook in a fresh kernel, or a flow of a Python file."""
    parameters = parse_parameters(param or [])
    if target.partition(":")[0].endswith(".ipynb"):
        from nbflow.cli.notebook_run import run_and_show

        code = run_and_show(
            target, parameters, output, autotask=autotask, allow_errors=allow_errors
        )
    else:
        if output is not None:
            raise typer.BadParameter("--output is for notebooks; a flow writes none")
        if autotask or allow_errors:
            raise typer.BadParameter("--autotask and --allow-errors are for notebooks")
        code = _run_flow(target, parameters)
    raise typer.Exit(code)


@app.command()
def cancel(
    run: Annotated[str, typer.Argument(help="A run's id, its first digits, or name.")],
) -> None:
    """End a run and all inside it, whichever process it runs in."""
    acting_on_run(run, "cancel")


@app.command()
def pause(run: Annotated[str, typer.Argument(help="A flow run's id or name.")]) -> None:
    """Let a flow run begin no more tasks."""
    acting_on_run(run, "pause")


@app.command()
def resume(run: Annotated[str, typer.Argument(help="A flow run's id or name.")]) -> None:
    """Let a paused flow run go on, or start a failed one again from what it had completed."""
    from nbflow.cli.resumption import resume_and_show

    raise typer.Exit(resume_and_show(run))


app.command()(doctor.doctor)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(nbflow.__version__)


def _run_flow(target: str, parameters: dict[str, Any]) -> int:
    from nbflow.cli.shared import showing_traceback
    from nbflow.deploy.scripts import run_script

    return showing_traceback(lambda: run_script(target, parameters), target.partition(":")[0])


def main() -> None:
    """The console script. Errors of nbflow's own are one line on stderr and exit code 1."""
    try:
        app()
    except NbflowError as error:
        sys.stderr.write(f"nbflow: {error}\n")
        sys.exit(1)
    except BrokenPipeError:  # `nbflow runs ls | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


if __name__ == "__main__":
    main()

"""The commands and what they have in common."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated, Any

import typer

import nbflow
from nbflow.cli import cache, limits, runs
from nbflow.cli.shared import acting_on_run
from nbflow.console import users_traceback
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

Parameters = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", metavar="NAME=VALUE", help="A parameter; may be repeated."),
]


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
    """Let a paused flow run go on."""
    acting_on_run(run, "resume")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(nbflow.__version__)


def parse_parameters(given: list[str]) -> dict[str, Any]:
    """`["n=3", "name=x"]` as {"n": 3, "name": "x"}: JSON where it is, else text.

    Raises:
        typer.BadParameter: One is not of the form NAME=VALUE.
    """
    parameters: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise typer.BadParameter(f"{text!r} is not of the form NAME=VALUE")
        try:
            parameters[name] = json.loads(value, parse_constant=_refuse)
        except ValueError:
            parameters[name] = value
    return parameters


def _refuse(constant: str) -> None:
    """NaN and Infinity are not JSON, whatever Python's module says."""
    raise ValueError(constant)


def _run_flow(target: str, parameters: dict[str, Any]) -> int:
    import traceback

    from nbflow.deploy.scripts import load_flow

    try:
        load_flow(target)(**parameters)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        script = os.path.abspath(target.partition(":")[0])
        trace = users_traceback(error, script)
        if trace is None and isinstance(error, NbflowError):
            raise  # not of the script's making: wrong parameters, no such flow
        traceback.print_exception(type(error), error, trace)
        return 1
    return 0


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

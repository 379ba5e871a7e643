"""`nbflow doctor`: what there is, and what is wrong with it."""

from __future__ import annotations

import typer

from nbflow.cli.shared import Json, print_json


def doctor(json: Json = False) -> None:
    """Say what nbflow finds here, problems first. Exit code 1 if there are any."""
    from nbflow.doctor import examine

    examination = examine()
    if json:
        print_json(examination.as_json())
    else:
        typer.echo(examination.text())
    raise typer.Exit(1 if examination.problems else 0)

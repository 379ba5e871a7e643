"""Parameters as they are written on the command line."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

Parameters = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", metavar="NAME=VALUE", help="A parameter; may be repeated."),
]


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

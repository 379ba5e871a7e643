"""Magic lines: parsed by `magic_arguments`, with help and advice where those fall short."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError
from IPython.utils.process import arg_split  # type: ignore[attr-defined]


def parse(magic: Callable[..., Any], line: str, *, is_line: bool = False) -> Any | None:
    """The options on a magic's line; None: help was asked for and has been shown.

    Args:
        is_line: Whether it is a line magic, for the usage.

    Raises:
        UsageError: In one line, with the option that was probably meant.
    """
    parser: argparse.ArgumentParser = magic.parser  # type: ignore[attr-defined]
    if {"-h", "--help"}.intersection(_words(line)):
        _, blank, rest = parser.format_help().partition("\n\n")[2].partition("\n\n")
        print(f"{_usage(parser, is_line=is_line)}{blank}{rest}")  # noqa: T201  (the answer to --help)
        return None
    parser.allow_abbrev = False  # `--de x` would delete
    try:
        return parser.parse_intermixed_args(_words(line))
    except UsageError as error:
        usage = _usage(parser, is_line=is_line)
        raise UsageError(f"{error}{_advice(parser, line)}\n{usage}") from None


def options_of(magic: Callable[..., Any]) -> dict[str, str]:
    """Every option of a magic with its help."""
    parser: argparse.ArgumentParser = magic.parser  # type: ignore[attr-defined]
    return {
        option: action.help or ""
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--")
    }


def names(text: str | None) -> tuple[str, ...]:
    """`"a, b"` as ("a", "b")."""
    return tuple(part for part in (text or "").replace(",", " ").split() if part)


def seconds(text: str) -> float:
    """A number of seconds above 0, for `argparse`."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def period(text: str) -> float:
    """`"90"`, `"30m"`, `"1h"`, `"2d"` as seconds, for `argparse`."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    try:
        value = float(number) * _UNITS[unit]
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90, 30m, 1h or 2d")
    return value


def delays(text: str) -> list[float]:
    """`"1,2,4"` as [1.0, 2.0, 4.0], for `argparse`."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not seconds such as 10 or 1,2,4") from None
    if not all(0 <= value < float("inf") for value in values):
        raise argparse.ArgumentTypeError(f"{text!r} has a wait that is not 0 seconds or more")
    return values


def count(text: str) -> int:
    """A whole number from 0 on, for `argparse`."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _advice(parser: argparse.ArgumentParser, line: str) -> str:
    known = [option for action in parser._actions for option in action.option_strings]
    for word in _words(line):
        option = word.partition("=")[0]
        if option.startswith("-") and option not in known:
            near = difflib.get_close_matches(option, known, n=1, cutoff=0.5)
            if near:
                return f"; did you mean {near[0]}?"
    return ""


def _usage(parser: argparse.ArgumentParser, *, is_line: bool) -> str:
    # IPython's own begins with `::`, for documents, and knows only one percent sign.
    usage = " ".join(parser.format_usage().replace("::", "", 1).split())
    return f"Usage: {'%' if is_line else '%%'}{usage.lstrip('%')}"


def _words(line: str) -> list[str]:
    try:
        return list(arg_split(line, strict=False))
    except ValueError:  # an open quote
        return line.split()

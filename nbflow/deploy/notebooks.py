"""A notebook as a flow run: each `%%task` cell of it one task run, in a fresh kernel."""

from __future__ import annotations

import ast
import keyword
import os
import secrets
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nbformat import NotebookNode, from_dict, read, write
from nbformat.v4 import new_code_cell
from nbformat.warnings import MissingIDFieldWarning

from nbflow import wiring
from nbflow.context import running
from nbflow.deploy.notebook_client import CellRunner, Obtained, Progress
from nbflow.errors import NbflowError, NotebookFailed
from nbflow.flows import Flow
from nbflow.settings import child_environment

_PARAMETERS, _INJECTED = "parameters", "injected-parameters"


def read_notebook(path: Path) -> NotebookNode:
    """A notebook from a file, in the newest format.

    Raises:
        NbflowError: There is none, or it is not a notebook.
    """
    try:
        with warnings.catch_warnings():
            # The copy gets the ids that the notebook has not: nobody needs to hear of it.
            warnings.simplefilter("ignore", MissingIDFieldWarning)
            return read(path, as_version=4)
    except FileNotFoundError:
        raise NbflowError(f"there is no notebook {path}") from None
    except IsADirectoryError:
        raise NbflowError(f"{path} is a folder; give the path of a notebook in it") from None
    except Exception as error:
        raise NbflowError(f"{path} is not a notebook that can be read: {error}") from None


def with_parameters(notebook: NotebookNode, parameters: Mapping[str, Any]) -> NotebookNode:
    """The notebook with a cell that sets the parameters.

    It comes after the cell tagged `parameters`, which holds the defaults, or else first; one that
    an earlier run put there is replaced.

    Raises:
        NbflowError: One has no name or value that could be written in Python.
    """
    if not parameters:
        return notebook
    for name, value in parameters.items():
        _check_parameter(name, value)
    lines = ["# Parameters", *(f"{name} = {value!r}" for name, value in parameters.items())]
    cell = new_code_cell("\n".join(lines), metadata={"tags": [_INJECTED]})
    cells = [one for one in notebook.cells if _INJECTED not in one.metadata.get("tags", [])]
    place = next(
        (n + 1 for n, one in enumerate(cells) if _PARAMETERS in one.metadata.get("tags", [])), 0
    )
    return from_dict({**notebook, "cells": [*cells[:place], cell, *cells[place:]]})


def run_notebook(
    path: Path,
    *,
    parameters: Mapping[str, Any] | None = None,
    output: Path | None = None,
    autotask: bool = False,
    allow_errors: bool = False,
    progress: Progress = lambda _: None,
    obtained: Obtained = lambda _place, _facts: None,
    began: Callable[[str], object] = lambda _: None,
) -> Path:
    """Run a notebook in a fresh kernel as a flow run; gives the path of the executed copy.

    Blocks. The copy is written as the cells end, half a second late at most, under a temporary name
    and then renamed, so that it is whole whenever it is looked at.

    Args:
        parameters: Values for the names of its `parameters` cell, or for new ones.
        output: Where the copy goes; default: beside the notebook, as NAME.executed.ipynb.
        autotask: Make every cell a task, as `%autotask on` does: one whose source and inputs are
            as they were is not run again, where that is safe. How each cell was obtained is
            in the copy's cell metadata: `nbflow: {status, reason, seconds, key}`.
        allow_errors: Go on after cells that raise. The flow run is Failed all the same.
        progress: Called before each code cell.
        obtained: Called after each code cell that failed or told how it was obtained.
        began: Called with the id of the flow run.

    Raises:
        NotebookFailed: A cell raised, and errors are not allowed; names it.
        NbflowError: The notebook cannot be read, or its kernel died.
    """
    notebook = with_parameters(read_notebook(path), parameters or {})
    target = output or executed_copy(path)
    runner = CellRunner(
        notebook,
        path.parent,
        autotask=autotask,
        allow_errors=allow_errors,
        save=lambda: _write(notebook, target),
        progress=progress,
        obtained=obtained,
    )

    def execute(**_parameters: Any) -> Path:
        context = running("run_notebook()")
        began(context.run.id)
        environment = child_environment(
            home=str(wiring.current().store.folder),
            parent_run=context.run.id,
            notebook=str(path.resolve()),
        )
        runner.run(environment)
        return target

    flow: Flow[..., Path] = Flow(execute, name=path.stem, validate_parameters=False)
    try:
        return flow(**dict(parameters or {}))
    except NotebookFailed:
        if not allow_errors:
            raise
        return target


def executed_copy(path: Path) -> Path:
    """Where the executed copy of a notebook goes unless it is said."""
    return path.with_name(f"{path.stem}.executed.ipynb")


def _write(notebook: NotebookNode, target: Path) -> None:
    """Write a notebook under a temporary name, then rename it."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as file:
            write(notebook, file)
        os.replace(temporary, target)
    except OSError as error:
        raise NbflowError(f"cannot write the executed notebook: {error}") from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def _check_parameter(name: str, value: Any) -> None:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise NbflowError(f"the parameter {name!r} cannot be a name in the notebook; rename it")
    try:
        ast.literal_eval(repr(value))
    except (ValueError, SyntaxError):
        raise NbflowError(
            f"the parameter {name!r} = {value!r} cannot be written into the notebook; "
            "give text, numbers, True, False, None, or lists and dicts of them"
        ) from None

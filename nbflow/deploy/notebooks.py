"""A notebook as a flow run: each `%%task` cell of it one task run, in a fresh kernel."""

from __future__ import annotations

import ast
import keyword
import os
import secrets
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbformat import NotebookNode, from_dict, read, reads, write
from nbformat.v4 import new_code_cell
from nbformat.warnings import MissingIDFieldWarning

from nbflow import wiring
from nbflow.context import running
from nbflow.deploy.notebook_client import CellRunner, Obtained, Progress
from nbflow.engine.context import current_run
from nbflow.engine.resumption import flow_path, plain
from nbflow.errors import NbflowError, NotebookFailed
from nbflow.flows import Flow
from nbflow.model.ids import new_id
from nbflow.model.runs import Appointment
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


def parse_notebook(text: bytes, where: str) -> NotebookNode:
    """A notebook from its JSON text, in the newest format.

    Raises:
        NbflowError: It is none; `where` tells of which it is said.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MissingIDFieldWarning)
            return reads(text.decode(), as_version=4)
    except Exception as error:
        raise NbflowError(f"{where} is not a notebook that can be read: {error}") from None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookPlan:
    """How a notebook is to be run.

    Attributes:
        folder: The kernel's working directory.
        place: The notebook's path, by which its cells know it.
        output: Where the executed copy goes.
        parameters: Values for the names of its `parameters` cell, or for new ones.
        autotask: Whether every cell is a task.
        allow_errors: Whether to go on after cells that raise.
        progress: Called before each code cell.
        obtained: Called after each code cell that failed or told how it was obtained.
        began: Called with the id of the flow run.
        ended: Called with the executed notebook, also when it failed.
    """

    folder: Path
    place: str
    output: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)
    autotask: bool = False
    allow_errors: bool = False
    progress: Progress = lambda _: None
    obtained: Obtained = lambda _place, _facts: None
    began: Callable[[str], object] = lambda _: None
    ended: Callable[[NotebookNode], object] = lambda _: None


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
    appointment: Appointment | None = None,
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
        appointment: The flow run, where it was asked for earlier.

    Raises:
        NotebookFailed: A cell raised, and errors are not allowed; names it.
        NbflowError: The notebook cannot be read, or its kernel died.
    """
    plan = NotebookPlan(
        folder=path.parent,
        place=str(path.resolve()),
        output=output or executed_copy(path),
        parameters=parameters or {},
        autotask=autotask,
        allow_errors=allow_errors,
        progress=progress,
        obtained=obtained,
        began=began,
    )
    execute = prepared(read_notebook(path), plan)
    flow: Flow[..., Path] = Flow(
        lambda **_parameters: execute(), name=path.stem, validate_parameters=False
    )
    given = dict(plan.parameters)
    if appointment is None and current_run.get() is None:
        source = {
            "kind": "notebook",
            "target": plan.place,
            "parameters": plain(given),
            "output": os.path.abspath(plan.output),
            "autotask": autotask,
            "allow_errors": allow_errors,
        }
        appointment = Appointment(run_id=new_id(), name="", is_resumable=True, source=source)
    try:
        engine = wiring.current().engine
        engine.call(flow.spec, (), given, appointment=appointment)
        return plan.output
    except NotebookFailed:
        if not allow_errors:
            raise
        return plan.output


def prepared(notebook: NotebookNode, plan: NotebookPlan) -> Callable[[], Path]:
    """What runs the notebook once, in a fresh kernel, as a part of the flow run around the call.

    It gives the executed copy's path.

    Raises:
        NbflowError: The notebook cannot be run in this way, or does not take the parameters.
    """
    # Made now, so that what cannot be run is refused before there is a flow run.
    runner = _new_runner(with_parameters(notebook, plan.parameters), plan)

    def execute() -> Path:
        context = running("run_notebook()")
        plan.began(context.run.id)
        environment = child_environment(
            home=str(wiring.current().store.folder),
            parent_run=context.run.id,
            origin_run=flow_path(context) or context.run.id,
            notebook=plan.place,
        )
        try:
            runner.run(environment)
        finally:
            plan.ended(runner.nb)
        return plan.output

    return execute


def _new_runner(notebook: NotebookNode, plan: NotebookPlan) -> CellRunner:
    return CellRunner(
        notebook,
        plan.folder,
        autotask=plan.autotask,
        allow_errors=plan.allow_errors,
        save=lambda: _write(notebook, plan.output),
        progress=plan.progress,
        obtained=plan.obtained,
    )


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

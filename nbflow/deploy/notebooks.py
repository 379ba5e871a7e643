"""A notebook as a flow run: each `%%task` cell of it one task run, in a fresh kernel."""

from __future__ import annotations

import ast
import keyword
import os
import secrets
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import NoSuchKernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode, from_dict, read, write
from nbformat.v4 import new_code_cell
from nbformat.warnings import MissingIDFieldWarning

from nbflow import wiring
from nbflow.context import running
from nbflow.errors import NbflowError, NotebookFailed
from nbflow.flows import Flow
from nbflow.settings import child_environment

_PARAMETERS, _INJECTED = "parameters", "injected-parameters"


@dataclass(frozen=True, slots=True)
class CellProgress:
    """Where a notebook run stands.

    Attributes:
        number: The code cell that begins, from 1 on.
        n_cells: Code cells in all.
        title: What the cell begins with.
    """

    number: int
    n_cells: int
    title: str


Progress = Callable[[CellProgress], object]


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
    progress: Progress = lambda _: None,
    began: Callable[[str], object] = lambda _: None,
) -> Path:
    """Run a notebook in a fresh kernel as a flow run; gives the path of the executed copy.

    Blocks. The copy is written after every cell, under a temporary name and then renamed, so that
    it is whole whenever it is looked at.

    Args:
        parameters: Values for the names of its `parameters` cell, or for new ones.
        output: Where the copy goes; default: beside the notebook, as NAME.executed.ipynb.
        progress: Called before each code cell.
        began: Called with the id of the flow run.

    Raises:
        NotebookFailed: A cell raised; names it.
        NbflowError: The notebook cannot be read, or its kernel died.
    """
    notebook = with_parameters(read_notebook(path), parameters or {})
    target = output or executed_copy(path)

    def execute(**_parameters: Any) -> Path:
        context = running("run_notebook()")
        began(context.run.id)
        environment = child_environment(
            home=str(wiring.current().store.folder), parent_run=context.run.id
        )
        client = _Client(notebook, target, path.parent, progress)
        client.run(environment)
        return target

    flow: Flow[..., Path] = Flow(execute, name=path.stem, validate_parameters=False)
    return flow(**dict(parameters or {}))


def executed_copy(path: Path) -> Path:
    """Where the executed copy of a notebook goes unless it is said."""
    return path.with_name(f"{path.stem}.executed.ipynb")


class _Client(NotebookClient):
    """nbclient, with the copy on disk kept up to date and errors in our words."""

    def __init__(
        self, notebook: NotebookNode, target: Path, folder: Path, progress: Progress
    ) -> None:
        super().__init__(
            notebook,
            timeout=None,
            kernel_name=_kernel_name(notebook),
            # ipykernel's warning that loopback is not encrypted would stand in every log.
            extra_arguments=["--IPKernelApp.log_level=40"] if _is_python(notebook) else [],
            resources={"metadata": {"path": str(folder.resolve())}},
        )
        self._target = target
        self._progress = progress
        self._n_begun = 0
        self._n_cells = sum(_runs(cell) for cell in notebook.cells)

    def run(self, environment: Mapping[str, str]) -> None:
        """Execute all cells. The kernel gets the environment given.

        Raises:
            NotebookFailed, NbflowError: As `run_notebook`.
        """
        self._save()
        try:
            # Our own keyword of nbclient's: whatever it does not know goes to the kernel's start.
            self.execute(env=dict(environment))
        except CellExecutionError as error:
            raise NotebookFailed(self._failed_cell(), f"{error.ename}: {error.evalue}") from None
        except DeadKernelError:
            cell = self._failed_cell()
            raise NbflowError(f"the kernel died in {cell}; it may have run out of memory") from None
        except NoSuchKernel as error:
            raise NbflowError(
                f"there is no kernel {error.name!r} on this machine, which the notebook asks for; "
                "`jupyter kernelspec list` shows those there are"
            ) from None
        finally:
            self._save()

    async def async_execute_cell(self, cell: NotebookNode, *args: Any, **kwargs: Any) -> Any:
        if _runs(cell):
            self._n_begun += 1
            self._progress(CellProgress(self._n_begun, self._n_cells, title(cell)))
        try:
            return await super().async_execute_cell(cell, *args, **kwargs)
        finally:
            self._save()

    def _failed_cell(self) -> str:
        cells = [cell for cell in self.nb.cells if _runs(cell)]
        cell = cells[self._n_begun - 1] if self._n_begun else None
        named = f" ({title(cell)})" if cell is not None else ""
        return f"cell {self._n_begun} of {self._n_cells}{named}"

    def _save(self) -> None:
        temporary = self._target.with_name(f".{self._target.name}.{secrets.token_hex(4)}")
        try:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("w", encoding="utf-8") as file:
                write(self.nb, file)
            os.replace(temporary, self._target)
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


def title(cell: NotebookNode) -> str:
    """What a cell begins with, for people: its magic's line or its first line of code."""
    lines = [line.strip() for line in cell.source.splitlines()]
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return first if len(first) <= 60 else f"{first[:59]}…"


def _runs(cell: NotebookNode) -> bool:
    return bool(cell.cell_type == "code" and cell.source.strip())


def _kernel_name(notebook: NotebookNode) -> str:
    """The notebook's kernel; for Python the one of this interpreter, whatever its name there."""
    if _is_python(notebook):
        return "python3"
    return str(notebook.metadata.kernelspec.name)


def _is_python(notebook: NotebookNode) -> bool:
    spec = notebook.metadata.get("kernelspec", {})
    known = spec.get("language") or notebook.metadata.get("language_info", {}).get("name", "python")
    return bool(known == "python")

"""`%flow restore`: after a restart, every task cell's outcome that is still valid."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from nbflow.analysis.effects import is_definitions_only
from nbflow.model.states import State, StateType
from nbflow.notebook import running
from nbflow.notebook.cells import compile_cell
from nbflow.notebook.parsing import parse
from nbflow.notebook.task_cells import TaskCell
from nbflow.results.fingerprint import fingerprint
from nbflow.results.serializers import JSONSerializer
from nbflow.settings import notebook_path

if TYPE_CHECKING:
    from nbflow.notebook.session import Session


def note(session: Session) -> None:
    """Keep the list of this notebook's task cells, for a later kernel."""
    cells = [
        {
            "name": one.name,
            "line": one.line,
            "source": one.cell.source,
            "options": one.option_line,
            "cell_id": one.cell_id,
        }
        for one in session.task_cells.values()
    ]
    session.watch().results.save(
        _key(session),
        {"definitions": list(session.definitions), "cells": cells},
        task_name="(list of task cells)",
        run_id="",
        seconds=0.0,
        serializer=JSONSerializer(),
    )


def restore(session: Session) -> None:
    """Bring back what every task cell of this notebook left, in order; list what cannot be.

    Cells that only define names are run. What cells displayed is not shown again.

    Raises:
        UsageError: No task cell of this notebook is known.
    """
    hit = session.watch().results.lookup(_key(session), JSONSerializer())
    if hit is None:
        raise UsageError(
            "no task cell of this notebook is known; restore works for cells that were run with "
            "%%task or %autotask in an earlier kernel"
        )
    restored, left = [], []
    for source in hit.value["definitions"]:
        _define(session, source)
    for noted in hit.value["cells"]:
        cell = _registered(session, noted)
        reason = _restore_one(session, cell)
        if reason:
            left.append(f"  {cell.name}: {reason}")
        else:
            restored.append(cell.name)
    told = f"restored {len(restored)} of {len(hit.value['cells'])} task cells"
    print(told + (f": {', '.join(restored)}" if restored else ""))  # noqa: T201  (the answer)
    if left:
        print("not restored:\n" + "\n".join(left))  # noqa: T201  (the answer)


def _define(session: Session, source: str) -> None:
    """Run a plain cell that only defines names, unless the notebook has them."""
    code = compile_cell(session.shell, source, "")
    namespace = session.shell.user_ns
    if any(name not in namespace for name in code.names.writes):
        exec(code.code, namespace)  # noqa: S102  (the user's own cell)
        session.definitions[source] = None


def _registered(session: Session, noted: dict[str, Any]) -> TaskCell:
    options = parse(session.magics.task, noted["options"])
    code = compile_cell(session.shell, noted["source"], noted["line"])
    cell = TaskCell(noted["name"], code, options, noted["line"], noted["cell_id"])
    cell.option_line = noted["options"]
    session.task_cells[cell.name] = cell
    return cell


def _restore_one(session: Session, cell: TaskCell) -> str:
    """Gives the reason why not; empty: it is back."""
    _, keeper = running.spec_of(session, cell)
    if is_definitions_only(cell.cell.transformed):
        try:
            running.rerun(session, cell)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return ""
    visit = keeper.visit = keeper.open()
    if reason := visit.reasons.against(forced=visit.forced):
        return reason
    found = visit.find()
    if found is None:
        return "nothing is kept for its source and inputs as they are"
    visit.restore(found)
    keeper.obtained.status, keeper.obtained.key = "cached", found.key
    session.freshness.ended(cell, State(StateType.COMPLETED, "Cached"))
    return ""


def _key(session: Session) -> str:
    path = notebook_path() or session.shell.user_ns.get("__vsc_ipynb_file__", "")
    return "notebook-" + fingerprint(os.getcwd(), str(path))

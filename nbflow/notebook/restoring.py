"""`%flow restore`: after a restart, every task cell's outcome that is still valid."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from nbflow.analysis.effects import is_definitions_only
from nbflow.analysis.names import cell_names
from nbflow.model.states import State, StateType
from nbflow.notebook import caching
from nbflow.notebook.cells import CellFunction, compile_cell
from nbflow.notebook.obtaining import Obtained
from nbflow.notebook.parsing import parse
from nbflow.notebook.task_cells import TaskCell
from nbflow.results.fingerprint import fingerprint
from nbflow.results.serializers import JSONSerializer
from nbflow.settings import notebook_path

if TYPE_CHECKING:
    from nbflow.notebook.session import Session

#: As it is kept: "definitions", sources of plain cells, and "cells", one dictionary each.
Noted = dict[str, list[Any]]


def note(session: Session) -> None:
    """Keep the list of this notebook's task cells, for a later kernel.

    Cells of an earlier kernel that have not been run in this one stay in it.
    """
    session.watch().results.save(
        _key(session),
        _all_known(session),
        task_name=caching.LIST,
        run_id="",
        seconds=0.0,
        serializer=JSONSerializer(),
    )


def restore(session: Session) -> None:
    """Bring back what every task cell of this notebook left, in order; list what cannot be.

    Cells that only define names are run, and cells that this kernel has run stay as they are.
    What cells displayed is not shown again.

    Raises:
        UsageError: No task cell of an earlier kernel is known.
    """
    noted = _all_known(session)
    missing = [one for one in noted["cells"] if not session.freshness.has_run(one["name"])]
    if not missing:
        raise UsageError(
            "no task cell of this notebook is known that this kernel has not run; restore works "
            "for cells that were run with %%task or %autotask in an earlier kernel"
        )
    left = _define_all(session, noted["definitions"])
    restored = []
    for one in missing:
        reason = _restore_one(session, one)
        if reason:
            left.append(f"  {one['name']}: {reason}")
        else:
            restored.append(one["name"])
    known = session.task_cells
    order = [one["name"] for one in noted["cells"] if one["name"] in known]
    session.task_cells = {name: known[name] for name in dict.fromkeys([*order, *known])}
    told = f"restored {len(restored)} of {len(missing)} task cells"
    print(told + (f": {', '.join(restored)}" if restored else ""))  # noqa: T201  (the answer)
    if left:
        print("not restored:\n" + "\n".join(left))  # noqa: T201  (the answer)


# --- the list -----------------------------------------------------------------------------------


def _all_known(session: Session) -> Noted:
    """The cells of this kernel, and those of the earlier ones that none of them replaces."""
    flow = session.flow
    if flow.earlier is None:
        hit = session.watch().results.lookup(_key(session), JSONSerializer())
        flow.earlier = hit.value if hit is not None else {"definitions": [], "cells": []}
    now = [
        {
            "name": one.name,
            "line": one.line,
            "source": one.cell.source,
            "options": one.option_line,
            "cell_id": one.cell_id,
        }
        for one in session.task_cells.values()
    ]
    definitions = [*flow.earlier["definitions"], *session.definitions]
    return {
        "definitions": not_overwritten(session, definitions),
        "cells": _merged(flow.earlier["cells"], now),
    }


def _merged(earlier: list[Any], now: list[Any]) -> list[Any]:
    """Cells of now in the places of those they replace, new ones behind the one above them."""
    names = {one["name"]: one for one in now}
    ids = {one["cell_id"]: one for one in now if one["cell_id"]}
    found: list[Any] = []
    for old in earlier:
        one = ids.get(old["cell_id"]) or names.get(old["name"]) or old
        if one not in found:
            found.append(one)
    for place, one in enumerate(now):
        if one not in found:
            found.insert(found.index(now[place - 1]) + 1 if place else len(found), one)
    return found


def not_overwritten(session: Session, definitions: list[str]) -> list[str]:
    """Each source once, without those that bind only names which a later one binds."""
    found: list[str] = []
    later: set[str] = set()
    for source in reversed(list(dict.fromkeys(definitions))):
        writes = set(cell_names(session.shell.transform_cell(source)).writes)
        if not writes or not writes <= later:
            found.append(source)
        later |= writes
    return found[::-1]


def _key(session: Session) -> str:
    path = str(notebook_path() or session.shell.user_ns.get("__vsc_ipynb_file__", ""))
    # The path alone where it is known: a cell may change the working directory.
    return caching.LISTS + fingerprint("" if os.path.isabs(path) else os.getcwd(), path)


# --- bringing back ------------------------------------------------------------------------------


def _define_all(session: Session, sources: list[str]) -> list[str]:
    """Run plain cells that only define names, unless the notebook has these; tells which failed."""
    namespace = session.shell.user_ns
    before, failed = set(namespace), []
    for source in sources:
        try:
            code = compile_cell(session.shell, source, "")
            if not code.names.writes or not set(code.names.writes) <= before:
                CellFunction(code, namespace).function()()
                session.definitions[source] = None
        except Exception as error:
            told = source.strip().partition("\n")[0]
            failed.append(f"  {told}: {type(error).__name__}: {error}")
    return failed


def _restore_one(session: Session, noted: dict[str, Any]) -> str:
    """Gives the reason why not; empty: it is back."""
    try:
        cell = _registered(session, noted)
        if is_definitions_only(cell.cell.transformed):
            CellFunction(cell.cell, session.shell.user_ns).function()()
            session.freshness.ended(cell, State(StateType.COMPLETED, "Completed"), {})
            return ""
        return _found(session, cell)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _registered(session: Session, noted: dict[str, Any]) -> TaskCell:
    options = parse(session.magics.task, noted["options"])
    code = compile_cell(session.shell, noted["source"], noted["line"])
    cell = TaskCell(noted["name"], code, options, noted["line"], noted["cell_id"], noted["options"])
    session.task_cells[cell.name] = cell
    return cell


def _found(session: Session, cell: TaskCell) -> str:
    if cell.options.no_cache:
        return "--no-cache"
    reasons = [_put_back(session, cell, form) for form in caching.forms(cell)]
    return "" if "" in reasons else reasons[0]


def _put_back(session: Session, cell: TaskCell, form: str) -> str:
    if session.freshness.has_run(cell.name):
        return ""
    visit = caching.look_up(session, cell, form=form)
    try:
        if reason := visit.reasons.against(forced=visit.forced):
            return reason
        found = visit.find()
        if found is None:
            needs = sorted(
                part.removeprefix("input ")
                for part, told in visit.parts.items()
                if told == "missing" and part.startswith("input ")
            )
            if needs:
                return f"it needs {', '.join(needs)}, which the notebook does not have"
            return "nothing is kept for its source and inputs as they are"
        visit.restore(found)
        cell.changes = found.outcome.changed
        cell.obtained = Obtained("cached", key=found.key, name=cell.name)
        session.freshness.ended(cell, State(StateType.COMPLETED, "Cached"), visit.parts)
    finally:
        visit.close()
    return ""

"""What `%flow` was asked."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from nbflow.errors import NbflowError
from nbflow.notebook.choosing import Choice
from nbflow.notebook.drawing import GraphView
from nbflow.notebook.export import export
from nbflow.notebook.export_cells import ExportCell, task_cell
from nbflow.notebook.restoring import restore

if TYPE_CHECKING:
    from nbflow.notebook.session import Session


def answer(session: Session, args: Any) -> Any:
    """Show, run, restore or export the notebook's flow."""
    __tracebackhide__ = True
    flow = session.flow
    if args.what == "show":
        return GraphView(flow.graph(), _states(session))
    if args.what == "stale":
        return _print_stale(session)
    if args.what == "restore":
        return restore(session)
    if args.what == "export":
        return _export(session, args.targets)
    choice = Choice(
        targets=tuple(args.targets),
        downstream=args.downstream,
        force=args.force,
        jobs=args.jobs,
        parameters=parameters(args.parameter),
    )
    return flow.start(choice) if args.background else flow.run(choice)


def parameters(texts: list[str]) -> dict[str, Any]:
    """`["n=3", "city=Montreal"]` as {"n": 3, "city": "Montreal"}.

    Raises:
        UsageError: One has no name or no value.
    """
    found: dict[str, Any] = {}
    for text in texts:
        # IPython's splitting leaves quotes as they are: -p "city=New York".
        is_quoted = text[:1] in ("'", '"') and text[-1:] == text[0]
        name, sign, value = (text[1:-1] if is_quoted else text).partition("=")
        if not sign or not name.isidentifier():
            raise UsageError(f"-p {text}: give it as NAME=VALUE")
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = value
    return found


def _states(session: Session) -> dict[str, str]:
    """The state of each task cell, for the drawing."""
    stale = session.flow.stale(session.flow.graph())
    states = {}
    for name, cell in session.task_cells.items():
        state = cell.run.state if cell.run is not None else None
        if state is not None and not state.is_completed():
            states[name] = state.name
        elif name in stale:
            states[name] = "Pending" if state is None else "Stale"
        else:  # no run: it was restored
            states[name] = "Cached" if state is None else state.name
    return states


def _print_stale(session: Session) -> None:
    stale = session.flow.stale(session.flow.graph())
    for name, reason in stale.items():
        print(f"{name}: {reason}")  # noqa: T201  (the answer)
    if not stale:
        print("everything is up to date")  # noqa: T201  (the answer)


def _export(session: Session, targets: list[str]) -> None:
    if len(targets) != 1:
        raise UsageError("%flow export needs the path of one file, such as flow.py")
    cells = [
        ExportCell(f"definitions-{number}", source)
        for number, source in enumerate(session.definitions, 1)
    ]
    cells += [
        task_cell(name, cell.cell.source, cell.options) for name, cell in session.task_cells.items()
    ]
    try:
        export(cells, Path(targets[0]))
    except NbflowError as error:
        raise UsageError(str(error)) from None
    print(f"wrote {os.path.abspath(targets[0])}")  # noqa: T201  (the answer)

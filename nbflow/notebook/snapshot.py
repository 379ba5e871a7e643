"""The task cells of a notebook as a notebook of their own, which runs without this kernel."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from nbflow.analysis.graph import CycleError
from nbflow.analysis.names import cell_names
from nbflow.notebook.carrying import expression_of, source_of, type_told
from nbflow.notebook.module_settings import module_settings
from nbflow.notebook.rebinding import check_derived, rebound
from nbflow.notebook.restoring import not_overwritten
from nbflow.notebook.task_cells import TaskCell

if TYPE_CHECKING:
    from nbflow.notebook.session import Session

_BACKGROUND = re.compile(r"(?<!\S)(-b|--background)(?!\S)")
#: A fresh kernel has them as well.
_IN_EVERY_KERNEL = {"exit", "quit", "open", "get_ipython", "display"}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A notebook that can be run anywhere.

    Attributes:
        text: The notebook as JSON.
        parameters: Names that its runs may be given other values for.
        autotask: Whether each of its cells is a task, as `%autotask` made them.
    """

    text: str
    parameters: tuple[str, ...]
    autotask: bool


def snapshot(session: Session, given: Collection[str] = ()) -> Snapshot:
    """A notebook of all task cells that are known, in the order of their dependencies.

    Above them stand the cells that only define, and the plain values that they read from the
    notebook and nothing in it would make again.

    Args:
        given: Names that its runs get values for in any case.

    Raises:
        UsageError: There is no task cell, or one needs what a new kernel would not have.
    """
    if not session.task_cells:
        raise UsageError(
            "no cell has been run as a task yet, so there is nothing to schedule; write %%task at "
            'the top of a cell and run it, or name an @flow: %schedule "0 8 * * *" my_flow'
        )
    try:
        order = session.flow.graph().order()
    except CycleError as error:
        raise UsageError(f"the notebook cannot be scheduled: {error}") from None
    cells = [session.task_cells[name] for name in order]
    for one in cells:
        if "run_line_magic('schedule'" in one.cell.transformed:
            raise UsageError(f"cell {one.name!r} has a %schedule in it; put it in another cell")
    definitions = not_overwritten(session, list(session.definitions))
    needs = _Needs(session, cells, definitions, given)
    for name in given:
        if name not in needs.parameters:
            raise UsageError(_not_settable(name, needs))
    check_derived(session.shell, set(given), needs.parameters)
    return Snapshot(
        text=_notebook(needs, cells, _added_folders(session)),
        parameters=tuple(needs.parameters),
        autotask=any(not one.line for one in cells),
    )


class _Needs:
    """What the cells need from outside, found by following names.

    Attributes:
        first: Imports, and values that definitions need at once.
        settings: Statements that set up modules.
        definitions: Sources of cells that only define.
        parameters: Plain values by name, as expressions.
        written: Names that task cells bind.
    """

    def __init__(
        self,
        session: Session,
        cells: list[TaskCell],
        definitions: list[str],
        given: Collection[str],
    ) -> None:
        self._namespace: Mapping[str, Any] = session.shell.user_ns
        self._rebound = rebound(session.shell)
        self._hidden = session.shell.user_ns_hidden
        self._given = given
        self._seen: set[str] = set()
        self.first: dict[str, None] = {}
        self.settings: dict[str, None] = {}
        self.parameters: dict[str, str] = {}
        self.definitions: dict[str, _Definition] = {}
        self._bound: dict[str, _Definition] = {}
        for source in definitions:
            self._add(source, _Definition(session.shell.transform_cell(source)))
        self.written = {name for one in cells for name in one.cell.names.writes}
        self._changed = self.written | {name for one in cells for name in _changes(one)}
        there: set[str] = set()
        for one in cells:
            names, reader = one.cell.names, f"cell {one.name!r}"
            changed = (name for name in names.mutates if name not in names.writes)
            for name in dict.fromkeys((*names.reads, *names.immediate, *changed)):
                if name not in there:
                    self._need(name, reader)
            self._need_later(names.deferred, reader)
            there |= set(names.writes)
        for text, module in module_settings(session.shell).items():
            self._need(module, f"the setting {text}")
            self.settings[text] = None
        self._drop_unneeded()

    def _add(self, source: str, definition: _Definition) -> None:
        self.definitions[source] = definition
        self._bound.update(dict.fromkeys(definition.binds, definition))

    def _need_later(self, names: Iterable[str], reader: str) -> None:
        """Names that a function reads when it is called; a task cell may have bound them then."""
        for name in names:
            if name not in self.written:
                self._need(name, reader, at_once=False)

    def _need(self, name: str, reader: str, *, at_once: bool = True) -> None:
        if name in self._seen or name in _IN_EVERY_KERNEL:
            return
        self._seen.add(name)
        is_there = name in self._namespace and name not in self._hidden
        expression = expression_of(self._namespace[name]) if is_there else None
        is_lost = is_there and expression is None and name in self._rebound - self.written
        if name in self._bound and not is_lost:
            self._follow(name)
            is_imported = name in self._bound[name].imported and name not in self._rebound
            # What is imported may change where it is imported from.
            is_settable = name in self._given or not is_imported
            if expression is not None and name not in self._changed and is_settable:
                self.parameters[name] = expression
        elif name in self._given and name not in self.written:
            self.parameters[name] = expression or "None"
        elif not is_there:
            if at_once:
                raise UsageError(
                    f"{reader} reads {name!r}, which nothing in the notebook defines; run the "
                    f"cell that makes it, as a task cell (%%task), or give it: -p {name}=VALUE"
                )
        elif expression is not None:
            if name in self._changed:
                raise UsageError(
                    f"{reader} reads {name!r}, which task cells change, and how it begins is not "
                    f"known; give it its first value in a cell of its own ({name} = ...) and run "
                    "that cell"
                )
            self.parameters[name] = expression
        else:
            self._carry(name, reader)

    def _follow(self, name: str) -> None:
        """What the definition of a name needs itself."""
        definition = self._bound[name]
        reader = f"the definition of {name!r}"
        for one in definition.needs:
            self._need(one, reader)
            if one in self.parameters:  # also where it stands further down
                self.first[f"{one} = {self.parameters[one]}"] = None
        self._need_later(definition.needs_later(name), reader)

    def _carry(self, name: str, reader: str) -> None:
        """What a statement can bring back: an import, or a function's own source."""
        value = self._namespace[name]
        source = source_of(name, value)
        if source is None:
            raise UsageError(
                f"{reader} reads {name!r}, {type_told(value)} that a new kernel would not have: no "
                f"task cell makes it; write %%task at the top of the cell that makes {name!r} and "
                "run it"
            )
        if source.startswith(("import ", "from ")):
            self.first[source] = None
        else:
            self._add(source, _Definition(source))
            self._follow(name)

    def _drop_unneeded(self) -> None:
        """Leave out definitions that nothing needs and that would fail."""
        known = {*self._bound, *self.parameters}
        for source, definition in list(self.definitions.items()):
            is_needed = self._seen.intersection(definition.binds)
            if not is_needed and not known.issuperset(definition.needs):
                del self.definitions[source]


class _Definition:
    """A text that only defines.

    Attributes:
        binds: The names it is there for.
        imported: Those of them that it takes from modules.
        needs: Names it needs when it is run.
    """

    def __init__(self, source: str) -> None:
        names = cell_names(source)
        self.binds = names.writes
        self.needs = tuple(dict.fromkeys((*names.reads, *names.immediate)))
        self.imported = _imported(source)
        self._source = source

    def needs_later(self, name: str) -> list[str]:
        """Names that what it binds as `name` reads when it is called."""
        parts = [cell_names(ast.unparse(one)) for one in ast.parse(self._source).body]
        by_name: dict[str, set[str]] = {}
        for part in parts:
            for one in part.writes:
                by_name.setdefault(one, set()).update(part.deferred)
        found, todo = set[str](), [name]
        while todo:
            for one in by_name.pop(todo.pop(), set()) - found:
                found.add(one)
                todo.append(one)
        return sorted(found)


def _imported(source: str) -> set[str]:
    return {
        one.asname or one.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for one in node.names
    }


def _changes(cell: TaskCell) -> Collection[str]:
    """Names whose objects a cell changes in place; as it was seen to, where it was watched."""
    return cell.cell.names.mutates if cell.options.no_cache else cell.changes


def _added_folders(session: Session) -> list[str]:
    """Folders that the notebook has put on `sys.path`."""
    return [
        os.path.abspath(one)
        for one in sys.path
        if one and (one not in session.first_path or not os.path.isabs(one))
    ]


def _notebook(needs: _Needs, cells: list[TaskCell], folders: list[str]) -> str:
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    first = [f"import sys\nsys.path += {folders!r}"] if folders else []
    sources = ["%load_ext nbflow", "\n".join([*first, *needs.first]), *needs.definitions]
    sources.append("\n".join(needs.settings))
    made = [new_code_cell(source) for source in sources if source]
    if needs.parameters:
        lines = [f"{name} = {text}" for name, text in needs.parameters.items()]
        made.append(new_code_cell("\n".join(lines), metadata={"tags": ["parameters"]}))
    made += [new_code_cell(_cell_text(one)) for one in cells]
    notebook = new_notebook(cells=made)
    # Ids of their own: the same cells are the same snapshot.
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    text: str = nbformat.writes(notebook)
    return text


def _cell_text(one: TaskCell) -> str:
    """The cell with its magic; by the same name, though it may have got that by its place.

    Not in the background: nobody would wait for it there.
    """
    if not one.line:
        return one.cell.source.rstrip("\n")
    options = _BACKGROUND.sub("", one.option_line).strip()
    if one.options.name is None and one.name != one.cell.result_name:
        options = f"{one.name} {options}".strip()
    return f"{f'%%task {options}'.strip()}\n{one.cell.source}".rstrip("\n")


def _not_settable(name: str, needs: _Needs) -> str:
    known = ", ".join(needs.parameters)
    told = f"there are: {known}" if known else "it has none"
    if name in needs.written:
        return f"-p {name}: a task cell writes {name!r} itself; {told}"
    return f"-p {name}: no task cell reads a value of this name; {told}"

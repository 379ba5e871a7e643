"""The cells of a notebook as a file: a task of each, and one flow that calls them."""

from __future__ import annotations

import ast
import builtins
import keyword
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from nbflow.analysis.graph import CellGraph, CycleError, Node
from nbflow.analysis.names import cell_names
from nbflow.errors import NbflowError
from nbflow.notebook.export_cells import ExportCell, ParsedCell, Piece, indented, parse_cell
from nbflow.notebook.export_plan import Plan, Step, is_setting, plan

_HEADER = '"""Exported from a notebook by nbflow."""'
_SHOW = '''\
def _show(value):
    """As a notebook shows a cell's last expression."""
    if value is not None:
        print(repr(value))
'''
_SHOWS_NOTHING = ("print(", "display(")


def export(
    cells: Sequence[ExportCell], path: Path | None = None, *, flow_name: str | None = None
) -> str:
    """The notebook as the text of a Python file that does the same; written to `path` if given.

    Imports, definitions and constants stand at module level; what is left of each cell is a task
    that takes the names it reads and gives those that others read. Names are bound in the flow in
    the order of the cells' dependencies, so several cells may bind or change one name. The flow
    gives what its last cells write.

    Args:
        cells: In the order of the notebook, without blank ones.
        flow_name: Default: the file's name, or "notebook".

    Raises:
        NbflowError: A cell cannot be exported, the cells need each other in a circle, or the path
            holds a file that is no export.
    """
    parsed = {cell.name: parse_cell(cell) for cell in cells}
    nodes = [Node(name, cell_names(one.source), one.source) for name, one in parsed.items()]
    try:
        order = CellGraph(nodes).order()
    except CycleError as error:
        raise NbflowError(f"the notebook cannot be exported: {error}") from None
    ordered = [parsed[name] for name in order]
    shown_name = flow_name or (path.stem if path is not None else "notebook")
    text = _Writer(plan(ordered), ordered, shown_name).text()
    if path is not None:
        _write(text, path)
    return text


class _Writer:
    """Writes the file of a plan; function names are chosen so that none hides another name."""

    def __init__(self, planned: Plan, cells: Iterable[ParsedCell], flow_name: str) -> None:
        self._plan = planned
        self._taken = {
            node.id
            for cell in cells
            for node in ast.walk(ast.parse(cell.source))
            if isinstance(node, ast.Name)
        }
        bound = {name for cell in cells for name in cell_names(cell.source).writes}
        self._taken |= bound
        ours = {"flow", "task"}
        # A `task` of the notebook's own may be ours, or a list of chores.
        imported = {name for piece in planned.module for name in _ours_imported(piece)}
        hidden = ours & bound - imported
        self._missing = sorted(ours - imported)
        self._prefix = "nbflow." if hidden else ""
        self._taken |= ours | {"nbflow", "asyncio", "display", "_show", *keyword.kwlist}
        self._taken |= set(vars(builtins))
        self._functions = [self._function_name(step.cell.cell.name) for step in planned.steps]
        self._flow_name = flow_name
        self._flow = self._function_name(flow_name)
        self._is_async = any(step.cell.is_async for step in planned.steps)
        self._shows = False

    def text(self) -> str:
        """The whole file."""
        steps = [
            self._task(step, name)
            for step, name in zip(self._plan.steps, self._functions, strict=True)
        ]
        run = f"asyncio.run({self._flow}())" if self._is_async else f"{self._flow}()"
        parts = [
            "\n".join([*self._own_imports(), *self._module()]).rstrip(),
            _SHOW.strip() if self._shows else "",
            *steps,
            self._flow_text(),
            f'if __name__ == "__main__":\n    {run}',
        ]
        text = "\n\n\n".join(part for part in parts if part.strip()) + "\n"
        compile(text, "exported", "exec")
        return text

    def _own_imports(self) -> list[str]:
        used = {
            node.id
            for step in self._plan.steps
            for piece in step.pieces
            for node in ast.walk(piece.node)
            if isinstance(node, ast.Name)
        }
        futures = [piece.text for piece in self._plan.module if _is_future(piece)]
        lines = [_HEADER, "", *dict.fromkeys(futures)]
        if self._is_async:
            lines.append("import asyncio")
        if "display" in used:
            lines.append("from IPython.display import display")
        if self._prefix:
            lines.append("import nbflow")
        elif self._missing:
            lines.append(f"from nbflow import {', '.join(self._missing)}")
        return lines

    def _module(self) -> list[str]:
        """Lines of the module level; imports first, but for settings that they may depend on."""
        unique: dict[str, Piece] = {}
        for piece in self._plan.module:
            unique.setdefault(ast.dump(piece.node), piece)
        pieces = [piece for piece in unique.values() if not _is_future(piece)]
        if not any(map(is_setting, pieces)):
            pieces.sort(key=lambda piece: not _is_import(piece))
        lines: list[str] = []
        was_block = False
        for piece in pieces:
            is_block = hasattr(piece.node, "body")
            if is_block or was_block:
                lines += ["", ""]
            lines += piece.text.split("\n")
            was_block = is_block
        return lines

    def _task(self, step: Step, function: str) -> str:
        options = dict(step.cell.cell.options or {})
        if step.cell.cell.name != function:
            options = {"name": step.cell.cell.name, **options}
        given = ", ".join(f"{name}={_literal(value)}" for name, value in options.items())
        lines = [f"@{self._prefix}task" + (f"({given})" if given else "")]
        lines.append(f"{_async(step)}def {function}({', '.join(step.takes)}):")
        lines += [f"    {name} = None  # a branch below may bind it" for name in step.starts]
        body = "\n".join(
            self._shown(step, piece) if piece is step.pieces[-1] else piece.text
            for piece in step.pieces
        )
        lines.append(indented(body.strip("\n")))
        if step.cell.tail:
            lines.append(indented(step.cell.tail))
        if step.gives:
            lines.append(f"    return {', '.join(step.gives)}")
        return "\n".join(lines)

    def _shown(self, step: Step, piece: Piece) -> str:
        """A cell's last statement, with its value shown where the notebook shows it."""
        node = piece.node
        is_shown = (
            isinstance(node, ast.Expr)
            and piece is step.cell.pieces[-1]
            and not step.cell.is_silenced
            and not ast.unparse(node).startswith(_SHOWS_NOTHING)
        )
        if not is_shown or not isinstance(node, ast.Expr):
            return piece.text
        self._shows = True
        value = ast.get_source_segment(step.cell.source, node.value)
        before, found, after = piece.text.rpartition(value or "\0")
        inner = f"({value})" if isinstance(node.value, ast.Tuple) else value
        text = f"{before}_show({inner}){after}"
        if found and _is_call_of(text, node.value):
            return text
        return f"_show({ast.unparse(node.value)})"

    def _flow_text(self) -> str:
        options = "" if self._flow == self._flow_name else f"(name={_literal(self._flow_name)})"
        start = "async def" if self._is_async else "def"
        lines = [f"@{self._prefix}flow{options}", f"{start} {self._flow}():"]
        results: dict[str, None] = {}
        for step, function in zip(self._plan.steps, self._functions, strict=True):
            call = f"{'await ' if step.cell.is_async else ''}{function}({', '.join(step.takes)})"
            lines.append(f"    {', '.join(step.gives)} = {call}" if step.gives else f"    {call}")
            gone = [name for name in step.ends if name in step.takes]
            if gone:
                lines.append(f"    del {', '.join(gone)}")
            if step.is_last:
                results.update(dict.fromkeys(step.gives))
            for name in step.ends:
                results.pop(name, None)
        if results:
            lines.append(f"    return {', '.join(results)}")
        elif not self._plan.steps:
            lines.append('    """No cell is left to run."""')
        return "\n".join(lines)

    def _function_name(self, wanted: str) -> str:
        """A name like the one wanted that nothing else has."""
        base = re.sub(r"\W+", "_", wanted).strip("_") or "cell"
        base = f"cell_{base}" if base[0].isdigit() else base
        candidates = [base, f"{base}_task", *(f"{base}_{n}" for n in range(2, 10_000))]
        name = next(one for one in candidates if one not in self._taken)
        self._taken.add(name)
        return name


def _write(text: str, path: Path) -> None:
    try:
        if path.exists() and not path.read_text(encoding="utf-8").startswith(_HEADER):
            raise NbflowError(f"{path} is there already and no export; choose another name")
        path.write_text(text, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NbflowError(f"cannot write {path}: {error}") from None


def _literal(value: object) -> str:
    """A value as people write it: text in double quotes."""
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    text = repr(value)
    is_plain = isinstance(value, str) and not set(value) & {'"', "'", "\\"}
    return f'"{text[1:-1]}"' if is_plain else text


def _async(step: Step) -> str:
    return "async " if step.cell.is_async else ""


def _is_import(piece: Piece) -> bool:
    return isinstance(piece.node, ast.Import | ast.ImportFrom)


def _ours_imported(piece: Piece) -> set[str]:
    """Which of our decorators a statement imports, by their own names."""
    node = piece.node
    if not (isinstance(node, ast.ImportFrom) and node.module == "nbflow"):
        return set()
    return {one.name for one in node.names if one.asname in (None, one.name)} & {"flow", "task"}


def _is_future(piece: Piece) -> bool:
    return isinstance(piece.node, ast.ImportFrom) and piece.node.module == "__future__"


def _is_call_of(text: str, value: ast.expr) -> bool:
    """Whether the text is `_show(...)` of just this value."""
    try:
        (statement,) = ast.parse(text).body
    except (SyntaxError, ValueError):
        return False
    shown = ast.Expr(ast.Call(ast.Name("_show", ast.Load()), [value], []))
    return ast.dump(statement) == ast.dump(shown)

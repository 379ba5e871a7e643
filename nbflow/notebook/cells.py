"""The body of a cell as a function: compiled like a cell, run in the user's namespace."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any

from nbflow.analysis.names import CellNames, cell_names
from nbflow.errors import MissingOutput

_ABSENT = object()
_LAST = "__nbflow_last_expression__"


@dataclass(frozen=True, slots=True)
class CellCode:
    """A cell's body, ready to run.

    Attributes:
        source: As the user wrote it.
        transformed: As Python, with the magic's line as a comment above it.
        filename: What its traceback names it by.
        result_name: See `result_name`.
        is_async: Whether it awaits at top level.
    """

    source: str
    transformed: str
    filename: str
    names: CellNames
    code: CodeType
    is_async: bool
    result_name: str | None


def compile_cell(shell: Any, source: str, magic_line: str) -> CellCode:
    """Compile a cell's body, magics and shell escapes included.

    The magic's own line stands above it as a comment, so that line numbers are those of the
    visible cell; the value of a last expression is kept for `CellFunction` to give.

    Raises:
        SyntaxError: It is not Python.
    """
    transformed = f"# {magic_line.strip()}\n" + shell.transform_cell(source)
    # Registers the text with linecache, so that tracebacks show it as `Cell In[n]`.
    filename = shell.compile.cache(transformed, shell.execution_count - 1)
    return cell_code(source, transformed, filename, shell.compile.flags)


def cell_code(source: str, transformed: str, filename: str, flags: int = 0) -> CellCode:
    """The code of a cell whose text linecache knows as `filename`.

    Args:
        flags: Of the compiler: what the notebook has imported from `__future__`.

    Raises:
        SyntaxError: It is not Python.
    """
    tree = ast.parse(transformed, filename)
    names = cell_names(transformed)
    if tree.body and isinstance(last := tree.body[-1], ast.Expr):
        assignment = ast.Assign([ast.Name(_LAST, ast.Store())], last.value)
        tree.body[-1] = ast.fix_missing_locations(ast.copy_location(assignment, last))
    flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(tree, filename, "exec", flags=flags, dont_inherit=True)
    is_async = bool(code.co_flags & inspect.CO_COROUTINE)
    return CellCode(source, transformed, filename, names, code, is_async, result_name(transformed))


def result_name(source: str) -> str | None:
    """The first name a cell assigns or defines, to call its task by; None: it does neither."""
    for statement in ast.parse(source).body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                return name
            case ast.ClassDef(name=name):
                return name
            case ast.Assign(targets=[target, *_]) | ast.AnnAssign(target=target):
                found = [node.id for node in ast.walk(target) if isinstance(node, ast.Name)]
                if found and not found[0].startswith("_"):
                    return found[0]
            case _:
                pass
    return None


class CellFunction:
    """Runs a cell in a namespace: all that it binds appears when it ends well, else none of it.

    What it changes in place (`frame["x"] = 1`, `list.append`) stays changed either way.

    Args:
        outputs: The only names to keep; None: every name it binds.
        undo: Whether a failed run leaves no name behind. Not for flows, whose tasks are the units.
        alone: Whether no other cell runs at the same time; if not, only names that the cell's
            source tells are its own.
    """

    def __init__(
        self,
        cell: CellCode,
        namespace: dict[str, Any],
        outputs: tuple[str, ...] | None = None,
        *,
        undo: bool = True,
        alone: bool = True,
    ) -> None:
        self.cell = cell
        self._own = None if alone else {*cell.names.writes, *cell.names.deletes}
        self._namespace = namespace
        self._outputs = outputs
        self._undo = undo

    def function(self) -> Callable[..., Any]:
        """The cell as a function, or as a coroutine function if it awaits.

        It takes the cell's inputs by keyword, for the record only: the cell reads its namespace.
        """

        def run(**_inputs: Any) -> Any:
            before = dict(self._namespace)
            try:
                exec(self.cell.code, self._namespace)  # noqa: S102  (the user's own cell)
                return self._keep(before)
            except BaseException:
                self._restore(before)
                raise

        async def run_async(**_inputs: Any) -> Any:
            before = dict(self._namespace)
            try:
                await eval(self.cell.code, self._namespace)  # noqa: S307  (the user's own cell)
                return self._keep(before)
            except BaseException:
                self._restore(before)
                raise

        return run_async if self.cell.is_async else run

    def _keep(self, before: dict[str, Any]) -> Any:
        """Drop what was not asked for; gives the last expression's value."""
        value = self._namespace.pop(_LAST, None)
        if self._outputs is not None:
            missing = [name for name in self._outputs if name not in self._namespace]
            if missing:
                raise MissingOutput(missing, self.cell.names.writes)
            self._restore(before, keep=self._outputs)
        return value

    def _restore(self, before: dict[str, Any], keep: tuple[str, ...] = ()) -> None:
        """Bind every name as it was, but those in `keep`."""
        namespace = self._namespace
        namespace.pop(_LAST, None)
        if not self._undo:
            return
        for name in list(namespace):
            is_new = name not in before and not name.startswith("__")
            if is_new and name not in keep and self._is_own(name):
                del namespace[name]
        for name, value in before.items():
            is_changed = namespace.get(name, _ABSENT) is not value
            if is_changed and name not in keep and self._is_own(name):
                namespace[name] = value

    def _is_own(self, name: str) -> bool:
        return self._own is None or name in self._own

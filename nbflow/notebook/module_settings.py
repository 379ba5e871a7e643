"""Settings of modules that plain cells have made, such as `plt.style.use("ggplot")`."""

from __future__ import annotations

import ast
from types import ModuleType
from typing import Any

#: Calls that only set something up; any other may be what a cell is there for, and runs once.
_CALLS = {
    "basicConfig", "filterwarnings", "rc", "seed", "setLevel", "set_option", "set_palette",
    "set_printoptions", "set_style", "set_theme", "setlocale", "setrecursionlimit", "simplefilter",
    "use",
}  # fmt: skip
#: Paths are taken along by themselves, and the environment is of the process that runs it: it may
#: hold what must not be kept, and where nbflow's own store lies.
_NOT_OF_THE_NOTEBOOK = {"sys", "os"}


def module_settings(shell: Any) -> dict[str, str]:
    """Such statements of the cells that this kernel has run, in order, and the module of each.

    Those with nothing but literals in them: they can be run again anywhere.
    """
    found: dict[str, str] = {}
    for raw in getattr(shell.history_manager, "input_hist_raw", ()):
        if raw.startswith("%%"):
            continue
        try:
            tree = ast.parse(shell.transform_cell(raw))
        except SyntaxError:
            continue
        for statement in tree.body:
            root = _root(statement)
            if root is not None and isinstance(shell.user_ns.get(root), ModuleType):
                text = ast.unparse(statement)
                found.pop(text, None)  # the last one counts
                found[text] = root
    return found


def _root(statement: ast.stmt) -> str | None:
    """The name whose settings the statement changes; None: it does something else."""
    match statement:
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript() as target], value=value):
            return _name_of(target) if _is_literal(value) else None
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr=attr) as called) as call):
            values = [*call.args, *(one.value for one in call.keywords)]
            return _name_of(called) if attr in _CALLS and all(map(_is_literal, values)) else None
        case _:
            return None


def _name_of(node: ast.expr) -> str | None:
    """`plt` of `plt.rcParams["figure.figsize"]`."""
    while True:
        match node:
            case ast.Attribute(value=inner):
                node = inner
            case ast.Subscript(value=inner, slice=index) if _is_literal(index):
                node = inner
            case ast.Name(id=name):
                return None if name in _NOT_OF_THE_NOTEBOOK else name
            case _:
                return None


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError):
        return False
    return True

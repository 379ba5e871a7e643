"""What plain cells have done to names, by the history of what was run in the kernel.

Plain cells do not go into a snapshot, so what they have done is lost there, or stays as it is.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from typing import Any

from IPython.core.error import UsageError

from nbflow.analysis.effects import is_definitions_only
from nbflow.analysis.names import cell_names


def rebound(shell: Any) -> set[str]:
    """Names that a cell which computes has given another value since they were defined.

    Such as `data = None` in one cell and `data = load()` in the next: the definition would bring
    back what no task cell has seen. Attributes count: `Config.size = 5`.
    """
    found: set[str] = set()
    for raw in getattr(shell.history_manager, "input_hist_raw", ()):
        if raw.startswith("%%"):
            continue
        try:
            source = shell.transform_cell(raw)
            names = set(cell_names(source).writes)
            if is_definitions_only(source):
                found -= names
            else:
                found |= names | _set_from_outside(source)
        except SyntaxError:
            continue
    return found


def check_derived(shell: Any, given: set[str], carried: Collection[str]) -> None:
    """Refuse to give a value to a name that others were made from, which would stay as they are.

    Raises:
        UsageError: There is one; says what to do.
    """
    if not given:
        return
    made_from: dict[str, set[str]] = {}
    for raw in getattr(shell.history_manager, "input_hist_raw", ()):
        if raw.startswith("%%"):
            continue
        try:
            names = cell_names(shell.transform_cell(raw))
        except SyntaxError:
            continue
        sources = set(names.reads)
        sources |= {one for read in names.reads for one in made_from.get(read, ())}
        made_from.update((one, sources) for one in names.writes)
    for name in carried:
        changed = sorted(given & made_from.get(name, set()))
        if changed and name not in given:
            raise UsageError(
                f"-p {changed[0]}: {name!r} was made from {changed[0]!r} in a plain cell and would "
                "stay as it is; write %%task at the top of that cell and run it, or give it too: "
                f"-p {name}=VALUE"
            )


def _set_from_outside(source: str) -> set[str]:
    """`Config` of `Config.size = 5`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            root: ast.expr = node
            while isinstance(root, ast.Attribute | ast.Subscript):
                root = root.value
            if isinstance(root, ast.Name):
                found.add(root.id)
    return found

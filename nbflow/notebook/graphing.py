"""The task cells of a notebook as a graph, hidden connections included."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Collection, Iterable, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

from nbflow.analysis.effects import EffectKind, cell_effects, literal_paths
from nbflow.analysis.graph import CellGraph, Edge, EdgeKind, Node
from nbflow.memo.chains import Chain, chains
from nbflow.memo.effects import code_effects
from nbflow.notebook.parsing import names as words
from nbflow.notebook.task_cells import TaskCell

#: Variables that no cell has: cells that draw from the process' random generators, draw figures
#: or change settings come one after the other because all "change" one of them.
RANDOM, FIGURES, PROCESS = "<random>", "<figures>", "<settings>"
_WRITES_FILES = {"write", "write_text", "write_bytes", "save", "savefig", "savez", "dump", "tofile",
                 "savetxt", "makedirs", "mkdir", "remove", "unlink", "rename"}  # fmt: skip


def graph_of(task_cells: Iterable[TaskCell], namespace: Mapping[str, Any]) -> CellGraph:
    """The graph of cells in the notebook's order."""
    cells = list(task_cells)
    awaited = {name for one in cells for name in words(one.options.after)}
    nodes = [node_of(one, namespace, awaited) for one in cells]
    changes = {one.name: one.changes for one in cells if one.changes}
    graph = CellGraph(nodes, changes)
    # Figures are shown when the cell that draws them ends: the next one that draws must come
    # later, but takes nothing from it.
    graph.edges = tuple(_without_figures(edge) for edge in graph.edges)
    return graph


def _without_figures(edge: Edge) -> Edge:
    if FIGURES not in edge.names or edge.kind is not EdgeKind.DATA:
        return edge
    others = tuple(name for name in edge.names if name != FIGURES)
    kind = EdgeKind.DATA if others else EdgeKind.ORDER
    return dataclasses.replace(edge, names=others or edge.names, kind=kind)


def node_of(
    task_cell: TaskCell, namespace: Mapping[str, Any], awaited: Collection[str] = ()
) -> Node:
    """A cell with the names of what it touches besides variables.

    Args:
        awaited: Cells that others name with `--after`.
    """
    cell = task_cell.cell
    codes = _codes(task_cell, namespace)
    found = [chain for code in codes for chain in chains(code)]
    hidden: list[str] = []
    if any(_is_random(chain, namespace) for chain in found):
        hidden.append(RANDOM)
    if _draws(found, namespace):
        hidden.append(FIGURES)
    effects = cell_effects(cell.transformed)
    changes = code_effects(codes, namespace).changes_process or any(
        effect.kind in (EffectKind.MAGIC, EffectKind.NAMESPACE, EffectKind.SHELL)
        for effect in effects
    )
    writes_files = any(
        part in _WRITES_FILES or part.startswith("to_") for chain in found for part in chain.parts
    ) or "open" in {chain.parts[0] for chain in found}
    files = [f"<file {path}>" for path in literal_paths(cell.transformed)]
    names = cell.names
    reads = list(names.reads)
    mutates = [
        *(n for n in names.mutates if not isinstance(namespace.get(n), ModuleType)),
        *hidden,
    ]
    (mutates if writes_files else reads).extend(files)
    (mutates if changes else reads).append(PROCESS)
    reads += [_end_of(name) for name in words(task_cell.options.after)]
    ends = (_end_of(task_cell.name),) if task_cell.name in awaited else ()
    return Node(
        name=task_cell.name,
        names=dataclasses.replace(
            names, reads=tuple(reads), mutates=tuple(mutates), writes=(*names.writes, *ends)
        ),
        source=cell.transformed,
    )


def draws(task_cell: TaskCell, namespace: Mapping[str, Any]) -> bool:
    """Whether a cell uses pyplot, which wants the main thread."""
    codes = _codes(task_cell, namespace)
    return _draws([chain for code in codes for chain in chains(code)], namespace)


def needs_main_thread(task_cell: TaskCell, namespace: Mapping[str, Any]) -> bool:
    """Whether a cell has to run where cells run by themselves."""
    effects = cell_effects(task_cell.cell.transformed)
    return draws(task_cell, namespace) or any(
        effect.kind in (EffectKind.MAGIC, EffectKind.SHELL, EffectKind.INPUT) for effect in effects
    )


def is_drawing_module(module: ModuleType) -> bool:
    """Whether a module draws figures that belong to the process."""
    return module.__name__.partition(".")[0] in ("matplotlib", "seaborn", "pylab")


def _draws(found: Iterable[Chain], namespace: Mapping[str, Any]) -> bool:
    for chain in found:
        root = namespace.get(chain.parts[0])
        is_module = isinstance(root, ModuleType) and is_drawing_module(root)
        if is_module or chain.parts[0] in ("plt", "sns", "matplotlib", "seaborn"):
            return True
        if {"plot", "hist", "boxplot"}.intersection(chain.parts[1:]):
            return True
    return False


def _codes(task_cell: TaskCell, namespace: Mapping[str, Any]) -> list[CodeType]:
    """The code of a cell, and of the notebook's functions that it may call."""
    codes, seen = [task_cell.cell.code], set[str]()
    for code in codes:  # grows
        for name in _names_in(code) - seen:
            seen.add(name)
            value = inspect.unwrap(one) if callable(one := namespace.get(name)) else None
            if isinstance(value, FunctionType) and value.__globals__ is namespace:
                codes.append(value.__code__)
    return codes


def _names_in(code: CodeType) -> set[str]:
    inner = [_names_in(one) for one in code.co_consts if isinstance(one, CodeType)]
    return set(code.co_names).union(*inner)


def _end_of(name: str) -> str:
    return f"<end of {name}>"


def is_hidden(name: str) -> bool:
    """Whether a name in the graph is none of the user's variables."""
    return name.startswith("<")


def _is_random(chain: Chain, namespace: Mapping[str, Any]) -> bool:
    parts = chain.parts
    root = getattr(namespace.get(parts[0]), "__name__", parts[0])
    whole = ".".join((str(root), *parts[1:]))
    if whole.startswith(("numpy.random.", "np.random.")):
        return parts[-1] not in ("default_rng", "Generator", "SeedSequence", "PCG64")
    return whole.startswith("random.") and parts[-1] != "Random"

"""The task cells of a notebook as a graph, hidden connections included."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from nbflow.analysis.effects import EffectKind, cell_effects, literal_paths
from nbflow.analysis.graph import CellGraph, Node
from nbflow.memo.chains import Chain, chains
from nbflow.memo.effects import code_effects
from nbflow.notebook.task_cells import TaskCell

#: Variables that no cell has: cells that draw from the process' random generators, draw figures
#: or change settings come one after the other because all "change" one of them.
RANDOM, FIGURES, PROCESS = "<random>", "<figures>", "<settings>"
_WRITES_FILES = {"write", "write_text", "write_bytes", "save", "savefig", "savez", "dump", "tofile",
                 "savetxt", "makedirs", "mkdir", "remove", "unlink", "rename"}  # fmt: skip


def graph_of(task_cells: Iterable[TaskCell], namespace: Mapping[str, Any]) -> CellGraph:
    """The graph of cells in the notebook's order."""
    cells = list(task_cells)
    nodes = [node_of(one, namespace) for one in cells]
    changes = {one.name: one.changes for one in cells if one.changes}
    return CellGraph(nodes, changes)


def node_of(task_cell: TaskCell, namespace: Mapping[str, Any]) -> Node:
    """A cell with the names of what it touches besides variables."""
    cell = task_cell.cell
    found = list(chains(cell.code))
    hidden: list[str] = []
    if any(_is_random(chain, namespace) for chain in found):
        hidden.append(RANDOM)
    if draws(task_cell, namespace):
        hidden.append(FIGURES)
    effects = cell_effects(cell.transformed)
    changes = code_effects([cell.code], namespace).changes_process or any(
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
    return Node(
        name=task_cell.name,
        names=dataclasses.replace(names, reads=tuple(reads), mutates=tuple(mutates)),
        source=cell.transformed,
    )


def draws(task_cell: TaskCell, namespace: Mapping[str, Any]) -> bool:
    """Whether a cell uses pyplot, which wants the main thread."""
    for chain in chains(task_cell.cell.code):
        root = namespace.get(chain.parts[0])
        module = getattr(root, "__name__", "") if chain.parts[0] else ""
        if str(module).startswith(("matplotlib", "seaborn")) or chain.parts[0] in ("plt", "sns"):
            return True
        if {"plot", "hist", "boxplot", "show"}.intersection(chain.parts[1:]):
            return True
    return False


def needs_main_thread(task_cell: TaskCell, namespace: Mapping[str, Any]) -> bool:
    """Whether a cell has to run where cells run by themselves."""
    effects = cell_effects(task_cell.cell.transformed)
    return draws(task_cell, namespace) or any(
        effect.kind in (EffectKind.MAGIC, EffectKind.SHELL, EffectKind.INPUT) for effect in effects
    )


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

"""When each task cell ran last, and so which of them are stale."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping

from nbflow.analysis.graph import CellGraph, CycleError, Ran, stale
from nbflow.analysis.source import source_digest
from nbflow.model.states import State
from nbflow.notebook.task_cells import TaskCell

#: By name of an input: a digest of its value.
Inputs = Mapping[str, str]
_INPUT = "input "


class Freshness:
    """The runs of one session's task cells, as far as they tell what is up to date.

    What task cells write is followed by the order of their runs; variables that plain cells bind
    are followed by their content.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._ran: dict[str, Ran] = {}
        self._inputs: dict[str, Inputs] = {}
        self._replaced: set[str] = set()

    def ended(self, cell: TaskCell, state: State, parts: Mapping[str, str] | None = None) -> None:
        """A task cell has ended in this state.

        Args:
            parts: Of its key; default: those of its newest run.
        """
        self._replaced.discard(cell.name)
        if not state.is_completed():
            self._ran.pop(cell.name, None)
            return
        self._ran[cell.name] = Ran(source_digest(cell.cell.transformed), next(self._numbers))
        self._inputs[cell.name] = inputs_in(parts if parts is not None else _parts_of(cell))

    def has_run(self, name: str) -> bool:
        """Whether a cell's values are there, up to date or not."""
        return name in self._ran

    def replaced(self, name: str) -> None:
        """What a cell gives was given by the user instead."""
        self._replaced.add(name)

    def stale(
        self, graph: CellGraph, inputs_now: Callable[[str], Inputs] | None = None
    ) -> dict[str, str]:
        """Stale cells and why, in words; in notebook order.

        Args:
            inputs_now: Gives the inputs of a cell as they are.
        """
        ran = {name: one for name, one in self._ran.items() if name not in self._replaced}
        reasons = stale(graph, ran)
        for name in self._replaced:
            told = f"what {name} gives was replaced with -p"
            for other, reason in reasons.items():
                reasons[other] = told if reason == f"{name} has never run" else reason
            if name in reasons:
                reasons[name] = told
        if inputs_now is not None:
            for name, reason in self._changed(graph, reasons, inputs_now).items():
                for other in _behind(graph, name):
                    reasons.setdefault(other, reason)
        return {node.name: reasons[node.name] for node in graph.nodes if node.name in reasons}

    def after(self, graph: CellGraph, names: Iterable[str], but: Iterable[str]) -> dict[str, str]:
        """Cells that would be stale if these had been run, in this order.

        Args:
            but: Cells that count as up to date.
        """
        ran = dict(self._ran)
        sources = {node.name: source_digest(node.source) for node in graph.nodes}
        for name in but:
            ran[name] = Ran(sources[name], 0)
        numbers = itertools.count(max((one.sequence for one in ran.values()), default=0) + 1)
        for name in names:
            ran[name] = Ran(sources[name], next(numbers))
        return stale(graph, ran)

    def _changed(
        self, graph: CellGraph, known: Mapping[str, str], inputs_now: Callable[[str], Inputs]
    ) -> dict[str, str]:
        """Cells that ran with another value of a variable that no task cell gives."""
        given = {name for node in graph.nodes for name in graph.outputs(node.name)}
        found: dict[str, str] = {}
        for node in graph.nodes:
            before = self._inputs.get(node.name, {})
            outside = [name for name in before if name not in given]
            if node.name in known or not outside:
                continue
            now = inputs_now(node.name)
            for name in outside:
                if name in now and now[name] != before[name]:
                    found[node.name] = f"{name}, which {node.name} reads, has changed"
                    break
        return found


def _behind(graph: CellGraph, name: str) -> Iterable[str]:
    try:
        return graph.push(name)
    except CycleError:
        return (name,)


def inputs_in(parts: Mapping[str, str]) -> Inputs:
    """The inputs among the parts of a key."""
    return {part[len(_INPUT) :]: told for part, told in parts.items() if part.startswith(_INPUT)}


def _parts_of(cell: TaskCell) -> Mapping[str, str]:
    results = getattr(cell.run.spec, "results", None) if cell.run is not None else None
    visit = getattr(getattr(results, "keeper", None), "visit", None)
    parts: Mapping[str, str] = getattr(visit, "parts", {})
    return parts

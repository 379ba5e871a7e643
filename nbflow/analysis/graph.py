"""The cells of a notebook as a graph: in which order they run, what a cell needs, what is stale."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from nbflow.analysis.dependencies import Dependencies, Edge, EdgeKind, Node
from nbflow.analysis.source import source_digest

__all__ = ["CellGraph", "CycleError", "Edge", "EdgeKind", "Node", "Ran", "stale"]

_NO_CHANGES: Mapping[str, Collection[str]] = MappingProxyType({})


class CycleError(ValueError):
    """Cells that need each other, so that none can be first.

    Attributes:
        cells: In notebook order.
        names: The variables they need each other for.
    """

    def __init__(self, cells: tuple[str, ...], names: tuple[str, ...]) -> None:
        self.cells, self.names = cells, names
        super().__init__(
            f"cells {', '.join(cells)} need each other, for {', '.join(names)}: "
            "write each variable above the cells that read it"
        )


class CellGraph:
    """Cells and which of them need which.

    A cell reads a variable from the nearest cell above that binds it or changes it in place; if
    none does, from the first below that binds it. What the functions it uses read, bind and change
    counts as its own, at its place. Cells that bind or change a variable stay behind those above
    them that use it.

    Args:
        nodes: In notebook order.
        changes: By cell, further variables it is known to change in place, from running it.

    Raises:
        ValueError: Two cells have one name.
    """

    def __init__(
        self, nodes: Sequence[Node], changes: Mapping[str, Collection[str]] = _NO_CHANGES
    ) -> None:
        self.nodes = tuple(nodes)
        self._place = {node.name: n for n, node in enumerate(self.nodes)}
        if len(self._place) < len(self.nodes):
            names = [node.name for node in self.nodes]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"two cells have the name {twice!r}")
        found = Dependencies(self.nodes, changes)
        self._touched, self._last = found.touched, found.last
        self.edges = tuple(
            sorted(found.edges(), key=lambda e: (self._place[e.before], self._place[e.after]))
        )

    def before(self, name: str) -> tuple[str, ...]:
        """The cells that directly come before one, in notebook order.

        Raises:
            KeyError: No cell has this name.
        """
        self._known(name)
        return self._sorted_by_place(edge.before for edge in self.edges if edge.after == name)

    def after(self, name: str) -> tuple[str, ...]:
        """The cells that directly come after one, in notebook order.

        Raises:
            KeyError: No cell has this name.
        """
        self._known(name)
        return self._sorted_by_place(edge.after for edge in self.edges if edge.before == name)

    def inputs(self, name: str) -> tuple[str, ...]:
        """The variables a cell needs, those of the functions it uses and those it changes included.

        Raises:
            KeyError: No cell has this name.
        """
        return tuple(self._touched[self._known(name)].reads)

    def outputs(self, name: str) -> tuple[str, ...]:
        """The variables a cell binds, deletes or changes in place.

        Raises:
            KeyError: No cell has this name.
        """
        touched = self._touched[self._known(name)]
        return tuple({**touched.writes, **touched.changes})

    def order(self) -> tuple[str, ...]:
        """All cells, each after those it needs; in notebook order where that leaves a choice.

        Raises:
            CycleError: Some need each other.
        """
        return self._ordered(set(self._place))

    def cycles(self) -> tuple[tuple[str, ...], ...]:
        """Groups of cells that need each other, in notebook order."""
        return self._cycles(set(self._place))

    def pull(self, *targets: str) -> tuple[str, ...]:
        """The targets and all they need, in order.

        Args:
            targets: Cells, or variables: those stand for the cells their last value comes from.

        Raises:
            KeyError: Neither a cell nor a variable that a cell binds.
            CycleError: Some of them need each other.
        """
        wanted: set[str] = set()
        for target in targets:
            found = (target,) if target in self._place else self._last.get(target)
            if not found:
                raise KeyError(target)
            wanted.update(found)
        return self._ordered(self._closed(wanted, forward=False))

    def push(self, *edited: str) -> tuple[str, ...]:
        """The edited cells and all that depends on what they give, in order.

        Raises:
            KeyError: No cell has one of these names.
            CycleError: Some of them need each other.
        """
        return self._ordered(self._closed({self._known(name) for name in edited}, forward=True))

    def _known(self, name: str) -> str:
        if name not in self._place:
            raise KeyError(name)
        return name

    def _closed(self, cells: set[str], *, forward: bool) -> set[str]:
        next_to: dict[str, list[str]] = {}
        for edge in self.edges:
            if edge.kind is EdgeKind.DATA:
                here, there = edge.before, edge.after
                if not forward:
                    here, there = there, here
                next_to.setdefault(here, []).append(there)
        found, waiting = set(cells), list(cells)
        while waiting:
            fresh = set(next_to.get(waiting.pop(), ())) - found
            found |= fresh
            waiting += fresh
        return found

    def _sorted_by_place(self, cells: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(set(cells), key=self._place.__getitem__))

    def _ordered(self, cells: set[str]) -> tuple[str, ...]:
        """Kahn's algorithm, always taking the topmost cell that is free."""
        after: dict[str, set[str]] = {name: set() for name in cells}
        for edge in self._among(cells):
            after[edge.before].add(edge.after)
        n_before = dict.fromkeys(cells, 0)
        for followers in after.values():
            for name in followers:
                n_before[name] += 1
        free = [self._place[name] for name, n in n_before.items() if n == 0]
        heapq.heapify(free)
        order: list[str] = []
        while free:
            name = self.nodes[heapq.heappop(free)].name
            order.append(name)
            for follower in after[name]:
                n_before[follower] -= 1
                if n_before[follower] == 0:
                    heapq.heappush(free, self._place[follower])
        if len(order) < len(cells):
            self._raise_cycle(cells)
        return tuple(order)

    def _raise_cycle(self, cells: set[str]) -> None:
        group = self._cycles(cells)[0]
        names = {name for edge in self._among(set(group)) for name in edge.names}
        raise CycleError(group, tuple(sorted(names)))

    def _among(self, cells: set[str]) -> list[Edge]:
        return [edge for edge in self.edges if edge.before in cells and edge.after in cells]

    def _cycles(self, cells: set[str]) -> tuple[tuple[str, ...], ...]:
        """Cells that reach each other: cells are few, so by what each reaches."""
        after: dict[str, set[str]] = {name: set() for name in cells}
        for edge in self._among(cells):
            after[edge.before].add(edge.after)
        reach: dict[str, set[str]] = {}
        for name in cells:
            found, waiting = set[str](), [name]
            while waiting:
                fresh = after[waiting.pop()] - found
                found |= fresh
                waiting += fresh
            reach[name] = found
        groups = {
            self._sorted_by_place(other for other in reach[name] if name in reach[other])
            for name in cells
            if name in reach[name]
        }
        return tuple(sorted(groups, key=lambda group: self._place[group[0]]))


@dataclass(frozen=True, slots=True)
class Ran:
    """The last run of a cell, as far as the values in the namespace are concerned.

    Attributes:
        source_digest: `source.source_digest` of what ran.
        sequence: Higher for later runs of the session.
    """

    source_digest: str
    sequence: int


def stale(graph: CellGraph, ran: Mapping[str, Ran]) -> dict[str, str]:
    """The cells whose values are not those a run of the whole notebook would give, and why.

    By name, in notebook order; a cell that depends on a stale one is stale for the same reason.

    Args:
        ran: By cell; cells without one have never run.
    """
    reasons: dict[str, str] = {}
    told: dict[str, str] = {}  # the same, for cells that depend on it
    for name in _in_some_order(graph):
        node = graph.nodes[graph._place[name]]
        last = ran.get(name)
        if last is None:
            reasons[name], told[name] = "never run", f"{name} has never run"
        elif last.source_digest != source_digest(node.source):
            reasons[name], told[name] = "its source was edited", f"{name} was edited"
        elif reason := _reason(graph, name, ran, told):
            reasons[name] = told[name] = reason
    return {node.name: reasons[node.name] for node in graph.nodes if node.name in reasons}


def _in_some_order(graph: CellGraph) -> tuple[str, ...]:
    try:
        return graph.order()
    except CycleError:
        return tuple(node.name for node in graph.nodes)


def _reason(
    graph: CellGraph, name: str, ran: Mapping[str, Ran], told: Mapping[str, str]
) -> str | None:
    """Why a cell that ran as it stands is stale; None: it is not."""
    last = ran[name].sequence
    needed = [e for e in graph.edges if e.after == name and e.kind is EdgeKind.DATA]
    for edge in needed:
        if edge.before in told:
            return told[edge.before]
        if ran[edge.before].sequence > last:
            return f"{edge.before} ran after it"
    sources: dict[str, set[str]] = {}
    for edge in needed:
        for variable in edge.names:
            sources.setdefault(variable, set()).add(edge.before)
    for variable, cells in sources.items():
        since = max(ran[one].sequence for one in cells)
        for other in _others(graph, variable, {*cells, name}, ran):
            if since < ran[other].sequence < last:
                return f"{variable} was changed by {other} before it"
    given = {
        v for e in graph.edges if e.before == name and e.kind is EdgeKind.DATA for v in e.names
    }
    for variable in sorted(given):
        for other in _others(graph, variable, {name}, ran):
            is_above = graph._place[other] < graph._place[name]
            if is_above and ran[other].sequence > last:
                return f"{variable} was changed by {other} after it"
    return None


def _others(
    graph: CellGraph, variable: str, but: Collection[str], ran: Mapping[str, Ran]
) -> list[str]:
    """Further cells that have run and bind or change a variable."""
    return [
        node.name
        for node in graph.nodes
        if node.name not in but and node.name in ran and variable in graph.outputs(node.name)
    ]

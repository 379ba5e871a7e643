"""Which cell needs which: cells gone through in notebook order, like a slow run without values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from nbflow.analysis.functions import FunctionFacts, function_facts
from nbflow.analysis.names import CellNames, cell_names


class EdgeKind(StrEnum):
    DATA = "data"  #: the second reads what the first wrote or changed
    ORDER = "order"  #: the second writes or changes what the first used: it must not overtake


@dataclass(frozen=True, slots=True)
class Node:
    """One cell.

    Attributes:
        name: Unique in the graph.
        names: As `cell_names` tells them; names no cell binds may be added, for what cells share
            besides variables. Those count as there from the start.
        source: Python, magics turned into it already.
    """

    name: str
    names: CellNames
    source: str


@dataclass(frozen=True, slots=True)
class Edge:
    """One cell before another, and the variables that is for, in alphabetical order."""

    before: str
    after: str
    names: tuple[str, ...]
    kind: EdgeKind


@dataclass(slots=True)
class _Variable:
    """A variable at the point reached.

    Attributes:
        sources: Cells its value may come from: the last that surely bound or changed it, and those
            after it that may have.
        touched: Every cell that read, bound or changed it.
        watched: Cells that read an object of its by another name.
        changed: The cells that changed it in place, or bound it.
        pending: Cells that read it before any had bound it.
        functions: What its value may run when it is called, or read by what is called.
    """

    sources: list[str] = field(default_factory=list)
    touched: dict[str, None] = field(default_factory=dict)
    watched: dict[str, None] = field(default_factory=dict)
    changed: dict[str, None] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)
    functions: list[FunctionFacts] = field(default_factory=list)
    shares: set[str] = field(default_factory=set)
    is_module: bool = False
    is_used_up: bool = False


@dataclass(slots=True)
class Touched:
    """What one cell does to variables, callees included.

    Attributes:
        hopes: Of `reads`, those that only code reads which may not be run: no reason to put a cell
            behind one below it.
    """

    reads: dict[str, None] = field(default_factory=dict)
    changes: dict[str, None] = field(default_factory=dict)
    writes: dict[str, None] = field(default_factory=dict)
    conditional: set[str] = field(default_factory=set)
    hopes: set[str] = field(default_factory=set)


class Dependencies:
    """The edges between cells, and what they were found from.

    Attributes:
        touched: By cell.
        last: By variable: the cells its value comes from when all have run.
    """

    def __init__(self, nodes: Sequence[Node], changes: Mapping[str, Collection[str]]) -> None:
        self.touched: dict[str, Touched] = {}
        self._edges: dict[tuple[str, str, EdgeKind], set[str]] = {}
        self._variables: dict[str, _Variable] = {}
        self._facts = {node.name: _facts(node) for node in nodes}
        self._binders: dict[str, list[str]] = {}
        for node in nodes:
            for name in node.names.writes:
                self._binders.setdefault(name, []).append(node.name)
        self._bound: set[str] = set()  # cells gone through
        for node in nodes:
            self._enter(node, changes.get(node.name, ()))
        self.last = {name: tuple(one.sources) for name, one in self._variables.items()}

    def edges(self) -> tuple[Edge, ...]:
        """Every pair once: what is needed for its data is in order already."""
        data = {(a, b) for a, b, kind in self._edges if kind is EdgeKind.DATA}
        return tuple(
            Edge(before, after, tuple(sorted(names)), kind)
            for (before, after, kind), names in self._edges.items()
            if kind is EdgeKind.DATA or (before, after) not in data
        )

    def _variable(self, name: str) -> _Variable:
        return self._variables.setdefault(name, _Variable())

    def _enter(self, node: Node, known_changes: Collection[str]) -> None:
        names = self._refined(node)
        touched = self._touched_by(node, names, known_changes)
        self.touched[node.name] = touched
        for name in touched.reads:
            self._read(node.name, name, is_hope=name in touched.hopes)
        self._bound.add(node.name)
        values = self._carried(node, names)
        for name in touched.changes:
            self._change(node.name, name)
        for name in touched.writes:
            self._bind(node.name, name, is_certain=name not in touched.conditional)
        for name in names.writes:
            variable = self._variable(name)
            fresh = self._facts[node.name].get(name)
            found = values if fresh is None else [fresh]
            is_certain = name not in names.conditional
            variable.functions = found if is_certain else [*variable.functions, *found]
            variable.is_module = name in names.imports
            variable.is_used_up = name in names.used_up
            if is_certain and (name, name) not in names.aliases:
                self._unlink(name)
        for name, root in names.aliases:
            self._link(name, root)

    # --- what a cell does -------------------------------------------------------------------

    def _refined(self, node: Node) -> CellNames:
        """The cell's names with what other cells' functions do with their arguments."""
        names = node.names
        own = self._facts[node.name]
        known: dict[str, FunctionFacts] = {}
        waiting = [*names.calls, *names.immediate]
        while waiting:
            name = waiting.pop()
            facts = self._functions_of(name)
            if facts and name not in known and name not in own:
                known[name] = facts[-1]
                waiting += facts[-1].reads
        if not known:
            return names
        try:
            alone, knowing = cell_names(node.source), cell_names(node.source, known)
        except SyntaxError:
            return names
        kept = [name for name in names.mutates if name not in alone.mutates]
        return CellNames(
            **{
                name: getattr(names, name)
                for name in names.__slots__
                if name not in ("mutates", "used_up", "aliases")
            },
            mutates=tuple(dict.fromkeys((*knowing.mutates, *kept))),
            used_up=knowing.used_up,
            aliases=knowing.aliases,
        )

    def _touched_by(self, node: Node, names: CellNames, known_changes: Collection[str]) -> Touched:
        touched = Touched()
        touched.writes = dict.fromkeys((*names.writes, *names.deletes))
        touched.conditional = set(names.conditional)
        certain = {name for name in names.writes if name not in names.conditional}
        needed = dict.fromkeys((*names.reads, *names.immediate))
        changes = dict.fromkeys((*names.mutates, *known_changes))
        touched.hopes = set(names.immediate) - set(names.reads)
        called = [name for name in names.calls if name in needed]
        for facts in self._reached(node.name, needed):
            for name in facts.reads:
                # The cell's own value, unless another may be there before.
                if name not in certain or self._variable(name).sources:
                    if name not in needed:
                        touched.hopes.add(name)
                    needed[name] = None
            changes.update(dict.fromkeys(facts.mutates))
            for name in facts.writes:
                if name not in touched.writes:
                    touched.writes[name] = None
                    touched.conditional.add(name)
        for facts in self._reached(node.name, called):
            touched.hopes -= set() if facts.carries else set(facts.reads)
        changes.update({name: None for name in needed if self._variable(name).is_used_up})
        for name in list(changes):
            changes.update(dict.fromkeys(sorted(self._sharing(name))))
        # What the cell itself made before it changed it is only a write.
        changes = {name: None for name in changes if name not in certain or name in needed}
        touched.changes = changes
        touched.reads = {**needed, **changes}
        return touched

    def _functions_of(self, name: str) -> list[FunctionFacts]:
        variable = self._variables.get(name)
        if variable is not None and variable.sources:
            return variable.functions
        later = [one for one in self._binders.get(name, ()) if one not in self._bound]
        facts = self._facts[later[0]].get(name) if later else None
        return [facts] if facts is not None else []

    def _reached(self, cell: str, names: Iterable[str]) -> list[FunctionFacts]:
        """What runs when these are called, or what they hold is."""
        found: list[FunctionFacts] = []
        seen = set(names)
        waiting = list(seen)
        while waiting:
            name = waiting.pop()
            own = self._facts[cell].get(name)  # the cell may define it before it calls the others
            for facts in (*self._functions_of(name), *([own] if own is not None else [])):
                if not any(facts is one for one in found):
                    found.append(facts)
                    fresh = [one for one in facts.reads if one not in seen]
                    seen.update(fresh)
                    waiting += fresh
        return found

    def _carried(self, node: Node, names: CellNames) -> list[FunctionFacts]:
        """What the values bound by a cell may run: its lambdas, what it was handed functions of."""
        own = self._facts[node.name]
        found: list[FunctionFacts] = []
        named = {name for facts in own.values() for name in facts.reads}
        loose = tuple(name for name in names.deferred if name not in named)
        if loose:
            found.append(_reading(loose))
        for name in dict.fromkeys((*names.calls, *names.uses)):
            facts = [own[name]] if name in own else self._functions_of(name)
            is_called = name in names.calls and name not in names.uses
            found += [one for one in facts if one.carries or not is_called]
        return list({id(one): one for one in found}.values())

    # --- names that share an object ------------------------------------------------------------

    def _sharing(self, name: str) -> set[str]:
        seen, waiting = {name}, [name]
        while waiting:
            variable = self._variables.get(waiting.pop())
            fresh = variable.shares - seen if variable is not None else set()
            seen |= fresh
            waiting += fresh
        return seen - {name}

    def _link(self, one: str, other: str) -> None:
        if one != other and not (self._variable(one).is_module or self._variable(other).is_module):
            self._variable(one).shares.add(other)
            self._variable(other).shares.add(one)

    def _unlink(self, name: str) -> None:
        """The name stands for another object; those that shared the old one still do."""
        others = self._variable(name).shares
        self._variable(name).shares = set()
        for one in others:
            self._variable(one).shares.discard(name)
            self._variable(one).shares |= others - {one, name}

    # --- single variables ----------------------------------------------------------------------

    def _edge(self, before: str, after: str, name: str, kind: EdgeKind) -> None:
        if before != after:
            self._edges.setdefault((before, after, kind), set()).add(name)

    def _read(self, cell: str, name: str, *, is_hope: bool) -> None:
        variable = self._variable(name)
        if variable.sources:
            for source in variable.sources:
                self._edge(source, cell, name, EdgeKind.DATA)
        elif not is_hope and self._binders_below(cell, name):
            variable.pending.append(cell)
            return
        variable.touched[cell] = None
        for other in self._sharing(name):  # whoever changes the object by that name comes later
            self._variable(other).watched[cell] = None

    def _binders_below(self, cell: str, name: str) -> list[str]:
        binders = self._binders.get(name, ())
        return [one for one in binders if one != cell and one not in self._bound]

    def _change(self, cell: str, name: str) -> None:
        variable = self._variable(name)
        if cell in variable.pending:
            return
        if variable.is_module:
            # Such as two cells that draw with `plt`: neither is an input of those that call `plt`.
            for other in variable.changed:
                self._edge(other, cell, name, EdgeKind.ORDER)
            variable.changed[cell] = None
            return
        self._after_all(cell, name)
        for other in variable.watched:
            self._edge(other, cell, name, EdgeKind.ORDER)
        variable.sources = [cell]
        variable.changed[cell] = None

    def _bind(self, cell: str, name: str, *, is_certain: bool) -> None:
        variable = self._variable(name)
        waiting = [one for one in variable.pending if one != cell]
        if not (waiting and cell in variable.pending):
            for one in waiting:  # it is read above, and bound only here
                self._edge(cell, one, name, EdgeKind.DATA)
        self._after_all(cell, name, but=waiting)
        changed = [one for one in waiting if name in self.touched[one].changes]
        variable.touched.update(dict.fromkeys(waiting))
        variable.pending = [one for one in variable.pending if one == cell]
        variable.sources = [cell] if is_certain else [*variable.sources, cell]
        if changed:
            variable.sources = changed[-1:]
        variable.touched[cell] = None
        variable.changed[cell] = None

    def _after_all(self, cell: str, name: str, but: Collection[str] = ()) -> None:
        """Keep a cell behind all that used the variable.

        Not only behind the last, which stands behind the others: runs may leave cells out.
        """
        for other in self._variable(name).touched:
            if other not in but:
                self._edge(other, cell, name, EdgeKind.ORDER)


def _facts(node: Node) -> dict[str, FunctionFacts]:
    try:
        return function_facts(node.source)
    except SyntaxError:
        return {}


def _reading(names: tuple[str, ...]) -> FunctionFacts:
    return FunctionFacts(
        positional=(),
        named=(),
        rest=None,
        changes=(),
        reads=names,
        mutates=(),
        writes=(),
        returns=(),
        returns_of=(),
        passes=(),
        carries=True,
        is_used_up=False,
    )

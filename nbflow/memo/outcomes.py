"""What a cell did to the notebook, as something that can be stored and put back."""

from __future__ import annotations

import ast
import itertools
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any

from nbflow.errors import Unfingerprintable, Unstorable
from nbflow.memo import aliases, hidden
from nbflow.memo.cells import Cell
from nbflow.memo.chains import globals_bound
from nbflow.results.fingerprint import Reading, read_names

if TYPE_CHECKING:
    from nbflow.memo.pickling import CellSerializer

#: The name under which the value of a cell's last expression goes.
LAST = "<last>"
_ABSENT = object()
#: Names of every module, and of this one's making.
RESERVED = frozenset(
    "__name__ __doc__ __package__ __loader__ __spec__ __builtin__ __builtins__ __annotations__"
    " __warningregistry__ __session__ __file__ __vsc_ipynb_file__ __nbflow_last_expression__"
    " __conditional_annotations__ __annotate__".split()
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a cell left behind.

    Attributes:
        values: By name: what it wrote and what it changed in place.
        changed: Those of the names that it changed in place rather than wrote.
        deleted: Names it unbound.
        generators: States in which it left random generators.
        imports: Modules that its import statements load.
        shown: What it displayed, in order; the business of whoever recorded it.
        has_last: Whether `values` holds the value of its last expression.
        seconds: How long it ran.
    """

    values: dict[str, Any]
    changed: tuple[str, ...]
    deleted: tuple[str, ...]
    generators: dict[str, Any]
    imports: tuple[str, ...]
    shown: list[Any]
    has_last: bool
    seconds: float


@dataclass(slots=True)
class Before:
    """The notebook as it was when the cell began."""

    bindings: dict[str, Any]
    settings: dict[str, str]
    generators: dict[str, Any]
    set_aside: dict[str, Any]
    began: float


class Aftermath:
    """The notebook after a cell has run, beside what it was before.

    Args:
        reading: What the cell read, as it was.
        rebound: Of the names that were set aside while it ran, those that it bound.
        names: The user's names as they are now.
        alone: Whether nothing else ran at the same time.
    """

    def __init__(
        self,
        cell: Cell,
        namespace: dict[str, Any],
        before: Before,
        reading: Reading,
        *,
        rebound: frozenset[str],
        names: Iterable[str],
        alone: bool,
    ) -> None:
        self.cell = cell
        self.changed: tuple[str, ...] = ()
        self._namespace = namespace
        self._before = before
        self._reading = reading
        self._rebound = rebound
        self._names = set(names)
        self._alone = alone

    def outcome(
        self, last: Any, *, has_last: bool, shown: list[Any], seconds: float
    ) -> tuple[Outcome, CellSerializer]:
        """What the cell left, and what writes it.

        Raises:
            Unstorable: It would not come back as what it is.
            TooMany: See `aliases.holds`.
        """
        namespace, bindings = self._namespace, self._before.bindings
        deleted = tuple(
            name
            for name in bindings
            if name not in namespace and name not in RESERVED and self._may_bind(name)
        )
        written = self._written()
        whole = {**namespace, **({LAST: last} if has_last else {})}
        read = set(self._reading.digests) - set(deleted)
        outputs = set(written) | ({LAST} if has_last else set())
        # In the order of the first reading, so that what did not change reads as it did then.
        order = [name for name in self._reading.digests if name in read - outputs]
        after = read_names([*order, *sorted(outputs)], whole, home=namespace)
        changed = self._changed(after, read - outputs)
        self.changed = tuple(sorted(changed))
        for name in sorted(outputs | changed):
            if name in after.refused:
                raise Unstorable(
                    f"{_say(name)} is {told_type(after.refused[name])}, which cannot be stored"
                )
        for name in outputs | changed:
            if any(map(_is_bare_array, after.nodes.get(name, ()))):
                raise Unstorable(f"{_say(name)} holds a bare array of pandas'")
        for name in changed:
            if isinstance(whole[name], aliases.FIXED):
                raise Unstorable(f"it changes {name} itself")
        self._refuse_sharing(changed, outputs, after)
        values = {name: whole[name] for name in sorted(outputs | changed)}
        outcome = Outcome(
            values=values,
            changed=tuple(sorted(changed)),
            deleted=deleted,
            generators=self._generators(),
            imports=tuple(self._imports()),
            shown=shown,
            has_last=has_last,
            seconds=seconds,
        )
        serializer = serializer_for(
            self.cell,
            self._namespace,
            self._reading,
            before=self._before,
            changed=changed,
            after=after,
        )
        self._check_round_trip(outcome, serializer, after, whole)
        return outcome, serializer

    def _written(self) -> list[str]:
        namespace, bindings = self._namespace, self._before.bindings
        aside = self._before.set_aside
        return [
            name
            for name, value in list(namespace.items())
            if name in self._names
            and self._may_bind(name)
            and name in self._rebound | (namespace.keys() - aside.keys())
            and (name in self._rebound or bindings.get(name, _ABSENT) is not value)
        ]

    def _may_bind(self, name: str) -> bool:
        """Whether a binding that has changed is the cell's doing."""
        if self._alone:
            return True
        names = self.cell.names
        return (
            name in names.writes
            or name in names.deletes
            or any(name in globals_bound(code) for code in self._reading.codes)
        )

    def _changed(self, after: Reading, names: set[str]) -> set[str]:
        """Names whose values the cell changed in place, and those that hold on to such a value."""
        before = self._reading
        changed = {name for name in names if after.digests.get(name) != before.digests.get(name)}
        while True:
            more = {
                name
                for name in names - changed
                if (after.refs.get(name, set()) | before.refs.get(name, set())) & changed
            }
            if not more:
                return changed
            changed |= more

    def _refuse_sharing(self, changed: set[str], outputs: set[str], after: Reading) -> None:
        """Whatever is put back must not be held by something that stays as it is."""
        places = self._reading.node_ids()
        own = {
            id(node): node
            for name in outputs | changed
            for node in after.nodes.get(name, ())
            if id(node) not in places or places[id(node)][0] in changed
        }
        holder = aliases.module_holding(aliases.shareable(own), self._namespace)
        if holder:
            raise Unstorable(f"the module {holder} holds on to something that it writes or changes")
        others = self._names - set(after.digests) - changed
        roots = aliases.foreign_roots(own.values(), places)
        found = aliases.names_sharing(roots, others, self._namespace) if roots else []
        if found:
            raise Unstorable(f"it makes a view of an array that {found[0]} holds on to")
        self._refuse_views_of_frames(own, places)
        if not changed:
            return
        touched = {
            id(one): one
            for reading in (self._reading, after)
            for name in changed
            for one in reading.nodes.get(name, ())
        }
        found = aliases.holders(touched, others, changed, self._namespace)
        if found:
            raise Unstorable(f"it changes {min(changed)}, which {found[0]} holds on to as well")

    def _refuse_views_of_frames(self, own: Mapping[int, Any], places: Mapping[int, Any]) -> None:
        """`df["x"].values` is the frame's own memory, which changes with the frame."""
        roots = aliases.read_only_roots(own.values(), places)
        if not roots:
            return
        frames = aliases.frames_in([*self._namespace.values(), *own.values()], self._namespace)
        for frame in frames:
            if not roots.keys().isdisjoint(aliases.holds([frame], self._namespace)):
                raise Unstorable("it makes a view of a frame's own memory")

    def _generators(self) -> dict[str, Any]:
        changed = hidden.changed_generators(self._before.generators)
        if changed and not self._alone:
            raise Unstorable("random numbers were drawn while other cells ran")
        return changed

    def _imports(self) -> Iterator[str]:
        for node in ast.walk(ast.parse(self.cell.source)):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module

    def _check_round_trip(
        self, outcome: Outcome, serializer: CellSerializer, after: Reading, whole: dict[str, Any]
    ) -> None:
        """What is read back must be what was written, with all that it shares."""
        data, buffers = serializer.dump(outcome)
        again: Outcome = serializer.load(data, [bytearray(one) for one in buffers])
        merged = {**whole, **again.values}
        reread = read_names(after.digests, merged, home=self._namespace)
        for name in outcome.values:
            if reread.digests.get(name) != after.digests.get(name):
                raise Unstorable(f"{_say(name)} would not come back as it is")


def serializer_for(
    cell: Cell,
    namespace: dict[str, Any],
    reading: Reading,
    *,
    before: Before | None = None,
    changed: Collection[str] = (),
    after: Reading | None = None,
) -> CellSerializer:
    """What writes and reads outcomes of a cell in the notebook as `reading` tells it.

    Objects under names that the cell did not change stay in their place.

    Args:
        before: To write: the notebook when the cell began.
        after: To write: what was read since.
    """
    from nbflow.memo.pickling import CellSerializer  # cloudpickle is not needed to load nbflow

    places = {key: place for key, place in reading.node_ids().items() if place[0] not in changed}
    unplaced = {k: v for k, v in reading.unordered.items() if k not in places}
    for nodes in reading.nodes.values():
        for node in nodes:
            if isinstance(node, FunctionType):
                unplaced.update({id(cell): cell for cell in node.__closure__ or ()})
    # When the outcome is written, a name may be bound to something else than it was.
    begun = namespace if before is None else before.bindings
    for name in reading.digests:
        if name not in changed and aliases.has_identity(begun.get(name)):
            places.setdefault(id(begun[name]), (name, -1))
    return CellSerializer(
        namespace,
        places,
        reading.nodes,
        unplaced,
        aliases.shared_roots(itertools.chain(*after.nodes.values()))
        if after is not None
        else frozenset(),
        cell.filename,
        cell.code,
    )


def _is_bare_array(node: Any) -> bool:
    """An extension array on its own may be inside a series as well, which does not show."""
    extensions = getattr(getattr(sys.modules.get("pandas"), "api", None), "extensions", None)
    return extensions is not None and isinstance(node, extensions.ExtensionArray)


def replace_history(namespace: dict[str, Any], replaced: Mapping[int, tuple[Any, Any]]) -> None:
    """`_`, `_3` and `Out[3]` follow a variable whose object was put back as another."""
    for name, value in list(namespace.items()):
        if name.startswith("_") and id(value) in replaced:
            namespace[name] = replaced[id(value)][1]
    history = namespace.get("Out")
    if isinstance(history, dict):
        for number, value in list(history.items()):
            if id(value) in replaced:
                history[number] = replaced[id(value)][1]


def told_type(refused: Unfingerprintable) -> str:
    name = refused.type_name
    article = "an" if name[:1].lower() in "aeiou" else "a"
    return f"{article} {name}"


def _say(name: str) -> str:
    return "the value of its last expression" if name == LAST else name

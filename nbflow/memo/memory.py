"""The cache of cells: finds what a cell did before with the same inputs, and keeps what it does.

A cell's key has two steps. The first is made of what the source tells: the code it reaches and the
values it reads, with what they share, and the settings. Under it lies what else it was seen to
depend on when it ran - files, folders, random generators, the environment - whose present state
makes the second step, under which its outcome is kept.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import _lru_cache_wrapper
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from nbflow.analysis.effects import EffectKind
from nbflow.errors import Unfingerprintable, Unstorable
from nbflow.memo import aliases, hidden
from nbflow.memo.cells import REASONS, Cell
from nbflow.memo.chains import chains, globals_bound
from nbflow.memo.dependencies import Dependency, dependency
from nbflow.memo.effects import code_effects, module_values, opens_only_named, packages_used
from nbflow.memo.pickling import CellSerializer, has_identity, memory_root
from nbflow.memo.reasons import Reasons
from nbflow.memo.watching import Observation, file_facts, observed
from nbflow.results.fingerprint import fingerprint
from nbflow.results.fingerprint_code import is_library_module
from nbflow.results.fingerprint_reading import Reading, read_names
from nbflow.results.results import Results
from nbflow.results.serializers import JSONSerializer

logger = logging.getLogger(__name__)

_VERSION = 1
_MOST_SETS = 8
#: The name under which the value of a cell's last expression goes.
LAST = "<last>"
#: Follows a first key: the entry of what else outcomes under it depend on.
NEEDS = "-needs"
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


@dataclass(frozen=True, slots=True)
class Remembered:
    """A kept outcome that fits the notebook as it is."""

    outcome: Outcome
    key: str
    created_at: float
    seconds: float


class CellMemory:
    """The memory of one notebook.

    Args:
        namespace: The notebook's variables.
        probes: Settings of the notebook's own; see `hidden.settings`.
        is_injected: Tells names that are not the user's, such as `In` and `_3`.
    """

    def __init__(
        self,
        results: Results,
        namespace: dict[str, Any],
        *,
        probes: Mapping[str, Callable[[], object]] | None = None,
        is_injected: Callable[[str, Any], bool] = lambda *_: False,
    ) -> None:
        self.results = results
        self.namespace = namespace
        self.probes = dict(probes or {})
        self.is_injected = is_injected
        self.world = ""  # a digest of the cells that changed the process unseen, in order

    def visit(
        self,
        cell: Cell,
        *,
        forced: bool = False,
        refresh: bool = False,
        expiration_seconds: float | None = None,
        alone: bool = True,
    ) -> Visit:
        """Look at a cell that is about to run.

        Args:
            forced: Cache it although it reads clock, network and the like.
            refresh: Do not use what is kept, but replace it.
            expiration_seconds: How long what is kept may be used.
            alone: Whether no other cell runs at the same time. If not, what the cell writes is
                told from its source, and changes to shared state cannot be told apart.
        """
        return Visit(
            self,
            cell,
            forced=forced,
            refresh=refresh,
            expiration_seconds=expiration_seconds,
            alone=alone,
        )

    def noted(self, first_key: str) -> dict[str, Any] | None:
        """What is noted under a first key: "parts" and "needs"; None: nothing."""
        hit = self.results.lookup(f"{first_key}{NEEDS}", JSONSerializer())
        return None if hit is None else hit.value

    def names(self) -> list[str]:
        """The user's names."""
        return [
            name
            for name, value in list(self.namespace.items())
            if name not in RESERVED and not self.is_injected(name, value)
        ]

    def changed_unseen(self, what: object) -> None:
        """Something may have changed what later cells do: their keys count it from now on."""
        self.world = fingerprint(self.world, what)


@dataclass(slots=True)
class _Before:
    """The notebook as it was when the cell began."""

    bindings: dict[str, Any]
    settings: dict[str, str]
    generators: dict[str, Any]
    set_aside: dict[str, Any]
    began: float


class Visit:
    """One execution of one cell: looked up, or run and kept.

    Attributes:
        reasons: What speaks against caching it, as far as is known.
        parts: What its first key is made of, for people to compare.
        key: Under which it was found or kept; None: neither.
        changed: Names that it was seen to change in place.
    """

    def __init__(
        self,
        memory: CellMemory,
        cell: Cell,
        *,
        forced: bool,
        refresh: bool,
        expiration_seconds: float | None,
        alone: bool,
    ) -> None:
        self.memory = memory
        self.alone = alone
        self.expiration_seconds = expiration_seconds
        self.cell = cell
        self.forced = forced
        self.refresh = refresh
        self.reasons = Reasons()
        self.parts: dict[str, str] = {}
        self.key: str | None = None
        self.first_key: str | None = None
        self.changed: tuple[str, ...] = ()
        self._reading: Reading | None = None
        self._reads_environment = self._reads_place = False
        self._observation: Observation | None = None
        self._seeded: frozenset[str] = frozenset()
        self._rebound: frozenset[str] = frozenset()  # of the names set aside, those bound again
        self._before: _Before | None = None
        try:
            self._open()
        except Exception as error:  # a value of the user's that cannot even be looked at
            logger.debug("the key of a cell", exc_info=True)
            self.reasons.bars[f"its inputs cannot be read: {type(error).__name__}: {error}"] = None

    # --- the key ------------------------------------------------------------------------------

    def _open(self) -> None:
        cell, memory = self.cell, self.memory
        self._look_at_source()
        namespace = memory.namespace
        wanted = {name for name in cell.reads if name not in _IGNORED}
        users = set(memory.names())
        wanted |= cell.mentioned & users
        # Also names that shadow a builtin, which the source alone does not tell.
        wanted |= {chain.parts[0] for chain in chains(cell.code)} & users
        if cell.names.mutates:
            wanted |= self._sharing(cell.names.mutates, users - wanted) - {"Out"}
        reading = self._reading = read_names(sorted(wanted), namespace)
        for name, refused in reading.refused.items():
            if name in wanted and name not in cell.reads:
                continue  # only mentioned in a text
            self.reasons.bars[f"{name} is {_told_type(refused)}, which has no digest"] = None
        found = code_effects([cell.code, *reading.codes], namespace)
        for reason in found.reasons:
            self.reasons.reads[reason] = None
        self.reasons.changes_process |= found.changes_process
        if found.changes_process:
            self.reasons.bars.update(self.reasons.reads)
        in_cell = code_effects([cell.code], namespace)
        if found.compiled_reads and not (
            in_cell.compiled_reads and opens_only_named(cell.source, namespace)
        ):
            self.reasons.bars["it reads files whose names are not in sight"] = None
        self._reads_environment = found.reads_environment
        self._reads_place = found.reads_place
        self.parts = self._key_parts(reading)
        if not self.reasons.against(forced=self.forced):
            self.first_key = "cell-" + fingerprint(sorted(self.parts.items()))

    def _look_at_source(self) -> None:
        for effect in self.cell.effects:
            told = f"{REASONS[effect.kind]} {effect.told}".strip()
            where = self.reasons.reads if effect.kind is EffectKind.INPUT else self.reasons.bars
            where[told] = None
            is_harmless = effect.told.lstrip("%").split(" ")[0] in _HARMLESS_MAGICS
            if effect.kind is EffectKind.NAMESPACE or (
                effect.kind is EffectKind.MAGIC and not is_harmless
            ):
                self.reasons.changes_process = True

    def _sharing(self, mutated: Iterable[str], others: set[str]) -> set[str]:
        """Names that would see a change to one of those that the cell is going to change."""
        namespace = self.memory.namespace
        values = [namespace[name] for name in mutated if name in namespace]
        try:
            objects = aliases.holds(values, namespace)
            return set(self._holders(objects, others, mutated)) & {*others, "Out"}
        except aliases.TooMany:
            self.reasons.bars["the notebook holds too many objects to look at"] = None
            return set()

    def _key_parts(self, reading: Reading) -> dict[str, str]:
        settings = hidden.settings(self.memory.probes)
        if hidden.figures_are_open():
            self.reasons.bars["a figure is open"] = None
        packages = packages_used([self.cell.code, *reading.codes], self.memory.namespace)
        packages |= {
            type(one).__module__.partition(".")[0]
            for nodes in reading.nodes.values()
            for one in nodes
        }
        values = module_values([self.cell.code, *reading.codes], self.memory.namespace)
        return {
            **{f"value {name}": digest for name, digest in values.items()},
            "source": self.cell.normal,
            "python": f"{sys.version_info[:2]} {_VERSION}",
            "earlier effects": self.memory.world,
            "options": repr((self.cell.outputs, self.cell.inputs, self.cell.form)),
            **{f"input {name}": digest for name, digest in reading.digests.items()},
            **{f"input {name}": "missing" for name in reading.missing},
            **{group: settings[group] for group in hidden.keyed(settings, packages)},
        }

    def _second_key(self, states: Iterable[tuple[str, str, str]]) -> str:
        return "cell-" + fingerprint(self.first_key, sorted(states))

    # --- finding --------------------------------------------------------------------------------

    def find(self) -> Remembered | None:
        """What the cell did before in this very situation, if that is known."""
        if self.first_key is None or self.refresh:
            return None
        for dependencies in self._known_dependencies():
            key = self._second_key((one.kind, one.name, one.state_now()) for one in dependencies)
            hit = self.memory.results.lookup(key, self._serializer())
            if hit is not None and isinstance(hit.value, Outcome) and self._fits(hit.value):
                self.key = key
                return Remembered(hit.value, key, hit.created_at, hit.seconds)
        return None

    def _known_dependencies(self) -> list[list[Dependency]]:
        assert self.first_key is not None
        noted = self.memory.noted(self.first_key)
        needs = noted["needs"] if noted is not None else []
        return [[Dependency.from_json(one) for one in known] for known in needs]

    def _fits(self, outcome: Outcome) -> bool:
        """Whether no other name would miss the changes that the outcome holds."""
        if not outcome.changed:
            return True
        others = set(self.memory.names()) - set(outcome.values)
        return not self._sharing(outcome.changed, others) and not self.reasons.bars

    def restore(self, remembered: Remembered) -> Any:
        """Put the outcome into the notebook; gives the value of the last expression."""
        outcome, namespace = remembered.outcome, self.memory.namespace
        for module in outcome.imports:
            __import__(module)
        values = dict(outcome.values)
        last = values.pop(LAST, None)
        replaced = {
            id(namespace[name]): (namespace[name], values[name])
            for name in outcome.changed
            if name in namespace
        }
        namespace.update(values)
        for name in outcome.deleted:
            namespace.pop(name, None)
        for name, state in outcome.generators.items():
            hidden.set_generator(name, state)
        if replaced:
            _replace_history(namespace, replaced)
        return last

    # --- running ----------------------------------------------------------------------------------

    @contextmanager
    def watched(self, *, skipped: bool = False) -> Iterator[None]:
        """Watch the cell while it runs inside the block.

        Args:
            skipped: It will not be kept, whatever it does.
        """
        memory = self.memory
        namespace = memory.namespace
        read = set(self._reading.digests) | set(self._reading.refused) if self._reading else set()
        aside, bindings = {}, {}
        if self.first_key is not None and not skipped:
            aside = {
                name: namespace.pop(name)
                for name in self.cell.names.writes
                if name in namespace and name not in read and name not in self.cell.reads
            }
            bindings = dict(namespace)
        self._before = _Before(
            bindings,
            hidden.settings(memory.probes),
            hidden.generators(),
            aside,
            time.perf_counter(),
        )
        try:
            with observed((str(memory.results.folder),)) as observation, hidden.Seeding() as seeds:
                self._observation = observation
                yield
        finally:
            self._seeded = frozenset(seeds.seeded)
            self._rebound = frozenset(name for name in aside if name in namespace)
            for name, value in aside.items():
                namespace.setdefault(name, value)
            seeds.release(namespace)

    def keep(
        self, *, last: Any, has_last: bool, shown: list[Any], run_id: str, seconds: float
    ) -> str:
        """Keep what the cell did; gives the reason why not, empty if it is kept.

        Args:
            last: The value of its last expression, if `has_last`.
        """
        assert self._before is not None
        assert self._observation is not None
        self._look_at_run()
        if reason := self.reasons.against(forced=self.forced):
            self._tell_world()
            return reason
        assert self.first_key is not None
        try:
            outcome, serializer = self._outcome(last, has_last, shown, seconds)
            dependencies = self._dependencies(outcome)
            key = self._second_key((one.kind, one.name, one.state) for one in dependencies)
            self.memory.results.save(
                key,
                outcome,
                task_name=self.cell.name,
                run_id=run_id,
                seconds=seconds,
                serializer=serializer,
                expiration_seconds=self.expiration_seconds,
                group=self.first_key,
            )
            self._keep_dependencies(dependencies, run_id)
        except (Unstorable, Unfingerprintable) as error:
            self.reasons.bars[str(error)] = None
            return str(error)
        except aliases.TooMany:
            return "the notebook holds too many objects to look at"
        except Exception as error:
            logger.debug("keeping a cell", exc_info=True)
            return f"it could not be stored: {type(error).__name__}: {error}"
        self.key = key
        return ""

    def skip(self, reason: str) -> None:
        """The cell has run and is not to be kept, for a reason of the caller's."""
        self._look_at_run()
        self.reasons.bars[reason] = None
        self._tell_world()

    def close(self) -> None:
        """Let go of the notebook's objects: a variable that is deleted has to die."""
        self._reading = self._before = self._observation = None

    def failed(self) -> None:
        """The cell raised: what it did before that stays done."""
        self._tell_world()

    def _tell_world(self) -> None:
        if self.reasons.changes_process:
            files = self._observation.files if self._observation is not None else ()
            contents = [dependency("file", path).state for path in files]
            self.memory.changed_unseen((sorted(self.parts.items()), contents))

    def _look_at_run(self) -> None:
        assert self._before is not None
        assert self._observation is not None
        for reason in self._observation.reasons:
            where = self.reasons.reads if reason in _OVERRULED else self.reasons.bars
            where[reason] = None
        after = hidden.settings(self.memory.probes)
        for group, digest in after.items():
            if self._before.settings.get(group) != digest:
                self.reasons.bars[f"it changes {group}"] = None
        self._look_at_discarded()
        for path, facts in self._observation.files.items():
            if file_facts(path) != facts:
                self.reasons.bars[f"{os.path.basename(path)} changed while it ran"] = None

    def _look_at_discarded(self) -> None:
        """`logger.setLevel(10)`: an effect that the digest of the object does not show."""
        if self._reading is None:
            return
        namespace = self.memory.namespace
        for chain in chains(self.cell.code):
            root = chain.parts[0]
            if not chain.is_discarded or len(chain.parts) < 2 or root not in self._reading.digests:
                continue
            kind = type(namespace.get(root))
            top = kind.__module__.partition(".")[0]
            if top not in _TRANSPARENT and is_library_module(kind.__module__):
                self.reasons.bars[f"it calls {chain} for its effect"] = None
                self.reasons.changes_process = True

    # --- the outcome --------------------------------------------------------------------------------

    def _outcome(
        self, last: Any, has_last: bool, shown: list[Any], seconds: float
    ) -> tuple[Outcome, CellSerializer]:
        assert self._before is not None
        assert self._reading is not None
        namespace, bindings = self.memory.namespace, self._before.bindings
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
                raise Unstorable(f"{_say(name)} is {_told_type(after.refused[name])}, which cannot be stored")
        for name in outputs | changed:
            if any(map(_is_bare_array, after.nodes.get(name, ()))):
                raise Unstorable(f"{_say(name)} holds a bare array of pandas'")
        for name in changed:
            if isinstance(whole[name], _FIXED):
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
        serializer = self._serializer(changed, after)
        self._check_round_trip(outcome, serializer, after, whole)
        return outcome, serializer

    def _written(self) -> list[str]:
        assert self._before is not None
        namespace, bindings = self.memory.namespace, self._before.bindings
        aside = self._before.set_aside
        return [
            name
            for name, value in list(namespace.items())
            if name not in RESERVED
            and not self.memory.is_injected(name, value)
            and self._may_bind(name)
            and name in self._rebound | (namespace.keys() - aside.keys())
            and (name in self._rebound or bindings.get(name, _ABSENT) is not value)
        ]

    def _may_bind(self, name: str) -> bool:
        """Whether a binding that has changed is the cell's doing."""
        if self.alone:
            return True
        assert self._reading is not None
        names = self.cell.names
        return name in names.writes or name in names.deletes or any(
            name in globals_bound(code) for code in self._reading.codes
        )

    def _changed(self, after: Reading, names: set[str]) -> set[str]:
        """Names whose values the cell changed in place, and those that hold on to such a value."""
        assert self._reading is not None
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
        assert self._reading is not None
        places = self._reading.node_ids()
        own = {
            id(node): node
            for name in outputs | changed
            for node in after.nodes.get(name, ())
            if id(node) not in places or places[id(node)][0] in changed
        }
        holder = aliases.module_holding(_shareable(own), self.memory.namespace)
        if holder:
            raise Unstorable(f"the module {holder} holds on to something that it writes or changes")
        others = set(self.memory.names()) - set(after.digests) - changed
        roots = _foreign_roots(own.values(), places)
        found = aliases.names_sharing(roots, others, self.memory.namespace) if roots else []
        if found:
            raise Unstorable(f"it makes a view of an array that {found[0]} holds on to")
        if not changed:
            return
        touched = {
            id(one): one
            for reading in (self._reading, after)
            for name in changed
            for one in reading.nodes.get(name, ())
        }
        found = self._holders(touched, others, changed)
        if found:
            raise Unstorable(f"it changes {min(changed)}, which {found[0]} holds on to as well")

    def _holders(
        self, objects: Mapping[int, Any], others: Iterable[str], changed: Iterable[str]
    ) -> list[str]:
        """Names, and results of the history, that hold on to one of the objects."""
        namespace = self.memory.namespace
        shareable = _shareable(objects)
        found = aliases.names_sharing(shareable, others, namespace)
        # What is a variable itself follows it, see `_replace_history`.
        whole = {id(namespace[name]) for name in changed if name in namespace}
        history = namespace.get("Out")
        kept = list(history.values()) if isinstance(history, dict) else []
        kept = [one for one in kept if id(one) not in whole]
        if kept and not shareable.keys().isdisjoint(aliases.holds(kept, namespace)):
            found.append("Out")
        return found

    def _generators(self) -> dict[str, Any]:
        assert self._before is not None
        changed = hidden.changed_generators(self._before.generators)
        if changed and not self.alone:
            raise Unstorable("random numbers were drawn while other cells ran")
        return changed

    def _imports(self) -> Iterator[str]:
        import ast

        for node in ast.walk(ast.parse(self.cell.source)):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module

    def _serializer(
        self, changed: set[str] = frozenset(), after: Reading | None = None  # type: ignore[assignment]
    ) -> CellSerializer:
        """For the outcome: objects under names that the cell did not change stay in their place."""
        assert self._reading is not None
        reading = self._reading
        places = {
            key: place for key, place in reading.node_ids().items() if place[0] not in changed
        }
        unplaced = {k: v for k, v in reading.unordered.items() if k not in places}
        for nodes in reading.nodes.values():
            for node in nodes:
                if isinstance(node, FunctionType):
                    unplaced.update({id(cell): cell for cell in node.__closure__ or ()})
        namespace = self.memory.namespace
        # When the outcome is written, a name may be bound to something else than it was.
        begun = namespace if self._before is None else self._before.bindings
        for name in reading.digests:
            if name not in changed and has_identity(begun.get(name)):
                places.setdefault(id(begun[name]), (name, -1))
        return CellSerializer(
            namespace,
            places,
            reading.nodes,
            unplaced,
            _shared_roots(after) if after is not None else frozenset(),
            self.cell.filename,
        )

    def _check_round_trip(
        self, outcome: Outcome, serializer: CellSerializer, after: Reading, whole: dict[str, Any]
    ) -> None:
        """What is read back must be what was written, with all that it shares."""
        data, buffers = serializer.dump(outcome)
        again: Outcome = serializer.load(data, [bytearray(one) for one in buffers])
        merged = {**whole, **again.values}
        reread = read_names(after.digests, merged, home=self.memory.namespace)
        for name in outcome.values:
            if reread.digests.get(name) != after.digests.get(name):
                raise Unstorable(f"{_say(name)} would not come back as it is")

    # --- dependencies ---------------------------------------------------------------------------------

    def _dependencies(self, outcome: Outcome) -> list[Dependency]:
        assert self._observation is not None
        assert self._before is not None
        found = [dependency("file", path) for path in self._observation.files]
        found += [dependency("folder", path) for path in self._observation.folders]
        found += [
            Dependency("generator", name, fingerprint(self._before.generators[name]))
            for name in outcome.generators
            if name not in self._seeded
        ]
        if self._reads_environment:
            found.append(dependency("environment", ""))
        if any(one.kind in ("file", "folder") for one in found) or self._reads_place:
            found.append(dependency("place", ""))
        known = {(one.kind, one.name) for one in found}
        for path in self._mentioned_paths():
            kind = "tree" if os.path.isdir(path) else "file"
            if (kind, path) not in known:
                found += [dependency(kind, path), dependency("place", "")]
        return list(dict.fromkeys(found))

    def _mentioned_paths(self) -> list[str]:
        """Paths in the cell's texts and inputs where there is a file: C code opens it unseen."""
        assert self._reading is not None
        texts = [os.fspath(path) for path in self.cell.paths]
        for name in self._reading.digests:
            value = self.memory.namespace.get(name)
            if isinstance(value, str | PurePath):
                texts.append(os.fspath(value))
        paths = []
        for text in dict.fromkeys(texts):
            if 0 < len(text) < 1024 and "\0" not in text and text not in (".", "/"):
                path = os.path.abspath(os.path.expanduser(text))
                if os.path.exists(path):
                    paths.append(path)
        return paths

    def _keep_dependencies(self, dependencies: list[Dependency], run_id: str) -> None:
        known = self._known_dependencies()
        names = {(one.kind, one.name) for one in dependencies}
        others = [one for one in known if {(d.kind, d.name) for d in one} != names]
        kept = [dependencies, *others][:_MOST_SETS]
        self.memory.results.save(
            f"{self.first_key}{NEEDS}",
            {
                "needs": [[one.to_json() for one in some] for some in kept],
                "parts": self.parts,
            },
            task_name=self.cell.name,
            run_id=run_id,
            seconds=0.0,
            serializer=JSONSerializer(),
            group=self.first_key,
        )


#: Magics whose effects are seen otherwise, or that have none on later cells.
_HARMLESS_MAGICS = {"time", "timeit", "matplotlib", "config", "writefile", "capture", "ls", "pwd",
                    "who", "whos", "precision", "cd", "env", "bash", "sh", "html", "HTML",
                    "latex", "markdown", "svg", "javascript", "js", "load_ext", "autoreload",
                    "pip", "conda", "history", "prun", "task", "flow", "nbflow"}  # fmt: skip
_IGNORED = {"In", "Out", "get_ipython", "exit", "quit", "display"}
#: Libraries whose objects show in their digest all that their methods change.
_TRANSPARENT = {"builtins", "numpy", "pandas", "collections", "polars", "pyarrow", "sklearn",
                "datetime", "decimal", "fractions", "matplotlib", "scipy", "statsmodels",
                "array", "random", "re", "pathlib", "string", "networkx"}  # fmt: skip
_OVERRULED = {"it uses the network", "it waits for input", "it draws fresh randomness"}


#: What is never put back as another object.
_FIXED = (FunctionType, MethodType, BuiltinFunctionType, ModuleType, type, _lru_cache_wrapper)


def _shareable(objects: Mapping[int, Any]) -> dict[int, Any]:
    """Without what is never replaced: classes, functions, modules, and pandas' indexes."""
    index = getattr(sys.modules.get("pandas"), "Index", ())
    return {
        key: one
        for key, one in objects.items()
        if not isinstance(one, _FIXED) and not (index and isinstance(one, index))
    }


def _is_bare_array(node: Any) -> bool:
    """An extension array on its own may be inside a series as well, which does not show."""
    extensions = getattr(getattr(sys.modules.get("pandas"), "api", None), "extensions", None)
    return extensions is not None and isinstance(node, extensions.ExtensionArray)


def _foreign_roots(objects: Iterable[Any], places: Mapping[int, Any]) -> dict[int, Any]:
    """Arrays that own the memory of arrays among the objects, but have no place of their own."""
    ndarray = getattr(sys.modules.get("numpy"), "ndarray", ())
    roots = [memory_root(one) for one in objects if ndarray and isinstance(one, ndarray)]
    mine = {id(one) for one in objects}
    return {id(root): root for root in roots if id(root) not in mine and id(root) not in places}


def _shared_roots(reading: Reading) -> frozenset[int]:
    """Ids of arrays that more than one array of the notebook is a view of."""
    ndarray = getattr(sys.modules.get("numpy"), "ndarray", None)
    if ndarray is None:
        return frozenset()
    seen: dict[int, set[int]] = {}
    for nodes in reading.nodes.values():
        for node in nodes:
            if isinstance(node, ndarray):
                seen.setdefault(id(memory_root(node)), set()).add(id(node))
    return frozenset(root for root, arrays in seen.items() if len(arrays) > 1)


def _replace_history(namespace: dict[str, Any], replaced: Mapping[int, tuple[Any, Any]]) -> None:
    """`_`, `_3` and `Out[3]` follow a variable whose object was put back as another."""
    for name, value in list(namespace.items()):
        if name.startswith("_") and id(value) in replaced:
            namespace[name] = replaced[id(value)][1]
    history = namespace.get("Out")
    if isinstance(history, dict):
        for number, value in list(history.items()):
            if id(value) in replaced:
                history[number] = replaced[id(value)][1]


def _told_type(refused: Unfingerprintable) -> str:
    name = refused.type_name
    article = "an" if name[:1].lower() in "aeiou" else "a"
    return f"{article} {name}"


def _say(name: str) -> str:
    return "the value of its last expression" if name == LAST else name

"""One execution of one cell: looked up by what it reads, or run, watched and kept."""

from __future__ import annotations

import builtins
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Protocol

from nbflow.analysis.effects import EffectKind
from nbflow.errors import Unfingerprintable, Unstorable
from nbflow.memo import aliases, hidden
from nbflow.memo.cells import REASONS, Cell
from nbflow.memo.chains import chains
from nbflow.memo.dependencies import Dependency, dependency
from nbflow.memo.effects import code_effects, module_values, opens_only_named, packages_used
from nbflow.memo.hidden import load_first
from nbflow.memo.known import HARMLESS_MAGICS, IGNORED, OVERRULED, TRANSPARENT
from nbflow.memo.outcomes import (
    LAST,
    Aftermath,
    Before,
    Outcome,
    replace_history,
    serializer_for,
    told_type,
)
from nbflow.memo.reasons import Reasons
from nbflow.memo.watching import Observation, file_facts, observed
from nbflow.results.fingerprint import fingerprint
from nbflow.results.fingerprint_code import is_library_module
from nbflow.results.fingerprint_imports import imported_files
from nbflow.results.fingerprint_reading import Reading, read_names
from nbflow.results.results import Results
from nbflow.results.serializers import JSONSerializer

logger = logging.getLogger(__name__)

_VERSION = 1
_MOST_SETS = 8
_OF_RUN_SECONDS = 7 * 86_400.0  # how long a run that failed can be gone on from
#: Follows a first key: the entry of what else outcomes under it depend on.
NEEDS = "-needs"


class Memory(Protocol):
    """What a visit needs of the memory of its notebook."""

    results: Results
    namespace: dict[str, Any]
    probes: dict[str, Callable[[], object]]
    world: str

    def names(self) -> list[str]: ...
    def noted(self, first_key: str) -> dict[str, Any] | None: ...
    def number(self, parts: Mapping[str, str]) -> int: ...
    def changed_unseen(self, what: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Remembered:
    """A kept outcome that fits the notebook as it is."""

    outcome: Outcome
    key: str
    created_at: float
    seconds: float


class Visit:
    """One execution of one cell: looked up, or run and kept.

    Attributes:
        reasons: What speaks against caching it, as far as is known.
        parts: What its first key is made of, for people to compare.
        key: Under which it was found or kept; None: neither.
        changed: Names that it was seen to change in place.
        is_of_run: Whether only runs that go on from this one may find it: what it asked of the
            world may be answered otherwise to others.
    """

    def __init__(
        self,
        memory: Memory,
        cell: Cell,
        *,
        forced: bool,
        refresh: bool,
        expiration_seconds: float | None,
        alone: bool,
        origin: str = "",
    ) -> None:
        self.memory = memory
        self._origin = origin
        self.alone = alone
        self.expiration_seconds = expiration_seconds
        self.cell = cell
        self.forced = forced
        self.refresh = refresh
        self.reasons = Reasons()
        self.parts: dict[str, str] = {}
        self.key: str | None = None
        self.first_key: str | None = None
        self.is_of_run = False
        self._part_of_run = ""
        self.changed: tuple[str, ...] = ()
        self._reading: Reading | None = None
        self._reads_environment = self._reads_place = False
        self._observation: Observation | None = None
        self._mentioned: dict[str, tuple[int, ...] | None] = {}  # with their facts at the start
        self._seeded: frozenset[str] = frozenset()
        self._rebound: frozenset[str] = frozenset()  # of the names set aside, those bound again
        self._before: Before | None = None
        try:
            self._open()
        except Exception as error:  # a value of the user's that cannot even be looked at
            logger.debug("the key of a cell", exc_info=True)
            self.reasons.bars[f"its inputs cannot be read: {type(error).__name__}: {error}"] = None

    # --- the key ------------------------------------------------------------------------------

    def _open(self) -> None:
        cell, memory = self.cell, self.memory
        self._look_at_source()
        load_first(cell.source)
        namespace = memory.namespace
        wanted = {name for name in cell.reads if name not in IGNORED}
        users = set(memory.names())
        wanted |= cell.mentioned & users
        # Also names that shadow a builtin, which the source alone does not tell.
        wanted |= {chain.parts[0] for chain in chains(cell.code)} & users & vars(builtins).keys()
        if mutated := cell.reads.intersection(cell.names.mutates):
            wanted |= self._sharing(mutated, users - wanted) - {"Out"}
        reading = self._reading = read_names(sorted(wanted), namespace)
        for name, refused in reading.refused.items():
            if name in wanted and name not in cell.reads:
                continue  # only mentioned in a text
            self.reasons.bars[f"{name} is {told_type(refused)}, which has no digest"] = None
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
            self.first_key = _first_key(self.parts)
        elif self._origin and not self.reasons.bars:
            self._bind_to_run()

    def _bind_to_run(self) -> None:
        """Have it found by runs that go on from this one, and by no others."""
        self.parts = self._parts_of_run()
        self.first_key = _first_key(self.parts)
        self.is_of_run = True

    def _parts_of_run(self) -> dict[str, str]:
        # Numbered: of two equal cells each is run.
        if not self._part_of_run:
            self._part_of_run = f"{self._origin} {self.memory.number(self.parts)}"
        return {**self.parts, "run": self._part_of_run}

    @property
    def asked_for_run(self) -> bool:
        """Whether the cell, which has run, asked something of the world in a run to go on from."""
        seen = self._observation.reasons if self._observation is not None else ()
        asked = self.reasons.reads or not OVERRULED.isdisjoint(seen)
        return bool(self._origin and asked)

    def _against(self) -> str:
        """Why it is not to be kept; empty: nothing speaks against it."""
        return self.reasons.against(forced=self.forced or self.is_of_run)

    def _look_at_source(self) -> None:
        for effect in self.cell.effects:
            told = f"{REASONS[effect.kind]} {effect.told}".strip()
            where = self.reasons.reads if effect.kind is EffectKind.INPUT else self.reasons.bars
            where[told] = None
            is_harmless = effect.told.lstrip("%").split(" ")[0] in HARMLESS_MAGICS
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
            return set(aliases.holders(objects, others, mutated, namespace)) & {*others, "Out"}
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
        files = {
            k: v for one in (self.cell.code, *reading.codes) for k, v in imported_files(one).items()
        }
        return {
            **{f"file of {name}": digest for name, digest in files.items()},
            **{f"value {name}": digest for name, digest in values.items()},
            "source": self.cell.normal,
            "python": f"{sys.version_info[:2]} {_VERSION}",
            "earlier effects": self.memory.world,
            "options": repr((self.cell.outputs, self.cell.inputs, self.cell.form)),
            **{
                # With the number of places in it, which outcomes refer to by number.
                f"input {name}": f"{digest}-{len(reading.nodes.get(name, ()))}"
                for name, digest in reading.digests.items()
            },
            **{f"input {name}": "missing" for name in reading.missing},
            **{group: settings[group] for group in hidden.keyed(settings, packages)},
        }

    # --- finding --------------------------------------------------------------------------------

    def find(self) -> Remembered | None:
        """What the cell did before in this very situation, if that is known."""
        if self.first_key is None or self.refresh:
            return None
        found = self._found_under(self.first_key)
        if found is None and self._origin and not self.is_of_run:
            # That it asks something of the world may not be told by its source, only by a run.
            found = self._found_under(_first_key(self._parts_of_run()))
        return found

    def _found_under(self, first_key: str) -> Remembered | None:
        assert self._reading is not None
        serializer = serializer_for(self.cell, self.memory.namespace, self._reading)
        for dependencies in self._known_dependencies(first_key):
            states = ((one.kind, one.name, one.state_now()) for one in dependencies)
            key = _second_key(first_key, states)
            hit = self.memory.results.lookup(key, serializer)
            if hit is not None and isinstance(hit.value, Outcome) and self._fits(hit.value):
                self.key = key
                return Remembered(hit.value, key, hit.created_at, hit.seconds)
        return None

    def _known_dependencies(self, first_key: str) -> list[list[Dependency]]:
        noted = self.memory.noted(first_key)
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
            replace_history(namespace, replaced)
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
            self._mentioned = {path: file_facts(path) for path in self._mentioned_paths()}
        self._before = Before(
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
        if self._origin and self.first_key and self._against() and not self.reasons.bars:
            self._bind_to_run()
        if reason := self._against():
            self._tell_world()
            return reason
        assert self.first_key is not None
        try:
            outcome, serializer = self._aftermath().outcome(
                last, has_last=has_last, shown=shown, seconds=seconds
            )
            self.changed = outcome.changed
            dependencies = self._dependencies(outcome)
            states = ((one.kind, one.name, one.state) for one in dependencies)
            key = _second_key(self.first_key, states)
            self.memory.results.save(
                key,
                outcome,
                task_name=self.cell.name,
                run_id=run_id,
                seconds=seconds,
                serializer=serializer,
                expiration_seconds=self._expiration_seconds(),
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

    def _aftermath(self) -> Aftermath:
        assert self._before is not None
        assert self._reading is not None
        return Aftermath(
            self.cell,
            self.memory.namespace,
            self._before,
            self._reading,
            rebound=self._rebound,
            names=self.memory.names(),
            alone=self.alone,
        )

    def skip(self, reason: str) -> None:
        """The cell has run and is not to be kept, for a reason of the caller's."""
        self._look_at_run()
        self.reasons.bars[reason] = None
        self._tell_world()

    def close(self) -> None:
        """Let go of the notebook's objects: a variable that is deleted has to die."""
        self._reading = self._before = self._observation = None

    def failed(self) -> None:
        """The cell raised: what it did before that stays done, so no later try can be kept."""
        self._tell_world()
        self.reasons.bars["an earlier try of it failed"] = None
        self.first_key = None

    def _tell_world(self) -> None:
        if self.reasons.changes_process:
            files = self._observation.files if self._observation is not None else ()
            contents = [dependency("file", path).state for path in files]
            self.memory.changed_unseen((sorted(self.parts.items()), contents))

    def _look_at_run(self) -> None:
        assert self._before is not None
        assert self._observation is not None
        for reason in self._observation.reasons:
            where = self.reasons.reads if reason in OVERRULED else self.reasons.bars
            where[reason] = None
        after = hidden.settings(self.memory.probes)
        for group, digest in after.items():
            if self._before.settings.get(group) != digest:
                self.reasons.bars[f"it changes {group}"] = None
        self._look_at_discarded()
        for path, facts in (*self._mentioned.items(), *self._observation.files.items()):
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
            if top not in TRANSPARENT and is_library_module(kind.__module__):
                self.reasons.bars[f"it calls {chain} for its effect"] = None
                self.reasons.changes_process = True

    # --- dependencies -----------------------------------------------------------------------

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
        for path in self._mentioned:
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
        assert self.first_key is not None
        known = self._known_dependencies(self.first_key)
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
            expiration_seconds=self._expiration_seconds() if self.is_of_run else None,
            group=self.first_key,
        )

    def _expiration_seconds(self) -> float | None:
        given = self.expiration_seconds
        if not self.is_of_run:
            return given
        return _OF_RUN_SECONDS if given is None else min(given, _OF_RUN_SECONDS)


def _first_key(parts: Mapping[str, str]) -> str:
    return "cell-" + fingerprint(sorted(parts.items()))


def _second_key(first_key: str, states: Iterable[tuple[str, str, str]]) -> str:
    return "cell-" + fingerprint(first_key, sorted(states))

"""What a later run needs to go on from this one: each task's result, kept under its call.

Nobody asked for these results to be kept, so what cannot be is not, and only the debug log tells;
the task then simply runs again. They are dropped once the run has completed.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from inspect import Parameter
from math import isfinite
from typing import TYPE_CHECKING, Any

from nbflow.engine.identity import is_held
from nbflow.engine.transactions import current_transaction
from nbflow.memo import hidden
from nbflow.model.calls import Calls, Origin
from nbflow.model.specs import FlowSpec, TaskSpec
from nbflow.results.fingerprint import fingerprint
from nbflow.results.results import Hit, Results

if TYPE_CHECKING:
    from nbflow.engine.context import FlowScope, RunContext
    from nbflow.model.runs import Run
    from nbflow.model.states import State

logger = logging.getLogger(__name__)

#: How long a run that failed can be gone on from.
KEPT_SECONDS = 7 * 86_400.0


@dataclass(slots=True)
class ResumePlan:
    """How one task run of a resumable flow run is found again, and kept. Both block.

    Attributes:
        about: Digest of the task's source and inputs when it began.
        surroundings: What it would have to change again, if it changed that.
        generators: The states of the random generators when it began.
        key: Where the result goes; None: it is not kept.
        group: What it has in common with those of equal calls.
    """

    results: Results
    spec: TaskSpec
    about: str = ""
    surroundings: object = None
    generators: dict[str, Any] = field(default_factory=dict)
    key: str | None = None
    group: str = ""
    began_at: float = 0.0

    def lookup(self, context: RunContext) -> Hit | None:
        """The result of such a call that completed before, if there is one that nobody has used."""
        self.began_at = time.time()
        run, outer = context.run, context.run.calls
        if outer is None:
            return None
        try:
            self.about = self._about(context)
        except Exception as error:
            _tell(self.spec, error)
            return None
        tags = sorted(run.tags)
        situation = _situation(outer.origin)
        what = f"resume-{fingerprint(outer.path, self.spec.name, self.about, tags, situation)}"
        found, number = outer.find(
            what, partial(self._numbers, what), lambda n: self.results.lookup(f"{what}-{n}")
        )
        key = f"{what}-{number}"
        if found is not None:
            outer.origin.keys[key] = None
            run_name, value, generators = found.value
            for name, state in generators.items():  # what is drawn next is what was drawn
                hidden.set_generator(name, state)
            message = f"completed in flow run {run_name!r}"
            return Hit(value, found.created_at, found.seconds, found.size_bytes, message)
        self.key, self.group = key, what
        self.surroundings = _surroundings()
        self.generators = hidden.generators()
        run.calls = Calls(outer.origin, run, self.key, outer)
        self.began_at = time.time()
        return None

    def save(self, context: RunContext, state: State) -> State:
        """Keep what the task gave, unless it also did something that would be missing then."""
        if self.key is None:
            return state
        origin = context.run.calls.origin if context.run.calls is not None else None
        try:
            changed = self._about(context) != self.about
            changed = changed or _surroundings() != self.surroundings
            given = context.parameters().values()
            if origin is None or changed or is_held(state.data, self.spec.fn, given):
                logger.debug("task %r changes or gives what it found: not kept", self.spec.name)
                return state
            self.results.save(
                self.key,
                (origin.run.name, state.data, hidden.changed_generators(self.generators)),
                task_name=self.spec.name,
                run_id=context.run.id,
                seconds=time.time() - self.began_at,
                expiration_seconds=KEPT_SECONDS,
                group=self.group,
            )
            origin.keys[self.key] = None
        except Exception as error:
            _tell(self.spec, error)
        return state

    def _about(self, context: RunContext) -> str:
        return fingerprint(self.spec.fn, context.parameters())

    def _numbers(self, what: str) -> list[int]:
        return [int(key.removeprefix(f"{what}-")) for key in self.results.keys_of(what)]


def may_resume(context: RunContext) -> bool:
    """Whether the result of a task that says nothing of it is kept for a run that goes on."""
    spec = context.spec
    if not context.scope.is_resumable or not isinstance(spec, TaskSpec):
        return False
    if spec.persist_result is not None or spec.results.refresh or spec.colour.yields:
        return False
    # Rolled back with its transaction it would count as not done, and found it would be as done.
    staged = spec.hooks.on_commit or spec.hooks.on_rollback
    return not (staged and current_transaction.get() is not None)


def add_calls(run: Run, key: str) -> None:
    """What is called in a task run that is kept under `key` is not called when that is found."""
    outer = run.calls
    if outer is not None:
        run.calls = Calls(outer.origin, run, f"{key}/{outer.number(key)}", outer)


def calls_of_flow(run: Run, scope: FlowScope, outer: Calls | None) -> Calls | None:
    """The calls of a new flow run; None: no other run goes on from it.

    Args:
        outer: Of the run that calls it; None: it is an outermost one.
    """
    if not scope.origin_id:
        return None
    if outer is not None:
        return Calls(outer.origin, run, partial(_path, run, scope), outer)
    has_kept = scope.origin_id != run.id or run.run_count > 0
    surroundings = hidden.working_directory(), hidden.environment()
    origin = Origin(scope.origin_id, run, has_kept=has_kept, surroundings=surroundings)
    return Calls(origin, run, scope.origin_id)


def flow_path(context: RunContext) -> str | None:
    """What names the flow run of a task in every run of its origin; None: its id does."""
    flow_run = context.scope.run
    return None if flow_run is None or flow_run.calls is None else flow_run.calls.path


def source_of_call(
    spec: FlowSpec, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any] | None:
    """How to call an outermost flow again; None: not all that it was given is small and plain."""
    if not args and not kwargs:
        return {"kind": "call", "parameters": {}}
    try:
        bound = dict(spec.signature.bind(*args, **kwargs).arguments)
        kinds = {one.kind for one in spec.signature.parameters.values()}
    except (TypeError, ValueError):  # the run will tell
        return None
    parameters = plain(bound) if kinds <= _NAMED else None
    return None if parameters is None else {"kind": "call", "parameters": parameters}


def plain(parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """A copy of parameters that JSON gives back as they are; None: it does not, or is long."""
    try:
        if not _is_plain(dict(parameters)):
            return None
        text = json.dumps(dict(parameters))
        copy: dict[str, Any] = json.loads(text)
        return copy if len(text) <= _MOST_BYTES else None
    except (TypeError, ValueError, RecursionError):
        return None


def _path(run: Run, scope: FlowScope, outer: Calls) -> str:
    """The path of a flow run that another run called."""
    about = run.spec.name
    try:
        about = fingerprint(about, scope.parameters)
    except Exception as error:  # then those of one name are told apart by their order alone
        logger.debug("the parameters of flow %r have no digest: %s", run.spec.name, error)
    return fingerprint(outer.path, about, outer.number(f"flow {about}"))


def forget(results: Results, origin: Origin) -> None:
    """Drop what was kept for a later run: this one has completed."""
    keys, origin.keys = origin.keys, {}
    try:
        results.drop(keys)
    except Exception as error:  # it expires
        logger.debug("results of a completed run stay: %r", error)


def _situation(origin: Origin) -> object:
    """What was set since the flow began and any code may ask for: a call depends on it as well.

    As it differs from then, so that it is the same in another process.
    """
    folder, environment = origin.surroundings
    now = hidden.environment()
    changed = {name: now.get(name) for name in now.keys() | environment.keys()}
    changed = {k: v for k, v in changed.items() if v != environment.get(k)}
    here = hidden.working_directory()
    return os.path.relpath(here, folder) if here != folder else "", sorted(changed.items())


def _surroundings() -> object:
    """What a task may set for those after it, beside what it is given and what it names."""
    return hidden.working_directory(), hidden.environment(), hidden.set_by_tasks()


def _tell(spec: TaskSpec, error: Exception) -> None:
    logger.debug("task %r is not kept for resuming: %s: %s", spec.name, type(error).__name__, error)


_MOST_BYTES = 4096
_NAMED = {Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY}


def _is_plain(value: Any) -> bool:
    """Whether JSON gives it back as it was."""
    kind = type(value)
    if kind is list:
        return all(map(_is_plain, value))
    if kind is dict:
        return all(type(key) is str for key in value) and all(map(_is_plain, value.values()))
    return kind in (str, int, bool, type(None)) or (kind is float and isfinite(value))

"""Cache policies: what makes two task runs the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nbflow.model.specs import CacheSubject
from nbflow.results.fingerprint import fingerprint


class CachePolicy:
    """What a task's cache key is made of. Add policies with `+`, leave inputs out with `-`.

    Subclass it and define `compute_key` for a policy of your own.
    """

    def compute_key(
        self,
        task_ctx: CacheSubject,
        inputs: Mapping[str, Any],
        flow_parameters: Mapping[str, Any],
        **kwargs: Any,
    ) -> str | None:
        """The key of a task run; None: do not cache it.

        Raises:
            Unfingerprintable: An input has no sure digest; the task then runs uncached.
        """
        raise NotImplementedError

    def __add__(self, other: CachePolicy | None) -> CachePolicy:
        if other is None or isinstance(other, NoCache):
            return self
        if not isinstance(other, CachePolicy):
            return NotImplemented
        return other if isinstance(self, NoCache) else Compound((*_parts(self), *_parts(other)))

    def __sub__(self, name: str) -> CachePolicy:
        if not isinstance(name, str):
            return NotImplemented
        return self  # only the inputs have names to leave out


@dataclass(frozen=True)
class Compound(CachePolicy):
    """All of several policies together."""

    policies: tuple[CachePolicy, ...]

    def compute_key(
        self,
        task_ctx: CacheSubject,
        inputs: Mapping[str, Any],
        flow_parameters: Mapping[str, Any],
        **kwargs: Any,
    ) -> str | None:
        keys = [
            policy.compute_key(task_ctx, inputs, flow_parameters, **kwargs)
            for policy in self.policies
        ]
        known = [key for key in keys if key is not None]
        return fingerprint(known) if known else None

    def __sub__(self, name: str) -> CachePolicy:
        return Compound(tuple(policy - name for policy in self.policies))


@dataclass(frozen=True)
class NoCache(CachePolicy):
    """Never reuse a result."""

    def compute_key(self, *_args: Any, **_kwargs: Any) -> str | None:
        return None


@dataclass(frozen=True)
class Inputs(CachePolicy):
    """The arguments, by content."""

    exclude: frozenset[str] = frozenset()

    def compute_key(
        self,
        task_ctx: CacheSubject,
        inputs: Mapping[str, Any],
        flow_parameters: Mapping[str, Any],
        **kwargs: Any,
    ) -> str | None:
        return fingerprint({n: v for n, v in sorted(inputs.items()) if n not in self.exclude})

    def __sub__(self, name: str) -> CachePolicy:
        if not isinstance(name, str):
            return NotImplemented
        return Inputs(self.exclude | {name})


@dataclass(frozen=True)
class TaskSource(CachePolicy):
    """The task's code, and the code and values of all it reaches through its globals."""

    def compute_key(
        self,
        task_ctx: CacheSubject,
        inputs: Mapping[str, Any],
        flow_parameters: Mapping[str, Any],
        **kwargs: Any,
    ) -> str | None:
        return fingerprint(task_ctx.fn)


@dataclass(frozen=True)
class RunId(CachePolicy):
    """The flow run, or the task run outside of a flow."""

    def compute_key(
        self,
        task_ctx: CacheSubject,
        inputs: Mapping[str, Any],
        flow_parameters: Mapping[str, Any],
        **kwargs: Any,
    ) -> str | None:
        return task_ctx.flow_run_id or task_ctx.task_run.id


@dataclass(frozen=True)
class FlowParameters(CachePolicy):
    """The parameters of the flow run that calls the task."""

    def compute_key(
        self,
        task_ctx: CacheSubject,
        inputs: Mapping[str, Any],
        flow_parameters: Mapping[str, Any],
        **kwargs: Any,
    ) -> str | None:
        return fingerprint(dict(flow_parameters)) if flow_parameters else None


@dataclass(frozen=True)
class CacheKeyFnPolicy(CachePolicy):
    """A function of the user's: called with (context, arguments by name)."""

    cache_key_fn: Callable[[CacheSubject, dict[str, Any]], str | None]

    def compute_key(
        self,
        task_ctx: CacheSubject,
        inputs: Mapping[str, Any],
        flow_parameters: Mapping[str, Any],
        **kwargs: Any,
    ) -> str | None:
        return self.cache_key_fn(task_ctx, dict(inputs))


@dataclass(frozen=True)
class StorageKey(CachePolicy):
    """A name for the result, from a template such as 'report-{year}' or '{parameters[year]}'."""

    template: str

    def compute_key(
        self,
        task_ctx: CacheSubject,
        inputs: Mapping[str, Any],
        flow_parameters: Mapping[str, Any],
        **kwargs: Any,
    ) -> str | None:
        fields = {**inputs, "parameters": inputs, "task_run": task_ctx.task_run}
        return self.template.format(**fields)


def _parts(policy: CachePolicy) -> tuple[CachePolicy, ...]:
    return policy.policies if isinstance(policy, Compound) else (policy,)


NO_CACHE = NONE = NoCache()
INPUTS = Inputs()
TASK_SOURCE = TaskSource()
RUN_ID = RunId()
FLOW_PARAMETERS = FlowParameters()
DEFAULT = INPUTS + TASK_SOURCE + RUN_ID


def task_input_hash(context: CacheSubject, arguments: dict[str, Any]) -> str | None:
    """A `cache_key_fn`: the task's name, its own code, and its arguments by content."""
    code = getattr(context.fn, "__code__", None)
    return fingerprint(context.task_name, code, arguments)

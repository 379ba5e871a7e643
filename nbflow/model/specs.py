"""What the user declared about flows and tasks. A spec knows nothing of how it is run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Protocol

from nbflow.model.retries import RetryPolicy
from nbflow.model.runs import Run
from nbflow.model.states import State

#: Called with (flow or task, run, state); what it returns is ignored.
StateHook = Callable[[Any, Run, State], Any]
#: Called with the transaction.
TransactionHook = Callable[[Any], Any]
RunName = str | Callable[[], str] | None


class Colour(Enum):
    """What calling the user's function gives."""

    SYNC = auto()  #: a value
    ASYNC = auto()  #: a coroutine
    GENERATOR = auto()  #: a generator
    ASYNC_GENERATOR = auto()  #: an asynchronous generator

    @property
    def is_async(self) -> bool:
        return self in (Colour.ASYNC, Colour.ASYNC_GENERATOR)

    @property
    def yields(self) -> bool:
        return self in (Colour.GENERATOR, Colour.ASYNC_GENERATOR)


def colour_of(fn: Callable[..., Any]) -> Colour:
    """The colour of a function, or of the `__call__` of an object."""
    for target in (fn, getattr(fn, "__call__", fn)):  # noqa: B004  (an object's own __call__)
        if inspect.iscoroutinefunction(target):
            return Colour.ASYNC
        if inspect.isgeneratorfunction(target):
            return Colour.GENERATOR
        if inspect.isasyncgenfunction(target):
            return Colour.ASYNC_GENERATOR
    return Colour.SYNC


class CachePolicy(Protocol):
    """Computes the key under which a task's result is kept; None: not cached."""

    def compute_key(
        self, task_ctx: CacheSubject, inputs: Mapping[str, Any], flow_parameters: Mapping[str, Any]
    ) -> str | None: ...


@dataclass(frozen=True, slots=True)
class CacheSubject:
    """What a cache policy may know about the task run whose key it computes.

    Attributes:
        flow_run_id: The flow run it belongs to; in one that goes on from another, what names it
            in both: of the outermost one that is the id of the first.
        task: The `Task` the user holds.
    """

    fn: Callable[..., Any]
    task_name: str
    task_run: Run
    flow_run_id: str | None
    task: Any = None


class Serializer(Protocol):
    """Turns a result into bytes and back."""

    @property
    def name(self) -> str: ...
    def dumps(self, value: Any) -> bytes: ...
    def loads(self, data: bytes) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Functions to call when a run enters a state."""

    on_running: tuple[StateHook, ...] = ()
    on_completion: tuple[StateHook, ...] = ()
    on_failure: tuple[StateHook, ...] = ()
    on_cancellation: tuple[StateHook, ...] = ()
    on_crashed: tuple[StateHook, ...] = ()
    on_commit: tuple[TransactionHook, ...] = ()
    on_rollback: tuple[TransactionHook, ...] = ()

    @property
    def watch_states(self) -> bool:
        """Whether any hook waits for a state of the run."""
        return bool(
            self.on_running
            or self.on_completion
            or self.on_failure
            or self.on_cancellation
            or self.on_crashed
        )


class Keeper(Protocol):
    """Finds a task run's result and keeps it, in place of the cache that keys on arguments.

    Both are called once per run, with the run's context, and may block.
    """

    def lookup(self, context: Any) -> Any: ...
    def save(self, context: Any, state: State) -> State: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultOptions:
    """Where and whether a task's result is kept.

    Attributes:
        keeper: Of one run only: does all this in its own way, whatever the other fields say.
        policy: Computes the cache key; None: the result is not looked up.
        expiration_seconds: Age at which a kept result is no longer used; None: never.
        refresh: Run even if there is a result, and replace it.
        storage_key: Template of a name for the result, with the parameters as fields.
        serializer: None: cloudpickle.
        in_memory: Whether a finished run holds its value; False: it is read back when asked for.
    """

    policy: CachePolicy | None = None
    expiration_seconds: float | None = None
    refresh: bool = False
    storage_key: str | None = None
    serializer: Serializer | None = None
    in_memory: bool = True
    keeper: Keeper | None = None


class _Signatures(list[inspect.Signature]):
    """The signature, once it was taken; whether it was tells nothing about the function.

    Empty in every pickle, and by that in the digests of the functions that call the task.
    """

    def __reduce__(self) -> tuple[type[_Signatures], tuple[()]]:
        return _Signatures, ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What flows and tasks have in common.

    Attributes:
        name: Shown in logs and listings; need not be unique.
        run_name: Template with the parameters as fields, or a function without arguments.
        timeout_seconds: Limit for one try, not for the sum of the retries.
        log_prints: None: as the surrounding run does, then as the settings say.
        persist_result: None: as the surrounding flow does, then as the settings say.
        owner: The `Flow` or `Task` the user holds; handed to hooks.
        positional: Names of the parameters that can be given by position.
    """

    fn: Callable[..., Any]
    name: str
    description: str | None = None
    version: str | None = None
    tags: frozenset[str] = frozenset()
    run_name: RunName = None
    retry: RetryPolicy = RetryPolicy()
    timeout_seconds: float | None = None
    log_prints: bool | None = None
    persist_result: bool | None = None
    hooks: Hooks = Hooks()
    owner: Any = field(default=None, repr=False, compare=False)
    colour: Colour = field(init=False)
    positional: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _signatures: _Signatures = field(
        default_factory=_Signatures, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "colour", colour_of(self.fn))
        object.__setattr__(self, "positional", _positional_names(self.fn))

    @property
    def signature(self) -> inspect.Signature:
        """The function's signature; taken when first asked for, as it costs more than a call.

        Raises:
            ValueError: It is a builtin that has none.
        """
        if not self._signatures:
            self._signatures.append(inspect.signature(self.fn))
        return self._signatures[0]

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by parameter name, defaults included.

        Raises:
            TypeError: The arguments do not fit, in Python's own words.
        """
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}() {error}") from None
        except ValueError:  # a builtin without a signature
            return {str(n): value for n, value in enumerate(args)} | dict(kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)


def _positional_names(fn: Callable[..., Any]) -> tuple[str, ...]:
    code = getattr(fn, "__code__", None)
    if code is None:  # a builtin or a callable object
        return ()
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount]
    return names[1:] if inspect.ismethod(fn) else names


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec(Spec):
    """What the user declared about one task.

    Attributes:
        retry_condition: Called with (task, task run, state) after a failed try; False ends it.
        results: Caching and persistence.
    """

    retry_condition: Callable[[Any, Run, State], bool] | None = None
    results: ResultOptions = ResultOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSpec(Spec):
    """What the user declared about one flow.

    Attributes:
        task_runner: Where submitted tasks run; None: the process-wide thread pool.
        validate_parameters: Whether arguments are checked and converted by their type hints.
    """

    task_runner: Any = None
    validate_parameters: bool = True

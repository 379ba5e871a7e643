"""`@task`: a function whose calls are tracked, retried, timed, cached and logged."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Coroutine, Iterable
from datetime import timedelta
from typing import Any, Literal, ParamSpec, TypeVar, overload

from nbflow import wiring
from nbflow.callables import H, RunCallable, described, named, plain_function
from nbflow.engine.arguments import expand
from nbflow.engine.futures import TaskFuture, TaskFutureList
from nbflow.errors import InvalidOption
from nbflow.model.options import OptionChecks, check_known
from nbflow.model.retries import RetryDelay, exponential_backoff
from nbflow.model.runs import Run
from nbflow.model.specs import (
    CacheSubject,
    Hooks,
    ResultOptions,
    Serializer,
    StateHook,
    TaskSpec,
    TransactionHook,
)
from nbflow.model.states import State
from nbflow.results.policies import (
    CacheKeyFnPolicy,
    CachePolicy,
    NoCache,
    StorageKey,
    task_input_hash,
)
from nbflow.results.serializers import NAMED
from nbflow.tracing import current_trace

__all__ = ["Task", "exponential_backoff", "task", "task_input_hash"]

logger = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Task(RunCallable[P, R, TaskSpec]):
    """A decorated function. Call it, `submit()` it, or `map()` it over many items."""

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        version: str | None = None,
        task_run_name: str | Callable[[], str] | None = None,
        retries: int | None = None,
        retry_delay_seconds: RetryDelay | None = None,
        retry_jitter_factor: float | None = None,
        retry_condition_fn: Callable[[Task[..., Any], Run, State], bool] | None = None,
        timeout_seconds: float | None = None,
        log_prints: bool | None = None,
        cache_policy: CachePolicy | None = None,
        cache_key_fn: Callable[[CacheSubject, dict[str, Any]], str | None] | None = None,
        cache_expiration: timedelta | None = None,
        refresh_cache: bool | None = None,
        persist_result: bool | None = None,
        result_storage_key: str | None = None,
        result_serializer: Serializer | str | None = None,
        cache_result_in_memory: bool = True,
        on_running: list[StateHook] | None = None,
        on_completion: list[StateHook] | None = None,
        on_failure: list[StateHook] | None = None,
        on_commit: list[TransactionHook] | None = None,
        on_rollback: list[TransactionHook] | None = None,
    ) -> None:
        options = {name: value for name, value in locals().items() if name in _OPTIONS}
        checks = OptionChecks(f"@task on {named(fn, None)!r}")
        function = plain_function(checks.function(fn))
        results = ResultOptions(
            policy=_policy(checks, cache_policy, cache_key_fn, result_storage_key),
            expiration_seconds=checks.expiration("cache_expiration", cache_expiration),
            refresh=bool(checks.flag("refresh_cache", refresh_cache)),
            storage_key=checks.text("result_storage_key", result_storage_key),
            serializer=_serializer(result_serializer),
            in_memory=bool(checks.flag("cache_result_in_memory", cache_result_in_memory)),
        )
        if isinstance(cache_policy, NoCache) and cache_key_fn is None:
            persist_result = False if persist_result is None else persist_result
        spec = TaskSpec(
            fn=function,
            name=named(function, checks.text("name", name)),
            description=described(function, checks.text("description", description)),
            version=checks.text("version", version),
            tags=checks.tags(tags),
            run_name=checks.run_name("task_run_name", task_run_name),
            retry=checks.retry(retries, retry_delay_seconds, retry_jitter_factor),
            retry_condition=checks.callable_or_none(
                "retry_condition_fn", retry_condition_fn, "a function of (task, task_run, state)"
            ),
            timeout_seconds=checks.seconds("timeout_seconds", timeout_seconds),
            log_prints=checks.flag("log_prints", log_prints),
            persist_result=checks.flag("persist_result", persist_result),
            results=results,
            hooks=Hooks(
                on_running=checks.hooks("on_running", on_running),
                on_completion=checks.hooks("on_completion", on_completion),
                on_failure=checks.hooks("on_failure", on_failure),
                on_commit=checks.hooks("on_commit", on_commit),
                on_rollback=checks.hooks("on_rollback", on_rollback),
            ),
        )
        super().__init__(fn, spec, {"__fn__": fn, **options})

    @overload
    def submit(
        self: Task[..., Coroutine[Any, Any, T]], *args: Any, wait_for: Any = ..., **kwargs: Any
    ) -> TaskFuture[T]: ...
    @overload
    def submit(
        self, *args: Any, return_state: Literal[True], wait_for: Any = ..., **kwargs: Any
    ) -> State: ...
    @overload
    def submit(self, *args: Any, wait_for: Any = ..., **kwargs: Any) -> TaskFuture[R]: ...
    def submit(
        self, *args: Any, return_state: bool = False, wait_for: Any = None, **kwargs: Any
    ) -> Any:
        """Hand the task to the task runner and give a future at once, in a flow or outside."""
        if current_trace.get() is not None:
            return self._traced(args, kwargs, wait_for)
        spec = self._fresh().spec
        future: TaskFuture[Any] = wiring.current().engine.submit(spec, args, kwargs, wait_for)
        if return_state:
            future.wait()
            return future.state
        return future

    def map(self, *args: Any, wait_for: Any = None, **kwargs: Any) -> TaskFutureList[R]:
        """Submit one run per item of the iterable arguments, which must be equally long.

        What is not iterable, a string, or in `unmapped(...)` is given to every run.

        Raises:
            MappingError: There is nothing to iterate over, or the lengths differ.
        """
        if current_trace.get() is not None:
            return self._traced(args, kwargs, wait_for)  # type: ignore[no-any-return]
        spec = self._fresh().spec
        n, call = expand(spec.bind, args, kwargs)
        engine = wiring.current().engine
        return TaskFutureList(engine.submit(spec, *call(i), wait_for) for i in range(n))

    def on_commit(self, hook: H) -> H:
        """As a decorator: call the function when a transaction with a run commits."""
        return self._add_hook("on_commit", hook)

    def on_rollback(self, hook: H) -> H:
        """As a decorator: call the function when a transaction with a run is rolled back."""
        return self._add_hook("on_rollback", hook)


_OPTIONS = frozenset(Task.__init__.__kwdefaults__ or ())


@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(fn: None = None, /, **options: Any) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(fn: Any = None, /, **options: Any) -> Any:
    """Make a task of a function: `@task` or `@task(retries=3, ...)`.

    Options: see `Task`.

    Raises:
        UnknownOption, InvalidOption: An option does not exist, or does not take its value.
    """
    check_known(options, _OPTIONS, "@task")
    return functools.partial(Task, **options) if fn is None else Task(fn, **options)


def _policy(
    checks: OptionChecks, policy: Any, key_fn: Any, storage_key: str | None
) -> CachePolicy | None:
    checks.callable_or_none("cache_key_fn", key_fn, "a function of (context, arguments)")
    if policy is not None and not callable(getattr(policy, "compute_key", None)):
        checks.callable_or_none(
            "cache_policy",
            policy,
            "a policy of nbflow.cache_policies, such as INPUTS + TASK_SOURCE",
        )
    if key_fn is not None:
        if policy is not None:
            logger.warning("both cache_policy and cache_key_fn are given; cache_key_fn is used")
        return CacheKeyFnPolicy(key_fn)
    if storage_key is not None and policy is None:
        return StorageKey(storage_key)
    return None if isinstance(policy, NoCache) else policy


def _serializer(serializer: Any) -> Serializer | None:
    if isinstance(serializer, str):
        if serializer not in NAMED:
            listed = ", ".join(sorted(NAMED))
            raise InvalidOption("@task", "result_serializer", serializer, f"one of {listed}")
        return NAMED[serializer]
    if serializer is not None and not (
        hasattr(serializer, "dumps") and hasattr(serializer, "loads")
    ):
        raise InvalidOption("@task", "result_serializer", serializer, "a name or a serializer")
    return serializer  # type: ignore[no-any-return]

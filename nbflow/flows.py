"""`@flow`: a function whose calls of tasks and other flows become one tracked run."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any, ParamSpec, TypeVar, overload

from nbflow import wiring
from nbflow.callables import H, RunCallable, described, named, plain_function
from nbflow.errors import InvalidOption
from nbflow.model.options import OptionChecks, check_known
from nbflow.model.retries import RetryDelay
from nbflow.model.specs import Colour, FlowSpec, Hooks, StateHook
from nbflow.tracing import Trace, current_trace

P = ParamSpec("P")
R = TypeVar("R")


class Flow(RunCallable[P, R, FlowSpec]):
    """A decorated function. Call it to make a flow run."""

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        version: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        flow_run_name: str | Callable[[], str] | None = None,
        retries: int | None = None,
        retry_delay_seconds: RetryDelay | None = None,
        timeout_seconds: float | None = None,
        validate_parameters: bool = True,
        task_runner: Any = None,
        log_prints: bool | None = None,
        persist_result: bool | None = None,
        on_running: list[StateHook] | None = None,
        on_completion: list[StateHook] | None = None,
        on_failure: list[StateHook] | None = None,
        on_cancellation: list[StateHook] | None = None,
        on_crashed: list[StateHook] | None = None,
    ) -> None:
        options = {name: value for name, value in locals().items() if name in _OPTIONS}
        checks = OptionChecks(f"@flow on {named(fn, None)!r}")
        function = plain_function(checks.function(fn))
        spec = FlowSpec(
            fn=function,
            name=named(function, checks.text("name", name)),
            version=checks.text("version", version),
            description=described(function, checks.text("description", description)),
            tags=checks.tags(tags),
            run_name=checks.run_name("flow_run_name", flow_run_name),
            retry=checks.retry(retries, retry_delay_seconds, None),
            timeout_seconds=checks.seconds("timeout_seconds", timeout_seconds),
            validate_parameters=bool(checks.flag("validate_parameters", validate_parameters)),
            task_runner=_runner(checks, task_runner),
            log_prints=checks.flag("log_prints", log_prints),
            persist_result=checks.flag("persist_result", persist_result),
            hooks=Hooks(
                on_running=checks.hooks("on_running", on_running),
                on_completion=checks.hooks("on_completion", on_completion),
                on_failure=checks.hooks("on_failure", on_failure),
                on_cancellation=checks.hooks("on_cancellation", on_cancellation),
                on_crashed=checks.hooks("on_crashed", on_crashed),
            ),
        )
        super().__init__(fn, spec, {"__fn__": fn, **options})

    def visualize(self, *args: Any, **kwargs: Any) -> str:
        """The flow as mermaid text: what it calls, and which result goes where.

        The body runs, its tasks and subflows do not: each call gives a stand-in. A body that
        decides by a task's result is drawn along one branch only.
        """
        trace = Trace()
        token = current_trace.set(trace)
        try:
            answer = self.spec.fn(*args, **kwargs)
            if self.spec.colour is Colour.ASYNC_GENERATOR:
                answer = _exhaust(answer)
            if self.spec.colour.is_async:  # on another thread: in a notebook a loop runs on this
                wiring.current().engine.loop.run(answer)
            elif self.spec.colour is Colour.GENERATOR:
                list(answer)
        finally:
            current_trace.reset(token)
        return trace.mermaid()

    def on_cancellation(self, hook: H) -> H:
        """As a decorator: call the function when a run is cancelled."""
        return self._add_hook("on_cancellation", hook)

    def on_crashed(self, hook: H) -> H:
        """As a decorator: call the function when a run crashes."""
        return self._add_hook("on_crashed", hook)


_OPTIONS = frozenset(Flow.__init__.__kwdefaults__ or ())


@overload
def flow(fn: Callable[P, R], /) -> Flow[P, R]: ...
@overload
def flow(fn: None = None, /, **options: Any) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
def flow(fn: Any = None, /, **options: Any) -> Any:
    """Make a flow of a function: `@flow` or `@flow(name="Report", ...)`.

    Options: see `Flow`.

    Raises:
        UnknownOption, InvalidOption: An option does not exist, or does not take its value.
    """
    check_known(options, _OPTIONS, "@flow")
    return functools.partial(Flow, **options) if fn is None else Flow(fn, **options)


async def _exhaust(items: AsyncIterable[Any]) -> None:
    async for _ in items:
        pass


def _runner(checks: OptionChecks, runner: Any) -> Any:
    if isinstance(runner, type):
        runner = runner()
    if runner is not None and not hasattr(runner, "elsewhere"):
        raise InvalidOption(
            "@flow", "task_runner", runner, "a runner such as ThreadPoolTaskRunner(max_workers=4)"
        )
    return runner

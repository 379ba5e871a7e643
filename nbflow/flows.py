"""`@flow`: a function whose calls of tasks and other flows become one tracked run."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from nbflow import wiring
from nbflow.callables import H, RunCallable, described, named, plain_function
from nbflow.errors import InvalidOption
from nbflow.model.options import OptionChecks, check_known
from nbflow.model.retries import RetryDelay
from nbflow.model.specs import Colour, FlowSpec, Hooks, StateHook
from nbflow.tracing import Trace, current_trace

if TYPE_CHECKING:
    from nbflow.schedules import Schedule
    from nbflow.scheduling.declaring import Deployment
    from nbflow.scheduling.handles import Serving

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

    def to_deployment(
        self,
        name: str,
        *,
        cron: str | None = None,
        interval: float | str | timedelta | None = None,
        rrule: str | None = None,
        at: str | datetime | None = None,
        schedule: Schedule | None = None,
        schedules: Iterable[Schedule] | None = None,
        timezone: str | None = None,
        catch_up: str | None = None,
        overlap: str | None = None,
        jitter: float | str | timedelta | None = None,
        until: str | datetime | None = None,
        parameters: Mapping[str, Any] | None = None,
        tags: Iterable[str] | None = None,
        description: str | None = None,
        version: str | None = None,
        concurrency_limit: int | None = None,
        paused: bool | None = None,
        work_pool_name: str | None = None,
        notify: str | Iterable[str] | None = None,
    ) -> Deployment:
        """The flow with a name, parameters and schedules, for `serve()` and `deploy()`.

        At most one of `cron`, `interval`, `rrule`, `at`, `schedule` and `schedules`.

        Args:
            cron: Five fields, such as "0 8 * * 1-5".
            interval: Seconds, a timedelta or a text such as "6h".
            rrule: As in RFC 5545.
            at: One instant.
            schedule: As `nbflow.schedules` makes them.
            timezone: Whose wall times are meant, such as "America/Montreal".
            catch_up: What becomes of fire times that nobody was there for: "skip", "latest" (the
                default) or "all".
            overlap: What becomes of a fire time while the run before it goes on: "skip" (the
                default), "queue", "cancel" or "allow".
            jitter: A run begins up to so much after its fire time.
            until: No fire time comes after it.
            parameters: For each run; checked now.
            concurrency_limit: How many of its runs at a time.
            paused: True: no run begins before it is resumed. None: as it was.
            work_pool_name: Whose workers run it.
            notify: Where to tell of failure, recovery and lateness; addresses for apprise.

        Raises:
            InvalidSchedule, InvalidOption: An option does not take its value.
            ParameterError: The parameters do not fit the flow.
        """
        from nbflow.scheduling.declaring import declare, schedules_from

        return declare(
            self,
            name,
            schedules=schedules_from(
                schedules,
                cron=cron,
                interval=interval,
                rrule=rrule,
                at=at,
                schedule=schedule,
                timezone=timezone,
                catch_up=catch_up,
                overlap=overlap,
                jitter=jitter,
                until=until,
            ),
            parameters=parameters,
            tags=tags,
            description=description,
            version=version,
            concurrency_limit=concurrency_limit,
            paused=paused,
            work_pool_name=work_pool_name,
            notify=notify,
        )

    def deploy(self, name: str, *, work_pool_name: str | None = None, **options: Any) -> str:
        """Have the workers of a work pool run it by its schedules; gives the deployment's id.

        A flow of a script is read from its file for each run. A flow of a notebook is kept as it is
        now, with the values that it uses. Prints one line about what was deployed.

        Args:
            options: As `to_deployment` takes them.

        Raises:
            PoolNotFound: There is no such pool; says how to create it.
            NotPicklable: Something it uses cannot go to another process; names it.
            InvalidSchedule, InvalidOption, UnknownOption, ParameterError: As `to_deployment`.
        """
        __tracebackhide__ = True
        from nbflow.deployments import deploy

        check_known(options, _DEPLOYMENT_OPTIONS, f"deploy() of {self.name!r}")
        deployment = self.to_deployment(name, work_pool_name=work_pool_name, **options)
        return deploy(deployment)[0]

    def serve(self, name: str | None = None, **options: Any) -> Serving | None:
        """Run it by its schedules in this process.

        In a notebook it returns at once, with a handle: a background thread runs the flow. In a
        script it blocks until Ctrl-C or SIGTERM, and gives nothing.

        Args:
            name: Of the deployment; default: the flow's name.
            options: As `to_deployment` takes them.

        Raises:
            InvalidSchedule, InvalidOption, UnknownOption, ParameterError: As `to_deployment`.
        """
        check_known(options, _DEPLOYMENT_OPTIONS, f"serve() of {self.name!r}")
        return serve(self.to_deployment(name or self.name, **options))

    def on_cancellation(self, hook: H) -> H:
        """As a decorator: call the function when a run is cancelled."""
        return self._add_hook("on_cancellation", hook)

    def on_crashed(self, hook: H) -> H:
        """As a decorator: call the function when a run crashes."""
        return self._add_hook("on_crashed", hook)


_OPTIONS = frozenset(Flow.__init__.__kwdefaults__ or ())
_DEPLOYMENT_OPTIONS = frozenset(Flow.to_deployment.__kwdefaults__ or ())


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


def serve(*deployments: Deployment) -> Serving | None:
    """Run several deployments by their schedules in this process; see `Flow.serve`.

    Args:
        deployments: As `flow.to_deployment(...)` gives them.

    Raises:
        NbflowError: None was given.
    """
    from nbflow.scheduling.handles import serve_all

    return serve_all(deployments)


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

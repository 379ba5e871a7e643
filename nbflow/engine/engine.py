"""Creates runs and hands them to the driver that fits their colour."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
import time
import traceback
from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import copy_context
from typing import Any, Protocol

from nbflow.bus import EventBus
from nbflow.engine import caching, capture, drivers, interrupts
from nbflow.engine.arguments import Upstream, look_for_upstream
from nbflow.engine.context import FlowScope, RunContext, current_run, current_tags
from nbflow.engine.futures import TaskFuture, wait_interruptibly
from nbflow.engine.loop import LoopThread
from nbflow.engine.pool import ThreadPool
from nbflow.engine.protocol import flow_run, task_run
from nbflow.engine.relay import Relay, when_all_done
from nbflow.engine.resumption import calls_of_flow, forget, source_of_call
from nbflow.engine.runners import TaskRunner, ThreadPoolTaskRunner
from nbflow.engine.stack import check_room
from nbflow.engine.timers import Timers
from nbflow.engine.transactions import current_transaction
from nbflow.errors import CancelledRun, CrashedRun
from nbflow.model.describe import describe_arguments
from nbflow.model.events import Event, LogEmitted, RunCreated, StateChanged
from nbflow.model.ids import friendly_name
from nbflow.model.runs import Appointment, Run, RunKind
from nbflow.model.specs import Colour, FlowSpec, Spec, TaskSpec
from nbflow.model.states import FINAL_TYPES, State, StateType, state_named
from nbflow.results.results import Results

logger = logging.getLogger(__name__)


class Lease(Protocol):
    """Slots of limits that a run holds."""

    def release(self) -> None: ...


class Limits(Protocol):
    """What the engine needs of concurrency limits."""

    def acquire_for_tags(self, run: Run) -> Lease | None:
        """Wait for a slot of every limit that is named like one of the run's tags."""


class Engine:
    """Carries out runs.

    Args:
        flush: Waits until all that was published is on disk.
        log_level: Lowest level of what is published.
        parent_run_id: Flow run that runs without a caller belong to, if any.
        log_prints, persist_results: What holds where neither flow nor task says.

    Attributes:
        tries: What is being tried now and can be ended, by run id.
    """

    def __init__(
        self,
        bus: EventBus,
        results: Results,
        limits: Limits,
        *,
        flush: Callable[[], None],
        max_threads: int = 32,
        log_level: int = logging.INFO,
        log_prints: bool = False,
        persist_results: bool = False,
        parent_run_id: str | None = None,
    ) -> None:
        self.tries: dict[str, Any] = {}
        self.timers = Timers()
        self.limits = limits
        self.results = results
        self.loop = LoopThread()
        self._bus = bus
        self.outside = FlowScope(None, ThreadPoolTaskRunner(), persist_results)
        self._flush = flush
        self._log_level = log_level
        self._log_prints = log_prints
        self._parent_run_id = parent_run_id
        self._scopes: dict[str, FlowScope] = {}
        self._lock = threading.Lock()  # around the runners that several flow runs share
        self._default_pool = ThreadPool(self.timers, max_threads)
        capture.install(self._said)

    # --- running ----------------------------------------------------------------------------

    def call(
        self,
        spec: Spec,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        return_state: bool = False,
        wait_for: Any = None,
        appointment: Appointment | None = None,
    ) -> Any:
        """Run a flow or task on the caller's thread or loop.

        Gives what calling the function gives: a value, a coroutine, a generator. Only inside a
        synchronous run, an async function too gives its value: it runs on a loop of nbflow's.

        Args:
            return_state: Give the final state instead. Not for generators.
            appointment: Of a flow run that was asked for earlier. Not for generators.
        """
        __tracebackhide__ = True
        if spec.colour is Colour.SYNC:
            return self._call_sync(spec, args, kwargs, return_state, wait_for, appointment)
        if spec.colour is Colour.ASYNC:
            coroutine = self._call_async(spec, args, kwargs, return_state, wait_for, appointment)
            caller = current_run.get()
            if caller is None or caller.spec.colour.is_async or self.loop.is_current():
                return coroutine
            return self.loop.run(coroutine)
        if spec.colour is Colour.GENERATOR:
            return self._call_generator(spec, args, kwargs, wait_for)
        return self._call_async_generator(spec, args, kwargs, wait_for)

    def _call_sync(
        self,
        spec: Spec,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        return_state: bool,
        wait_for: Any,
        appointment: Appointment | None,
    ) -> Any:
        __tracebackhide__ = True
        before = interrupts.hold()
        try:
            context, protocol = self._begin(spec, args, kwargs, wait_for, appointment)
            try:
                self.publish(RunCreated(context.run, context.run.state))
                state = drivers.drive(protocol, self.tries)
            finally:
                self._end(context)
        finally:
            interrupts.let_go(before)
        return state if return_state else state.result()

    async def _call_async(
        self,
        spec: Spec,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        return_state: bool,
        wait_for: Any,
        appointment: Appointment | None,
    ) -> Any:
        __tracebackhide__ = True
        context, protocol = self._begin(spec, args, kwargs, wait_for, appointment)
        try:
            self.publish(RunCreated(context.run, context.run.state))
            state = await drivers.drive_async(protocol, self.tries)
        finally:
            self._end(context)
        return state if return_state else state.result()

    def _call_generator(
        self, spec: Spec, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any
    ) -> Generator[Any, Any, Any]:
        __tracebackhide__ = True
        context, protocol = self._begin(spec, args, kwargs, wait_for)
        try:
            self.publish(RunCreated(context.run, context.run.state))
            state = yield from drivers.drive_generator(protocol, self.tries)
        except GeneratorExit:
            if context.run.state.is_failed():  # its cleanup raised
                context.run.state.result()
            raise
        finally:
            self._end(context)
        return state.result()

    async def _call_async_generator(
        self, spec: Spec, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any
    ) -> AsyncGenerator[Any, Any]:
        __tracebackhide__ = True
        context, protocol = self._begin(spec, args, kwargs, wait_for)
        states: list[State] = []
        items = drivers.drive_async_generator(protocol, self.tries, states.append)
        try:
            self.publish(RunCreated(context.run, context.run.state))
            value = None
            while True:
                try:
                    item = await items.asend(value)
                except StopAsyncIteration:
                    break
                try:
                    value = yield item
                except GeneratorExit:
                    await items.aclose()
                    if context.run.state.is_failed():  # its cleanup raised
                        context.run.state.result()
                    raise
        finally:
            self._end(context)
        if states:
            states[0].result()

    def submit(
        self, spec: TaskSpec, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any = None
    ) -> TaskFuture[Any]:
        """Run a task in the flow run's task runner. Returns at once."""
        before = interrupts.hold()
        try:
            return self._submit(spec, args, kwargs, wait_for)
        finally:
            interrupts.let_go(before)

    def _submit(
        self, spec: TaskSpec, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any
    ) -> TaskFuture[Any]:
        upstream = look_for_upstream(args, kwargs, wait_for)
        context = self._create(RunKind.TASK, spec, args, kwargs, upstream)
        scope = context.scope
        protocol = self._task_protocol(context, upstream)
        future: TaskFuture[Any] = TaskFuture(context.run, scope)
        try:
            self.publish(RunCreated(context.run, context.run.state))
            if spec.colour.is_async and not scope.runner.elsewhere:
                future._relay = _LoopRun(self, protocol, future)
            else:
                relay = Relay(self, protocol, future, self._pool_of(scope.runner), copy_context())
                future._relay = relay
                when_all_done(upstream.futures if upstream is not None else [], relay.enqueue)
        except BaseException as error:  # an interrupt: nobody will ever hold this future
            if future._relay is not None:
                future.cancel()
            elif not future.is_done:
                future._finish(self.broken(context.run, error))
            raise
        return future

    def _begin(
        self,
        spec: Spec,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wait_for: Any,
        appointment: Appointment | None = None,
    ) -> tuple[RunContext, Any]:
        """A new run and its protocol, for a caller that drives it itself.

        The caller announces it, where it also sees to its end whatever comes in between.
        """
        upstream = look_for_upstream(args, kwargs, wait_for)
        if isinstance(spec, TaskSpec):
            context = self._create(RunKind.TASK, spec, args, kwargs, upstream)
            return context, self._task_protocol(context, upstream)
        context = self._create(RunKind.FLOW, spec, args, kwargs, upstream, appointment)
        with self._lock:
            self._scopes[context.run.id] = context.scope
        return context, flow_run(self, context, upstream)

    def _end(self, context: RunContext) -> None:
        """A run that was driven by its caller is over."""
        run, error = context.run, sys.exception()
        if error is not None and not run.state.is_final():
            self.broken(run, error)
        if run.kind is RunKind.FLOW:
            with self._lock:
                self._scopes.pop(run.id, None)
                runner = context.scope.runner
                if runner is not self.outside.runner and not any(
                    scope.runner is runner for scope in self._scopes.values()
                ):
                    runner.close()
            if run.parent_id is None or run.parent_id == self._parent_run_id:
                self._flush()  # its result counts as given: it must survive whatever comes now
            calls = run.calls
            if calls is not None and calls.is_outermost and run.state.is_completed():
                forget(self.results, calls.origin)

    def _task_protocol(self, context: RunContext, upstream: Upstream | None) -> Any:
        plan = caching.plan(self.results, context)
        hooks = context.spec.hooks
        staged = hooks.on_commit or hooks.on_rollback
        transaction = current_transaction.get() if staged else None
        return task_run(self, context, upstream, plan, transaction)

    def _create(
        self,
        kind: RunKind,
        spec: Spec,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        upstream: Upstream | None,
        appointment: Appointment | None = None,
    ) -> RunContext:
        check_room(f"{spec.name!r}")
        caller = current_run.get()
        if caller is None:
            scope, parent_id, log_prints = self.outside, self._parent_run_id, self._log_prints
        else:
            scope, parent_id, log_prints = caller.scope, caller.run.id, caller.log_prints
        tags = current_tags.get()
        run = Run(
            kind,
            spec,
            "",
            parent_id,
            None if kind is RunKind.FLOW else scope.run.id if scope.run else self._parent_run_id,
            spec.tags | tags if tags or spec.tags else spec.tags,
        )
        if kind is RunKind.FLOW:
            assert isinstance(spec, FlowSpec)
            outer = scope
            persists = self._persists(spec, outer)
            scope = FlowScope(run, self._new_runner(spec), persists, outer.origin_id)
            scope.is_resumable = outer.is_resumable
            if appointment is not None:
                _keep(run, scope, appointment)
            elif parent_id is None:
                run.source = source_of_call(spec, args, kwargs)
            scope.is_resumable &= spec.persist_result is not False
            outer_calls = None if caller is None or appointment is not None else caller.run.calls
            run.calls = calls_of_flow(run, scope, outer_calls)
        if spec.log_prints is not None:
            log_prints = spec.log_prints
        run.inputs = describe_arguments(args, kwargs, spec.positional)
        if upstream is not None:
            run.upstream = tuple(future.run.id for future in upstream.futures)
        context = RunContext(run, spec, scope, args, kwargs, log_prints)
        run.name = run.name or self._name(context)
        return context

    def _name(self, context: RunContext) -> str:
        spec, run = context.spec, context.run
        template = spec.run_name
        if template is None:
            if run.kind is RunKind.FLOW:
                return friendly_name()
            return f"{spec.name}-{context.scope.number(spec.name)}"
        try:
            if callable(template):
                return str(template())
            return template.format(**context.parameters())
        except Exception as error:
            option = "flow_run_name" if run.kind is RunKind.FLOW else "task_run_name"
            logger.warning("%s of %r failed: %r; a default is used", option, spec.name, error)
            return f"{spec.name}-{context.scope.number(spec.name)}"

    # --- task runners ---------------------------------------------------------------------------

    def _new_runner(self, spec: FlowSpec) -> TaskRunner:
        """The runner of a new flow run. One that was declared serves every run of the flow."""
        runner: TaskRunner | None = spec.task_runner
        return self.outside.runner if runner is None else runner

    def _pool_of(self, runner: TaskRunner) -> ThreadPool:
        if not isinstance(runner, ThreadPoolTaskRunner) or runner.max_workers is None:
            return self._default_pool
        with self._lock:
            if runner.pool is None:
                runner.pool = ThreadPool(self.timers, runner.max_workers)
            return runner.pool

    def _persists(self, spec: FlowSpec, outer: FlowScope) -> bool:
        return outer.persist if spec.persist_result is None else spec.persist_result

    # --- what the protocol asks for -------------------------------------------------------------

    def publish(self, event: Event) -> None:
        """Tell the bus, all of it or nothing: not between two subscribers, nor inside of one."""
        before = interrupts.hold()
        try:
            self._bus.publish(event)
        finally:
            interrupts.let_go(before)

    def enter(self, run: Run, state: State) -> State:
        """The one place where a run changes its state, and where that is published."""
        before, run.state = run.state, state
        kind = state.type
        if kind is StateType.RUNNING:
            if run.started_at is None:
                run.started_at = state.at
        elif kind in FINAL_TYPES:
            run.ended_at = state.at
        try:
            self.publish(StateChanged(run, state))
        except BaseException:  # an interrupt: not everybody knows, so it is not in that state
            run.state = before
            raise
        if kind in FINAL_TYPES:
            run.parameters = None  # a finished run keeps its arguments no longer alive
            if run.kind is RunKind.TASK:
                run.calls = None
        return state

    def may_retry(self, context: RunContext, state: State) -> bool:
        """Whether a try that ended in `state` is to be followed by another."""
        run, spec = context.run, context.spec
        if run.run_count > spec.retry.retries or not state.is_failed():
            return False
        condition = getattr(spec, "retry_condition", None)
        if condition is None:
            return True
        try:
            answer = condition(spec.owner, run, state)
            return bool(self.loop.run(answer) if inspect.iscoroutine(answer) else answer)
        except Exception:
            logger.exception("retry_condition_fn of %r raised; it is not tried again", spec.name)
            return False

    def log_failure(self, run: Run, error: BaseException | None) -> None:
        """Leave the traceback of a failed run in its log."""
        if error is None or error.__traceback__ is None:
            return
        text = "".join(traceback.format_exception(error)).rstrip()
        self.publish(LogEmitted(run, logging.ERROR, "traceback", text, time.time(), False))

    def wait_while_paused(self, context: RunContext) -> None:
        """Block until the flow run is resumed."""
        gate = context.scope.gate
        if gate is not None:
            wait_interruptibly(gate, None)

    def broken(self, run: Run, error: BaseException) -> State:
        """The end of a run whose protocol raised: an interrupt came between two steps, or a bug."""
        if run.state.is_final():
            return run.state
        if not isinstance(error, Exception):
            return self.enter(run, state_named("Cancelled", f"it was stopped by {error!r}", error))
        logger.error("nbflow failed on %s", run.label, exc_info=error)
        return self.enter(run, state_named("Crashed", f"nbflow itself failed: {error!r}", error))

    @property
    def is_idle(self) -> bool:
        """Whether no run of this process is in flight."""
        return not (self.tries or self._scopes or self.outside.unfinished)

    # --- ending and pausing from outside --------------------------------------------------------

    def cancel(self, run_id: str) -> bool:
        """End a run of this process, with all inside it; False: it is not running here."""
        scope = self._scopes.get(run_id)
        if scope is None:
            return self._cancel_task(run_id)
        assert scope.run is not None
        scope.cancelled = True
        self.cancelling(scope.run)
        self.cancel_children(scope, running=True)
        for inner_id, inner in list(self._scopes.items()):
            if inner.run is not None and inner.run.parent_id == run_id:
                self.cancel(inner_id)
        if scope.gate is not None:
            scope.gate.set()
        one = self.tries.get(run_id)
        if one is not None:
            one.interrupt("Cancelled")
        return True

    def _cancel_task(self, run_id: str) -> bool:
        for scope in (self.outside, *self._scopes.values()):
            for future in list(scope.unfinished):
                if future.run.id == run_id:
                    return future.cancel()
        one = self.tries.get(run_id)
        if one is None:
            return False
        self.cancelling(one.run)
        one.interrupt("Cancelled")
        return True

    def cancel_children(self, scope: FlowScope, *, running: bool) -> None:
        """Cancel what a flow run has submitted; with `running` also what has begun."""
        # First what has not: it would else fail, because of what it waits for.
        for also_begun in (False, True) if running else (False,):
            for future in list(scope.unfinished):
                relay = future._relay
                if relay is not None:
                    relay.cancel("its flow run has ended", running=also_begun)

    def cancelling(self, run: Run) -> None:
        """Say that a run is about to be cancelled."""
        if not run.state.is_final() and run.state.type is not StateType.CANCELLING:
            self.enter(run, State(StateType.CANCELLING, "Cancelling", "cancellation was asked for"))

    def pause(self, run_id: str) -> bool:
        """Let a flow run begin no more tasks until it is resumed; False: it is not running here."""
        scope = self._scopes.get(run_id)
        if scope is None or scope.run is None:
            return False
        if scope.gate is None:
            scope.gate = threading.Event()
            self.enter(scope.run, State(StateType.PAUSED, "Paused", "no new task run begins"))
        return True

    def resume(self, run_id: str) -> bool:
        """Let a paused flow run go on; False: it is not paused here."""
        scope = self._scopes.get(run_id)
        if scope is None or scope.run is None or scope.gate is None:
            return False
        gate, scope.gate = scope.gate, None
        self.enter(scope.run, State(StateType.RUNNING, "Running", "resumed"))
        gate.set()
        return True

    def close(self, *, wait: bool) -> None:
        """End the threads. What was submitted outside of flows is waited for, or cancelled."""
        try:
            for future in list(self.outside.unfinished) if wait else ():
                future.wait()
        finally:
            for scope in (self.outside, *self._scopes.values()):
                self.cancel_children(scope, running=True)
            capture.uninstall()
            interrupts.uninstall()
            self.timers.close()
            self._default_pool.close()
            self.loop.close()

    def _said(
        self, context: RunContext, level: int, name: str, message: str, at: float, echo: bool
    ) -> None:
        if level >= self._log_level:
            self.publish(LogEmitted(context.run, level, name, message, at, echo))


def _keep(run: Run, scope: FlowScope, appointment: Appointment) -> None:
    """Make a new run the one that was asked for."""
    run.appointment = appointment
    run.id = run.flow_run_id = appointment.run_id
    run.name, run.scheduled_at = appointment.name, appointment.scheduled_at
    run.tags |= appointment.tags
    run.run_count = appointment.run_count
    run.source = appointment.source or ({"kind": "order"} if appointment.deployment_id else None)
    scope.origin_id = appointment.origin_id or run.id
    scope.is_resumable = appointment.is_resumable


class _LoopRun:
    """A submitted async task on nbflow's loop; the part of `Relay` that its future needs."""

    __slots__ = ("_cancel", "_engine", "future")

    def __init__(self, engine: Engine, protocol: Any, future: TaskFuture[Any]) -> None:
        self._engine = engine
        self.future = future
        coroutine = drivers.drive_async(protocol, engine.tries)
        self._cancel = engine.loop.start(coroutine, copy_context(), self._done)

    def run_here(self, _: ThreadPool) -> bool:
        return False

    def needs_this_thread(self) -> bool:
        return self._engine.loop.is_current()

    def cancel(self, why: str, *, running: bool = True) -> bool:
        if self.future.is_done or (not running and self.future.run.started_at is not None):
            return False
        self._engine.cancelling(self.future.run)
        self._cancel()
        return True

    def _done(self, task: asyncio.Task[State]) -> None:
        if task.cancelled():
            error = CancelledRun("it was cancelled before it began")
            state = self._engine.enter(self.future.run, state_named("Cancelled", str(error), error))
        elif (failure := task.exception()) is not None:
            broken = failure if isinstance(failure, Exception) else CrashedRun(repr(failure))
            state = self._engine.broken(self.future.run, broken)
        else:
            state = task.result()
        self.future._finish(state)

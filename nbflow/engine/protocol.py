"""What happens in a run, step by step. It yields what must be waited for and never waits itself.

Both protocols are generators that are sent an `Outcome` for every `Effect` they yield, and return
the run's final state. Every driver runs the same ones, so sync and async cannot differ.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING

from nbflow.engine.arguments import Upstream, resolve
from nbflow.engine.effects import Call, Effect, Offload, Outcome, Sleep, Wait
from nbflow.engine.futures import TaskFuture, TaskFutureList
from nbflow.engine.interrupts import without_alarm
from nbflow.engine.parameters import flow_parameters
from nbflow.engine.transactions import Transaction
from nbflow.errors import CancelledRun, FailedRun, Interrupted, RunTimedOut, UpstreamFailed
from nbflow.model.runs import RunKind
from nbflow.model.specs import FlowSpec, Keeper, TaskSpec
from nbflow.model.states import State, StateType, state_named

if TYPE_CHECKING:
    from nbflow.engine.context import RunContext
    from nbflow.engine.engine import Engine, Lease

logger = logging.getLogger(__name__)
Protocol = Generator[Effect, Outcome, State]

_RUNNING = StateType.RUNNING
_COMPLETED = StateType.COMPLETED


def task_run(
    engine: Engine,
    context: RunContext,
    upstream: Upstream | None,
    cache: Keeper | None,
    transaction: Transaction | None,
) -> Protocol:
    """One task run: upstream, cache, limits, tries, result."""
    run, spec, scope, args, kwargs, _ = context
    assert isinstance(spec, TaskSpec)
    enter = engine.enter
    if upstream is not None:
        if upstream.futures:
            outcome = yield Wait(context, upstream.futures)
            if outcome.error is not None:
                return enter(run, _ended(context, outcome))
        if (failure := upstream.failure()) is not None:
            return enter(run, State(StateType.FAILED, "Failed", str(failure), failure))
        args = tuple(resolve(value) for value in args)
        kwargs = {name: resolve(value) for name, value in kwargs.items()}
        context = context._replace(args=args, kwargs=kwargs)
        run.parameters = None  # what the run's name was made from still had futures in it
    if scope.gate is not None:
        outcome = yield Offload(partial(engine.wait_while_paused, context))
        if outcome.error is not None:
            return enter(run, _ended(context, outcome))
    if cache is not None:
        outcome = yield Offload(partial(cache.lookup, context))
        if outcome.error is not None:
            return enter(run, _ended(context, outcome))
        if outcome.value is not None:
            hit = outcome.value
            return enter(run, State(_COMPLETED, "Cached", hit.message, hit.value))
    lease = None
    if run.tags:
        outcome = yield Offload(partial(engine.limits.acquire_for_tags, run), _release)
        if outcome.error is not None:
            return enter(run, _ended(context, outcome))
        lease = outcome.value
    try:
        state = yield from _tries(engine, context)
    finally:
        _release(lease)
    if state.type is _COMPLETED and cache is not None:
        outcome = yield Offload(partial(cache.save, context, state))
        state = _ended(context, outcome) if outcome.error is not None else outcome.value
    state = enter(run, state)
    if state.type is _COMPLETED and (spec.hooks.on_commit or spec.hooks.on_rollback):
        _stage(engine, context, transaction)
    return state


def flow_run(engine: Engine, context: RunContext, upstream: Upstream | None) -> Protocol:
    """One flow run: parameters, tries, the end of all that it submitted, its final state."""
    run, spec, scope, args, kwargs, _ = context
    assert isinstance(spec, FlowSpec)
    if upstream is not None:
        outcome = yield Wait(context, upstream.futures)
        if outcome.error is not None:
            return engine.enter(run, _ended(context, outcome))
        if (failure := upstream.failure()) is not None:
            return engine.enter(run, State(StateType.FAILED, "Failed", str(failure), failure))
        args = tuple(resolve(value) for value in args)
        kwargs = {name: resolve(value) for name, value in kwargs.items()}
    try:
        parameters = flow_parameters(spec, args, kwargs)
    except Exception as error:
        engine.log_failure(run, error)
        return engine.enter(run, State(StateType.FAILED, "Failed", _told(error), error))
    scope.parameters = run.parameters = dict(parameters.arguments)
    context = context._replace(args=parameters.args, kwargs=parameters.kwargs)
    state = yield from _tries(engine, context)
    return engine.enter(run, state)


def _tries(engine: Engine, context: RunContext) -> Protocol:
    """Try until it works or no retry is left. Gives the final state, not yet entered."""
    run, spec = context.run, context.spec
    is_flow = run.kind is RunKind.FLOW
    while True:
        run.run_count += 1
        name = "Running" if run.run_count == 1 else "Retrying"
        engine.enter(run, State(_RUNNING, name))
        began = time.monotonic()
        outcome = yield Call(context, context.args, context.kwargs)
        if outcome.error is None and type(outcome.value) in _HOLDERS:
            outcome = yield from _settle(context, outcome, began)
        if is_flow:
            outcome = yield from _end_of_children(engine, context, outcome, began)
            if context.scope.cancelled and outcome.ended is None:  # between two of its steps
                outcome = Outcome(None, Interrupted("Cancelled"), "Cancelled")
        if outcome.error is None:
            value = outcome.value
            if type(value) is not State:
                return State(_COMPLETED, "Completed", "", value)
            state = value if value.is_final() else _not_final(context, value)
            if not state.is_failed():
                return state
        else:
            state = _ended(context, outcome)
        retry = run.run_count
        if not (outcome.repeatable and engine.may_retry(context, state)):
            engine.log_failure(run, outcome.error)
            return state
        seconds = spec.retry.wait_before(retry)
        left = f"try {retry + 1} of {spec.retry.retries + 1}"
        message = f"{_first_line(state)}; retrying in {seconds:.1f} seconds ({left})"
        engine.enter(run, State(StateType.SCHEDULED, "AwaitingRetry", message))
        if seconds > 0:
            slept = yield Sleep(context, seconds)
            if slept.error is not None:
                return _ended(context, slept)


def _ended(context: RunContext, outcome: Outcome) -> State:
    """The state that an outcome with an error leads to."""
    error = outcome.error
    run, spec = context.run, context.spec
    what = f"{'flow' if run.kind is RunKind.FLOW else 'task'} run {run.name!r}"
    if outcome.ended == "TimedOut":
        timeout = RunTimedOut(what, spec.timeout_seconds or 0.0)
        if error is not None:
            timeout.__traceback__ = without_alarm(error.__traceback__)
        return state_named("TimedOut", str(timeout), timeout)
    if outcome.ended == "Cancelled":
        return state_named(
            "Cancelled", f"{what} was cancelled", CancelledRun(f"{what} was cancelled")
        )
    if outcome.ended == "Crashed":
        return state_named("Crashed", _told(error), error)
    if isinstance(error, Exception):
        kind = "Flow" if run.kind is RunKind.FLOW else "Task"
        if isinstance(error, UpstreamFailed):
            return state_named("Failed", str(error), error)
        return state_named("Failed", f"{kind} run raised {_told(error)}", error)
    if isinstance(error, KeyboardInterrupt):
        return state_named("Cancelled", f"{what} was interrupted", error)
    if isinstance(error, GeneratorExit):
        return state_named("Cancelled", f"{what} was left before its generator ended", error)
    if isinstance(error, asyncio.CancelledError | Interrupted):
        return state_named("Cancelled", f"{what} was stopped from outside", error)
    return state_named("Crashed", f"{what} ended with {_told(error)}", error)


# --- what a run returned ----------------------------------------------------------------------

_HOLDERS = frozenset({TaskFuture, TaskFutureList, State, list, tuple, set, dict})


def _settle(
    context: RunContext, outcome: Outcome, began: float
) -> Generator[Effect, Outcome, Outcome]:
    """Replace returned futures by their values; failed ones among them decide the run's state."""
    value = outcome.value
    if type(value) is State:
        return outcome
    held = Upstream()
    held.look(value)
    if not held.found:
        return outcome
    if held.futures:
        waited = yield Wait(context, held.futures, _time_left(context, began))
        if waited.error is not None:
            return waited
    for future in held.futures:
        future._observe()
    ended = [future._final for future in held.futures if future._final is not None]
    states = [*ended, *held.states]
    bad = [state for state in states if not state.is_completed()]
    if not bad:
        return Outcome(resolve(value))
    if len(states) == 1:
        return Outcome(bad[0])
    crashed = any(state.is_crashed() for state in bad)
    message = f"{len(bad)} of {len(states)} returned runs did not complete: {bad[0].message}"
    return Outcome(state_named("Crashed" if crashed else "Failed", message, bad[0].error))


def _end_of_children(
    engine: Engine, context: RunContext, outcome: Outcome, began: float
) -> Generator[Effect, Outcome, Outcome]:
    """Wait for what the flow submitted. A failure that nobody looked at fails the flow."""
    scope = context.scope
    if scope.unfinished:
        if outcome.error is not None:
            # A failed body needs no more results; one that was ended does not even wait.
            by_itself = outcome.ended is None and isinstance(outcome.error, Exception)
            engine.cancel_children(scope, running=not by_itself)
            if not by_itself:
                return outcome
        waited = yield Wait(context, tuple(scope.unfinished), _time_left(context, began))
        if waited.error is not None:
            engine.cancel_children(scope, running=True)
            return waited if outcome.error is None else outcome
    if outcome.error is None and scope.failed and type(outcome.value) is not State:
        failed = sorted(scope.failed, key=lambda future: future.run.id)
        scope.failed.clear()
        names = ", ".join(repr(future.run.name) for future in failed[:3])
        more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
        final = failed[0]._final
        assert final is not None
        message = (
            f"submitted task runs failed and were not looked at: {names}{more}; {final.message}"
        )
        return Outcome(state_named("Failed", message, final.error))
    return outcome


def _time_left(context: RunContext, began: float) -> float | None:
    """What is left of a try's timeout; None where it has none."""
    timeout = context.spec.timeout_seconds
    return None if timeout is None else max(1e-3, timeout - (time.monotonic() - began))


# --- odds and ends ------------------------------------------------------------------------------


def _release(lease: Lease | None) -> None:
    if lease is not None:
        lease.release()


def _not_final(context: RunContext, state: State) -> State:
    what = f"{context.spec.name!r} returned the state {state!r}, in which no run can end"
    return state_named("Failed", what, FailedRun(what))


def _stage(engine: Engine, context: RunContext, transaction: Transaction | None) -> None:
    """Leave the run's hooks with the transaction around it; without one it commits by itself."""
    hooks, run = context.spec.hooks, context.run

    def rolled_back() -> None:
        message = "rolled back with the transaction around it"
        engine.enter(run, State(_COMPLETED, "RolledBack", message, run.state.data))

    own = transaction or Transaction()
    own.add_hooks(hooks.on_commit, hooks.on_rollback, rolled_back if hooks.on_rollback else None)
    if transaction is None:
        own.commit()


def _told(error: BaseException | None) -> str:
    if error is None:
        return ""
    # As a traceback ends, which also copes with texts that raise; but without the module's path.
    text = "".join(traceback.format_exception_only(error)).strip()
    module = f"{type(error).__module__}."
    text = text.removeprefix(module)
    return text if len(text) <= 500 else text[:499] + "…"


def _first_line(state: State) -> str:
    told = _told(state.data) if isinstance(state.data, BaseException) else state.message
    return told.splitlines()[0] if told else repr(state)

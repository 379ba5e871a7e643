"""Run a protocol to its end on the caller's own thread or event loop.

`drive` blocks, `drive_async` awaits, `drive_generator` and `drive_async_generator` pass on what the
user's generator yields. Submitted tasks go over threads with `relay.Relay`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import nullcontext
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from nbflow.engine import interrupts
from nbflow.engine.context import current_run
from nbflow.engine.effects import Call, Effect, Offload, Outcome, Sleep, Wait
from nbflow.engine.futures import Latch, wait, wait_async, wait_interruptibly
from nbflow.engine.interrupts import MainTry, ThreadTry
from nbflow.engine.loop import in_thread
from nbflow.engine.pool import current_pool
from nbflow.errors import Interrupted
from nbflow.model.specs import Colour
from nbflow.model.states import State

if TYPE_CHECKING:
    from nbflow.engine.context import RunContext
    from nbflow.engine.protocol import Protocol

Tries = dict[str, Any]


def drive(protocol: Protocol, tries: Tries) -> State:
    """Run a protocol on this thread. `tries` is where a try can be found by its run's id."""
    outcome: Any = None
    try:
        while True:
            effect = protocol.send(outcome)
            outcome = perform(effect, tries)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def perform(effect: Effect, tries: Tries) -> Outcome:
    """Do what an effect asks for, blocking. Whatever goes wrong is in the outcome."""
    if type(effect) is Call:
        context = effect.context
        spec = context.spec
        return _perform_call(
            context, spec.fn, effect.args, effect.kwargs, tries, spec.timeout_seconds
        )
    if type(effect) is Sleep:
        sleep = time.sleep if interrupts.on_main_thread() else _sleep_in_steps
        return _perform_call(effect.context, sleep, (effect.seconds,), {}, tries, None)
    if type(effect) is Wait:
        return _perform_call(
            effect.context, wait, (effect.futures,), {}, tries, effect.timeout_seconds
        )
    assert type(effect) is Offload
    try:
        with interrupts.not_held():
            return Outcome(effect.fn())
    except BaseException as error:
        return Outcome(error=_without_our_frame(error))


def _perform_call(
    context: RunContext,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Any,
    tries: Tries,
    timeout_seconds: float | None,
) -> Outcome:
    if interrupts.on_main_thread():
        return _call_on_main(context, fn, args, kwargs, tries, timeout_seconds)
    if timeout_seconds is not None:
        return _call_on_another_thread(context, fn, args, kwargs, tries, timeout_seconds)
    return call_on_thread(context, fn, args, kwargs, tries)


def _call_on_main(
    context: RunContext,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Any,
    tries: Tries,
    timeout_seconds: float | None,
) -> Outcome:
    """Call `fn` on the main thread, where a signal can end it whatever it does."""
    interrupts.install()
    run_id = context.run.id
    one = MainTry(context.run, timeout_seconds)
    tries[run_id] = one
    interrupts.begin_main(one)
    token = current_run.set(context)
    held = interrupts.guard.held
    try:
        try:
            interrupts.guard.held = 0
            one.armed = True
            if timeout_seconds is not None:
                interrupts.set_timer()
            interrupts.raise_what_came()
            value = fn(*args, **kwargs)
        finally:
            one.armed = False
            interrupts.guard.held = held
        return Outcome(value) if one.ended is None else _ended_unseen(one.ended)
    except BaseException as error:
        return Outcome(None, _without_our_frame(error), one.ended)
    finally:
        current_run.reset(token)
        interrupts.end_main(one)
        tries.pop(run_id, None)


def call_on_thread(
    context: RunContext, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Any, tries: Tries
) -> Outcome:
    """Call `fn` on this thread; it can be ended where it runs Python code."""
    run_id = context.run.id
    one = ThreadTry(context.run)
    tries[run_id] = one
    token = current_run.set(context)
    try:
        try:
            one.begin()
            value = fn(*args, **kwargs)
        finally:
            try:
                one.finish()
            except Interrupted:  # the last moment for one to come
                one.finish()
        return Outcome(value) if one.ended is None else _ended_unseen(one.ended)
    except BaseException as error:
        return Outcome(None, _without_our_frame(error), one.ended)
    finally:
        current_run.reset(token)
        if tries.get(run_id) is one:  # an abandoned try may end after the next one has begun
            tries.pop(run_id, None)


def _call_on_another_thread(
    context: RunContext,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Any,
    tries: Tries,
    timeout_seconds: float,
) -> Outcome:
    """Call `fn` on a thread of its own and wait no longer than the timeout.

    This thread could not be stopped in a blocking call; so it leaves that to one it can abandon.
    """
    outcomes: list[Outcome] = []
    done = Latch()

    def call() -> None:
        outcomes.append(call_on_thread(context, fn, args, kwargs, tries))
        done.set()

    threading.Thread(
        target=copy_context().run, args=(call,), name="nbflow-timed", daemon=True
    ).start()
    pool = current_pool()
    try:
        with pool.lent() if pool is not None else nullcontext():
            if wait_interruptibly(done, timeout_seconds):
                return outcomes[0]
        ended, error = "TimedOut", Interrupted("TimedOut")
    except BaseException as stopped:  # this thread's own run was ended
        ended, error = None, stopped  # type: ignore[assignment]
    inner = tries.get(context.run.id)
    if inner is not None:
        interrupts.insist(inner, ended or "Cancelled")
    return Outcome(None, error, ended)


def _ended_unseen(ended: str) -> Outcome:
    """The function swallowed the interruption and returned; the try was ended all the same."""
    return Outcome(None, Interrupted(ended), ended)


# --- asynchronous -----------------------------------------------------------------------------


async def drive_async(protocol: Protocol, tries: Tries) -> State:
    """Run a protocol on the running event loop."""
    outcome: Any = None
    try:
        while True:
            effect = protocol.send(outcome)
            outcome = await _perform_async(effect, tries)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


async def _perform_async(effect: Effect, tries: Tries) -> Outcome:
    if type(effect) is Call:
        spec, args, kwargs = effect.context.spec, effect.args, effect.kwargs
        call = partial(_collect, spec.fn) if spec.colour is Colour.ASYNC_GENERATOR else spec.fn
        return await _call_async(
            effect.context, lambda: call(*args, **kwargs), spec.timeout_seconds, tries
        )
    if type(effect) is Sleep:
        seconds = effect.seconds
        return await _call_async(effect.context, lambda: asyncio.sleep(seconds), None, tries)
    if type(effect) is Wait:
        futures = effect.futures
        return await _call_async(
            effect.context, lambda: wait_async(futures), effect.timeout_seconds, tries
        )
    assert type(effect) is Offload
    try:
        return Outcome(await in_thread(effect.fn, effect.undo))
    except BaseException as error:
        return Outcome(error=_without_our_frame(error))


async def _collect(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> list[Any]:
    """A submitted generator has nobody to yield to: its items are its result."""
    return [item async for item in fn(*args, **kwargs)]


class AsyncTry:
    """One try on an event loop."""

    __slots__ = ("_loop", "_task", "ended", "run")

    def __init__(self, context: RunContext) -> None:
        self.run = context.run
        self.ended: str | None = None
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()

    def interrupt(self, ended: str) -> None:
        """Cancel the try. Called from any thread."""
        if self.ended is None and self._task is not None and not self._loop.is_closed():
            self.ended = ended
            self._loop.call_soon_threadsafe(self._task.cancel)

    def take_back(self) -> None:
        """The cancellation was ours and ends here: the task itself goes on."""
        if self._task is not None:
            self._task.uncancel()


async def _call_async(
    context: RunContext,
    make: Callable[[], Coroutine[Any, Any, Any]],
    timeout_seconds: float | None,
    tries: Tries,
) -> Outcome:
    one = AsyncTry(context)
    tries[context.run.id] = one
    token = current_run.set(context)
    guard = _guard_against_blocking(context, timeout_seconds)
    limit = asyncio.timeout(timeout_seconds)
    try:
        async with limit:
            try:
                if guard is not None:
                    guard.armed = True
                    interrupts.set_timer()
                value = await make()
            finally:
                if guard is not None:
                    guard.armed = False
        if limit.expired() or (guard is not None and guard.ended):
            return _ended_unseen("TimedOut")
        if one.ended is not None:
            one.take_back()
            return _ended_unseen(one.ended)
        return Outcome(value)
    except BaseException as error:
        if limit.expired() or (guard is not None and guard.ended):
            return Outcome(None, _without_our_frame(error), "TimedOut")
        if one.ended is not None and isinstance(error, asyncio.CancelledError):
            one.take_back()
            return Outcome(None, error, one.ended)
        return Outcome(None, _without_our_frame(error))
    finally:
        current_run.reset(token)
        if guard is not None:
            interrupts.end_main(guard)
        tries.pop(context.run.id, None)


def _guard_against_blocking(context: RunContext, timeout_seconds: float | None) -> MainTry | None:
    """A try that the alarm ends, where asyncio's timeout cannot: the coroutine blocks the loop.

    A little later than that, so that whatever awaits is ended by asyncio itself.
    """
    if timeout_seconds is None or not interrupts.on_main_thread():
        return None
    interrupts.install()
    guard = MainTry(context.run, timeout_seconds + 0.02)
    guard.task = asyncio.current_task()
    interrupts.begin_main(guard)
    return guard


# --- generators ---------------------------------------------------------------------------------


def drive_generator(protocol: Protocol, tries: Tries) -> Generator[Any, Any, State]:
    """Run a protocol whose function yields; what it yields is passed on. Gives the final state."""
    outcome: Any = None
    try:
        while True:
            effect = protocol.send(outcome)
            if type(effect) is Call:
                try:
                    outcome = yield from _pass_on(effect, tries)
                except BaseException as error:  # the caller has closed this generator
                    outcome = Outcome(None, _without_our_frame(error), repeatable=False)
            else:
                outcome = perform(effect, tries)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def _pass_on(call: Call, tries: Tries) -> Generator[Any, Any, Outcome]:
    """One try of a generator. It runs only while the caller asks for an item; so does its clock."""
    context = call.context
    left = context.spec.timeout_seconds
    inner = context.spec.fn(*call.args, **call.kwargs)
    resume, value = inner.send, None
    begun = False
    while True:
        started = time.monotonic()
        step = _perform_call(context, resume, (value,), {}, tries, left)
        if step.error is not None:
            if isinstance(step.error, StopIteration):
                return Outcome(step.error.value)
            step.repeatable = not begun
            return step
        begun = True
        if left is not None:
            left = max(1e-3, left - (time.monotonic() - started))
        try:
            value = yield step.value
            resume = inner.send
        except GeneratorExit:  # what it returns now would go nowhere, what it raises does not
            left_by = _perform_call(context, inner.close, (), {}, tries, left)
            if left_by.error is not None:
                raise left_by.error from None
            raise
        except BaseException as error:  # thrown in by the caller
            resume, value = inner.throw, error


async def drive_async_generator(
    protocol: Protocol, tries: Tries, done: Callable[[State], None]
) -> AsyncGenerator[Any, Any]:
    """As `drive_generator`; an asynchronous generator returns nothing, so `done` gets the state."""
    outcome: Any = None
    try:
        while True:
            effect = protocol.send(outcome)
            if type(effect) is not Call:
                outcome = await _perform_async(effect, tries)
                continue
            context = effect.context
            left = context.spec.timeout_seconds
            inner = context.spec.fn(*effect.args, **effect.kwargs)
            resume: Callable[[Any], Coroutine[Any, Any, Any]] = inner.asend
            value: Any = None
            begun = False
            while True:
                started = time.monotonic()
                outcome = await _call_async(context, partial(resume, value), left, tries)
                if outcome.error is not None:
                    if isinstance(outcome.error, StopAsyncIteration):
                        outcome = Outcome()
                    outcome.repeatable = not begun
                    break
                begun = True
                if left is not None:
                    left = max(1e-3, left - (time.monotonic() - started))
                try:
                    value = yield outcome.value
                    resume = inner.asend
                except GeneratorExit as error:
                    outcome = await _call_async(context, inner.aclose, left, tries)
                    outcome = Outcome(None, outcome.error or error, outcome.ended, repeatable=False)
                    break
                except BaseException as error:  # thrown in by the caller
                    resume, value = inner.athrow, error
    except StopIteration as stop:
        done(stop.value)


def _without_our_frame(error: BaseException) -> BaseException:
    """The error as if the user's function had been called by nobody: its traceback begins there."""
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next
    return error


def _sleep_in_steps(seconds: float) -> None:
    """Sleep on a thread that can be cancelled only between two steps."""
    end = time.monotonic() + seconds
    while (rest := end - time.monotonic()) > 0:
        time.sleep(min(0.05, rest))

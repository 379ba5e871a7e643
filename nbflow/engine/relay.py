"""Drives one submitted run across threads: whoever ends a step goes on with the next.

Between two steps the run is *parked*: queued, in the user's function, or asleep. Each parking has
a number, and whoever takes that number goes on; so of "it returned", "its deadline passed" and "it
was cancelled" exactly one counts, and what a thread brings back too late is dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any

from nbflow.engine.context import current_run
from nbflow.engine.drivers import perform
from nbflow.engine.effects import Call, Outcome, Sleep, Wait
from nbflow.engine.interrupts import ThreadTry
from nbflow.errors import CancelledRun, Interrupted
from nbflow.model.specs import Colour
from nbflow.model.states import State, state_named

if TYPE_CHECKING:
    from nbflow.engine.engine import Engine
    from nbflow.engine.futures import TaskFuture
    from nbflow.engine.pool import ThreadPool
    from nbflow.engine.protocol import Protocol
    from nbflow.engine.timers import Timer

_REPEAT_SECONDS = 0.1


class Relay:
    """One submitted task run.

    Attributes:
        future: Ends with the run.
    """

    __slots__ = (
        "_context", "_engine", "_lock", "_pool", "_protocol", "_ready", "_started", "_stop",
        "_timer", "_turn", "future",
    )  # fmt: skip

    def __init__(
        self,
        engine: Engine,
        protocol: Protocol,
        future: TaskFuture[Any],
        pool: ThreadPool,
        context: Context,
    ) -> None:
        self._engine = engine
        self._protocol = protocol
        self._pool = pool
        self._context = context
        self._lock = threading.Lock()
        self._turn = 0
        self._ready = False  # in the pool's queue
        self._started = False
        self._timer: Timer | None = None
        self._stop: Callable[[str], object] | None = None  # ends what the run is parked in
        self.future = future

    # --- moving on ----------------------------------------------------------------------------

    def enqueue(self) -> None:
        """Nothing has to be waited for any more: run as soon as a thread is free."""
        self._ready = True
        self._pool.submit(partial(self._begin, self._turn))

    def run_here(self, pool: ThreadPool) -> bool:
        """Run it on this thread of `pool`, if it is queued there and has not begun."""
        if not self._ready or pool is not self._pool or not self._take(0):
            return False
        self._started = True
        self._go_on(None)
        return self.future.is_done

    def _begin(self, turn: int) -> None:
        if self._take(turn):
            self._started = True
            self._go_on(None)

    def _take(self, turn: int) -> bool:
        """Whether the caller is the one to go on from this parking."""
        with self._lock:
            if self._turn != turn:
                return False
            self._turn += 1
            return True

    def _go_on(self, outcome: Outcome | None) -> None:
        """Step through the protocol until it parks or ends."""
        protocol, tries = self._protocol, self._engine.tries
        while True:
            try:
                effect = protocol.send(outcome)  # type: ignore[arg-type]  # None starts it
            except StopIteration as stop:
                self._finish(stop.value)
                return
            except Exception as error:  # a bug of ours must not leave the future open for ever
                self._finish(self._engine.broken(self.future.run, error))
                return
            if type(effect) is Call:
                outcome = self._call(effect)
                if outcome is None:
                    return
            elif type(effect) is Sleep:
                turn = self._turn
                self._timer = self._engine.timers.call_later(
                    effect.seconds, partial(self._resume_in_pool, turn, Outcome())
                )
                return
            elif type(effect) is Wait:
                if not all(future.is_done for future in effect.futures):
                    self._wait(effect)
                    return
                outcome = Outcome()
            else:
                outcome = perform(effect, tries)

    def _finish(self, state: State) -> None:
        self._protocol.close()
        self.future._finish(state)

    def _resume_in_pool(self, turn: int, outcome: Outcome) -> None:
        """Go on from parking `turn`, if nobody has, on a thread of the pool."""
        if self._take(turn):
            self._timer = None
            self._pool.submit(partial(self._go_on, outcome))

    # --- parking ------------------------------------------------------------------------------

    def _call(self, call: Call) -> Outcome | None:
        """The outcome of a try; None: this thread is not the one to go on."""
        runner = call.context.scope.runner
        if runner.elsewhere:
            self._call_elsewhere(call)
            return None
        turn = self._turn
        outcome = self._context.run(self._call_here, call, turn)
        return outcome if self._take(turn) else None

    def _call_here(self, call: Call, turn: int) -> Outcome:
        context = call.context
        one = ThreadTry(context.run)
        run_id = context.run.id
        stop = self._stop = partial(self._abandon, one, turn)
        self._engine.tries[run_id] = self
        spec = context.spec
        if spec.timeout_seconds is not None:
            self._timer = self._engine.timers.call_later(
                spec.timeout_seconds, partial(stop, "TimedOut")
            )
        current_run.set(context)  # in a context of the run's own: nothing to reset
        try:
            try:
                value = spec.fn(*call.args, **call.kwargs)
                if spec.colour is Colour.GENERATOR:
                    value = list(value)
            finally:
                one.finish()
            return Outcome(value)
        except BaseException as error:
            if error.__traceback__ is not None:
                error.__traceback__ = error.__traceback__.tb_next
            return Outcome(None, error, one.ended)
        finally:
            self._stop = None
            self._engine.tries.pop(run_id, None)
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _abandon(self, one: ThreadTry, turn: int, ended: str) -> bool:
        """End a try: the run goes on at once, its thread is asked to stop until it does."""
        if not self._take(turn):
            return False
        self._timer = None
        self._engine.tries.pop(self.future.run.id, None)
        self._context = self._context.copy()  # the old one is still entered by the other thread
        _stop_thread(self._engine, self._pool, one, ended)
        self._pool.submit(partial(self._go_on, Outcome(None, Interrupted(ended), ended)))
        return True

    def _call_elsewhere(self, call: Call) -> None:
        """Start the try in another process; the run goes on when it answers."""
        turn = self._turn
        self._engine.tries[call.context.run.id] = self

        def answered(outcome: Outcome) -> None:
            self._stop = None
            self._engine.tries.pop(call.context.run.id, None)
            if self._timer is not None:
                self._timer.cancel()
            self._resume_in_pool(turn, outcome)

        kill = call.context.scope.runner.start(call, answered)
        self._stop = kill
        timeout = call.context.spec.timeout_seconds
        if timeout is not None:
            self._timer = self._engine.timers.call_later(timeout, lambda: kill("TimedOut"))

    def _wait(self, effect: Wait) -> None:
        turn = self._turn
        left = _Countdown(len(effect.futures), partial(self._resume_in_pool, turn, Outcome()))
        for future in effect.futures:
            future.add_done_callback(left)

    # --- ending it from outside -----------------------------------------------------------------

    def interrupt(self, ended: str) -> None:
        """End the try that is going on."""
        stop = self._stop
        if stop is not None:
            stop(ended)

    def cancel(self, why: str, *, running: bool = True) -> bool:
        """End the run wherever it is; False: it has ended or is about to.

        Args:
            running: False: only if it has not begun.
        """
        if self._started and not running:
            return False
        stop = self._stop
        if stop is not None:
            self._engine.cancelling(self.future.run)
            return bool(stop("Cancelled"))
        if not self._take(self._turn):
            return False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._started:
            self._pool.submit(partial(self._go_on, Outcome(None, Interrupted(why), "Cancelled")))
        else:
            error = CancelledRun(f"task run {self.future.run.name!r} did not start: {why}")
            state = state_named("Cancelled", str(error), error)
            self._finish(self._engine.enter(self.future.run, state))
        return True


class _Countdown:
    """A callback for several futures that calls on when the last of them has ended."""

    __slots__ = ("_left", "_lock", "_then")

    def __init__(self, n: int, then: Callable[[], object]) -> None:
        self._left = n
        self._lock = threading.Lock()
        self._then = then

    def __call__(self, _: Any = None) -> None:
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            self._then()


def when_all_done(futures: list[TaskFuture[Any]], then: Callable[[], object]) -> None:
    """Call `then` when all futures have ended; at once when there are none."""
    if not futures:
        then()
        return
    countdown = _Countdown(len(futures), then)
    for future in futures:
        future.add_done_callback(countdown)


def _stop_thread(engine: Engine, pool: ThreadPool, one: ThreadTry, ended: str) -> None:
    """Raise in the thread of an abandoned try again and again until it has left the function."""
    lent = pool.lent()
    lent.__enter__()  # it does not count among the pool's threads until it is back

    def again() -> None:
        if one.interrupt(ended):
            engine.timers.call_later(_REPEAT_SECONDS, again)
        else:
            lent.__exit__(None, None, None)

    again()

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

from nbflow.engine import interrupts
from nbflow.engine.context import current_run
from nbflow.engine.drivers import perform
from nbflow.engine.effects import Call, Offload, Outcome, Sleep, Wait
from nbflow.engine.interrupts import ThreadTry
from nbflow.engine.stack import is_deeper_than
from nbflow.errors import CancelledRun, Interrupted
from nbflow.model.specs import Colour
from nbflow.model.states import State, state_named

if TYPE_CHECKING:
    from nbflow.engine.engine import Engine
    from nbflow.engine.futures import TaskFuture
    from nbflow.engine.pool import ThreadPool
    from nbflow.engine.protocol import Protocol
    from nbflow.engine.timers import Timer

#: Ends what a run is parked in with the name of a state; False: somebody has gone on before.
Stop = Callable[[str], bool]
_REPEAT_SECONDS = 0.1
# A thread that waits does the awaited work itself only this deep; deeper, a chain of tasks that
# wait for each other would meet Python's recursion limit where a thread each does not.
_INLINE_FRAMES = 300


class Relay:
    """One submitted task run.

    Attributes:
        future: Ends with the run.
    """

    __slots__ = (
        "_cancelled", "_context", "_engine", "_lock", "_parked", "_pool", "_protocol", "_ready",
        "_started", "_stop", "_timer", "_turn", "future",
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
        self._parked = True
        self._ready = False  # in the pool's queue
        self._started = False
        self._cancelled: str | None = None  # why, once somebody asked for it
        self._timer: Timer | None = None
        self._stop: Stop | None = None  # ends what the run is parked in
        self.future = future

    # --- moving on ----------------------------------------------------------------------------

    def enqueue(self) -> None:
        """Nothing has to be waited for any more: run as soon as a thread is free."""
        self._ready = True
        self._pool.submit(partial(self._begin, self._turn))

    def run_here(self, pool: ThreadPool) -> bool:
        """Run it on this thread of `pool`, if it is queued there and has not begun."""
        if not self._ready or pool is not self._pool or is_deeper_than(_INLINE_FRAMES):
            return False
        if interrupts.in_timed_try():  # the end of who waits for this run is not its own
            return False
        before = interrupts.hold()
        try:
            self._begin(0)
        finally:
            interrupts.let_go(before)
        return self.future.is_done

    def needs_this_thread(self) -> bool:
        return False

    def _begin(self, turn: int) -> None:
        if self._take(turn):
            self._started = True
            self._go_on(None)

    def _park(self, stop: Stop | None = None) -> bool:
        """From here on others may go on instead; False: it was cancelled, there is no waiting."""
        with self._lock:
            if self._cancelled is not None:
                return False
            self._parked, self._stop = True, stop
            return True

    def _take(self, turn: int) -> bool:
        """Whether the caller is the one to go on from this parking."""
        with self._lock:
            if self._turn != turn or not self._parked:
                return False
            self._turn += 1
            self._parked, self._stop = False, None
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        return True

    def _go_on(self, outcome: Outcome | None) -> None:
        """Step through the protocol until it parks or ends."""
        while True:
            try:
                effect = self._protocol.send(outcome)  # type: ignore[arg-type]  # None starts it
            except StopIteration as stop:
                self._finish(stop.value)
                return
            except BaseException as error:  # it must not leave the future open for ever
                self._finish(self._engine.broken(self.future.run, error))
                if isinstance(error, Exception):
                    return
                raise  # it was meant for the try around this one
            if type(effect) is Call:
                outcome = self._call(effect)
            elif type(effect) is Sleep:
                outcome = self._sleep(effect)
            elif type(effect) is Wait:
                outcome = self._wait(effect)
            else:
                assert type(effect) is Offload
                outcome = self._offload(effect)
            if outcome is None:
                return

    def _finish(self, state: State) -> None:
        self._protocol.close()
        self.future._finish(state)

    def _resume_in_pool(self, turn: int, outcome: Outcome) -> None:
        """Go on from parking `turn`, if nobody has, on a thread of the pool."""
        if self._take(turn):
            self._pool.submit(partial(self._go_on, outcome))

    # --- parking: each gives the outcome, or None where this thread is not the one to go on -----

    def _call(self, call: Call) -> Outcome | None:
        if call.context.scope.runner.elsewhere:
            return self._call_elsewhere(call)
        turn = self._turn
        outcome = self._context.run(self._call_here, call, turn)
        if outcome is None:
            return self._was_cancelled()
        return outcome if self._take(turn) else None

    def _call_here(self, call: Call, turn: int) -> Outcome | None:
        """What came of a try; None: it was cancelled before it began."""
        context, spec = call.context, call.context.spec
        one = ThreadTry(context.run)
        current_run.set(context)  # in a context of the run's own: nothing to reset
        try:
            try:
                if not self._park(partial(self._abandon, one, turn)):
                    return None
                if spec.timeout_seconds is not None:
                    ring = partial(self._abandon, one, turn, "TimedOut")
                    self._later(turn, spec.timeout_seconds, ring)
                one.begin()
                value = spec.fn(*call.args, **call.kwargs)
                if spec.colour is Colour.GENERATOR:
                    value = list(value)
            finally:
                try:
                    one.finish()
                except Interrupted:  # the last moment for one to come
                    one.finish()
            return Outcome(value)
        except BaseException as error:
            if error.__traceback__ is not None:
                error.__traceback__ = error.__traceback__.tb_next
            return Outcome(None, error, one.ended)

    def _abandon(self, one: ThreadTry, turn: int, ended: str) -> bool:
        """End a try: the run goes on at once, its thread is asked to stop until it does."""
        if not self._take(turn):
            return False
        self._context = self._context.copy()  # the old one is still entered by the other thread
        _stop_thread(self._engine, self._pool, one, ended)
        self._go_on_after(Outcome(None, Interrupted(ended), ended))
        return True

    def _go_on_after(self, outcome: Outcome) -> None:
        """Go on from what was ended from outside; on this thread if that cannot take long."""
        if outcome.ended == "Cancelled":
            self._go_on(outcome)  # only its end is left
        else:
            self._pool.submit(partial(self._go_on, outcome))

    def _call_elsewhere(self, call: Call) -> Outcome | None:
        """Start the try in another process; the run goes on when it answers."""
        turn, timeout = self._turn, call.context.spec.timeout_seconds
        kills: list[Callable[[], object]] = []
        stop = partial(self._end_elsewhere, turn, kills)
        if not self._park(stop):
            return self._was_cancelled()

        def began() -> None:
            if timeout is not None:
                self._later(turn, timeout, partial(stop, "TimedOut"))

        runner = call.context.scope.runner
        kills.append(runner.start(call, began, partial(self._resume_in_pool, turn)))
        if self._turn != turn:  # it was ended before there was anything to kill, or has answered
            kills[0]()
        return None

    def _end_elsewhere(self, turn: int, kills: list[Callable[[], object]], ended: str) -> bool:
        if not self._take(turn):
            return False
        for kill in kills:
            kill()
        self._go_on_after(Outcome(None, Interrupted(ended), ended))
        return True

    def _offload(self, effect: Offload) -> Outcome | None:
        turn = self._turn
        if not self._park(partial(self._leave, turn)):
            return self._was_cancelled()
        outcome = perform(effect, self._engine.tries)
        if self._take(turn):
            return outcome
        effect.drop(outcome)
        self._pool.take_back()
        return None

    def _leave(self, turn: int, ended: str) -> bool:
        """Go on without the thread that waits for a slot; it gives back what it gets."""
        if not self._take(turn):
            return False
        self._pool.lend()
        self._go_on_after(Outcome(None, Interrupted(ended), ended))
        return True

    def _sleep(self, effect: Sleep) -> Outcome | None:
        turn = self._turn
        if not self._park():
            return self._was_cancelled()
        self._later(turn, effect.seconds, partial(self._resume_in_pool, turn, Outcome()))
        return None

    def _wait(self, effect: Wait) -> Outcome | None:
        turn = self._turn
        if not self._park():
            return self._was_cancelled()
        if effect.timeout_seconds is not None:
            late = Outcome(None, Interrupted("TimedOut"), "TimedOut")
            self._later(turn, effect.timeout_seconds, partial(self._resume_in_pool, turn, late))
        when_all_done(list(effect.futures), partial(self._resume_in_pool, turn, Outcome()))
        return None

    def _later(self, turn: int, seconds: float, then: Callable[[], object]) -> None:
        """Call `then` after this time, if the run is still parked as it is now."""
        timer = self._engine.timers.call_later(seconds, then)
        with self._lock:
            if self._turn == turn:
                self._timer = timer
                return
        timer.cancel()

    # --- ending it from outside -----------------------------------------------------------------

    def cancel(self, why: str, *, running: bool = True) -> bool:
        """End the run wherever it is; False: it has ended.

        Args:
            running: False: only if it has not begun.
        """
        if self._started and not running:
            return False
        with self._lock:
            if self.future.is_done:
                return False
            self._cancelled = why  # between two steps it is seen at the next one
            parked, turn, stop = self._parked, self._turn, self._stop
        if not parked:
            return True
        if stop is not None:
            self._engine.cancelling(self.future.run)
            stop("Cancelled")
        elif self._take(turn):
            if self._started:
                self._go_on_after(self._was_cancelled())
            else:
                error = CancelledRun(f"task run {self.future.run.name!r} did not start: {why}")
                state = state_named("Cancelled", str(error), error)
                self._finish(self._engine.enter(self.future.run, state))
        return True

    def _was_cancelled(self) -> Outcome:
        return Outcome(None, Interrupted(self._cancelled), "Cancelled")


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
    pool.lend()  # it does not count among the pool's threads until it is back

    def again() -> None:
        if one.interrupt(ended):
            engine.timers.call_later(_REPEAT_SECONDS, again)
        else:
            pool.take_back()

    again()

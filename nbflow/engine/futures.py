"""Task runs that were submitted and may not have ended yet."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar, overload

from nbflow.engine.pool import ThreadPool, current_pool
from nbflow.model.runs import Run
from nbflow.model.states import State

if TYPE_CHECKING:
    from nbflow.engine.context import FlowScope

logger = logging.getLogger(__name__)
T = TypeVar("T")
# One lock for all futures: held for a few instructions only, and it saves each of them its own.
_lock = threading.Lock()


class Carrier(Protocol):
    """Whoever carries out a submitted run, as far as its future needs to know."""

    def run_here(self, pool: ThreadPool) -> bool: ...
    def needs_this_thread(self) -> bool: ...
    def cancel(self, why: str, *, running: bool = True) -> bool: ...


class TaskFuture(Generic[T]):
    """A submitted task run: ask for its `result()`, or pass it on to another task.

    `await future` gives the result without blocking the event loop.
    """

    __slots__ = ("__weakref__", "_callbacks", "_final", "_relay", "_scope", "run")

    def __init__(self, run: Run, scope: FlowScope) -> None:
        self.run = run
        self._scope: FlowScope | None = scope
        self._relay: Carrier | None = None
        self._callbacks: list[Callable[[TaskFuture[T]], object]] | None = []
        self._final: State | None = None
        scope.unfinished.add(self)

    @property
    def task_run_id(self) -> str:
        return self.run.id

    @property
    def state(self) -> State:
        """Where the run stands now."""
        self._observe()
        return self._final or self.run.state

    @property
    def is_done(self) -> bool:
        """Whether the run has ended. Does not count as looking at how."""
        return self._final is not None

    def wait(self, timeout: float | None = None) -> None:
        """Block until the run has ended, or for `timeout` seconds."""
        if self._final is not None:
            return
        pool, relay = current_pool(), self._relay
        if relay is not None and relay.needs_this_thread():
            raise RuntimeError(
                f"waiting here for task run {self.run.name!r} would block the event loop that it "
                "runs on, for ever; `await` the future instead"
            )
        # A thread of the pool does the work it waits for itself, where that has not begun.
        if pool is not None and relay is not None and timeout is None and relay.run_here(pool):
            return
        done = Latch()
        self.add_done_callback(lambda _: done.set())
        if pool is None:
            wait_interruptibly(done, timeout)
        else:
            with pool.lent():
                wait_interruptibly(done, timeout)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> T:
        """Block until the run has ended and give its value.

        Args:
            timeout: Seconds to wait at most.
            raise_on_failure: False: give the exception back instead of raising it.

        Raises:
            TimeoutError: The run has not ended within `timeout`.
            Exception: What the task raised, unwrapped.
        """
        __tracebackhide__ = True
        self.wait(timeout)
        if self._final is None:
            raise TimeoutError(f"task run {self.run.name!r} did not end within {timeout:g} seconds")
        self._observe()
        return self._final.result(raise_on_failure)  # type: ignore[no-any-return]

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Block until the run has ended and give what it raised, if anything."""
        value = self.result(timeout, raise_on_failure=False)
        return value if isinstance(value, BaseException) and not self.state.is_completed() else None

    def add_done_callback(self, fn: Callable[[TaskFuture[T]], object]) -> None:
        """Call `fn` with this future when the run ends; at once if it has."""
        with _lock:
            if self._callbacks is not None:
                self._callbacks.append(fn)
                return
        fn(self)

    def cancel(self) -> bool:
        """End the run if it has not ended; False: there was nothing to end."""
        relay = self._relay
        return relay is not None and self._final is None and relay.cancel("it was cancelled")

    def __await__(self) -> Generator[Any, None, T]:
        yield from wait_async([self]).__await__()
        return self.result()

    def __repr__(self) -> str:
        return f"TaskFuture({self.run.name!r}, {(self._final or self.run.state).name})"

    def _observe(self) -> None:
        if self._scope is not None:
            self._scope.failed.discard(self)

    def _finish(self, state: State) -> None:
        """Called once by whoever carries out the run."""
        scope = self._scope
        assert scope is not None
        if not state.is_completed() and scope.run is not None:
            scope.failed.add(self)
        else:
            self._scope = None
        with _lock:
            self._final = state
            self._relay = None
            callbacks, self._callbacks = self._callbacks, None
        scope.unfinished.discard(self)
        for fn in callbacks or ():
            _call_back(fn, self)


class TaskFutureList(list[TaskFuture[T]]):
    """What `.map()` gives: the futures in the order of the items."""

    def wait(self, timeout: float | None = None) -> None:
        """Block until all have ended, or for `timeout` seconds."""
        wait(self, timeout)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[T]:
        """The values in order. See `TaskFuture.result`."""
        __tracebackhide__ = True
        end = None if timeout is None else time.monotonic() + timeout
        return [future.result(_rest(end), raise_on_failure) for future in self]


class DoneAndNotDone(NamedTuple):
    """What `wait` gives."""

    done: set[TaskFuture[Any]]
    not_done: set[TaskFuture[Any]]


def wait(futures: Iterable[TaskFuture[Any]], timeout: float | None = None) -> DoneAndNotDone:
    """Block until all have ended, or for `timeout` seconds; says which have."""
    several = list(futures)
    end = None if timeout is None else time.monotonic() + timeout
    for future in several:
        if future._final is None:
            future.wait(_rest(end))
    done = {future for future in several if future.is_done}
    return DoneAndNotDone(done, set(several) - done)


def as_completed(
    futures: Iterable[TaskFuture[T]], timeout: float | None = None
) -> Iterator[TaskFuture[T]]:
    """Give the futures as they end.

    Raises:
        TimeoutError: Not all have ended within `timeout` seconds.
    """
    several = dict.fromkeys(futures)
    end = None if timeout is None else time.monotonic() + timeout
    ended: SimpleQueue[TaskFuture[T]] = SimpleQueue()
    for future in several:
        future.add_done_callback(ended.put)
    for n in range(len(several)):
        yield _next(ended, end, len(several) - n, len(several))


async def wait_async(futures: Iterable[TaskFuture[Any]]) -> None:
    """Wait until all have ended, without blocking the event loop."""
    loop = asyncio.get_running_loop()
    for future in futures:
        if future._final is None:
            done = loop.create_future()
            future.add_done_callback(lambda _, done=done: _wake(loop, done))  # type: ignore[misc]
            await done


def _set(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _wake(loop: asyncio.AbstractEventLoop, done: asyncio.Future[None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(_set, done)


@overload
def _rest(end: None) -> None: ...
@overload
def _rest(end: float) -> float: ...
@overload
def _rest(end: float | None) -> float | None: ...
def _rest(end: float | None) -> float | None:
    return None if end is None else max(0.0, end - time.monotonic())


def _next(
    ended: SimpleQueue[TaskFuture[T]], end: float | None, n_left: int, n_all: int
) -> TaskFuture[T]:
    pool = current_pool()
    try:
        if pool is None:
            return ended.get(timeout=_rest(end))
        with pool.lent():
            return ended.get(timeout=_rest(end))
    except Empty:
        raise TimeoutError(f"{n_left} of {n_all} task runs have not ended in time") from None


class Latch:
    """An event that is set once, for one waiter.

    Made of one lock, in C: a `threading.Event` that is interrupted at the wrong moment keeps its
    lock, and whoever sets it then waits for ever.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        return self._lock.acquire(timeout=-1 if timeout is None else timeout)


def wait_interruptibly(done: Latch | threading.Event, timeout: float | None) -> bool:
    """As `done.wait(timeout)`, but a thread other than the main one can be ended meanwhile.

    There an exception from outside comes only between two steps; on the main thread a signal does.
    """
    if threading.current_thread() is threading.main_thread():
        return done.wait(timeout)
    end = None if timeout is None else time.monotonic() + timeout
    while not done.wait(0.05 if end is None else min(0.05, _rest(end))):
        if end is not None and time.monotonic() >= end:
            return False
    return True


def _call_back(fn: Callable[[Any], object], future: TaskFuture[Any]) -> None:
    try:
        fn(future)
    except Exception:
        logger.exception("a callback of %r failed", future)

"""The event loop of submitted async tasks, on a thread of its own: the user's loop stays free."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Any, TypeVar

from nbflow.engine.futures import Latch, wait_interruptibly
from nbflow.engine.pool import current_pool

T = TypeVar("T")


async def in_thread(fn: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
    """Call `fn` on a thread of its own, without blocking the event loop.

    `undo` is called with what it gives where nobody waits for that any more.

    Not `asyncio.to_thread`: a few calls that wait for a slot of a limit would fill its pool, and
    those whose end they wait for could not get a thread any more.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(value: Any, error: BaseException | None) -> None:
        if answer.done():
            if undo is not None and error is None:
                undo(value)
        elif error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error)

    def call() -> None:
        value, failure = None, None
        try:
            value = fn()
        except BaseException as error:
            failure = error
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(settle, value, failure)

    threading.Thread(
        target=copy_context().run, args=(call,), name="nbflow-wait", daemon=True
    ).start()
    try:
        return await answer
    except asyncio.CancelledError:
        came_together = answer.done() and not answer.cancelled() and answer.exception() is None
        if came_together and undo is not None:
            undo(answer.result())
        raise


class LoopThread:
    """Starts with the first coroutine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(
        self,
        coroutine: Coroutine[Any, Any, Any],
        context: Context,
        done: Callable[[asyncio.Task[Any]], object],
    ) -> Callable[[], None]:
        """Run a coroutine; gives a function that cancels it. `done` is called on the loop."""
        loop = self._running()
        tasks: list[asyncio.Task[Any]] = []
        cancelled = threading.Event()

        def create() -> None:
            task = loop.create_task(coroutine, context=context)
            task.add_done_callback(done)
            tasks.append(task)
            if cancelled.is_set():
                task.cancel()

        def cancel() -> None:
            cancelled.set()
            if tasks:
                loop.call_soon_threadsafe(tasks[0].cancel)

        loop.call_soon_threadsafe(create)
        return cancel

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine and block until it ends; gives its value or raises its exception."""
        if self.is_current():  # it cannot wait for itself: a hook of an async run
            other = LoopThread()
            try:
                return other.run(coroutine)
            finally:
                other.close()
        done = Latch()
        ended: list[asyncio.Task[Any]] = []

        def finish(task: asyncio.Task[Any]) -> None:
            ended.append(task)
            done.set()

        cancel = self.start(coroutine, copy_context(), finish)
        pool = current_pool()
        try:
            if pool is None:
                wait_interruptibly(done, None)
            else:
                with pool.lent():
                    wait_interruptibly(done, None)
        except BaseException:
            cancel()
            raise
        return ended[0].result()

    def is_current(self) -> bool:
        """Whether the caller is on this loop's thread."""
        return self._loop is not None and asyncio._get_running_loop() is self._loop

    def close(self) -> None:
        """Cancel what runs on the loop, and stop it when that has ended. Does not wait."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(_wind_up, loop)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=_run_and_close, args=(self._loop,), name="nbflow-loop", daemon=True
                ).start()
            return self._loop


def _run_and_close(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def _wind_up(loop: asyncio.AbstractEventLoop) -> None:
    """A coroutine that is never resumed would end in the garbage collector, in no context."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        ended = asyncio.gather(*tasks, return_exceptions=True)
        ended.add_done_callback(lambda _: loop.stop())
    else:
        loop.stop()

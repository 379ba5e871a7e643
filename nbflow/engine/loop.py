"""The event loop of submitted async tasks, on a thread of its own: the user's loop stays free."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

from nbflow.engine.futures import wait_interruptibly
from nbflow.engine.pool import current_pool


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
        """Run a coroutine; gives a function that cancels it. `done` is called on the loop's thread."""
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
        done = threading.Event()
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
        """Stop the loop. What still runs on it ends with the process."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop = None

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=self._loop.run_forever, name="nbflow-loop", daemon=True
                ).start()
            return self._loop

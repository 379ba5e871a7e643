"""A pool of threads that grows when it stalls and lends a place to whoever blocks.

`concurrent.futures` starts a thread per item up to its limit, and a task that waits for another
task holds its thread: with all threads waiting nothing moves any more. Here a thread that waits
does not count, so that even a pool of one cannot deadlock.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from nbflow.engine.timers import Timers

logger = logging.getLogger(__name__)
Job = Callable[[], object]

# Up to this many threads start at once; more only when those make no progress for a moment.
_EAGER_THREADS = 4
_STALL_SECONDS = 0.002
_local = threading.local()


class ThreadPool:
    """Runs jobs on at most `max_workers` threads at a time, not counting those that wait."""

    def __init__(self, timers: Timers, max_workers: int, name: str = "nbflow-task") -> None:
        self.max_workers = max_workers
        self._timers = timers
        self._name = name
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._n_threads = 0
        self._n_lent = 0
        self._n_begun = 0
        self._n_named = 0
        self._watching = False
        self._closed = False

    def submit(self, job: Job) -> None:
        """Run `job` as soon as there is a free thread. It must not raise."""
        self._queue.put(job)
        if self._n_threads - self._n_lent < min(_EAGER_THREADS, self.max_workers):
            self._grow(1, min(_EAGER_THREADS, self.max_workers))
        elif not self._watching:
            self._watch()

    def close(self) -> None:
        """Let the threads end when they have done what is queued. Does not wait for them."""
        with self._lock:
            self._closed = True
            for _ in range(self._n_threads):
                self._queue.put(None)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """The calling thread of this pool waits inside: another one may work meanwhile."""
        self.lend()
        try:
            yield
        finally:
            self.take_back()

    def lend(self) -> None:
        """A thread of this pool waits from now on."""
        with self._lock:
            self._n_lent += 1
        if not self._queue.empty():
            self._grow(1, self.max_workers)

    def take_back(self) -> None:
        """A thread that was lent works again."""
        with self._lock:
            self._n_lent -= 1

    def _grow(self, by: int, limit: int) -> None:
        with self._lock:
            room = limit - (self._n_threads - self._n_lent)
            for _ in range(min(by, room)):
                self._n_named += 1
                thread = threading.Thread(
                    target=self._work, name=f"{self._name}-{self._n_named}", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is ending; those there are do the rest
                    return
                self._n_threads += 1

    def _watch(self) -> None:
        self._watching = True
        begun = self._n_begun
        self._timers.call_later(_STALL_SECONDS, lambda: self._check(begun))

    def _check(self, begun: int) -> None:
        """On the timers' thread: no job was begun for a moment though some wait."""
        self._watching = False
        waiting = self._queue.qsize()
        if not waiting or self._closed:
            return
        if self._n_begun == begun:
            self._grow(waiting, self.max_workers)
        if self._n_threads - self._n_lent < self.max_workers:
            self._watch()

    def _work(self) -> None:
        _local.pool = self
        while (job := self._queue.get()) is not None:
            self._n_begun += 1  # a lost count under a race only delays growth
            try:
                job()
            except BaseException:  # a late Interrupted; the thread must live on
                logger.debug("a pool job raised", exc_info=True)
            job = None
            if self._one_too_many():
                return
        with self._lock:
            self._n_threads -= 1

    def _one_too_many(self) -> bool:
        """Whether this thread stood in for one that waited and is back; it then ends."""
        if self._n_threads - self._n_lent <= self.max_workers:
            return False
        with self._lock:
            if self._n_threads - self._n_lent <= self.max_workers:
                return False
            self._n_threads -= 1
            return True


def current_pool() -> ThreadPool | None:
    """The pool whose thread this is, if it is one's."""
    return getattr(_local, "pool", None)

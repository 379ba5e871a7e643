"""One thread that calls functions later: retries' waits, deadlines, stalled pools."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Timer:
    """A call to come. `cancel()` makes it not come; it may have begun already."""

    __slots__ = ("_fn",)

    def __init__(self, fn: Callable[[], object]) -> None:
        self._fn: Callable[[], object] | None = fn

    def cancel(self) -> None:
        self._fn = None

    def fire(self) -> None:
        fn, self._fn = self._fn, None
        if fn is not None:
            fn()


class Timers:
    """A heap and a condition. What is called must be short: it runs on the timers' thread."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        # Taken as such and not by the condition, whose methods are Python: an alarm that raised
        # inside them would leave the lock taken for ever.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._order = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def call_later(self, seconds: float, fn: Callable[[], object]) -> Timer:
        """Call `fn` after this time, on the timers' thread."""
        timer = Timer(fn)
        due = time.monotonic() + seconds
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._loop, name="nbflow-timers", daemon=True
                )
                self._thread.start()
            heapq.heappush(self._heap, (due, next(self._order), timer))
            if self._heap[0][2] is timer:
                self._changed.notify()
        return timer

    def close(self) -> None:
        """End the thread; what has not come by now never does."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _loop(self) -> None:
        while True:
            with self._changed:
                while not self._closed and not self._due():
                    rest = self._heap[0][0] - time.monotonic() if self._heap else None
                    self._changed.wait(rest if rest is None else min(rest, threading.TIMEOUT_MAX))
                if self._closed:
                    return
                timer = heapq.heappop(self._heap)[2]
            try:
                timer.fire()
            except Exception:
                logger.exception("a timed call failed")

    def _due(self) -> bool:
        return bool(self._heap) and self._heap[0][0] <= time.monotonic()

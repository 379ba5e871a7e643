"""Ending a try from outside: at its deadline, or because it was cancelled.

On the main thread a signal does it (SIGALRM), which also ends a blocked `sleep`, lock or socket.
On other threads CPython can only raise an exception between two byte codes, so a blocked C call
there runs on; its try is *abandoned*: the run goes on without it, and what it returns is dropped.

The exception is raised only while the try is armed, so that it never escapes into the engine.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import threading
import time
from types import FrameType
from typing import Any

from nbflow.errors import Interrupted
from nbflow.model.runs import Run

_MAIN = threading.main_thread().ident
_set_async_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc
_REPEAT_SECONDS = 0.1


class MainTry:
    """One try on the main thread.

    Attributes:
        ended: Name of the state it was ended with from outside, or None.
    """

    __slots__ = ("armed", "deadline", "ended", "run", "task")

    def __init__(self, run: Run, timeout_seconds: float | None) -> None:
        self.run = run
        self.deadline = float("inf")
        self.ended: str | None = None
        self.armed = False
        self.task: Any = None  # the asyncio task it runs in; it is hit only while that one runs
        if timeout_seconds is not None:
            self.deadline = time.monotonic() + timeout_seconds

    def interrupt(self, ended: str) -> None:
        """End the try. Called from any thread."""
        if self.ended is None:
            self.ended = ended
            _guard.ring()


class _MainGuard:
    """The tries on the main thread, outermost first, and the signal handler that ends them."""

    def __init__(self) -> None:
        self.tries: list[MainTry] = []
        self._previous: Any = None
        self._installed = False

    def install(self) -> None:
        """Take over SIGALRM; main thread only. A handler of the user's is kept and called too."""
        if not self._installed:
            self._previous = signal.signal(signal.SIGALRM, self._on_alarm)
            self._installed = True

    def uninstall(self) -> None:
        """Give SIGALRM back."""
        if self._installed and threading.get_ident() == _MAIN:
            signal.setitimer(signal.ITIMER_REAL, 0)
            if signal.getsignal(signal.SIGALRM) == self._on_alarm:
                signal.signal(signal.SIGALRM, self._previous or signal.SIG_DFL)
            self._installed = False

    def set_timer(self) -> None:
        """Have the alarm ring at the next deadline."""
        deadlines = [one.deadline for one in self.tries if one.armed]
        nearest = min(deadlines, default=float("inf"))
        if nearest == float("inf"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        else:
            # Repeating: an alarm that came while the try could not be hit comes again.
            rest = max(1e-4, nearest - time.monotonic())
            signal.setitimer(signal.ITIMER_REAL, rest, _REPEAT_SECONDS)

    def ring(self) -> None:
        """Run the handler on the main thread now, interrupting what blocks there."""
        with contextlib.suppress(ProcessLookupError, TypeError):
            signal.pthread_kill(_MAIN, signal.SIGALRM)  # type: ignore[arg-type]

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        __tracebackhide__ = True
        now = time.monotonic()
        ours = False
        for one in self.tries:
            if not one.armed or (one.ended is None and one.deadline > now):
                continue
            ours = True
            if one.task is not None and not _is_current(one.task):
                continue  # asyncio itself cancels what only awaits
            one.armed = False
            one.ended = one.ended or "TimedOut"
            self.set_timer()
            raise Interrupted(one.ended)
        if not ours and callable(self._previous):
            self._previous(number, frame)


_guard = _MainGuard()
begin_main = _guard.tries.append
install, uninstall, set_timer = _guard.install, _guard.uninstall, _guard.set_timer


def end_main(one: MainTry) -> None:
    """Forget a try on the main thread. The innermost one is the last in the list."""
    tries = _guard.tries
    if tries[-1] is one:
        tries.pop()
    else:  # asyncio tasks end in any order
        tries.remove(one)
    if one.deadline != float("inf"):
        set_timer()


def on_main_thread() -> bool:
    return threading.get_ident() == _MAIN


class ThreadTry:
    """One try on another thread than the main one."""

    __slots__ = ("_live", "_lock", "_outer", "_thread_id", "ended", "run")

    def __init__(self, run: Run) -> None:
        self.run = run
        self.ended: str | None = None
        self._lock = threading.Lock()
        self._live = True
        self._thread_id = threading.get_ident()
        self._outer: ThreadTry | None = getattr(_local, "innermost", None)
        _local.innermost = self

    def interrupt(self, ended: str) -> bool:
        """Raise `Interrupted` in the thread when it next runs Python code; False: it has ended."""
        with self._lock:
            if self._live:
                self.ended = self.ended or ended
                _set_async_exc(ctypes.c_ulong(self._thread_id), ctypes.py_object(Interrupted))
            return self._live

    def finish(self) -> None:
        """The function has returned. Called on its thread; nothing is raised in it afterwards.

        An interruption may still come while this is being called: then it has to be called again.
        """
        _local.innermost = self._outer
        with self._lock:
            self._live = False
            if self.ended is not None:  # drop one that was set but has not been raised
                _set_async_exc(ctypes.c_ulong(self._thread_id), None)
        outer = self._outer
        while outer is not None:  # it may have been meant for the try around this one
            if outer.ended is not None:
                outer.interrupt(outer.ended)
            outer = outer._outer


_local = threading.local()


def _is_current(task: Any) -> bool:
    import asyncio

    try:
        return asyncio.current_task(task.get_loop()) is task
    except RuntimeError:
        return False

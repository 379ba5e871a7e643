"""Ending a try from outside: at its deadline, or because it was cancelled.

On the main thread a signal does it (SIGALRM), which also ends a blocked `sleep`, lock or socket.
On other threads CPython can only raise an exception between two byte codes, so a blocked C call
there runs on; its try is *abandoned*: the run goes on without it, and what it returns is dropped.

The exception is raised only while the try is armed, so that it never escapes into the engine; and
not while the thread is *held*: inside a nested call it would leave runs without an end, and the
locks of our own that are written in Python taken for ever.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed leaves it out
import contextlib
import ctypes
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from nbflow.errors import Interrupted
from nbflow.model.runs import Run

# What `signal.signal` and `getsignal` call, after turning numbers into enums and back at ten times
# the cost: a task call outside of flows does this eight times.
_set_handler, _handler_of = _signal.signal, _signal.getsignal
_SIGINT = int(signal.SIGINT)
_MAIN = threading.main_thread().ident
_set_async_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc
_REPEAT_SECONDS = 0.1
_HELD_SECONDS = 0.001


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
            guard.ring()


class _MainGuard:
    """The tries on the main thread, outermost first, and the signal handler that ends them."""

    def __init__(self) -> None:
        self.tries: list[MainTry] = []
        self.held = 0
        self._previous: Any = None
        self._installed = False
        self._ctrl_c = False  # came while held

    def install(self) -> None:
        """Take over SIGALRM; main thread only. A handler of the user's is kept and called too."""
        if not self._installed:
            self._previous = signal.signal(signal.SIGALRM, self._on_alarm)
            self._installed = True

    def _on_ctrl_c(self, number: int, frame: FrameType | None) -> None:
        __tracebackhide__ = True
        if self.held and not self._ctrl_c:
            self._ctrl_c = True
            return
        self._ctrl_c = False
        raise KeyboardInterrupt

    def hold(self) -> int:
        """See the function `hold`."""
        before = self.held
        if not before and not self.tries and _handler_of(_SIGINT) is signal.default_int_handler:
            _set_handler(_SIGINT, self._on_ctrl_c)
        self.held = before + 1
        return before

    def let_go(self, before: int) -> None:
        """See the function `let_go`."""
        __tracebackhide__ = True
        self.held = before
        if before:
            return
        # `asyncio.run` and IPython look for Python's own handler.
        if not self.tries and _handler_of(_SIGINT) == self._on_ctrl_c:
            _set_handler(_SIGINT, signal.default_int_handler)
        self.raise_what_came()

    def raise_what_came(self) -> None:
        __tracebackhide__ = True
        if self._ctrl_c:
            self._ctrl_c = False
            raise KeyboardInterrupt

    def uninstall(self) -> None:
        """Give SIGALRM back."""
        if self._installed and threading.get_ident() == _MAIN:
            signal.setitimer(signal.ITIMER_REAL, 0)
            if signal.getsignal(signal.SIGALRM) == self._on_alarm:
                # Never the default, which would end the process: an alarm may be on its way.
                back = self._previous if callable(self._previous) else signal.SIG_IGN
                signal.signal(signal.SIGALRM, back)
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
        if not self._installed:
            return
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
            if self.held:
                signal.setitimer(signal.ITIMER_REAL, _HELD_SECONDS, _HELD_SECONDS)
                return
            if one.task is not None and not _is_current(one.task):
                continue  # asyncio itself cancels what only awaits
            one.armed = False
            one.ended = one.ended or "TimedOut"
            self.set_timer()
            raise Interrupted(one.ended)
        if not ours and callable(self._previous):
            self._previous(number, frame)


guard = _MainGuard()
begin_main = guard.tries.append
install, uninstall, set_timer = guard.install, guard.uninstall, guard.set_timer


def end_main(one: MainTry) -> None:
    """Forget a try on the main thread. The innermost one is the last in the list."""
    tries = guard.tries
    if tries[-1] is one:
        tries.pop()
    else:  # asyncio tasks end in any order
        tries.remove(one)
    if one.deadline != float("inf"):
        set_timer()


def on_main_thread() -> bool:
    return threading.get_ident() == _MAIN


class _ThreadState(threading.local):
    """What is known of the current thread, if it is not the main one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.hold = _Hold()
        self.innermost: ThreadTry | None = None


class _Hold:
    """How many of our own calls are open on a thread, for other threads to see."""

    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 0


class ThreadTry:
    """One try on another thread than the main one, between `begin` and `finish` on that thread."""

    __slots__ = (
        "_begun", "_hold", "_live", "_lock", "_n_held", "_outer", "_thread_id", "ended", "run",
        "timed",
    )  # fmt: skip

    def __init__(self, run: Run) -> None:
        self.run = run
        self.ended: str | None = None
        self._lock = _thread.lock
        self._hold = _thread.hold
        self._live = True
        self._begun = False
        self._n_held = 0
        self._outer = outer = _thread.innermost
        self.timed: bool = run.spec.timeout_seconds is not None or (
            outer is not None and outer.timed
        )
        self._thread_id = threading.get_ident()

    def begin(self) -> None:
        """The function is about to be called: from here to `finish` the thread is not held.

        Raises:
            Interrupted: It was ended before it began, or one around it was.
        """
        with self._lock:
            self._begun = True
            self._n_held, self._hold.n = self._hold.n, 0
            _thread.innermost = self
        raise_what_came()

    def interrupt(self, ended: str) -> bool:
        """Raise `Interrupted` in the thread when it next runs Python code; False: it has ended."""
        with self._lock:
            if self._live:
                self.ended = self.ended or ended
                if self._begun and not self._hold.n:
                    _set_async_exc(ctypes.c_ulong(self._thread_id), ctypes.py_object(Interrupted))
            return self._live

    def finish(self) -> None:
        """The function has returned. Called on its thread; nothing is raised in it afterwards.

        An interruption may still come while this is being called: then it has to be called again.
        """
        with self._lock:
            self._live = False
            if self._begun:
                self._begun = False
                self._hold.n = self._n_held
                _thread.innermost = self._outer
            # Drop one that was set but has not been raised; for the try around this one it comes
            # again as soon as the thread is let go.
            _set_async_exc(ctypes.c_ulong(self._thread_id), None)
        if not self._hold.n:
            raise_what_came()


_thread = _ThreadState()


def in_timed_try() -> bool:
    """Whether a deadline may end what this thread, which is not the main one, is doing."""
    return _thread.innermost is not None and _thread.innermost.timed


def hold() -> int:
    """Nothing is raised on this thread from here to `let_go`: our own work is being done.

    Gives what `let_go` has to be given.
    """
    if threading.get_ident() == _MAIN:
        return guard.hold()
    with _thread.lock:
        before = _thread.hold.n
        _thread.hold.n = before + 1
        if _thread.innermost is not None:
            _set_async_exc(ctypes.c_ulong(threading.get_ident()), None)
    return before


def let_go(before: int) -> None:
    """End of what `hold` began; what came meanwhile is raised now.

    Raises:
        Interrupted, KeyboardInterrupt: It did.
    """
    __tracebackhide__ = True
    if threading.get_ident() == _MAIN:
        guard.let_go(before)
        return
    with _thread.lock:
        _thread.hold.n = before
    if not before:
        raise_what_came()


@contextmanager
def not_held() -> Iterator[None]:
    """Inside, what comes is raised again: our own work only waits."""
    main = threading.get_ident() == _MAIN
    if main:
        n, guard.held = guard.held, 0
    else:
        with _thread.lock:
            n, _thread.hold.n = _thread.hold.n, 0
    try:
        raise_what_came()
        yield
    finally:
        if main:
            guard.held = n
        else:
            with _thread.lock:
                _thread.hold.n = n
                if _thread.innermost is not None:
                    _set_async_exc(ctypes.c_ulong(threading.get_ident()), None)


def raise_what_came() -> None:
    """Raise what came for this thread while it was held.

    Raises:
        Interrupted, KeyboardInterrupt: It did.
    """
    __tracebackhide__ = True
    if threading.get_ident() == _MAIN:
        guard.raise_what_came()
        return
    one = _thread.innermost
    while one is not None:
        if one.ended is not None:
            raise Interrupted(one.ended)
        one = one._outer


def insist(one: ThreadTry, ended: str) -> None:
    """Interrupt an abandoned try again and again until it has left its function.

    Once is not enough: user code may swallow it, and so does CPython in a weakref's callback.
    """
    if one.interrupt(ended):
        again = threading.Timer(_REPEAT_SECONDS, insist, (one, ended))
        again.daemon = True
        again.start()


def _is_current(task: Any) -> bool:
    import asyncio

    try:
        return asyncio.current_task(task.get_loop()) is task
    except RuntimeError:
        return False


def without_alarm(trace: TracebackType | None) -> TracebackType | None:
    """A traceback that ends at the line that was interrupted, not in the handler of the signal."""
    one = trace
    while one is not None and one.tb_next is not None:
        if one.tb_next.tb_frame.f_code is _MainGuard._on_alarm.__code__:
            one.tb_next = None
        one = one.tb_next
    return trace

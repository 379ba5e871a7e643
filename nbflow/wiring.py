"""The one composition root: settings -> bus, store, results, engine; and their end."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from nbflow.bus import EventBus
from nbflow.console import Console
from nbflow.engine import capture
from nbflow.engine.engine import Engine
from nbflow.hooks import HookCaller
from nbflow.limits import Limits
from nbflow.results.results import Results
from nbflow.settings import Settings, load_settings
from nbflow.store.requests import Request
from nbflow.store.store import Store

_BEGIN_SECONDS = 10.0  # that a run which was taken may need to begin


class Wiring:
    """Everything one process needs to carry out runs. Nothing is opened before it is used."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.bus = EventBus()
        self.store = Store(settings.home, self.handle)
        self.limits = Limits(self.store)
        self.results = Results(
            self.store,
            max_bytes=settings.cache_max_bytes,
            max_age_seconds=settings.cache_max_age_seconds,
            verify_buffers=settings.verify_buffers,
        )
        self.engine = Engine(
            self.bus,
            self.results,
            self.limits,
            flush=self.store.flush,
            max_threads=settings.max_threads,
            log_level=settings.log_level_number,
            log_prints=settings.log_prints,
            persist_results=settings.persist_results,
            parent_run_id=settings.parent_run or None,
        )
        self.bus.subscribe(self.store.record)
        self._console = Console(settings.log_level_number)
        self._end_console = self.bus.subscribe(self._console.on_event)
        self.bus.subscribe(HookCaller(self.engine.loop.run).on_event)
        self._closers: list[Callable[[], object]] = []

    def silence_console(self) -> None:
        """Write no log lines to the terminal: a front end of its own shows the runs."""
        self._end_console()

    def show_console(self) -> None:
        """Write log lines to the terminal again."""
        self._end_console()
        self._end_console = self.bus.subscribe(self._console.on_event)

    def handle(self, request: Request) -> None:
        """Do what another process asks of a run here. Called on the store thread."""
        verbs = {
            "cancel": self._cancel,
            "pause": self.engine.pause,
            "resume": self.engine.resume,
        }
        # On a thread of its own: ending a run writes to the store, whose thread this is.
        threading.Thread(
            target=verbs[request.verb], args=(request.run_id,), name="nbflow-request", daemon=True
        ).start()

    def _cancel(self, run_id: str) -> None:
        """End a run of this process, also one that it has taken and not begun yet."""
        end = time.monotonic() + _BEGIN_SECONDS
        while not self.engine.cancel(run_id) and time.monotonic() < end:
            record = self.store.find_run(run_id)
            if record.is_final or record.owner_id != self.store.owner_id:
                return
            time.sleep(0.02)

    def close(self, *, wait: bool = True) -> None:
        """End the runs, write everything, end the threads.

        Args:
            wait: Whether to wait for tasks that were submitted outside of flows.
        """
        while self._closers:
            self._closers.pop()()
        self.engine.close(wait=wait)
        self.store.close()

    def before_close(self, closer: Callable[[], object]) -> None:
        """Have something called when this wiring is closed, before all else of it ends."""
        self._closers.append(closer)


_current: Wiring | None = None
_of_parents: list[Wiring] = []
_lock = threading.RLock()


def current() -> Wiring:
    """This process' wiring, made from the settings when first asked for."""
    if _current is None:
        _start()
    assert _current is not None
    return _current


def _start() -> None:
    global _current
    with _lock:
        if _current is None:
            _current = Wiring(load_settings())


def close(*, wait: bool = True) -> None:
    """Close this process' wiring; the next run makes one from the settings as they are then."""
    global _current
    with _lock:
        wiring, _current = _current, None
    if wiring is not None:
        wiring.close(wait=wait)


def close_if_idle() -> None:
    """Close this process' wiring unless runs are in flight."""
    if _current is not None and _current.engine.is_idle:
        close(wait=False)


@contextmanager
def using(settings: Settings) -> Iterator[Wiring]:
    """Use other settings for a while, with a wiring of their own."""
    global _current
    with _lock:
        before, _current = _current, Wiring(settings)
        wiring = _current
    try:
        yield wiring
    finally:
        with _lock:
            _current = before
        wiring.close()


def _at_exit() -> None:
    connected = _current
    try:
        # A kernel that is told to stop must stop; a script's submitted tasks are worth waiting for.
        close(wait="ipykernel" not in sys.modules)
    except KeyboardInterrupt:  # again, while the end is being written
        if connected is not None:
            with suppress(KeyboardInterrupt):
                connected.close(wait=False)


def _after_fork() -> None:
    """Neither the threads nor the database connections of the parent are the child's to use."""
    global _current, _lock
    _lock = threading.RLock()
    capture.uninstall()
    if _current is not None:
        _current.store.abandon()
        # Kept for ever: SQLite's connections may not even be closed by a child (sqlite.org,
        # How To Corrupt, 2.6).
        _of_parents.append(_current)
    _current = None


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork)

"""A worker: takes the runs of a work pool that are due, and has each carried out."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from types import FrameType

from nbflow.deploy import pool_types
from nbflow.deploy.charges import Charges, harmless, say
from nbflow.deploy.pool_types import PoolType, Starter
from nbflow.errors import PoolNotFound
from nbflow.model.deployments import DeploymentRecord, OrderRecord
from nbflow.scheduling.notices import wait_sent
from nbflow.scheduling.scheduler import Scheduler
from nbflow.settings import load_settings
from nbflow.store.requests import Request
from nbflow.store.store import Store

_TICK_SECONDS = 1.0
_HEARTBEAT_SECONDS = 5.0
_LOOK_BACK_SECONDS = 30.0


class Worker:
    """Has the runs of one pool carried out, as many at a time as its limit allows.

    Args:
        limit: How many runs at a time; None: any number.
        name: Under which people find it; default: made of the host and the process.
    """

    def __init__(self, pool: str, limit: int | None = None, name: str | None = None) -> None:
        self.pool = pool
        self.limit = limit
        self.name = name or f"{socket.gethostname().partition('.')[0]}-{os.getpid()}"
        self._store = Store(load_settings().home, self._on_request, may_fall_back=False)
        self._wakeups: SimpleQueue[None] = SimpleQueue()  # safe in signal handlers: it is all in C
        self._n_told = 0  # how often it was told to end
        self._heartbeat_at = self._looked_back_at = 0.0
        self._type: PoolType
        self._starter: Starter
        self._charges: Charges
        self._scheduler: Scheduler

    def run(self) -> None:
        """Work until told to end. Blocks.

        The first SIGTERM or Ctrl-C lets what runs end, the second cancels it, the third kills it.

        Raises:
            PoolNotFound: There is no such pool.
            InvalidOption: This nbflow does not know the pool's type.
            StoreError: The store cannot be used.
        """
        store = self._store
        try:
            self._type = pool_types.find(store.find_pool(self.pool).kind)
            store.register_worker(self.name, self.pool, self.limit)
            self._starter = self._type.starter(store.folder, store.owner_id)
            self._charges = Charges(store, self._starter, self._has_room)
            self._scheduler = Scheduler(store, self, pool=self.pool)
            with self._signals():
                self._work()
        finally:
            store.close()

    def stop(self) -> None:
        """Tell it to end, as a signal does. May be called on any thread and in handlers."""
        self._n_told += 1
        self._wakeups.put(None)

    # --- its life ---------------------------------------------------------------------------------

    def _work(self) -> None:
        limit = "" if self.limit is None else f", at most {self.limit} at a time"
        say(
            f"worker {self.name!r} waits for runs of pool {self.pool!r} "
            f"({self._type.name}{limit}); Ctrl-C ends it"
        )
        try:
            self._scheduler.start()
            self._until(lambda: self._n_told > 0)
            self._scheduler.close()
            self._drain()
        finally:
            self._scheduler.close()
            self._starter.close()
            harmless(self._store.unregister_worker)
            wait_sent()
            say(f"worker {self.name!r} has ended")

    def _drain(self) -> None:
        charges = self._charges
        if not charges:
            return
        say(f"takes no more runs; {self._waiting()} to end. Ctrl-C again cancels")
        self._until(lambda: not charges or self._n_told > 1)
        if charges:
            say(f"cancels what runs; {self._waiting()}. Ctrl-C again kills", logging.WARNING)
            charges.cancel_all()
            self._until(lambda: not charges or self._n_told > 2)
        if charges:
            charges.kill_all()
            self._until(lambda: not charges)

    def _waiting(self) -> str:
        n = len(self._charges)
        return "waits for 1 run" if n == 1 else f"waits for {n} runs"

    def _until(self, is_so: Callable[[], bool]) -> None:
        """Look after what runs until something is so."""
        looked_at = 0.0
        while not is_so():
            if time.monotonic() - looked_at >= _TICK_SECONDS:
                looked_at = time.monotonic()
                harmless(self._look_after)
            try:
                self._wakeups.get(timeout=_TICK_SECONDS)
            except Empty:
                continue

    def _look_after(self) -> None:
        now = time.monotonic()
        if not self._n_told and not self._has_pool():
            say(f"work pool {self.pool!r} was deleted", logging.WARNING)
            self.stop()
        self._store.reap()
        self._charges.look_after()
        if now - self._heartbeat_at >= _HEARTBEAT_SECONDS:
            self._heartbeat_at = now
            self._store.worker_heartbeat()
        if now - self._looked_back_at >= _LOOK_BACK_SECONDS:
            self._looked_back_at = now
            self._charges.look_back(self.pool)

    def _has_pool(self) -> bool:
        try:
            self._store.find_pool(self.pool)
        except PoolNotFound:
            return False
        return True

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def told(number: int, frame: FrameType | None) -> None:
            self.stop()

        before = {one: signal.signal(one, told) for one in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    # --- for the scheduler and the store ----------------------------------------------------------

    def start(self, order: OrderRecord, deployment: DeploymentRecord) -> None:
        """Have a run begun. Returns at once."""
        self._charges.start(order, deployment, self._type.refusal(deployment))

    def free(self) -> int | None:
        """How many more runs may begin."""
        if self._n_told:
            return 0
        return None if self.limit is None else max(0, self.limit - len(self._charges))

    def cancel(self, run_id: str) -> None:
        """End a run, whichever process it runs in."""
        self._charges.cancel(run_id)

    def _has_room(self) -> None:
        self._scheduler.wake()
        self._wakeups.put(None)

    def _on_request(self, request: Request) -> None:
        """Called on the store thread: a run was cancelled that nobody has adopted yet."""
        if request.verb == "cancel":
            threading.Thread(
                target=self.cancel, args=(request.run_id,), name="nbflow-request", daemon=True
            ).start()

"""Waiting for slots of concurrency limits.

A release in this process wakes its waiters at once; one in another process is noticed by polling.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

from nbflow.errors import AcquireTimedOut, LimitNotFound
from nbflow.model.ids import new_id
from nbflow.model.records import LimitRecord
from nbflow.model.runs import Run
from nbflow.store.limits import Acquisition

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.05
_REAP_SECONDS = 1.0  # how often a waiter looks whether a holder has died


class LimitStore(Protocol):
    """What limits need of the store."""

    def acquire(self, names: list[str], slots: int, lease_id: str, run_id: str) -> Acquisition: ...
    def release_lease(self, lease_id: str, names: tuple[str, ...]) -> None: ...
    def limits(self, name: str | None = None) -> list[LimitRecord]: ...
    def reap(self) -> None: ...


@dataclass(slots=True)
class Lease:
    """Slots that are held. They end by `release()`, or with this process."""

    limits: Limits
    id: str
    names: tuple[str, ...]

    def release(self) -> None:
        """Give the slots back; again: nothing happens."""
        names, self.names = self.names, ()
        if names:
            self.limits.release(self.id, names)


class Limits:
    """The limits of one store."""

    def __init__(self, store: LimitStore) -> None:
        self.store = store
        self.bells: set[SimpleQueue[None]] = set()  # one of each thread that waits
        self._warned: set[str] = set()

    def acquire(self, names: list[str], *, run_id: str = "") -> Lease:
        """Wait for one slot of every one of `names`, then hold them. Blocks."""
        return self.waiting(names, run_id=run_id).block()

    def waiting(
        self,
        names: list[str],
        slots: int = 1,
        *,
        timeout_seconds: float | None = None,
        strict: bool = False,
        run_id: str = "",
    ) -> Waiting:
        """A wait for `slots` of every one of `names`, to be carried out by its caller.

        Args:
            strict: A name without a limit is an error; else it does not limit, and says so once.
        """
        return Waiting(self, names, slots, timeout_seconds, strict, run_id)

    def acquire_for_tags(self, run: Run) -> Lease | None:
        """Hold a slot of every limit that is named like a tag of the run; None: there is none."""
        limited = {record.name for record in self.store.limits()}.intersection(run.tags)
        return self.acquire(sorted(limited), run_id=run.id) if limited else None

    def release(self, lease_id: str, names: tuple[str, ...]) -> None:
        """Give slots back and wake who waits for them in this process."""
        self.store.release_lease(lease_id, names)
        for bell in list(self.bells):
            bell.put(None)

    def warn_missing(self, names: tuple[str, ...]) -> None:
        """Say, once for each name, that it limits nothing."""
        for name in names:
            if name not in self._warned:
                self._warned.add(name)
                logger.warning(
                    "there is no concurrency limit %r, so nothing is limited; "
                    "create it with `nbflow concurrency-limit create %s N`",
                    name,
                    name,
                )


class Waiting:
    """One wait for slots. Both ways to wait end with the slots held, or none.

    Raises:
        AcquireTimedOut: Not within `timeout_seconds`.
        LimitNotFound: With `strict`, for a name without a limit.
    """

    def __init__(
        self,
        limits: Limits,
        names: list[str],
        slots: int,
        timeout_seconds: float | None,
        strict: bool,
        run_id: str,
    ) -> None:
        self._limits = limits
        self._names = names
        self._slots = slots
        self._timeout_seconds = timeout_seconds
        self._strict = strict
        self._run_id = run_id
        self._lease_id = new_id()
        started = time.monotonic()
        self._end = float("inf") if timeout_seconds is None else started + timeout_seconds
        self._reap_at = started + _REAP_SECONDS
        self._given_up = False

    def block(self) -> Lease:
        """Wait on this thread."""
        # Not a condition: Ctrl-C inside one can leave it locked, and every holder would hang.
        bell: SimpleQueue[None] = SimpleQueue()
        self._limits.bells.add(bell)  # before the try: a release during it is not missed
        try:
            while True:
                answer = self._try()
                if isinstance(answer, Lease):
                    return answer
                with contextlib.suppress(Empty):
                    bell.get(timeout=answer)
        except BaseException as error:
            if not isinstance(error, Exception):  # Ctrl-C, or the timeout of the run
                self._give_up()
            raise
        finally:
            self._limits.bells.discard(bell)

    async def wait(self) -> Lease:
        """Wait without blocking the event loop.

        A thread is used for each try only: waiting on one would take up the few threads that the
        holders need to go on.
        """
        loop = asyncio.get_running_loop()
        try:
            while True:
                answer = await asyncio.shield(loop.run_in_executor(None, self._try))
                if isinstance(answer, Lease):
                    return answer
                await asyncio.sleep(answer)
        except asyncio.CancelledError:
            self._give_up()
            raise

    def _try(self) -> Lease | float:
        """Take the slots, or say how many seconds to wait at most before the next try."""
        store = self._limits.store
        answer = store.acquire(self._names, self._slots, self._lease_id, self._run_id)
        lease = Lease(self._limits, self._lease_id, answer.taken)
        if self._given_up or (answer.missing and self._strict):
            lease.release()
        if answer.missing:
            if self._strict:
                raise LimitNotFound(answer.missing[0])
            self._limits.warn_missing(answer.missing)
        if answer.wait_seconds is None:
            return lease
        now = time.monotonic()
        if now >= self._end:
            raise AcquireTimedOut(self._names, self._timeout_seconds or 0.0)
        if now >= self._reap_at:
            store.reap()
            self._reap_at = now + _REAP_SECONDS
        return min(answer.wait_seconds, _POLL_SECONDS, self._end - now)

    def _give_up(self) -> None:
        """Whoever waited is gone: what a try that goes on takes, or has just taken, is given back.

        A try looks at the flag after its commit, this releases after setting it: one comes second.
        """
        self._given_up = True
        self._limits.release(self._lease_id, tuple(self._names))

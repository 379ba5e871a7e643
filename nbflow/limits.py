"""Waiting for slots of concurrency limits.

A release in this process wakes its waiters at once; one in another process is noticed by polling.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
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
        self._store = store
        self._released = threading.Condition()
        self._n_released = 0
        self._warned: set[str] = set()

    def acquire(
        self,
        names: list[str],
        slots: int = 1,
        *,
        timeout_seconds: float | None = None,
        strict: bool = False,
        run_id: str = "",
    ) -> Lease:
        """Wait for `slots` of every one of `names`, then hold them. Blocks.

        Args:
            strict: A name without a limit is an error; else it does not limit, and says so once.

        Raises:
            AcquireTimedOut: Not within `timeout_seconds`.
            LimitNotFound: With `strict`, for a name without a limit.
        """
        lease_id = new_id()
        started = time.monotonic()
        end = float("inf") if timeout_seconds is None else started + timeout_seconds
        reap_at = started + _REAP_SECONDS
        while True:
            seen = self._n_released
            answer = self._store.acquire(names, slots, lease_id, run_id)
            if answer.missing:
                self._tell_missing(answer.missing, strict, lease_id, answer)
            if answer.wait_seconds is None:
                return Lease(self, lease_id, answer.taken)
            now = time.monotonic()
            if now >= end:
                raise AcquireTimedOut(names, timeout_seconds or 0.0)
            if now >= reap_at:
                self._store.reap()
                reap_at = now + _REAP_SECONDS
            with self._released:
                if self._n_released == seen:
                    self._released.wait(min(answer.wait_seconds, _POLL_SECONDS, end - now))

    def acquire_for_tags(self, run: Run) -> Lease | None:
        """Hold a slot of every limit that is named like a tag of the run; None: there is no such."""
        limited = {record.name for record in self._store.limits()}.intersection(run.tags)
        return self.acquire(sorted(limited), run_id=run.id) if limited else None

    def release(self, lease_id: str, names: tuple[str, ...]) -> None:
        """Give slots back and wake who waits for them in this process."""
        self._store.release_lease(lease_id, names)
        with self._released:
            self._n_released += 1
            self._released.notify_all()

    def _tell_missing(
        self, missing: tuple[str, ...], strict: bool, lease_id: str, answer: Acquisition
    ) -> None:
        if strict:
            if answer.taken:
                self.release(lease_id, answer.taken)
            raise LimitNotFound(missing[0])
        for name in missing:
            if name not in self._warned:
                self._warned.add(name)
                logger.warning(
                    "there is no concurrency limit %r, so nothing is limited; "
                    "create it with `nbflow concurrency-limit create %s N`",
                    name,
                    name,
                )

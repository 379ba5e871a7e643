"""The one place every event passes through: synchronous, in-process, in the publisher's thread.

A subscriber only watches. What it raises is logged here, once per subscriber, and goes no further.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from nbflow.model.events import Event

logger = logging.getLogger(__name__)
Subscriber = Callable[[Event], None]


class EventBus:
    """Hands each event to every subscriber, in the order they subscribed."""

    def __init__(self) -> None:
        # Replaced as a whole, never changed in place: publishing needs no lock.
        self._subscribers: tuple[Subscriber, ...] = ()
        self._lock = threading.Lock()
        self._reported: set[int] = set()  # ids: a bound method need not be hashable

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` with every event from now on; the returned function ends that."""
        with self._lock:
            self._subscribers += (subscriber,)
        return lambda: self._unsubscribe(subscriber)

    def _unsubscribe(self, subscriber: Subscriber) -> None:
        with self._lock:
            self._subscribers = tuple(
                known for known in self._subscribers if known is not subscriber
            )
            self._reported.discard(id(subscriber))

    def publish(self, event: Event) -> None:
        """Tell every subscriber. Returns when all have been called; never raises."""
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:
                if id(subscriber) not in self._reported:
                    self._reported.add(id(subscriber))
                    logger.exception("%r failed on %s", subscriber, type(event).__name__)

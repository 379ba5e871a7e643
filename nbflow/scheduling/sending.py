"""The thread that sends notices, so that nobody waits for a service that does not answer."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass

from nbflow.errors import NbflowError
from nbflow.scheduling.addresses import send, shown

logger = logging.getLogger(__name__)

#: How long a notice may take to its addresses.
TIMEOUT_SECONDS = 20.0
_MOST_WAITING = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One text for one or more addresses.

    Attributes:
        tone: "failure", "warning" or "success".
    """

    title: str
    body: str
    tone: str
    addresses: tuple[str, ...]


class Sender:
    """Sends notices one after the other, on a thread that lives while there are any."""

    def __init__(self, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._timeout_seconds = timeout_seconds
        self._waiting: deque[Notice] = deque()
        self._thread: threading.Thread | None = None
        self._idle = threading.Condition()

    def post(self, notice: Notice) -> None:
        """Send it soon. Returns at once."""
        with self._idle:
            if len(self._waiting) >= _MOST_WAITING:
                logger.warning("too many notices wait to be sent; dropped: %s", notice.title)
                return
            self._waiting.append(notice)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="nbflow-notices", daemon=True
                )
                self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait until all are sent or given up; False: some are not."""
        with self._idle:
            return self._idle.wait_for(lambda: self._thread is None, seconds)

    def _work(self) -> None:
        while True:
            with self._idle:
                if not self._waiting:
                    self._thread = None
                    self._idle.notify_all()
                    return
                notice = self._waiting.popleft()
            try:
                failed = self._send(notice)
            except Exception as error:
                failed = [repr(error)]
            if failed:
                logger.warning(
                    "a notice could not be sent: %s; %s", notice.title, "; ".join(failed)
                )

    def _send(self, notice: Notice) -> list[str]:
        """Send it to all its addresses at the same time; gives what went wrong."""
        answers: dict[str, str | None] = dict.fromkeys(notice.addresses, "")

        def send_to(address: str) -> None:
            try:
                send(address, notice.title, notice.body, notice.tone)
                answers[address] = None
            except NbflowError as error:
                answers[address] = str(error)

        threads = [
            threading.Thread(target=send_to, args=(one,), name="nbflow-notice", daemon=True)
            for one in answers
        ]
        for thread in threads:
            thread.start()
        end = time.monotonic() + self._timeout_seconds
        for thread in threads:
            # A service that answers a byte at a time would hold it up for ever.
            thread.join(max(0.0, end - time.monotonic()))
        late = f"no answer within {self._timeout_seconds:g} s"
        return [f"{shown(one)}: {why or late}" for one, why in answers.items() if why is not None]

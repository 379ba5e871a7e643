"""A sign of life while schedules or runs live in a kernel that looks idle.

Jupyter's culling ends kernels that have sent nothing for a while, and what runs in threads sends
nothing. The message is of a type of its own: front ends drop types that they do not know, as the
protocol has it, and its parent is no cell.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

MESSAGE_TYPE = "nbflow_keep_alive"


class KeepAlive:
    """Sends the sign every so often, from when it is woken until nothing lives any more.

    Args:
        shell: Of a kernel; in any other nothing is ever sent.
        seconds: Between two signs; 0: none is sent.
        call_later: `Timers.call_later`.
        is_needed: Whether something lives that a culled kernel would take with it.
    """

    def __init__(
        self,
        shell: Any,
        seconds: float,
        call_later: Callable[[float, Callable[[], object]], Any],
        is_needed: Callable[[], bool],
    ) -> None:
        self._kernel: Any = getattr(shell, "kernel", None)
        self._seconds = seconds
        self._call_later = call_later
        self._is_needed = is_needed
        self._timer: Any = None
        self._closed = False
        self._lock = threading.Lock()

    def wake(self) -> None:
        """Something has begun to live. Cheap; from any thread."""
        if self._timer is not None or not self._seconds or self._kernel is None:
            return
        with self._lock:
            if self._timer is None and not self._closed:
                self._timer = self._call_later(self._seconds, self._tick)

    def close(self) -> None:
        """Send nothing any more."""
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()

    def _tick(self) -> None:
        """On the timers' thread."""
        with self._lock:
            self._timer = None
        if self._closed or not self._is_needed():
            return
        self._send()
        self.wake()

    def _send(self) -> None:
        kernel = self._kernel
        try:
            # The socket hands over to the thread that owns the real one.
            kernel.session.send(
                kernel.iopub_socket,
                MESSAGE_TYPE,
                {},
                parent={},
                ident=f"kernel.{kernel.ident}.{MESSAGE_TYPE}".encode(),
            )
        except Exception:  # the kernel is about to end
            logger.debug("no sign of life could be sent", exc_info=True)

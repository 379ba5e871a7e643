"""How long to wait before a try is repeated."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: What `retry_delay_seconds` takes.
RetryDelay = float | Sequence[float] | Callable[[int], Sequence[float]]

# The numbers of the module `random` belong to the user, who may have seeded them.
_random = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits between tries.

    Attributes:
        retries: Tries after the first.
        delays_seconds: Wait before each retry; the last one repeats. Empty: no wait.
        jitter_factor: Each wait is stretched at random by up to this share of itself, so that
            many tasks that failed together do not come back together.
    """

    retries: int = 0
    delays_seconds: tuple[float, ...] = ()
    jitter_factor: float = 0.0

    def wait_before(self, retry: int) -> float:
        """Seconds to wait before retry number `retry` (1-based)."""
        if not self.delays_seconds:
            return 0.0
        delay = self.delays_seconds[min(retry, len(self.delays_seconds)) - 1]
        return delay * (1 + _random.random() * self.jitter_factor)


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """A value for `retry_delay_seconds`: factor, 2 x factor, 4 x factor, ... seconds."""

    def delays(retries: int) -> list[float]:
        return [backoff_factor * 2**n for n in range(retries)]

    return delays

"""What falls due in the rows about schedules, the same for everybody. Standard library only."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: How long runs are watched, or an idle process is.
WATCH_SECONDS = 15.0
IDLE_SECONDS = 40.0  # nbflow's scheduler looks around twice a minute
N_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Load:
    """Schedules that fall due one after the other.

    Attributes:
        every_seconds: Of each schedule.
    """

    n: int
    every_seconds: float

    def first_times(self, begin_at: float) -> list[float]:
        """The first fire time of each, spread evenly from `begin_at` on."""
        return [begin_at + i * self.every_seconds / self.n for i in range(self.n)]


#: By workload; 33 runs a second, but of one schedule 10.
LOADS = {
    "due_1": Load(1, 0.1),
    "due_1k": Load(1_000, 30.0),
    "due_10k": Load(10_000, 300.0),
}


def lateness(seconds: Sequence[float], at_least: int) -> dict[str, float]:
    """Percentiles of how late runs began.

    Raises:
        RuntimeError: Fewer began than were due.
    """
    if len(seconds) < at_least:
        raise RuntimeError(f"only {len(seconds)} of {at_least} runs began")
    ordered = sorted(seconds)
    if ordered[0] < -0.001:
        raise RuntimeError(f"a run began {-ordered[0]:.3f} s early")
    n = len(ordered)
    return {
        "first": ordered[0],
        "p50": ordered[n // 2],
        "p99": ordered[n * 99 // 100],
        "last": ordered[-1],
    }


def until(at: float) -> None:
    """Sleep to an instant."""
    time.sleep(max(0.0, at - time.time()))


def wait_for(
    is_so: Callable[[], object], seconds: float, what: str, every_seconds: float = 0.05
) -> None:
    """Look again and again whether something is so.

    Raises:
        RuntimeError: It is not so in time.
    """
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not within {seconds:g} s")
        time.sleep(every_seconds)


def busy_share(seconds: float) -> float:
    """What share of a core this process, which does nothing else, takes while it is idle."""
    began, cpu = time.perf_counter(), time.process_time()
    time.sleep(seconds)
    return (time.process_time() - cpu) / (time.perf_counter() - began)

"""Clocks and gauges that every workload shares. Standard library only: it runs in every env."""

from __future__ import annotations

import gc
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

#: What a workload gives: one number in SI units (seconds, bytes, a count), or several by name.
Measured = float | dict[str, float]
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def noop(*_: object) -> int:
    """The task of every workload that measures overhead alone."""
    return 1


def per_item(n: int, fn: Callable[[], object]) -> float:
    """Seconds per item of one call of `fn`, which works through `n` of them."""
    began = time.perf_counter()
    fn()
    return (time.perf_counter() - began) / n


def median_seconds(
    n: int, fn: Callable[[], object], before_each: Callable[[], object] = lambda: None
) -> float:
    """Median seconds of `n` calls after one that does not count.

    What `fn` gives is dropped after the clock has stopped; `before_each` is not counted either.
    """
    taken = []
    for _ in range(n + 1):
        before_each()
        began = time.perf_counter()
        given = fn()
        taken.append(time.perf_counter() - began)
        del given
    return statistics.median(taken[1:])


def settle() -> None:
    """Wait until the disk has what earlier calls wrote, so that the next one does not pay."""
    os.sync()


def rss_bytes() -> int:
    """Memory of this process that is in RAM now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES


def peak_rss_bytes() -> int:
    """The most memory this process ever had in RAM."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def rss_growth(fn: Callable[[], object]) -> float:
    """Bytes of RAM that this process has more after `fn` than before; its answer is kept alive."""
    gc.collect()
    before = rss_bytes()
    kept = fn()
    gc.collect()
    after = rss_bytes()
    del kept
    return after - before


def traced_growth(fn: Callable[[], object]) -> float:
    """As `rss_growth`, by Python's own count of its allocations. Slows `fn` down several times."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = fn()
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    return after - before


@contextmanager
def most_threads() -> Iterator[list[int]]:
    """Look every 2 ms how many threads this process has; the list ends with the most seen."""
    seen = [_n_threads()]
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.002):
            seen[0] = max(seen[0], _n_threads() - 1)  # not counting this one

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


def _n_threads() -> int:
    return len(os.listdir("/proc/self/task"))


def above_bare(snippet: str, n: int, home_variable: str | None = None) -> float:
    """Median seconds that a fresh Python takes for `snippet` above one that does nothing.

    Args:
        home_variable: Set to a new empty folder for each process.
    """
    extra = []
    _run_python(snippet, home_variable)
    for _ in range(n):
        bare = _run_python("pass", None)
        extra.append(_run_python(snippet, home_variable) - bare)
    return statistics.median(extra)


def _run_python(snippet: str, home_variable: str | None) -> float:
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        env = dict(os.environ)
        if home_variable is not None:
            env[home_variable] = folder
        command = [sys.executable, "-c", snippet]
        began = time.perf_counter()
        subprocess.run(command, check=True, env=env, cwd=folder, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began


def seconds_to_stop(fn: Callable[[], object], after_seconds: float) -> float:
    """Press the stop button (SIGINT) on `fn` after a while: seconds from there until it is left.

    Raises:
        RuntimeError: `fn` returned as if nothing had happened.
    """
    # A process that was started in the background of a shell ignores the signal.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    pressed = 0.0

    def press() -> None:
        nonlocal pressed
        pressed = time.perf_counter()
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(after_seconds, press)
    timer.start()
    try:
        fn()
    except BaseException:
        if pressed:
            return time.perf_counter() - pressed
        raise
    finally:
        timer.cancel()
    raise RuntimeError("the stop button did not stop it")

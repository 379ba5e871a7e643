"""A run's process with all that it has started: kernels, pools of workers, the user's own.

They are told by a mark in their environment, which every process hands on to those it starts:
neither a session of its own nor the death of its parent hides one. Kernels have the first, and
whatever the system kills for want of memory causes the second.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator

import psutil  # type: ignore[import-untyped]

from nbflow.model.ids import new_id
from nbflow.settings import child_environment

_MARK = "NBFLOW_FAMILY"
# Each may start others while they are ended.
_MOST_ROUNDS = 5
# One that waits for a broken disk or network share may take for ever.
_DYING_SECONDS = 2.0
_POLL_SECONDS = 0.002
_lock = threading.Lock()


def new_family(**settings: str) -> tuple[str, dict[str, str]]:
    """A new mark, and the environment for the first process that has it."""
    family = new_id()
    return family, child_environment(family=family, **settings)


def kill_family(family: str) -> int:
    """Kill all processes with the mark, this one excepted; gives how many there were.

    Waits until they are dead, some milliseconds as a rule.
    """
    killed: dict[int, psutil.Process] = {}
    with _lock:  # who comes second may not leave before they are dead either
        for _ in range(_MOST_ROUNDS):
            found = [one for one in _members(family) if one.pid not in killed]
            if not found:
                break
            for one in found:
                with contextlib.suppress(psutil.Error, OSError):
                    one.kill()
                killed[one.pid] = one
        end = time.monotonic() + _DYING_SECONDS
        while any(map(_lives, killed.values())) and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
    return len(killed)


def _members(family: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(_MARK) == family:
                yield process


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False

"""Submitted task runs: `future.result()`, `wait(futures)`, `as_completed(futures)`."""

from nbflow.engine.futures import (
    DoneAndNotDone,
    TaskFuture,
    TaskFutureList,
    as_completed,
    wait,
)

__all__ = ["DoneAndNotDone", "TaskFuture", "TaskFutureList", "as_completed", "wait"]

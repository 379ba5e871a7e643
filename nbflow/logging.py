"""`get_run_logger()`: a logger whose lines go to the log of the run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from nbflow.context import running
from nbflow.engine.capture import emit
from nbflow.engine.context import RunContext, current_run
from nbflow.model.runs import RunKind

__all__ = ["disable_run_logger", "get_run_logger"]

_CONTEXT = "nbflow_context"


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """A `logging` logger that knows its run, on whatever thread it is used."""

    def __init__(self, context: RunContext) -> None:
        kind = "flow_runs" if context.run.kind is RunKind.FLOW else "task_runs"
        super().__init__(_logger(f"nbflow.{kind}"), {_CONTEXT: context})

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """As `logging`, but straight to the run's log where nobody else listens: half the cost."""
        plain = not kwargs and _is_ours_alone(self.logger) and self.logger.isEnabledFor(level)
        try:
            text = str(msg) % args if args else str(msg)
        except Exception:  # arguments by name, or wrong ones: `logging` knows what to do
            plain = False
        if not plain:
            super().log(level, msg, *args, **kwargs)
            return
        emit((self.extra or {})[_CONTEXT], level, self.logger.name, text)  # type: ignore[arg-type]

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs


class _RunLogHandler(logging.Handler):
    """Hands records to the log of the run they came from."""

    def emit(self, record: logging.LogRecord) -> None:
        context = getattr(record, _CONTEXT, None) or current_run.get()
        if context is not None:
            emit(context, record.levelno, record.name, self.format(record), record.created)


def get_run_logger() -> RunLogger:
    """The logger of the run around the caller.

    Raises:
        NotInRun: There is none.
    """
    return RunLogger(running("get_run_logger()"))


@contextmanager
def disable_run_logger() -> Iterator[None]:
    """Drop what run loggers say inside the block; for tests of a task's plain function."""
    loggers = [_logger("nbflow.flow_runs"), _logger("nbflow.task_runs")]
    before = [logger.disabled for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


def _is_ours_alone(logger: logging.Logger) -> bool:
    handlers = logger.handlers
    return len(handlers) == 1 and type(handlers[0]) is _RunLogHandler and not logger.filters


def _logger(name: str) -> logging.Logger:
    logger = logging.getLogger(name)
    if not logger.handlers:
        logger.addHandler(_RunLogHandler())
        logger.setLevel(logging.DEBUG)  # the settings' level is applied where lines are published
        logger.propagate = False
    return logger

"""What the code of a run says: prints where they are to be logged, and records of `logging`.

Both are taken by the context variable of the current run, so they are right on any thread. Nothing
of this is in place before the first run that needs it.
"""

from __future__ import annotations

import builtins
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

from nbflow.engine.context import RunContext, current_run

#: Called with (context, level, logger, message, at, echo).
Sink = Callable[[RunContext, int, str, str, float, bool], None]

_sink: Sink | None = None
_original_print = builtins.print
_original_factory: Callable[..., logging.LogRecord] | None = None
# Loggers whose records come by a handler of ours.
_OWN_LOGGERS = ("nbflow.flow_runs", "nbflow.task_runs")


def install(sink: Sink) -> None:
    """Send to `sink` what runs print and log from now on."""
    global _sink, _original_print, _original_factory
    _sink = sink
    if builtins.print is not _print:
        _original_print = builtins.print
        builtins.print = _print
    # A record factory, and no handler on the root logger: with one there, logging.basicConfig()
    # of the user's would do nothing and the warnings of unconfigured programs would not show.
    if logging.getLogRecordFactory() is not _make_record:
        _original_factory = logging.getLogRecordFactory()
        logging.setLogRecordFactory(_make_record)


def uninstall() -> None:
    """Put back what `install` replaced, unless somebody else has replaced it since."""
    global _sink
    _sink = None
    if builtins.print is _print:
        builtins.print = _original_print
    if _original_factory is not None and logging.getLogRecordFactory() is _make_record:
        logging.setLogRecordFactory(_original_factory)


def emit(
    context: RunContext,
    level: int,
    logger: str,
    message: str,
    at: float | None = None,
    echo: bool = True,
) -> None:
    """Add a line to a run's log."""
    if _sink is not None:
        _sink(context, level, logger, message, time.time() if at is None else at, echo)


def _print(
    *values: Any,
    sep: str | None = " ",
    end: str | None = "\n",
    file: Any = None,
    flush: bool = False,
) -> None:
    """`print`, which inside a run with `log_prints` adds a line to the run's log instead."""
    context = current_run.get()
    if context is None or not context.log_prints or file not in (None, sys.stdout, sys.stderr):
        _original_print(*values, sep=sep, end=end, file=file, flush=flush)
        return
    text = (" " if sep is None else sep).join(map(str, values))
    emit(
        context,
        logging.ERROR if file is sys.stderr and file is not None else logging.INFO,
        "print",
        text,
    )


def _make_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    assert _original_factory is not None
    record = _original_factory(*args, **kwargs)
    context = current_run.get()
    if context is not None and record.name not in _OWN_LOGGERS:
        # The user's own logging configuration decides what of it the screen shows.
        emit(context, record.levelno, record.name, _text(record), record.created, echo=False)
    return record


def _text(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # bad arguments: logging itself reports those
        return str(record.msg)

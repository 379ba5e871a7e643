"""What is written on the screen during a run, kept in the run's log too.

Streams and displays are watched by the current run's context variable and not by the thread or
cell: which cell the output of a background thread lands in differs between ipykernel 6.x, 7.0, 7.1
and 7.4. A text goes to the log of the run first, and then where it would have gone anyhow.
"""

from __future__ import annotations

import functools
import io
import itertools
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar

from IPython.core import displaypub
from IPython.utils import capture

from nbflow.engine.capture import _text, emit
from nbflow.engine.context import RunContext, current_run
from nbflow.notebook.recording import Recorder, recorder

T = TypeVar("T")
Undo = Callable[[], None]

_muted: ContextVar[bool] = ContextVar("nbflow_output_muted", default=False)
#: Numbers of the `%%capture` blocks that the code at hand was begun in, the newest ones.
_captures: ContextVar[tuple[int, ...]] = ContextVar("nbflow_captures", default=())
_numbers = itertools.count()
_THREAD_CONTEXT = "_nbflow_context"
_LONGEST_LINE = 20_000


class OutputRouter:
    """Watches stdout, stderr and displayed objects of one shell, until `close()`."""

    def __init__(self, shell: Any) -> None:
        self._lines = _Lines()
        self._undo: list[Undo] = []
        for name in ("stdout", "stderr"):
            self._undo.append(_watch_stream(name, self._written))
        self._undo.append(_watch_displays(shell, self._displayed))
        self._undo.append(_watch_results(shell))
        self._undo.append(_watch_logging())
        self._undo.append(_keep_captures_apart(shell.display_pub))
        self._undo.append(_pass_context_to_threads())

    def close(self) -> None:
        """Put everything back as it was."""
        while self._undo:
            self._undo.pop()()

    def end_of(self, run_id: str) -> None:
        """The run is over: log the line it did not end."""
        self._lines.flush(run_id)

    def _written(self, stream: str, text: str) -> bool:
        """Gives whether the text is to be shown now."""
        found = _recorder()
        if found is not None and text:
            found.stream(stream, text)
        self._lines.write(stream, text)
        return found is None or not found.holds

    def _displayed(self, data: Any, metadata: Any, transient: Any, *, update: bool) -> bool:
        """Gives whether the bundle is to be shown now."""
        found = _recorder()
        if found is not None:
            found.display(data, metadata, transient, update=update)
        context = _watched_run()
        text = data.get("text/plain") if isinstance(data, dict) else None
        if context is not None and text and not update:
            emit(context, logging.INFO, "display", str(text), echo=False)
        return found is None or not found.holds


@contextmanager
def unwatched() -> Iterator[None]:
    """What is written inside is nbflow's own and goes to no log."""
    token = _muted.set(True)
    try:
        yield
    finally:
        _muted.reset(token)


def _look_up(variable: ContextVar[T]) -> T:
    """A variable's value here, or where this thread was started: threads begin without any."""
    value = variable.get()
    if not value:
        started_in = getattr(threading.current_thread(), _THREAD_CONTEXT, None)
        if started_in is not None:
            value = started_in.get(variable, value)
    return value


def _watched_run() -> RunContext | None:
    return None if _muted.get() else _look_up(current_run)


def _recorder() -> Recorder | None:
    return None if _muted.get() else _look_up(recorder)


class _Lines:
    """Cuts what is written into lines, for each run, stream and thread apart.

    `print` writes a line and its end one after the other: another thread may come in between.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[str, str, int], tuple[RunContext, str]] = {}
        self._lock = threading.Lock()

    def write(self, stream: str, text: str) -> None:
        context = _watched_run()
        if context is None or not text:
            return
        key = (context.run.id, stream, threading.get_ident())
        with self._lock:
            _, begun = self._open.pop(key, (context, ""))
            *whole, rest = (begun + text).split("\n")
            rest = _as_drawn(rest)
            if len(rest) > _LONGEST_LINE:
                whole.append(rest)
                rest = ""
            if rest:
                self._open[key] = (context, rest)
        for line in whole:
            self._emit(context, stream, line)

    def flush(self, run_id: str) -> None:
        with self._lock:
            keys = [key for key in self._open if key[0] == run_id]
            ended = [(key[1], *self._open.pop(key)) for key in keys]
        for stream, context, line in ended:
            self._emit(context, stream, line)

    def _emit(self, context: RunContext, stream: str, line: str) -> None:
        shown = _as_drawn(line).rstrip("\r")
        if shown:
            emit(context, logging.INFO, stream, shown, echo=False)


def _as_drawn(line: str) -> str:
    """A progress bar draws over its line: what it showed last is what counts."""
    return line[line.rstrip("\r").rfind("\r") + 1 :]


#: Called with a stream's name and a text; tells whether the stream is to get it.
Write = Callable[[str, str], bool]


def _watch_stream(name: str, write: Write) -> Undo:
    """Have `write(name, text)` called with everything written to a standard stream."""
    stream = getattr(sys, name)
    base = type(stream)
    try:
        stream.__class__ = _watched_class(base, name, write)
    except TypeError:  # a stream of the interpreter's own, in a terminal
        return _replace_stream(name, stream, write)
    # IPython replaces `write` on the stream itself for the time of a cell, also right now.
    if "write" in stream.__dict__:
        stream.write = stream.__dict__.pop("write")

    def undo() -> None:
        inner = stream.__dict__.pop("_nbflow_inner", None)
        stream.__class__ = base
        if inner is not None:
            stream.write = inner

    return undo


def _watched_class(base: type, name: str, write: Write) -> type:
    class Watched(base):
        """A stream whose `write` is a data descriptor.

        IPython's `_tee` assigns `stream.write` in every cell and restores it afterwards; this one
        it cannot take away.
        """

        @property
        def write(self) -> Callable[..., int]:
            inner = self.__dict__.get("_nbflow_inner") or functools.partial(base.write, self)  # type: ignore[attr-defined]

            def watched(text: str, *args: Any, **kwargs: Any) -> int:
                if not write(name, text):
                    return len(text)
                with unwatched():  # `_tee` calls the `write` it found, which is this one again
                    written: int = inner(text, *args, **kwargs)
                return written

            watched.inner = inner  # type: ignore[attr-defined]
            return watched

        @write.setter
        def write(self, value: Any) -> None:
            self.__dict__["_nbflow_inner"] = getattr(value, "inner", value)

        @write.deleter
        def write(self) -> None:
            self.__dict__.pop("_nbflow_inner", None)

        def writelines(self, lines: Any) -> None:
            for line in lines:
                self.write(line)

    Watched.__name__, Watched.__qualname__ = base.__name__, base.__qualname__
    Watched.__module__ = base.__module__
    return Watched


class _StreamProxy:
    """Stands in for a stream whose class cannot be changed."""

    def __init__(self, stream: Any, name: str, write: Write) -> None:
        self._stream = stream
        self._name = name
        self._write = write

    def write(self, text: str) -> int:
        if not self._write(self._name, text):
            return len(text)
        written: int = self._stream.write(text)
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _replace_stream(name: str, stream: Any, write: Write) -> Undo:
    proxy = _StreamProxy(stream, name, write)
    setattr(sys, name, proxy)

    def undo() -> None:
        if getattr(sys, name) is proxy:
            setattr(sys, name, stream)

    return undo


def _watch_displays(shell: Any, displayed: Callable[..., bool]) -> Undo:
    """Have `displayed` called with everything that is displayed, updated or cleared."""
    publisher = shell.display_pub
    inner, inner_clear = publisher.publish, publisher.clear_output

    @functools.wraps(inner)
    def publish(data: Any, metadata: Any = None, *args: Any, **kwargs: Any) -> None:
        update = bool(kwargs.get("update"))
        if displayed(data, metadata, kwargs.get("transient"), update=update):
            inner(data, metadata, *args, **kwargs)

    @functools.wraps(inner_clear)
    def clear_output(wait: bool = False) -> None:
        found = _recorder()
        if found is not None:
            found.clear(wait=wait)
        if found is None or not found.holds:
            inner_clear(wait)

    return _replaced(publisher, publish=publish, clear_output=clear_output)


def _watch_results(shell: Any) -> Undo:
    """Have the recorder told of the value of a cell's last expression, and of how it is shown."""
    hook = shell.displayhook
    inner, inner_update = hook.write_format_data, hook.update_user_ns

    @functools.wraps(inner)
    def write_format_data(format_dict: Any, md_dict: Any = None) -> None:
        if (found := _recorder()) is not None:
            found.result(format_dict, md_dict)
        inner(format_dict, md_dict)

    @functools.wraps(inner_update)
    def update_user_ns(result: Any) -> None:
        if (found := _recorder()) is not None:
            found.value(result)
        inner_update(result)

    return _replaced(hook, write_format_data=write_format_data, update_user_ns=update_user_ns)


def _replaced(owner: Any, **methods: Any) -> Undo:
    """Put functions in the place of methods of one object."""
    # Not setattr: traitlets and IPython's own wrappers look at the attribute.
    before = {name: owner.__dict__.get(name) for name in methods}
    owner.__dict__.update(methods)

    def undo() -> None:
        for name, method in methods.items():
            if owner.__dict__.get(name) is method:
                del owner.__dict__[name]
                if before[name] is not None:
                    owner.__dict__[name] = before[name]

    return undo


def _watch_logging() -> Undo:
    """A record of `logging` is in the run's log already: not also what handlers write of it."""
    inner = logging.Logger.callHandlers

    @functools.wraps(inner)
    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        context = _watched_run()
        if context is not None and current_run.get() is None:  # in a thread that the run started
            emit(context, record.levelno, record.name, _text(record), echo=False)
        with unwatched():
            inner(self, record)

    logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign]

    def undo() -> None:
        if logging.Logger.callHandlers is call_handlers:
            logging.Logger.callHandlers = inner  # type: ignore[method-assign]

    return undo


def _keep_captures_apart(publisher: Any) -> Undo:
    """`%%capture` takes what is written in its block, not what runs elsewhere write meanwhile."""
    streams = {"stdout": sys.stdout, "stderr": sys.stderr}

    class Block:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._number = next(_numbers)
            _captures.set((*_captures.get()[-7:], self._number))

        def _is_around(self) -> bool:
            is_ours = _muted.get() or _look_up(current_run) is not None
            return not is_ours or self._number in _look_up(_captures)

    class Text(Block, io.StringIO):
        def write(self, text: str) -> int:
            if self._is_around():
                return super().write(text)
            return streams["stderr" if self is sys.stderr else "stdout"].write(text)

    class Displays(Block, displaypub.CapturingDisplayPublisher):
        def publish(self, *args: Any, **kwargs: Any) -> None:
            if self._is_around():
                super().publish(*args, **kwargs)
            else:
                publisher.publish(*args, **kwargs)

    # Where `%%capture` finds what it puts in place of the streams and the publisher.
    places = ((capture, "StringIO", Text), (displaypub, "CapturingDisplayPublisher", Displays))
    before = [getattr(module, name) for module, name, _ in places]
    for module, name, ours in places:
        setattr(module, name, ours)

    def undo() -> None:
        for (module, name, _), theirs in zip(places, before, strict=True):
            setattr(module, name, theirs)

    return undo


def _pass_context_to_threads() -> Undo:
    """Threads that a run starts belong to it: they begin with an empty context of their own."""
    inner = threading.Thread.start

    @functools.wraps(inner)
    def start(self: threading.Thread) -> None:
        if _watched_run() is not None and not self.name.startswith("nbflow-"):
            setattr(self, _THREAD_CONTEXT, copy_context())
        inner(self)

    threading.Thread.start = start  # type: ignore[method-assign]

    def undo() -> None:
        if threading.Thread.start is start:
            threading.Thread.start = inner  # type: ignore[method-assign]

    return undo

"""A shell that keeps what its cells put out, in order, the way a kernel sends it."""

from __future__ import annotations

import io
import re
import sys
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets import Type
from traitlets.config import Config

#: What one cell put out: ("stdout", text), ("display", {mime: data}, ...), ("error", name, ...)
Event = tuple[Any, ...]

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Recording:
    """The events of the cell at hand; neighbouring writes to one stream are one event."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._display_ids: dict[str, int] = {}

    def write(self, stream: str, text: str) -> None:
        if self.events and self.events[-1][0] == stream:
            text = self.events.pop()[1] + text
        if text:
            self.events.append((stream, text))

    def add(self, *event: Any) -> None:
        self.events.append(event)

    def number_of(self, transient: Any) -> int:
        """Display ids are random: the first one of a process is 1."""
        display_id = (transient or {}).get("display_id")
        if display_id is None:
            return 0
        return self._display_ids.setdefault(display_id, len(self._display_ids) + 1)

    def take(self) -> list[Event]:
        events, self.events = self.events, []
        return events


recording = Recording()


class Stream(io.TextIOBase):
    """Like a kernel's stream: no terminal, no file, not a StringIO either."""

    encoding = "utf-8"

    def __init__(self, name: str) -> None:
        self.name = name

    def write(self, text: str) -> int:
        recording.write(self.name, text)
        return len(text)

    def writable(self) -> bool:
        return True


def _shell_class() -> type[InteractiveShell]:
    """A class of no module: nbflow looks for the notebook's values in local modules."""

    class Publisher(DisplayPublisher):
        def publish(self, data, metadata=None, *, transient=None, update=False, **_: Any) -> None:
            kind = "update" if update else "display"
            recording.add(kind, dict(data), dict(metadata or {}), recording.number_of(transient))

        def clear_output(self, wait: bool = False) -> None:
            recording.add("clear", wait)

    class Hook(DisplayHook):
        def write_output_prompt(self) -> None:
            self._count = self.prompt_count

        def write_format_data(self, format_dict, md_dict=None) -> None:
            recording.add("result", self._count, dict(format_dict), dict(md_dict or {}))

        def finish_displayhook(self) -> None:
            self._is_active = False

    class Shell(InteractiveShell):
        display_pub_class = Type(Publisher)
        displayhook_class = Type(Hook)

        def enable_gui(self, gui=None) -> None:
            """There is no event loop here."""

        def _showtraceback(self, etype, evalue, stb) -> None:
            name = getattr(etype, "__name__", str(etype))
            text = _ANSI.sub("", self.InteractiveTB.stb2text(stb) if stb else "")
            recording.add("error", name, str(evalue), text)

    return Shell


def make_shell() -> InteractiveShell:
    """The process' shell; the module `__main__` becomes its namespace."""
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    shell = _shell_class().instance(config=config)
    shell.InteractiveTB.set_mode("Context")
    return shell


def record_streams() -> None:
    sys.stdout, sys.stderr = Stream("stdout"), Stream("stderr")
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr

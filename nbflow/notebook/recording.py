"""What a cell shows, kept so that it can be shown again without running it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

#: Displays of widgets are views of something that lives in the kernel only.
_LIVE = "application/vnd.jupyter.widget-view+json"
#: Kinds of what is shown.
STREAM, DISPLAY, RESULT = "stream", "display", "result"


@dataclass(slots=True, eq=False)
class Recorder:
    """Collects what one cell shows.

    Attributes:
        shown: (STREAM, name, text), (DISPLAY, data, metadata) and (RESULT, data, metadata), in
            order. Updates of displays have taken the place of what they update.
        reasons: Why it cannot be shown again, in words for the user.
        last: The value of the last expression, if it was shown.
        holds: Whether what is shown is only recorded, to be shown later.
    """

    shown: list[tuple[Any, ...]] = field(default_factory=list)
    reasons: dict[str, None] = field(default_factory=dict)
    has_last: bool = False
    last: Any = None
    holds: bool = False
    _ids: dict[str, int] = field(default_factory=dict)
    _clear_next: bool = False

    def stream(self, name: str, text: str) -> None:
        """Text was written to a standard stream."""
        self._begin()
        if self.shown and self.shown[-1][:2] == (STREAM, name):
            self.shown[-1] = (STREAM, name, self.shown[-1][2] + text)
        else:
            self.shown.append((STREAM, name, text))

    def display(self, data: Any, metadata: Any, transient: Any, *, update: bool) -> None:
        """Something was displayed, or a display was updated."""
        if not isinstance(data, dict):
            return
        if _LIVE in data:
            self.reasons["it shows a widget"] = None
        display_id = (transient or {}).get("display_id")
        item = (DISPLAY, dict(data), dict(metadata or {}))
        if update:
            place = self._ids.get(str(display_id))
            if place is None or place >= len(self.shown):
                self.reasons["it updates a display of another cell"] = None
            else:
                self.shown[place] = item
            return
        self._begin()
        if display_id is not None:
            self._ids[str(display_id)] = len(self.shown)
        self.shown.append(item)

    def result(self, data: Any, metadata: Any) -> None:
        """The value of the last expression was shown."""
        self._begin()
        self.shown.append((RESULT, dict(data), dict(metadata or {})))
        if _LIVE in data:
            self.reasons["it shows a widget"] = None

    def value(self, value: Any) -> None:
        """The last expression had this value."""
        self.has_last, self.last = True, value

    def clear(self, *, wait: bool) -> None:
        """What was shown is to go: now, or when the next thing is shown."""
        self._clear_next = True
        if not wait:
            self._begin()

    def _begin(self) -> None:
        if self._clear_next:
            self._clear_next = False
            self.shown.clear()
            self._ids.clear()


recorder: ContextVar[Recorder | None] = ContextVar("nbflow_recorder", default=None)


@contextmanager
def recording(*, holds: bool = False) -> Iterator[Recorder]:
    """Record what the code inside the block shows.

    Args:
        holds: Do not show it: that is for later.
    """
    made = Recorder(holds=holds)
    token = recorder.set(made)
    try:
        yield made
    finally:
        recorder.reset(token)


class _Nowhere(Recorder):
    """Takes what is shown and forgets it: what counts of it is in the log of its run."""

    def stream(self, name: str, text: str) -> None:
        """Text was written to a standard stream."""

    def display(self, data: Any, metadata: Any, transient: Any, *, update: bool) -> None:
        """Something was displayed, or a display was updated."""


@contextmanager
def unshown() -> Iterator[None]:
    """Show nothing of what the code inside the block shows, now or later."""
    token = recorder.set(_Nowhere(holds=True))
    try:
        yield
    finally:
        recorder.reset(token)


def show_again(
    shell: Any,
    shown: list[tuple[Any, ...]],
    last: Any,
    *,
    has_last: bool,
    as_display: bool = False,
) -> None:
    """Show what was recorded, in order, where the current cell shows things.

    Args:
        last: The value that the recorded RESULT is of, if `has_last`; for `_` and `Out`.
        as_display: Show a RESULT as a display: it is not that of the current cell.
    """
    if has_last and not as_display and not any(item[0] == RESULT for item in shown):
        shell.displayhook.update_user_ns(last)  # it has displayed itself
    for kind, *facts in shown:
        if kind == STREAM:
            stream = sys.stderr if facts[0] == "stderr" else sys.stdout
            stream.write(facts[1])
        elif kind == DISPLAY or as_display:
            shell.display_pub.publish(facts[0], facts[1])
        else:
            _show_result(shell, facts[0], facts[1], last, has_last=has_last)


def _show_result(shell: Any, data: Any, metadata: Any, last: Any, *, has_last: bool) -> None:
    hook = shell.displayhook
    hook.start_displayhook()
    hook.write_output_prompt()
    hook.write_format_data(data, metadata)
    if has_last:
        hook.update_user_ns(last)
        hook.fill_exec_result(last)
    else:  # better no `_` than that of an earlier cell
        shell.user_ns.pop("_", None)
        for name in ("_", "__", "___"):
            setattr(hook, name, "")
    hook.log_output(data)
    hook.finish_displayhook()


def flush_figures() -> None:
    """Show the figures the cell has made now, under it, and not when the kernel gets to it."""
    inline = sys.modules.get("matplotlib_inline.backend_inline")
    backend = sys.modules.get("matplotlib.pyplot")
    if inline is None or backend is None:
        return
    is_inline = "inline" in str(sys.modules["matplotlib"].rcParams._get("backend")).lower()
    if is_inline and getattr(inline.InlineBackend.instance(), "close_figures", False):
        inline.flush_figures()

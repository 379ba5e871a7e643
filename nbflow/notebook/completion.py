"""Tab completion on the first line of `%%task` and `%%flow` cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher

from nbflow.notebook.parsing import options_of

if TYPE_CHECKING:
    from nbflow.notebook.session import Session

_MAGIC_LINE = re.compile(r"^%%?(task|flow|nbflow)\s")


def complete(session: Session) -> Callable[..., Any]:
    """A matcher that offers a magic's options, and names where an option takes some.

    With the matcher API and not a `complete_command` hook: that one's answers are mixed with
    every builtin.
    """

    @context_matcher()
    def matcher(context: CompletionContext) -> Any:
        line = context.full_text.split("\n")[context.cursor_line]
        found = _MAGIC_LINE.match(line)
        if found is None or context.cursor_line != 0:
            return {"completions": []}
        before = line[: context.cursor_position]
        word = re.split(r"[\s,=]", before)[-1]
        offered = [text for text in _offers(session, found[1], before) if text.startswith(word)]
        # What is offered replaces the token as the completer cuts it, which may begin later.
        cut = len(word) - len(context.token) if word.endswith(context.token) else 0
        return {
            "completions": [SimpleCompletion(text[cut:], type="param") for text in offered],
            "suppress": True,
        }

    return matcher


def _offers(session: Session, magic: str, before: str) -> Iterable[str]:
    option = _open_option(before)
    if option == "--after":
        return list(session.task_cells)
    if option in ("--inputs", "--outputs"):
        hidden = session.shell.user_ns_hidden
        return [n for n in session.shell.user_ns if n not in hidden and not n.startswith("_")]
    if magic == "nbflow":
        options = options_of(session.shell.find_line_magic(magic))
        if len(before.split()) + before.endswith(" ") > 2:
            store = session.watch().store
            store.flush()
            return [*{run.name: None for run in store.runs(limit=50)}, *options]
        return ["runs", "logs", "tasks", "cancel", "pause", "resume", *options]
    return [*options_of(session.shell.find_cell_magic(magic)), *session.task_cells]


def _open_option(before: str) -> str | None:
    """The option whose value is being typed."""
    words = before.split()
    typed = words if before.endswith((" ", ",")) else words[:-1]
    if "," in (words[-1] if words else "") and not before.endswith(" "):
        typed = words[:-1]
    last = typed[-1] if typed else ""
    return last if last.startswith("--") else None

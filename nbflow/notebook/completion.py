"""Tab completion on the lines of nbflow's magics."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher

from nbflow.model.schedules import CatchUp, Overlap
from nbflow.notebook.parsing import options_of
from nbflow.notebook.shells import flows_in

if TYPE_CHECKING:
    from nbflow.notebook.session import Session

_MAGIC_LINE = re.compile(r"^(%%task|%%flow|%task|%flow|%nbflow|%schedule)\s")


def complete(session: Session) -> Callable[..., Any]:
    """A matcher that offers a magic's options, and names where an option takes some.

    With the matcher API and not a `complete_command` hook: that one's answers are mixed with
    every builtin.
    """

    @context_matcher()
    def matcher(context: CompletionContext) -> Any:
        line = context.full_text.split("\n")[context.cursor_line]
        found = _MAGIC_LINE.match(line)
        is_first = context.cursor_line == 0
        if found is None or (found[1].startswith("%%") and not is_first):
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
    if magic == "%schedule":
        return _offers_of_schedule(session, option)
    cells = list(session.task_cells)
    if option == "--after":
        return cells
    if option in ("--inputs", "--outputs"):
        return _names(session)
    words = before.split()
    typed = words[1:] if before.endswith(" ") else words[1:-1]  # before the word at the cursor
    if magic == "%nbflow":
        return _offers_of_nbflow(session, typed)
    if magic == "%flow":
        return _offers_of_flow(session, typed, option)
    return [*options_of(session.shell.find_cell_magic(magic.lstrip("%"))), *cells]


def _offers_of_flow(session: Session, typed: list[str], option: str | None) -> list[str]:
    if option in ("-p", "--parameter"):
        return [f"{name}=" for name in _names(session)]
    what = next((word for word in typed if not word.startswith("-")), None)
    if what is None:
        return _choices(session.magics.notebook_flow)
    if what != "run":
        return []
    variables = [name for one in session.task_cells.values() for name in one.cell.names.writes]
    options = options_of(session.magics.notebook_flow)
    return list(dict.fromkeys([*session.task_cells, *variables, *options]))


def _offers_of_schedule(session: Session, option: str | None) -> Iterable[str]:
    if option == "--tz":
        return sorted(zoneinfo.available_timezones())
    if option in ("--catch-up", "--overlap"):
        return [one.value for one in (CatchUp if option == "--catch-up" else Overlap)]
    flows = flows_in(session.shell)
    if option == "--after":
        return [one.name for one in flows.values()]
    if option == "--pool":
        return [one.name for one in session.watch().store.pools()]
    if option in ("--pause", "--resume", "--trigger", "--delete", "--hand-over"):
        return dict.fromkeys(one.name for one in session.watch().store.schedules())
    if option in ("-p", "--parameter"):
        return [f"{name}=" for name in _names(session)]
    if option is not None and option != "--list":
        return []
    return [*flows, *options_of(session.schedule_magics.schedule)]


def _offers_of_nbflow(session: Session, typed: list[str]) -> list[str]:
    options = options_of(session.magics.nbflow)
    if not typed:
        return [*_choices(session.magics.nbflow), *options]
    cells = list(session.task_cells)
    if typed[0] == "cache":
        if len(typed) == 1:
            return ["clear", "rm", "why", *cells]
        return cells if typed[1] in ("rm", "why") and len(typed) == 2 else []
    if typed[0] == "tasks":
        return cells
    if typed[0] == "doctor":
        return []
    store = session.watch().store
    store.flush()
    return [*{run.name: None for run in store.runs(limit=50)}, *options]


def _choices(magic: Any) -> list[str]:
    """What may stand first on a magic's line."""
    return [str(one) for action in magic.parser._actions for one in action.choices or ()]


def _names(session: Session) -> list[str]:
    hidden = session.shell.user_ns_hidden
    return [n for n in session.shell.user_ns if n not in hidden and not n.startswith("_")]


def _open_option(before: str) -> str | None:
    """The option whose value is being typed."""
    words = before.split()
    typed = words if before.endswith((" ", ",")) else words[:-1]
    if "," in (words[-1] if words else "") and not before.endswith(" "):
        typed = words[:-1]
    last = typed[-1] if typed else ""
    return last if last.startswith("-") else None

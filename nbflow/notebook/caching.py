"""`%nbflow cache`: what is kept, why something is not found, and forgetting it."""

from __future__ import annotations

import time
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from nbflow.analysis.source import source_diff
from nbflow.console import duration
from nbflow.memo.cells import cell_of
from nbflow.memo.visits import NEEDS, Visit
from nbflow.notebook.parsing import names
from nbflow.notebook.task_cells import TaskCell

if TYPE_CHECKING:
    from nbflow.notebook.session import Session

_KIB = 1024.0
#: Begins the key of a list of task cells, see `restoring`, and the name it is listed by.
LISTS, LIST = "notebook-", "(list of task cells)"


def table(session: Session, name: str | None = None) -> Any:
    """What is kept, as a frame with one row per task: size, age, hits, seconds saved."""
    import pandas as pd

    entries = session.watch().results.entries(task_name=name)
    rows: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if entry.key.startswith(LISTS):
            continue
        row = rows.setdefault(
            entry.task_name,
            {"entries": 0, "bytes": 0, "newest": 0.0, "hits": 0, "saved": 0.0},
        )
        row["bytes"] += entry.size_bytes
        if not entry.key.endswith(NEEDS):
            row["entries"] += 1
            row["newest"] = max(row["newest"], entry.created_at)
            row["hits"] += entry.hits
            row["saved"] += entry.seconds_saved
    if not rows:
        raise UsageError("nothing is kept" + (f" of a task {name!r}" if name else ""))
    now = time.time()
    frame = pd.DataFrame(
        [
            {
                "task": task,
                "entries": row["entries"],
                "size": size_text(row["bytes"]),
                "age": duration(max(0.0, now - row["newest"])),
                "hits": row["hits"],
                "saved": duration(row["saved"]) if row["hits"] else "",
            }
            for task, row in rows.items()
        ]
    )
    return frame.set_index("task")


def forget(session: Session, name: str) -> str:
    """Forget what is kept of one task; tells how much that was."""
    known = _entries_by_task(session)
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        there = ", ".join(sorted(known)) or "none"
        raise UsageError(
            f"nothing is kept of a task {name!r}{hint or f'; of these there is: {there}'}"
        )
    _, size_bytes = session.watch().results.forget(task_name=name)
    return f"forgot {_entries(known[name])} of {name!r} ({size_text(size_bytes)})"


def clear(session: Session) -> str:
    """Forget all that is kept; tells how much that was.

    The list of the notebook's cells stays: it is no result.
    """
    results, known = session.watch().results, _entries_by_task(session)
    size_bytes = sum(results.forget(task_name=name)[1] for name in known)
    return f"forgot {_entries(sum(known.values()))} ({size_text(size_bytes)})"


def _entries_by_task(session: Session) -> dict[str, int]:
    """How many outcomes are kept of each task."""
    found: dict[str, int] = {}
    for entry in session.watch().results.entries():
        if not entry.key.startswith(LISTS):
            is_outcome = not entry.key.endswith(NEEDS)
            found[entry.task_name] = found.get(entry.task_name, 0) + is_outcome
    return found


def _entries(n: int) -> str:
    return f"{n} {'entry' if n == 1 else 'entries'}"


def why(session: Session, name: str) -> str:
    """Whether a task cell would be found, and if not, what differs from the nearest entry."""
    task_cell = session.task_cells.get(name)
    if task_cell is None:
        known = ", ".join(session.task_cells) or "none yet"
        raise UsageError(f"there is no task cell {name!r} in this notebook; there are: {known}")
    if task_cell.options.no_cache:
        return f"{name!r} is not cached: --no-cache"
    visit = look_up(session, task_cell, form=forms(task_cell)[0])
    if reason := visit.reasons.against(forced=visit.forced):
        return f"{name!r} is not cached: {reason}"
    found = visit.find()
    if found is not None:
        age = duration(max(0.0, time.time() - found.created_at))
        told = f"{name!r} would be found: kept {age} ago, it saves {duration(found.seconds)}"
        ran = task_cell.obtained
        if ran is None or ran.status != "completed" or ran.key != found.key:
            return told
        # It was kept by the cell's newest run: what is asked is why that was needed.
        others = _noted(session, name, but=visit.first_key)
        return f"{told}\nit ran, as it {_differs(visit.parts, others)}" if others else told
    if task_cell.obtained is not None and task_cell.obtained.status == "uncached":
        return f"{name!r} was not cached when it ran: {task_cell.obtained.reason}"
    return _nearest(session, name, visit.parts)


def look_up(session: Session, task_cell: TaskCell, *, form: str = "") -> Visit:
    """A task cell as it would be looked up now, without running it.

    Args:
        form: See `memo.cells.Cell`.
    """
    cell, options = task_cell.cell, task_cell.options
    facts = cell_of(
        task_cell.name,
        cell.transformed,
        cell.names,
        cell.filename,
        inputs=names(options.inputs),
        outputs=names(options.outputs) or None,
        form=form,
    )
    return session.memory.visit(facts, forced=options.cache, expiration_seconds=options.expires)


def forms(task_cell: TaskCell) -> tuple[str, ...]:
    """The kinds of run under which a cell's outcomes may be kept, the likeliest first."""
    return ("",) if task_cell.line else ("cell", "")


def _nearest(session: Session, name: str, parts: dict[str, str]) -> str:
    noted = _noted(session, name)
    if not noted:
        return f"nothing is kept of {name!r}"
    if parts in noted:
        return (
            f"{name!r} is as it was, but a file, a random generator or the environment that it "
            "used has changed"
        )
    return f"{name!r} {_differs(parts, noted)}"


def _noted(session: Session, name: str, but: str | None = None) -> list[dict[str, str]]:
    """The parts of the keys under which something is kept of a task, newest first."""
    groups = dict.fromkeys(
        entry.group for entry in session.watch().results.entries(task_name=name) if entry.group
    )
    found = (session.memory.noted(group) for group in groups if group != but)
    return [one["parts"] for one in found if one is not None]


def _differs(parts: dict[str, str], noted: list[dict[str, str]]) -> str:
    nearest = min(noted, key=lambda kept: len(_differing(parts, kept)))
    differing = _differing(parts, nearest)
    told = f"differs from the nearest entry in: {', '.join(differing)}"
    if "source" in differing:
        told += f"\n{source_diff(nearest['source'], parts['source'])}"
    return told


def _differing(now: dict[str, str], kept: dict[str, str]) -> list[str]:
    return sorted(part for part in {*now, *kept} if now.get(part) != kept.get(part))


def size_text(size_bytes: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KB", "MB"):
        if size_bytes < _KIB:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= _KIB
    return f"{size_bytes:.1f} GB"

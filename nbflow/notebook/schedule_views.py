"""Schedules as `%schedule` shows them: text, and HTML that survives what cleans notebooks."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nbflow.console import duration
from nbflow.model.deployments import DeploymentRecord
from nbflow.model.records import RunRecord
from nbflow.model.schedules import ScheduleRecord
from nbflow.notebook.status import SHAPES
from nbflow.scheduling import telling
from nbflow.scheduling.runners import Runners

if TYPE_CHECKING:
    from nbflow.notebook.session import Session

_HEADINGS = ("schedule", "runs", "when", "next", "last run", "by")


class ScheduleView:
    """One schedule, as it was when it was declared.

    Args:
        notes: What else is to be known of it.
    """

    def __init__(
        self,
        session: Session,
        schedule: ScheduleRecord,
        deployment: DeploymentRecord,
        notes: Sequence[str],
    ) -> None:
        self.name = schedule.name
        if session.watch().settings.stable_output:
            self._text = f"nbflow: {schedule.name} — {telling.words(schedule)}"
        else:
            runs = _runs(session, schedule, 5)
            runners = Runners(session.watch().store)
            self._text = telling.schedule_text(schedule, deployment, runs, time.time(), runners)
        self._text = "\n".join([self._text, *(f"  ({one})" for one in notes)])

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self._text)}</pre>"


class ScheduleTable:
    """The schedules of a notebook, each with its next fire time and its last run."""

    def __init__(self, session: Session) -> None:
        self._rows, self._others = _rows(session)
        self._is_stable = session.watch().settings.stable_output

    def __repr__(self) -> str:
        if not self._rows:
            return "\n".join([_NONE, *self._more()])
        columns = (0, 2) if self._is_stable else range(len(_HEADINGS))
        table = [[row[n] for n in columns] for row in (_HEADINGS, *self._rows)]
        widths = [max(len(row[n]) for row in table) for n in range(len(table[0]))]
        lines = [
            "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
            for row in table
        ]
        return "\n".join([*lines, *self._more()])

    def _repr_html_(self) -> str:
        if not self._rows or self._is_stable:
            return f"<pre>{html.escape(repr(self))}</pre>"
        rows = [
            "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>"
            for row in (_HEADINGS, *self._rows)
        ]
        more = "".join(f"<div>{html.escape(text)}</div>" for text in self._more())
        return f"<table>{''.join(rows)}</table>{more}"

    def _more(self) -> list[str]:
        if not self._others or self._is_stable:
            return []
        told = "1 schedule" if self._others == 1 else f"{self._others} schedules"
        return [f"{told} of other notebooks and scripts: nbflow schedule ls"]


_NONE = (
    'this notebook has no schedule yet; write %schedule "0 8 * * *" for its task cells, or '
    '%schedule "0 8 * * *" my_flow for an @flow'
)


def _rows(session: Session) -> tuple[list[tuple[str, ...]], int]:
    """A row for each schedule of the notebook, and how many others there are."""
    store = session.watch().store
    store.flush()
    store.reap()
    deployments = {one.id: one for one in store.deployments()}
    runners = Runners(store)
    rows: list[tuple[str, ...]] = []
    n_others = 0
    for one in store.schedules():
        deployment = deployments.get(one.deployment_id)
        if deployment is None or deployment.place != session.place:
            n_others += 1
            continue
        last = _runs(session, one, 1)
        rows.append(
            (
                one.name,
                deployment.flow_name,
                telling.words(one),
                telling.next_text(one, time.time(), is_paused=deployment.is_paused),
                _told(last[0]) if last else "",
                _by(session, deployment, runners),
            )
        )
    return rows, n_others


def _runs(session: Session, schedule: ScheduleRecord, limit: int) -> list[RunRecord]:
    """Its newest runs."""
    store = session.watch().store
    store.flush()
    return [run for _, run in store.orders(schedule_id=schedule.id, limit=limit)]


def _told(run: RunRecord) -> str:
    at = run.ended_at or run.started_at or run.created_at
    moment = datetime.fromtimestamp(at, UTC).astimezone()
    age = time.time() - at
    when = f"{duration(age)} ago" if age < 3600 else f"{moment:%Y-%m-%d %H:%M}"
    reason = f": {telling.shortened(run.message)}" if _is_bad(run) and run.message else ""
    return f"{SHAPES.get(run.state_name, '·')} {run.state_name} {when} ({run.name}){reason}"


def _is_bad(run: RunRecord) -> bool:
    return run.is_final and run.state_name not in ("Completed", "Cached")


def _by(session: Session, deployment: DeploymentRecord, runners: Runners) -> str:
    """Who runs it now."""
    pool = f"pool {deployment.pool}" if deployment.pool else ""
    if deployment.pool and (trouble := runners.trouble(deployment.pool)):
        pool += f" ({trouble.text})"
    if deployment.server_id == session.watch().store.owner_id:
        return f"this kernel, then {pool}" if pool else "this kernel"
    if runners.is_served(deployment):
        return f"another kernel, then {pool}" if pool else "another kernel"
    return pool or "nobody: run the cell again that schedules or serves it"

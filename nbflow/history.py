"""Runs and their logs as pandas frames."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from nbflow import wiring
from nbflow.model.runs import RunKind

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["logs", "runs"]


def runs(
    *,
    kind: str | None = None,
    state: str | None = None,
    name: str | None = None,
    deployment: str | None = None,
    limit: int = 100,
) -> pd.DataFrame:
    """Recorded runs of every process, newest first.

    Args:
        kind: "flow" or "task"; None: both.
        state: A state's name or type, such as "Failed".
        name: Name of a run, flow or task.
        deployment: Only runs of this deployment or schedule: its name, or `flow/name`.

    Returns:
        One row a run: id, name, kind, of (its flow's or task's name), state, message, tries,
        created_at, started_at, ended_at (UTC), seconds, parent_id, tags, inputs.
    """
    import pandas as pd

    store = wiring.current().store
    store.flush()
    store.reap()
    records = store.runs(
        kind=None if kind is None else RunKind(kind),
        state=state,
        name=name,
        deployment=deployment,
        limit=limit,
    )
    frame = pd.DataFrame(
        {
            "id": [record.id for record in records],
            "name": [record.name for record in records],
            "kind": [str(record.kind) for record in records],
            "of": [record.spec_name for record in records],
            "state": [record.state_name for record in records],
            "message": [record.message for record in records],
            "tries": [record.run_count for record in records],
            "created_at": [record.created_at for record in records],
            "started_at": [record.started_at for record in records],
            "ended_at": [record.ended_at for record in records],
            "seconds": [record.seconds for record in records],
            "parent_id": [record.parent_id for record in records],
            "tags": [record.tags for record in records],
            "inputs": [record.inputs for record in records],
        }
    )
    for column in ("created_at", "started_at", "ended_at"):
        frame[column] = pd.to_datetime(frame[column].astype(float), unit="s", utc=True)
    frame["seconds"] = frame["seconds"].astype(float)
    return frame


def logs(run: str, *, level: str = "NOTSET", inner: bool = True) -> pd.DataFrame:
    """What a run logged, in order.

    Args:
        run: Its id, the first digits of it, or its name.
        level: Lowest level, such as "WARNING".
        inner: Also the lines of the runs inside it.

    Returns:
        One row a line: at (UTC), level, run_id, logger, message.
    """
    import pandas as pd

    store = wiring.current().store
    store.flush()
    number = logging.getLevelNamesMapping()[level.upper()]
    lines = store.lines(store.find_run(run).id, inner=inner, states=False, level=number)
    frame = pd.DataFrame(
        {
            "at": [line.at for line in lines],
            "level": [logging.getLevelName(line.level) for line in lines],
            "run_id": [line.run_id for line in lines],
            "logger": [line.logger for line in lines],
            "message": [line.message for line in lines],
        }
    )
    frame["at"] = pd.to_datetime(frame["at"].astype(float), unit="s", utc=True)
    return frame

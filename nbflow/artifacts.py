"""Things a run leaves for people to look at: markdown, tables, links, images, progress.

They are kept in the store; those with a key have a history.
"""

from __future__ import annotations

import json
import math
from typing import Any

from nbflow import wiring
from nbflow.engine.context import current_run
from nbflow.errors import NbflowError
from nbflow.model.records import ArtifactRecord

__all__ = [
    "artifacts",
    "create_image_artifact",
    "create_link_artifact",
    "create_markdown_artifact",
    "create_progress_artifact",
    "create_table_artifact",
    "update_progress_artifact",
]

_TABLE_ROWS = 10_000


def create_markdown_artifact(
    markdown: str, key: str | None = None, description: str | None = None
) -> str:
    """Keep a markdown text; gives the artifact's id."""
    return _create("markdown", str(markdown), key, description)


def create_table_artifact(
    table: Any, key: str | None = None, description: str | None = None
) -> str:
    """Keep a table; gives the artifact's id.

    Args:
        table: A list of dicts, a list of lists, a dict of columns, or a pandas frame; its first
            10,000 rows are kept.
    """
    return _create("table", _rows(table), key, description)


def create_link_artifact(
    link: str, link_text: str | None = None, key: str | None = None, description: str | None = None
) -> str:
    """Keep a link; gives the artifact's id."""
    return _create("link", {"link": str(link), "text": link_text or str(link)}, key, description)


def create_image_artifact(
    image_url: str, key: str | None = None, description: str | None = None
) -> str:
    """Keep the address of an image, or an image as a `data:` URL; gives the artifact's id."""
    return _create("image", str(image_url), key, description)


def create_progress_artifact(
    progress: float, key: str | None = None, description: str | None = None
) -> str:
    """Keep a progress in percent, 0 to 100; gives the id that `update_progress_artifact` takes."""
    return _create("progress", _percent(progress), key, description)


def update_progress_artifact(
    artifact_id: str, progress: float, description: str | None = None
) -> str:
    """Change a progress; gives the artifact's id.

    Raises:
        NbflowError: There is no such artifact.
    """
    store = wiring.current().store
    if not store.update_artifact(artifact_id, _percent(progress), description):
        raise NbflowError(f"there is no artifact {artifact_id!r}")
    return artifact_id


def artifacts(key: str | None = None, run_id: str | None = None) -> list[ArtifactRecord]:
    """Kept artifacts, newest first; by key, by flow or task run, or all."""
    return wiring.current().store.artifacts(key=key, run_id=run_id)


def _create(kind: str, data: Any, key: str | None, description: str | None) -> str:
    context = current_run.get()
    run = context.run if context is not None else None
    return wiring.current().store.add_artifact(
        key=key,
        kind=kind,
        data=data,
        description=description,
        run_id=run.id if run is not None else None,
        flow_run_id=run.flow_run_id if run is not None else None,
    )


def _percent(progress: float) -> float:
    if not isinstance(progress, int | float) or not math.isfinite(progress):
        raise ValueError(f"progress={progress!r} is not valid; it takes a number from 0 to 100")
    return float(min(100, max(0, progress)))


def _rows(table: Any) -> Any:
    """The table as JSON, with what JSON does not know as text."""
    if hasattr(table, "to_frame"):
        table = table.to_frame()
    if hasattr(table, "to_dict") and hasattr(table, "head"):
        head = table.head(_TABLE_ROWS)
        table = head.set_axis([str(name) for name in head.columns], axis=1).to_dict("records")
    elif isinstance(table, list):
        table = table[:_TABLE_ROWS]
    elif isinstance(table, dict):
        table = {name: list(column)[:_TABLE_ROWS] for name, column in table.items()}
    return json.loads(json.dumps(table, default=str), parse_constant=lambda _: None)

"""What is kept of each run of a deployment beside its journal: a folder of files."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import secrets
import shutil
import threading
from functools import partial
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

NOTEBOOK, HTML, OUTPUT = "executed.ipynb", "executed.html", "output.log"


def run_folder(home: Path, run_id: str) -> Path:
    """Where the files of a run are, if it has left any."""
    return home / "runs" / run_id


def delete_files(home: Path, run_id: str) -> None:
    """Delete the files of a run, if it has left any."""
    shutil.rmtree(run_folder(home, run_id), ignore_errors=True)


def new_run_folder(home: Path, run_id: str) -> Path:
    """That folder, made so that only its owner can read what runs have shown."""
    folder = run_folder(home, run_id)
    for one in (folder.parent, folder):
        one.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def prepare_html() -> None:
    """Import what `write_html` needs, on a thread of its own: it takes as long as a kernel's start.

    Returns at once. Called while there is nothing to do but to wait for that.
    """
    target = partial(importlib.import_module, "nbconvert.exporters.html")
    threading.Thread(target=target, name="nbflow-import", daemon=True).start()


def write_html(notebook: Any, path: Path, title: str) -> None:
    """Write a notebook as a page that needs nothing else. What fails is a warning in the log."""
    try:
        from nbconvert.exporters.html import HTMLExporter

        exporter = HTMLExporter(template_name="lab")  # type: ignore[no-untyped-call]
        page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}})
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            temporary.write_text(page, encoding="utf-8")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except Exception as error:
        logger.warning("the executed notebook could not be written as HTML: %r", error)


def drop_if_empty(path: Path) -> None:
    """Take a file away that nothing was written to, and its folder if nothing else is in it."""
    with contextlib.suppress(OSError):
        if not path.stat().st_size:
            path.unlink()
            path.parent.rmdir()

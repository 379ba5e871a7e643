"""The home folder, the file in it, and who uses it."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from nbflow.console import duration
from nbflow.doctor.facts import Fact
from nbflow.store import health
from nbflow.store.store import Store

_FEWEST_BYTES = 100 << 20
_CHECK_SECONDS = 5.0
_AHEAD_SECONDS = 60.0


def folder(home: Path) -> Iterator[Fact]:
    """The home: where it lies, who may write there, how much room there is."""
    yield Fact("store", "home", str(home))
    there = home
    while not os.path.exists(there) and there != there.parent:
        there = there.parent
    if there == home and not home.is_dir():
        advice = f"move {home} aside, or set NBFLOW_HOME to a folder"
        yield Fact("store", "access", f"{home} is no folder", advice)
        return
    kind = health.file_system(there)
    if kind:
        yield Fact("store", "file system", kind)
    if not os.access(there, os.W_OK):
        advice = f"make {there} writable, or set NBFLOW_HOME to another folder"
        yield Fact("store", "access", f"{there} cannot be written", advice)
    elif there == home and there.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        advice = f"others may write what nbflow runs: `chmod go-w {home}`"
        yield Fact("store", "access", "other users may write there", advice)
    free = shutil.disk_usage(there).free
    advice = "" if free >= _FEWEST_BYTES else "free some space, or set NBFLOW_HOME to another disk"
    yield Fact("store", "free space", _size(free), advice)


def file(store: Store) -> Iterator[Fact]:
    """The database: size, schema, whether it is sound."""
    path, reader = store.database.path, store.database.reader()
    log = Path(f"{path}-wal")
    size = path.stat().st_size + (log.stat().st_size if log.exists() else 0)
    runs = health.n_runs(reader)
    number = health.schema_number(reader)
    yield Fact(
        "store",
        "file",
        f"{path.name}, {_size(size)}, schema {number}, {runs:,} run{'s' if runs != 1 else ''}",
    )
    if store.database.on_network:
        advice = "set NBFLOW_HOME to a local folder: locks over a network are slow and unsafe"
        yield Fact("store", "network", "it is on a network file system", advice)
    yield Fact("store", "kept results", _size(store.result_bytes()))
    found = health.quick_check(reader, _CHECK_SECONDS)
    advice = f"move {path} aside, or salvage it with `sqlite3 {path} .recover`"
    if found is None:
        yield Fact("store", "integrity", f"nothing found within {_CHECK_SECONDS:g} s")
    else:
        yield Fact("store", "integrity", found, "" if found == "ok" else advice)
    newest = health.newest_run_at(reader)
    if newest is not None and newest > time.time() + _AHEAD_SECONDS:
        ahead = duration(newest - time.time())
        yield Fact(
            "clock",
            "set back",
            f"the newest run was created {ahead} from now",
            "look whether the clock is right: schedules fire by it",
        )


def processes(store: Store) -> Iterator[Fact]:
    """Who is alive, and what each sees to."""
    workers = {worker.id: worker for worker in store.workers()}
    served: dict[str, list[str]] = {}
    for deployment in store.deployments():
        if deployment.server_id:
            served.setdefault(deployment.server_id, []).append(deployment.full_name)
    found = health.processes(store.database.reader(), store.folder)
    for process in found:
        does = []
        worker = workers.get(process.id)
        if worker is not None:
            does.append(f"worker {worker.name!r} of pool {worker.pool!r}")
        if process.id in served:
            does.append(f"serves {', '.join(sorted(served[process.id]))}")
        since = duration(max(0.0, time.time() - process.started_at))
        text = f"on {process.host} for {since}"
        yield Fact("processes", f"pid {process.pid}", ": ".join([text, *does]))
    if not found:
        yield Fact("processes", "none", "no process uses the store now")


def _size(n_bytes: int) -> str:
    for size, unit in ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes} bytes"

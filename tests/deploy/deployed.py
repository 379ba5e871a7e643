"""Deployments of real files and workers in real processes, for tests."""

from __future__ import annotations

import signal
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from nbflow import wiring
from nbflow.model.deployments import (
    DeploymentKind,
    DeploymentRecord,
    DeploymentSpec,
    OrderRecord,
)
from nbflow.model.records import RunRecord
from nbflow.results.sealing import purpose_of, seal
from nbflow.store.store import Store
from tests.children import Child

T = TypeVar("T")
_LOG = "NBFLOW_LOG_LEVEL"
_WORKER = """
    import sys
    from nbflow.deploy import charges, worker
    pool, limit, force, linger = sys.argv[1:]
    charges.FORCE_SECONDS, charges.LINGER_SECONDS = float(force), float(linger)
    worker.Worker(pool, limit=int(limit) or None).run()
"""


def wait_for(find: Callable[[], T | None], seconds: float = 30.0) -> T:
    """What `find` gives as soon as that is true of anything."""
    end = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < end, f"waited {seconds:g} s in vain"
        time.sleep(0.01)
    return found


class Deployed:
    """A store with a pool, and a folder with scripts whose flows write to the file `log`."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.home = home
        self.folder = folder
        self.log = folder / "log"
        folder.mkdir(exist_ok=True)
        self.store.create_pool("pool", "process")

    @property
    def store(self) -> Store:
        return wiring.current().store

    def script(self, code: str, flow: str = "work", **options: Any) -> DeploymentRecord:
        """Deploy the flow `work` of a file with this code; `say(text)` adds a line to the log."""
        path = self.folder / f"{options.get('name', 'script')}.py"
        head = f"""
            import os, time
            from nbflow import flow, task

            def say(*words):
                with open({str(self.log)!r}, "a") as file:
                    file.write(" ".join(map(str, words)) + "\\n")
        """
        path.write_text(textwrap.dedent(head) + textwrap.dedent(code))
        return self.deploy(DeploymentKind.SCRIPT, flow, f"{path}:{flow}", **options)

    def deploy(
        self, kind: DeploymentKind, flow: str, target: str, **options: Any
    ) -> DeploymentRecord:
        about = {"name": "test", "pool": "pool", "folder": str(self.folder), **options}
        spec = DeploymentSpec(flow_name=flow, kind=kind, target=target, **about)
        return self.store.put_deployment(spec, [])

    def order(self, deployment: DeploymentRecord, **parameters: Any) -> OrderRecord:
        return self.store.add_order(deployment.id, parameters=parameters)

    def run(self, order: OrderRecord) -> RunRecord:
        return self.store.find_run(order.run_id)

    def until(self, order: OrderRecord, state: str, seconds: float = 30.0) -> RunRecord:
        """The order's run, when it is in a state of this name; fails when it ends in another."""

        def look() -> RunRecord | None:
            run = self.run(order)
            assert run.state_name == state or not run.is_final, (run.state_name, run.message)
            return run if run.state_name == state else None

        return wait_for(look, seconds)

    def said(self) -> list[str]:
        """What flows have said so far, whole lines."""
        text = self.log.read_text() if self.log.exists() else ""
        return [line.strip() for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def file(self, order: OrderRecord, name: str) -> Path:
        """A file that the run has left."""
        return self.home / "runs" / order.run_id / name

    def notebook(self, *cells: str, **options: Any) -> DeploymentRecord:
        """Deploy a notebook; its first cell holds the parameters."""
        made = [new_code_cell(one) for one in cells]
        made[0].metadata["tags"] = ["parameters"]
        text = nbformat.writes(new_notebook(cells=made))
        path = str(self.folder / "report.ipynb")
        bare = self.deploy(DeploymentKind.NOTEBOOK, "report", path, **options)
        snapshot = seal(purpose_of(bare), text.encode(), self.home)
        return self.deploy(DeploymentKind.NOTEBOOK, "report", path, snapshot=snapshot, **options)


class Workers:
    """Starts workers, and ends those that a test has left."""

    def __init__(self, deployed: Deployed) -> None:
        self._deployed = deployed
        self._all: list[Child] = []

    def start(
        self,
        limit: int = 0,
        *,
        pool: str = "pool",
        force: float = 10,
        linger: float = 30,
        log_level: str = "INFO",
    ) -> Child:
        """A worker that waits for runs."""
        child = Child(_WORKER, self._deployed.home, pool, limit, force, linger, **{_LOG: log_level})
        self._all.append(child)
        store = self._deployed.store
        wait_for(lambda: any(one.pid == child.pid for one in store.workers()))
        return child

    def end(self) -> None:
        for child in self._all:
            if child._process.poll() is None:
                child.send(signal.SIGCONT)
                child.kill()

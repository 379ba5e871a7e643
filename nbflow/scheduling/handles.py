"""What `serve` gives back in a notebook, and how a script waits while it serves."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from nbflow import wiring
from nbflow.errors import NbflowError
from nbflow.model.deployments import DeploymentRecord
from nbflow.model.records import RunRecord
from nbflow.model.schedules import ScheduleRecord
from nbflow.scheduling.declaring import Deployment
from nbflow.scheduling.notices import wait_sent
from nbflow.scheduling.serving import Server, current_server
from nbflow.triggers.loading import load
from nbflow.triggers.preview import next_times, told

_CANCELLED_SECONDS = 5.0
#: Whether a script is being imported for one of its flows: then it serves nothing.
is_loading: ContextVar[bool] = ContextVar("nbflow_is_loading", default=False)


class Serving:
    """Deployments that this process serves, for as long as it lives or until `stop()`."""

    def __init__(self, server: Server, deployments: Sequence[DeploymentRecord]) -> None:
        self._server = server
        self.deployments = tuple(deployments)

    def stop(self) -> None:
        """Fire nothing any more. Runs in flight go on; the schedules stay in the store."""
        for one in self.deployments:
            self._server.stop(one.id)

    @property
    def is_active(self) -> bool:
        """Whether anything of it is still served."""
        return any(one.id in self._server.served for one in self.deployments)

    def next_runs(self, n: int = 5) -> list[datetime]:
        """The next planned times of all its schedules, as aware UTC datetimes."""
        found: list[float] = []
        for one in self._schedules():
            found += next_times(load(one.trigger), n, time.time(), one.until_at)
        return [datetime.fromtimestamp(at, UTC) for at in sorted(found)[:n]]

    def runs(self, limit: int = 10) -> list[RunRecord]:
        """Its runs, newest first, those that were missed or skipped too."""
        store = wiring.current().store
        store.flush()
        found = [
            run
            for one in self.deployments
            for _, run in store.orders(deployment_id=one.id, limit=limit)
        ]
        return sorted(found, key=lambda run: run.id, reverse=True)[:limit]

    def trigger(self, parameters: Mapping[str, Any] | None = None) -> None:
        """Have each of its deployments run once now."""
        store = wiring.current().store
        for one in self.deployments:
            store.add_order(one.id, parameters=dict(parameters or {}))

    def _schedules(self) -> list[ScheduleRecord]:
        ids = [one.id for one in self.deployments]
        found = wiring.current().store.schedules(deployment_ids=ids)
        return [one for one in found if one.is_active]

    def __repr__(self) -> str:
        names = ", ".join(one.full_name for one in self.deployments)
        if not self.is_active:
            return f"<Serving {names}: stopped>"
        return f"<Serving {names}: {'; '.join(self.lines()) or 'no schedule'}>"

    def lines(self) -> list[str]:
        """Each schedule in words, with its next time."""
        return [line for one in self.deployments for line in self.lines_of(one)]

    def lines_of(self, deployment: DeploymentRecord) -> list[str]:
        """Those of one of its deployments."""
        lines = []
        for one in self._schedules():
            if one.deployment_id != deployment.id:
                continue
            trigger = load(one.trigger)
            next_at = f", next {told(one.next_at, trigger.timezone)}" if one.next_at else ""
            lines.append(f"{trigger.words()}{next_at}")
        return lines


def serve_all(deployments: Sequence[Deployment]) -> Serving | None:
    """Serve deployments in this process, until it ends or is told to stop.

    In a notebook or at an IPython prompt it gives the handle at once; elsewhere it blocks until
    Ctrl-C or SIGTERM and gives nothing. In a script that a worker imports, and in a notebook that
    it runs, it does nothing.

    Raises:
        NbflowError: None was given, or one has no flow in this process.
    """
    if is_loading.get():
        return None
    if is_in_run() and is_interactive():
        store, names = wiring.current().store, [one.full_name for one in deployments]
        found = [one for name in names for one in store.deployments(name=name)]
        return Serving(current_server(), found)
    if not deployments:
        raise NbflowError("serve() needs a deployment: serve(flow.to_deployment(name=...))")
    for one in deployments:
        if one.flow is None:
            raise NbflowError(
                f"{one.full_name} has no flow in this process; deploy it to a work pool instead"
            )
    server = current_server()
    records = []
    for one in deployments:
        record = one.apply(serve=True)
        records.append(record)
        server.serve(record, one.flow)
    serving = Serving(server, records)
    if is_interactive():
        return serving
    for record in records:
        lines = serving.lines_of(record) or ["no schedule; `nbflow deployment run` runs it"]
        sys.stderr.write(f"nbflow: serving {record.full_name}: {'; '.join(lines)}\n")
    sys.stderr.write("nbflow: Ctrl-C stops\n")
    wait_until_told(server, serving)
    wait_sent()
    return None


def is_in_run() -> bool:
    """Whether this process is there for one run of a deployment: it declares and serves nothing.

    Its script or its notebook may do so, and would put back what was changed since.
    """
    if is_loading.get():
        return True
    connected = wiring.current()
    run_id = connected.settings.parent_run
    return bool(run_id) and connected.store.order(run_id) is not None


def is_interactive() -> bool:
    """Whether this is a notebook or an IPython prompt, which must not be blocked."""
    module = sys.modules.get("IPython")
    return module is not None and module.get_ipython() is not None


def wait_until_told(server: Server, serving: Serving) -> None:
    """Block until Ctrl-C or SIGTERM; then for what runs, or, told again, cancel it."""
    end = threading.Event()
    with _on_sigterm(end.set):
        try:
            while not end.wait(1.0):  # in steps: on some systems a lock holds signals back
                pass
        except KeyboardInterrupt:
            pass
        end.clear()
        try:
            serving.stop()
            if server.running:
                n = len(server.running)
                runs = "1 run" if n == 1 else f"{n} runs"
                sys.stderr.write(f"nbflow: waiting for {runs} to end; Ctrl-C again cancels\n")
            while server.running and not end.wait(0.1):
                pass
        except KeyboardInterrupt:
            end.set()
        if end.is_set():
            for run_id in server.running:
                server.cancel(run_id)
            # Code that is blocked in C cannot be ended, and goes with the process.
            server.join(_CANCELLED_SECONDS)


@contextmanager
def _on_sigterm(told: Any) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: told())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

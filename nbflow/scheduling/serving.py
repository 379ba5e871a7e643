"""Deployments that a process runs itself: a kernel while it lives, a script that serves flows."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from functools import partial
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from nbflow import wiring
from nbflow.errors import NbflowError
from nbflow.model.deployments import DeploymentKind, DeploymentRecord, OrderRecord
from nbflow.model.specs import FlowSpec
from nbflow.scheduling.appointments import appointment_of
from nbflow.scheduling.notices import Notices
from nbflow.scheduling.scheduler import Scheduler
from nbflow.store.requests import Request
from nbflow.wiring import Wiring

logger = logging.getLogger(__name__)

_MOST_RUNS = 64
_numbers = itertools.count(1)
#: Carries out an order in the thread that calls it, whatever comes of it.
Executor = Callable[[OrderRecord, DeploymentRecord], object]


class LiveFlow(Protocol):
    """A flow that this process has in memory."""

    @property
    def newest_spec(self) -> FlowSpec:
        """What is run: its newest definition, whose `owner` is the flow itself."""


class Server:
    """Runs deployments in this process, each run in a thread and a context of its own."""

    def __init__(self, connected: Wiring) -> None:
        self._wiring = connected
        self._executors: dict[DeploymentKind, Executor] = {}
        self._around: Callable[[], AbstractContextManager[Any]] = nullcontext
        self._notices = Notices(connected.store)
        self._flows: dict[str, tuple[LiveFlow, object]] = {}
        self._running: dict[str, threading.Thread] = {}
        self._starting = threading.Lock()
        self._scheduler = Scheduler(connected.store, self)
        connected.before_close(self.close)

    def equip(
        self,
        *,
        executors: Mapping[DeploymentKind, Executor] | None = None,
        around: Callable[[], AbstractContextManager[Any]] | None = None,
    ) -> None:
        """Say how runs are carried out; what is not given stays as it is.

        Args:
            executors: For deployments that are not given as live flows.
            around: Entered around each run, in its thread.
        """
        self._executors.update(executors or {})
        self._around = around or self._around

    # --- what is served -----------------------------------------------------------------------

    def serve(self, deployment: DeploymentRecord, flow: LiveFlow | None = None) -> None:
        """Fire the deployment's schedules and begin its runs from now on. Returns at once.

        Args:
            flow: What to run; None: what the deployment itself holds.
        """
        if flow is None:
            self._flows.pop(deployment.id, None)
        else:
            self._flows[deployment.id] = flow, _code_of(deployment)
        self._scheduler.serve(deployment.id)
        self._scheduler.start()

    def stop(self, deployment_id: str) -> None:
        """Serve a deployment no longer. Its runs go on."""
        self._scheduler.forget(deployment_id)  # its flow stays: a run of it may just have begun
        self._wiring.store.unserve_deployment(deployment_id)

    @property
    def served(self) -> frozenset[str]:
        """Ids of the deployments that are served."""
        return self._scheduler.served

    @property
    def running(self) -> list[str]:
        """Ids of the runs in flight."""
        return list(self._running)

    def join(self, seconds: float) -> bool:
        """Wait for the runs in flight, but no longer than that; whether they have ended."""
        end = time.monotonic() + seconds
        with self._starting:  # one that has not been started cannot be joined
            threads = tuple(self._running.values())
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not self._running

    def close(self) -> None:
        """Serve nothing any more; runs in flight go on."""
        self._scheduler.close()
        for deployment_id in self._scheduler.served:
            try:
                self._wiring.store.unserve_deployment(deployment_id)
            except NbflowError as error:  # others see that this process is gone
                logger.debug("deployment %s: %s", deployment_id, error)
        _servers.pop(self._wiring, None)  # it holds its own key, which would keep both for ever

    # --- for the scheduler --------------------------------------------------------------------

    def start(self, order: OrderRecord, deployment: DeploymentRecord) -> None:
        """Begin a run in a thread of its own, in an empty context."""
        work = partial(Context().run, self._work, order, deployment)
        name = f"nbflow-flow-{next(_numbers)}"
        thread = threading.Thread(target=work, name=name, daemon=True)
        with self._starting:
            self._running[order.run_id] = thread
            try:
                thread.start()
            except BaseException:
                del self._running[order.run_id]
                raise

    def cancel(self, run_id: str) -> None:
        """End a run, whichever process it runs in."""
        store = self._wiring.store
        record = store.find_run(run_id)
        if record.owner_id == store.owner_id:
            self._wiring.handle(Request(0, run_id, "cancel"))
        else:
            store.request(record.owner_id, run_id, "cancel")

    def free(self) -> int | None:
        """How many more runs may begin: a thousand threads would slow each other down."""
        return max(0, _MOST_RUNS - len(self._running))

    # --- in the run's thread --------------------------------------------------------------------

    def _work(self, order: OrderRecord, deployment: DeploymentRecord) -> None:
        try:
            self._notices.began(order, deployment)
            with self._around():
                self._carry_out(order, deployment)
        except BaseException:
            logger.exception("run %r of %s", order.run_name, deployment.full_name)
        finally:
            try:  # before the process counts as idle, and may end
                self._notices.ended(order, deployment)
            finally:
                self._running.pop(order.run_id, None)
                self._scheduler.wake()

    def _carry_out(self, order: OrderRecord, deployment: DeploymentRecord) -> None:
        flow, code = self._flows.get(deployment.id, (None, None))
        # Unless somebody has deployed other code under the same names since.
        if flow is not None and code == _code_of(deployment):
            call(self._wiring, flow.newest_spec, order, deployment)
            return
        executor = self._executors.get(deployment.kind)
        if executor is None:
            error = NbflowError(
                f"this process cannot run {deployment.full_name}: it does not have the flow; "
                "serve it again, or give it a work pool"
            )
            fail(self._wiring, order, deployment, error)
            return
        executor(order, deployment)


def _code_of(deployment: DeploymentRecord) -> object:
    """Where its code comes from."""
    return deployment.kind, deployment.target


_servers: WeakKeyDictionary[Wiring, Server] = WeakKeyDictionary()
_lock = threading.Lock()


def current_server() -> Server:
    """This process' server, made when first asked for; it ends with the process' wiring."""
    connected = wiring.current()
    with _lock:
        server = _servers.get(connected)
        if server is None:
            server = _servers[connected] = Server(connected)
        return server


def existing_server(connected: Wiring) -> Server | None:
    """The server of a process, if anything has made it serve."""
    return _servers.get(connected)


def call(
    connected: Wiring, spec: FlowSpec, order: OrderRecord, deployment: DeploymentRecord
) -> Any:
    """Run a flow for an order on this thread; gives its final state."""
    answer = connected.engine.call(
        spec,
        (),
        dict(order.parameters),
        return_state=True,
        appointment=appointment_of(order, deployment),
    )
    return connected.engine.loop.run(answer) if spec.colour.is_async else answer


def fail(
    connected: Wiring, order: OrderRecord, deployment: DeploymentRecord, error: BaseException
) -> Any:
    """Have an order's run fail with what kept its flow from being run; gives the final state."""

    def cannot_run(**_parameters: Any) -> None:
        raise error

    spec = FlowSpec(fn=cannot_run, name=deployment.flow_name, validate_parameters=False)
    return call(connected, spec, order, deployment)

"""The process in which a worker has one run carried out: `python -m nbflow.deploy.run_process`.

By a socket that is its standard input it hears from the worker: which run, in one line, then
perhaps that the run is to be cancelled. When that closes, the worker is gone, and the process ends
at once with all that it has started: nothing runs on that nobody watches.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import signal
import socket
import stat
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from nbflow import wiring
from nbflow.deploy.assignments import CRASHED_HOOKS, Assignment, assignment_of
from nbflow.deploy.executing import execute, flow_of
from nbflow.deploy.families import kill_family
from nbflow.deploy.run_files import OUTPUT, drop_if_empty, new_run_folder
from nbflow.errors import Interrupted, NbflowError
from nbflow.hooks import HookCaller
from nbflow.model.deployments import DeploymentRecord, OrderRecord
from nbflow.model.events import Event, StateChanged
from nbflow.model.runs import Run, RunKind
from nbflow.model.states import State
from nbflow.store.store import Store

#: Exit code where the run is not, or no longer, this process' to carry out.
NOT_OURS = 3
_AGAIN_MILLISECONDS = 50
_PRELOAD = "--preload="


class RunProcess:
    """Carries out one run that this process has adopted, and lets it be cancelled meanwhile."""

    def __init__(
        self, order: OrderRecord, deployment: DeploymentRecord, assignment: Assignment
    ) -> None:
        self._order = order
        self._deployment = deployment
        self._assignment = assignment
        self._connected = wiring.current()
        self._is_loading = False
        self._is_cancelled = False
        self._is_over = False
        self._wakeup = os.pipe()

    def work(self, leash: int | None) -> State:
        """Carry it out; gives the final state.

        Args:
            leash: The socket to the worker; None: there is no worker.
        """
        signal.signal(signal.SIGTERM, self._on_sigterm)
        self._connected.bus.subscribe(self._note_begin)
        if leash is not None and select.select([leash], [], [], 0)[0]:
            self._hear(leash)  # what came before the thread listens keeps the run from beginning
        threading.Thread(
            target=self._listen, args=(leash,), name="nbflow-leash", daemon=True
        ).start()
        try:
            return execute(self._order, self._deployment, loading=self._loading)
        finally:
            self._is_over = True

    @contextmanager
    def _loading(self) -> Iterator[None]:
        """Inside, a cancellation is raised: the engine does not know the run yet."""
        self._is_loading = True
        self._check()
        try:
            yield
        finally:
            self._is_loading = False
        self._check()

    def _check(self) -> None:
        if self._is_cancelled:
            raise Interrupted("Cancelled")
        if self._assignment.refusal:
            raise NbflowError(self._assignment.refusal)

    def _note_begin(self, event: Event) -> None:
        """That a try has begun is on disk before it has done anything, whatever it dies of."""
        if (
            type(event) is StateChanged
            and event.run.id == self._order.run_id
            and event.state.is_running()
        ):
            self._connected.store.flush()

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        self._is_cancelled = True
        if self._is_loading:
            self._is_loading = False
            raise Interrupted("Cancelled")
        # No more than this: the thread that was interrupted may hold any lock.
        with contextlib.suppress(OSError):
            os.write(self._wakeup[1], b"!")

    def _listen(self, leash: int | None) -> None:
        """What the thread does. It is a thread so that the run cannot keep it from listening."""
        poll = select.poll()
        for fd in (leash, self._wakeup[0]):
            if fd is not None:
                poll.register(fd, select.POLLIN | select.POLLHUP)
        while True:
            # Asked for early, a cancellation is tried again until the engine has the run.
            pending = (
                self._is_cancelled
                and not self._is_over
                and not self._connected.engine.cancel(self._order.run_id)
            )
            for fd, _ in poll.poll(_AGAIN_MILLISECONDS if pending else None):
                if fd == leash:
                    self._hear(fd)
                else:
                    os.read(fd, 4096)
                if fd == leash and self._is_loading:
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def _hear(self, leash: int) -> None:
        """The worker has only one thing to say: cancel it. Or it has gone."""
        try:
            heard = os.read(leash, 4096)
        except OSError:  # it was killed before it had read what this process sent
            heard = b""
        if not heard:
            perish(self._assignment.family, self._connected.store)
        self._is_cancelled = True


def perish(family: str, store: Store) -> NoReturn:
    """End at once, with every process that this one has started."""
    # First of all: the flow sees its processes die, and may not call that the end of the run.
    with contextlib.suppress(Exception):
        store.abandon()
    with contextlib.suppress(Exception):
        if family:
            kill_family(family)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def call_crashed_hooks(order: OrderRecord, deployment: DeploymentRecord) -> None:
    """Call a flow's `on_crashed` hooks for a run whose own process could not.

    Raises:
        Exception: Whatever loading the flow raises.
    """
    connected = wiring.current()
    record = connected.store.find_run(order.run_id)
    spec = flow_of(deployment).newest_spec
    state = State(record.state_type, record.state_name, record.message, None, record.ended_at or 0)
    run = Run(
        kind=RunKind.FLOW,
        spec=spec,
        name=record.name,
        tags=frozenset(record.tags),
        id=record.id,
        state=state,
        run_count=record.run_count,
        started_at=record.started_at,
        ended_at=record.ended_at,
        scheduled_at=record.scheduled_at,
    )
    HookCaller(connected.engine.loop.run).on_event(StateChanged(run, state))


def main(arguments: Sequence[str]) -> int:
    """Do what the worker says, or what is asked for by `RUN_ID OWNER_ID`; gives the exit code."""
    # A shell's background jobs ignore it, and so would the kernels, whose cells it interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    leash = _take_stdin()
    plain = [one for one in arguments if not one.startswith(_PRELOAD)]
    for one in arguments:
        if one.startswith(_PRELOAD):
            importlib.import_module(one.removeprefix(_PRELOAD))
    if plain:
        assignment = Assignment(run_id=plain[0], owner_id=plain[1])
    else:
        line = _read_line(leash)
        if not line:
            return 0  # a worker that ended without a use for this process
        assignment = assignment_of(line)
    return _carry_out(assignment, leash)


def _carry_out(assignment: Assignment, leash: int | None) -> int:
    if assignment.folder:
        # It decides on the settings. One that is gone is told of later, by the run.
        with contextlib.suppress(OSError):
            os.chdir(assignment.folder)
    store = wiring.current().store
    _share_life(store, leash)
    order = (
        store.order(assignment.run_id)
        if assignment.is_crashed
        else store.adopt_order(assignment.run_id, assignment.owner_id)
    )
    if order is None:
        return NOT_OURS
    found = store.deployments(ids=[order.deployment_id])
    if not found:
        if not assignment.is_crashed:
            store.crash_run(order.run_id, store.owner_id, "its deployment was deleted")
        return 1
    (deployment,) = found
    output = _write_to_file(new_run_folder(store.folder, order.run_id) / OUTPUT)
    with contextlib.suppress(OSError):
        os.chdir(deployment.folder)
    sys.path.insert(0, deployment.folder)
    try:
        if assignment.is_crashed:
            call_crashed_hooks(order, deployment)
            return 0
        state = RunProcess(order, deployment, assignment).work(leash)
        if state.is_crashed():  # not by the end of its process: its hooks have been called here
            store.claim_once(order.run_id, CRASHED_HOOKS)
        return 0 if state.is_completed() else 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        drop_if_empty(output)


def _take_stdin() -> int | None:
    """The worker's socket, moved out of the way of what the flow may read; None: there is none."""
    leash = None
    with contextlib.suppress(OSError):
        if not stat.S_ISSOCK(os.fstat(0).st_mode):
            return None
        leash = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return leash


def _share_life(store: Store, leash: int | None) -> None:
    """Give the worker the lock by which others know that this process lives."""
    if leash is not None:
        with socket.socket(fileno=os.dup(leash)) as worker, contextlib.suppress(OSError):
            owner_id = store.owner_id
            socket.send_fds(worker, [owner_id.encode()], [store._own()._fd])


def _read_line(leash: int | None) -> bytes:
    """The first line, and nothing of what comes after it."""
    line = b""
    while leash is not None and not line.endswith(b"\n"):
        more = os.read(leash, 1)
        if not more:
            return b""
        line += more
    return line


def _write_to_file(path: Path) -> Path:
    """Let what is printed from here on go to a file, at its end if there was an earlier try."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    for stream in (sys.stdout, sys.stderr):
        # By lines: what a process has said that is killed then is worth most.
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

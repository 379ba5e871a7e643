"""Runs in processes of their own on the worker's machine."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from threading import Lock, Thread

from nbflow.deploy.assignments import Assignment
from nbflow.deploy.families import kill_family, new_family
from nbflow.model.deployments import DeploymentRecord, OrderRecord

_COMMAND = (sys.executable, "-P", "-m", "nbflow.deploy.run_process")
_WAIT_SECONDS = 60.0
_ID_BYTES = 64
_SIGNALS = {
    signal.SIGKILL: "out of memory, perhaps, or somebody's kill -9",
    signal.SIGSEGV: "a fault in some compiled code",
    signal.SIGBUS: "a fault in some compiled code, or a full disk under a mapped file",
    signal.SIGABRT: "some compiled code gave up",
    signal.SIGTERM: "somebody ended it",
}


class ChildProcess:
    """A process that waits for an assignment, then carries it out.

    It is the first of a session and of a group, so that neither Ctrl-C in the worker's terminal
    nor its closing reaches it; the socket that is its standard input ties it to the worker's life.

    Args:
        home: Folder of the store.
        preload: Modules to import while it waits.
    """

    def __init__(self, home: Path, preload: tuple[str, ...] = ()) -> None:
        # The worker's own place in a run, if it has one, is not that of the runs it begins.
        self.family, environment = new_family(home=str(home), parent_run="", origin_run="")
        self._leash, theirs = socket.socketpair()
        self._process = subprocess.Popen(  # noqa: S603  # this interpreter, and nothing of users
            [*_COMMAND, *(f"--preload={name}" for name in preload)],
            env=environment,
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        self.pid = self._process.pid
        self.owner_id = ""
        self._life = -1

    @property
    def where(self) -> str:
        return f"process {self.pid}"

    def begin(self, assignment: Assignment) -> None:
        """Tell it what to do."""
        self._tell(assignment.line())

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def cancel(self) -> None:
        """Ask it to end its run, in good order."""
        self._tell(b"cancel\n")

    def kill(self) -> None:
        """End it at once with all that it has started."""
        if self._process.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
        kill_family(self.family)

    def wait(self) -> str:
        """Wait until it has ended; gives how it did, in words. Nothing of it is left then."""
        self._take_life()
        self._end_group()
        code = self._process.wait()
        self._leash.close()
        if code:  # else it has ended all that it had started, or left it on purpose
            kill_family(self.family)
        return told_of_exit(code)

    def _end_group(self) -> None:
        """Wait for its end; one that did not end well takes its process group along.

        The mark does not find those that were given an environment of their own. Done before it is
        reaped: until then its number is no other process'.
        """
        with contextlib.suppress(OSError, AttributeError):  # macOS has no `waitid`
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            if ended is not None and ended.si_status:
                os.killpg(self.pid, signal.SIGKILL)

    def dismiss(self) -> None:
        """Let it end: there is nothing for it to do."""
        self._leash.close()
        try:
            self._process.wait(_WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()

    def close(self) -> None:
        """Let go of its life: whoever asks learns that it is dead."""
        life, self._life = self._life, -1
        if life >= 0:
            os.close(life)

    def _tell(self, line: bytes) -> None:
        with contextlib.suppress(OSError):  # it has ended
            self._leash.sendall(line)

    def _take_life(self) -> None:
        """Wait for the lock that tells others that the process lives, or for its end.

        Held here as well, nobody takes the run for one of a dead process, and begins it anew,
        before its worker has ended all that the process had started.
        """
        with contextlib.suppress(OSError):
            told, fds, _, _ = socket.recv_fds(self._leash, _ID_BYTES, 1)
            self.owner_id = told.decode()
            for life in fds:
                os.set_inheritable(life, False)
                self._life = life


class ProcessStarter:
    """Starts a process for each run, and keeps one ready for the next.

    An interpreter that has imported what it needs begins in a tenth of the time.

    Args:
        home: Folder of the store.
        owner_id: The worker's, who has the runs until their processes adopt them.
        preload: Modules to import while a process waits.
    """

    def __init__(self, home: Path, owner_id: str, preload: tuple[str, ...] = ()) -> None:
        self._home = home
        self._owner_id = owner_id
        self._preload = preload
        self._lock = Lock()
        self._is_closed = False
        self._ready: ChildProcess | None = None
        self._get_ready()

    def _get_ready(self) -> None:
        """Start the process for the next run, if there is none."""
        with self._lock:
            if self._is_closed or (self._ready is not None and self._ready.is_alive):
                return
            with contextlib.suppress(OSError):  # the next run starts one, or is told why not
                self._ready = ChildProcess(self._home, self._preload)

    def start(self, order: OrderRecord, deployment: DeploymentRecord, refusal: str) -> ChildProcess:
        """Have a run begun. Returns at once."""
        child = self._take()
        child.begin(
            Assignment(
                run_id=order.run_id,
                owner_id=self._owner_id,
                folder=deployment.folder,
                family=child.family,
                refusal=refusal,
            )
        )
        self._get_ready()
        return child

    def call_crashed_hooks(self, order: OrderRecord, deployment: DeploymentRecord) -> None:
        """Have them called in a process of their own."""
        child = ChildProcess(self._home)
        child.begin(
            Assignment(
                run_id=order.run_id,
                owner_id=self._owner_id,
                folder=deployment.folder,
                family=child.family,
                is_crashed=True,
            )
        )

        def wait() -> None:
            child.wait()
            child.close()

        Thread(target=wait, name="nbflow-hooks", daemon=True).start()

    def close(self) -> None:
        """Let the process end that is ready."""
        with self._lock:
            self._is_closed = True
            child, self._ready = self._ready, None
        if child is not None:
            child.dismiss()

    def _take(self) -> ChildProcess:
        with self._lock:
            child, self._ready = self._ready, None
        if child is not None and child.is_alive:
            return child
        return ChildProcess(self._home, self._preload)


def told_of_exit(code: int) -> str:
    """How a process ended that should have ended its run first."""
    if code >= 0:
        return f"the run's process ended with exit code {code} before its run had"
    try:
        number = signal.Signals(-code)
    except ValueError:
        return f"the run's process was killed by signal {-code}"
    why = f"; {_SIGNALS[number]}" if number in _SIGNALS else ""
    return f"the run's process was killed by signal {number:d} ({number.name}{why})"

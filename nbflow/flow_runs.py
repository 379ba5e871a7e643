"""Acting on flow runs, those of other processes too."""

from __future__ import annotations

import time

from nbflow import wiring
from nbflow.context import running
from nbflow.errors import NotInRun
from nbflow.model.records import RunRecord
from nbflow.store.requests import Request

__all__ = ["cancel_run", "pause_flow_run", "resume_flow_run"]

_POLL_SECONDS = 0.02


def pause_flow_run(timeout: float | None = 3600) -> None:
    """Inside a flow: wait here until somebody resumes the flow run (`nbflow resume RUN`).

    Args:
        timeout: Seconds after which it goes on with an error; None: never.

    Raises:
        TimeoutError: Nobody resumed it in time.
        NotInRun: Not called in a flow.
    """
    context = running("pause_flow_run()")
    flow_run = context.scope.run
    if flow_run is None:
        raise NotInRun("pause_flow_run() needs a flow run; this task was called outside of one")
    engine = wiring.current().engine
    engine.pause(flow_run.id)
    end = None if timeout is None else time.monotonic() + timeout
    gate = context.scope.gate
    while gate is not None and not gate.wait(_POLL_SECONDS):
        if end is not None and time.monotonic() >= end:
            engine.resume(flow_run.id)
            raise TimeoutError(f"flow run {flow_run.name!r} was not resumed within {timeout:g} s")


def resume_flow_run(run: str) -> None:
    """Let a paused flow run go on, whichever process it runs in.

    Args:
        run: Its id, the first digits of it, or its name.

    Raises:
        RunNotFound: There is none.
    """
    ask(run, "resume")


def cancel_run(run: str, timeout: float | None = None) -> RunRecord:
    """End a run and all inside it, whichever process it runs in; gives the run as it is then.

    Args:
        run: Its id, the first digits of it, or its name.
        timeout: Seconds to wait until it has ended; None: do not wait.

    Raises:
        RunNotFound: There is none.
    """
    record = ask(run, "cancel")
    store = wiring.current().store
    end = time.monotonic() + (timeout or 0.0)
    while not record.is_final and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
        store.reap()
        record = store.find_run(record.id)
    return record


def ask(run: str, verb: str) -> RunRecord:
    """Ask the process that carries out a run, be it this one, to do something to it.

    Raises:
        RunNotFound: There is none.
    """
    connected = wiring.current()
    store = connected.store
    store.flush()
    store.reap()
    record = store.find_run(run)
    if record.is_final:
        return record
    if verb == "cancel" and not record.owner_id and store.cancel_waiting(record.id):
        return record
    if record.owner_id == store.owner_id:  # it looks only for what others have written
        connected.handle(Request(0, record.id, verb))
    else:
        store.request(record.owner_id, record.id, verb)
    return record

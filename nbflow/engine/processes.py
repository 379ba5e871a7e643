"""Submitted tasks in processes of their own: for pure-Python computing, and for hard timeouts.

Each slot is a loky executor of one process. Killing a worker breaks its executor, and with one
executor for all of them every task that is in flight would be lost with the one that hangs.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from nbflow.engine.capture import emit
from nbflow.engine.effects import Call, Outcome
from nbflow.engine.runners import Answered, checked_workers
from nbflow.errors import CrashedRun, NbflowError, NotPicklable, RemoteError

_PARENT_SECONDS = 0.25  # between two looks at whether the parent lives


class ProcessPoolTaskRunner:
    """Runs submitted tasks in worker processes; needs `pip install nbflow[process]`.

    Functions go over by value, so those of notebook cells work, with the globals they use.
    Output, log records and the result come back; `timeout_seconds` and cancelling kill the worker.

    Args:
        max_workers: Processes at a time; None: one per core.
    """

    elsewhere = True

    def __init__(self, max_workers: int | None = None) -> None:
        self.max_workers = checked_workers("ProcessPoolTaskRunner", max_workers)
        self._lock = threading.Lock()
        self._n_slots = 0
        self._idle: list[_Slot] = []
        self._busy: set[_Slot] = set()
        self._waiting: deque[_Work] = deque()

    def start(
        self, call: Call, began: Callable[[], None], answered: Answered
    ) -> Callable[[], object]:
        work = _Work(call, began, answered)
        try:
            work.payload = _pack(call)
        except NotPicklable as error:
            answered(Outcome(None, error))
            return lambda: None
        with self._lock:
            self._waiting.append(work)
        self._dispatch()
        return lambda: self._kill(work)

    def close(self) -> None:
        """End the idle workers; those at work were waited for."""
        with self._lock:
            slots, self._idle = self._idle, []
            self._n_slots -= len(slots)
        for slot in slots:
            slot.close()

    def _dispatch(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    return
                if self._idle:
                    slot = self._idle.pop()
                elif self._n_slots < (self.max_workers or os.cpu_count() or 1):
                    slot = _Slot()
                    self._n_slots += 1
                else:
                    return
                work = self._waiting.popleft()
                work.slot = slot
                self._busy.add(slot)
            slot.run(work, self._done)

    def _done(self, slot: _Slot, work: _Work, outcome: Outcome) -> None:
        with self._lock:
            self._busy.discard(slot)
            work.slot = None
            if slot.broken:
                self._n_slots -= 1
            else:
                self._idle.append(slot)
        if slot.broken:
            slot.close()
        self._dispatch()
        work.answered(outcome)

    def _kill(self, work: _Work) -> None:
        with self._lock:  # held while killing: the slot may not get other work meanwhile
            if work in self._waiting:
                self._waiting.remove(work)
            elif work.slot is not None:
                work.slot.kill()

    def __reduce__(self) -> tuple[type[ProcessPoolTaskRunner], tuple[int | None]]:
        return type(self), (self.max_workers,)  # with its flow, to where that is deployed

    def __repr__(self) -> str:
        return f"ProcessPoolTaskRunner(max_workers={self.max_workers})"


class _Work:
    """One call on its way."""

    __slots__ = ("answered", "began", "call", "payload", "slot")

    def __init__(self, call: Call, began: Callable[[], None], answered: Answered) -> None:
        self.call = call
        self.began = began
        self.answered = answered
        self.payload = b""
        self.slot: _Slot | None = None


class _Slot:
    """One worker process."""

    def __init__(self) -> None:
        try:
            from loky import ProcessPoolExecutor
        except ImportError as error:
            raise NbflowError(
                "ProcessPoolTaskRunner needs loky; install it with `pip install 'nbflow[process]'`"
            ) from error
        self.broken = False
        self._is_up = False
        self._executor = ProcessPoolExecutor(
            max_workers=1, timeout=None, initializer=_in_own_session, initargs=(os.getpid(),)
        )

    def run(self, work: _Work, done: Done) -> None:
        """Do the work and call `done` once. A process is started first, where there is none yet."""
        if self._is_up:
            work.began()
            self._submit(
                _run_packed, work, done, lambda packed: done(self, work, _unpack(packed, work.call))
            )
        else:
            # The time a process takes to start is not the task's.
            self._submit(_nothing, work, done, lambda _: self._run_first(work, done))

    def _run_first(self, work: _Work, done: Done) -> None:
        self._is_up = True
        if self.broken:  # killed while it was starting
            self.kill()
        self.run(work, done)

    def _submit(
        self, fn: Callable[[bytes], bytes], work: _Work, done: Done, then: Callable[[bytes], None]
    ) -> None:
        try:
            future: Future[bytes] = self._executor.submit(fn, work.payload if self._is_up else b"")
        except Exception as error:
            self.broken = True
            done(self, work, _crashed(f"there is no worker process: {error}"))
            return

        def answered(answer: Future[bytes]) -> None:
            error = answer.exception()
            if error is not None:
                self.broken = True
                text = " ".join(str(error).split())
                done(self, work, _crashed(f"the worker process died: {text}"))
            else:
                then(answer.result())

        future.add_done_callback(answered)

    def kill(self) -> None:
        """SIGKILL the worker and the processes it started."""
        self.broken = True
        for process in list((self._executor._processes or {}).values()):
            with suppress(ProcessLookupError, PermissionError):
                if os.getpgid(process.pid) == process.pid:
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    os.kill(process.pid, signal.SIGKILL)

    def close(self) -> None:
        self._executor.shutdown(wait=False)


Done = Callable[[_Slot, _Work, Outcome], None]


def _crashed(how: str) -> Outcome:
    return Outcome(None, CrashedRun(how), "Crashed")


# --- what crosses -------------------------------------------------------------------------------


def _pack(call: Call) -> bytes:
    """The call as bytes.

    Raises:
        NotPicklable: Names the argument, or the name the function uses, that cannot be pickled.
    """
    import cloudpickle

    context = call.context
    about = {
        "kind": context.run.kind,
        "id": context.run.id,
        "name": context.run.name,
        "parent_id": context.run.parent_id,
        "flow_run_id": context.run.flow_run_id,
        "tags": context.run.tags,
        "run_count": context.run.run_count,
        "task_name": context.spec.name,
        "log_prints": context.log_prints,
    }
    parts = (context.spec.fn, call.args, dict(call.kwargs), about)
    try:
        packed: bytes = cloudpickle.dumps(parts, protocol=5)
        return packed
    except Exception as error:
        raise NotPicklable(_why_not_picklable(call, error)) from error


def _why_not_picklable(call: Call, error: Exception) -> str:
    import cloudpickle

    spec = call.context.spec

    def fails(value: Any) -> bool:
        try:
            cloudpickle.dumps(value, protocol=5)
        except Exception:
            return True
        return False

    try:
        arguments = spec.bind(call.args, call.kwargs)
    except TypeError:
        arguments = dict(call.kwargs)
    used = {name: spec.fn.__globals__[name] for name in _global_names(spec.fn)}
    for kind, values in (("argument", arguments), ("global", used)):
        for name, value in values.items():
            if fails(value):
                return (
                    f"task {spec.name!r} cannot go to a worker process: its {kind} {name!r} "
                    f"({type(value).__name__}) cannot be pickled: {error}"
                )
    return f"task {spec.name!r} cannot go to a worker process: {error}"


def _global_names(fn: Any) -> list[str]:
    code = getattr(fn, "__code__", None)
    return [name for name in code.co_names if name in fn.__globals__] if code else []


def _in_own_session(parent: int) -> None:
    """In the worker: an interrupt of the kernel is not for it; whatever it starts dies with it."""
    with suppress(OSError):
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """In the worker: end with the process it works for, however that ends.

    loky's workers would wait for work for ever; one at work would go on beside a new try. Not by
    PR_SET_PDEATHSIG: that signal comes when the *thread* ends that started the worker.
    """
    while os.getppid() == parent:
        time.sleep(_PARENT_SECONDS)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _nothing(payload: bytes) -> bytes:
    """In the worker: show that it is up."""
    return payload


def _run_packed(payload: bytes) -> bytes:
    """In the worker: run the call; gives the outcome and what was printed and logged, as bytes."""
    import cloudpickle

    from nbflow.engine.remote import run_remotely

    lines: list[tuple[int, str, str, float]] = []
    try:
        fn, args, kwargs, about = pickle.loads(payload)
        value = run_remotely(fn, args, kwargs, about, lines)
    except BaseException as error:
        text = traceback.format_exc()
        try:
            # Not every exception can be made anew from its pickle; then its text must do.
            kept = cloudpickle.dumps(error, protocol=5)
            pickle.loads(kept)
        except Exception:
            kept = pickle.dumps(RemoteError(type(error).__name__, str(error), text))
        packed: bytes = cloudpickle.dumps((None, kept, text, lines), protocol=5)
        return packed
    try:
        packed = cloudpickle.dumps((value, None, "", lines), protocol=5)
    except Exception as error:
        problem = NotPicklable(
            f"task {about['task_name']!r} returned a {type(value).__name__}, which cannot come "
            f"back from a worker process: {error}"
        )
        packed = cloudpickle.dumps((None, pickle.dumps(problem), "", lines), protocol=5)
    return packed


def _unpack(packed: bytes, call: Call) -> Outcome:
    try:
        value, error, text, lines = pickle.loads(packed)
    except Exception as problem:
        name = call.context.spec.name
        told = f"what task {name!r} returned cannot be read from its pickle: {problem!r}"
        return Outcome(None, NotPicklable(told))
    for level, name, message, at in lines:
        emit(call.context, level, name, message, at=at)
    if error is None:
        return Outcome(value)
    failure = pickle.loads(error)
    if text and not isinstance(failure, RemoteError):
        failure.add_note(f"\nin the worker process:\n{text}")
    return Outcome(None, failure)

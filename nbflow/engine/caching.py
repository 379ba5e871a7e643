"""When a task run may use a kept result, and when it keeps its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbflow.engine.context import current_run
from nbflow.engine.pool import ThreadPool, current_pool
from nbflow.engine.resumption import ResumePlan, add_calls, flow_path, may_resume
from nbflow.errors import Unfingerprintable
from nbflow.model.specs import CacheSubject, Keeper, TaskSpec
from nbflow.model.states import Deferred, State
from nbflow.results.claims import Claim
from nbflow.results.policies import DEFAULT
from nbflow.results.results import Hit, Results

if TYPE_CHECKING:
    from nbflow.engine.context import RunContext

logger = logging.getLogger(__name__)
_warned: set[tuple[str, str]] = set()


@dataclass(slots=True)
class CachePlan:
    """How one task run deals with the cache. `lookup` and `save` do blocking work."""

    results: Results
    spec: TaskSpec
    key: str | None = None
    began_at: float = 0.0
    claim: Claim | None = None

    def lookup(self, context: RunContext) -> Hit | None:
        """The kept result that may stand in for the run, if there is one.

        Waits while another run computes it. None: this run is the one to compute it; it holds the
        claim until `release`, which comes by itself at the latest when the run's protocol ends.
        """
        self.began_at = time.time()
        options = self.spec.results
        flow_run_id = flow_path(context) or context.run.flow_run_id
        subject = CacheSubject(
            self.spec.fn, self.spec.name, context.run, flow_run_id, self.spec.owner
        )
        policy = options.policy or DEFAULT
        try:
            self.key = policy.compute_key(subject, context.parameters(), context.scope.parameters)
        except Exception as error:
            # A wrong key may not stop the task, but must not go unseen either.
            _warn_once(self.spec.name, error)
            return None
        if self.key is None:
            return None
        if options.refresh:
            add_calls(context.run, self.key)
            return None
        run = context.run

        def is_over() -> bool:
            return run.state.is_final()

        found = self.results.lookup_or_claim(
            self.key,
            options.serializer,
            run_id=run.id,
            parent_id=run.parent_id,
            is_over=is_over,
            waiting=_waiting,
        )
        self.began_at = time.time()
        if isinstance(found, Hit):
            return found
        self.claim = found
        add_calls(run, self.key)
        if is_over():  # it was cancelled, and nobody waits for this thread
            self.release()
        return None

    def save(self, context: RunContext, state: State) -> State:
        """Keep the run's result. Gives the state to enter: with the value, or a way to it."""
        if self.key is None:
            return state
        options = self.spec.results
        try:
            self.results.save(
                self.key,
                state.data,
                task_name=self.spec.name,
                run_id=context.run.id,
                seconds=time.time() - self.began_at,
                expiration_seconds=options.expiration_seconds,
                serializer=options.serializer,
            )
        except Exception as error:
            _warn_once(self.spec.name, error)
            return state
        finally:
            self.release()
        if options.in_memory:
            return state
        return state.with_data(Deferred(self.results.loader(self.key, options.serializer)))

    def release(self) -> None:
        """Let another run compute the result; again: nothing happens."""
        claim, self.claim = self.claim, None
        if claim is not None:
            claim.release()


def plan(results: Results, context: RunContext) -> Keeper | None:
    """The plan for a task run; None: its results are not kept."""
    spec: Any = context.spec
    if spec.results.keeper is not None:
        keeper: Keeper = spec.results.keeper
        return keeper
    if context.scope.origin_id:
        caller = current_run.get()
        if caller is not None:
            context.run.calls = caller.run.calls
    persist = spec.persist_result
    if persist is None:
        persist = spec.results.policy is not None or context.scope.persist
    if persist:
        return CachePlan(results, spec)
    return ResumePlan(results, spec) if may_resume(context) else None


_waiting_lock = threading.Lock()
_n_waiting: dict[ThreadPool, int] = {}  # pools with none are not in it


@contextmanager
def _waiting(computed_here: bool) -> Iterator[bool]:
    """Whether this thread may wait for a result, for as long as it does.

    The last thread of a pool may not: who computes the result may need it for tasks of its own. It
    is not lent either, as a wait for a future is: of a thousand equal tasks each would take one.
    """
    pool = current_pool()
    if pool is None or not computed_here:
        yield True
        return
    with _waiting_lock:
        n = _n_waiting.get(pool, 0)
        may_wait = n < pool.max_workers - 1
        if may_wait:
            _n_waiting[pool] = n + 1
    try:
        yield may_wait
    finally:
        if may_wait:
            with _waiting_lock:
                _n_waiting[pool] -= 1
                if not _n_waiting[pool]:
                    del _n_waiting[pool]


def _warn_once(task_name: str, error: Exception) -> None:
    about = (task_name, type(error).__name__)
    if about not in _warned:
        _warned.add(about)
        what = (
            str(error)
            if isinstance(error, Unfingerprintable)
            else f"{type(error).__name__}: {error}"
        )
        logger.warning("task %r runs without its cache: %s", task_name, what)

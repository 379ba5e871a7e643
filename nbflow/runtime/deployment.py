"""The deployment that the run around the caller belongs to: `id`, `name`, `version`, ...

Empty in runs that nobody deployed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from nbflow import wiring
from nbflow.engine.context import RunContext, current_run
from nbflow.model.deployments import DeploymentRecord, OrderRecord
from nbflow.settings import load_settings

_Facts = tuple[OrderRecord, DeploymentRecord]
_FACTS: dict[str, tuple[Callable[[_Facts], Any], Any]] = {
    "id": (lambda facts: facts[1].id, None),
    "name": (lambda facts: facts[1].name, None),
    "flow_name": (lambda facts: facts[1].flow_name, None),
    "version": (lambda facts: facts[1].version, None),
    "flow_run_id": (lambda facts: facts[0].run_id, None),
    "parameters": (lambda facts: dict(facts[0].parameters), {}),
    "tags": (lambda facts: list(facts[1].tags), []),
    "work_pool_name": (lambda facts: facts[1].pool, None),
}


def __getattr__(name: str) -> Any:
    if name not in _FACTS:
        raise AttributeError(
            f"module 'nbflow.runtime.deployment' has no {name!r}; it has {', '.join(_FACTS)}"
        )
    fact, empty = _FACTS[name]
    run_id = _outermost(current_run.get())
    facts = None if run_id is None else _facts_of(run_id)
    return empty if facts is None else fact(facts)


def _outermost(context: RunContext | None) -> str | None:
    """The run that the caller is in, or the one whose notebook it is a cell of."""
    if context is None:
        return load_settings().parent_run or None
    run = context.scope.run
    return context.run.id if run is None else run.id


@lru_cache(maxsize=64)
def _facts_of(run_id: str) -> _Facts | None:
    """Looked up by the runs around, as a flow may be called by the one that was deployed."""
    store = wiring.current().store
    for one in store.ancestors(run_id):
        order = store.order(one)
        found = store.deployments(ids=[order.deployment_id]) if order is not None else []
        if order is not None and found:
            return order, replace(found[0], snapshot=None)  # which may be large
    return None

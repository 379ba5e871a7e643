"""Who there is to run deployments, and why nobody begins what waits."""

from __future__ import annotations

from dataclasses import dataclass

from nbflow.model.deployments import DeploymentRecord
from nbflow.store.store import Store


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the workers of a pool begin nothing, and what is to be done about it."""

    text: str
    advice: str


class Runners:
    """Pools, their workers, and the processes that serve, as they are now. Reads the store once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pools = {one.name: one for one in store.pools()}
        self._manned = {one.pool for one in store.workers() if one.is_alive}

    def is_served(self, deployment: DeploymentRecord) -> bool:
        """Whether the process lives that serves it."""
        return bool(deployment.server_id) and self._store.is_alive(deployment.server_id)

    def has_pool(self, name: str) -> bool:
        """Whether there is a pool of this name."""
        return name in self._pools

    def trouble(self, name: str) -> Trouble | None:
        """What keeps the pool of this name from beginning runs; None: nothing does."""
        pool = self._pools.get(name)
        if pool is None:
            return Trouble(
                "there is no such pool",
                f"create it with `nbflow work-pool create --type process {name}`",
            )
        if pool.is_paused:
            return Trouble("the pool is paused", f"resume it with `nbflow work-pool resume {name}`")
        if pool.concurrency_limit == 0:
            return Trouble(
                "its limit is 0", f"lift it with `nbflow work-pool clear-concurrency-limit {name}`"
            )
        if name not in self._manned:
            return Trouble(
                "no worker is alive", f"start one with `nbflow worker start --pool {name}`"
            )
        return None

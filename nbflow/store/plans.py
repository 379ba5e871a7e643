"""The part of the store's facade that is about runs which were asked for: by schedules or people.

Every method waits for its commit (about 0.1 ms) or reads on the calling thread's connection. What
changes something that another process may wait for rings the bells.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from nbflow.model.deployments import (
    DeploymentRecord,
    DeploymentSpec,
    OrderRecord,
    PoolRecord,
    WorkerRecord,
)
from nbflow.model.records import RunRecord
from nbflow.model.schedules import Fire, ScheduleRecord, ScheduleSpec
from nbflow.store import (
    bells,
    crashes,
    deployments,
    firing,
    orders,
    owners,
    pools,
    queries,
    schedules,
    taking,
)
from nbflow.store.database import Database

T = TypeVar("T")
_DELETED = "What it is a run of was deleted."


class Plans:
    """Deployments, schedules, orders, pools and workers of one store folder."""

    _is_worker = False

    @property
    def folder(self) -> Path:
        raise NotImplementedError

    @property
    def database(self) -> Database:
        raise NotImplementedError

    @property
    def owner_id(self) -> str:
        raise NotImplementedError

    def _do(self, job: Callable[[sqlite3.Connection], T]) -> T:
        raise NotImplementedError

    # --- bells ----------------------------------------------------------------------------

    def bell(self) -> bells.Bell:
        """A bell that rings when something has changed here that a scheduler has to see."""
        return bells.Bell(self.folder)

    def revision(self) -> int:
        """A number that grows with every change of deployments, schedules and pools.

        Not with the fire times that are claimed.
        """
        return schedules.revision(self.database.reader())

    def is_alive(self, owner_id: str) -> bool:
        """Whether the process with this id still runs on this machine."""
        return owners.is_alive(self.folder, owner_id)

    def _declare(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Change what is declared, and ring."""

        def revised(connection: sqlite3.Connection) -> T:
            value = job(connection)
            schedules.revise(connection)
            return value

        return self._do_and_ring(revised)

    def _do_and_ring(self, job: Callable[[sqlite3.Connection], T]) -> T:
        value = self._do(job)
        bells.ring_all(self.folder)
        return value

    # --- deployments ----------------------------------------------------------------------

    def put_deployment(
        self,
        spec: DeploymentSpec,
        schedules: Sequence[ScheduleSpec],
        *,
        serve: bool = False,
        replace_schedules: bool = True,
    ) -> DeploymentRecord:
        """Declare a deployment, anew or again, with its schedules.

        Args:
            serve: This process sees to it itself.
            replace_schedules: Schedules of it that are not among these are deleted, with their
                waiting runs; False: all stay as they are, and these are not looked at.
        """
        server_id = self.owner_id if serve else None
        new = schedules if replace_schedules else None
        return self._declare(lambda c: _put(c, spec, new, server_id))

    def deployments(self, **filters: Any) -> list[DeploymentRecord]:
        """Deployments by name; see `deployments.listed` for the filters."""
        return deployments.listed(self.database.reader(), **filters)

    def find_deployment(self, name: str) -> DeploymentRecord:
        """One deployment by `flow/name`, its own name or its id.

        Raises:
            DeploymentNotFound, AmbiguousDeployment: It cannot be told which.
        """
        return deployments.find(self.database.reader(), name)

    def serve_deployment(self, deployment_id: str) -> None:
        """This process sees to it from now on, and workers do not while it lives."""
        server_id = self.owner_id
        self._declare(lambda c: deployments.serve(c, deployment_id, server_id))

    def unserve_deployment(self, deployment_id: str) -> None:
        """This process sees to it no longer."""
        server_id = self.owner_id
        self._declare(lambda c: deployments.unserve(c, deployment_id, server_id))

    def move_deployment(self, deployment_id: str, pool: str | None) -> None:
        """Give it, with its waiting runs, to the workers of a pool; None: to no worker."""
        self._declare(partial(deployments.move, deployment_id=deployment_id, pool=pool))

    def pause_deployment(
        self,
        deployment_id: str,
        paused: bool,
        *,
        next_at: Mapping[str, float | None] | None = None,
    ) -> None:
        """Begin no run of it and fire none of its schedules, or do so again.

        Args:
            next_at: Of its schedules, by their ids, when it goes on: without it the fire times
                that have passed meanwhile count as missed.
        """

        def pause(connection: sqlite3.Connection) -> None:
            deployments.pause(connection, deployment_id, paused)
            schedules.move(connection, next_at or {})

        self._declare(pause)

    def delete_deployment(self, deployment_id: str) -> None:
        """Delete it with its schedules. Its runs stay; those that wait become Cancelled."""

        def delete(connection: sqlite3.Connection) -> None:
            deployments.delete(connection, deployment_id)
            orders.cancel_waiting(connection, deployment_id=deployment_id, message=_DELETED)
            found = schedules.listed(connection, deployment_ids=[deployment_id])
            schedules.delete(connection, [one.id for one in found])

        self._declare(delete)

    # --- schedules ------------------------------------------------------------------------

    def schedules(
        self, *, deployment_ids: Collection[str] | None = None, pool: str | None = None
    ) -> list[ScheduleRecord]:
        """Schedules by name: all, or of some deployments, or of those of a pool."""
        reader = self.database.reader()
        return schedules.listed(reader, deployment_ids=deployment_ids, pool=pool)

    def find_schedule(self, name: str) -> ScheduleRecord:
        """One schedule by its id, `flow/deployment/schedule`, or any name that only it fits.

        Raises:
            ScheduleNotFound: None fits, or several do.
        """
        return schedules.find(self.database.reader(), name)

    def pause_schedule(
        self, schedule_id: str, paused: bool, *, next_at: float | None = None
    ) -> None:
        """Let it rest, or go on with `next_at` as its next fire time."""
        self._declare(lambda c: schedules.pause(c, schedule_id, paused, next_at))

    def delete_schedule(self, schedule_id: str) -> None:
        """Delete it. Its runs stay; those that wait become Cancelled."""
        self._declare(lambda c: _delete_schedules(c, [schedule_id]))

    def fire(
        self, fires: Sequence[Fire], *, start: bool, limit: int | None = None
    ) -> list[orders.Fired]:
        """Claim fire times, in one transaction; see `firing.fire`."""
        owner_id = self.owner_id
        fired = self._do(lambda c: firing.fire(c, fires, owner_id, start=start, limit=limit))
        if any(len(one.taken) < len(one.orders) or one.cancel for one in fired):
            bells.ring_all(self.folder)  # who has claimed and begun all has told nobody any news
        return fired

    # --- orders ---------------------------------------------------------------------------

    def add_order(self, deployment_id: str, **options: Any) -> OrderRecord:
        """Ask for one run of a deployment; see `orders.add` for the options.

        Raises:
            DeploymentNotFound: There is none with this id.
        """
        return self._do_and_ring(lambda c: orders.add(c, deployment_id, **options))

    def take_orders(
        self,
        *,
        deployment_ids: Collection[str] | None = None,
        pool: str | None = None,
        limit: int | None = None,
    ) -> list[OrderRecord]:
        """Give this process the orders that are due and may begin; see `taking.take`."""
        reader = self.database.reader()
        if not taking.is_any_due(reader, deployment_ids=deployment_ids, pool=pool):
            return []  # the usual case: no write lock taken
        owner_id = self.owner_id
        return self._do(
            partial(
                taking.take,
                owner_id=owner_id,
                deployment_ids=deployment_ids,
                pool=pool,
                limit=limit,
            )
        )

    def next_order_at(
        self,
        *,
        deployment_ids: Collection[str] | None = None,
        pool: str | None = None,
        after: float | None = None,
    ) -> float | None:
        """When the first of the orders that are due after an instant may begin; None: none is.

        Args:
            after: Seconds since the epoch; None: now.
        """
        return orders.next_at(
            self.database.reader(), deployment_ids=deployment_ids, pool=pool, after=after
        )

    def adopt_order(self, run_id: str, from_owner: str) -> OrderRecord | None:
        """Take a run over from the process that started this one; None: it is not ours to run."""
        owner_id = self.owner_id

        def adopt(connection: sqlite3.Connection) -> OrderRecord | None:
            if not orders.adopt(connection, run_id, from_owner, owner_id):
                return None
            found = orders.listed(connection, run_ids=[run_id])
            return found[0] if found else None

        return self._do(adopt)

    def order(self, run_id: str) -> OrderRecord | None:
        """The order of a run; None: nobody asked for the run, it was called."""
        found = orders.listed(self.database.reader(), run_ids=[run_id])
        return found[0] if found else None

    def orders(
        self,
        *,
        deployment_id: str | None = None,
        schedule_id: str | None = None,
        limit: int = 50,
    ) -> list[tuple[OrderRecord, RunRecord]]:
        """Orders with their runs, newest first."""
        reader = self.database.reader()
        found = orders.listed(
            reader, deployment_id=deployment_id, schedule_id=schedule_id, limit=limit
        )
        runs = queries.by_ids(reader, [one.run_id for one in found])
        return [(one, runs[one.run_id]) for one in found if one.run_id in runs]

    def cancel_waiting(self, run_id: str) -> bool:
        """Cancel a run that nobody has begun; False: somebody has, or it has ended."""
        message = "It was cancelled before it began."
        job = partial(orders.cancel_waiting, run_ids=[run_id], message=message)
        return bool(self._do_and_ring(job))

    def crash_run(
        self, run_id: str, owner_id: str, reason: str, *, is_cancelled: bool = False
    ) -> RunRecord:
        """End a run whose process died; see `crashes.crash_run`. Gives it as it is then.

        It waits again where its order has tries left. Of a run that is not this owner's any more,
        or has ended, nothing changes.
        """

        def crash(connection: sqlite3.Connection) -> None:
            crashes.crash_run(connection, run_id, owner_id, reason, is_cancelled=is_cancelled)

        self._do_and_ring(crash)
        return queries.find(self.database.reader(), run_id, self.database.path)

    def claim_once(self, run_id: str, what: str) -> bool:
        """True for exactly one caller, of all processes and for ever."""
        return self._do(lambda c: orders.claim_once(c, run_id, what))

    # --- pools and workers ----------------------------------------------------------------

    def create_pool(self, name: str, kind: str, limit: int | None = None) -> None:
        """Create a work pool.

        Raises:
            PoolExists: There is one of this name and another type.
        """
        self._declare(lambda c: pools.create(c, name, kind, limit))

    def pools(self) -> list[PoolRecord]:
        """Every pool by name."""
        return pools.listed(self.database.reader())

    def find_pool(self, name: str) -> PoolRecord:
        """One pool.

        Raises:
            PoolNotFound: There is none of this name.
        """
        return pools.find(self.database.reader(), name)

    def pause_pool(self, name: str, paused: bool) -> None:
        """Begin no run of a pool, or do so again."""
        self._declare(lambda c: pools.pause(c, name, paused))

    def limit_pool(self, name: str, limit: int | None) -> None:
        """Let so many runs of a pool run at a time; None: any number."""
        self._declare(lambda c: pools.limit(c, name, limit))

    def delete_pool(self, name: str) -> None:
        """Delete a pool. Its deployments stay, and wait for another of its name."""
        self._declare(lambda c: pools.delete(c, name))

    def register_worker(self, name: str, pool: str, limit: int | None = None) -> None:
        """This process is a worker. From now on it listens for requests all the time.

        Raises:
            PoolNotFound: There is no such pool.
        """
        owner_id = self.owner_id
        self._is_worker = True

        def register(connection: sqlite3.Connection) -> None:
            pools.find(connection, pool)
            pools.register(connection, owner_id, name, pool, limit)

        self._do(register)

    def worker_heartbeat(self) -> None:
        """This worker lives."""
        owner_id = self.owner_id
        self._do(lambda c: pools.beat(c, owner_id))

    def unregister_worker(self) -> None:
        """This process is a worker no longer."""
        owner_id = self.owner_id
        self._is_worker = False
        self._do(lambda c: pools.unregister(c, owner_id))

    def workers(self, pool: str | None = None) -> list[WorkerRecord]:
        """Workers, of all pools or of one, the oldest first; dead ones until they are reaped."""
        return pools.workers(self.database.reader(), pool, self.is_alive)


def _put(
    connection: sqlite3.Connection,
    spec: DeploymentSpec,
    new: Sequence[ScheduleSpec] | None,
    server_id: str | None,
) -> DeploymentRecord:
    deployment_id = deployments.put(connection, spec)
    if server_id is not None:
        deployments.serve(connection, deployment_id, server_id)
    if new is not None:
        _delete_schedules(connection, schedules.replace(connection, deployment_id, new))
    return deployments.listed(connection, ids=[deployment_id])[0]


def _delete_schedules(connection: sqlite3.Connection, ids: Iterable[str]) -> None:
    gone = list(ids)
    if gone:
        orders.cancel_waiting(connection, schedule_ids=gone, message=_DELETED)
        schedules.delete(connection, gone)

"""Deployments as users declare them, checked now and not when their first run begins."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nbflow import wiring
from nbflow.errors import InvalidOption, InvalidSchedule, NbflowError
from nbflow.model.deployments import DeploymentKind, DeploymentRecord, DeploymentSpec, PoolRecord
from nbflow.model.options import OptionChecks
from nbflow.model.schedules import ScheduleSpec
from nbflow.model.specs import FlowSpec
from nbflow.results.sealing import purpose_of, seal
from nbflow.schedules import Schedule, schedule_from
from nbflow.scheduling.addresses import check_addresses
from nbflow.scheduling.kept_parameters import check_json, check_parameters, plain
from nbflow.scheduling.serving import LiveFlow
from nbflow.scheduling.snapshots import script_target, sealed_flow
from nbflow.scheduling.telling import times_from_now
from nbflow.settings import notebook_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A flow with the name, parameters and schedules under which others may run it.

    Attributes:
        spec: What it is, without its snapshot.
        schedules: When it runs by itself.
        flow: None: it is a notebook, or comes from the command line.
        notebook: JSON text of the notebook it runs.
        is_paused: None: as it is in the store.
    """

    spec: DeploymentSpec
    schedules: tuple[Schedule, ...] = ()
    flow: LiveFlow | None = None
    notebook: str | None = field(default=None, repr=False)
    is_paused: bool | None = None

    @property
    def full_name(self) -> str:
        """`flow/deployment`, as commands take it."""
        return self.spec.full_name

    @property
    def name(self) -> str:
        return self.spec.name

    def apply(self, pool: str | None = None, *, serve: bool = False) -> DeploymentRecord:
        """Write it to the store, in place of one of the same names. Waits for the commit.

        Args:
            pool: Work pool whose workers run it; None: the one it was declared with, if any.
            serve: Mark it as served by this process. Serving it is the caller's business.

        Raises:
            PoolNotFound: There is no such pool; says how to create it.
            NotPicklable: The flow uses something that cannot go to another process; names it.
            StoreError, ResultUnreadable: It cannot be written.
        """
        store = wiring.current().store
        spec = self.sealed(pool).spec
        record = store.put_deployment(spec, self.schedule_specs(time.time()), serve=serve)
        if self.is_paused is not None and self.is_paused is not record.is_paused:
            next_at = times_from_now(store.schedules(deployment_ids=[record.id]), time.time())
            store.pause_deployment(record.id, self.is_paused, next_at=next_at)
            record = replace(record, is_paused=self.is_paused)
        return record

    def sealed(self, pool: str | None = None) -> Deployment:
        """It with its code as the workers of a pool need it: what else `apply` may raise.

        Raises:
            PoolNotFound, NotPicklable, ResultUnreadable: As `apply`.
        """
        store = wiring.current().store
        spec = self.spec if pool is None else replace(self.spec, pool=pool)
        if spec.pool is not None:
            check_pool(spec, store.find_pool(spec.pool))
        if spec.snapshot is None and (spec.pool is not None or self.notebook is not None):
            spec = replace(spec, snapshot=self._snapshot(spec, store.folder))
        return replace(self, spec=spec)

    def schedule_specs(self, now: float) -> list[ScheduleSpec]:
        """Its schedules as the store takes them; those without a name get one."""
        several = len(self.schedules) > 1
        return [
            one.spec(f"{self.spec.name}-{n}" if several else self.spec.name, now)
            for n, one in enumerate(self.schedules, 1)
        ]

    def _snapshot(self, spec: DeploymentSpec, folder: Path) -> bytes | None:
        if self.notebook is not None:
            return seal(purpose_of(spec), self.notebook.encode(), folder)
        if spec.kind is DeploymentKind.FUNCTION and self.flow is not None:
            return sealed_flow(self.flow.newest_spec.owner, spec, folder)
        return None


def declare(
    flow: LiveFlow,
    name: str,
    *,
    schedules: Sequence[Schedule] = (),
    parameters: Mapping[str, Any] | None = None,
    tags: Iterable[str] | None = None,
    description: str | None = None,
    version: str | None = None,
    concurrency_limit: int | None = None,
    paused: bool | None = None,
    work_pool_name: str | None = None,
    notify: str | Iterable[str] | None = None,
    retries: int | None = None,
    target: str | None = None,
    folder: str | None = None,
    place: str | None = None,
) -> Deployment:
    """A deployment of a flow. Nothing is written before it is applied.

    Args:
        target: `/path/file.py:flow` where the flow is found; None: it is looked for.
        retries: How often a run whose process died is run again; None: as often as the flow says
            that it is tried again.
        folder: Working directory of its runs; None: this process' own.
        place: The notebook or script that declares it; None: this process' notebook, or the flow's
            script.

    Raises:
        InvalidOption: An option does not take its value.
        ParameterError: The parameters do not fit the flow, or could not be kept.
    """
    spec = flow.newest_spec
    checks = OptionChecks(f"deployment of {spec.name!r}")
    if spec.colour.yields:
        raise NbflowError(
            f"flow {spec.name!r} cannot be deployed: it is a generator, which needs a caller that "
            "takes what it yields; return a value instead"
        )
    target = target or script_target(spec)
    delays = spec.retry.delays_seconds
    kept = check_parameters(spec, parameters or {})
    for one in schedules:
        check_parameters(spec, {**kept, **one.parameters}, is_complete=True)
    return Deployment(
        spec=_spec(
            checks,
            flow_name=spec.name,
            name=name,
            kind=DeploymentKind.FUNCTION if target is None else DeploymentKind.SCRIPT,
            target=target or _origin(spec),
            folder=os.path.abspath(folder or os.getcwd()),
            pool=work_pool_name,
            place=_place(target) if place is None else place,
            parameters=kept,
            tags=tags,
            description=spec.description if description is None else description,
            version=spec.version if version is None else version,
            retries=spec.retry.retries if retries is None else retries,
            retry_delay_seconds=delays[0] if delays else 0.0,
            concurrency_limit=concurrency_limit,
            notify=notify,
        ),
        schedules=_named_apart(checks, schedules),
        flow=flow,
        is_paused=checks.flag("paused", paused),
    )


def declare_notebook(
    path: str,
    notebook: str,
    name: str,
    *,
    flow_name: str | None = None,
    schedules: Sequence[Schedule] = (),
    parameters: Mapping[str, Any] | None = None,
    tags: Iterable[str] | None = None,
    description: str | None = None,
    version: str | None = None,
    concurrency_limit: int | None = None,
    paused: bool | None = None,
    work_pool_name: str | None = None,
    notify: str | Iterable[str] | None = None,
    retries: int = 0,
    autotask: bool = False,
    folder: str | None = None,
    place: str | None = None,
) -> Deployment:
    """A deployment of a notebook as it is now, whatever becomes of its file.

    Args:
        path: The notebook's file; it names the flow and the folder of its runs.
        notebook: Its JSON text, without outputs.

    Raises:
        InvalidOption, ParameterError: As `declare`.
    """
    path = os.path.abspath(path)
    flow_name = flow_name or Path(path).stem
    checks = OptionChecks(f"deployment of {flow_name!r}")
    given = {**(parameters or {})}
    for one in (given, *(schedule.parameters for schedule in schedules)):
        check_json(flow_name, one)
    return Deployment(
        spec=_spec(
            checks,
            flow_name=flow_name,
            name=name,
            kind=DeploymentKind.NOTEBOOK,
            target=path,
            folder=os.path.abspath(folder or os.path.dirname(path)),
            pool=work_pool_name,
            place=path if place is None else place,
            parameters=plain(given),
            tags=tags,
            description=description,
            version=version,
            retries=retries,
            retry_delay_seconds=0.0,
            concurrency_limit=concurrency_limit,
            notify=notify,
            autotask=autotask,
        ),
        schedules=_named_apart(checks, schedules),
        notebook=notebook,
        is_paused=checks.flag("paused", paused),
    )


def schedules_from(schedules: Iterable[Schedule] | None, **options: Any) -> list[Schedule]:
    """The schedules of a call that takes several by `schedules=`, or one by other options.

    Raises:
        InvalidSchedule: They contradict each other, or do not take their values.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if schedules is None:
        one = schedule_from(**given)
        return [] if one is None else [one]
    if given:
        raise InvalidSchedule(
            "schedules", schedules, f"{', '.join(given)} cannot be given beside it; say it in each"
        )
    found: list[Schedule] = [schedules] if isinstance(schedules, Schedule) else list(schedules)
    for one in found:
        if not isinstance(one, Schedule):
            raise InvalidSchedule(
                "schedules", one, "give a list such as [Cron('0 8 * * *'), Interval('6h')]"
            )
    return found


def _spec(
    checks: OptionChecks,
    *,
    name: Any,
    tags: Any,
    concurrency_limit: Any,
    notify: Any,
    retries: Any,
    pool: Any,
    description: Any,
    version: Any,
    **others: Any,
) -> DeploymentSpec:
    """The spec, of options that have been looked at."""
    owner = checks._owner
    if not isinstance(name, str) or not name.strip() or "/" in name:
        raise InvalidOption(owner, "name", name, "a name without '/', such as 'daily'")
    if pool is not None and (not isinstance(pool, str) or not pool):
        raise InvalidOption(owner, "work_pool_name", pool, "the name of a work pool")
    if concurrency_limit is not None and not _is_count(concurrency_limit, 1):
        raise InvalidOption(
            owner, "concurrency_limit", concurrency_limit, "a whole number from 1 on"
        )
    if not _is_count(retries, 0):
        raise InvalidOption(owner, "retries", retries, "a whole number from 0 on")
    return DeploymentSpec(
        name=name,
        pool=pool,
        tags=tuple(sorted(checks.tags(tags))),
        description=checks.text("description", description),
        version=checks.text("version", version),
        concurrency_limit=concurrency_limit,
        notify=_addresses(owner, notify),
        retries=retries,
        **others,
    )


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _addresses(owner: str, notify: str | Iterable[str] | None) -> tuple[str, ...]:
    return check_addresses(notify, owner) if notify else ()


def _named_apart(checks: OptionChecks, schedules: Sequence[Schedule]) -> tuple[Schedule, ...]:
    names = [one.name for one in schedules if one.name]
    for name in names:
        if names.count(name) > 1:
            raise InvalidOption(
                checks._owner, "schedules", name, "schedules with a name of their own each"
            )
    return tuple(schedules)


def check_pool(spec: DeploymentSpec, pool: PoolRecord) -> None:
    if pool.kind == "notebook" and spec.kind is not DeploymentKind.NOTEBOOK:
        raise NbflowError(
            f"work pool {pool.name!r} is of type notebook, which runs notebooks only; deploy flow "
            f"{spec.flow_name!r} to one of type process "
            "(`nbflow work-pool create --type process NAME`)"
        )


def _place(target: str | None) -> str:
    """What a new kernel finds its own deployments by: its notebook, else the flow's script."""
    module = sys.modules.get("IPython")
    if module is not None and module.get_ipython() is not None:
        path = notebook_path() or getattr(sys.modules["__main__"], "__vsc_ipynb_file__", "")
        return os.path.join(os.getcwd(), path)
    return target.rpartition(":")[0] if target else ""


def _origin(spec: FlowSpec) -> str:
    """For people: where a flow without a file comes from."""
    return _place(None) or getattr(spec.fn, "__module__", None) or "interactive"

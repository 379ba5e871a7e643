"""Flows that others than their caller run: how to run them, where, and the runs asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class DeploymentKind(StrEnum):
    """Where a deployment's code comes from."""

    SCRIPT = "script"  #: `target` is /path/file.py:flow, read anew for each run
    FUNCTION = "function"  #: `snapshot` holds the flow itself, sealed
    NOTEBOOK = "notebook"  #: `snapshot` holds a notebook, sealed; run in a fresh kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSpec:
    """What a user declared about one deployment.

    Attributes:
        target: /path/file.py:flow, or the path of the notebook it comes from; for people otherwise.
        snapshot: Its code as sealed by `results.sealing`; None for a script.
        folder: Working directory of its runs.
        pool: Work pool whose workers run it; None: only the process that serves it does.
        place: The notebook or script that declared it, by which a new kernel finds its own again.
        retries: How often a run whose process died is run again.
        retry_delay_seconds: Wait before that.
        concurrency_limit: How many of its runs at a time; None: any number.
        autotask: Of a notebook: whether every cell is a task.
        notify: Where to tell of failure, recovery and lateness; addresses as apprise takes them.
    """

    flow_name: str
    name: str
    kind: DeploymentKind
    target: str
    folder: str
    snapshot: bytes | None = field(default=None, repr=False)
    pool: str | None = None
    place: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    description: str | None = None
    version: str | None = None
    retries: int = 0
    retry_delay_seconds: float = 0.0
    concurrency_limit: int | None = None
    autotask: bool = False
    notify: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """`flow/deployment`, as commands take it."""
        return f"{self.flow_name}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentRecord(DeploymentSpec):
    """A deployment as the store has it. All `_at` are seconds since the epoch.

    Attributes:
        server_id: The process that serves it, by its owner id; empty: none does.
        is_paused: Whether no run of it begins and none of its schedules fires.
    """

    id: str
    server_id: str = ""
    is_paused: bool = False
    created_at: float = 0.0
    updated_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRecord:
    """A run of a deployment that was asked for: by a schedule, a person or a flow.

    Attributes:
        run_id: The flow run, which is in the store from the moment it was asked for.
        run_name: Its friendly name.
        schedule_id: None: no schedule asked for it.
        cause: See `Firing`; empty where no schedule asked for it.
        scheduled_at: The planned time.
        due_at: Not to be begun before.
        pool: Of its deployment when it was asked for.
        parameters: The deployment's, the schedule's and its own, merged.
        state_name: Of the flow run.
        message: Of the flow run's state.
        run_count: Tries begun so far, by processes that died.
        retries_left: How often it is run again when its process dies.
        origin_id: The run that it goes on from, whose kept results it uses; None: from nothing.
    """

    run_id: str
    run_name: str
    deployment_id: str
    schedule_id: str | None
    cause: str
    scheduled_at: float
    due_at: float
    pool: str | None
    parameters: Mapping[str, Any]
    tags: tuple[str, ...]
    state_name: str
    message: str
    run_count: int
    retries_left: int
    origin_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRecord:
    """A work pool.

    Attributes:
        kind: How its workers run things, such as "process" or "notebook".
        concurrency_limit: How many runs at a time, of all its workers; None: any number.
        n_waiting: Runs that are due and not begun.
        n_running: Runs that a worker has begun.
    """

    name: str
    kind: str
    concurrency_limit: int | None
    is_paused: bool
    created_at: float
    n_waiting: int = 0
    n_running: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """A worker that lives, or has lived.

    Attributes:
        id: Its process' owner id.
        heartbeat_at: When it last said that it lives. For people; whether it does live, its file
            lock tells.
        limit: How many runs at a time; None: any number.
    """

    id: str
    name: str
    pool: str
    limit: int | None
    host: str
    pid: int
    started_at: float
    heartbeat_at: float
    is_alive: bool

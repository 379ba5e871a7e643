"""One execution of a flow or a task, as the engine carries it and as hooks see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from nbflow.model.calls import Calls
from nbflow.model.ids import new_id
from nbflow.model.states import State, StateType

if TYPE_CHECKING:
    from nbflow.model.specs import Spec

_PENDING = StateType.PENDING


class RunKind(StrEnum):
    FLOW = "flow"
    TASK = "task"


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointment:
    """A flow run that is in the store before it begins, because it was asked for earlier.

    Attributes:
        scheduled_at: The planned time, in seconds since the epoch.
        run_count: Tries begun so far, by processes that died.
        origin_id: The run whose kept results it uses; None: its own of earlier tries.
        deployment_id, deployment_name: What it is a run of; empty: of no deployment.
        is_resumable: Whether what its tasks give is kept, so that it can go on after a failure.
        source: See `Run`.
    """

    run_id: str
    name: str
    scheduled_at: float | None = None
    tags: frozenset[str] = frozenset()
    run_count: int = 0
    origin_id: str | None = None
    deployment_id: str = ""
    deployment_name: str = ""
    is_resumable: bool = False
    source: Mapping[str, Any] | None = None


@dataclass(slots=True, eq=False, repr=False)
class Run:
    """A flow run or a task run. Only the protocol changes it, by entering states.

    Attributes:
        name: Friendly name of a flow run, `<task>-<n>` of a task run.
        parent_id: The run in which this one was called, if any.
        flow_run_id: The flow run it belongs to; its own id for a flow run.
        run_count: Number of tries begun.
        parameters: The arguments by name, while the run lives; dropped when it ends so that a
            finished run keeps nothing alive.
        inputs: A short description of the arguments, for people.
        upstream: Ids of the task runs whose results it was given.
        appointment: Of a flow run that was asked for earlier.
        source: How an outermost flow run was started, as JSON; by it `nbflow resume` starts it
            again. None: nobody can tell.
        calls: The calls that are made in it, while it lives; None: no other run goes on from it.
    """

    kind: RunKind
    spec: Spec
    name: str = ""
    parent_id: str | None = None
    flow_run_id: str | None = None
    tags: frozenset[str] = frozenset()
    id: str = field(default_factory=new_id)
    state: State = field(default_factory=lambda: State(_PENDING, "Pending"))
    run_count: int = 0
    parameters: dict[str, Any] | None = None
    inputs: dict[str, Any] | None = None
    upstream: tuple[str, ...] = ()
    created_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    scheduled_at: float | None = None
    appointment: Appointment | None = None
    source: Mapping[str, Any] | None = None
    calls: Calls | None = None

    def __post_init__(self) -> None:
        self.created_at = self.state.at
        if self.flow_run_id is None and self.kind is RunKind.FLOW:
            self.flow_run_id = self.id

    @property
    def label(self) -> str:
        """How a log line names the run."""
        return f"{'Flow' if self.kind is RunKind.FLOW else 'Task'} run {self.name!r}"

    @property
    def start_time(self) -> datetime | None:
        """When the first try began, in UTC."""
        return None if self.started_at is None else datetime.fromtimestamp(self.started_at, UTC)

    @property
    def end_time(self) -> datetime | None:
        """When the run reached a final state, in UTC."""
        return None if self.ended_at is None else datetime.fromtimestamp(self.ended_at, UTC)

    @property
    def seconds(self) -> float | None:
        """Time from the first try to the end; None while it has not ended."""
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at

    @property
    def flow_name(self) -> str | None:
        return self.spec.name if self.kind is RunKind.FLOW else None

    @property
    def task_name(self) -> str | None:
        return self.spec.name if self.kind is RunKind.TASK else None

    def __repr__(self) -> str:
        kind = "FlowRun" if self.kind is RunKind.FLOW else "TaskRun"
        return f"{kind}({self.name!r}, {self.spec.name}, {self.state.name})"

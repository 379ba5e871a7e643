"""One execution of a flow or a task, as the engine carries it and as hooks see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from nbflow.model.ids import new_id
from nbflow.model.states import State, StateType

if TYPE_CHECKING:
    from nbflow.model.specs import Spec

_PENDING = StateType.PENDING


class RunKind(StrEnum):
    FLOW = "flow"
    TASK = "task"


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

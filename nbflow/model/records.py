"""What the store gives back about runs that may belong to any process."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from nbflow.model.runs import RunKind
from nbflow.model.states import FINAL_TYPES, StateType


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One row of the runs table. All `_at` are seconds since the epoch.

    Attributes:
        spec_name: Name of the flow or task it is a run of.
        owner_id: The process that carries it out; empty: nobody does yet.
        origin_id: The run that it goes on from, whose kept results it uses; None: from nothing.
        source: How it was started, so that it can be again; None: it is not known.
        n_tasks: Number of task runs directly in it, by state name; only for flow runs.
    """

    id: str
    kind: RunKind
    spec_name: str
    name: str
    parent_id: str | None
    flow_run_id: str | None
    owner_id: str
    state_type: StateType
    state_name: str
    message: str
    run_count: int
    created_at: float
    started_at: float | None
    ended_at: float | None
    scheduled_at: float | None
    tags: list[str]
    inputs: dict[str, Any]
    upstream: list[str]
    origin_id: str | None = None
    source: dict[str, Any] | None = None
    n_tasks: dict[str, int] = field(default_factory=dict)

    @property
    def is_final(self) -> bool:
        return self.state_type in FINAL_TYPES

    @property
    def seconds(self) -> float | None:
        """Time from the first try to the end, or None while it has not ended."""
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at

    @property
    def label(self) -> str:
        """How a log line names the run."""
        return f"{'Flow' if self.kind is RunKind.FLOW else 'Task'} run {self.name!r}"


@dataclass(frozen=True, slots=True)
class LineRecord:
    """One line about a run: something it logged, or a state it entered.

    Attributes:
        seq: Grows with every line that is written; lines of one run keep their order.
        level: A level of `logging`; 0 for a state.
        state_name: The state entered; None for a log line.
    """

    seq: int
    run_id: str
    at: float
    level: int
    logger: str
    message: str
    state_name: str | None = None
    state_type: StateType | None = None


@dataclass(frozen=True, slots=True)
class LimitRecord:
    """A concurrency limit and who holds it now.

    Attributes:
        decay_per_second: Slots that come free by themselves; None: only by release.
        n_active: Slots taken now.
        holders: (run id or '', slots) of each holder.
    """

    name: str
    limit: int
    decay_per_second: float | None
    n_active: int
    holders: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class ArtifactRecord:
    """Something a run left for people to look at."""

    id: str
    key: str | None
    kind: str
    data: Any
    description: str | None
    run_id: str | None
    flow_run_id: str | None
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """A kept result, without its value. All `_at` are seconds since the epoch.

    Attributes:
        group: By which entries of one family are found; None: of no family.
        expires_at: When it is no longer used; None: never.
        used_at: Of its last hit, or of its making.
        seconds: How long it took to make.
        seconds_saved: What its hits have saved so far.
        run_id: The run that made it.
    """

    key: str
    task_name: str
    group: str | None
    size_bytes: int
    created_at: float
    expires_at: float | None
    used_at: float
    hits: int
    seconds: float
    seconds_saved: float
    run_id: str


def as_utc(at: float | None) -> datetime | None:
    """Epoch seconds as an aware UTC datetime."""
    return None if at is None else datetime.fromtimestamp(at, UTC)

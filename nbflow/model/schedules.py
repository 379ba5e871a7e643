"""What a user declared about when a flow runs. The triggers themselves are `nbflow.triggers`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class CatchUp(StrEnum):
    """What becomes of fire times that nobody was there for. All of them are recorded."""

    SKIP = "skip"  #: none of them runs
    LATEST = "latest"  #: the latest runs, if it is not older than a day
    ALL = "all"  #: every one runs, in order


class Overlap(StrEnum):
    """What becomes of a fire time while an earlier run of the schedule has not ended."""

    SKIP = "skip"  #: it is recorded as Skipped
    QUEUE = "queue"  #: it runs when the earlier one has ended
    CANCEL = "cancel"  #: the earlier run is cancelled, then it runs
    ALLOW = "allow"  #: both run


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSpec:
    """One schedule of a deployment. All `_at` are seconds since the epoch.

    Attributes:
        name: Unique within its deployment.
        trigger: JSON form of a trigger, see `triggers.load`.
        first_at: Its first fire time from now on; None: it has none, or waits for an event.
        parameters: On top of the deployment's.
        jitter_seconds: A run begins up to this much after its fire time.
        until_at: No fire time comes after it; None: there is no end.
        is_active: None: as it is in the store, or active if it is new.
    """

    name: str
    trigger: Mapping[str, Any]
    first_at: float | None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    catch_up: CatchUp = CatchUp.LATEST
    overlap: Overlap = Overlap.SKIP
    jitter_seconds: float = 0.0
    until_at: float | None = None
    is_active: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRecord:
    """A schedule as the store has it.

    Attributes:
        next_at: The first fire time that nobody has claimed; None: there is none, or it waits
            for an event.
    """

    id: str
    deployment_id: str
    name: str
    trigger: Mapping[str, Any]
    parameters: Mapping[str, Any]
    catch_up: CatchUp
    overlap: Overlap
    jitter_seconds: float
    until_at: float | None
    is_active: bool
    next_at: float | None
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """One fire time of a schedule that has come, or one event.

    Attributes:
        cause: What makes it happen once: the fire time as text, or what the event was.
        fire_at: The planned time.
        due_at: When the run may begin: the planned time and the jitter.
        state: Name of the state its run is created in: Scheduled, Late or Missed.
        message: What its run says about it.
    """

    cause: str
    fire_at: float
    due_at: float
    state: str = "Scheduled"
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fire:
    """Fire times of one schedule to claim, all or none.

    Attributes:
        expected_at: The schedule's `next_at` as it was read; where it has become another, somebody
            else was faster and nothing is claimed. None: an event, claimed by its cause alone.
        firings: In the order of their times.
        next_at: The schedule's new `next_at`.
    """

    schedule_id: str
    expected_at: float | None
    firings: tuple[Firing, ...]
    next_at: float | None

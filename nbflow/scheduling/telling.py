"""Schedules and deployments in words, for the command line and for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from nbflow.console import duration
from nbflow.model.deployments import DeploymentRecord
from nbflow.model.records import RunRecord
from nbflow.model.schedules import CatchUp, Overlap, ScheduleRecord
from nbflow.model.states import StateType
from nbflow.scheduling.runners import Runners
from nbflow.triggers.events import AfterTrigger, FilesTrigger
from nbflow.triggers.loading import load
from nbflow.triggers.preview import next_times, told

_N_NEXT = 5
_N_LAST = 5
_MOST_LETTERS = 80  # of a run's message, which may be a whole statement of SQL
_CATCH_UPS = {
    CatchUp.SKIP: "fire times that are missed do not run",
    CatchUp.LATEST: "of fire times that are missed the latest runs",
    CatchUp.ALL: "fire times that are missed all run",
}
_OVERLAPS = {
    Overlap.SKIP: "a fire time is skipped while a run goes on",
    Overlap.QUEUE: "a fire time waits while a run goes on",
    Overlap.CANCEL: "a fire time cancels the run that goes on",
    Overlap.ALLOW: "runs may go on beside each other",
}


def schedule_text(
    schedule: ScheduleRecord,
    deployment: DeploymentRecord,
    runs: Sequence[RunRecord],
    now: float,
    runners: Runners | None = None,
) -> str:
    """A schedule in words, its next five fire times with their UTC offsets, and its last runs.

    Args:
        runs: Of this schedule, newest first; at most five are told.
        runners: As `runner_text` takes it.
    """
    lines = [f"{schedule.name}: {words(schedule)}"]
    rows = list(_rows(schedule, deployment, runs, now, runner_text(deployment, runners)))
    width = max(len(label) for label, _ in rows)
    for label, texts in rows:
        for n, text in enumerate(texts):
            lines.append(f"  {'' if n else label:<{width}}  {text}")
    return "\n".join(lines)


def words(schedule: ScheduleRecord) -> str:
    """When it fires, in words, with its zone."""
    return load(schedule.trigger).words()


def next_fire_times(
    schedule: ScheduleRecord, now: float, n: int = _N_NEXT, *, is_paused: bool = False
) -> list[float]:
    """The next fire times, in seconds since the epoch; none while it is paused.

    Args:
        is_paused: Whether its deployment is.
    """
    if is_paused or not schedule.is_active:
        return []
    return next_times(load(schedule.trigger), n, now, schedule.until_at)


def times_from_now(schedules: Iterable[ScheduleRecord], now: float) -> dict[str, float | None]:
    """By the ids of schedules, when each fires first if it goes on now after a pause.

    What `Store.pause_deployment` and `pause_schedule` take, so that what fell into the pause does
    not count as missed.
    """
    found: dict[str, float | None] = {}
    for one in schedules:
        times = next_times(load(one.trigger), 1, now, one.until_at)
        found[one.id] = times[0] if times else None
    return found


def next_text(schedule: ScheduleRecord, now: float, *, is_paused: bool = False) -> str:
    """Its next fire time, or why there is none."""
    if is_paused or not schedule.is_active:
        return "paused"
    trigger = load(schedule.trigger)
    if isinstance(trigger, AfterTrigger | FilesTrigger):
        return "waits"
    times = next_times(trigger, 1, now, schedule.until_at)
    return told(times[0], trigger.timezone) if times else "never again"


def runner_text(deployment: DeploymentRecord, runners: Runners | None = None) -> str:
    """Who runs a deployment.

    Args:
        runners: Who there is; None: as far as the deployment says itself.
    """
    pool = f"workers of pool {deployment.pool!r}" if deployment.pool else ""
    if runners is not None and deployment.pool and (trouble := runners.trouble(deployment.pool)):
        pool += f" ({trouble.text})"
    if deployment.server_id and (runners is None or runners.is_served(deployment)):
        by = f"the process that serves it, then {pool}" if pool else "the process that serves it"
    else:
        by = pool or "nobody: it has no work pool and no process serves it"
    return f"{by} (paused)" if deployment.is_paused else by


def policies(schedule: ScheduleRecord) -> list[str]:
    """What holds beside its times, where that is not the default."""
    zone = load(schedule.trigger).timezone
    found = []
    if schedule.catch_up is not CatchUp.LATEST:
        found.append(_CATCH_UPS[schedule.catch_up])
    if schedule.overlap is not Overlap.SKIP:
        found.append(_OVERLAPS[schedule.overlap])
    if schedule.jitter_seconds:
        found.append(f"runs begin up to {duration(schedule.jitter_seconds)} later")
    if schedule.until_at is not None:
        found.append(f"until {told(schedule.until_at, zone)}")
    return found


def run_text(run: RunRecord, timezone: str) -> str:
    """One run in a line: its state, its planned time, how late it began, how long it took."""
    planned = run.created_at if run.scheduled_at is None else run.scheduled_at
    parts = [f"{run.state_name:<9}", told(_whole(planned), timezone)]
    if run.started_at is not None and run.started_at - planned >= 1.0:
        parts.append(f"began {duration(run.started_at - planned)} late")
    if run.seconds is not None:
        parts.append(f"took {duration(run.seconds)}")
    parts.append(run.name)
    if run.state_type in (StateType.FAILED, StateType.CRASHED, StateType.CANCELLED) and run.message:
        parts.append(shortened(run.message))
    return "  ".join(parts)


def shortened(message: str) -> str:
    """A run's message as a line takes it."""
    line = message.partition("\n")[0]
    return line if len(line) <= _MOST_LETTERS else f"{line[:_MOST_LETTERS]}…"


def _rows(
    schedule: ScheduleRecord,
    deployment: DeploymentRecord,
    runs: Sequence[RunRecord],
    now: float,
    by: str,
) -> Iterator[tuple[str, list[str]]]:
    yield "runs", [f"{deployment.full_name}, by {by}"]
    parameters = {**deployment.parameters, **schedule.parameters}
    if parameters:
        yield "with", [", ".join(f"{name}={value!r}" for name, value in parameters.items())]
    if found := policies(schedule):
        yield "but", found
    zone = load(schedule.trigger).timezone
    times = next_fire_times(schedule, now, is_paused=deployment.is_paused)
    shown = [told(at, zone) for at in times]
    yield "next", shown or [next_text(schedule, now, is_paused=deployment.is_paused)]
    yield "last", [run_text(run, zone) for run in runs[:_N_LAST]] or ["no runs yet"]


def _whole(at: float) -> float:
    """Fire times are shown as they are, other moments to the second."""
    return at if round(at, 2) == at else float(int(at))

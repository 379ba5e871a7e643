"""Schedules in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from nbflow.model.deployments import DeploymentKind, DeploymentRecord
from nbflow.model.records import RunRecord
from nbflow.model.runs import RunKind
from nbflow.model.schedules import CatchUp, Overlap, ScheduleRecord
from nbflow.model.states import STATE_NAMES
from nbflow.schedules import After, At, Cron, Interval, OnChange, Schedule
from nbflow.scheduling.telling import (
    next_fire_times,
    next_text,
    policies,
    run_text,
    runner_text,
    schedule_text,
    times_from_now,
)

NOW = datetime(2026, 10, 30, 12, tzinfo=UTC).timestamp()
EIGHT = Cron("0 8 * * *", timezone="America/New_York")
DEPLOYMENT = DeploymentRecord(
    id="d",
    flow_name="report",
    name="daily",
    kind=DeploymentKind.SCRIPT,
    target="/x.py:report",
    folder="/",
    pool="local",
    parameters={"n": 1, "who": "me"},
)


def record(schedule: Schedule, **changes: Any) -> ScheduleRecord:
    spec = schedule.spec("daily", NOW)
    made = ScheduleRecord(
        id="s",
        deployment_id="d",
        name=spec.name,
        trigger=spec.trigger,
        parameters=spec.parameters,
        catch_up=spec.catch_up,
        overlap=spec.overlap,
        jitter_seconds=spec.jitter_seconds,
        until_at=spec.until_at,
        is_active=True,
        next_at=spec.first_at,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(made, **changes)


def run(state: str, **changes: Any) -> RunRecord:
    made = RunRecord(
        id="r",
        kind=RunKind.FLOW,
        spec_name="report",
        name="brave-condor",
        parent_id=None,
        flow_run_id="r",
        owner_id="",
        state_type=STATE_NAMES[state],
        state_name=state,
        message="",
        run_count=1,
        created_at=NOW,
        started_at=None,
        ended_at=None,
        scheduled_at=NOW,
        tags=[],
        inputs={},
        upstream=[],
    )
    return replace(made, **changes)


def test_five_next_fire_times_have_their_offsets_across_a_clock_change():
    told = schedule_text(record(EIGHT), DEPLOYMENT, [], NOW)

    assert told.splitlines() == [
        "daily: at 08:00 (America/New_York)",
        "  runs  report/daily, by workers of pool 'local'",
        "  with  n=1, who='me'",
        "  next  Sat 2026-10-31 08:00 UTC-04:00",
        "        Sun 2026-11-01 08:00 UTC-05:00",
        "        Mon 2026-11-02 08:00 UTC-05:00",
        "        Tue 2026-11-03 08:00 UTC-05:00",
        "        Wed 2026-11-04 08:00 UTC-05:00",
        "  last  no runs yet",
    ]


def test_last_five_runs_are_told():
    runs = [run("Completed", name=f"run-{n}") for n in range(7)]

    told = schedule_text(record(EIGHT), DEPLOYMENT, runs, NOW)

    assert [f"run-{n}" in told for n in range(7)] == [True] * 5 + [False] * 2


def test_parameters_of_the_schedule_come_first():
    told = schedule_text(record(EIGHT, parameters={"n": 2}), DEPLOYMENT, [], NOW)

    assert "with  n=2, who='me'" in told


NEXT: dict[str, tuple[Schedule, dict[str, Any], str]] = {
    "cron": (EIGHT, {}, "Sat 2026-10-31 08:00 UTC-04:00"),
    "interval": (Interval("6h", timezone="UTC"), {}, "Fri 2026-10-30 18:00 UTC+00:00"),
    "paused": (EIGHT, {"is_active": False}, "paused"),
    "over": (EIGHT, {"until_at": NOW + 1}, "never again"),
    "once, gone by": (At("2020-01-01", timezone="UTC"), {}, "never again"),
    "after": (After("load", timezone="UTC"), {}, "waits"),
    "files": (OnChange("*.csv", timezone="UTC"), {}, "waits"),
}


@pytest.mark.parametrize(("schedule", "changes", "told"), NEXT.values(), ids=NEXT)
def test_next_time_or_why_there_is_none(schedule, changes, told):
    one = record(schedule, **changes)

    assert next_text(one, NOW) == told
    assert f"next  {told}" in schedule_text(one, DEPLOYMENT, [], NOW)
    assert bool(next_fire_times(one, NOW)) == ("UTC" in told)


def test_paused_deployment_fires_nothing():
    paused = replace(DEPLOYMENT, is_paused=True)

    assert next_text(record(EIGHT), NOW, is_paused=True) == "paused"
    assert next_fire_times(record(EIGHT), NOW, is_paused=True) == []
    told = schedule_text(record(EIGHT), paused, [], NOW)
    assert "by workers of pool 'local' (paused)" in told
    assert "next  paused" in told


def test_fewer_times_are_told_where_there_are_fewer():
    one = record(EIGHT, until_at=NOW + 3 * 86_400)

    assert len(next_fire_times(one, NOW)) == 2


@pytest.mark.parametrize(
    ("pool", "server", "told"),
    [
        ("p", "", "workers of pool 'p'"),
        ("p", "x", "the process that serves it, then workers of pool 'p'"),
        (None, "x", "the process that serves it"),
        (None, "", "nobody: it has no work pool and no process serves it"),
    ],
)
def test_who_runs_it(pool, server, told):
    assert runner_text(replace(DEPLOYMENT, pool=pool, server_id=server)) == told


def test_only_policies_that_are_not_the_default_are_told():
    assert policies(record(EIGHT)) == []
    told = policies(
        record(
            EIGHT,
            catch_up=CatchUp.ALL,
            overlap=Overlap.CANCEL,
            jitter_seconds=30.0,
            until_at=NOW + 86_400,
        )
    )

    assert told == [
        "fire times that are missed all run",
        "a fire time cancels the run that goes on",
        "runs begin up to 30.0 s later",
        "until Sat 2026-10-31 08:00 UTC-04:00",
    ]
    for catch_up in CatchUp:
        for overlap in Overlap:
            policies(record(EIGHT, catch_up=catch_up, overlap=overlap))


RUNS: dict[str, tuple[dict[str, Any], str]] = {
    "Completed": (
        {"started_at": NOW + 0.1, "ended_at": NOW + 2.1},
        "Completed  Fri 2026-10-30 12:00 UTC+00:00  took 2.0 s  brave-condor",
    ),
    "Running": (
        {"started_at": NOW + 5},
        "Running    Fri 2026-10-30 12:00 UTC+00:00  began 5.0 s late  brave-condor",
    ),
    "Failed": (
        {"started_at": NOW, "ended_at": NOW + 1, "message": "ValueError: no\nmore"},
        "Failed     Fri 2026-10-30 12:00 UTC+00:00  took 1.0 s  brave-condor  ValueError: no",
    ),
    "Skipped": (
        {"message": "the run before it goes on"},
        "Skipped    Fri 2026-10-30 12:00 UTC+00:00  brave-condor  the run before it goes on",
    ),
    "Crashed": (
        {"message": "x" * 300},
        f"Crashed    Fri 2026-10-30 12:00 UTC+00:00  brave-condor  {'x' * 80}…",
    ),
    "Missed": ({}, "Missed     Fri 2026-10-30 12:00 UTC+00:00  brave-condor"),
}


@pytest.mark.parametrize(
    ("state", "changes", "told"), [(state, *facts) for state, facts in RUNS.items()], ids=RUNS
)
def test_one_run_is_told_in_a_line(state, changes, told):
    assert run_text(run(state, **changes), "UTC") == told


def test_what_was_paused_goes_on_from_now():
    late = record(EIGHT, next_at=NOW - 86_400)
    over = record(EIGHT, id="over", until_at=NOW)
    waits = record(After("load"), id="waits")

    assert times_from_now([late, over, waits], NOW) == {
        "s": datetime(2026, 10, 31, 12, tzinfo=UTC).timestamp(),
        "over": None,
        "waits": None,
    }

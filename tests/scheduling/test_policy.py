"""Which fire times have come: tried with every clock, as nothing here looks at one."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.model.schedules import CatchUp, Overlap, ScheduleRecord
from nbflow.scheduling import policy
from nbflow.triggers.interval import IntervalTrigger

HOUR = 3_600.0
NOW = 1_790_000_000.0


def schedule(every: float, next_at: float | None, **fields: object) -> ScheduleRecord:
    known: dict[str, object] = {
        "id": "s1",
        "deployment_id": "d1",
        "name": "daily",
        "trigger": IntervalTrigger(every, anchor_at=0.0).to_json(),
        "parameters": {},
        "catch_up": CatchUp.LATEST,
        "overlap": Overlap.SKIP,
        "jitter_seconds": 0.0,
        "until_at": None,
        "is_active": True,
        "next_at": next_at,
        "created_at": 0.0,
        "updated_at": 0.0,
    }
    return ScheduleRecord(**{**known, **fields})  # type: ignore[arg-type]


def fire(one: ScheduleRecord, every: float, now: float) -> list[tuple[float, str]]:
    """(fire time, state) of all that is due, and nothing is due afterwards."""
    found = policy.due(one, IntervalTrigger(every, anchor_at=0.0), now)
    assert found is not None
    assert found.expected_at == one.next_at
    return [(firing.fire_at, firing.state) for firing in found.firings]


def test_nothing_is_due_before_its_time() -> None:
    one = schedule(HOUR, NOW + 0.001)
    assert policy.due(one, IntervalTrigger(HOUR, anchor_at=0.0), NOW) is None
    assert policy.due(schedule(HOUR, None), IntervalTrigger(HOUR, anchor_at=0.0), NOW) is None


def test_a_fire_time_that_is_met_runs_and_the_next_comes_after_it() -> None:
    at = NOW - NOW % HOUR
    found = policy.due(schedule(HOUR, at), IntervalTrigger(HOUR, anchor_at=0.0), at + 0.002)
    assert found is not None
    assert [(one.fire_at, one.state) for one in found.firings] == [(at, "Scheduled")]
    assert found.next_at == at + HOUR


@pytest.mark.parametrize(
    ("catch_up", "hours_away", "expected"),
    [
        (CatchUp.SKIP, 3, ["Missed", "Missed", "Missed"]),
        (CatchUp.LATEST, 3, ["Missed", "Missed", "Late"]),
        (CatchUp.ALL, 3, ["Late", "Late", "Late"]),
        (CatchUp.SKIP, 1, ["Missed"]),
        (CatchUp.LATEST, 1, ["Late"]),
    ],
)
def test_what_becomes_of_fire_times_nobody_was_there_for(
    catch_up: CatchUp, hours_away: int, expected: list[str]
) -> None:
    last = NOW - NOW % HOUR
    now = last + 1_800  # the latest is half an hour old
    first = last - (hours_away - 1) * HOUR
    found = fire(schedule(HOUR, first, catch_up=catch_up), HOUR, now)
    assert [state for _, state in found] == expected
    assert [at for at, _ in found] == [first + n * HOUR for n in range(hours_away)]


def test_a_machine_that_wakes_up_within_the_grace_time_misses_nothing() -> None:
    at = NOW - NOW % 10
    for catch_up in CatchUp:
        found = fire(schedule(10.0, at, catch_up=catch_up), 10.0, at + 35)
        assert [state for _, state in found] == ["Late", "Late", "Scheduled", "Scheduled"]


def test_the_latest_is_not_made_up_for_after_more_than_a_day() -> None:
    every = 7 * 24 * HOUR
    at = NOW - NOW % every
    assert fire(schedule(every, at), every, at + 25 * HOUR) == [(at, "Missed")]
    assert fire(schedule(every, at), every, at + 23 * HOUR) == [(at, "Late")]
    made_up = schedule(every, at, catch_up=CatchUp.ALL)
    assert fire(made_up, every, at + 25 * HOUR) == [(at, "Late")]


def test_many_missed_times_become_a_hundred_records_and_none_goes_untold() -> None:
    at = NOW - NOW % 60
    found = policy.due(schedule(60.0, at), IntervalTrigger(60.0, anchor_at=0.0), at + 60 * 1_000)
    assert found is not None
    assert len(found.firings) == 102  # the older ones together, 99 missed, two met
    assert "900 fire times from" in found.firings[0].message
    assert [one.state for one in found.firings[-2:]] == ["Late", "Scheduled"]


def test_a_schedule_of_seconds_after_a_year_is_told_quickly() -> None:
    at = NOW - 365 * 24 * HOUR
    found = policy.due(schedule(1.0, at), IntervalTrigger(1.0, anchor_at=0.0), NOW)
    assert found is not None
    assert "more than 20000 fire times" in found.firings[0].message
    assert [one.fire_at for one in found.firings if one.state != "Missed"] == [
        NOW - n for n in range(59, -1, -1)
    ]
    assert found.next_at == NOW + 1


def test_of_very_many_to_make_up_for_the_first_come_first() -> None:
    at = NOW - 5_000
    one = schedule(1.0, at, catch_up=CatchUp.ALL)
    found = policy.due(one, IntervalTrigger(1.0, anchor_at=0.0), NOW)
    assert found is not None
    assert len(found.firings) == 1_000
    assert found.next_at == at + 1_000  # so the scheduler goes on at once


def test_no_fire_time_comes_after_the_end() -> None:
    at = NOW - NOW % HOUR
    one = schedule(HOUR, at, until_at=at + 10)
    found = policy.due(one, IntervalTrigger(HOUR, anchor_at=0.0), at + 1)
    assert found is not None
    assert found.next_at is None


@given(st.floats(0.1, 3_600), st.integers(0, 10_000))
def test_jitter_is_within_its_bounds_and_the_same_everywhere(seconds: float, n: int) -> None:
    one = schedule(HOUR, NOW, jitter_seconds=seconds)
    waits = {policy.jitter(one, NOW + n * HOUR) for _ in range(3)}
    assert len(waits) == 1
    assert 0.0 <= waits.pop() < seconds


@settings(deadline=None)
@given(
    st.sampled_from([0.5, 1.0, 7.0, 60.0, HOUR]),
    st.sampled_from(list(CatchUp)),
    st.floats(0, 10 * HOUR),
    st.lists(st.floats(-2 * HOUR, 5 * HOUR), max_size=6),
)
def test_whatever_the_clock_does_every_fire_time_is_told_once(
    every: float, catch_up: CatchUp, away: float, jumps: list[float]
) -> None:
    trigger = IntervalTrigger(every, anchor_at=0.0)
    one = schedule(every, NOW - NOW % every, catch_up=catch_up)
    told: list[float] = []
    now, furthest = NOW + away, NOW
    for jump in [0.0, *jumps]:
        now += jump
        while (found := policy.due(one, trigger, now)) is not None:
            told += [firing.fire_at for firing in found.firings]
            one = schedule(every, found.next_at, catch_up=catch_up)
        furthest = max(furthest, now)
    assert told == sorted(set(told))
    assert one.next_at is not None
    assert one.next_at > now or one.next_at > furthest - every
    if furthest - NOW < 50 * every:  # else many are told as one
        gaps = [b - a for a, b in itertools.pairwise(told)]
        assert gaps == pytest.approx([every] * len(gaps), abs=1e-5)

"""Equal steps: never two for one, never one left out, however often and wherever asked."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.errors import InvalidSchedule
from nbflow.triggers.interval import IntervalTrigger
from nbflow.triggers.loading import load
from nbflow.triggers.preview import next_times

LENGTHS = st.one_of(
    st.sampled_from([0.01, 0.025, 0.1, 1 / 3, 0.7, 1.0, 60.0, 3600.0, 21_600.0, 86_400.0]),
    st.floats(0.01, 1e6),
)
INSTANTS = st.floats(-1e9, 4e9)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(LENGTHS, INSTANTS, st.none() | INSTANTS)
def test_each_is_one_step_after_the_last(seconds, at, anchor_at):
    trigger = IntervalTrigger(seconds, anchor_at)
    step = Fraction(round(seconds * 1e6), 10**6)

    found = next_times(trigger, 50, at)

    assert at < found[0] <= at + seconds + 1e-5
    for one, other in pairwise(found):
        assert one < other
        assert abs((Fraction(other) - Fraction(one)) - step) < Fraction(3, 10**6)
    # Nothing adds up: far on, each is still where it was to be.
    far = next_times(trigger, 1, found[0] + 1e8)[0]
    steps = (Fraction(far) - Fraction(found[0])) / step
    assert abs(steps - round(steps)) * step < Fraction(3, 10**6)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(LENGTHS, INSTANTS)
def test_whoever_asks_in_between_hears_the_same(seconds, at):
    """Several processes compute the fire times on their own, each from its own clock."""
    trigger = IntervalTrigger(seconds)
    first, second = next_times(trigger, 2, at)

    for share in (0, 0.1, 0.5, 0.9):
        between = first + (second - first) * share
        if between < second:
            assert trigger.next_after(between) == second


def test_six_hours_are_on_the_clock_of_the_zone():
    zone = ZoneInfo("Asia/Kolkata")
    start = datetime(2026, 5, 1, 1, 0, tzinfo=zone).timestamp()

    found = next_times(IntervalTrigger(21_600, timezone=zone.key), 4, start)

    assert [datetime.fromtimestamp(at, zone).strftime("%H:%M") for at in found] == [
        "06:00", "12:00", "18:00", "00:00"]  # fmt: skip


def test_a_week_is_from_monday_to_monday():
    zone = ZoneInfo("Europe/Paris")
    found = next_times(IntervalTrigger(604_800, timezone=zone.key), 1, 1_770_000_000)

    assert datetime.fromtimestamp(found[0], zone).strftime("%a %H:%M") == "Mon 00:00"


def test_elapsed_time_counts_through_a_clock_change():
    zone = ZoneInfo("America/New_York")
    start = datetime(2026, 10, 31, 12, 0, tzinfo=zone).timestamp()

    found = next_times(IntervalTrigger(21_600, start, zone.key), 4, start)

    assert [at - start for at in found] == [21_600, 43_200, 64_800, 86_400]
    assert datetime.fromtimestamp(found[-1], zone).hour == 11


@pytest.mark.parametrize("at", [float("inf"), float("-inf"), float("nan"), 1e15, 253_370_764_799.5])
def test_beyond_all_times_there_is_none(at):
    assert IntervalTrigger(60).next_after(at) is None


@pytest.mark.parametrize("seconds", [0, -1, 0.009, 1e12, float("nan"), "x", None, True])
def test_no_length(seconds):
    with pytest.raises(InvalidSchedule, match="interval"):
        IntervalTrigger(seconds)


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(hours=6), "every 6 hours"),
        (timedelta(hours=1), "every hour"),
        (timedelta(minutes=90), "every 1 hour 30 minutes"),
        (timedelta(seconds=90), "every 1 minute 30 seconds"),
        (timedelta(seconds=2.5), "every 2.5 seconds"),
        (timedelta(milliseconds=25), "every 25 milliseconds"),
        (timedelta(days=10), "every 10 days"),
        (timedelta(weeks=2), "every 2 weeks"),
    ],
)
def test_words(length, words):
    assert IntervalTrigger(length.total_seconds()).words() == f"{words} (UTC)"


def test_words_name_the_anchor():
    trigger = IntervalTrigger(3600, 1_770_000_000.0, "Europe/Paris")

    assert trigger.words() == "every hour from Mon 2026-02-02 03:40 UTC+01:00 (Europe/Paris)"
    assert load(trigger.to_json()) == trigger

"""The triggers without a calendar; and all of them, through the store and back."""

from __future__ import annotations

import json

import pytest

from nbflow.errors import InvalidSchedule
from nbflow.triggers.cron import CronTrigger
from nbflow.triggers.date import DateTrigger
from nbflow.triggers.events import AfterTrigger, FilesTrigger
from nbflow.triggers.interval import IntervalTrigger
from nbflow.triggers.loading import load
from nbflow.triggers.preview import next_times
from nbflow.triggers.rrule import RRuleTrigger

EVERY = [
    CronTrigger("0 8 * * 1-5", "America/New_York"),
    CronTrigger("0 8 13 * 5", "UTC", day_or=False),
    IntervalTrigger(0.025),
    IntervalTrigger(3600, 1_770_000_000.5, "Europe/Paris"),
    DateTrigger(1_798_153_200.25, "Europe/Paris"),
    RRuleTrigger("FREQ=WEEKLY;BYDAY=MO", "Asia/Tokyo"),
    FilesTrigger(("data/*.csv", "/abs/**"), "/home/someone"),
    AfterTrigger("load"),
]


@pytest.mark.parametrize("trigger", EVERY, ids=lambda trigger: type(trigger).__name__)
def test_it_comes_back_from_json(trigger):
    again = load(json.loads(json.dumps(trigger.to_json())))

    assert again == trigger
    assert hash(again) == hash(trigger)
    assert again.next_after(1.7e9) == trigger.next_after(1.7e9)


@pytest.mark.parametrize("trigger", EVERY, ids=lambda trigger: type(trigger).__name__)
def test_it_says_what_it_is(trigger):
    words = trigger.words()

    assert words
    assert "\n" not in words
    if trigger.next_after(1.7e9) is not None:
        assert words.endswith(f"({trigger.timezone})")


@pytest.mark.parametrize("at", [float("nan"), float("inf"), 1e300])
@pytest.mark.parametrize("trigger", EVERY, ids=lambda trigger: type(trigger).__name__)
def test_after_the_last_of_days_there_is_none(trigger, at):
    assert trigger.next_after(at) is None


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"kind": "lunar"},
        {"kind": ["cron"]},
        {"kind": "cron"},
        {"kind": "cron", "cron": "0 8 * * *", "phase": 1},
        {"kind": "cron", "cron": "0 8 * *"},
        {"kind": "files", "patterns": [], "folder": "/"},
    ],
)
def test_what_is_no_trigger_is_not_loaded(form):
    with pytest.raises(InvalidSchedule):
        load(form)


def test_a_date_fires_once():
    trigger = DateTrigger(1000.5)

    assert trigger.next_after(999) == 1000.5
    assert trigger.next_after(1000.5) is None
    assert next_times(trigger, 5, 0) == [1000.5]


def test_a_preview_ends_with_the_schedule():
    trigger = IntervalTrigger(10, 0.0)

    assert next_times(trigger, 3, 5) == [10, 20, 30]
    assert next_times(trigger, 5, 5, until_at=20) == [10, 20]
    assert next_times(trigger, 0, 5) == []


def test_events_have_no_fire_times():
    assert FilesTrigger(("*.csv",), "/data").next_after(0) is None
    assert AfterTrigger("load").next_after(0) is None
    assert FilesTrigger(("a", "b"), "/data").words() == "when a or b changes (in /data)"
    assert AfterTrigger("load").words() == "after each completed run of load"


@pytest.mark.parametrize(
    ("patterns", "folder"),
    [((), "/data"), (("",), "/data"), (("a\0",), "/data"), ((5,), "/data"), (("a",), "data"),
     (("a" * 5000,), "/data")],
)  # fmt: skip
def test_no_patterns(patterns, folder):
    with pytest.raises(InvalidSchedule, match="on-change"):
        FilesTrigger(patterns, folder)


@pytest.mark.parametrize("name", ["", "  ", None])
def test_no_flow(name):
    with pytest.raises(InvalidSchedule, match="give the name of a flow"):
        AfterTrigger(name)

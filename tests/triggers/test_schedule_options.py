"""What users import from nbflow.schedules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from children import run_child

from nbflow import flow
from nbflow.errors import InvalidSchedule
from nbflow.model.schedules import CatchUp, Overlap
from nbflow.schedules import (
    After,
    At,
    Cron,
    CronSchedule,
    Interval,
    IntervalSchedule,
    OnChange,
    RRule,
    RRuleSchedule,
    Schedule,
    schedule_from,
)
from nbflow.triggers.cron import CronTrigger
from nbflow.triggers.date import DateTrigger
from nbflow.triggers.events import AfterTrigger, FilesTrigger
from nbflow.triggers.interval import IntervalTrigger
from nbflow.triggers.rrule import RRuleTrigger

ZONE = "America/New_York"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("schedule", "trigger"),
    [
        (Cron("0 8 * * *", ZONE), CronTrigger("0 8 * * *", ZONE)),
        (CronSchedule(cron="0 8 * * *", timezone=ZONE), CronTrigger("0 8 * * *", ZONE)),
        (Cron("0 8 1 * 1", ZONE, day_or=False), CronTrigger("0 8 1 * 1", ZONE, day_or=False)),
        (Interval(timedelta(hours=6), timezone=ZONE), IntervalTrigger(21_600, None, ZONE)),
        (Interval("6h", timezone=ZONE), IntervalTrigger(21_600, None, ZONE)),
        (Interval(3600, timezone=ZONE), IntervalTrigger(3600, None, ZONE)),
        (
            IntervalSchedule(
                interval=timedelta(hours=6), anchor_date=datetime(2026, 1, 1, 3), timezone=ZONE
            ),
            IntervalTrigger(21_600, datetime(2026, 1, 1, 8, tzinfo=UTC).timestamp(), ZONE),
        ),
        (RRule("FREQ=DAILY", ZONE), RRuleTrigger("FREQ=DAILY", ZONE)),
        (RRuleSchedule(rrule="FREQ=DAILY", timezone=ZONE), RRuleTrigger("FREQ=DAILY", ZONE)),
        (At("2026-12-24T18:00", ZONE), DateTrigger(1_798_153_200.0, ZONE)),
        (OnChange("a/*.csv", folder="/x", timezone=ZONE), FilesTrigger(("a/*.csv",), "/x", ZONE)),
        (After("load", timezone=ZONE), AfterTrigger("load", ZONE)),
    ],
)
def test_triggers(schedule, trigger):
    assert isinstance(schedule, Schedule)
    assert schedule.trigger == trigger


def test_after_takes_a_flow():
    @flow(name="load all")
    def load():
        pass

    assert After(load).trigger.flow_name == "load all"


def test_without_a_zone_it_is_the_machines(home):
    code = """
        from nbflow.schedules import At, Cron, Interval, RRule
        for made in (Cron("@daily"), Interval(60), RRule("FREQ=DAILY"), At("2027-01-01")):
            print(made.trigger.timezone)
    """

    assert run_child(code, home, TZ="Asia/Tokyo") == ["Asia/Tokyo"] * 4


def test_a_rule_may_name_its_zone():
    made = RRule("DTSTART;TZID=Europe/Paris:20260101T080000\nRRULE:FREQ=DAILY")

    assert made.trigger.timezone == "Europe/Paris"


def test_patterns_are_relative_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert OnChange("*.csv").trigger.folder == str(tmp_path)


def test_policies():
    made = Cron(
        "0 8 * * *", ZONE, parameters={"n": 1}, active=False, slug="daily", catch_up="all",
        overlap="queue", jitter="30s", until="2026-12-24T18:00",
    )  # fmt: skip

    assert (made.catch_up, made.overlap) == (CatchUp.ALL, Overlap.QUEUE)
    assert (made.jitter_seconds, made.until_at) == (30.0, 1_798_153_200.0)
    spec = made.spec("ignored", NOW)
    assert (spec.name, spec.is_active, spec.parameters) == ("daily", False, {"n": 1})
    assert spec.trigger == made.trigger.to_json()
    assert spec.first_at == datetime(2026, 6, 2, 12, tzinfo=UTC).timestamp()
    assert (spec.catch_up, spec.overlap, spec.jitter_seconds, spec.until_at) == (
        CatchUp.ALL, Overlap.QUEUE, 30.0, 1_798_153_200.0)  # fmt: skip


def test_without_policies():
    spec = Cron("0 8 * * *", ZONE, name=None, catch_up=None).spec("report", NOW)

    assert (spec.name, spec.is_active, spec.parameters) == ("report", None, {})
    assert (spec.catch_up, spec.overlap, spec.jitter_seconds, spec.until_at) == (
        CatchUp.LATEST, Overlap.SKIP, 0.0, None)  # fmt: skip


def test_no_first_time_where_none_is_left():
    assert At(NOW - 1, "UTC").spec("x", NOW).first_at is None
    assert Interval("1h", timezone="UTC", until=NOW + 60).spec("x", NOW).first_at is None
    assert Interval("1h", timezone="UTC", until=NOW + 3600).spec("x", NOW).first_at == NOW + 3600
    assert After("load", "UTC").spec("x", NOW).first_at is None


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"catch_up": "none"}, "catch_up 'none' is not valid: give one of 'skip', 'latest', 'all'"),
        ({"overlap": "drop"}, "give one of 'skip', 'queue', 'cancel', 'allow'"),
        ({"jitter": "-5s"}, "jitter '-5s' is not valid: write seconds or a text such as"),
        ({"jitter": -5}, "jitter -5 is not valid: it must last from 0 seconds"),
        ({"until": "soon"}, "until 'soon' is not valid: write a date"),
        ({"parameters": [1]}, "it must be a dict of the flow's parameters"),
        ({"active": "yes"}, "active 'yes' is not valid: it must be True or False"),
        ({"name": 5}, "name 5 is not valid"),
        ({"name": " "}, "it must not be empty"),
        ({"name": "a", "slug": "b"}, "slug 'b' is not valid: the name is 'a'"),
        ({"catchup": "all"}, "schedule option 'catchup' is not valid: a schedule takes parameters"),
        ({"timezone": "America/NewYork"}, "did you mean America/New_York"),
        ({"day_or": "no"}, "day_or 'no' is not valid"),
    ],
)
def test_policies_that_are_refused(options, reason):
    with pytest.raises(InvalidSchedule, match=reason):
        Cron("0 8 * * *", **options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),
        ({"cron": None, "timezone": None, "catch_up": None, "on_change": ()}, None),
        ({"cron": "@daily", "timezone": ZONE}, Cron("@daily", ZONE)),
        ({"interval": "6h", "timezone": ZONE}, Interval("6h", None, ZONE)),
        ({"rrule": "FREQ=DAILY", "timezone": ZONE}, RRule("FREQ=DAILY", ZONE)),
        ({"at": "2027-01-01", "timezone": ZONE}, At("2027-01-01", ZONE)),
        ({"after": "load", "timezone": ZONE}, After("load", ZONE)),
        ({"on_change": ["*.csv"], "timezone": ZONE}, OnChange("*.csv", timezone=ZONE)),
        ({"on_change": "*.csv", "timezone": ZONE}, OnChange("*.csv", timezone=ZONE)),
        ({"schedule": Cron("@daily", ZONE)}, Cron("@daily", ZONE)),
        (
            {"schedule": Cron("@daily", ZONE, jitter=5), "overlap": "allow", "timezone": ZONE},
            Cron("@daily", ZONE, jitter=5, overlap="allow"),
        ),
    ],
)
def test_schedule_from_options(options, expected):
    assert schedule_from(**options) == expected


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"cron": "@daily", "interval": 60}, r"\['cron', 'interval'\] .* give one of them"),
        ({"schedule": "0 8 * * *"}, "give Cron"),
        ({"schedule": Cron("@daily", ZONE), "timezone": "UTC"}, "give it to the schedule itself"),
        ({"catch_up": "all"}, "there is no schedule for it; give cron, interval, rrule, at"),
        ({"interval": 0}, "interval 0 is not valid"),
        ({"cron": ""}, "cron '' is not valid: it has 0 fields"),
    ],
)
def test_schedule_from_options_that_are_refused(options, reason):
    with pytest.raises(InvalidSchedule, match=reason):
        schedule_from(**options)


def test_importing_it_loads_nothing_heavy(home):
    loaded = set(run_child("import nbflow.schedules, sys; print(*sys.modules, sep='\\n')", home))

    assert "nbflow.triggers.cron" in loaded
    heavy = {"croniter", "dateutil", "cron_descriptor", "tzlocal", "pandas", "numpy", "difflib"}
    assert not loaded & heavy

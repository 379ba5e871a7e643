"""Recurrence rules: dateutil's times without its traps."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nbflow.errors import InvalidSchedule
from nbflow.triggers.loading import load
from nbflow.triggers.preview import next_times
from nbflow.triggers.rrule import RRuleTrigger


def walls(rrule: str, n: int, start: str, timezone: str = "UTC") -> list[str]:
    trigger = RRuleTrigger(rrule, timezone)
    zone = ZoneInfo(trigger.timezone)
    after = datetime.fromisoformat(start).replace(tzinfo=zone).timestamp()
    found = next_times(trigger, n, after)
    return [datetime.fromtimestamp(at, zone).isoformat(timespec="minutes") for at in found]


@pytest.mark.parametrize(
    ("rrule", "expected"),
    [
        ("FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=8", ["02T08:00", "05T08:00", "09T08:00"]),
        ("RRULE:FREQ=DAILY;INTERVAL=3;BYHOUR=8", ["02T08:00", "05T08:00", "08T08:00"]),
        # It is counted from 2024, not from when it is read.
        ("FREQ=WEEKLY;INTERVAL=2", ["12T00:00", "26T00:00"]),
        ("FREQ=HOURLY;INTERVAL=5", ["01T01:00", "01T06:00", "01T11:00"]),
        ("DTSTART:20260105T093000\nRRULE:FREQ=DAILY;COUNT=2", ["05T09:30", "06T09:30"]),
        ("DTSTART:20260105T093000\nRRULE:FREQ=DAILY;UNTIL=20260106", ["05T09:30", "06T09:30"]),
        ("DTSTART:20260105T093000\nRRULE:FREQ=DAILY;UNTIL=20260106T093000Z",
         ["05T09:30", "06T09:30"]),
        ("DTSTART:20260105T093000\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE:20260106T093000",
         ["05T09:30", "07T09:30"]),
        ("RDATE:20260105T093000,20260103T080000", ["03T08:00", "05T09:30"]),
        ("RRULE:FREQ=DAILY;BYHOUR=8;UNTIL=20260103\nRRULE:FREQ=DAILY;BYHOUR=7;UNTIL=20260102",
         ["01T07:00", "01T08:00", "02T07:00", "02T08:00", "03T08:00"]),
        ("freq=monthly;byday=-1fr;byhour=17", ["30T17:00"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", ["30T00:00"]),
    ],
)  # fmt: skip
def test_times(rrule, expected):
    found = walls(rrule, 6, "2025-12-31T23:59")

    assert [one[8:16] for one in found if one.startswith("2026-01")][: len(expected)] == expected


def test_the_zone_of_dtstart_is_the_zone():
    rrule = "DTSTART;VALUE=DATE-TIME;TZID=America/New_York:20260105T090000\nRRULE:FREQ=DAILY"

    trigger = RRuleTrigger(rrule)

    assert trigger.timezone == "America/New_York"
    assert walls(rrule, 1, "2026-07-01T00:00") == ["2026-07-01T09:00-04:00"]
    assert load(trigger.to_json()) == trigger
    with pytest.raises(InvalidSchedule, match=r"its DTSTART is in America/New_York, the schedule"):
        RRuleTrigger(rrule, "Europe/Paris")


@pytest.mark.parametrize(
    ("rrule", "start", "expected"),
    [
        ("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "2026-03-07T12:00", ["08T03:00-04", "09T02:30-04"]),
        ("FREQ=DAILY;BYHOUR=1;BYMINUTE=30", "2026-10-31T12:00", ["01T01:30-04", "02T01:30-05"]),
        ("FREQ=HOURLY", "2026-11-01T00:30", ["01T01:00-04", "01T01:00-05", "01T02:00-05"]),
        ("FREQ=HOURLY", "2026-03-08T00:30", ["08T01:00-05", "08T03:00-04", "08T04:00-04"]),
    ],
)
def test_clock_changes_are_as_for_cron(rrule, start, expected):
    found = walls(rrule, len(expected), start, "America/New_York")

    assert [one[8:-3] for one in found] == expected


RULES = st.builds(
    lambda frequency, interval, parts: ";".join([frequency, interval, *parts]),
    st.sampled_from(
        "YEARLY MONTHLY WEEKLY DAILY HOURLY MINUTELY SECONDLY".split()
    ).map("FREQ={}".format),
    st.one_of(st.integers(1, 60), st.integers(1, 5000)).map("INTERVAL={}".format),
    st.lists(
        st.sampled_from(
            "BYDAY=MO,SU BYDAY=-1FR BYDAY=2TU BYMONTHDAY=31 BYMONTHDAY=-1 BYMONTHDAY=1,15 "
            "BYMONTH=2 BYMONTH=3,12 BYYEARDAY=366 BYYEARDAY=1,100 BYWEEKNO=53 BYWEEKNO=1 "
            "BYHOUR=8 BYHOUR=1,2,3 BYMINUTE=0,30 BYSECOND=0 BYSECOND=59 BYSETPOS=-1 "
            "BYSETPOS=2 WKST=SU BYMONTHDAY=30".split()
        ),
        max_size=3,
        unique_by=lambda part: part.partition("=")[0],
    ),
)  # fmt: skip
DTSTARTS = st.datetimes(datetime(2019, 1, 1), datetime(2024, 12, 31)).map(
    lambda start: start.replace(microsecond=0)
)
slow = [HealthCheck.too_slow, HealthCheck.filter_too_much]


def agrees_with_dateutil(rule: str, start: datetime, seed: int) -> None:
    started = time.thread_time()
    text = f"DTSTART:{start:%Y%m%dT%H%M%S}\nRRULE:{rule}"
    try:
        trigger = RRuleTrigger(text)
    except InvalidSchedule:
        return
    finally:
        assert time.thread_time() - started < 1
    assert load(trigger.to_json()) == trigger
    assert trigger.words()
    expected = [
        wall.replace(tzinfo=UTC).timestamp()
        for wall in islice(rrulestr(rule, dtstart=start).replace(until=datetime(2060, 1, 1)), 60)
    ]
    rng = random.Random(seed)
    for n in {0, *(rng.randrange(len(expected)) for _ in range(3) if expected)}:
        if n + 1 < len(expected):
            began = time.thread_time()
            assert trigger.next_after(expected[n]) == expected[n + 1], (text, n)
            assert trigger.next_after(expected[n + 1] - 0.5) == expected[n + 1], (text, n)
            assert time.thread_time() - began < 1


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=slow)
@given(RULES, DTSTARTS, st.integers(0, 1000))
def test_a_start_that_is_moved_changes_nothing(rule, start, seed):
    agrees_with_dateutil(rule, start, seed)


@pytest.mark.reliability
@settings(max_examples=5_000, deadline=None, suppress_health_check=slow)
@given(RULES, DTSTARTS, st.integers(0, 1000))
def test_a_start_that_is_moved_changes_nothing_in_thousands_of_rules(rule, start, seed):
    agrees_with_dateutil(rule, start, seed)


RULE_TEXTS = st.one_of(
    st.text(max_size=100),
    st.text("FREQ=DAILY;BYHOUR:\n0123456789,-TZ", max_size=100),
    st.lists(
        st.sampled_from(
            "FREQ=SECONDLY FREQ=DAILY INTERVAL=0 INTERVAL=-1 COUNT=0 COUNT=99999 UNTIL=x "
            "UNTIL=20260230 BYHOUR=24 BYHOUR=99 BYMONTH=13 BYMONTH=0 BYDAY=XX BYDAY=99MO "
            "BYSETPOS=0 BYSETPOS=400 BYMONTHDAY=32 BYWEEKNO=99 BYSECOND=60 "
            "BYDAY=,MO BYHOUR= WKST=1 BYDAY=0MO BYYEARDAY=999 BYMONTHDAY=0".split()
        ),
        max_size=5,
    ).map(";".join),
)


def never_hangs(rrule: str) -> None:
    started = time.thread_time()
    sentence = ""
    try:
        trigger = RRuleTrigger(rrule, "Europe/Paris")
    except InvalidSchedule as error:
        sentence = str(error)
    else:
        next_times(trigger, 3, 1.7e9)
        assert trigger.words()
    assert "\n" not in sentence
    assert time.thread_time() - started < 1


@settings(max_examples=500, deadline=None, derandomize=True, suppress_health_check=slow)
@given(RULE_TEXTS)
@example("FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30")
@example("FREQ=MINUTELY;INTERVAL=7;BYDAY=MO;BYMONTHDAY=31;BYMONTH=2")
@example("FREQ=SECONDLY;INTERVAL=2;BYMONTH=2;BYHOUR=8")
@example("FREQ=YEARLY;BYMONTHDAY=29;BYMONTH=2;BYDAY=MO")
@example("FREQ=SECONDLY;INTERVAL=86399;BYHOUR=3;BYMINUTE=7;BYSECOND=11")
@example("FREQ=SECONDLY;INTERVAL=997;BYMINUTE=7;BYSECOND=11;BYHOUR=0;BYMONTH=2;BYMONTHDAY=29")
def test_whatever_is_written_is_understood_or_refused(rrule):
    never_hangs(rrule)


@pytest.mark.parametrize(
    ("rrule", "reason"),
    [
        ("", "give a text such as 'FREQ=WEEKLY"),
        (None, "give a text"),
        ("0 8 * * *", "'0' is not understood"),
        ("FREQ=FORTNIGHTLY", "FREQ must be one of YEARLY, MONTHLY"),
        ("BYHOUR=8", "FREQ must be one of"),
        ("FREQ=DAILY;BYHOR=8", "'BYHOR=8' is not understood"),
        ("FREQ=DAILY;BYHOUR=8;BYHOUR=9", "'BYHOUR=9' is not understood"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL=0 must be a number from 1 to 1000000"),
        ("FREQ=DAILY;COUNT=3", "COUNT counts from DTSTART, which it does not have"),
        ("DTSTART:20260101T000000\nRRULE:FREQ=SECONDLY;COUNT=20000", "from 1 to 10000"),
        ("FREQ=HOURLY;BYSETPOS=2", "BYSETPOS cannot be combined with FREQ=HOURLY; it needs DAILY"),
        ("FREQ=HOURLY;INTERVAL=2;BYHOUR=1", "empty set"),
        ("FREQ=SECONDLY;BYMONTH=2;BYHOUR=8", "BYMONTH cannot be combined with FREQ=SECONDLY"),
        ("FREQ=DAILY;BYHOUR=24", "BYHOUR=24 must be a number from 0 to 23"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY=0 must be a number from -31 to 31 but 0"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "it names no time of the coming centuries"),
        ("FREQ=WEEKLY;BYDAY=2TU", "BYDAY=2TU needs FREQ=MONTHLY or FREQ=YEARLY"),
        ("FREQ=DAILY;BYEASTER=0", "'BYEASTER=0' is not understood"),
        ("FREQ=DAILY;BYMINUTE=" + ",".join(map(str, range(60))) + ";BYHOUR=1,2,3,4,5",
         "it has over 288 times a day; use an interval"),
        ("DTSTART:2026\nRRULE:FREQ=DAILY", "'2026' is no date; write 20261224T180000"),
        ("DTSTART:20260101T000000\nDTSTART:20260101T000000\nRRULE:FREQ=DAILY", "more than one"),
        ("DTSTART:20260101T000000", "it has no rule"),
        ("EXRULE:FREQ=DAILY", "'EXRULE' is not known; a rule has DTSTART, RRULE, RDATE and EXDATE"),
        ("DTSTART;TZID=Mars/Base:20260101T000000\nRRULE:FREQ=DAILY", "there is no such zone"),
        ("DTSTART:20260101T000000\nRRULE:FREQ=DAILY\nEXDATE;TZID=Asia/Tokyo:20260102T000000",
         "its EXDATE is in another zone than UTC; give all in one"),
        ("FREQ=DAILY;" * 600, "it has over 6000 characters"),
    ],
)  # fmt: skip
def test_refused(rrule, reason):
    with pytest.raises(InvalidSchedule, match=reason) as caught:
        RRuleTrigger(rrule)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rrule", "words"),
    [
        ("FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=8", "every week on Monday and Friday at 08:00"),
        ("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=17;BYMINUTE=30",
         "every month on the last Friday at 17:30"),
        ("FREQ=HOURLY;INTERVAL=6", "every 6 hours at minute 0"),
        ("FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=1", "every year on day 1 in March at 00:00"),
        ("DTSTART:20260105T093000\nRRULE:FREQ=DAILY;COUNT=2", "every day at 09:30, 2 times"),
        ("RDATE:20260105T093000,20260103T080000", "at 2 given times"),
    ],
)  # fmt: skip
def test_words(rrule, words):
    assert RRuleTrigger(rrule).words() == f"{words} (UTC)"

"""What cron expressions mean, and how those are refused that mean nothing."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from itertools import islice

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nbflow.errors import InvalidSchedule
from nbflow.triggers.cron import CronTrigger
from nbflow.triggers.cron_fields import fields_of
from nbflow.triggers.loading import load
from nbflow.triggers.preview import next_times

START = datetime(2026, 1, 1, tzinfo=UTC).timestamp() - 1


def first_days(cron: str, n: int = 6, **options) -> list[str]:
    found = next_times(CronTrigger(cron, **options), n, START)
    return [f"{datetime.fromtimestamp(at, UTC):%m-%d}" for at in found]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 0 1 * *", ["01-01", "02-01", "03-01", "04-01", "05-01", "06-01"]),
        ("0 0 L * *", ["01-31", "02-28", "03-31", "04-30", "05-31", "06-30"]),
        ("0 0 1,L * *", ["01-01", "01-31", "02-01", "02-28", "03-01", "03-31"]),
        ("0 0 15W * *", ["01-15", "02-16", "03-16", "04-15", "05-15", "06-15"]),
        ("0 0 1W * *", ["01-01", "02-02", "03-02", "04-01", "05-01", "06-01"]),
        ("0 0 31W * *", ["01-30", "03-31", "05-29", "07-31", "08-31", "10-30"]),
        ("0 0 * * fri#2", ["01-09", "02-13", "03-13", "04-10", "05-08", "06-12"]),
        ("0 0 * * 5L", ["01-30", "02-27", "03-27", "04-24", "05-29", "06-26"]),
        ("0 0 * * L5", ["01-30", "02-27", "03-27", "04-24", "05-29", "06-26"]),
        ("0 0 * * 7L", ["01-25", "02-22", "03-29", "04-26", "05-31", "06-28"]),
        ("0 0 * * 7#1", ["01-04", "02-01", "03-01", "04-05", "05-03", "06-07"]),
        ("0 0 * * mon#1,tue#2", ["01-05", "01-13", "02-02", "02-10", "03-02", "03-10"]),
        ("0 0 * * sat-sun/1", ["01-03", "01-04", "01-10", "01-11", "01-17", "01-18"]),
        ("0 0 * * 2-7/2", ["01-01", "01-03", "01-06", "01-08", "01-10", "01-13"]),
        ("0 0 * * 3-sun/2", ["01-02", "01-04", "01-07", "01-09", "01-11", "01-14"]),
        ("0 0 * nov-jan sat", ["01-03", "01-10", "01-17", "01-24", "01-31", "11-07"]),
        ("0 0 * * 7", ["01-04", "01-11", "01-18", "01-25", "02-01", "02-08"]),
        ("0 0 * * sun", ["01-04", "01-11", "01-18", "01-25", "02-01", "02-08"]),
        ("0 0 * * 7-0", ["01-04", "01-11", "01-18", "01-25", "02-01", "02-08"]),
        ("0 0 * * sun-sun", ["01-04", "01-11", "01-18", "01-25", "02-01", "02-08"]),
        ("0 0 * * 05-5", ["01-02", "01-09", "01-16", "01-23", "01-30", "02-06"]),
        ("0 0 * * fri-5", ["01-02", "01-09", "01-16", "01-23", "01-30", "02-06"]),
        ("0 0 * * 0-7", ["01-01", "01-02", "01-03", "01-04", "01-05", "01-06"]),
        ("0 0 * * sun-sat/3", ["01-03", "01-04", "01-07", "01-10", "01-11", "01-14"]),
        ("0 0 * jan-jan sat", ["01-03", "01-10", "01-17", "01-24", "01-31", "01-02"]),
        ("0 0 * * sat-mon", ["01-03", "01-04", "01-05", "01-10", "01-11", "01-12"]),
        ("0 0 * * 5-7", ["01-02", "01-03", "01-04", "01-09", "01-10", "01-11"]),
        # Day and weekday: one is enough, unless one begins with a star.
        ("0 0 13 * fri", ["01-02", "01-09", "01-13", "01-16", "01-23", "01-30"]),
        ("0 0 */2 * fri", ["01-09", "01-23", "02-13", "02-27", "03-13", "03-27"]),
        ("0 0 1 * fri#2", ["01-01", "01-09", "02-01", "02-13", "03-01", "03-13"]),
        ("0 0 ? * fri", ["01-02", "01-09", "01-16", "01-23", "01-30", "02-06"]),
        ("@Monthly", ["01-01", "02-01", "03-01", "04-01", "05-01", "06-01"]),
        ("0 0 29 2 *", ["02-29", "02-29", "02-29", "02-29", "02-29", "02-29"]),
    ],
)
def test_days(cron, expected):
    assert first_days(cron) == expected


def test_day_and_weekday_may_both_be_asked_for():
    found = first_days("0 0 13 * fri", day_or=False)

    assert found == ["02-13", "03-13", "11-13", "08-13", "10-13", "04-13"]


@pytest.mark.parametrize(
    ("cron", "times"),
    [
        ("5-5 3 * * *", [185]),  # croniter: every minute
        ("59/15 3 * * *", [239]),
        ("10/20 3 * * *", [190, 210, 230]),
        ("0 22-2 * * *", [0, 60, 120, 1320, 1380]),
        ("*/60 3 * * *", [180]),
        ("0-10/5,30 0 * * *", [0, 5, 10, 30]),
    ],
)
def test_times_of_the_day(cron, times):
    assert list(fields_of(cron, True).times) == times


def test_the_29th_of_february_on_a_monday_comes_after_28_years():
    first = next_times(CronTrigger("0 0 29 2 1", day_or=False), 2, START)

    assert [datetime.fromtimestamp(at, UTC).year for at in first] == [2044, 2072]


REFUSED = [
    ("", "it has 0 fields, cron has five: minute hour day month weekday"),
    ("0 8 * *", "it has 4 fields, cron has five: minute hour day month weekday, such as '0 8 * *"),
    ("0 0 8 * * *", "it has 6 fields, cron has five: .*; for seconds use an interval, such as 10s"),
    ("60 8 * * *", "minute '60' is not understood; minute takes 0-59"),
    ("0 24 * * *", "hour '24' is not understood; hour takes 0-23"),
    ("0 8 32 * *", "day '32' is not understood; day takes 1-31"),
    ("0 8 * 13 *", "month '13' is not understood; month takes 1-12 or jan-dec"),
    ("0 8 * * 8", "weekday '8' is not understood; weekday takes 0-7 or sun-sat"),
    ("0 8 * * mon-fry", "weekday 'mon-fry' is not understood"),
    ("0 8 * * mon#6", "weekday 'mon#6' is not understood"),
    ("1,,2 8 * * *", "minute '1,,2' is not understood"),
    ("*/0 8 * * *", "minute '\\*/0' is not understood"),
    ("-5 8 * * *", "minute '-5' is not understood"),
    ("*/90 * * * *", "would not repeat every 90 minutes; use an interval"),
    ("50-10/5 * * * *", "minute '50-10/5' runs backwards"),
    ("0 0 * * fri-mon/2", "weekday 'fri-mon/2' runs backwards; with a step it goes from low"),
    ("0 0 * * mon-fri#2", "weekday 'mon-fri#2' mixes weekdays of every week with one of the month"),
    ("0 0 * * 0-6,5#2", "weekday '0-6,5#2' mixes"),
    ("0 0 * * mon,5L", "weekday 'mon,5l' mixes"),
    ("r * * * *", "minute 'r' is not fixed"),
    ("h/5 * * * *", "minute 'h/5' is not fixed"),
    ("0 0 30 2 *", "day '30' never comes in month '2'"),
    ("0 0 31 4,6,9,11 *", "day '31' never comes"),
    ("0 0 31W 2 *", "day '31w' never comes in month '2'"),
    ("0 0 L-3 * *", "day 'l-3' is not understood"),
    ("@reboot", "of aliases there are @hourly, @daily"),
    ("\u0660 8 * * *", "is not understood"),  # an Arabic zero
    ("0\0 8 * * *", "is not understood"),
    ("0," * 600 + "0 8 * * *", "it has over 1000 characters"),
    (None, "give a text"),
    (5, "give a text"),
]


@pytest.mark.parametrize(("cron", "reason"), REFUSED)
def test_refused(cron, reason):
    with pytest.raises(InvalidSchedule, match=reason) as caught:
        CronTrigger(cron)

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 350


def some_field(rng: random.Random, low: int, high: int) -> str:
    """A field that cron and cronsim understand alike."""
    kind = rng.randrange(6)
    first, last = sorted(rng.sample(range(low, high + 1), 2))
    step = rng.randint(1, (high - low) // 2)
    return [
        "*", f"*/{step}", str(first), f"{first},{last}", f"{first}-{last}", f"{first}-{last}/{step}"
    ][kind]  # fmt: skip


def test_cronsim_names_the_same_times():
    """400 expressions, 20 fire times each. cronsim lets a day that never comes pass where a weekday
    makes up for it (`0 0 30 2 1`); croniter's strict mode, and so nbflow, does not."""
    rng = random.Random(24)
    compared = 0
    refused: list[str] = []
    while compared < 400:
        bounds = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
        cron = " ".join(some_field(rng, *each) for each in bounds)
        start = datetime(2026, 1, 1, tzinfo=UTC) + (
            rng.random() * (datetime(2030, 1, 1) - datetime(2026, 1, 1))
        )
        try:
            oracle = CronSim(cron, start)
            found = next_times(CronTrigger(cron), 20, start.timestamp())
        except CronSimError:
            continue
        except InvalidSchedule as error:
            refused.append(str(error))
            continue
        expected = [fire.timestamp() for fire in islice(oracle, 20)]
        assert found == expected, cron
        compared += 1
    assert all("never comes" in sentence for sentence in refused)


field_texts = st.one_of(
    st.sampled_from(
        "* */5 0 5 5-5 1-5 5-1 1-31/7 L LW 15W W15 5L L5 fri#2 2#5 ? mon sat-sun jan dec/3 * */0 "
        "*/99 1,2,3 0-0 7 00 31 29,30 H R h(1-3)/2 *,5 1-2-3 , - / # l-1 1/1/1".split()
    ),
    st.text("0123456789*/,-?LW#@hrjanmonfri", min_size=1, max_size=12),
)
cron_texts = st.one_of(
    st.lists(field_texts, min_size=1, max_size=7).map(" ".join),
    st.lists(field_texts, min_size=5, max_size=5).map(" ".join),
    st.text(max_size=60),
    st.text("0123456789*/,- ", max_size=2000),
)


def never_hangs(cron: str) -> None:
    started = time.thread_time()
    sentence = ""
    try:
        trigger = CronTrigger(cron, "Australia/Lord_Howe")
    except InvalidSchedule as error:
        sentence = str(error)
    else:
        found = next_times(trigger, 5, START)
        assert len(found) == 5
        assert found == sorted(set(found))
        assert trigger.words().endswith("(Australia/Lord_Howe)")
        assert load(trigger.to_json()) == trigger
    assert "\n" not in sentence
    assert time.thread_time() - started < 1


slow = [HealthCheck.too_slow]


@settings(max_examples=500, deadline=None, derandomize=True, suppress_health_check=slow)
@given(cron_texts)
@example("0 0 29 2 mon#5")
def test_whatever_is_written_is_understood_or_refused(cron):
    never_hangs(cron)


@pytest.mark.reliability
@settings(max_examples=10_000, deadline=None, suppress_health_check=slow)
@given(cron_texts)
def test_ten_thousand_texts_are_understood_or_refused(cron):
    never_hangs(cron)


WORDS = {
    "0 8 * * 1-5": "at 08:00, Monday to Friday",
    "*/10 * * * *": "every 10 minutes",
    "@daily": "at 00:00",
    "0 0 ? * 7": "at 00:00, on Sunday",
    "0 0 * * L5": "at 00:00, on the last Friday of the month",
    "0 0 1 * 1": "at 00:00, on day 1 of the month, or on Monday",
    "0 0 1 * fri#2": "at 00:00, on day 1 of the month, or on the second Friday of the month",
    "0 0 */2 * 1": "at 00:00, every 2 days, but only on Monday",
    "0 0 3 1 1-5": "at 00:00, on day 3 of the month, or on Monday to Friday, only in January",
    "0 0 L * *": "at 00:00, on the last day of the month",
    "5-5 3 * * *": "at 03:05",
}


@pytest.mark.parametrize(("cron", "words"), WORDS.items())
def test_words(cron, words):
    assert CronTrigger(cron, "Europe/Paris").words() == f"{words} (Europe/Paris)"


def test_words_do_not_follow_the_locale(monkeypatch):
    for name in ("LANG", "LC_ALL", "LC_MESSAGES", "LANGUAGE"):
        monkeypatch.setenv(name, "de_DE.UTF-8")

    assert CronTrigger("7 8 3 * 1-5").words() == (
        "at 08:07, on day 3 of the month, or on Monday to Friday (UTC)"
    )

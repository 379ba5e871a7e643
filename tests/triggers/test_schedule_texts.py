"""What people write for lengths, instants and zones; and what is said of what cannot be read."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from children import run_child
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.errors import InvalidSchedule
from nbflow.triggers import texts
from nbflow.triggers.preview import told


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90), ("15m", 900), ("6h", 21_600), ("1h30m", 5400), ("2d", 172_800),
        ("1w", 604_800), ("25ms", 0.025), ("1.5h", 5400), ("90", 90), ("0.5", 0.5),
        ("6 hours", 21_600), ("1 hour 30 minutes", 5400), ("1 day, 2 hours", 93_600),
        (" 6H ", 21_600), ("10 min", 600), ("30secs", 30), (6, 6.0), (0.025, 0.025),
        (timedelta(hours=6), 21_600),
    ],
)  # fmt: skip
def test_lengths(text, seconds):
    assert texts.interval_seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "h", "6x", "-6h", "6h-", "6 hourss", "1e3", "inf", "nan", "0s", "9ms", "200 years",
             "9" * 12 + "w", "1:30", None, True, [], "1h" * 100, "\u0661h", "ss", "5ss"],
)  # fmt: skip
def test_no_lengths(text):
    with pytest.raises(
        InvalidSchedule, match=r"^interval .* is not valid: (write seconds or a|it)"
    ):
        texts.interval_seconds(text)


NEW_YORK = "America/New_York"


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-12-24T18:00", "2026-12-24T23:00"),
        ("2026-12-24 18:00", "2026-12-24T23:00"),
        ("2026-12-24t18:00:30.5", "2026-12-24T23:00:30.500"),
        ("2026-12-24", "2026-12-24T05:00"),
        ("2026-12-24T18:00Z", "2026-12-24T18:00"),
        ("2026-12-24T18:00+01:00", "2026-12-24T17:00"),
        ("2026-12-24 18:00:00 -0500", "2026-12-24T23:00"),
        ("2026-03-08T02:30", "2026-03-08T07:00"),  # left out: when the clock has jumped
        ("2026-11-01T01:30", "2026-11-01T05:30"),  # twice: the first
        (datetime(2026, 12, 24, 18), "2026-12-24T23:00"),
        (datetime(2026, 12, 24, 18, tzinfo=UTC), "2026-12-24T18:00"),
        (date(2026, 12, 24), "2026-12-24T05:00"),
        (1_800_000_000, "2027-01-15T08:00"),
    ],
)
def test_instants(text, utc):
    assert texts.instant(text, NEW_YORK) == datetime.fromisoformat(utc + "+00:00").timestamp()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tomorrow", "write a date and a time such as 2026-12-24T18:00"),
        ("18:00", "write a date and a time"),
        ("2026-02-30T10:00", "day is out of range for month; write a date"),
        ("2026-12-24T25:00", "hour must be in 0..23; write a date"),
        ("24.12.2026", "write a date"),
        ("1066-10-14T09:00", "the year must be from 1900 to 9998"),
        ("9999-12-31T23:59", "the year must be from 1900 to 9998"),
        (float("nan"), "write a date"),
        (True, "write a date"),
        (None, "write a date"),
    ],
)
def test_no_instants(text, reason):
    with pytest.raises(InvalidSchedule, match=f"until .* is not valid: {reason}"):
        texts.instant(text, NEW_YORK, "until")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.one_of(st.text(max_size=40), st.text("0123456789-:T+Z. hmsd", max_size=30)))
def test_whatever_is_written_is_understood_or_refused(text):
    sentences = []
    for read in (texts.interval_seconds, lambda value: texts.instant(value, "UTC"), texts.zone):
        try:
            read(text)
        except InvalidSchedule as error:
            sentences.append(str(error))

    assert "\n" not in "".join(sentences)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("America/NewYork", "America/New_York"),
        ("america/new_york", "America/New_York"),
        ("New York", "America/New_York"),
        ("Berlin", "Europe/Berlin"),
        ("Europe/Pariss", "Europe/Paris"),
        ("utc+0", None),
        ("US/Estern", "US/Eastern"),
    ],
)
def test_the_nearest_zone_is_named(name, near):
    reason = f"did you mean {near}" if near else "there is no such zone"
    with pytest.raises(InvalidSchedule, match=reason):
        texts.zone(name)


@pytest.mark.parametrize(
    "name",
    ["", "Mars/Base", "../../etc/passwd", "/etc/localtime", "America", "localtime", "posixrules",
     "right/UTC", "a" * 5000, "UTC\0", "\ud800", None, 5],
)  # fmt: skip
def test_no_zones(name):
    with pytest.raises(InvalidSchedule, match=r"timezone .* is not valid"):
        texts.zone(name)


def test_a_zone_may_be_given_as_an_object():
    assert texts.zone(ZoneInfo("Europe/Paris")).key == "Europe/Paris"
    assert texts.zone(UTC).key == "UTC"


@pytest.mark.parametrize(
    ("name", "zone"),
    [("Europe/Paris", "Europe/Paris"), ("Etc/UTC", "UTC"), ("No/Where", "UTC"), ("UTC", "UTC")],
)
def test_the_zone_of_this_machine(home, name, zone):
    code = "from nbflow.triggers.texts import local_zone_name; print(local_zone_name())"

    assert run_child(code, home, TZ=name) == [zone]


def test_what_is_told_does_not_follow_the_machine(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert told(1_798_153_200, NEW_YORK) == "Thu 2026-12-24 18:00 UTC-05:00"
        assert told(1_798_153_205.025, "UTC") == "Thu 2026-12-24 23:00:05.025 UTC+00:00"
        assert told(1_798_153_199.9999, "Asia/Kolkata") == "Fri 2026-12-25 04:30 UTC+05:30"
    finally:
        monkeypatch.undo()
        time.tzset()

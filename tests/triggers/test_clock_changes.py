"""Cron at clock changes: every zone, every change, against a walk through each real minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from clock_changes import Change, Minute, changes, fire_times, walk
from cronsim import CronSim

from nbflow.triggers.cron import CronTrigger

HOUR = 3600


def crons_around(change: Change) -> Iterator[tuple[str, frozenset[int], bool]]:
    """Expressions that meet a change: text, minutes of the day, whether elapsed time counts."""
    gap = abs(change.after - change.before)
    first = change.wall(0 if change.after > change.before else -gap)  # of what is out or double
    for seconds in (-gap - 60, -60, 0, 60, gap // 2, gap - 60, gap, gap + 60, 2 * gap):
        wall = change.wall((first - change.wall(0)).total_seconds() + seconds)
        yield daily(frozenset({wall.minute}), frozenset({wall.hour}))
    hours = frozenset((first.hour + n) % 24 for n in range(3))
    yield daily(frozenset({0, 10, 30, 59}), hours)
    yield daily(frozenset({15, 45}), frozenset({0, first.hour, 23}))
    yield daily(frozenset(range(0, 60, 20)), frozenset({first.hour}))
    yield starred("*/20", str(first.hour))
    yield starred("*", f"{first.hour},{(first.hour + 2) % 24}")
    yield starred("*/10", "*")
    yield starred("0", "*")
    yield starred("7,37", "*/2")
    yield starred("30", "*/6")


def daily(minutes: frozenset[int], hours: frozenset[int]) -> tuple[str, frozenset[int], bool]:
    text = f"{listed(minutes)} {listed(hours)} * * *"
    return text, frozenset(60 * h + m for h in hours for m in minutes), False


def starred(minute: str, hour: str) -> tuple[str, frozenset[int], bool]:
    minutes, hours = named(minute, 60), named(hour, 24)
    return f"{minute} {hour} * * *", frozenset(60 * h + m for h in hours for m in minutes), True


def listed(numbers: frozenset[int]) -> str:
    return ",".join(str(n) for n in sorted(numbers))


def named(field: str, n: int) -> range | list[int]:
    if field.startswith("*"):
        return range(0, n, int(field[2:] or 1))
    return [int(part) for part in field.split(",")]


def fired(cron: str, zone: str, minutes: list[Minute]) -> list[float]:
    trigger = CronTrigger(cron, zone)
    found = []
    at = trigger.next_after(minutes[0].at - 0.5)
    while at is not None and at <= minutes[-1].at:
        found.append(at)
        at = trigger.next_after(at)
    return found


def wrong(every: list[Change]) -> list[str]:
    """What differs from the walk, over these changes."""
    differs = []
    for change in every:
        minutes = walk(change.zone, change.at - 30 * HOUR, change.at + 30 * HOUR)
        for cron, times, is_elapsed in crons_around(change):
            found = fired(cron, change.zone, minutes)
            if found != fire_times(minutes, times, is_elapsed=is_elapsed):
                differs.append(f"{change}: {cron}")
    return differs


def one_of_each(every: list[Change]) -> list[Change]:
    return list({change.shape: change for change in every}.values())


@pytest.fixture(scope="module")
def recent() -> list[Change]:
    return changes(2024, 2026)


def test_every_kind_of_change_fires_as_the_wall_says(recent):
    """Zones that change alike at the same moment are tried once; the long version tries all."""
    assert len(recent) > 1000
    assert wrong(one_of_each(recent)) == []


@pytest.mark.reliability
def test_every_change_of_every_zone_fires_as_the_wall_says():
    assert wrong(changes(2020, 2037)) == []


def wrong_days(zone: str, first_year: int, last_year: int, hour: int, minute: int) -> list[str]:
    """Days on the wall that a daily schedule did not have exactly once.

    Where the clock jumps over the time, the day is that of the time: in Greenland 23:30 is left out
    once a year, and due at 00:00.
    """
    trigger = CronTrigger(f"{minute} {hour} * * *", zone)
    known = ZoneInfo(zone)
    day = datetime(first_year, 1, 1)
    at = day.replace(tzinfo=known).timestamp() - 1
    days: Counter[str] = Counter()
    while (fire_at := trigger.next_after(at)) is not None:
        at = fire_at
        start = datetime.fromtimestamp(at - 1, known).replace(tzinfo=None) + timedelta(seconds=1)
        due = start.replace(hour=hour, minute=minute)
        due += timedelta(days=due < start)
        assert due <= datetime.fromtimestamp(at, known).replace(tzinfo=None)
        if due.year > last_year:
            break
        days[f"{zone} {due:%Y-%m-%d}"] += 1
    n_days = (datetime(last_year + 1, 1, 1) - day).days
    return [one for one, n in days.items() if n != 1] + [f"{n_days} days"] * (len(days) != n_days)


def times_of_changes(every: list[Change]) -> list[tuple[str, int, int]]:
    """Zone, hour and minute that a change of the zone leaves out or shows twice, or nearly."""
    found = set()
    for change in every:
        for seconds in (-60, 0, 60):
            wall = change.wall(seconds)
            found.add((change.zone, wall.hour, wall.minute))
    return sorted(found)


def test_a_daily_schedule_fires_once_a_day(recent):
    differs = []
    for zone, hour, minute in times_of_changes(one_of_each(recent)):
        differs += wrong_days(zone, 2024, 2026, hour, minute)

    assert differs == []


@pytest.mark.reliability
def test_a_daily_schedule_fires_once_a_day_in_every_zone_for_18_years():
    differs = []
    for zone, hour, minute in times_of_changes(changes(2020, 2037)):
        differs += wrong_days(zone, 2020, 2037, hour, minute)

    assert differs == []


def by_cronsim(cron: str, change: Change, minutes: list[Minute]) -> list[float]:
    start = datetime.fromtimestamp(minutes[0].at - 60, ZoneInfo(change.zone))
    found = []
    for fire in CronSim(cron, start):
        at = fire.timestamp()
        if at > minutes[-1].at:
            return found
        if at >= minutes[0].at and at not in found[-1:]:
            found.append(at)
    return found


def steps_evenly(change: Change) -> bool:
    """Whether cronsim's steps of whole real hours meet the starts of the wall's hours after it."""
    return (change.after - change.before) % HOUR == 0 and change.wall(0).minute == 0


def test_cronsim_agrees(recent):
    """But for stars in Lord Howe (half an hour) and Chatham (at 02:45), where cronsim goes on by
    whole hours of real time from where it stands and so passes over the first part of an hour."""
    differs = []
    for change in one_of_each(recent):
        minutes = walk(change.zone, change.at - 30 * HOUR, change.at + 30 * HOUR)
        for cron, _, is_elapsed in crons_around(change):
            if is_elapsed and not steps_evenly(change):
                continue
            if fired(cron, change.zone, minutes) != by_cronsim(cron, change, minutes):
                differs.append(f"{change}: {cron}")

    assert differs == []


@pytest.mark.parametrize(
    ("zone", "cron", "start", "expected"),
    [
        ("America/New_York", "30 2 * * *", "2026-03-08T00:00", ["08T03:00-04", "09T02:30-04"]),
        ("America/New_York", "0,15,30 2,3 * * *", "2026-03-08T01:59",
         ["08T03:00-04", "08T03:15-04", "08T03:30-04", "09T02:00-04"]),
        ("America/New_York", "30 1 * * *", "2026-11-01T00:00", ["01T01:30-04", "02T01:30-05"]),
        ("America/New_York", "0 0-23 * * *", "2026-11-01T00:30",
         ["01T01:00-04", "01T01:00-05", "01T02:00-05"]),
        ("America/New_York", "*/30 * * * *", "2026-11-01T01:00",
         ["01T01:30-04", "01T01:00-05", "01T01:30-05", "01T02:00-05"]),
        ("America/New_York", "*/30 2 * * *", "2026-03-08T00:00", ["09T02:00-04", "09T02:30-04"]),
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-04T00:00", ["04T02:30+11", "05T02:15+11"]),
        ("Asia/Beirut", "0 0 * * *", "2026-03-28T12:00", ["29T01:00+03", "30T00:00+03"]),
        ("America/Havana", "0 0 * * *", "2026-10-31T12:00", ["01T00:00-04", "02T00:00-05"]),
        # It has no 30 December: what was due in the missing day is due when it is over.
        ("Pacific/Apia", "0 8 * * *", "2011-12-29T09:00", ["31T00:00+14", "31T08:00+14"]),
    ],
)  # fmt: skip
def test_known_changes(zone, cron, start, expected):
    known = ZoneInfo(zone)
    trigger = CronTrigger(cron, zone)
    at = datetime.fromisoformat(start).replace(tzinfo=known).timestamp()
    found = []
    for _ in expected:
        at = trigger.next_after(at)
        found.append(f"{datetime.fromtimestamp(at, known):%dT%H:%M%z}"[:-2])

    assert found == expected


def test_between_two_showings_of_an_hour_the_fixed_waits_and_the_starred_goes_on():
    zone = ZoneInfo("America/New_York")
    again = datetime(2026, 11, 1, 1, 10, fold=1, tzinfo=zone).timestamp()

    assert CronTrigger("30 1 * * *", zone.key).next_after(again) - again > 23 * HOUR
    assert CronTrigger("*/10 1 * * *", zone.key).next_after(again) - again == 600


def test_from_every_minute_of_a_change_the_next_is_the_next(recent):
    """`next_after` is asked anywhere, not only at fire times: after a pause, a sleep, a restart."""
    zones = ("America/New_York", "Australia/Lord_Howe", "Africa/Cairo")
    for change in [one for one in recent if one.zone in zones][:9]:
        minutes = walk(change.zone, change.at - 3 * HOUR, change.at + 3 * HOUR)
        for cron, times, is_elapsed in crons_around(change):
            due = fire_times(minutes, times, is_elapsed=is_elapsed)
            trigger = CronTrigger(cron, change.zone)
            for minute in minutes[:-1]:
                later = [at for at in due if at > minute.at + 0.5]
                if later:
                    assert trigger.next_after(minute.at + 0.5) == later[0], (str(change), cron)

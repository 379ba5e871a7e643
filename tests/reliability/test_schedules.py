"""Each fire time of a schedule becomes one run, whatever happens to those who serve it."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections import Counter

import pytest
from children import read
from mayhem import percentiles, seeded, unfinished, until
from serving import Servers, causes, every, faketime, fire_times, wait_for_all

STEP = 0.025
HOUR = 3_600.0


def lateness(home):
    """Seconds between the planned time of a run and its begin, of all that were begun."""
    rows = read(home, "SELECT started_at - scheduled_at FROM runs WHERE started_at IS NOT NULL")
    return [float(row[0]) for row in rows]


def fire_among_kills(home, n_times, n_kills, n_stops):
    rng = seeded()
    after = time.time() + 1.5  # until then all have begun to serve
    until_at = after + n_times * STEP
    wanted = fire_times(STEP, after, until_at)
    with Servers(home, 8, [every(STEP, after, until_at=until_at)]) as servers:
        servers.wait_ready()
        servers.mayhem(rng, until_at - time.time(), n_kills, n_stops)
        wait_for_all(home, wanted)
        servers.end()
        left = unfinished(home)

    print(f"{len(wanted)} fire times, {servers.n_kills} kills, {servers.n_stops} stops:",
          percentiles(lateness(home)))  # fmt: skip
    assert causes(home) == wanted  # none twice, none missing
    assert left == []
    states = dict(read(home, "SELECT state_name, count(*) FROM runs GROUP BY 1"))
    print(states)
    assert set(states) <= {"Completed", "Crashed"}
    assert states["Completed"] > len(wanted) // 2
    # Who crashed ran at most once, who completed exactly once: nobody else carried it out.
    assert servers.overlaps() == []
    assert set(servers.tries().values()) == {1}
    completed = {row[0] for row in read(home, "SELECT id FROM runs WHERE state_name = 'Completed'")}
    assert completed <= set(servers.tries())
    assert servers.said == ""


def test_two_hundred_fire_times_among_kills_run_once_each(home):
    fire_among_kills(home, 200, 20, 8)


@pytest.mark.reliability
@pytest.mark.timeout(300)
def test_thousand_fire_times_among_kills_run_once_each(home):
    fire_among_kills(home, 1_000, 150, 60)


def test_lateness_without_mayhem(home):
    """Of eight that serve; loose, as machines differ: `make bench` has the numbers."""
    after = time.time() + 1.5
    until_at = after + 2.0
    with Servers(home, 8, [every(STEP, after, until_at=until_at)], again=60.0) as servers:
        servers.wait_ready()
        wait_for_all(home, wanted := fire_times(STEP, after, until_at))
        servers.end()

    print("late by", percentiles(lateness(home)))
    assert causes(home) == wanted
    assert sorted(lateness(home))[len(wanted) // 2] < 0.5
    assert servers.said == ""


def recorded(home, name):
    """How many fire times a schedule's runs stand for, and what each fire time became."""
    rows = read(
        home,
        """SELECT cause, state_name, message FROM orders JOIN schedules s ON s.id = schedule_id
           JOIN runs ON runs.id = run_id WHERE s.name = ?""",
        name,
    )
    n = sum(
        int(found[1]) if (found := re.match(r"(\d+) fire times from", str(message))) else 1
        for _, _, message in rows
    )
    return n, {str(cause): str(state) for cause, state, _ in rows}


JUMPS = {
    "an hour ahead": (HOUR,),
    "an hour back": (-HOUR,),
    "an hour ahead and back": (HOUR, -HOUR),
    "an hour back and ahead": (-HOUR, 2 * HOUR),
    "a day ahead": (24 * HOUR,),
    "a day back and ahead": (-24 * HOUR, 48 * HOUR),
    "all": (HOUR, -HOUR, 24 * HOUR, -HOUR, HOUR, -24 * HOUR, 25 * HOUR),
}
NO_FAKETIME = pytest.mark.skipif(faketime() is None, reason="libfaketime is not installed")
CASES = [
    *[(name, "latest", None) for name in JUMPS],
    pytest.param("an hour ahead and back", "latest", faketime(), marks=NO_FAKETIME),
    *[
        pytest.param(name, catch_up, library, marks=marks)
        for library, marks in (
            (None, [pytest.mark.reliability]),
            (faketime(), [pytest.mark.reliability, NO_FAKETIME]),
        )
        for name in JUMPS
        for catch_up in ("skip", "latest", "all")
        if library or catch_up != "latest"
    ],
]


@pytest.mark.parametrize(("name", "catch_up", "library"), CASES)
def test_each_fire_time_is_recorded_once_when_the_clock_jumps(home, name, catch_up, library):
    begin_at = 1_790_000_000.0
    begin_at += 595.0 - begin_at % 600  # five seconds before one of the tens
    tens = every(600.0, begin_at, "tens", catch_up=catch_up)
    # So often that a jump is noticed at once, and not with the scheduler's next look at the clock.
    often = every(0.2, begin_at, "often")
    moved = furthest = 0.0
    began = time.monotonic()
    with Servers(home, 3, [tens, often], begin_at=begin_at, library=library) as servers:
        servers.wait_ready()
        until(lambda: len(causes(home, "often")) > 2)
        for seconds in JUMPS[name]:
            before = causes(home, "often")
            servers.move(seconds)
            moved += seconds
            if moved > furthest:  # it goes on from there
                due = fire_times(600.0, begin_at, begin_at + moved)
                until(lambda due=due: recorded(home, "tens")[0] >= len(due), 60)
                until(lambda before=before: causes(home, "often")[-1] > before[-1], 60)
            elif moved < furthest:  # nothing that was fired is fired again
                after = causes(home, "often")
                time.sleep(0.5)  # for nothing to happen in, but what was under way
                assert len(causes(home, "often")) <= len(after) + 1
            furthest = max(furthest, moved)
        # Many are due at once after a jump: those that serve begin some at a time. What is due
        # later by a clock that was set back waits for that.
        due_now = "SELECT 1 FROM orders WHERE taken_at IS NULL AND due_at <= ?"
        until(lambda: not read(home, due_now, begin_at + moved + 599.0), 60)
        servers.end()
        left = [run for run in unfinished(home) if run[-1]]  # what waits has no owner
    took = time.monotonic() - began

    n, became = recorded(home, "tens")
    due = fire_times(600.0, begin_at, begin_at + furthest + took)
    assert n in (len(due), len(fire_times(600.0, begin_at, begin_at + furthest)))
    assert set(became) <= set(due)
    assert left == []
    told = Counter(became.values())
    print(told)
    assert set(told) <= {
        "Completed",
        "Missed",
        *(["Scheduled", "Late"] if moved < furthest else []),
    }
    # Each time that the clock went ahead may have met one; of all others the schedule says it.
    ahead = sum(seconds > 0 for seconds in JUMPS[name])
    n_run = {"skip": (0, ahead), "latest": (1, 2 * ahead), "all": (n, n)}[catch_up]
    assert n_run[0] <= n - told["Missed"] <= n_run[1] or not furthest or len(became) < n
    # Of the often ones none is left out either: what has no run of its own is counted in another.
    n, became = recorded(home, "often")
    times = sorted(map(int, became))
    if furthest < 10 * HOUR:  # of hundreds of thousands it only says that there were so many
        assert n == round((times[-1] - times[0]) / 200) + 1
    assert servers.said == ""


@pytest.mark.reliability
@pytest.mark.parametrize("jump", [HOUR, 24 * HOUR])
def test_jump_ahead_is_noticed_in_half_a_minute_by_who_sleeps(home, jump):
    begin_at = 1_790_000_000.0
    begin_at += 300.0 - begin_at % 600
    with Servers(home, 2, [every(600.0, begin_at)], begin_at=begin_at, again=600.0) as servers:
        servers.wait_ready()
        time.sleep(1)  # so that both sleep
        servers.move(jump)
        due = fire_times(600.0, begin_at, begin_at + jump)
        until(lambda: recorded(home, "often")[0] >= len(due), 35)
        servers.end()

    assert recorded(home, "often")[0] == len(due)
    assert unfinished(home) == []


def test_machine_that_sleeps_misses_nothing(home):
    """All processes stand still while the clock goes on."""
    after = time.time() + 1.5
    until_at = after + 4.0
    with Servers(home, 4, [every(STEP, after, until_at=until_at)]) as servers:
        servers.wait_ready()
        until(lambda: len(causes(home)) >= 20)
        for child in servers.all:
            child.send(signal.SIGSTOP)
        time.sleep(2.0)  # asleep
        for child in servers.all:
            child.send(signal.SIGCONT)
        wait_for_all(home, wanted := fire_times(STEP, after, until_at))
        servers.end()

    assert causes(home) == wanted
    assert read(home, "SELECT DISTINCT state_name FROM runs") == [("Completed",)]
    assert max(lateness(home)) > 1
    assert unfinished(home) == []
    assert servers.said == ""


@pytest.fixture
def disk(home):
    """The test's home as a disk of its own, of 16 MB."""
    home.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(home)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.decode().strip()}")
    yield home
    subprocess.run(["umount", "-l", str(home)], check=True)


@pytest.mark.parametrize(
    ("n_servers", "full_seconds"), [(2, 3.0), pytest.param(4, 20.0, marks=pytest.mark.reliability)]
)
def test_full_disk_holds_schedules_up_and_loses_none(disk, n_servers, full_seconds):
    after = time.time() + 1.5
    until_at = after + full_seconds + 8.0
    with Servers(disk, n_servers, [every(0.1, after, until_at=until_at)]) as servers:
        servers.wait_ready()
        until(lambda: len(causes(disk)) >= 10)
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            end = time.monotonic() + full_seconds
            while time.monotonic() < end:  # what becomes free, it takes
                try:
                    file.write(b"x" * (64 << 10 if ballast.stat().st_size < 1 << 23 else 512))
                except OSError:
                    time.sleep(0.01)
        ballast.unlink()
        wait_for_all(disk, wanted := fire_times(0.1, after, until_at), 30)
        servers.end()
        left = unfinished(disk)

    print("late by", percentiles(lateness(disk)))
    assert causes(disk) == wanted
    assert left == []
    assert max(lateness(disk)) > full_seconds / 2  # or it was not full
    assert read(disk, "SELECT DISTINCT state_name FROM runs") == [("Completed",)]
    assert servers.overlaps() == []
    # Each says so, in few words.
    assert "Traceback" not in servers.said
    lines = servers.said.splitlines()
    print(*lines, sep="\n")
    assert all("full" in line for line in lines)
    assert n_servers <= len(lines) <= n_servers * (3 + full_seconds / 5)

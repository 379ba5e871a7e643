"""Those who serve are killed between claim and end: no run is lost, none runs twice at a time."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress

import pytest
from children import read
from mayhem import seeded, unfinished, until
from serving import Servers, causes, every, fire_times, wait_for_all

STEP = 0.1
SLOW_STEP = 0.4  # each run starts a process of its own


def fire_and_kill(home, *, n_times, n_kills, retries, n_servers=4, workers=False):
    rng = seeded()
    after = time.time() + 1.5
    step = SLOW_STEP if workers else STEP
    until_at = after + n_times * step
    wanted = fire_times(step, after, until_at)
    schedules = [every(step, after, until_at=until_at)]
    about = {"seconds": 0.3, "retries": retries, "workers": workers}
    with Servers(home, n_servers, schedules, **about) as servers:
        servers.wait_ready()
        servers.mayhem(rng, until_at - time.time(), n_kills, 0)
        wait_for_all(home, wanted)
        with suppress(AssertionError):  # it is told below what is left
            until(lambda: not unfinished(home), 60)
        servers.end()
        left = unfinished(home)
    states = dict(read(home, "SELECT state_name, count(*) FROM runs GROUP BY 1"))
    print(n_times, "fire times,", servers.n_kills, "kills:", states)
    assert causes(home) == wanted
    assert left == []
    assert servers.overlaps() == []
    assert servers.said == ""
    return states, servers.tries()


LONG = [pytest.mark.reliability, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("n_times", "n_kills"), [(40, 12), pytest.param(300, 100, marks=LONG, id="long")]
)
def test_run_of_a_killed_server_is_crashed_and_begun_once(home, n_times, n_kills):
    states, tries = fire_and_kill(home, n_times=n_times, n_kills=n_kills, retries=0)

    assert set(states) == {"Completed", "Crashed"}
    assert set(tries.values()) == {1}
    # A run that was claimed and not begun says so too.
    assert read(
        home, "SELECT count(*) FROM runs WHERE state_name = 'Crashed' AND message = ''"
    ) == [(0,)]


@pytest.mark.parametrize(
    ("n_times", "n_kills"), [(40, 12), pytest.param(300, 100, marks=LONG, id="long")]
)
def test_run_of_a_killed_server_is_run_again_where_it_may(home, n_times, n_kills):
    states, tries = fire_and_kill(home, n_times=n_times, n_kills=n_kills, retries=20)

    assert set(states) == {"Completed"}
    print("tries:", Counter(tries.values()))
    assert max(tries.values()) > 1
    # Its history and its count of tries say the same, but for a try that wrote and was killed
    # before its state was.
    for run_id, n in tries.items():
        told = read(
            home,
            """SELECT run_count, (SELECT count(*) FROM lines WHERE run_id = runs.id
                   AND state_name IN ('Running', 'Retrying')) FROM runs WHERE id = ?""",
            run_id,
        )
        assert 1 <= told[0][1] <= n
        assert told[0][0] >= told[0][1]


@pytest.mark.parametrize(
    ("n_times", "n_kills"), [(15, 8), pytest.param(60, 40, marks=LONG, id="long")]
)
def test_worker_processes_of_a_killed_server_end_before_its_run_begins_again(
    home, n_times, n_kills
):
    states, tries = fire_and_kill(home, n_times=n_times, n_kills=n_kills, retries=20, workers=True)

    assert set(states) <= {"Completed", "Crashed"}  # the latter: tasks of the first tries
    print("tries:", Counter(tries.values()))


def test_who_takes_up_again_is_told_what_was_missed(home):
    """All that served are killed; what was due meanwhile is recorded by who comes next."""
    after = time.time() + 1.5
    until_at = after + 4.0
    schedules = [every(STEP, after, until_at=until_at, catch_up="skip")]
    with Servers(home, 2, schedules) as servers:
        servers.wait_ready()
        until(lambda: len(causes(home)) >= 5)
        for child in servers.all:
            child.kill()
        before = len(causes(home))
        until(lambda: time.time() > until_at)
        with Servers(home, 1, schedules) as later:
            later.wait_ready()
            wait_for_all(home, wanted := fire_times(STEP, after, until_at))
            assert before < len(wanted)
            later.end()

    assert causes(home) == wanted
    assert unfinished(home) == []


def test_fire_times_of_a_night_without_anybody_are_recorded_as_missed(home):
    """The clock is an hour ahead when somebody serves again."""
    minute = 1_790_000_040.0
    schedules = [every(60.0, minute - 1.0, catch_up="skip")]
    with Servers(home, 2, schedules, begin_at=minute - 1.0) as servers:
        servers.wait_ready()
        until(lambda: len(causes(home)) == 1)
        for child in servers.all:
            child.kill()
        with Servers(home, 2, schedules, begin_at=minute + 3_570.0) as later:
            later.wait_ready()
            wait_for_all(home, fire_times(60.0, minute - 1.0, minute + 3_570.0))
            later.end()

    rows = read(
        home,
        "SELECT state_name, message FROM runs JOIN orders ON run_id = id ORDER BY scheduled_at",
    )
    missed = [message for name, message in rows if name == "Missed"]
    assert len(missed) >= 57
    assert all(str(message).startswith("missed: nobody was there for it") for message in missed)
    assert unfinished(home) == []

"""What was acknowledged survives `kill -9` at any instant, and nothing is left running."""

from __future__ import annotations

import random
import time

import pytest
from children import Child, is_intact, read

from nbflow.store.store import Store

FLOW = """
    import sys
    from nbflow import flow, task, get_run_logger
    from nbflow.cache_policies import INPUTS

    @task
    def double(x):
        get_run_logger().info("doubling %d", x)
        return 2 * x

    @task(cache_policy=INPUTS, tags=["slots"])
    def large(n):
        return [n] * 10_000

    @flow
    def inner(n):
        return sum(double.map(range(n)).result())

    @flow(flow_run_name="{name}")
    def f(name, n):
        large(n % 3)
        return inner(5) + len(double.map(range(n)).result())

    print("ready", flush=True)
    for i in range(1_000_000):
        f(f"{sys.argv[1]}-{i}", i % 20)
        print(f"{sys.argv[1]}-{i}", flush=True)  # its result was given: it may not be lost
"""


def kill_often(home, n_kills, seed):
    print("seed", seed)  # to run it again
    rng = random.Random(seed)
    store = Store(home, may_fall_back=False)
    store.create_limit("slots", 2)
    acknowledged = []
    for round_ in range(n_kills // 4):
        children = [Child(FLOW, home, f"{round_}-{n}") for n in range(4)]
        for child in children:
            child.line()
        for child in children:
            time.sleep(rng.uniform(0, 0.06))  # the random instant of the kill, nothing to wait for
            acknowledged += child.kill()
        if round_ % 5 == 0:
            assert is_intact(home)
    store.reap()
    limits = store.limits("slots")
    store.close()

    completed = {
        name
        for (name,) in read(
            home, "SELECT name FROM runs WHERE spec_name = 'f' AND state_name = 'Completed'"
        )
    }
    assert len(acknowledged) > n_kills
    assert set(acknowledged) - completed == set()
    unfinished = "state_type NOT IN ('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED')"
    assert read(home, f"SELECT count(*) FROM runs WHERE {unfinished}") == [(0,)]
    assert limits[0].n_active == 0
    # What is Completed has its end, what is not is Crashed and says so in its history.
    assert read(
        home, "SELECT count(*) FROM runs WHERE ended_at IS NULL OR state_type IN ('FAILED')"
    ) == [(0,)]
    crashed = read(home, "SELECT id FROM runs WHERE state_name = 'Crashed' ORDER BY id")
    told = read(home, "SELECT run_id FROM lines WHERE state_name = 'Crashed' ORDER BY run_id")
    assert told == crashed
    assert is_intact(home)
    return len(acknowledged), len(crashed)


def test_forty_kills_lose_nothing(home):
    kill_often(home, 40, seed=random.randrange(10**6))


@pytest.mark.reliability
@pytest.mark.timeout(900)
def test_five_hundred_kills_lose_nothing(home):
    print(kill_often(home, 500, seed=random.randrange(10**6)))

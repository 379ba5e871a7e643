"""Each fire time is one run, whoever dies, stops or declares the schedule anew meanwhile."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter

import pytest
from children import Child, is_intact, read

from nbflow.store.store import Store

# One of many that see to the same schedule. What it begins it says on a line of a file.
SEEING_TO_IT = """
    import os, sys, time
    from pathlib import Path
    from nbflow.model.deployments import DeploymentKind, DeploymentSpec
    from nbflow.model.schedules import Fire, Firing, Overlap, ScheduleSpec
    from nbflow.store.store import Store

    home, begin_at, step, n = Path(sys.argv[1]), *map(float, sys.argv[2:4]), int(sys.argv[4])
    log = os.open(home / "begun", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    store = Store(home, may_fall_back=False)

    def at(i):
        return begin_at + i * step if i < n else None

    def declare():
        ticks = ScheduleSpec(
            name="ticks",
            trigger={"kind": "interval", "seconds": step},
            first_at=at(max(0, int((time.time() - begin_at) / step) + 1)),
            overlap=Overlap.ALLOW,
        )
        spec = DeploymentSpec(
            flow_name="f", name="d", kind=DeploymentKind.SCRIPT, target="/a.py:f", folder="/"
        )
        store.put_deployment(spec, [ticks], serve=True)

    bell = store.bell()
    declare()
    print("ready", flush=True)
    declared_at = reaped_at = time.time()
    while True:
        now = time.time()
        if now - declared_at > 1:
            declare()
            declared_at = now
        if now - reaped_at > 0.5:
            store.reap()
            reaped_at = now
        (schedule,) = store.schedules()
        next_at = schedule.next_at
        if next_at is None:
            break
        if next_at > now:
            bell.wait(next_at - now)
            continue
        i = round((next_at - begin_at) / step)
        due = [at(k) for k in range(i, n) if at(k) <= now]
        fire = Fire(
            schedule_id=schedule.id,
            expected_at=next_at,
            firings=tuple(Firing(cause=f"{one:.3f}", fire_at=one, due_at=one) for one in due),
            next_at=at(i + len(due)),
        )
        for order in store.fire([fire], start=True)[0].taken:
            os.write(log, f"{order.cause}\\n".encode())
"""


def fire_with_kills(home, n_times, n_kills, n_stops, *, seed, step=0.025):
    print("seed", seed)  # to run it again
    rng = random.Random(seed)
    home.mkdir()
    begin_at = time.time() + 2.0
    children = [Child(SEEING_TO_IT, home, home, begin_at, step, n_times) for _ in range(8)]
    for child in children:
        assert child.line() == "ready"
    events = [(rng.uniform(0, n_times * step), "kill") for _ in range(n_kills)]
    for _ in range(n_stops):
        after = rng.uniform(0, n_times * step)
        events += [(after, "stop"), (after + rng.uniform(0.05, 0.5), "go on")]
    stopped: list[Child] = []
    n_killed = 0
    for after, what in sorted(events):
        time.sleep(
            max(0.0, begin_at + after - time.time())
        )  # a random instant, no wait for a thing
        n = rng.randrange(len(children))
        if what == "stop":
            children[n].send(signal.SIGSTOP)
            stopped.append(children[n])
        elif what == "go on":
            stopped.pop(0).send(signal.SIGCONT)
        elif children[n]._process.poll() is None:
            children[n].kill()
            children[n] = Child(SEEING_TO_IT, home, home, begin_at, step, n_times)
            n_killed += 1
    for child in children:
        child.end()

    store = Store(home, may_fall_back=False)
    store.reap()
    planned = [f"{begin_at + i * step:.3f}" for i in range(n_times)]
    assert sorted(cause for (cause,) in read(home, "SELECT cause FROM orders")) == planned
    begun = Counter((home / "begun").read_text().split())
    assert max(begun.values()) == 1
    assert n_times - len(begun) <= n_killed  # only who was killed just then has begun nothing
    assert read(home, "SELECT DISTINCT state_name FROM runs") == [("Crashed",)]  # with its process
    assert store.schedules()[0].next_at is None
    assert is_intact(home)
    store.close()
    late = sorted(
        made_at - fire_at
        for made_at, fire_at in read(home, "SELECT created_at, scheduled_at FROM runs")
    )
    return n_killed, late[n_times // 2], late[n_times * 99 // 100]


def test_every_fire_time_is_one_run(home):
    n_killed, late, _ = fire_with_kills(home, 200, 15, 6, seed=random.randrange(10**6))

    assert n_killed > 5
    assert late < 1.0


@pytest.mark.reliability
@pytest.mark.timeout(600)
def test_a_thousand_fire_times_are_a_thousand_runs(home):
    print(fire_with_kills(home, 1000, 150, 60, seed=random.randrange(10**6)))

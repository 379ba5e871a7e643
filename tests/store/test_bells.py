"""Who waits hears who rings, in other processes too; nobody ever waits to ring."""

from __future__ import annotations

import os
import signal
import time

import pytest
from children import Child
from declared import declare, finish, fire, schedule_spec, scheduled

from nbflow import flow, task, wiring
from nbflow.store import bells
from nbflow.store.bells import Bell, ring_all

LISTEN = """
    import sys
    from pathlib import Path
    from nbflow.store.bells import Bell
    bell = Bell(Path(sys.argv[1]))
    print("listening", flush=True)
    while True:
        print(bell.wait(60), flush=True)
"""


@pytest.fixture
def bell(home):
    home.mkdir(exist_ok=True)
    hung = Bell(home)
    yield hung
    hung.close()


@pytest.fixture
def hears(store):
    """What tells whether the store rang since it was last asked."""
    hung = store.bell()
    yield hung.wait
    hung.close()


def test_wait_ends_with_the_ring_and_not_before(home, bell):
    assert not bell.wait(0)
    ring_all(home)
    assert bell.wait(60)
    assert not bell.wait(0)


def test_many_rings_are_heard_once(home, bell):
    for _ in range(70_000):  # more than a FIFO holds
        bell.ring()
    ring_all(home)

    assert bell.wait(0)
    assert not bell.wait(0)


def test_every_process_hears(home, bell):
    listeners = [Child(LISTEN, home, home) for _ in range(3)]
    for listener in listeners:
        assert listener.line() == "listening"
    for _ in range(3):
        ring_all(home)
        assert [listener.line() for listener in listeners] == ["True"] * 3
        assert bell.wait(0)
    for listener in listeners:
        listener.kill()


def test_bells_of_dead_processes_are_taken_away(home, bell):
    listener = Child(LISTEN, home, home)
    assert listener.line() == "listening"
    assert len(os.listdir(home / "bells")) == 2
    listener.kill()

    ring_all(home)

    assert len(os.listdir(home / "bells")) == 1
    assert bell.wait(0)


def test_stopped_listener_holds_nobody_up(home):
    listener = Child(LISTEN, home, home)
    assert listener.line() == "listening"
    listener.send(signal.SIGSTOP)

    began = time.monotonic()
    for _ in range(70_000 // 10):
        ring_all(home)
    assert time.monotonic() - began < 10

    listener.send(signal.SIGCONT)
    assert listener.line() == "True"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # threads of other tests
def test_forked_child_does_not_read_its_parents_bell(home, bell):
    ring_all(home)
    pid = os.fork()
    if pid == 0:
        bell.wait(0)
        os._exit(0)
    os.waitpid(pid, 0)

    assert bell.wait(0)  # the ring was left to it
    pid = os.fork()
    if pid == 0:
        bell.ring()
        os._exit(0)
    os.waitpid(pid, 0)
    assert not bell.wait(0)
    assert len(os.listdir(home / "bells")) == 1


def test_bell_without_fifos_gives_up_after_a_second(home, monkeypatch):
    def refuse(*_):
        raise PermissionError("no FIFOs here")

    monkeypatch.setattr(bells.os, "mkfifo", refuse)
    home.mkdir()
    deaf = Bell(home)

    began = time.monotonic()
    assert not deaf.wait(60)
    assert 0.5 < time.monotonic() - began < 30
    deaf.ring()
    assert deaf.wait(60)
    assert os.listdir(home / "bells") == []
    deaf.close()


def test_closed_bell_is_gone(home):
    home.mkdir()
    hung = Bell(home)
    hung.close()
    hung.close()

    assert os.listdir(home / "bells") == []
    ring_all(home)
    assert hung.wait(60)  # its closing was the ring


def test_ringing_costs_next_to_nothing_without_bells(home):
    home.mkdir()
    (home / "bells").mkdir()

    def cost():
        began = time.perf_counter()
        for _ in range(1000):
            ring_all(home)
        return (time.perf_counter() - began) / 1000

    assert min(cost() for _ in range(5)) < 50e-6  # 5 us on an idle machine


def test_store_rings_for_what_others_wait_for(store, hears):
    deployment = declare(store, schedule_spec())
    assert hears(5)
    schedule = store.schedules()[0]
    order = store.add_order(deployment.id)
    assert hears(5)
    store.pause_schedule(schedule.id, paused=True)
    assert hears(5)
    store.pause_schedule(schedule.id, paused=False, next_at=7.0)
    assert hears(5)
    store.create_pool("p", "process")
    assert hears(5)
    store.take_orders()
    assert not hears(0)
    finish(store, order)
    assert hears(5)


def test_store_rings_for_runs_that_are_left_to_others(store, hears):
    schedule = scheduled(store)
    hears(5)

    assert len(fire(store, schedule).taken) == 1
    assert not hears(0)
    assert fire(store, schedule, start=False, state="Scheduled").orders
    assert hears(5)


def test_store_rings_for_outermost_flows_and_not_for_tasks(home):
    @task
    def t():
        store.flush()
        return bell.wait(0)

    @flow
    def inner():
        store.flush()
        return bell.wait(0)

    @flow
    def f():
        first = t(), inner()
        store.flush()
        return *first, bell.wait(0)

    store = wiring.current().store
    bell = store.bell()

    assert f() == (False, False, False)
    assert bell.wait(5)
    bell.close()


def test_revision_tells_of_declarations_and_not_of_firing(store):
    schedule = scheduled(store)
    before = store.revision()

    fire(store, schedule)
    store.add_order(schedule.deployment_id)
    assert store.revision() == before
    store.pause_deployment(schedule.deployment_id, paused=True)
    assert store.revision() > before

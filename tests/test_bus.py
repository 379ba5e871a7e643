"""The bus: in order, and no subscriber can hurt a run."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from nbflow import flow, wiring
from nbflow.bus import EventBus


def test_subscribers_are_called_in_their_order():
    bus, seen = EventBus(), []
    for n in range(3):
        bus.subscribe(lambda event, n=n: seen.append((n, event)))

    bus.publish("a")
    bus.publish("b")

    assert seen == [(0, "a"), (1, "a"), (2, "a"), (0, "b"), (1, "b"), (2, "b")]


def test_unsubscribed_is_not_called_and_may_unsubscribe_again():
    bus, seen = EventBus(), []
    end = bus.subscribe(seen.append)
    bus.publish(1)
    end()
    end()

    bus.publish(2)

    assert seen == [1]


def test_same_function_subscribed_again_is_called():
    bus, seen = EventBus(), []
    end = bus.subscribe(seen.append)
    end()
    bus.subscribe(seen.append)

    bus.publish(1)

    assert seen == [1]


def test_subscriber_may_unsubscribe_itself_while_called():
    bus, seen = EventBus(), []
    end = bus.subscribe(lambda event: (seen.append(event), end()))
    bus.subscribe(seen.append)

    bus.publish(1)
    bus.publish(2)

    assert seen == [1, 1, 2]


@dataclass
class Unhashable:
    seen: list

    def on_event(self, event):
        self.seen.append(event)
        raise ValueError("broken subscriber")


def test_failing_subscriber_is_told_once_and_the_others_are_called(caplog):
    bus, seen = EventBus(), []
    bus.subscribe(Unhashable(seen).on_event)
    bus.subscribe(seen.append)

    for n in range(3):
        bus.publish(n)

    assert seen == [0, 0, 1, 1, 2, 2]
    (record,) = caplog.records
    assert "failed on int" in record.getMessage()
    assert "broken subscriber" in caplog.text


def test_failing_subscriber_does_not_change_a_run(caplog):
    @flow
    def f():
        return 7

    wiring.current().bus.subscribe(Unhashable([]).on_event)

    assert f() == 7


def test_threads_that_subscribe_at_once_are_all_heard():
    bus = EventBus()
    heard = []
    start = threading.Barrier(16)

    def join(n):
        start.wait()
        for _ in range(200):
            bus.subscribe(lambda event, n=n: heard.append(n))

    threads = [threading.Thread(target=join, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bus.publish(None)

    assert len(heard) == 16 * 200

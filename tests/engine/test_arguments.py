"""Futures among arguments: found where they are, and plain data left alone."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest

from nbflow import allow_failure, flow, quote, task
from nbflow.engine.arguments import look_for_upstream, resolve
from nbflow.errors import UpstreamFailed
from nbflow.states import Completed, Failed


@dataclass
class Order:
    item: object
    amounts: list = field(default_factory=list)


@dataclass(frozen=True)
class Frozen:
    item: object
    computed: int = field(init=False, default=3)


def one():
    return task(lambda: 1).submit()


SHAPES = {
    "itself": (lambda f: f, 1),
    "list": (lambda f: [f, 2], [1, 2]),
    "tuple": (lambda f: (f, 2), (1, 2)),
    "set": (lambda f: {f, 2}, {1, 2}),
    "frozenset": (lambda f: frozenset({f}), frozenset({1})),
    "dict": (lambda f: {"a": f, "b": 2}, {"a": 1, "b": 2}),
    "deep": (lambda f: [{"a": ({"b": [f]},)}], [{"a": ({"b": [1]},)}]),
    "dataclass": (lambda f: Order(f, [f]), Order(1, [1])),
    "frozen dataclass": (lambda f: Frozen(f), Frozen(1)),
    "among a long list": (lambda f: [*range(5000), f], [*range(5000), 1]),
    "a long list of lists": (lambda f: [[f]] * 2000, [[1]] * 2000),
    "twice": (lambda f: [f, [f, f]], [1, [1, 1]]),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("way", ["call", "submit", "keyword"])
def test_futures_are_replaced_by_their_values(name, way):
    shape, expected = SHAPES[name]
    same = task(lambda x: x)

    @flow
    def run():
        value = shape(one())
        if way == "call":
            return quote(same(value))
        if way == "keyword":
            return quote(same(x=value))
        return quote(same.submit(value).result())

    assert run().value == expected


def test_states_are_replaced_by_their_values():
    assert task(lambda x: x)([Completed(data=3)]) == [3]


def test_what_holds_no_future_is_passed_as_it_is_not_copied():
    values = [[1, {"a": (2,)}], {"b": Order(1)}, list(range(5000))]

    for value in values:
        assert task(id)(value) == id(value)
        assert task(id).submit(value).result() == id(value)


def test_quote_hands_over_the_future_itself():
    @flow
    def run():
        future = one()
        return task(lambda x: x[0] is future)(quote([future]))

    assert run() is True


def test_failed_upstream_stops_the_task_and_names_it(colour):
    def fails():
        raise ValueError("first")

    ran = []

    @flow
    def run():
        future = colour.task(fails, name="source").submit()
        return colour.task(lambda x: ran.append(x)).submit([future])

    state = run(return_state=True)

    assert ran == []
    assert isinstance(state.result(raise_on_failure=False), UpstreamFailed)
    assert "source-0" in state.message


def test_allow_failure_hands_over_the_exception(colour):
    def fails():
        raise ValueError("first")

    @flow
    def run():
        future = colour.task(fails).submit()
        show = colour.task(repr)
        return show.submit(allow_failure(future)), show.submit([allow_failure(future)])

    assert run() == ("ValueError('first')", "[ValueError('first')]")


def test_upstream_runs_are_recorded(events):
    @flow
    def run():
        task(lambda x: x, name="sink").submit([one()]).wait()

    run()

    runs = {run.name: run for run in events.runs()}
    assert runs["sink-0"].upstream == (runs["<lambda>-0"].id,)


def test_failed_state_as_argument_is_given_as_its_exception():
    error = ValueError("x")

    assert task(lambda x: x)([Failed("no", data=error)]) == [error]


def test_two_hundred_thousand_dicts_are_not_walked():
    """The generous bound is ten times what it takes; walking all of them takes over a second."""
    rows = [{"id": n, "tags": ["a", {"b": n}]} for n in range(200_000)]
    count = task(len)

    started = time.perf_counter()
    assert count(rows) == 200_000
    assert count.submit(rows).result() == 200_000
    assert count({"rows": rows}) == 1

    assert time.perf_counter() - started < 0.5


def test_tree_with_links_to_parents_is_walked_once():
    """By paths it would take longer than anybody can wait: 5 children, 20 levels of links."""

    def node(parent, depth):
        this = {"parent": parent, "children": []}
        if depth:
            this["children"] = [node(this, depth - 1) for _ in range(5)]
        return this

    tree = node(None, 3)
    assert task(lambda x: x is tree)(tree) is True
    circle: list = []
    circle += [circle, circle, circle]
    assert task(lambda x: x is circle)(circle) is True


def test_nothing_to_replace_is_told_quickly():
    assert look_for_upstream((1, "a", [1, 2], {"a": object()}), {}, None) is None


def test_future_in_a_circular_list_is_still_found():
    @flow
    def run():
        circle: list = [one()]
        circle += [circle, circle, circle]
        return task(lambda x: x[0]).submit(circle).result()

    assert run() == 1


def test_resolve_leaves_an_unfinished_future_alone():
    marker = object()
    assert resolve(marker) is marker

"""What byte code reaches by dotted names, as tables of cases."""

from __future__ import annotations

import pytest

from nbflow.memo.chains import Chain, chains, globals_bound


def found(source: str) -> dict[str, Chain]:
    return {str(chain): chain for chain in chains(compile(source, "cell", "exec"))}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("a.b.c", "a.b.c"),
        ("import numpy as np\nnp.random.rand()", "numpy.random.rand"),
        ("from datetime import datetime as d\nd.now()", "datetime.datetime.now"),
        ("import os.path\nos.path.join('a')", "os.path.join"),
        ("import a.b as c\nc.d", "a.b.d"),
        ("import a.b.c as d\nd.e", "a.b.c.e"),
        ("def f():\n    import time\n    return time.time()", "time.time"),
        ("f().now()", ".now"),
        ("[x.y for x in z]", "z"),
    ],
)
def test_a_dotted_name_is_found_under_what_it_stands_for(source, name):
    assert name in found(source)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("a.b = 1", "a"),
        ("del a.b", "a"),
        ("a.b['k'] = 1", "a.b"),
        ("del a['k']", "a"),
        ("a.b[0:2] = c", "a.b"),
        ("a[0].b = 1", ".b"),
    ],
)
def test_what_is_set_is_changed(source, name):
    assert found(source)[name].is_changed


@pytest.mark.parametrize("source", ["a.b", "x = a.b", "a.b[1]", "c = a.b[1]", "a.b()"])
def test_what_is_only_read_is_not_changed(source):
    assert not found(source)["a.b"].is_changed


@pytest.mark.parametrize("source", ["a.b()", "a.b(1, c)", "a.b().d(2)", "a.b(c=1)"])
def test_a_call_on_its_own_throws_its_value_away(source):
    chain = found(source)["a.b"]

    assert chain.is_discarded
    assert chain.is_called


@pytest.mark.parametrize("source", ["x = a.b()", "f(a.b())", "[a.b() for x in y]", "a.b"])
def test_a_value_that_is_used_is_not_thrown_away(source):
    assert not found(source)["a.b"].is_discarded


def test_an_argument_is_not_what_is_called():
    assert found("f(a.b)")["f"].is_called
    assert not found("f(a.b)")["a.b"].is_called


def test_a_call_without_arguments_is_told():
    assert found("a.b()")["a.b"].no_arguments
    assert not found("a.b(1)")["a.b"].no_arguments


def test_names_that_functions_bind_outside_of_them():
    source = (
        "x = 1\ndef f():\n    global y, z\n    y = 2\n    def g():\n        global w\n        del w"
    )

    assert globals_bound(compile(source, "cell", "exec")) == {"y", "w"}

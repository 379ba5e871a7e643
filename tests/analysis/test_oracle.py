"""Reads of programs without branches, compared with those beniget finds."""

from __future__ import annotations

import beniget
import gast
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.analysis.names import cell_names

PROGRAMS = [
    "y = x",
    "x = 1\ny = x",
    "a, (b, *c) = d",
    "def f(a): return a + b",
    "def f(a=b): return a\nf(c)",
    "class A(B):\n    x = y\n    def m(self): return z",
    "[a + b for a in c]",
    "[a for b in c for a in b if d]",
    "import a.b, c as d\na, d, e",
    "f = lambda a, b=c: a + b + d",
    "with a as b: b, c",
    "for a in b: a, c",
    "while a: b = c",
    "x[y] = z",
    "x.y = z",
    "f'{a} {b:{c}}'",
    "(a := b) + a",
    "def f():\n    global g\n    return g",
    "def f():\n    a = 1\n    def g(): return a + b\n    return g",
    "try:\n    a\nexcept B as c:\n    c, d",
    "{a: b for a, b in c}",
    "f(a, *b, c=d, **e)",
    "async def f(a): return await b(a)",
    "x: A = b",
]
_names = st.sampled_from("abcd")
_values = st.recursive(
    _names,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda p: f"({p[0]} + {p[1]})"),
        st.tuples(_names, inner).map(lambda p: f"{p[0]}({p[1]})"),
        st.tuples(_names, inner).map(lambda p: f"(lambda {p[0]}: {p[1]})"),
        st.tuples(inner, _names, inner).map(lambda p: f"[{p[0]} for {p[1]} in {p[2]}]"),
        st.tuples(inner, _names).map(lambda p: f"{p[0]}.part[{p[1]}]"),
    ),
    max_leaves=5,
)
_lines = st.one_of(
    _values,
    st.tuples(_names, _values).map(lambda p: f"{p[0]} = {p[1]}"),
    st.tuples(_names, _names, _values).map(lambda p: f"{p[0]}, {p[1]} = {p[2]}"),
    st.tuples(_names, _names, _values).map(lambda p: f"{p[0]}[{p[1]}] = {p[2]}"),
    st.tuples(_names, _names, _values).map(lambda p: f"def {p[0]}({p[1]}): return {p[2]}"),
    st.tuples(_names, _values).map(lambda p: f"import {p[0]}\n{p[1]}"),
)


class _Unbound(beniget.DefUseChains):
    """Collects the names beniget finds no definition for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def unbound_identifier(self, name: str, node: gast.AST) -> None:
        self.names.add(name)


def _compare(source: str) -> None:
    oracle = _Unbound()
    oracle.visit(gast.parse(source))
    found = cell_names(source)

    # A name that a branch binds may be bound for beniget and is needed for us.
    assert oracle.names <= {*found.reads, *found.deferred, *found.immediate}


@pytest.mark.parametrize("source", PROGRAMS)
def test_what_beniget_finds_unbound_is_read(source: str):
    _compare(source)
    oracle = _Unbound()
    oracle.visit(gast.parse(source))

    found = cell_names(source)

    assert {*found.reads, *found.deferred} == oracle.names


@given(st.lists(_lines, min_size=1, max_size=6).map("\n".join))
@settings(max_examples=300, deadline=None)
def test_what_beniget_finds_unbound_in_any_program_is_read(source: str):
    _compare(source)

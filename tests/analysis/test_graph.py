"""Which cell needs which, in which order they run, and which are stale."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.analysis.graph import CellGraph, CycleError, EdgeKind, Node, Ran, stale
from nbflow.analysis.names import cell_names
from nbflow.analysis.source import source_digest


def graph_of(*sources: str, changes: dict[str, list[str]] | None = None) -> CellGraph:
    """Cells called a, b, c, ..."""
    nodes = [Node(chr(97 + n), cell_names(text), text) for n, text in enumerate(sources)]
    return CellGraph(nodes, changes or {})


def edges_of(graph: CellGraph, kind: EdgeKind) -> str:
    """`ab:x` for a before b because of x, in order."""
    edges = [one for one in graph.edges if one.kind is kind]
    return " ".join(f"{one.before}{one.after}:{'+'.join(one.names)}" for one in edges)


# (cells, data edges, order edges)
GRAPHS = [
    (["x = 1", "y = x"], "ab:x", ""),
    (["x = 1", "y = 2"], "", ""),
    (["x = 1", "y = x", "x = 2", "z = x"], "ab:x cd:x", "ac:x bc:x"),
    (["x = 1", "x = 2", "x"], "bc:x", "ab:x"),
    (["x = y = 1", "x + y"], "ab:x+y", ""),
    # in place
    (["x = []", "x.append(1)", "x"], "ab:x bc:x", ""),
    (["x = []", "x", "x.append(1)"], "ab:x ac:x", "bc:x"),
    (["x = 1", "x += 1", "x"], "ab:x bc:x", ""),
    (["d = {}", "d['k'] = 1", "d['l'] = 2", "d"], "ab:d bc:d cd:d", "ac:d"),
    (["x = []\nx.append(1)", "x"], "ab:x", ""),
    (["x", "x.append(1)", "x"], "bc:x", "ab:x"),
    # aliases
    (["x = []", "y = x", "x.append(1)", "y"], "ab:x ac:x bc:y cd:y", ""),
    (["x = a()", "y = x[1:]", "y[0] = 1", "x"], "ab:x ac:x bc:y cd:x", ""),
    (["x = []", "y = x.copy()", "x.append(1)", "y"], "ab:x ac:x bd:y", "bc:x"),
    (["x = []", "y = x", "x = []", "x.append(1)", "y"], "ab:x be:y cd:x", "ac:x ad:x bc:x bd:x"),
    # from below
    (["x", "x = 1"], "ba:x", ""),
    (["f()", "def f(): return y", "y = 1"], "ba:f ca:y", ""),
    # functions
    (["y = 1", "def f(): return y", "f()"], "ac:y bc:f", ""),
    (["def f(): return y", "y = 1", "f()", "y = 2", "f()"], "ac:f ae:f bc:y de:y", "bd:y cd:y"),
    (["def f(): return g()", "def g(): return y", "y = 1", "f()"], "ad:f bd:g cd:y", ""),
    (["def f(): return y", "y = 1", "map(f, z)"], "ac:f bc:y", ""),
    (["def f(): return y", "y = 1", "h = f", "y = 2", "h()"], "ac:f bc:y ce:h de:y", "bd:y cd:y"),
    (["y = 1", "def f(): return y\nf()"], "ab:y", ""),
    (["class A:\n def m(self): return y", "y = 1", "o = A()", "y = 2", "o.m()"],
     "ac:A bc:y ce:o de:y", "bd:y cd:y"),
    (["k = lambda r: r + y", "y = 1", "sorted(x, key=k)"], "ac:k bc:y", ""),
    (["fs = [lambda r: r + y]", "y = 1", "fs[0](1)"], "ac:fs bc:y", "ab:y"),
    (["y = A()", "class A:\n def m(self): return z", "z = y"], "ac:y ba:A", ""),
    (["d = {}", "def f(): d['k'] = 1", "f()", "d"], "ac:d bc:f cd:d", ""),
    (["n = 0", "def f():\n global n\n n = 1", "f()", "n"],
     "ad:n bc:f bd:n cd:n", "ab:n ac:n"),
    (["def f(a): a.append(1)", "x = []", "y = f(x)", "x"], "ac:f bc:x cd:x", ""),
    (["def f(a): print(a)", "x = []", "f(x)", "x"], "ac:f bc:x bd:x", ""),
    (["def g(a): a.append(1)", "def f(a): return g(a)", "x = []", "y = f(x)", "x"],
     "ad:g bd:f cd:x de:x", ""),
    (["x = []", "f(x)", "x"], "ab:x bc:x", ""),
    (["def f(a): return a", "x = []", "y = f(x)", "y.append(1)", "x"],
     "ac:f bc:x bd:x cd:y de:x", ""),
    (["def g(): yield 1", "it = g()", "list(it)", "list(it)"], "ab:g bc:it cd:it", "bd:it"),
    (["it = iter(x)", "print(next(it))", "list(it)"], "ab:it bc:it+x", "ac:it+x"),
    (["rng = default_rng(0)", "a = rng.normal()", "b = rng.normal()"], "ab:rng bc:rng", "ac:rng"),
    # branches
    (["x = 1", "if c: x = 2", "x"], "ac:x bc:x", "ab:x"),
    (["x = 1", "if c: x = 2\nelse: x = 3", "x"], "bc:x", "ab:x"),
    (["for i in z: print(i)", "for i in z: print(i)"], "", "ab:i"),
    # del
    (["x = 1", "del x", "x"], "ab:x bc:x", ""),
    (["x = 1", "y = x", "del x"], "ab:x ac:x", "bc:x"),
    # modules
    (["import numpy as np", "np.random.seed(0)", "a = np.random.rand()", "b = np.ones(3)"],
     "ab:np ac:np ad:np", "bc:np"),
    (["import m", "m.run()", "x = m.y"], "ab:m ac:m", ""),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "data", "order"), GRAPHS, ids=[" | ".join(g[0]) for g in GRAPHS])
def test_edges_of(cells: list[str], data: str, order: str):
    graph = graph_of(*cells)

    assert edges_of(graph, EdgeKind.DATA) == data
    assert edges_of(graph, EdgeKind.ORDER) == order


def test_known_changes_count_as_changes():
    graph = graph_of("x = f()", "y = g(x)", "x", changes={"b": ["x"]})

    assert edges_of(graph, EdgeKind.DATA) == "ab:x bc:x"


def test_added_names_that_no_cell_binds_are_there_from_the_start():
    names = [cell_names("a = 1"), cell_names("b = 2"), cell_names("c = 3")]
    nodes = [
        Node("a", replace(names[0], reads=("<file>",)), "a = 1"),
        Node("b", replace(names[1], mutates=("<file>",)), "b = 2"),
        Node("c", replace(names[2], reads=("<file>",)), "c = 3"),
    ]

    graph = CellGraph(nodes)

    assert edges_of(graph, EdgeKind.DATA) == "bc:<file>"
    assert edges_of(graph, EdgeKind.ORDER) == "ab:<file>"


def test_neighbours_inputs_and_outputs():
    graph = graph_of("x = 1", "def f(): return x + 1", "y = f()", "z = [y]", "z.append(y)")

    assert graph.before("c") == ("a", "b")
    assert graph.after("c") == ("d", "e")
    assert set(graph.inputs("c")) == {"x", "f"}
    assert graph.outputs("c") == ("y",)
    assert set(graph.outputs("e")) == {"z", "y"}


def test_order_is_the_notebooks_where_it_is_free():
    assert graph_of("a = d", "b = 1", "c = a", "d = 2").order() == ("b", "d", "a", "c")


def test_cells_that_need_each_other_are_a_cycle():
    graph = graph_of("u = 1", "x = y", "y = z", "z = x", "v = z")

    with pytest.raises(CycleError) as caught:
        graph.order()

    assert graph.cycles() == (("b", "c", "d"),)
    assert caught.value.cells == ("b", "c", "d")
    assert caught.value.names == ("x", "y", "z")
    assert "b, c, d" in str(caught.value)
    assert graph.pull("a") == ("a",)
    with pytest.raises(CycleError):
        graph.pull("v")


def test_pull_takes_what_the_targets_need_and_no_more():
    graph = graph_of("x = 1", "y = 2", "x += 1", "z = x", "w = y", "x = 9")

    assert graph.pull("d") == ("a", "c", "d")
    assert graph.pull("z") == ("a", "c", "d")
    assert graph.pull("x") == ("f",)
    assert graph.pull("e", "d") == ("a", "b", "c", "d", "e")


def test_push_takes_what_depends_on_the_edited_and_no_more():
    graph = graph_of("x = 1", "y = 2", "x += 1", "z = x", "w = y", "x = 9")

    assert graph.push("a") == ("a", "c", "d")
    assert graph.push("b") == ("b", "e")
    assert graph.push("d", "e") == ("d", "e")


def test_names_nobody_knows_are_key_errors():
    graph = graph_of("x = 1")

    for ask in (graph.pull, graph.push, graph.before, graph.after, graph.inputs, graph.outputs):
        with pytest.raises(KeyError, match="unknown"):
            ask("unknown")


def test_two_cells_of_one_name_are_a_value_error():
    node = Node("a", cell_names("x = 1"), "x = 1")

    with pytest.raises(ValueError, match="'a'"):
        CellGraph([node, node])


# --- stale ----------------------------------------------------------------------------------------


# (cells, cells in the order they ran, cells edited afterwards, what is stale and why)
STALE = [
    (["x = 1", "y = x"], "ab", "", {}),
    (["x = 1", "y = x"], "", "", {"a": "never run", "b": "never run"}),
    (["x = 1", "y = x"], "b", "", {"a": "never run", "b": "a has never run"}),
    (["x = 1", "y = x", "z = y"], "abc", "a",
     {"a": "its source was edited", "b": "a was edited", "c": "a was edited"}),
    (["x = 1", "y = x", "z = y"], "abc", "b", {"b": "its source was edited", "c": "b was edited"}),
    (["x = 1", "y = x", "z = y"], "abca", "", {"b": "a ran after it", "c": "a ran after it"}),
    (["x = 1", "y = 2"], "aba", "", {}),
    (["x = 1", "x", "x = 2", "x"], "abcd", "", {}),
    (["x = 1", "x", "x = 2", "x"], "abcdb", "", {"b": "x was changed by c before it"}),
    (["x = 1", "x", "x = 2", "x"], "abcda", "",
     {"b": "a ran after it"} | dict.fromkeys("cd", "x was changed by a after it")),
    (["x = []", "x.append(1)", "x"], "abc", "", {}),
    (["x = []", "x.append(1)", "x"], "abcb", "", {"c": "b ran after it"}),
    (["x", "x = 1"], "ba", "", {}),
    (["for i in z: i", "for i in z: i"], "aba", "", {}),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "history", "edited", "reasons"), STALE)
def test_stale_cells_and_why(cells: list[str], history: str, edited: str, reasons: dict[str, str]):
    ran: dict[str, Ran] = {}
    for sequence, name in enumerate(history):
        source = cells[ord(name) - 97]
        ran[name] = Ran(source_digest(f"{source}\n0" if name in edited else source), sequence)

    assert stale(graph_of(*cells), ran) == reasons


def test_looks_of_a_cell_make_it_not_stale():
    graph = graph_of("x = 1  # one")

    assert not stale(graph, {"a": Ran(source_digest("x=1"), 0)})


# --- what programs really do ----------------------------------------------------------------------

_VARIABLES = ("x", "y", "z")
_names = st.sampled_from(_VARIABLES)
_lines = st.one_of(
    st.tuples(_names, st.integers(0, 9)).map(lambda p: f"{p[0]} = [{p[1]}]"),
    st.tuples(_names, _names).map(lambda p: f"{p[0]} = {p[1]} + [1]"),
    st.tuples(_names, _names).map(lambda p: f"{p[0]} = {p[1]}"),
    st.tuples(_names, _names).map(lambda p: f"{p[0]} = {p[1]}[:]"),
    st.tuples(_names, _names).map(lambda p: f"{p[0]}.extend({p[1]}[:2])"),
    st.tuples(_names, _names).map(lambda p: f"{p[0]} += {p[1]}[:2]"),
    st.tuples(_names, _names).map(lambda p: f"if len({p[0]}) > 2: {p[1]} = [2]"),
    st.tuples(_names, _names).map(lambda p: f"for {p[0]} in [{p[1]}]: {p[0]}.append(3)"),
    st.tuples(_names, _names).map(lambda p: f"def f(): return {p[0]} + {p[1]}[:1]"),
    _names.map(lambda name: f"def f(): {name}.append(4); return {name}"),
    _names.map(lambda name: f"def f():\n    global {name}\n    {name} = [5]\n    return []"),
    _names.map(lambda name: f"{name} = f()"),
    st.just("f()"),
    _names.map(lambda name: f"def g(a): a.append(6); return a + {name}[:1]"),
    st.just("def g(a): return a[:3]"),
    st.tuples(_names, _names).map(lambda p: f"{p[0]} = g({p[1]})"),
    _names.map(lambda name: f"h = lambda: {name}[:2] + f()[:2]"),
    _names.map(lambda name: f"{name} = h()"),
)
_START = "x = [1]; y = [2]; z = [3]\ndef f(): return []\ndef g(a): return a[:]\nh = lambda: []"


def _is_told(cell: str) -> bool:
    """Not a cell that calls a function and defines it anew: the facts of both run together."""
    anew = {line[4] for line in cell.splitlines() if line.startswith("def ")}
    anew |= {"h"} if "h = lambda" in cell else set()
    return not any(re.search(rf"\b{name}\(", re.sub(r"def \w\(", "", cell)) for name in anew)


_cells = st.lists(_lines, min_size=1, max_size=2).map("\n".join).filter(_is_told)
_notebooks = st.lists(_cells, max_size=7).map(lambda cells: [_START, *cells])


def _run(cells: list[str], order: list[str]) -> tuple[dict[str, Any], list[list[bool]]]:
    """The values at the end, by variable, and which variables are one object."""
    namespace: dict[str, Any] = {}
    for name in order:
        exec(cells[ord(name) - 97], namespace)
    values = [namespace[name] for name in _VARIABLES]
    return dict(zip(_VARIABLES, values, strict=True)), [[a is b for b in values] for a in values]


@given(_notebooks, st.randoms(use_true_random=False))
@settings(max_examples=400, deadline=None)
def test_any_order_that_respects_the_edges_gives_the_same_values(cells: list[str], random: Any):
    graph = graph_of(*cells)
    n_before = {node.name: len(graph.before(node.name)) for node in graph.nodes}
    free = [name for name, n in n_before.items() if not n]
    order: list[str] = []
    while free:
        order.append(free.pop(random.randrange(len(free))))
        for name in graph.after(order[-1]):
            n_before[name] -= 1
            if not n_before[name]:
                free.append(name)

    plain = [node.name for node in graph.nodes]
    assert sorted(order) == plain
    assert list(graph.order()) == plain
    assert _run(cells, order) == _run(cells, plain)


@given(_notebooks, _names)
@settings(max_examples=400, deadline=None)
def test_what_is_pulled_gives_the_value_of_the_whole(cells: list[str], name: str):
    graph = graph_of(*cells)

    pulled = graph.pull(name)

    whole, _ = _run(cells, [node.name for node in graph.nodes])
    namespace: dict[str, Any] = {}
    for cell in pulled:
        exec(cells[ord(cell) - 97], namespace)
    assert namespace[name] == whole[name]


@given(_notebooks, st.data())
@settings(max_examples=200, deadline=None)
def test_pull_and_push_are_closed_and_in_order(cells: list[str], data: st.DataObject):
    graph = graph_of(*cells)
    target = data.draw(st.sampled_from([node.name for node in graph.nodes]))
    order = graph.order()

    for found, side in ((graph.pull(target), "before"), (graph.push(target), "after")):
        assert target in found
        assert list(found) == [name for name in order if name in found]
        for edge in graph.edges:
            other = edge.after if side == "before" else edge.before
            if edge.kind is EdgeKind.DATA and other in found:
                assert getattr(edge, side) in found


@given(st.lists(st.tuples(_names, _names).map(lambda p: f"{p[0]} = {p[1]}"), max_size=6))
def test_order_is_found_exactly_when_there_is_no_cycle(cells: list[str]):
    graph = graph_of(*cells)

    if graph.cycles():
        with pytest.raises(CycleError):
            graph.order()
    else:
        place = {name: n for n, name in enumerate(graph.order())}
        assert len(place) == len(cells)
        assert all(place[edge.before] < place[edge.after] for edge in graph.edges)

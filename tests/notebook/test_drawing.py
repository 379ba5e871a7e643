"""A notebook's graph for every front end: drawn, as mermaid, as a table, as text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.analysis.graph import CellGraph, Node
from nbflow.analysis.names import cell_names
from nbflow.notebook.drawing import GraphView, mermaid, svg, table, text
from nbflow.notebook.layout import place, reduced

SVG = "{http://www.w3.org/2000/svg}"
STATES = {"load": "Cached", "clean": "Completed", "plot": "Failed", "model": "Stale"}


def graph(**cells: str) -> CellGraph:
    return CellGraph([Node(name, cell_names(source), source) for name, source in cells.items()])


@pytest.fixture
def diamond() -> CellGraph:
    return graph(
        setup="import math",
        load="raw = [math.pi]",
        clean="tidy = sorted(raw)",
        plot="print(tidy)",
        model="fit = sum(tidy)",
        report="print(raw, fit)",
    )


def texts_of(drawn: str) -> list[str]:
    return ["".join(one.itertext()) for one in ET.fromstring(drawn).iter(f"{SVG}text")]


def test_the_drawing_holds_each_cell_with_shape_word_and_colour(diamond: CellGraph):
    drawn = svg(diamond, STATES)

    assert texts_of(drawn) == [
        *("setup", "○ not run"),
        *("load", "↻✔ Cached"),
        *("clean", "✔ Completed"),
        *("plot", "✖ Failed"),
        *("model", "◇ Stale"),
        *("report", "○ not run"),
    ]
    strokes = [box.get("stroke") for box in ET.fromstring(drawn).iter(f"{SVG}rect")]
    assert strokes == ["#767676", "#56B4E9", "#009E73", "#D55E00", "#E69F00", "#767676"]


def test_the_drawing_is_told_to_those_who_do_not_see_it(diamond: CellGraph):
    root = ET.fromstring(svg(diamond, STATES))

    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == (
        "6 cells: 2 not run, 1 Cached, 1 Completed, 1 Failed, 1 Stale"
    )


def test_the_drawing_takes_the_colours_of_its_page_and_runs_nothing(diamond: CellGraph):
    drawn = svg(diamond, STATES)

    assert 'fill="currentColor"' in drawn
    assert "var(--jp-layout-color1,none)" in drawn
    assert not re.search(r"<script|<style|\bon\w+=|href|url\(", drawn)


def test_edges_that_others_imply_are_not_drawn(diamond: CellGraph):
    lines = [
        one
        for one in ET.fromstring(svg(diamond, {})).iter(f"{SVG}path")
        if one.get("fill") == "none"
    ]

    assert len(lines) == 5  # report needs load as well, but by way of clean and model


def test_what_users_write_is_text_and_nothing_else():
    evil = "<b>&'\"</b>\n]]>"
    cells = CellGraph([Node(evil, cell_names("x = 1"), "x = 1")])

    assert texts_of(svg(cells, {evil: "<i>"}))[0] == evil
    assert "<b>" not in table(cells, {})
    assert '"' not in mermaid(cells, {}).split('["')[1].split('"]')[0]


def test_long_names_are_cut_and_told_in_full_on_pointing():
    name = "n" * 60
    cells = graph(**{name: "x = 1"})

    assert texts_of(svg(cells, {}))[0] == "n" * 27 + "…"
    assert f"<title>{name}: not run</title>" in svg(cells, {})


def test_mermaid(diamond: CellGraph):
    assert mermaid(diamond, STATES).splitlines() == [
        "flowchart TD",
        '    c0["setup<br>○ not run"]',
        '    c1["load<br>↻✔ Cached"]',
        '    c2["clean<br>✔ Completed"]',
        '    c3["plot<br>✖ Failed"]',
        '    c4["model<br>◇ Stale"]',
        '    c5["report<br>○ not run"]',
        "    c0 --> c1",
        "    c1 --> c2",
        "    c2 --> c3",
        "    c2 --> c4",
        "    c4 --> c5",
        "    style c1 stroke:#56B4E9,stroke-width:2px",
        "    style c2 stroke:#009E73,stroke-width:2px",
        "    style c3 stroke:#D55E00,stroke-width:2px",
        "    style c4 stroke:#E69F00,stroke-width:2px",
    ]


def test_the_text_branches_only_where_the_notebook_does(diamond: CellGraph):
    assert text(diamond, STATES).splitlines() == [
        "setup      ○ not run",
        "load       ↻✔ Cached  ← math from setup",
        "clean      ✔ Completed  ← raw from load",
        "├─ plot    ✖ Failed  ← tidy from clean",
        "└─ model   ◇ Stale  ← tidy from clean",
        "   report  ○ not run  ← raw from load; fit from model",
    ]


def test_cells_that_need_nothing_of_each_other_stand_side_by_side():
    assert text(graph(a="x = 1", b="y = 1"), {}) == "a  ○ not run\nb  ○ not run"


def test_an_empty_notebook_is_drawn_as_such():
    empty = CellGraph([])

    assert text(empty, {}) == ""
    assert "<title>no cells</title>" in svg(empty, {})
    assert mermaid(empty, {}) == "flowchart TD\n"


def test_cells_in_a_circle_are_drawn_all_the_same():
    circle = graph(a="x = y", b="y = x", c="print(x)")

    assert texts_of(svg(circle, {}))[::2] == ["a", "b", "c"]
    assert len(text(circle, {}).splitlines()) == 3
    assert "c1 --> c0" in mermaid(circle, {})


def test_a_cell_that_only_has_to_come_later_is_joined_by_a_dashed_line():
    ordered = graph(a="x = 1", b="print(x)", c="x = 2")

    assert " -.-> " in mermaid(ordered, {})
    assert "stroke-dasharray" in svg(ordered, {"a": "Completed", "b": "Completed", "c": "Cached"})
    assert "after b" in text(ordered, {})


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)


def test_the_table_is_of_elements_that_sanitizers_keep(diamond: CellGraph):
    tags = _Tags()
    tags.feed(table(diamond, STATES))

    assert tags.seen == {"table", "tr", "td"}
    assert "<tr><td>model</td><td>◇ Stale</td><td>tidy from clean</td></tr>" in table(
        diamond, STATES
    )


def test_a_view_gives_every_front_end_what_it_can_show(diamond: CellGraph):
    view = GraphView(diamond, STATES)

    bundle = view._repr_mimebundle_()

    assert list(bundle) == ["text/plain", "text/html", "text/vnd.mermaid"]
    assert bundle["text/plain"] == repr(view) == text(diamond, STATES)
    assert bundle["text/html"].startswith("<div><svg ")
    assert bundle["text/html"].endswith("</table></div></div>")


@st.composite
def dags(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, str]]]:
    names = [f"n{i}" for i in range(draw(st.integers(1, 12)))]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    return names, draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []


def reachable(edges: Sequence[tuple[str, str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        node = waiting.pop()
        new = {b for a, b in edges if a == node} - found
        found |= new
        waiting += new
    return found


@given(dags())
def test_fewer_edges_lead_to_the_same_cells(case: tuple[list[str], list[tuple[str, str]]]):
    names, edges = case

    kept = reduced(names, edges)

    for name in names:
        assert reachable(kept, name) == reachable(edges, name)
    for edge in kept:
        assert edge[1] not in reachable([one for one in kept if one != edge], edge[0])


@given(dags(), st.integers(20, 200))
def test_boxes_do_not_overlap_and_lines_go_down(
    case: tuple[list[str], list[tuple[str, str]]], width: int
):
    names, edges = case

    layout = place({name: float(width) for name in names}, edges, 44.0)

    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            (ax, ay), (bx, by) = layout.centres[a], layout.centres[b]
            assert ay != by or abs(ax - bx) >= width
    for points in layout.lines.values():
        assert [y for _, y in points] == sorted({y for _, y in points})
    for x, y in layout.centres.values():
        assert width / 2 - 0.01 <= x <= layout.width - width / 2 + 0.01
        assert 22 <= y <= layout.height - 22

"""The cells of a notebook and how they stand, drawn: as SVG, mermaid, a table, a text tree."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from nbflow.analysis.graph import CellGraph, CycleError, Edge, EdgeKind
from nbflow.notebook.layout import Layout, place, reduced
from nbflow.notebook.status import SHAPES

_SHAPES = {**SHAPES, "Stale": "◇", "Skipped": "–"}
_UNKNOWN = "not run"
_GREY = "#767676"
# Okabe-Ito: told apart with any kind of colour vision.
_COLOURS = {
    "Running": "#0072B2",
    "Completed": "#009E73",
    "Cached": "#56B4E9",
    "Failed": "#D55E00",
    "TimedOut": "#D55E00",
    "Crashed": "#D55E00",
    "Retrying": "#E69F00",
    "AwaitingRetry": "#E69F00",
    "Late": "#E69F00",
    "Stale": "#E69F00",
    "Cancelling": "#CC79A7",
    "Cancelled": "#CC79A7",
}
_STYLE = (
    "max-width:100%;height:auto;font-family:var(--jp-ui-font-family,sans-serif);"
    "color:var(--jp-content-font-color1,inherit)"
)
_CHARACTER = 7.6  # px, the widest of the usual fonts at 13 px
_BOX_HEIGHT = 44.0
_MARGIN = 8.0
_LONGEST = 28  # characters of a name that are shown


class GraphView:
    """A graph with the states of its cells, for the front end to show as best it can.

    Args:
        states: State name by cell name; a cell without one has not run.
    """

    def __init__(self, graph: CellGraph, states: Mapping[str, str]) -> None:
        self.graph = graph
        self.states = dict(states)

    def __repr__(self) -> str:
        return text(self.graph, self.states)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        # A sanitizer takes the drawing and every `style` away: that is when the table shows.
        fallback = f'<div style="display:none">{table(self.graph, self.states)}</div>'
        return {
            "text/plain": text(self.graph, self.states),
            "text/html": f"<div>{svg(self.graph, self.states)}{fallback}</div>",
            "text/vnd.mermaid": mermaid(self.graph, self.states),
        }


def mermaid(graph: CellGraph, states: Mapping[str, str]) -> str:
    """The graph as mermaid's flowchart; a state is its shape and word, and the frame's colour."""
    order = _order(graph)
    ids = {name: f"c{n}" for n, name in enumerate(order)}
    lines = ["flowchart TD"]
    for name in order:
        label = f"{_mermaid_text(name)}<br>{told(states.get(name))}"
        lines.append(f'    {ids[name]}["{label}"]')
    kinds = _edges(graph)
    for a, b in reduced(order, kinds):
        arrow = "-->" if kinds[a, b].kind is EdgeKind.DATA else "-.->"
        lines.append(f"    {ids[a]} {arrow} {ids[b]}")
    lines += [
        f"    style {ids[name]} stroke:{colour},stroke-width:2px"
        for name in order
        if (colour := _COLOURS.get(states.get(name, "")))
    ]
    return "\n".join(lines) + "\n"


def svg(graph: CellGraph, states: Mapping[str, str]) -> str:
    """The graph as one `<svg>` element without scripts, in the colours of the page around it.

    Edges that others imply are left out; dashed: only the order matters, no value goes along.
    """
    order = _order(graph)
    widths = {
        name: max(len(_short(name)), len(told(states.get(name))) + 1) * _CHARACTER + 20
        for name in order
    }
    kinds = _edges(graph)
    layout = place(widths, kinds, _BOX_HEIGHT)
    width, height = layout.width + 2 * _MARGIN, layout.height + 2 * _MARGIN
    frame = f"{-_MARGIN:g} {-_MARGIN:g} {width:.0f} {height:.0f}"
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="{frame}" font-size="13" fill="currentColor" '
        f'style="{_STYLE}">'
    )
    parts = [
        opening,
        f"<title>{_summary(order, states)}</title>",
        *(_line(layout, kinds[edge]) for edge in layout.lines),
        *(_box(name, states.get(name), layout.centres[name], widths[name]) for name in order),
        "</svg>",
    ]
    return "".join(parts)


def table(graph: CellGraph, states: Mapping[str, str]) -> str:
    """The graph as an HTML table of elements that every sanitizer keeps."""
    rows = [("cell", "state", "needs")]
    rows += [(name, told(states.get(name)), _needs(graph, name)) for name in _order(graph)]
    cells = ("".join(f"<td>{html.escape(one)}</td>" for one in row) for row in rows)
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"


def text(graph: CellGraph, states: Mapping[str, str]) -> str:
    """The graph as a tree for terminals.

    Each cell stands once, below the last of the cells it needs, further in only where several
    follow on one; what it takes from which is said behind it.
    """
    order = _order(graph)
    rank = {name: n for n, name in enumerate(order)}
    below: dict[str | None, list[str]] = {}
    for name in order:
        earlier = [one for one in graph.before(name) if rank[one] < rank[name]]
        below.setdefault(max(earlier, key=rank.__getitem__, default=None), []).append(name)
    lines: list[tuple[str, str]] = []
    waiting = [(name, "", "") for name in reversed(below.get(None, []))]
    while waiting:
        name, fork, rail = waiting.pop()
        needs = _needs(graph, name)
        state = told(states.get(name))
        lines.append((fork + name, f"{state}  ← {needs}" if needs else state))
        *others, last = below.get(name, [None])
        if last is not None:
            ends = ("└─ ", "   ") if others else ("", "")
            waiting.append((last, rail + ends[0], rail + ends[1]))
        waiting += [(one, f"{rail}├─ ", f"{rail}│  ") for one in reversed(others) if one]
    width = max((len(left) for left, _ in lines), default=0)
    return "\n".join(f"{left:<{width}}  {right}" for left, right in lines)


def told(state: str | None) -> str:
    """A state as shape and word."""
    return f"{_SHAPES.get(state or '', '○' if state is None else '·')} {state or _UNKNOWN}"


def _order(graph: CellGraph) -> Sequence[str]:
    """The order in which the cells may run; of a notebook with cycles, that of its cells."""
    try:
        return graph.order()
    except CycleError:
        return [node.name for node in graph.nodes]


def _edges(graph: CellGraph) -> dict[tuple[str, str], Edge]:
    """One edge for each two cells: of several, one along which a value goes."""
    ordered = sorted(graph.edges, key=lambda edge: edge.kind is EdgeKind.DATA)
    return {(edge.before, edge.after): edge for edge in ordered if edge.before != edge.after}


def _needs(graph: CellGraph, name: str) -> str:
    """What a cell takes, and from which: `raw from load; after setup`."""
    parts: dict[str, None] = {}
    for edge in graph.edges:
        if edge.after == name and edge.before != name:
            names = _variables(edge) if edge.kind is EdgeKind.DATA else ""
            parts[f"{names} from {edge.before}" if names else f"after {edge.before}"] = None
    return "; ".join(parts)


def _variables(edge: Edge) -> str:
    """An edge's variables; names in angle brackets stand for files, settings and the like."""
    return ", ".join(name for name in edge.names if not name.startswith("<"))


def _summary(order: Sequence[str], states: Mapping[str, str]) -> str:
    counts: dict[str, int] = {}
    for name in order:
        word = states.get(name, _UNKNOWN)
        counts[word] = counts.get(word, 0) + 1
    cells = "1 cell" if len(order) == 1 else f"{len(order)} cells"
    told_counts = ", ".join(f"{n} {word}" for word, n in counts.items())
    return html.escape(f"{cells}: {told_counts}" if counts else "no cells")


def _box(name: str, state: str | None, centre: tuple[float, float], width: float) -> str:
    x, y = centre
    colour = _COLOURS.get(state or "", _GREY)
    shape, _, word = told(state).partition(" ")
    dashes = ' stroke-dasharray="4 3"' if state in (None, "Stale") else ""
    return (
        f"<g><title>{html.escape(name)}: {html.escape(word)}</title>"
        f'<rect x="{x - width / 2:.1f}" y="{y - _BOX_HEIGHT / 2:.1f}" width="{width:.1f}" '
        f'height="{_BOX_HEIGHT:g}" rx="5" stroke="{colour}" stroke-width="2"{dashes} '
        'style="fill:var(--jp-layout-color1,none)"/>'
        f'<text x="{x:.1f}" y="{y - 4:.1f}" text-anchor="middle" font-weight="600">'
        f"{html.escape(_short(name))}</text>"
        f'<text x="{x:.1f}" y="{y + 14:.1f}" text-anchor="middle" font-size="12">'
        f'<tspan fill="{colour}">{shape}</tspan> {html.escape(word)}</text></g>'
    )


def _line(layout: Layout, edge: Edge) -> str:
    """A line from the lower edge of one box to the upper edge of another, with an arrow head."""
    (x, y), *bends, (to_x, to_y) = layout.lines[edge.before, edge.after]
    is_up = to_y <= y
    half = _BOX_HEIGHT / 2
    y, to_y = (y - half, to_y + half) if is_up else (y + half, to_y - half)
    head = 6.0 if is_up else -6.0
    path = [f"M{x:.1f} {y:.1f}"]
    for next_x, next_y in (*bends, (to_x, to_y + head)):
        middle = (y + next_y) / 2
        path.append(f"C{x:.1f} {middle:.1f} {next_x:.1f} {middle:.1f} {next_x:.1f} {next_y:.1f}")
        x, y = next_x, next_y
    dashes = "" if edge.kind is EdgeKind.DATA else ' stroke-dasharray="3 3"'
    names = html.escape(", ".join(edge.names))
    return (
        f'<g opacity="0.7"><title>{names}</title>'
        f'<path d="{"".join(path)}" fill="none" stroke="currentColor"{dashes}/>'
        f'<path d="M{to_x:.1f} {to_y:.1f}l-4 {head:g}h8z"/></g>'
    )


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _mermaid_text(name: str) -> str:
    """Inside quotes mermaid takes character codes; everything else would be its syntax."""
    shown = _short(name)
    return "".join(one if one.isalnum() or one in " _-." else f"#{ord(one)};" for one in shown)

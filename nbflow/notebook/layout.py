"""Where the boxes of a drawn graph go: layers from top to bottom, few crossings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

_SWEEPS = 4
_GAP = 24.0  # between neighbours of one layer, px
_LAYER_HEIGHT = 84.0
_BEND_WIDTH = 8.0  # room of a line that passes a layer

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Layout:
    """A placed graph.

    Attributes:
        centres: The middle of each box, in px from the top left corner.
        lines: For each edge that is drawn, the points its line goes through, first to last.
        width, height: Of the whole, without a margin.
    """

    centres: dict[str, tuple[float, float]]
    lines: dict[Pair, list[tuple[float, float]]]
    width: float
    height: float


def place(widths: Mapping[str, float], edges: Iterable[Pair], box_height: float) -> Layout:
    """Place boxes of the given widths, in the order in which they may run.

    An edge against that order closes a cycle: it does not count for the layers, and its line goes
    upwards.
    """
    names = list(widths)
    drawn = reduced(names, edges)
    rank = {name: n for n, name in enumerate(names)}
    layer = _layers(names, [(a, b) for a, b in drawn if rank[a] < rank[b]])
    rows: list[list[str]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for name in names:
        rows[layer[name]].append(name)
    chains = {edge: _chain(edge, layer, rows) for edge in drawn}
    above: dict[str, list[str]] = {item: [] for row in rows for item in row}
    below: dict[str, list[str]] = {item: [] for row in rows for item in row}
    for chain in chains.values():
        for a, b in pairwise(chain):
            below[a].append(b)
            above[b].append(a)
    for _ in range(_SWEEPS):
        _order(rows, above)
        rows.reverse()
        _order(rows, below)
        rows.reverse()
    room = {item: widths.get(item, _BEND_WIDTH) for row in rows for item in row}
    xs = _abscissas(rows, above, room)
    left = min((xs[item] - room[item] / 2 for item in xs), default=0.0)
    right = max((xs[item] + room[item] / 2 for item in xs), default=0.0)
    points = {
        item: (xs[item] - left, n * _LAYER_HEIGHT + box_height / 2)
        for n, row in enumerate(rows)
        for item in row
    }
    return Layout(
        centres={name: points[name] for name in names},
        lines={edge: [points[item] for item in chain] for edge, chain in chains.items()},
        width=right - left,
        height=max(0, len(rows) - 1) * _LAYER_HEIGHT + (box_height if rows else 0),
    )


def reduced(names: Sequence[str], edges: Iterable[Pair]) -> list[Pair]:
    """The edges without those that a longer path along others implies, each once.

    The cell with the imports would else have a line to every other.
    """
    rank = {name: n for n, name in enumerate(names)}
    unique = list(dict.fromkeys(edges))
    after: dict[str, list[str]] = {name: [] for name in names}
    for a, b in unique:
        if rank[a] < rank[b]:
            after[a].append(b)
    reach: dict[str, set[str]] = {}
    for name in reversed(names):
        reach[name] = set[str]().union(*({b} | reach[b] for b in after[name]))
    return [(a, b) for a, b in unique if not any(b in reach[c] for c in after[a] if c != b)]


def _layers(names: Sequence[str], edges: Sequence[Pair]) -> dict[str, int]:
    """The length of the longest path to each; `names` in an order that the edges respect."""
    layer = dict.fromkeys(names, 0)
    for name in names:
        layer[name] = max((layer[a] + 1 for a, b in edges if b == name), default=0)
    return layer


def _chain(edge: Pair, layer: Mapping[str, int], rows: list[list[str]]) -> list[str]:
    """An edge's ends with a bend in every layer between, which is put into its row."""
    a, b = edge
    if layer[b] <= layer[a]:
        return [a, b]
    bends = [f"{a}\n{b}\n{n}" for n in range(layer[a] + 1, layer[b])]
    for n, bend in enumerate(bends, layer[a] + 1):
        rows[n].append(bend)
    return [a, *bends, b]


def _order(rows: list[list[str]], neighbours: Mapping[str, list[str]]) -> None:
    """Sort each row by where the neighbours in the rows before it stand on average."""
    position: dict[str, float] = {}
    for row in rows:
        wanted = {
            item: _mean([position[one] for one in neighbours[item] if one in position], float(n))
            for n, item in enumerate(row)
        }
        row.sort(key=wanted.__getitem__)
        position.update({item: float(n) for n, item in enumerate(row)})


def _abscissas(
    rows: list[list[str]], above: Mapping[str, list[str]], room: Mapping[str, float]
) -> dict[str, float]:
    """Each item under its neighbours above, moved aside where two would overlap."""
    xs: dict[str, float] = {}
    for row in rows:
        wanted = [_mean([xs[one] for one in above[item] if one in xs], 0.0) for item in row]
        placed: list[float] = []
        for n, item in enumerate(row):
            least = placed[-1] + (room[row[n - 1]] + room[item]) / 2 + _GAP if n else wanted[n]
            placed.append(max(wanted[n], least))
        # What was moved, was moved to the right: the row as a whole goes back to the middle.
        shift = _mean([want - got for want, got in zip(wanted, placed, strict=True)], 0.0)
        xs.update({item: x + shift for item, x in zip(row, placed, strict=True)})
    return xs


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default

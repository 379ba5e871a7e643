"""The results as a table that reads well on a terminal and is Markdown as it stands."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.contenders import NBFLOW, Contender
from benchmarks.rounds import Results
from benchmarks.rows import Row, Unit

_SCALES = {
    Unit.SECONDS: ((1, "s"), (1e-3, "ms"), (1e-6, "us")),
    Unit.BYTES: ((1 << 20, "MB"), (1 << 10, "KB"), (1, "B")),
}


def shown(value: float, unit: Unit) -> str:
    """A value with the unit that suits its size: `41.3 us`, `1.2 KB`."""
    if unit in _SCALES:
        fits = [scale for scale in _SCALES[unit] if abs(value) >= scale[0]]
        size, name = fits[0] if fits else _SCALES[unit][-1]
        return f"{_digits(value / size)} {name}"
    if unit is Unit.PER_SECOND:
        return f"{value:,.0f}/s"
    if unit is Unit.PERCENT:
        return f"{_digits(100 * value)} %"
    return f"{value:.0f}" if unit is Unit.COUNT else f"{_digits(value)}x"


def _digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def verdicts(row: Row, results: Results) -> list[tuple[str, bool | None]]:
    """Each goal of a row in words, and whether it is met; None: it was not measured."""
    said: list[tuple[str, bool | None]] = []
    if row.at_most is not None:
        ours = results.median(NBFLOW.name, row)
        met = None if ours is None else ours <= row.at_most
        said.append((f"<= {shown(row.at_most, row.unit)}", met))
    for peer, goal in row.ratios.items():
        ratio = results.ratio(peer, row)
        said.append((f"<= {goal:.3g}x {peer}", None if ratio is None else ratio <= goal))
    return said


def render(rows: Sequence[Row], peers: Sequence[Contender], results: Results) -> str:
    """The table, then why peers failed where they did.

    Peers that have none of the rows get no column. A peer's cell has its value and, in
    brackets, nbflow's divided by it.
    """
    peers = [peer for peer in peers if any(peer.name in row.peers for row in rows)]
    head = ["", NBFLOW.name, *(f"{peer.name} (ratio)" for peer in peers), "goal", "met"]
    lines = [_cells(row, peers, results) for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    rule = ["-" * width for width in widths]
    text = "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in (head, rule, *lines)
    )
    return "\n".join([text, "", *_failures(rows, peers, results)]).rstrip()


def _cells(row: Row, peers: Sequence[Contender], results: Results) -> list[str]:
    ours = results.median(NBFLOW.name, row)
    cells = [row.title, "failed" if ours is None else shown(ours, row.unit)]
    for peer in peers:
        theirs, ratio = results.median(peer.name, row), results.ratio(peer.name, row)
        if theirs is not None:
            cells.append(
                shown(theirs, row.unit) + ("" if ratio is None else f" ({_digits(ratio)}x)")
            )
        else:
            cells.append("failed" if results.error(peer.name, row) else "")
    said = verdicts(row, results)
    words = {True: "yes", False: "NO", None: "?"}
    return [*cells, "; ".join(goal for goal, _ in said), "; ".join(words[met] for _, met in said)]


def _failures(rows: Sequence[Row], peers: Sequence[Contender], results: Results) -> list[str]:
    """One line per distinct reason."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        for name in (NBFLOW.name, *(peer.name for peer in peers)):
            error = results.error(name, row)
            if error is not None:
                reasons.setdefault(f"{name}: {error}", []).append(row.name)
    return [f"{reason} ({', '.join(names)})" for reason, names in reasons.items()]

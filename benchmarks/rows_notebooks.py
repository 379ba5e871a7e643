"""Rows about whole notebooks, run by `nbflow run` and by nbclient."""

from __future__ import annotations

from benchmarks.row import Row, Section

_PEERS = ("nbclient",)

_ROWS = (
    Row(
        name="nb_empty",
        title="`nbflow run` of an empty notebook",
        meaning="The whole process, with a kernel that does nothing.",
        peers=_PEERS,
        ratios={"nbclient": 1.2},
    ),
    Row(
        name="nb_50",
        title="`nbflow run` of 50 trivial cells",
        meaning="`x = x + 1`, 50 times.",
        peers=_PEERS,
        ratios={"nbclient": 1.15},
    ),
    Row(
        name="nb_first",
        title="quickstart, first run with `--autotask`",
        meaning="An empty home. Beside it nbclient, which runs the same notebook.",
        workload="nb_quickstart",
        key="first",
        peers=_PEERS,
    ),
    Row(
        name="nb_again",
        title="quickstart, second run with `--autotask`",
        meaning="Beside it nbclient with a notebook of the quickstart's imports and nothing else.",
        workload="nb_quickstart",
        key="again",
        peers=_PEERS,
        ratios={"nbclient": 1.3},
    ),
)

NOTEBOOKS = Section("notebooks", "Notebooks", _ROWS)

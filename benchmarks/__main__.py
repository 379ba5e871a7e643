"""`python -m benchmarks`: measure nbflow beside its peers and print the table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import table
from benchmarks.contenders import NBFLOW, PEERS, PREFECT, Contender
from benchmarks.rounds import QUICK, Plan, Results, measure
from benchmarks.rows import ROWS, SECTIONS, Row


def main() -> None:
    """Parse the options, measure, show."""
    options = _options()
    if options.list:
        print("\n".join(f"{row.name}: {row.title}. {row.meaning}" for row in ROWS))
        return
    rows = _chosen(options)
    peers = [peer for peer in PEERS if not (options.no_prefect and peer is PREFECT)]
    results = measure(rows, peers, QUICK if options.quick else Plan())
    sys.stderr.write("\n")
    print(machine())
    print()
    for section in SECTIONS:
        its_rows = [row for row in rows if row in section.rows]
        if its_rows:
            print(f"### {section.title}\n")
            print(table.render(its_rows, peers, results) + "\n")
    if options.json is not None:
        report = json.dumps(_report(rows, peers, results), indent=2)
        options.json.write_text(report + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, about 8 minutes")
    parser.add_argument("--full", action="store_true", help="also what needs 4 GB of memory")
    parser.add_argument("--rows", help="only these, or those of a table, separated by commas")
    parser.add_argument("--list", action="store_true", help="name the rows, say what they mean")
    parser.add_argument("--no-prefect", action="store_true", help="leave Prefect out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the values there too")
    return parser.parse_args()


def _chosen(options: argparse.Namespace) -> Sequence[Row]:
    def is_due(row: Row) -> bool:
        return (row.in_quick or not options.quick) and (options.full or not row.only_full)

    if options.rows is None:
        return [row for row in ROWS if is_due(row)]
    wanted = [name.strip() for name in options.rows.split(",")]
    known: dict[str, Sequence[Row]] = {row.name: [row] for row in ROWS}
    for section in SECTIONS:
        known[section.name] = [row for row in section.rows if is_due(row)]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise SystemExit(f"no row {unknown[0]!r}; there are {', '.join(known)}")
    return list({row.name: row for name in wanted for row in known[name]}.values())


def machine() -> str:
    """What the figures were measured on, in a line."""
    n_cores = len(os.sched_getaffinity(0))
    system = f"{platform.system()} {platform.machine()}"
    return f"{n_cores} cores, {system}, Python {platform.python_version()}"


def _report(rows: Sequence[Row], peers: Sequence[Contender], results: Results) -> dict[str, object]:
    """Every value of every round, medians, ratios and verdicts, for machines."""
    names = [NBFLOW.name, *(peer.name for peer in peers)]
    return {
        "machine": machine(),
        "rows": [
            {
                "name": row.name,
                "title": row.title,
                "unit": row.unit.value,
                "values": {name: results.values(name, row) for name in names},
                "medians": {name: results.median(name, row) for name in names},
                "ratios": {name: results.ratio(name, row) for name in names[1:]},
                "goals": [{"goal": goal, "met": met} for goal, met in table.verdicts(row, results)],
                "errors": {name: results.error(name, row) for name in names},
            }
            for row in rows
        ],
    }


if __name__ == "__main__":
    main()

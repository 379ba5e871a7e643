"""Interleaved rounds: ours, peer, ours, peer, ... so that a slow minute hits everybody."""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks import processes
from benchmarks.contenders import NBFLOW, PREFECT, Contender
from benchmarks.processes import Answer
from benchmarks.rows import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How often what is measured.

    Attributes:
        n_rounds: For workloads that take a second.
        n_heavy_rounds: For those that take longer.
        n_slow_rounds: For slow peers, such as Prefect, whose processes take half a minute each.
        quick: Prefect's light workloads share one process, its heavy ones are left out.
    """

    n_rounds: int = 5
    n_heavy_rounds: int = 2
    n_slow_rounds: int = 2
    quick: bool = False


QUICK = Plan(n_rounds=2, n_heavy_rounds=1, n_slow_rounds=1, quick=True)


@dataclass(slots=True)
class Results:
    """Everything measured.

    Attributes:
        answers: By (contender, workload), one per round.
    """

    answers: dict[tuple[str, str], list[Answer]] = field(default_factory=lambda: defaultdict(list))

    def values(self, contender: str, row: Row) -> list[float]:
        """A row's values of one contender, one per round that gave any."""
        answers = self.answers.get((contender, row.measured_by), [])
        return [answer.values[row.key] for answer in answers if row.key in answer.values]

    def median(self, contender: str, row: Row) -> float | None:
        """The median over the rounds; None: there is no value."""
        values = self.values(contender, row)
        return statistics.median(values) if values else None

    def ratio(self, contender: str, row: Row) -> float | None:
        """nbflow's value by a peer's: the median of the ratios within each round."""
        pairs = zip(self.values(NBFLOW.name, row), self.values(contender, row), strict=False)
        ratios = [ours / theirs for ours, theirs in pairs if theirs > 0]
        return statistics.median(ratios) if ratios else None

    def error(self, contender: str, row: Row) -> str | None:
        """Why a contender has no value in a row, if it was asked."""
        errors = [one.error for one in self.answers.get((contender, row.measured_by), [])]
        return next((error for error in reversed(errors) if error), None)

    def add(self, contender: str, answers: dict[str, Answer]) -> None:
        for workload, answer in answers.items():
            if "row" in answer.values:
                answer.values["rate"] = 1 / answer.values["row"]
            self.answers[contender, workload].append(answer)


def measure(rows: Sequence[Row], peers: Sequence[Contender], plan: Plan) -> Results:
    """Run every workload that `rows` need, for nbflow and the peers that have it."""
    results = Results()
    began = time.monotonic()
    if plan.quick and PREFECT in peers:
        light = {row.measured_by: None for row in rows if _wants(row, PREFECT, plan)}
        _tell(began, "prefect, all in one process")
        results.add(PREFECT.name, processes.run(PREFECT, tuple(light)))
    for workload, its_rows in _by_workload(rows).items():
        row = its_rows[0]
        for n in range(plan.n_heavy_rounds if row.heavy else plan.n_rounds):
            for contender in (NBFLOW, *peers):
                if contender is not NBFLOW and not _is_due(its_rows, contender, plan, n):
                    continue
                _tell(began, f"{workload}: {contender.name}, round {n + 1}")
                results.add(contender.name, processes.run(contender, (workload,)))
    return results


def _is_due(rows: Sequence[Row], contender: Contender, plan: Plan, n: int) -> bool:
    """Whether a peer has its turn in round `n`. Slow ones sit out; quick, Prefect is through."""
    if contender.is_slow and n >= (1 if rows[0].heavy else plan.n_slow_rounds):
        return False
    if contender is PREFECT and plan.quick:
        return False
    return any(contender.name in row.peers for row in rows)


def _wants(row: Row, contender: Contender, plan: Plan) -> bool:
    return contender.name in row.peers and not (plan.quick and row.heavy)


def _by_workload(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.measured_by].append(row)
    return found


def _tell(began: float, what: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{time.monotonic() - began:5.0f} s  {what}")
        sys.stderr.flush()
    else:
        sys.stderr.write(f"{time.monotonic() - began:5.0f} s  {what}\n")

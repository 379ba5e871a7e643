"""A line of the table, and the tables that lines are shown in."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

MS, US = 1e-3, 1e-6
KB, MB = 1024, 1 << 20


class Unit(Enum):
    """How a value is shown."""

    SECONDS = "s"
    BYTES = "B"
    COUNT = ""
    PER_SECOND = "/s"
    TIMES = "x"
    PERCENT = "%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        name: For `--rows`.
        title: What it costs, and of what.
        meaning: One sentence for `docs/benchmarks.md`.
        workload: Name of the function that measures it; several rows may share one.
        key: Which of the workload's values.
        peers: Columns that have this workload, besides nbflow's.
        at_most: Goal for nbflow's own value; None: the ratios alone, or nothing, decide.
        ratios: Goals for nbflow's value divided by a peer's.
        heavy: Takes long: fewer rounds, and no Prefect with `--quick`.
        in_quick: False: not measured with `--quick`.
        only_full: Measured with `--full` only, or by name: it needs much memory.
    """

    name: str
    title: str
    meaning: str
    workload: str = ""
    key: str = "value"
    unit: Unit = Unit.SECONDS
    peers: tuple[str, ...] = ()
    at_most: float | None = None
    ratios: dict[str, float] = field(default_factory=dict)
    heavy: bool = False
    in_quick: bool = True
    only_full: bool = False

    @property
    def measured_by(self) -> str:
        return self.workload or self.name


@dataclass(frozen=True, slots=True)
class Section:
    """One table: rows that share most of their columns.

    Attributes:
        name: For `--rows`: all its rows.
    """

    name: str
    title: str
    rows: tuple[Row, ...]

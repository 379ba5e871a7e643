"""What is measured: the tables, and their rows in one list."""

from __future__ import annotations

from benchmarks.row import Row, Section, Unit
from benchmarks.rows_notebooks import NOTEBOOKS
from benchmarks.rows_runs import RUNS
from benchmarks.rows_schedules import SCHEDULES
from benchmarks.rows_values import VALUES

__all__ = ["ROWS", "SECTIONS", "Row", "Section", "Unit"]

SECTIONS = (RUNS, VALUES, NOTEBOOKS, SCHEDULES)
ROWS = tuple(row for section in SECTIONS for row in section.rows)

"""`python -m benchmarks.worker CONTENDER MODULES OUT WORKLOAD...`: the process that is measured.

Appends one JSON line per workload to OUT, so that what was measured before a failure is kept, and
what the workloads print disturbs nothing.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.measuring import Measured


def main(contender: str, modules: str, out: str, *workloads: str) -> None:
    """Run the workloads one after another."""
    found: dict[str, Callable[[], Measured]] = {}
    for module in modules.split(","):
        if found.keys() >= set(workloads):
            break  # what the others import must not be there when these are measured
        found.update(importlib.import_module(f"benchmarks.{module}").workloads(contender))
    for name in workloads:
        try:
            measured = found[name]()
            answer = {"values": measured if isinstance(measured, dict) else {"value": measured}}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        with Path(out).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"workload": name, **answer}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

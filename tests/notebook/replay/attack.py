"""One pattern's attack: run, run again, edit, undo, each in a fresh process, beside plain runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.notebook.replay.patterns import Pattern
from tests.notebook.replay.runner import Run, Template, differences, told

#: Why cells are run each time that are as quick to run as to remember.
_DEFINES = "only defines names"
_CHANGED = "the run after a change outside"


def attack(
    pattern: Pattern, template: Template, folder: Path, *, thorough: bool = False
) -> list[str]:
    """Everything that went wrong, in words.

    Args:
        thorough: Run it again after the edit, and again when the edit was undone.
    """
    plain = Place(pattern, template, folder / "plain")
    tasks = Place(pattern, template, folder / "tasks", home=template.new_home(folder / "home"))
    wrong: list[str] = []
    for step, cells, must in _steps(pattern, thorough):
        if step == _CHANGED:
            plain.change()
            tasks.change()
        want, got = plain.run(cells), tasks.run(cells)
        never = [n for n in pattern.never if cells[n] == pattern.cells[n]]
        found = differences(alike(want, pattern), alike(got, pattern))
        found += _misobtained(got, must, never)
        if found:
            wrong += [f"--- {step}:", *found, "cells were obtained so:", told(got)]
    return wrong


def _steps(
    pattern: Pattern, thorough: bool
) -> Sequence[tuple[str, tuple[str, ...], tuple[int, ...]]]:
    """What is run, in words and cells, and which of these have to come from the cache."""
    steps: list[tuple[str, tuple[str, ...], tuple[int, ...]]] = [
        ("the first run", pattern.cells, ()),
        ("the second run", pattern.cells, pattern.cached),
    ]
    if pattern.edit is not None:
        steps.append(("the run after the edit", pattern.edited, pattern.kept))
        if thorough:
            steps.append(("the second run after the edit", pattern.edited, ()))
            steps.append(("the run after the edit was undone", pattern.cells, ()))
    if pattern.then_files or pattern.then_environment:
        steps.append((_CHANGED, pattern.cells, ()))
    return steps


class Place:
    """A folder where one notebook is run again and again, always plainly or always as tasks."""

    def __init__(
        self, pattern: Pattern, template: Template, folder: Path, home: Path | None = None
    ) -> None:
        self._pattern = pattern
        self._template = template
        self._folder = folder / "notebook"  # what a path ends with may be printed
        self._home = home
        self._known: dict[tuple[str, ...], Run] = {}
        self._environment: dict[str, str] = {}
        self._folder.mkdir(parents=True)
        for name, text in pattern.files.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def change(self) -> None:
        """Do what is to happen outside of the notebook."""
        self._known.clear()
        self._environment = dict(self._pattern.then_environment)
        for name, text in self._pattern.then_files.items():
            path = self._folder / name
            if text is None:
                path.unlink()
            else:
                path.write_text(text)

    def run(self, cells: tuple[str, ...]) -> Run:
        """Plain runs that leave nothing behind need no repeating."""
        known = self._known.get(cells)
        if known is not None and self._home is None and not self._pattern.has_disk:
            return known
        run = self._template.run(
            cells,
            self._folder,
            self._home,
            probes=self._pattern.probes,
            entropy=self._pattern.entropy,
            **self._environment,
        )
        self._known[cells] = run
        return run


def alike(run: Run, pattern: Pattern) -> Run:
    """The run without what no two runs have in common."""
    return replace(
        run,
        cells=tuple(
            [] if f"cell {n}" in pattern.unlike else events for n, events in enumerate(run.cells)
        ),
        names={name: text for name, text in run.names.items() if name not in pattern.unlike},
    )


def missed(run: Run, must: Sequence[int]) -> list[str]:
    """Cells that should have come from the cache."""
    return [
        f"cell {n} did not come from the cache"
        for n in must
        if run.statuses[n] != "cached" and _DEFINES not in run.obtained[n].reason
    ]


def _misobtained(run: Run, must: Sequence[int], never: Sequence[int]) -> list[str]:
    if len(run.obtained) != len(run.cells):
        return [f"{len(run.cells)} cells ran, and {len(run.obtained)} were told of"]
    known = {"completed", "cached", "failed", "uncached"}
    found = [
        f"cell {n} has the status {one.status!r}"
        for n, one in enumerate(run.obtained)
        if one.status not in known
    ]
    found += missed(run, must)
    found += [f"cell {n} came from the cache" for n in never if run.statuses[n] == "cached"]
    found += [
        f"cell {n} is uncached and says no reason"
        for n, one in enumerate(run.obtained)
        if one.status == "uncached" and not one.reason
    ]
    failed = [n for n, events in enumerate(run.cells) if any(e[0] == "error" for e in events)]
    told_failed = [n for n, status in enumerate(run.statuses) if status == "failed"]
    if failed != told_failed:
        found.append(f"cells {failed} failed, and {told_failed} were told to have failed")
    return found

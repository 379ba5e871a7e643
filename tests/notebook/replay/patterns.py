"""A pattern: a small notebook that breaks a naive cell cache, and how it is attacked."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A notebook, an edit of it, and what is expected of its cells beyond equality.

    Attributes:
        name: What it does, as words.
        cells: Sources in order.
        edit: Number of the cell that is edited, and its new source; None: nothing is edited.
        cached: Cells that have to come from the cache in a second run.
        never: Cells that must not come from it, ever.
        kept: Cells that have to come from the cache in the run after the edit.
        probes: Expressions whose values are compared at the end as well.
        files: Files beside the notebook, by relative path.
        has_disk: Whether the run leaves something on disk that the next run may see.
        unlike: Names and `cell N` that no two plain runs have in common.
        entropy: Random states are the process' own.
        then_files: What is done to files before one more run: new texts; None: removed.
        then_environment: Variables that this run finds set.
    """

    name: str
    cells: tuple[str, ...]
    edit: tuple[int, str] | None = None
    cached: tuple[int, ...] = ()
    never: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()
    probes: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    has_disk: bool = False
    unlike: tuple[str, ...] = ()
    entropy: bool = False
    then_files: Mapping[str, str | None] = field(default_factory=dict)
    then_environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def edited(self) -> tuple[str, ...]:
        """The cells after the edit."""
        assert self.edit is not None
        n, source = self.edit
        return (*self.cells[:n], textwrap.dedent(source).strip("\n"), *self.cells[n + 1 :])


def pattern(name: str, notebook: str, **more: object) -> Pattern:
    """A pattern from a text whose cells are divided by lines of `---`."""
    cells = textwrap.dedent(notebook).strip("\n").split("\n---\n")
    return Pattern(name=name, cells=tuple(cell.strip("\n") for cell in cells), **more)

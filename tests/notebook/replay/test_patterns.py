"""Every pattern that breaks a naive cell cache, against plain runs in fresh processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.notebook.replay import (
    patterns_aliases,
    patterns_arrays,
    patterns_classes,
    patterns_functions,
    patterns_holders,
    patterns_identity,
    patterns_later,
    patterns_ordinary,
    patterns_outside,
    patterns_process,
    patterns_shell,
    patterns_state,
    patterns_streams,
)
from tests.notebook.replay.attack import Place, alike, attack, missed
from tests.notebook.replay.patterns import Pattern
from tests.notebook.replay.runner import Template, differences, told

TABLES = (
    patterns_ordinary,
    patterns_aliases,
    patterns_arrays,
    patterns_state,
    patterns_process,
    patterns_functions,
    patterns_classes,
    patterns_streams,
    patterns_shell,
    patterns_identity,
    patterns_holders,
    patterns_outside,
    patterns_later,
)
PATTERNS = [
    pytest.param(pattern, id=f"{table.__name__.rpartition('_')[2]}: {pattern.name}")
    for table in TABLES
    for pattern in table.PATTERNS
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_runs_equal_plain_runs(pattern: Pattern, template: Template, tmp_path: Path):
    wrong = attack(pattern, template, tmp_path)

    assert not wrong, "\n".join(wrong)


@pytest.mark.reliability
@pytest.mark.parametrize("pattern", PATTERNS)
def test_two_plain_runs_are_equal(pattern: Pattern, template: Template, tmp_path: Path):
    """The comparison finds no differences where there are none."""
    one = Place(pattern, template, tmp_path / "one")
    two = Place(pattern, template, tmp_path / "two")
    for cells in [pattern.cells] + ([pattern.edited] if pattern.edit else []):
        found = differences(alike(one.run(cells), pattern), alike(two.run(cells), pattern))
        assert not found, "\n".join(found)


@pytest.mark.parametrize("pattern", patterns_ordinary.PATTERNS, ids=lambda p: p.name)
def test_hits_do_not_depend_on_the_hashes_of_strings(
    pattern: Pattern, template: Template, other_hashes: Template, tmp_path: Path
):
    home = template.new_home(tmp_path / "home")
    Place(pattern, template, tmp_path / "one", home).run(pattern.cells)

    run = Place(pattern, other_hashes, tmp_path / "two", home).run(pattern.cells)

    assert not missed(run, pattern.cached), told(run)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", PATTERNS)
def test_runs_equal_plain_runs_where_nothing_is_imported_yet(
    pattern: Pattern, cold_template: Template, tmp_path: Path
):
    # numpy seeds itself when it is imported, each time otherwise
    pattern = replace(pattern, unlike=(*pattern.unlike, "hidden:np.random"))

    wrong = attack(pattern, cold_template, tmp_path, thorough=True)

    assert not wrong, "\n".join(wrong)

"""`%%task`'s cache, as a person at the keyboard meets it, and `%nbflow cache`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notebook.notebooks import Notebook


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    notebook = Notebook(tmp_path_factory.mktemp("cache"))
    yield notebook
    notebook.close()


@pytest.fixture
def notebook(kernel: Notebook, tmp_path: Path) -> Notebook:
    kernel.load(tmp_path)
    return kernel


def status(notebook: Notebook, code: str) -> str:
    """The status line of a cell that is run."""
    return notebook.cell("one", code).displays()[0]


# --- hits -----------------------------------------------------------------------------------------


def test_the_same_cell_again_is_found_and_shows_what_it_showed(notebook: Notebook):
    code = "%%task\nx = sum(range(10))\nprint('working')\nx * 2"
    notebook.cell("one", code)

    again = notebook.cell("one", code)

    assert again.text() == "working\n"
    assert again.value == "90"
    assert re.fullmatch(r"↻✔ x · cached [\d.]+ m?s ago, saved [\d.]+ m?s", again.displays()[0])
    assert notebook.run("_ + 1").value == "91"


def test_output_that_has_to_be_stable_has_no_times(tmp_path: Path):
    notebook = Notebook(tmp_path, NBFLOW_STABLE_OUTPUT="1")
    try:
        for told in ("Completed", "Cached"):
            assert status(notebook, "%%task\nx = 1 + len('a')") == f"nbflow: x — {told}"
        assert notebook.run("%flow run --force").displays() == [
            "nbflow: notebook — Completed (1 task: 1 completed)"
        ]
    finally:
        notebook.close()


@pytest.mark.parametrize(
    ("first", "second", "is_found"),
    [
        ("x = 1 + len('a')", "x = 1  +  len('a')  # said otherwise", True),
        ("x = 1 + len('a')", "x = 2 + len('a')", False),
    ],
)
def test_what_an_edit_changes(notebook: Notebook, first: str, second: str, is_found: bool):
    status(notebook, f"%%task\n{first}")

    assert ("cached" in status(notebook, f"%%task\n{second}")) is is_found


def test_options_of_the_cache(notebook: Notebook):
    for line, found in [
        ("", False),
        ("", True),
        ("--retries 2", True),
        ("--refresh", False),
        ("", True),
        ("--no-cache", False),
        ("", True),
        ("--expires 1h", True),
    ]:
        told = status(notebook, f"%%task {line}\nx = 1 + len('a')")
        assert ("cached " in told and "not cached" not in told) is found, (line, told)


def test_no_cache_says_so(notebook: Notebook):
    assert status(notebook, "%%task --no-cache\nx = len('a')").endswith("· not cached: --no-cache")


def test_a_cell_that_reads_the_clock_is_cached_only_when_told_to(notebook: Notebook):
    code = "import time\nnow = time.time()"

    assert "not cached: it reads the clock" in status(notebook, f"%%task\n{code}")
    assert "not cached: it reads the clock" in status(notebook, f"%%task\n{code}")
    status(notebook, f"%%task --cache\n{code}")
    before = notebook.literal("now")
    assert "cached" in status(notebook, f"%%task --cache\n{code}")
    assert notebook.literal("now") == before


def test_what_has_expired_is_not_used(notebook: Notebook):
    code = "%%task --expires 0.05s\nx = len('abc')"
    status(notebook, code)
    notebook.run("import time\nend = time.monotonic() + 0.1\nwhile time.monotonic() < end: pass")

    assert "Completed" in status(notebook, code)


# --- %nbflow cache --------------------------------------------------------------------------------


def test_the_table_has_a_row_for_each_task(notebook: Notebook):
    for _ in range(2):
        notebook.cells(one="%%task first\nx = len('a')", two="%%task second\ny = [x] * 1000")

    notebook.run("table = %nbflow cache")

    assert notebook.literal("(sorted(table.index), list(table.columns))") == (
        ["first", "second"],
        ["entries", "size", "age", "hits", "saved"],
    )
    assert notebook.literal("(table['entries'].tolist(), table['hits'].tolist())") == (
        [1, 1],
        [1, 1],
    )
    notebook.run("table = %nbflow cache second")
    assert notebook.literal("list(table.index)") == ["second"]


def test_what_is_removed_is_not_found(notebook: Notebook):
    cells = {"one": "%%task first\nx = len('a')", "two": "%%task second\ny = len('b')"}
    notebook.cells(**cells)

    told = notebook.run("%nbflow cache rm first").text()

    assert re.fullmatch(r"forgot 1 entry of 'first' \([\d.]+ K?B\)\n", told)
    assert "Completed" in status(notebook, cells["one"])
    assert "cached" in notebook.cell("two", cells["two"]).displays()[0]
    assert re.fullmatch(
        r"forgot 2 entries \([\d.]+ K?B\)\n", notebook.run("%nbflow cache clear").text()
    )
    assert notebook.run("%nbflow cache").text() == "UsageError: nothing is kept\n"
    assert "Completed" in notebook.cell("two", cells["two"]).displays()[0]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("rm", "%nbflow cache rm needs the name of a task"),
        ("why", "%nbflow cache why needs the name of a task"),
        ("rm frst", "nothing is kept of a task 'frst'; did you mean first?"),
        ("rm nope", "nothing is kept of a task 'nope'; of these there is: first"),
        ("why nope", "there is no task cell 'nope' in this notebook; there are: first"),
        ("nope", "nothing is kept of a task 'nope'"),
    ],
)
def test_a_wrong_question_is_answered_in_a_line(notebook: Notebook, line: str, told: str):
    notebook.cells(one="%%task first\nx = len('a')")

    assert notebook.run(f"%nbflow cache {line}").text() == f"UsageError: {told}\n"


# --- why ------------------------------------------------------------------------------------------


def why(notebook: Notebook, name: str = "first") -> str:
    return notebook.run(f"%nbflow cache why {name}").text()


def test_why_says_that_it_would_be_found(notebook: Notebook):
    notebook.cells(plain="n = 2", one="%%task first\nx = n * 3")

    assert re.fullmatch(
        r"'first' would be found: kept [\d.]+ m?s ago, it saves [\d.]+ m?s\n", why(notebook)
    )


def test_why_names_the_input_that_differs(notebook: Notebook):
    notebook.cells(plain="n, m = 2, 3\ndef f(x): return x + 1", one="%%task first\nx = f(n) * m")

    notebook.cells(plain="n, m = 5, 3\ndef f(x): return x + 1")
    assert why(notebook) == "'first' differs from the nearest entry in: input n\n"
    notebook.cells(plain="n, m = 2, 3\ndef f(x): return x + 2")
    assert why(notebook) == "'first' differs from the nearest entry in: input f\n"


def test_why_shows_what_was_edited(notebook: Notebook):
    """Also after the edited cell has run and been kept."""
    notebook.cells(one="%%task first\nx = len('a')\ny = x + 1")
    notebook.cell("one", "%%task first\nx = len('a')\ny = x + len('oh')")

    told, edits = why(notebook).split("\nit ran, as it ")

    assert told.startswith("'first' would be found: kept ")
    assert edits.startswith("differs from the nearest entry in: source\n")
    assert "-y = x + 1\n" in edits
    assert "+y = x + len('oh')\n" in edits


def test_why_shows_the_edit_of_a_cell_that_failed(notebook: Notebook):
    notebook.cells(one="%%task first\ny = len('a') + 1")
    notebook.cell("one", "%%task first\ny = len('a') + int('oh')")

    told = why(notebook)

    assert told.startswith("'first' differs from the nearest entry in: source\n")
    assert "+y = len('a') + int('oh')\n" in told


def test_why_says_what_keeps_a_cell_from_being_cached(notebook: Notebook):
    notebook.cells(
        one="%%task first\nimport time\nnow = time.time()",
        two="%%task second --no-cache\ny = len('a')",
        three="%%task third\nz = (n for n in range(3))",
    )

    assert why(notebook).startswith("'first' is not cached: it reads the clock")
    assert why(notebook, "second") == "'second' is not cached: --no-cache\n"
    assert why(notebook, "third").startswith(
        "'third' was not cached when it ran: z is a builtins.generator"
    )


def test_why_says_that_a_file_has_changed(notebook: Notebook, tmp_path: Path):
    (tmp_path / "numbers.txt").write_text("1 2")
    notebook.cells(
        one="%%task first\nfrom pathlib import Path\ntext = Path('numbers.txt').read_text()"
    )
    assert "would be found" in why(notebook)

    (tmp_path / "numbers.txt").write_text("1 2 3")

    assert why(notebook).startswith("'first' is as it was, but a file,")


def test_asking_for_the_table_changes_no_key(notebook: Notebook):
    """Though it loads pandas."""
    notebook.cells(one="%%task first\nx = len('a')")
    notebook.run("%nbflow cache")

    assert "would be found" in why(notebook)

"""Notebooks run without their author: a fresh kernel, a flow run, an executed copy."""

from __future__ import annotations

import ast
import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from nbflow import wiring
from nbflow.deploy.notebooks import read_notebook, run_notebook, with_parameters
from nbflow.errors import NbflowError, NotebookFailed
from nbflow.model.records import RunRecord

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a notebook; a cell is its source, or (source, tag)."""

    def write(*cells: str | tuple[str, str], name: str = "work.ipynb", **metadata: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        made = [
            new_code_cell(cell)
            if isinstance(cell, str)
            else new_code_cell(cell[0], metadata={"tags": [cell[1]]})
            for cell in cells
        ]
        nbformat.write(new_notebook(cells=made, metadata=metadata), path)
        return path

    return write


def outputs(path: Path) -> list[str]:
    """What each code cell of an executed notebook printed."""
    return [
        "".join(one["text"] for one in cell.outputs if one.output_type == "stream")
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code"
    ]


def recorded() -> list[RunRecord]:
    """Every recorded run, oldest first."""
    store = wiring.current().store
    store.flush()
    store.reap()
    return store.runs()[::-1]


def test_a_notebook_without_nbflow_runs_and_is_a_flow_run(write: Write):
    path = write("x = 20", "print(x * 2)\nx + 1", name="plain.ipynb")

    executed = run_notebook(path)

    assert executed == path.with_name("plain.executed.ipynb")
    assert outputs(executed) == ["", "40\n"]
    assert nbformat.read(executed, 4).cells[1].outputs[-1].data["text/plain"] == "21"
    assert nbformat.read(path, 4).cells[1].outputs == []
    (run,) = recorded()
    assert (run.kind, run.spec_name, run.state_name) == ("flow", "plain", "Completed")


def test_task_cells_and_flows_are_runs_inside_the_notebooks_run(write: Write):
    path = write(
        "%load_ext nbflow",
        "%%task one\nx = 1\nprint('in one')",
        "from nbflow import flow, task\n@task\ndef t(): return x\n@flow\ndef inner(): return t()",
        "inner()",
        "%%flow piped\nt()",
    )

    run_notebook(path)

    runs = {run.spec_name: run for run in recorded() if run.spec_name != "t"}
    parents = {name: run.parent_id for name, run in runs.items()}
    top = runs["work"].id
    assert parents == {"work": None, "one": top, "inner": top, "piped": top}
    assert runs["one"].flow_run_id == top
    assert runs["work"].n_tasks == {"Completed": 1}
    assert {run.parent_id for run in recorded() if run.spec_name == "t"} == {
        runs["inner"].id,
        runs["piped"].id,
    }
    lines = wiring.current().store.lines(top, states=False)
    assert [line.message for line in lines] == ["in one"]


def test_parameters_come_after_the_tagged_cell(write: Write):
    path = write("before = 1", ("a = 1\nb = 'x'", "parameters"), "print(a, b, before)")

    executed = run_notebook(path, parameters={"a": 5, "b": "it's", "new": [1, None]})

    assert outputs(executed)[-1] == "5 it's 1\n"
    cells = nbformat.read(executed, 4).cells
    assert cells[2].metadata.tags == ["injected-parameters"]
    assert cells[2].source == '# Parameters\na = 5\nb = "it\'s"\nnew = [1, None]'
    assert recorded()[0].inputs == {"a": 5, "b": "it's", "new": [1, None]}


def test_injected_parameters_are_replaced_the_next_time(write: Write):
    path = write(("a = 1", "parameters"), "print(a)")

    first = run_notebook(path, parameters={"a": 2})
    second = run_notebook(first, parameters={"a": 3}, output=first.with_name("again.ipynb"))

    assert outputs(second) == ["", "", "3\n"]
    assert len(nbformat.read(second, 4).cells) == 3


def test_without_a_tagged_cell_parameters_come_first():
    notebook = new_notebook(cells=[new_markdown_cell("# Title"), new_code_cell("print(a)")])

    cells = with_parameters(notebook, {"a": 1}).cells

    assert [cell.source for cell in cells] == ["# Parameters\na = 1", "# Title", "print(a)"]
    assert len(notebook.cells) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [("not a name", 1), ("class", 1), ("a", float("nan")), ("a", object()), ("a", Path("x"))],
)
def test_a_parameter_that_cannot_be_written_is_refused(write: Write, name: str, value: object):
    with pytest.raises(NbflowError, match=f"the parameter {name!r}"):
        run_notebook(write("1"), parameters={name: value})

    assert recorded() == []


def test_values_are_written_so_that_they_read_back_the_same():
    value = {"text": "a\n'b' \\ é", "numbers": [1, -2.5, 1e300], "nested": {"x": (None, True)}}

    cell = with_parameters(new_notebook(), {"value": value}).cells[0]

    assert ast.literal_eval(cell.source.partition("value = ")[2]) == value


def test_a_cell_that_raises_is_named_and_the_copy_holds_the_outputs_so_far(write: Write):
    path = write(
        "print('one')", "", "%load_ext nbflow", "%%task bad\nprint('two')\n1 / 0", "print(3)"
    )

    with pytest.raises(NotebookFailed) as caught:
        run_notebook(path)

    assert caught.value.cell == "cell 3 of 4 (%%task bad)"
    assert str(caught.value) == (
        "cell 3 of 4 (%%task bad) failed: ZeroDivisionError: division by zero"
    )
    executed = path.with_name("work.executed.ipynb")
    assert outputs(executed) == ["one\n", "", "", "two\n", ""]
    failed = nbformat.read(executed, 4).cells[3]
    assert [one.output_type for one in failed.outputs].count("error") == 1
    assert [(run.spec_name, run.state_name) for run in recorded()] == [
        ("work", "Failed"),
        ("bad", "Failed"),
    ]


def test_a_cell_may_be_allowed_to_raise(write: Write):
    path = write(("1 / 0", "raises-exception"), "print('on')")

    assert outputs(run_notebook(path)) == ["", "on\n"]


def test_the_copy_is_whole_whenever_it_is_looked_at_and_follows_the_cells(write: Write):
    waits = """
        import pathlib, time
        end = time.monotonic() + 30
        while "2 2" not in pathlib.Path("work.executed.ipynb").read_text():
            assert time.monotonic() < end
            time.sleep(0.02)
    """
    path = write("print(1, 1)", "print(2, 2)", textwrap.dedent(waits), "print(3, 3)")
    seen: list[list[str]] = []

    def look(progress: object) -> None:
        seen.append(outputs(path.with_name("work.executed.ipynb")))

    run_notebook(path, progress=look)

    whole = ["1 1\n", "2 2\n", "", "3 3\n"]
    assert outputs(path.with_name("work.executed.ipynb")) == whole
    for at, texts in enumerate(seen):
        assert texts[at:] == [""] * (4 - at)
        assert all(text in ("", wanted) for text, wanted in zip(texts, whole, strict=True))
    assert sorted(file.name for file in path.parent.glob("*work*")) == [
        "work.executed.ipynb",
        "work.ipynb",
    ]


def test_progress_counts_the_cells_that_run_and_tells_what_they_begin_with(write: Write):
    path = write("# a comment\nx = 1", "", "%%time\nx")
    told: list[tuple[int, int, str]] = []

    run_notebook(path, progress=lambda p: told.append((p.number, p.n_cells, p.title)))

    assert told == [(1, 2, "x = 1"), (2, 2, "%%time")]


def test_a_dying_kernel_is_told_and_its_runs_are_crashed(write: Write):
    path = write(
        "%load_ext nbflow",
        "%%task dies\nimport os, nbflow\nnbflow.runs()  # all is on disk now\nos._exit(3)",
    )

    with pytest.raises(NbflowError, match=r"the kernel died in cell 2 of 2 \(%%task dies\)"):
        run_notebook(path)

    assert [(run.spec_name, run.state_name) for run in recorded()] == [
        ("work", "Failed"),
        ("dies", "Crashed"),
    ]


def test_the_kernel_works_in_the_notebooks_folder_whatever_it_is_called(write: Write):
    path = write("import os\nprint(os.getcwd())", name="my réports/Q 1.ipynb")
    here = Path.cwd()

    executed = run_notebook(path, output=path.parent / "out put" / "copy of it.ipynb")

    assert outputs(executed) == [f"{path.parent.resolve()}\n"]
    assert Path.cwd() == here


def test_a_relative_path_is_taken_from_the_working_directory(
    write: Write, monkeypatch: pytest.MonkeyPatch
):
    path = write("import os\nprint(os.path.basename(os.getcwd()))", name="inner/relative.ipynb")
    monkeypatch.chdir(path.parent.parent)

    assert outputs(run_notebook(Path("inner/relative.ipynb"))) == ["inner\n"]


def test_the_kernel_is_of_this_python_whatever_the_notebook_was_made_with(write: Write):
    spec = {"name": "someones-conda-env", "language": "python", "display_name": "X"}
    path = write("import sys\nprint(sys.executable)", kernelspec=spec)

    (printed,) = outputs(run_notebook(path))
    assert os.path.samefile(printed.strip(), sys.executable)


def test_an_unknown_kernel_is_told(write: Write):
    path = write("1", kernelspec={"name": "ir", "language": "R", "display_name": "R"})

    with pytest.raises(NbflowError, match="there is no kernel 'ir' on this machine"):
        run_notebook(path)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("missing.ipynb", "there is no notebook"),
        ("", "is a folder"),
        ("torn.ipynb", "is not a notebook that can be read"),
        ("binary.ipynb", "is not a notebook that can be read"),
        ("list.ipynb", "is not a notebook that can be read"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_sentence(tmp_path: Path, name: str, told: str):
    (tmp_path / "torn.ipynb").write_text('{"cells": [')
    (tmp_path / "binary.ipynb").write_bytes(bytes(range(256)))
    (tmp_path / "list.ipynb").write_text("[]")

    with pytest.raises(NbflowError, match=told):
        read_notebook(tmp_path / name)


def test_a_copy_that_cannot_be_written_is_told(write: Write, tmp_path: Path):
    (tmp_path / "a file").write_text("")

    with pytest.raises(NbflowError, match="cannot write the executed notebook"):
        run_notebook(write("1"), output=tmp_path / "a file" / "copy.ipynb")


def test_old_notebooks_are_read_without_a_word(tmp_path: Path):
    """Cells had no ids before format 4.5, and nbformat warns of ids that are missing after it."""
    path = tmp_path / "old.ipynb"
    path.write_text(
        '{"cells": [{"cell_type": "code", "source": "1", "metadata": {}, "outputs": [],'
        ' "execution_count": null}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    )

    assert read_notebook(path).cells[0].source == "1"

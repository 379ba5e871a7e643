"""Flows of Python files, found by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbflow.deploy.scripts import load_flow
from nbflow.errors import NbflowError

TWO = """
from helper_beside import word
from nbflow import flow, task

@task
def double(x): return 2 * x

@flow
def report(n: int = 1): return word + str(double(n))

@flow(name="Nightly report")
def nightly(): return 1

if __name__ == "__main__":
    raise AssertionError("it was run as a script")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with scripts, forgotten by the interpreter afterwards."""
    before, modules = list(sys.path), set(sys.modules)
    (tmp_path / "two_flows.py").write_text(TWO)
    (tmp_path / "helper_beside.py").write_text("word = 'n='\n")
    (tmp_path / "one_flow.py").write_text(
        "from nbflow import flow\n@flow\ndef only(): return 'only'\n"
    )
    (tmp_path / "no_flow.py").write_text("x = 1\n")
    (tmp_path / "broken_script.py").write_text("1 / 0\n")
    (tmp_path / "notes.txt").write_text("hello")
    yield tmp_path
    sys.path[:] = before
    for name in set(sys.modules) - modules:
        if name in ("two_flows", "one_flow", "no_flow", "broken_script", "helper_beside"):
            del sys.modules[name]


def test_a_flow_is_found_by_its_variable_or_its_name(folder: Path):
    assert load_flow(f"{folder}/two_flows.py:report")(3) == "n=6"
    assert load_flow(f"{folder}/two_flows.py:Nightly report")() == 1


def test_the_only_flow_needs_no_name(folder: Path):
    assert load_flow(f"{folder}/one_flow.py")() == "only"


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("two_flows.py", "has several flows; say which: report, nightly"),
        ("two_flows.py:nightli", "has no flow 'nightli'; it has: report, nightly"),
        ("no_flow.py", "has no flow; put @flow above a function"),
        ("missing.py:x", "does not exist"),
        ("", "is a folder"),
        ("notes.txt", "is not a Python file"),
    ],
)
def test_what_is_not_found_is_told_with_what_there_is(folder: Path, target: str, told: str):
    with pytest.raises(NbflowError, match=told):
        load_flow(f"{folder}/{target}")


def test_what_a_script_raises_is_its_own(folder: Path):
    with pytest.raises(ZeroDivisionError):
        load_flow(f"{folder}/broken_script.py")


def test_loading_again_and_again_leaves_the_path_as_it_is(folder: Path):
    load_flow(str(folder / "one_flow.py"))
    path = list(sys.path)

    load_flow(str(folder / "one_flow.py"))

    assert sys.path == path

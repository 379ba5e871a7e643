"""A function that imports inside of its body depends on what it imports."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nbflow.results.fingerprint import fingerprint
from nbflow.results.fingerprint_imports import imported_files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def function(text: str) -> Callable[[], object]:
    namespace: dict[str, object] = {"__name__": "__main__"}
    body = "\n    ".join(text.splitlines())
    exec(f"def f():\n    {body}", namespace)
    return namespace["f"]  # type: ignore[return-value]


@pytest.mark.parametrize(
    "text",
    ["import cfg", "from cfg import get", "import cfg as c", "def g():\n    import cfg\ng()"],
)
def test_an_edit_of_what_is_imported_is_another_digest(folder: Path, text: str) -> None:
    fn = function(text)
    (folder / "cfg.py").write_text("def get(): return 1\n")
    before = fingerprint(fn)
    assert fingerprint(fn) == before
    (folder / "cfg.py").write_text("def get(): return 22\n")
    assert fingerprint(fn) != before


def test_what_is_imported_by_what_is_imported_counts(folder: Path) -> None:
    package = folder / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("from . import inner\n")
    (package / "inner.py").write_text("from other import n\n")
    (folder / "other.py").write_text("n = 1\n")
    found = imported_files(function("from pkg import inner").__code__)
    assert set(found) == {"pkg", "pkg.inner", "other"}


def test_nothing_is_imported_to_look_at_it(folder: Path) -> None:
    (folder / "loud.py").write_text("raise RuntimeError\n")
    assert set(imported_files(function("import loud").__code__)) == {"loud"}
    assert "loud" not in sys.modules


@pytest.mark.parametrize("text", ["import json", "import pandas as pd", "import nowhere", "pass"])
def test_libraries_and_what_is_not_there_do_not_count(folder: Path, text: str) -> None:
    assert imported_files(function(text).__code__) == {}


def test_modules_that_import_each_other_end(folder: Path) -> None:
    (folder / "one.py").write_text("import two\n")
    (folder / "two.py").write_text("import one\n")
    assert set(imported_files(function("import one").__code__)) == {"one", "two"}

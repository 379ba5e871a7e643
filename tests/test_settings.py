"""Settings: environment before pyproject.toml before defaults; nothing unreadable stops a flow."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from nbflow.settings import Settings, child_environment, load_settings


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("NBFLOW_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path)


def project(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text)


def test_defaults(tmp_path):
    assert load_settings() == Settings(home=tmp_path / "user" / ".nbflow")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("log_prints", "1", True),
        ("log_prints", "Yes", True),
        ("log_prints", "off", False),
        ("log_prints", "perhaps", False),
        ("max_threads", "3", 3),
        ("max_threads", "0", 1),
        ("max_threads", "-5", 1),
        ("max_threads", "many", 32),
        ("log_level", "debug", "debug"),
        ("parent_run", "abc", "abc"),
    ],
)
def test_environment(monkeypatch, name, text, value):
    monkeypatch.setenv(f"NBFLOW_{name.upper()}", text)

    assert getattr(load_settings(), name) == value


@pytest.mark.parametrize(
    ("text", "number"), [("debug", 10), ("WARNING", 30), ("nonsense", logging.INFO)]
)
def test_log_level_number(text, number):
    assert Settings(log_level=text).log_level_number == number


@pytest.mark.parametrize(
    ("text", "home"),
    [("relative", "relative"), ("~/mine", "user/mine"), ("a/../b", "b"), ("", "user/.nbflow")],
)
def test_home(monkeypatch, tmp_path, text, home):
    monkeypatch.setenv("NBFLOW_HOME", text)

    assert load_settings().home == tmp_path / home


def test_project_settings_hold_in_its_subfolders(monkeypatch, tmp_path):
    project(tmp_path / "p", '[tool.nbflow]\nhome = ".runs"\nlog_prints = true\nmax_threads = 4\n')
    (tmp_path / "p" / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "p" / "a" / "b")

    found = load_settings()

    assert (found.home, found.log_prints, found.max_threads) == (tmp_path / "p" / ".runs", True, 4)


@pytest.mark.parametrize(("text", "home"), [("~/mine", "user/mine"), ("/abs", "/abs")])
def test_project_home_may_be_elsewhere(monkeypatch, tmp_path, text, home):
    project(tmp_path / f"p{len(text)}", f'[tool.nbflow]\nhome = "{text}"\n')
    monkeypatch.chdir(tmp_path / f"p{len(text)}")

    assert load_settings().home == tmp_path / home


def test_environment_comes_before_the_project(monkeypatch, tmp_path):
    project(tmp_path / "p", '[tool.nbflow]\nhome = "a"\nlog_level = "ERROR"\n')
    monkeypatch.chdir(tmp_path / "p")
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path / "b"))

    assert (load_settings().home, load_settings().log_level) == (tmp_path / "b", "ERROR")


@pytest.mark.parametrize(
    "text", ["[tool.nbflow", "# [tool.nbflow]\n", "x = '[tool.nbflow]'\n", "[tool.other]\n", "\0"]
)
def test_project_file_that_says_nothing_changes_nothing(monkeypatch, tmp_path, text):
    folder = tmp_path / f"p{abs(hash(text))}"
    project(folder, text)
    monkeypatch.chdir(folder)

    assert load_settings().log_level == "INFO"


def test_missing_working_directory_and_home_are_survived(monkeypatch, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert load_settings().log_level == "INFO"


def test_child_environment_is_read_back(monkeypatch, tmp_path):
    for name, value in child_environment(home=str(tmp_path / "h"), log_prints="1").items():
        monkeypatch.setenv(name, value)

    assert load_settings() == Settings(home=tmp_path / "h", log_prints=True)

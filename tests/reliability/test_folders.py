"""A results folder that cannot be written: flows give their values all the same, and say so."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from children import Child, is_intact, read

from nbflow.store.store import Store

SCRIPT = """
    import numpy as np
    from nbflow import flow, task
    from nbflow.cache_policies import INPUTS, TASK_SOURCE

    @task(cache_policy=INPUTS + TASK_SOURCE)
    def large(n):
        return np.full(50_000, n)

    @task(cache_policy=INPUTS + TASK_SOURCE)
    def small(n):
        return 2 * n

    @flow
    def f(n):
        return int(sum(one.sum() for one in large.map(range(n)).result())) + small(n)

    for n in range(3, 9):
        print(f(n), flush=True)
"""
VALUES = [str(50_000 * sum(range(n)) + 2 * n) for n in range(3, 9)]
FULL = b"x" * 4096


@pytest.fixture
def mounted(home: Path) -> Iterator[Path]:
    """The results folder of the test's home as a disk of its own, of 1 MB."""
    point = home / "results"
    point.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(point)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.decode().strip()}")
    yield point
    subprocess.run(["umount", "-l", str(point)], check=True)


def fill(folder: Path) -> Path:
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(FULL)
        except OSError:
            pass
    return ballast


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "claims")


def goes_on(home: Path) -> str:
    """Run the script; gives the one line it says."""
    child = Child(SCRIPT, home, NBFLOW_LOG_LEVEL="WARNING")

    assert child.end() == VALUES

    assert "Traceback" not in child.stderr
    (line,) = child.stderr.splitlines()
    assert "'large' runs without its cache: " in line
    unfinished = "SELECT count(*) FROM runs WHERE state_name NOT IN ('Completed', 'Cached')"
    assert read(home, unfinished) == [(0,)]
    assert read(home, "SELECT count(*) FROM runs WHERE kind = 'flow'") == [(len(VALUES),)]
    assert is_intact(home)
    return line


def test_results_folder_that_is_a_file(home: Path) -> None:
    home.mkdir()
    (home / "results").write_text("mine")

    assert str(home / "results") in goes_on(home)

    assert (home / "results").read_text() == "mine"


def test_results_folder_below_a_link_to_nowhere(home: Path) -> None:
    home.mkdir()
    (home / "results").symlink_to(home / "gone" / "away")

    goes_on(home)


def test_read_only_results_folder(home: Path, mounted: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)

    assert "ead-only" in goes_on(home)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_results_folder_of_somebody_else(home: Path) -> None:
    (home / "results").mkdir(parents=True)
    (home / "results").chmod(0o500)

    goes_on(home)


def test_results_folder_on_a_full_disk(home: Path, mounted: Path) -> None:
    fill(mounted)

    assert "No space left on device" in goes_on(home)

    assert names(mounted) == ["ballast"]


def test_results_folder_that_fills_up_keeps_whole_results_only(home: Path, mounted: Path) -> None:
    assert "No space left on device" in goes_on(home)

    kept = [name for (name,) in read(home, "SELECT file FROM results WHERE file IS NOT NULL")]
    assert len(kept) == 2  # of 400 kB each
    assert names(mounted) == sorted(kept)


def test_room_again_and_results_are_kept_again(home: Path, mounted: Path) -> None:
    code = SCRIPT.replace("range(3, 9)", "(1, 1, 2)").replace("print(", "input(); print(")
    ballast = fill(mounted)
    child = Child(code, home, NBFLOW_LOG_LEVEL="ERROR")
    child.tell()
    assert child.line() == "2"
    ballast.unlink()
    child.tell()
    assert child.line() == "2"
    child.tell()

    assert child.end() == ["50004"]

    assert child.stderr.count("\n") == 1  # of the time without room
    assert read(home, "SELECT count(*) FROM results WHERE file IS NOT NULL") == [(2,)]
    store = Store(home, may_fall_back=False)
    assert [run.state_name for run in store.runs(name="large-0")].count("Completed") >= 1
    store.close()


def test_result_asked_for_by_name_is_said_to_be_not_kept(home: Path) -> None:
    """`persist_result` is asked for, so it is said; the value is given."""
    home.mkdir()
    (home / "results").write_text("mine")
    code = SCRIPT.replace("cache_policy=INPUTS + TASK_SOURCE", "persist_result=True")
    child = Child(code, home, NBFLOW_LOG_LEVEL="WARNING")

    assert child.end() == VALUES

    (line,) = child.stderr.splitlines()
    assert "'large'" in line

"""Homes that are missing, read-only, full, damaged or no folders: the user's flow goes on."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from children import Child, is_intact, read, run_child

from nbflow.errors import StoreUnavailable
from nbflow.store.store import Store

FLOW = """
    from nbflow import flow, task, runs
    @task
    def double(x):
        return 2 * x
    @flow
    def f(n):
        return sum(double.map(range(n)).result())
    print(f(10), flush=True)
    print(len(runs()))
"""


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[object]:
    """Mounts memory of a size at `tmp_path / "disk"`; skips where that is not allowed."""
    point = tmp_path / "disk"

    def mount(options: str) -> Path:
        point.mkdir(exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(point)],
            capture_output=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"cannot mount: {done.stderr.decode().strip()}")
        return point

    yield mount
    while os.path.ismount(point):
        subprocess.run(["umount", "-l", str(point)], check=True)


def goes_on(home: Path, **env: str) -> str:
    """Run the flow in a process; gives the one line it says about its store."""
    child = Child(FLOW, home, **env)
    assert child.end() == ["90", "11"]
    (line,) = child.stderr.splitlines()
    assert line.startswith("nbflow: cannot use the store ")
    assert "kept only while this process lives" in line
    return line


def test_missing_home_is_created_for_its_user_only(tmp_path):
    home = tmp_path / "a" / "b"

    assert run_child(FLOW, home) == ["90", "11"]

    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert read(home, "SELECT count(*) FROM runs") == [(11,)]


def test_empty_file_becomes_a_store(home):
    home.mkdir()
    (home / "nbflow.db").touch()

    assert run_child(FLOW, home) == ["90", "11"]
    assert is_intact(home)


def test_home_that_is_a_file(tmp_path):
    home = tmp_path / "file"
    home.write_text("mine")

    assert "is not a folder; set NBFLOW_HOME" in goes_on(home)
    assert home.read_text() == "mine"


def test_home_below_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")

    assert "is not a folder" in goes_on(tmp_path / "file" / "home")


def test_home_that_may_not_be_made(mount):
    assert "set NBFLOW_HOME" in goes_on(mount("ro") / "home")


def test_read_only_home_with_a_store_in_it(mount):
    home = mount("size=8m")
    run_child(FLOW, home)
    before = (home / "nbflow.db").read_bytes()
    subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True)

    assert "read-only" in goes_on(home)

    assert (home / "nbflow.db").read_bytes() == before


@pytest.mark.parametrize("damage", ["text", "header", "middle", "short"])
def test_damaged_file_is_left_as_it_is(home, damage):
    run_child(FLOW.replace("f(10)", "f(300) and 90"), home)
    path = home / "nbflow.db"
    good = path.read_bytes()
    bad = {
        "text": b"not a database at all\n" * 500,
        "header": b"\xff" * 100 + good[100:],
        "middle": good[:4096] + os.urandom(len(good) - 4096),
        "short": good[: len(good) // 2 - 100],
    }[damage]
    path.write_bytes(bad)

    child = Child(FLOW.replace("print(len(runs()))", ""), home)

    assert child.end() == ["90"]
    (line,) = child.stderr.splitlines()
    assert line.startswith(f"nbflow: cannot use the store {path}: ")
    assert "move it aside" in line
    if damage in ("text", "header"):
        assert path.read_bytes() == bad


def test_strict_store_says_what_to_do(tmp_path):
    home = tmp_path / "file"
    home.write_text("mine")

    with pytest.raises(StoreUnavailable, match="is not a folder; set NBFLOW_HOME"):
        Store(home, may_fall_back=False).runs()


def test_temporary_store_goes_with_the_process(tmp_path, monkeypatch):
    home = tmp_path / "file"
    home.write_text("mine")
    place = tmp_path / "place"
    place.mkdir()

    goes_on(home, TMPDIR=str(place))

    assert list(place.iterdir()) == []


def test_no_place_at_all_and_the_flow_still_runs(mount):
    full = mount("size=64k")
    (full / "ballast").write_bytes(b"x" * 60_000)
    code = FLOW.replace("print(len(runs()))", "")

    child = Child(code, full / "home", TMPDIR=str(full))

    assert child.end() == ["90"]
    assert child.stderr.startswith("nbflow: cannot use the store ")
    assert "Traceback" not in child.stderr


def test_full_disk_does_not_stop_the_flow(mount):
    home = mount("size=2m")
    code = """
        from nbflow import flow, task, get_run_logger
        @task
        def t(n):
            get_run_logger().error("x" * 1_000)
            return n
        @flow
        def f(n):
            return sum(t.map(range(n)).result())
        for n in range(1, 40):
            print(n, f(100), flush=True)
    """
    child = Child(code, home)

    lines = child.end()

    assert lines == [f"{n} 4950" for n in range(1, 40)]
    said = [line for line in child.stderr.splitlines() if line.startswith("nbflow: ")]
    assert len(said) == 1
    assert "full" in said[0]
    assert "free some space" in said[0]
    assert "Traceback" not in child.stderr
    n_kept = read(home, "SELECT count(*) FROM runs WHERE kind = 'flow' AND state_name='Completed'")
    assert n_kept[0][0] >= 3
    assert is_intact(home)


def test_room_on_the_disk_again_and_recording_goes_on(mount):
    home = mount("size=2m")
    code = """
        from nbflow import flow
        @flow
        def f(n):
            return n
        print(f(1), flush=True)
        input()
        print(f(2), flush=True)
        input()
        print(f(3), flush=True)
    """
    child = Child(code, home)
    assert child.line() == "1"
    ballast = home / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    child.tell()
    assert child.line() == "2"
    ballast.unlink()
    child.tell()

    assert child.end() == ["3"]
    assert is_intact(home)
    kept = read(home, "SELECT inputs FROM runs WHERE state_name = 'Completed' ORDER BY id")
    assert [row[0] for row in kept] == ['{"n":1}', '{"n":2}', '{"n":3}']


def test_write_ahead_log_stays_small_under_writers(home):
    code = FLOW.replace("print(f(10), flush=True)", "[f(500) for _ in range(8)]")
    largest = 0
    children = [Child(code, home) for _ in range(3)]
    while any(child._process.poll() is None for child in children):
        try:
            largest = max(largest, (home / "nbflow.db-wal").stat().st_size)
        except FileNotFoundError:
            continue
    for child in children:
        child.end()

    assert largest < 16 << 20
    assert is_intact(home)


def test_disk_that_is_full_from_the_start(mount):
    home = mount("size=2m")
    run_child(FLOW, home)
    with (home / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass

    child = Child(FLOW.replace("print(len(runs()))", ""), home)

    assert child.end() == ["90"]
    (line,) = child.stderr.splitlines()
    assert line.startswith("nbflow: cannot use the store ")
    assert "full; free some space" in line
    (home / "ballast").unlink()
    assert read(home, "SELECT count(*) FROM runs") == [(11,)]
    assert is_intact(home)


def test_full_disk_gets_back_what_the_write_ahead_log_holds(mount):
    """Else the log would keep the room that the file needs, and nothing be recorded any more."""
    home = mount("size=4m")
    told = run_child(
        """
        import sqlite3
        from nbflow import flow, get_run_logger, wiring

        @flow
        def f(n):
            get_run_logger().info("x" * 1_000)

        for n in range(1_000):
            f(n)
        store = wiring.current().store
        with store.database.connect() as connection:
            print(connection.execute("SELECT count(*) FROM runs").fetchone()[0])
        """,
        home,
        NBFLOW_LOG_LEVEL="INFO",
    )
    assert told[-1] == "1000"

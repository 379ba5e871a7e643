"""Versions of the file: known ones open, older ones are brought up to date, newer ones are left."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from children import Child, is_intact, read, run_child
from declared import declare

from nbflow.errors import StoreTooNew
from nbflow.store.schema import MIGRATIONS, migrate
from nbflow.store.store import Store

ONE_MORE = (
    """
    ALTER TABLE runs ADD COLUMN note TEXT; -- a remark
    -- a line; with a semicolon
    CREATE INDEX by_note ON runs (note);
    """,
)
FLOW = """
    from nbflow import flow
    @flow
    def f():
        return 7
    print(f())
"""


@pytest.fixture
def connection(tmp_path: Path) -> sqlite3.Connection:
    made = sqlite3.connect(tmp_path / "file.db", isolation_level=None)
    yield made
    made.close()


def make_newer(home: Path) -> bytes:
    run_child(FLOW, home)
    connection = sqlite3.connect(home / "nbflow.db")
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()
    return (home / "nbflow.db").read_bytes()


def test_new_file_gets_the_newest_schema(connection, tmp_path):
    migrate(connection, tmp_path)

    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_older_file_is_migrated_with_its_rows(connection, tmp_path):
    migrate(connection, tmp_path)
    connection.execute("INSERT INTO variables VALUES ('a', '1', '[]', 0)")

    migrate(connection, tmp_path, MIGRATIONS + ONE_MORE)

    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
    assert connection.execute("SELECT name FROM variables").fetchall() == [("a",)]
    assert connection.execute("SELECT note FROM runs").fetchall() == []


def test_migration_that_fails_leaves_the_file_as_it_was(connection, tmp_path):
    migrate(connection, tmp_path)

    with pytest.raises(sqlite3.OperationalError, match="no such table: absent"):
        migrate(connection, tmp_path, (*MIGRATIONS, *ONE_MORE, "DROP TABLE absent"))

    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert "note" not in [row[1] for row in connection.execute("PRAGMA table_info(runs)")]


def test_strict_store_refuses_a_newer_file(home):
    before = make_newer(home)

    with pytest.raises(StoreTooNew, match=r"schema 99.*pip install -U nbflow") as refused:
        Store(home, may_fall_back=False).runs()

    assert (refused.value.found, refused.value.known) == (99, len(MIGRATIONS))
    assert (home / "nbflow.db").read_bytes() == before


def test_refused_file_keeps_its_journal_mode(home):
    home.mkdir()
    connection = sqlite3.connect(home / "nbflow.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = (home / "nbflow.db").read_bytes()

    with pytest.raises(StoreTooNew):
        Store(home, may_fall_back=False).runs()

    assert (home / "nbflow.db").read_bytes() == before
    assert sorted(path.name for path in home.iterdir()) == ["nbflow.db"]


def test_flow_runs_beside_a_newer_file(home):
    before = make_newer(home)

    child = Child(FLOW, home)

    assert child.end() == ["7"]
    assert len(child.stderr.splitlines()) == 1
    assert "schema 99" in child.stderr
    assert (home / "nbflow.db").read_bytes() == before


def test_eight_processes_open_an_empty_home_at_once(home):
    code = """
        from nbflow import flow
        @flow
        def f():
            return 7
        print("ready", flush=True)
        input()
        print(f())
    """
    children = [Child(code, home) for _ in range(8)]
    for child in children:
        assert child.line() == "ready"
    for child in children:
        child.tell()

    assert [child.end() for child in children] == [["7"]] * 8
    assert [child.stderr for child in children] == [""] * 8
    assert read(home, "SELECT count(*) FROM runs WHERE state_name = 'Completed'") == [(8,)]
    assert is_intact(home)


def test_store_of_schema_two_is_brought_up_to_date_with_its_runs(home):
    home.mkdir()
    connection = sqlite3.connect(home / "nbflow.db", isolation_level=None)
    migrate(connection, home / "nbflow.db", MIGRATIONS[:2])
    connection.execute(
        """INSERT INTO runs VALUES ('a', 'flow', 'f', 'n', NULL, 'a', 'o', 1, NULL, '["x"]',
           '{"y":1}', NULL, 'COMPLETED', 'Completed', '', 1, 1, 2)"""
    )
    connection.execute("INSERT INTO variables VALUES ('v', '1', '[]', 0)")
    connection.close()
    opened = Store(home, may_fall_back=False)

    record = opened.find_run("n")

    assert (record.tags, record.inputs) == (["x"], {"y": 1})
    assert (record.origin_id, record.source) == (None, None)
    assert opened.variables() == {"v": 1}
    assert opened.add_order(declare(opened).id).run_name
    assert opened.revision() == 1
    opened.close()

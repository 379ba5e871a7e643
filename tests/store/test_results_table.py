"""The index of results: its table, its migration, and what it counts."""

from __future__ import annotations

import sqlite3

import pytest

from nbflow.store import results
from nbflow.store.results import ResultRow
from nbflow.store.schema import MIGRATIONS, migrate


def row(key="k", *, file=None, size=100, at=1.0, expires_at=None, group=None):
    entry = None if file else b"x" * 10
    return ResultRow(key, size, entry, file, at, expires_at, "t", "r", 2.0, group)


@pytest.fixture
def connection(tmp_path):
    made = sqlite3.connect(tmp_path / "file.db", isolation_level=None)
    migrate(made, tmp_path)
    yield made
    made.close()


def keys(connection):
    return {record.key for record in results.listed(connection)}


def test_table_of_the_first_schema_is_replaced_and_the_rest_kept(tmp_path):
    connection = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    migrate(connection, tmp_path, MIGRATIONS[:1])
    connection.execute("INSERT INTO variables VALUES ('a', '1', '[]', 0)")
    connection.execute("INSERT INTO results VALUES ('k', 1, x'00', NULL, 0, NULL, 't', 'r', 0)")

    migrate(connection, tmp_path)

    assert results.listed(connection) == []
    assert connection.execute("SELECT name FROM variables").fetchall() == [("a",)]
    results.put(connection, row())
    assert results.get(connection, "k") == row()
    connection.close()


def test_put_names_the_file_that_is_not_needed_any_more(connection):
    assert results.put(connection, row(file="a")) is None
    assert results.put(connection, row(file="b")) == "a"
    assert results.put(connection, row()) == "b"
    assert results.put(connection, row(file="c")) is None
    assert results.put(connection, row(file="c")) is None


def test_drop_spares_a_successor(connection):
    results.put(connection, row(at=1.0))
    results.put(connection, row(at=2.0))

    results.drop(connection, row(at=1.0))
    assert keys(connection) == {"k"}

    results.drop(connection, row(at=2.0))
    assert keys(connection) == set()


def test_use_of_a_key_that_is_gone_changes_nothing(connection):
    results.use(connection, [(results.USED, "absent", 1.0, 5.0)])

    assert results.listed(connection) == []


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ({"max_bytes": 1_000}, "bcd"),
        ({"max_bytes": 299}, "cd"),
        ({"max_bytes": 230}, "cd"),
        ({"max_bytes": 200}, "d"),
        ({"max_bytes": 0}, ""),
        ({"max_bytes": 1_000, "oldest_at": 3.5}, "d"),
    ],
)
def test_prune(connection, limits, left):
    results.put(connection, row("a", at=1.0, expires_at=9.0))
    for n, key in enumerate("bcd", 2):
        results.put(connection, row(key, at=n, expires_at=99.0 if key == "c" else None, file=key))

    removed = results.prune(connection, now=10.0, **{"oldest_at": None, **limits})

    gone = set("abcd") - set(left)
    assert keys(connection) == set(left)
    assert (removed.n, removed.size_bytes) == (len(gone), 100 * len(gone))
    assert set(removed.files) == gone - {"a"}
    assert results.files(connection) == set(left)
    assert results.total_bytes(connection) == 100 * len(left)


def test_size_is_summed_without_reading_the_entries(connection):
    plan = connection.execute("EXPLAIN QUERY PLAN SELECT sum(size_bytes) FROM results").fetchall()

    assert "COVERING INDEX results_by_use" in plan[0][3]


def test_ancestors(connection):
    for run_id, parent_id in [("a", None), ("b", "a"), ("c", "b"), ("x", "gone"), ("y", "y")]:
        connection.execute(
            """INSERT INTO runs (id, kind, spec_name, name, parent_id, owner_id, created_at,
                   state_type, state_name, message, run_count)
               VALUES (?, 'task', '', '', ?, '', 0, 'RUNNING', '', '', 1)""",
            (run_id, parent_id),
        )

    assert results.ancestors(connection, "c") == {"a", "b", "c"}
    assert results.ancestors(connection, "x") == {"x", "gone"}
    assert results.ancestors(connection, "y") == {"y"}
    assert results.ancestors(connection, "unknown") == {"unknown"}

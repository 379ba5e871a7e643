"""The store thread: order, batches, jobs, bad items, its end."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from pathlib import Path

import pytest

from nbflow.errors import StoreError
from nbflow.store import writer as writer_module
from nbflow.store.writer import Backend, Writer


class Numbers(Backend[int]):
    """Writes numbers to a table; odd ones can be made to fail."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.batches: list[int] = []
        self.told: list[str] = []
        self.refused: Exception | None = None
        self.polled = threading.Event()
        self.poll_error: Exception | None = None
        self.is_watching = False
        self.held = threading.Event()
        self.held.set()

    def open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        connection.execute("CREATE TABLE IF NOT EXISTS numbers (n INTEGER NOT NULL)")
        return connection

    def write(self, connection: sqlite3.Connection, items: list[int]) -> None:
        self.held.wait()
        for item in items:
            if item < 0 and self.refused is not None:
                raise self.refused
            connection.execute("INSERT INTO numbers VALUES (?)", (None if item < 0 else item,))
        self.batches.append(len(items))

    @property
    def watching(self) -> bool:
        return self.is_watching

    def poll(self, connection: sqlite3.Connection) -> None:
        self.polled.set()
        if self.poll_error is not None:
            raise self.poll_error

    def failed(self, connection: sqlite3.Connection, error: sqlite3.Error) -> None:
        self.told.append(str(error))

    def release(self, connection: sqlite3.Connection) -> None:
        connection.close()

    def rows(self) -> list[int]:
        connection = sqlite3.connect(self.path)
        try:
            return [n for (n,) in connection.execute("SELECT n FROM numbers ORDER BY rowid")]
        finally:
            connection.close()


@pytest.fixture
def backend(tmp_path):
    return Numbers(tmp_path / "numbers.db")


@pytest.fixture
def writer(backend):
    made = Writer(backend)
    yield made
    backend.held.set()
    made.close()


def count(connection: sqlite3.Connection) -> int:
    return connection.execute("SELECT count(*) FROM numbers").fetchone()[0]


def test_items_are_written_in_their_order(writer, backend):
    for n in range(2_000):
        writer.post(n)
    writer.flush()

    assert backend.rows() == list(range(2_000))


def test_items_of_one_moment_share_a_transaction(writer, backend):
    for n in range(2_000):
        writer.post(n)
    writer.flush()

    assert len(backend.batches) < 20


def test_item_is_written_without_anybody_waiting(writer, backend):
    committed = threading.Event()
    backend.committed = lambda connection: committed.set()

    writer.post(1)

    assert committed.wait(5)
    assert backend.rows() == [1]


def test_job_sees_all_that_was_posted_before(writer, backend):
    seen = []
    for n in range(200):
        writer.post(n)
        seen.append(writer.call(count).result())

    assert seen == list(range(1, 201))


def test_jobs_of_many_threads_each_see_their_own_items(writer):
    short = []

    def work() -> None:
        for n in range(1, 101):
            writer.post(n)
            if writer.call(count).result() < n:
                short.append(n)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert short == []
    assert writer.call(count).result() == 800


def test_bad_job_tells_its_caller_and_no_other(writer, backend):
    backend.held.clear()
    writer.post(1)
    good = writer.call(count)
    bad = writer.call(lambda connection: connection.execute("INSERT INTO absent VALUES (1)"))
    half = writer.call(
        lambda connection: (connection.execute("INSERT INTO numbers VALUES (5)"), 1 / 0)
    )
    last = writer.call(count)
    backend.held.set()

    assert good.result() == 1
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        bad.result()
    with pytest.raises(ZeroDivisionError):
        half.result()
    assert last.result() == 1
    assert backend.rows() == [1]


@pytest.mark.parametrize("refused", [None, ValueError("a bug")], ids=["constraint", "bug"])
def test_bad_item_does_not_lose_the_batch(writer, backend, caplog, refused):
    backend.refused = refused
    backend.held.clear()
    for n in [1, 2, -1, 3, -2, 4]:
        writer.post(n)
    job = writer.call(count)
    backend.held.set()

    assert job.result() == 4
    assert backend.rows() == [1, 2, 3, 4]
    assert [record.getMessage() for record in caplog.records] == [
        "2 journal entries could not be written"
    ]


def limit_pages(writer: Writer[int], n: int) -> None:
    sql = f"PRAGMA max_page_count = {n}"
    writer.call(lambda connection: connection.execute(sql).fetchone()).result()


def test_full_disk_is_told_once_and_nobody_waits(writer, backend):
    writer.post(0)
    limit_pages(writer, 1)

    for n in range(1, 5_000):
        writer.post(n)
    full = writer.call(count)
    writer.flush()

    with pytest.raises(sqlite3.OperationalError, match="full"):
        full.result()
    assert len(backend.told) == 1
    assert "full" in backend.told[0]
    assert backend.rows() == [0]


def test_what_could_not_be_written_is_tried_again_by_itself(backend):
    """Not only when something more is posted: a kernel may be idle for hours."""
    failed, written = threading.Event(), threading.Event()
    backend.failed = lambda connection, error: failed.set()
    backend.committed = lambda connection: written.set()
    backend.open().close()
    backend.open = lambda: sqlite3.connect(
        backend.path, isolation_level=None, timeout=0, check_same_thread=False
    )
    other = sqlite3.connect(backend.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    writer = Writer(backend)

    writer.post(1)
    assert failed.wait(5)
    other.execute("ROLLBACK")

    assert written.wait(5)
    assert backend.rows() == [1]
    other.close()
    writer.close()


def test_backlog_is_bounded(writer, backend, monkeypatch):
    monkeypatch.setattr(writer_module, "_BACKLOG", 100)
    backend.held.clear()
    n_posted = 0

    def post() -> None:
        nonlocal n_posted
        for n in range(1_000):
            writer.post(n)
            n_posted += 1

    thread = threading.Thread(target=post)
    thread.start()
    thread.join(0.5)

    assert thread.is_alive()
    assert n_posted < 300
    backend.held.set()
    thread.join(10)
    writer.flush()
    assert backend.rows() == list(range(1_000))


def test_close_writes_what_is_left(backend):
    writer = Writer(backend)
    for n in range(1_000):
        writer.post(n)

    writer.close()

    assert backend.rows() == list(range(1_000))


def test_item_posted_during_close_is_written_or_dropped_but_never_hangs(backend):
    writer = Writer(backend)
    writer.post(0)
    stop = threading.Event()
    n_posted = 0

    def post() -> None:
        nonlocal n_posted
        while not stop.is_set():
            writer.post(0)
            n_posted += 1

    thread = threading.Thread(target=post)
    thread.start()
    while n_posted < 100:
        pass
    closing = threading.Thread(target=writer.close)
    closing.start()
    n_before = n_posted
    stop.set()
    thread.join(5)
    closing.join(5)

    assert not closing.is_alive()
    assert not thread.is_alive()
    assert len(backend.rows()) >= min(n_before, 100)


def test_after_close_nothing_waits_for_ever(backend):
    writer = Writer(backend)
    writer.post(1)
    writer.close()

    writer.post(2)
    writer.flush()
    late = writer.call(count)

    with pytest.raises(StoreError, match="closed"):
        late.result()
    assert backend.rows() == [1]
    writer.close()


def test_calls_that_race_with_close_are_all_answered(backend):
    for _ in range(20):
        writer = Writer(backend)
        writer.flush()
        writer.post(1)
        replies = []
        thread = threading.Thread(
            target=lambda w=writer, r=replies: r.extend(w.call(count) for _ in range(50))
        )
        thread.start()
        writer.close()
        thread.join()

        for reply in replies:
            with contextlib.suppress(StoreError):
                assert reply.result() >= 1


def test_store_that_cannot_be_opened_refuses_everybody(tmp_path):
    writer = Writer(Numbers(tmp_path / "missing" / "numbers.db"))

    writer.post(1)
    writer.flush()
    refused = writer.call(count)

    with pytest.raises(StoreError):
        refused.result()
    writer.close()


@pytest.mark.parametrize("error", [sqlite3.OperationalError("x"), KeyError("unknown verb")])
def test_failing_poll_does_not_end_the_thread(writer, backend, caplog, error):
    caplog.set_level(logging.CRITICAL)
    backend.poll_error, backend.is_watching = error, True

    writer.post(1)
    assert backend.polled.wait(5)
    writer.post(2)

    assert writer.call(count).result() == 2


def test_nobody_to_tell_does_not_end_the_thread(writer, backend):
    def failed(connection: sqlite3.Connection, error: sqlite3.Error) -> None:
        raise ValueError("I/O operation on closed file")

    backend.failed = failed
    limit_pages(writer, 1)
    for n in range(5_000):
        writer.post(n)
    full = writer.call(count)

    for reply in (full, writer.call(count)):
        with pytest.raises(sqlite3.OperationalError):
            reply.result()

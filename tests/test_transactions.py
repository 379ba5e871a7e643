"""Transactions: all or nothing, with hooks that know what they undo."""

from __future__ import annotations

import threading

import pytest

from nbflow import flow, task
from nbflow.errors import TransactionError
from nbflow.transactions import IsolationLevel, get_transaction, transaction


@pytest.fixture
def calls():
    return []


@pytest.fixture
def step(calls):
    """A task that notes its commit and its rollback."""

    @task
    def step(n):
        get_transaction().set("n", n) if get_transaction() else None
        return n

    @step.on_commit
    def committed(txn):
        calls.append("commit")

    @step.on_rollback
    def rolled_back(txn):
        calls.append("rollback")

    return step


def noting(calls, name):
    return task(
        lambda: None,
        name=name,
        on_commit=[lambda _: calls.append(f"commit {name}")],
        on_rollback=[lambda _: calls.append(f"rollback {name}")],
    )


def test_hooks_run_at_the_commit_in_order(calls):
    with transaction() as txn:
        noting(calls, "a")()
        noting(calls, "b").submit().wait()
        assert calls == []
        assert txn.is_active()

    assert calls == ["commit a", "commit b"]
    assert txn.is_committed()


def test_failure_rolls_back_in_reverse_and_is_raised(calls, events):
    with pytest.raises(ValueError, match="stop"), transaction() as txn:
        noting(calls, "a")()
        noting(calls, "b")()
        raise ValueError("stop")

    assert calls == ["rollback b", "rollback a"]
    assert txn.is_rolled_back()
    assert events.names("a-0") == ["Running", "Completed", "RolledBack"]


def test_task_that_failed_is_not_rolled_back_itself(calls):
    bad = task(lambda: 1 / 0, on_rollback=[lambda _: calls.append("rollback bad")])

    with pytest.raises(ZeroDivisionError), transaction():
        noting(calls, "a")()
        bad()

    assert calls == ["rollback a"]


def test_task_without_a_transaction_commits_by_itself(calls):
    noting(calls, "a")()

    assert calls == ["commit a"]


def test_hook_that_raises_does_not_stop_the_others(calls, caplog):
    bad = task(lambda: 1, on_rollback=[lambda _: 1 / 0])

    with pytest.raises(ValueError), transaction():
        noting(calls, "a")()
        bad()
        raise ValueError

    assert calls == ["rollback a"]
    assert "of a transaction raised" in caplog.text


def test_inner_transaction_commits_with_the_outer_one(calls):
    with transaction() as outer:
        with transaction() as inner:
            noting(calls, "a")()
        assert inner.is_staged()
        assert calls == []

    assert calls == ["commit a"]
    assert inner.is_committed()
    assert outer.is_committed()


def test_inner_transaction_is_rolled_back_with_the_outer_one(calls):
    with pytest.raises(ValueError), transaction():
        noting(calls, "before")()
        with transaction() as inner:
            noting(calls, "inside")()
        noting(calls, "after")()
        raise ValueError

    assert calls == ["rollback after", "rollback inside", "rollback before"]
    assert inner.is_rolled_back()


def test_failed_inner_transaction_leaves_the_outer_one(calls):
    with transaction():
        noting(calls, "a")()
        with pytest.raises(ValueError), transaction():
            noting(calls, "b")()
            raise ValueError

    assert calls == ["rollback b", "commit a"]


def test_hook_gets_the_transaction_it_came_from():
    seen = []
    undo = task(lambda: 1, on_rollback=[lambda txn: seen.append((txn.get("file"), txn.get("all")))])

    with pytest.raises(ValueError), transaction() as outer:
        outer.set("all", "from outside")
        with transaction() as inner:
            inner.set("file", "mine")
            undo()
        raise ValueError

    assert seen == [("mine", "from outside")]


def test_get_without_a_value_gives_the_default_or_raises():
    with transaction() as txn:
        assert txn.get("x", 3) == 3
        with pytest.raises(TransactionError, match="'x'"):
            txn.get("x")


def test_transaction_in_a_flow_rolls_back_when_the_flow_fails(calls):
    @flow
    def main():
        with transaction():
            noting(calls, "a")()
            raise ValueError

    assert main(return_state=True).is_failed()
    assert calls == ["rollback a"]


def work(key, value=1, done=None):
    with transaction(key) as txn:
        if txn.is_committed():
            return "skipped"
        if done is not None:
            done.append(1)
        txn.stage(value)
    return "done"


def test_key_makes_a_later_run_skip_what_is_done():
    assert [work("k"), work("k"), work("other")] == ["done", "skipped", "done"]


def test_key_is_not_kept_when_the_block_or_the_outer_one_fails():
    with pytest.raises(ValueError), transaction("k") as txn:
        txn.stage(1)
        raise ValueError
    with pytest.raises(ValueError), transaction():
        assert work("inner") == "done"
        raise ValueError

    assert work("k") == "done"
    assert work("inner") == "done"


def test_value_that_cannot_be_kept_rolls_back(calls):
    with pytest.raises(TypeError), transaction("k") as txn:
        noting(calls, "a")()
        txn.stage(threading.Lock())

    assert calls == ["rollback a"]
    assert txn.is_rolled_back()


def test_serializable_transactions_of_one_key_exclude_each_other():
    inside, most = [], []

    def block():
        with transaction("k", isolation_level=IsolationLevel.SERIALIZABLE):
            inside.append(1)
            most.append(len(inside))
            threading.Event().wait(0.02)
            inside.pop()

    threads = [threading.Thread(target=block) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert most == [1, 1, 1, 1]


def test_serializable_needs_a_key():
    with (
        pytest.raises(TransactionError, match="needs a key"),
        transaction(isolation_level=IsolationLevel.SERIALIZABLE),
    ):
        pass


def test_get_transaction_is_the_innermost(step, calls):
    assert get_transaction() is None
    with transaction() as outer, transaction() as inner:
        assert get_transaction() is inner
        step(1)
        assert inner.get("n") == 1
        assert outer.get("n", None) is None
    assert get_transaction() is None
    assert calls == ["commit"]

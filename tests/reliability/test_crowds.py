"""Many processes and many tasks on one store."""

from __future__ import annotations

import pytest
from children import Child, is_intact, read, run_child

CROWD = """
    import sys
    from nbflow import flow, task
    @task
    def t(n):
        return n
    @flow
    def f(n):
        return sum(t.map(range(n)).result())
    n = int(sys.argv[1])
    print("ready", flush=True)
    input()
    for _ in range(n // 50):
        assert f(50) == 1225
"""


def crowd(home, n_processes, n_tasks):
    children = [Child(CROWD, home, n_tasks) for _ in range(n_processes)]
    for child in children:
        assert child.line() == "ready"
    for child in children:
        child.tell()
    largest = 0
    while any(child._process.poll() is None for child in children):
        try:
            largest = max(largest, (home / "nbflow.db-wal").stat().st_size)
        except FileNotFoundError:
            continue
    for child in children:
        child.end()
        assert child.stderr == ""  # no 'database is locked', nothing else either

    n = n_processes * n_tasks
    assert read(
        home, "SELECT kind, count(*) FROM runs WHERE state_name='Completed' GROUP BY 1"
    ) == [
        ("flow", n // 50),
        ("task", n),
    ]
    assert largest <= 16 << 20
    assert is_intact(home)
    return largest


def test_eight_processes_at_once_on_an_empty_home(home):
    crowd(home, 8, 100)


@pytest.mark.reliability
@pytest.mark.timeout(600)
def test_eight_processes_with_a_thousand_tasks_each(home):
    print("largest WAL:", crowd(home, 8, 1_000))


@pytest.mark.reliability
@pytest.mark.timeout(600)
def test_thirty_two_processes_with_a_hundred_tasks_each(home):
    print("largest WAL:", crowd(home, 32, 100))


MANY = """
    import resource, sys
    from nbflow import flow, task
    @task
    def t(n):
        return n
    @flow
    def f(n):
        for i in range(n):
            t(i)
    def rss():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    f(1_000)
    before = rss()
    f(int(sys.argv[1]))
    print(rss() - before)
"""


def test_memory_does_not_grow_with_the_tasks_of_a_flow(home):
    (grown,) = run_child(MANY, home, 10_000)

    assert int(grown) < 60
    assert read(home, "SELECT count(*) FROM runs") == [(11_002,)]


@pytest.mark.reliability
@pytest.mark.timeout(300)
def test_hundred_thousand_tasks_in_one_flow(home):
    (grown,) = run_child(MANY, home, 100_000)

    print("grown by MB:", grown)
    assert int(grown) < 120
    assert read(home, "SELECT count(*) FROM runs") == [(101_002,)]

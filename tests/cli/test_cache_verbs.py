"""`nbflow cache ...`: the kept results on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbflow import task, wiring
from nbflow.cache_policies import INPUTS
from nbflow.cli.cache import size_text
from tests.cli.conftest import Command, of


@pytest.fixture
def kept(home: Path) -> None:
    """Two results of `double`, of which one was used twice, and a large one of `text`."""

    @task(cache_policy=INPUTS)
    def double(n: int) -> int:
        return 2 * n

    @task(cache_policy=INPUTS)
    def text(n: int) -> str:
        return "x" * n

    for n in (1, 2, 1, 1):
        double(n)
    text(100_000)
    wiring.close()


def rows(nbflow: Command, *options: str) -> list[dict[str, Any]]:
    return list(of(nbflow("cache", "ls", "--json", *options)))


@pytest.mark.usefixtures("kept")
def test_kept_results_are_listed_newest_first(nbflow: Command):
    heading, *lines = (line.split("\t") for line in nbflow("cache").stdout.splitlines())

    assert heading == ["task", "size", "age", "hits", "saved", "key"]
    assert [line[0] for line in lines] == ["text", "double", "double"]
    assert [line[3] for line in lines] == ["0", "0", "2"]
    assert lines[0][1].endswith(" KB")
    assert [bool(line[4]) for line in lines] == [False, False, True]
    assert all(line[2].endswith(" s ago") for line in lines)
    assert [line.split("\t")[-1] for line in nbflow("cache", "ls").stdout.splitlines()] == [
        "key",
        *(line[-1] for line in lines),
    ]


@pytest.mark.usefixtures("kept")
def test_kept_results_are_listed_as_json(nbflow: Command):
    (text,) = rows(nbflow, "--task", "text")

    assert text["task_name"] == "text"
    assert text["size_bytes"] > 100_000
    assert text["created_at"].endswith("+00:00")
    assert text["expires_at"] is None
    assert of(nbflow("cache", "--json")) == rows(nbflow)


@pytest.mark.usefixtures("kept")
def test_results_of_a_task_are_dropped_by_its_name(nbflow: Command, home: Path):
    answer = nbflow("cache", "rm", "text", "double")

    told = answer.stdout.splitlines()
    assert told[0].startswith("dropped 1 result of 'text' (")
    assert told[1].startswith("dropped 2 results of 'double' (")
    assert rows(nbflow) == []
    assert not list((home / "results").glob("*.result"))
    assert nbflow("cache").stdout.startswith("no kept results in ")


@pytest.mark.usefixtures("kept")
def test_one_result_is_dropped_by_its_key_or_the_first_digits(nbflow: Command):
    first, second, third = rows(nbflow)

    assert nbflow("cache", "rm", first["key"]).returncode == 0
    assert nbflow("cache", "rm", second["key"][:12]).returncode == 0

    assert [row["key"] for row in rows(nbflow)] == [third["key"]]


@pytest.mark.usefixtures("kept")
def test_what_names_no_result_is_told(nbflow: Command):
    answer = nbflow("cache", "rm", "no-such-task")

    assert answer.returncode == 1
    assert answer.stderr == (
        "nbflow: no kept result of a task 'no-such-task' or under such a key; "
        "list them with `nbflow cache`\n"
    )
    assert len(rows(nbflow)) == 3


@pytest.mark.usefixtures("kept")
def test_everything_is_dropped(nbflow: Command):
    assert nbflow("cache", "clear").stdout.startswith("dropped 3 results (")
    assert nbflow("cache", "clear").stdout == "dropped 0 results (0 B)\n"


@pytest.mark.usefixtures("kept")
def test_pruning_drops_what_is_over_the_limit(nbflow: Command):
    assert nbflow("cache", "prune").stdout == "pruned 0 results (0 B)\n"

    answer = nbflow("cache", "prune", NBFLOW_CACHE_MAX_BYTES="1000")

    assert answer.stdout.startswith("pruned ")
    assert "text" not in {row["task_name"] for row in rows(nbflow)}


@pytest.mark.parametrize(
    ("n_bytes", "told"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (9_949, "9.9 KB"),
        (12_345, "12 KB"),
        (999_400, "999 KB"),
        (999_600, "1.0 MB"),
        (2_500_000_000, "2.5 GB"),
        (4e12, "4000 GB"),
    ],
)
def test_sizes_are_told_in_few_digits(n_bytes: float, told: str):
    assert size_text(n_bytes) == told

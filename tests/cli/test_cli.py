"""`nbflow` on the command line, in processes of its own."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from nbflow.cli.main import parse_parameters
from tests.cli.conftest import NBFLOW, Answer, Command, of

SCRIPT = """
import sys, time
from nbflow import flow, task, get_run_logger, wiring

@task
def double(x: int): return 2 * x

@flow
def report(n: int = 1, who: str = "me"):
    get_run_logger().warning("for %s", who)
    print(f"{who}: {double(x=n)}")

@flow
def broken():
    double(1)
    raise ValueError("no good")

@flow
def sleeps():
    wiring.current().store.flush()
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "bad.py").write_text("import no_such_module\n")
    cells = ["%load_ext nbflow", "%%task good\nprint('hello')", "%%task bad\n1 / 0", "'never'"]
    for name, n in (("good.ipynb", 2), ("fails.ipynb", 4)):
        nbformat.write(
            new_notebook(cells=[new_code_cell(one) for one in cells[:n]]), tmp_path / name
        )
    return tmp_path


@pytest.fixture
def sleeping(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with a flow that sleeps."""
    process = subprocess.Popen(
        [*NBFLOW, "run", "script.py:sleeps"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    yield process
    process.kill()
    process.communicate()


# --- run ------------------------------------------------------------------------------------------


def test_run_of_a_notebook_shows_its_runs(nbflow: Command, folder: Path):
    answer = nbflow("run", "good.ipynb")

    assert answer.returncode == 0
    assert "-- cell 2 of 2: %%task good\n" in answer.stderr
    assert "| INFO    | Task run 'good-0' - hello\n" in answer.stderr
    table = [line.split("\t") for line in answer.stdout.splitlines() if "\t" in line]
    assert [row[1:4] for row in table] == [
        ["of", "state", "tries"],
        ["good", "Completed", "1"],
        ["good", "Completed", "1"],
    ]
    assert answer.stdout.endswith("\nexecuted notebook: good.executed.ipynb\n")
    assert (folder / "good.executed.ipynb").exists()


def test_run_names_the_failing_cell_last_on_stderr(nbflow: Command):
    answer = nbflow("run", "fails.ipynb")

    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1] == (
        "nbflow: cell 3 of 4 (%%task bad) failed: ZeroDivisionError: division by zero"
    )
    assert "bad-0\tbad\tFailed" in answer.stdout
    assert "Traceback" not in answer.stderr


def test_run_goes_on_after_errors_that_are_allowed(nbflow: Command, folder: Path):
    answer = nbflow("run", "fails.ipynb", "--allow-errors")

    assert answer.returncode == 1
    assert "-- cell 4 of 4: 'never'\n" in answer.stderr
    assert answer.stderr.splitlines()[-1] == "nbflow: 1 of 4 cells failed"
    cells = nbformat.read(folder / "fails.executed.ipynb", 4).cells
    assert cells[3].outputs[0].data["text/plain"] == "'never'"
    assert nbflow("run", "good.ipynb", "--allow-errors").returncode == 0


def test_run_tells_what_was_reused(nbflow: Command, folder: Path):
    cells = ["import time", "time.sleep(0.2)\nx = 1", "y = x + 1\ntime.sleep(0.2)", "print(y)"]
    nbformat.write(new_notebook(cells=[new_code_cell(one) for one in cells]), folder / "slow.ipynb")

    first = nbflow("run", "slow.ipynb", "--autotask", "-o", "out.ipynb")
    second = nbflow("run", "slow.ipynb", "--autotask", "-o", "out.ipynb")

    assert (first.returncode, second.returncode) == (0, 0)
    assert "\n4 cells: 2 run, 2 uncached\n" in first.stdout
    assert "\n4 cells: 2 cached (saved 0.4 s), 2 uncached\n" in second.stdout
    assert "-- cell 2 of 4: cached (saved 0.2 s)\n" in second.stderr
    third = nbflow("run", "slow.ipynb", "-o", "out.ipynb")
    assert "cells:" not in third.stdout


def test_run_takes_parameters_and_an_output(nbflow: Command, folder: Path):
    answer = nbflow("run", "good.ipynb", "-p", "n=3", "-p", "who=you", "-o", "out/made.ipynb")

    assert answer.returncode == 0
    first = nbformat.read(folder / "out" / "made.ipynb", 4).cells[0]
    assert first.source == "# Parameters\nn = 3\nwho = 'you'"


def test_run_of_a_flow_takes_parameters(nbflow: Command):
    answer = nbflow("run", "script.py:report", "-p", "n=21", "--param", "who=you")

    assert (answer.returncode, answer.stdout) == (0, "you: 42\n")
    assert "- for you\n" in answer.stderr


def test_a_flows_error_is_shown_from_the_scripts_own_line_on(nbflow: Command, folder: Path):
    answer = nbflow("run", "script.py:broken")

    assert answer.returncode == 1
    shown = answer.stderr[answer.stderr.index("Traceback") :]
    assert shown.splitlines()[1].strip().startswith(f'File "{folder.resolve()}/script.py", line')
    assert shown.endswith("ValueError: no good\n")
    assert "/nbflow/" not in shown


def test_a_script_that_cannot_be_imported_shows_why(nbflow: Command):
    answer = nbflow("run", "bad.py")

    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'no_such_module'"
    assert "typer" not in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["missing.ipynb"], "nbflow: there is no notebook missing.ipynb"),
        (["missing.py"], "nbflow: missing.py does not exist"),
        (["script.py"], "nbflow: script.py has several flows; say which: report, broken, sleeps"),
        (["script.py:nope"], "nbflow: script.py has no flow 'nope'; it has: report"),
        (["script.py:report", "-p", "n=x"], "nbflow: flow 'report': parameter 'n' = 'x' is not"),
        (["script.py:report", "-p", "m=1"], "nbflow: flow 'report': got an unexpected keyword"),
        (["good.ipynb", "-p", "class=1"], "nbflow: the parameter 'class' cannot be a name"),
    ],
)
def test_what_cannot_be_run_is_told_in_a_line(nbflow: Command, arguments: list[str], told: str):
    answer = nbflow("run", *arguments)

    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].startswith(told)
    assert "Traceback" not in answer.stderr


def test_a_wrong_parameter_or_option_is_a_usage_error(nbflow: Command):
    wrong = (["-p", "n"], ["-o", "x"], ["--autotask"], ["--allow-errors"])
    for arguments in (["script.py:report", *options] for options in wrong):
        answer = nbflow("run", *arguments)
        assert answer.returncode == 2
        assert "Invalid value" in answer.stderr


def test_parameters_are_json_where_they_can_be():
    given = ["n=3", "x=1.5", "t=true", "l=[1, 2]", "s=text", "e=", "nan=NaN", "q=a=b"]

    assert parse_parameters(given) == {
        "n": 3,
        "x": 1.5,
        "t": True,
        "l": [1, 2],
        "s": "text",
        "e": "",
        "nan": "NaN",
        "q": "a=b",
    }


def test_an_interrupted_run_ends_with_130_and_is_recorded_as_cancelled(
    nbflow: Command, sleeping: subprocess.Popen[str]
):
    sleeping.send_signal(signal.SIGINT)

    assert sleeping.wait(10) == 130
    (run,) = of(nbflow("runs", "ls", "--json"))
    assert run["state"] == "Cancelled"


# --- looking back ---------------------------------------------------------------------------------


def test_runs_are_listed_and_shown(nbflow: Command):
    nbflow("run", "script.py:report")
    nbflow("run", "script.py:broken")

    broken, report = of(nbflow("runs", "ls", "--json"))
    plain = nbflow("runs", "ls").stdout.splitlines()

    assert [broken["of"], report["of"]] == ["broken", "report"]
    assert (broken["state"], report["state"]) == ("Failed", "Completed")
    assert report["tasks"] == {"Completed": 1}
    assert plain[0].split("\t")[:4] == ["run", "of", "kind", "state"]
    assert plain[1].split("\t")[:4] == [broken["name"], "broken", "flow", "Failed"]
    shown = of(nbflow("runs", "show", report["name"], "--json"))
    assert [run["name"] for run in shown["runs"]] == ["double-0"]
    assert shown["runs"][0]["inputs"] == {"x": 1}
    told = nbflow("runs", "show", broken["id"]).stdout
    assert told.startswith(f"Flow run {broken['name']!r} of 'broken': Failed\n")
    assert "ValueError: no good" in told


def test_runs_are_filtered(nbflow: Command):
    nbflow("run", "script.py:report")
    nbflow("run", "script.py:broken")

    def names(*options: str) -> list[str]:
        return [run["of"] for run in of(nbflow("runs", "ls", "--json", *options))]

    assert names("--state", "failed") == ["broken"]
    assert names("--kind", "task") == ["double", "double"]
    assert names("--name", "report") == ["report"]
    assert names("--limit", "1") == ["broken"]


def test_logs_are_printed_with_the_states(nbflow: Command):
    nbflow("run", "script.py:report", "-p", "who=them")
    (run,) = of(nbflow("runs", "ls", "--json"))

    text = nbflow("runs", "logs", run["name"]).stdout
    lines = of(nbflow("runs", "logs", run["name"], "--json"))

    assert "| WARNING | Flow run" in text
    assert "- for them\n" in text
    assert "Task run 'double-0' - Finished in state Completed()" in text
    assert "double" not in nbflow("runs", "logs", run["name"], "--no-inner").stdout
    assert nbflow("runs", "logs", run["name"], "--level", "error").stdout == ""
    assert [line["state"] for line in lines if line["run_id"] == run["id"]] == [
        "Pending",
        "Running",
        None,
        "Completed",
    ]
    assert lines[0]["at"].endswith("+00:00")


def test_runs_are_removed_with_all_inside_them(nbflow: Command):
    nbflow("run", "script.py:report")
    (run,) = of(nbflow("runs", "ls", "--json"))

    answer = nbflow("runs", "rm", run["id"])

    assert answer.stdout == f"deleted Flow run {run['name']!r} and 1 runs inside it\n"
    assert of(nbflow("runs", "ls", "--json", "--kind", "task")) == []
    assert nbflow("runs", "ls").stdout.startswith("no runs in ")


def test_an_unfinished_run_is_only_removed_by_force(
    nbflow: Command, sleeping: subprocess.Popen[str]
):
    (run,) = of(nbflow("runs", "ls", "--json"))

    refused = nbflow("runs", "rm", run["name"])
    forced = nbflow("runs", "rm", "--force", run["name"])

    assert refused.returncode == 1
    assert "has not ended; cancel it first or add --force" in refused.stderr
    assert forced.returncode == 0


# --- ending runs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["cancel"], ["runs", "cancel"]])
def test_a_run_of_another_process_is_cancelled_within_a_second(
    nbflow: Command, sleeping: subprocess.Popen[str], command: list[str]
):
    (run,) = of(nbflow("runs", "ls", "--json"))

    answer = nbflow(*command, run["name"])
    asked = time.monotonic()
    code = sleeping.wait(10)

    assert answer.stdout == f"Flow run {run['name']!r}: cancel was asked for\n"
    assert time.monotonic() - asked < 1
    assert code == 1
    assert of(nbflow("runs", "ls", "--json"))[0]["state"] == "Cancelled"
    again = nbflow(*command, run["name"])
    assert again.stdout == f"Flow run {run['name']!r} has ended already: Cancelled\n"


def test_a_run_whose_process_was_killed_is_crashed(
    nbflow: Command, sleeping: subprocess.Popen[str]
):
    sleeping.kill()
    sleeping.wait(10)

    assert of(nbflow("runs", "ls", "--json"))[0]["state"] == "Crashed"


# --- limits ---------------------------------------------------------------------------------------


def test_limits_are_created_listed_and_deleted(nbflow: Command):
    group = "concurrency-limit"
    assert nbflow(group, "create", "db", "2").stdout == "concurrency limit 'db': 2 at a time\n"
    assert nbflow(group, "create", "api", "-l", "5", "--slot-decay-per-second", "0.5").stderr == ""

    listed = {one["name"]: one for one in of(nbflow(group, "ls", "--json"))}
    assert (listed["db"]["limit"], listed["db"]["n_active"]) == (2, 0)
    assert listed["api"]["decay_per_second"] == 0.5
    assert nbflow(group, "ls").stdout.splitlines()[0] == "name\tlimit\ttaken\tdecay per second"
    assert of(nbflow(group, "inspect", "db", "--json"))["limit"] == 2
    assert nbflow(group, "inspect", "db").stdout == "db: 0 of 2 taken\n"
    assert nbflow(group, "create", "db", "3").returncode == 0
    assert of(nbflow(group, "inspect", "db", "--json"))["limit"] == 3
    assert nbflow(group, "delete", "db").stdout == "deleted concurrency limit 'db'\n"
    gone = nbflow(group, "inspect", "db")
    assert (gone.returncode, gone.stderr.startswith("nbflow: no concurrency limit 'db'")) == (
        1,
        True,
    )


def test_a_limit_needs_a_number(nbflow: Command):
    """`gcl` is the other name of the same commands."""
    assert nbflow("gcl", "create", "db").returncode == 2
    assert nbflow("gcl", "create", "db", "-1").returncode == 2


# --- errors ---------------------------------------------------------------------------------------


def one_line(answer: Answer) -> str:
    assert answer.returncode == 1
    assert answer.stdout == ""
    (line,) = answer.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    "command",
    [["cancel"], ["pause"], ["resume"], ["runs", "show"], ["runs", "logs"], ["runs", "rm"]],
)
def test_an_unknown_run_is_one_line(nbflow: Command, command: list[str]):
    line = one_line(nbflow(*command, "no-such-run"))

    assert line.startswith("nbflow: no run 'no-such-run' in ")
    assert line.endswith("list them with `nbflow runs ls`")


def test_an_ambiguous_run_is_one_line(nbflow: Command):
    nbflow("run", "script.py:report")
    (run,) = of(nbflow("runs", "ls", "--json"))

    line = one_line(nbflow("runs", "show", run["id"][:6]))

    assert line.startswith(f"nbflow: {run['id'][:6]!r} fits 2 runs: {run['id']}")


def test_a_store_of_a_newer_nbflow_is_one_line(nbflow: Command, home: Path):
    nbflow("run", "script.py:report")
    with closing(sqlite3.connect(home / "nbflow.db")) as connection:
        connection.execute("PRAGMA user_version = 999")

    line = one_line(nbflow("runs", "ls"))

    assert "has schema 999" in line
    assert "upgrade nbflow" in line


def test_a_home_that_cannot_be_used_is_one_line(nbflow: Command, folder: Path):
    line = one_line(nbflow("runs", "ls", NBFLOW_HOME=str(folder / "script.py")))

    assert "cannot use the store" in line
    assert "NBFLOW_HOME" in line


def test_a_home_that_is_no_database_is_one_line(nbflow: Command, home: Path):
    home.mkdir(parents=True)
    (home / "nbflow.db").write_bytes(b"hello" * 1000)

    assert "cannot use the store" in one_line(nbflow("runs", "ls"))


def test_a_run_needs_no_usable_home(nbflow: Command, folder: Path):
    """A flow must not depend on its journal."""
    answer = nbflow("run", "script.py:report", NBFLOW_HOME=str(folder / "script.py"))

    assert (answer.returncode, answer.stdout) == (0, "me: 2\n")
    assert "cannot use the store" in answer.stderr


# --- manners --------------------------------------------------------------------------------------


def test_without_arguments_it_prints_help(nbflow: Command):
    text = nbflow().stdout

    for verb in ("run", "runs", "cache", "cancel", "pause", "resume", "concurrency-limit"):
        assert f" {verb} " in text
    assert "Commands" in nbflow("runs").stdout


def test_every_command_has_help(nbflow: Command):
    for command in (["run"], ["cancel"], ["runs", "ls"], ["cache", "rm"], ["gcl", "create"]):
        answer = nbflow(*command, "-h")
        assert answer.returncode == 0
        assert f" {' '.join(command)} [OPTIONS]" in answer.stdout


def test_a_listing_answers_at_once(nbflow: Command):
    nbflow("run", "script.py:report")

    def seconds(*command: str) -> float:
        began = time.monotonic()
        assert nbflow(*command).returncode == 0
        return time.monotonic() - began

    # 0.2 s on an idle machine: the least of three, as the others may be waiting for a processor.
    assert min(seconds("runs", "ls") for _ in range(3)) < 1.5


def test_a_pipe_that_is_closed_early_is_no_error(nbflow: Command, folder: Path):
    for _ in range(3):
        nbflow("run", "script.py:report")
    (run, *_) = of(nbflow("runs", "ls", "--json"))

    answer = subprocess.run(
        f"{' '.join(NBFLOW)} runs logs {run['name']} | true",
        shell=True,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_script_is_installed():
    script = Path(sys.executable).with_name("nbflow")

    answer = subprocess.run([script, "version"], capture_output=True, text=True, check=True)

    assert answer.stdout == "0.1.0\n"

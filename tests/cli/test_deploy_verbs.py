"""`nbflow deploy`, `work-pool`, `worker`, `deployment` and `schedule`, each in a process."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from children import read
from nbformat.v4 import new_code_cell, new_notebook, new_output

from nbflow.model.deployments import DeploymentKind
from nbflow.results.sealing import purpose_of, unseal
from nbflow.store.store import Store
from tests.cli.conftest import NBFLOW, Command, of

SCRIPT = """
from nbflow import flow, task, runtime

@task
def double(x: int): return 2 * x

@flow(retries=2, log_prints=True)
def report(n: int, who: str = "me"):
    "Makes the report."
    print(who, double(n), runtime.deployment.name)

@flow
def broken(): raise ValueError("no good")
"""
DAILY = ("--name", "daily", "--pool", "local")
EIGHT = ("--cron", "0 8 24 12 *", "--tz", "America/New_York")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "bad.py").write_text("import no_such_module\n")
    parameters = new_code_cell("x = 1", metadata={"tags": ["parameters"]})
    shown = new_code_cell(
        "%%task shown\nprint('x is', x)", outputs=[new_output("stream", text="a secret")]
    )
    notebook = new_notebook(cells=[parameters, new_code_cell("%load_ext nbflow"), shown])
    nbformat.write(notebook, tmp_path / "book.ipynb")
    return tmp_path


@pytest.fixture
def pool(nbflow: Command) -> str:
    assert nbflow("work-pool", "create", "--type", "process", "local").returncode == 0
    return "local"


@pytest.fixture
def worker(pool: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*NBFLOW, "worker", "start", "--pool", pool, "--name", "w1", "--limit", "2"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "waits for runs" in process.stderr.readline()
    yield process
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


# --- deploy ---------------------------------------------------------------------------------


def test_script_is_deployed_in_one_line(nbflow: Command, pool, folder: Path):
    answer = nbflow("deploy", "script.py:report", *DAILY, *EIGHT, "-p", "n=3", "-t", "a", "-t", "b")

    (line,) = answer.stdout.splitlines()
    assert line.startswith("deployed report/daily to pool 'local' (start a worker: nbflow worker")
    assert line.endswith("12-24 08:00 UTC-05:00")
    (one,) = of(nbflow("deployment", "ls", "--json"))
    assert one["full_name"] == "report/daily"
    assert (one["kind"], one["target"]) == ("script", f"{folder}/script.py:report")
    assert (one["parameters"], one["tags"], one["retries"]) == ({"n": 3}, ["a", "b"], 2)
    (schedule,) = one["schedules"]
    assert (schedule["name"], len(schedule["next_times"])) == ("daily", 5)
    assert schedule["next_times"][0].endswith("12-24T13:00:00+00:00")


def test_every_option_arrives(nbflow: Command, pool, home: Path):
    answer = nbflow(
        "deploy", "script.py:report", *DAILY, "--every", "6h", "--tz", "UTC",
        "--catch-up", "all", "--overlap", "cancel", "--jitter", "30s", "--until", "2099-01-01",
        "--params", '{"n": 1, "who": "you"}', "-p", "n=2", "--limit", "4", "--retries", "5",
        "--description", "Text.", "--version", "3", "--notify", "json://localhost/x", "--paused",
    )  # fmt: skip

    assert answer.returncode == 0, answer.stderr
    (one,) = of(nbflow("deployment", "ls", "--json"))
    (schedule,) = one["schedules"]
    assert one["parameters"] == {"n": 2, "who": "you"}
    assert (one["concurrency_limit"], one["retries"]) == (4, 5)
    assert (one["description"], one["version"], one["is_paused"]) == ("Text.", "3", True)
    assert (schedule["catch_up"], schedule["overlap"]) == ("all", "cancel")
    assert (schedule["jitter_seconds"], schedule["until_at"]) == (30.0, "2099-01-01T00:00:00+00:00")
    assert schedule["next_times"] == []  # paused
    assert one["notifies"]
    assert "localhost" not in json.dumps(one)
    assert read(home, "SELECT notify FROM deployments") == [('["json://localhost/x"]',)]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--at", "2099-12-24T18:00"), "2099-12-24 18:00"),
        (("--rrule", "FREQ=DAILY;BYHOUR=8"), "8"),
        (("--on-change", "data/*.csv", "--on-change", "more/*"), "data/*.csv"),
        (("--after", "load"), "load"),
        (("--interval", "90"), "every 1 minute 30 seconds"),
    ],
)
def test_every_kind_of_schedule(nbflow: Command, pool, options, told):
    assert nbflow("deploy", "script.py:report", *DAILY, "-p", "n=3", *options).returncode == 0

    (schedule,) = of(nbflow("schedule", "ls", "--json"))
    assert told in schedule["words"]
    assert nbflow("schedule", "ls").returncode == 0


def test_notebook_is_kept_as_it_is_now_without_outputs(nbflow: Command, pool, folder, home):
    assert nbflow("deploy", "book.ipynb", *DAILY, "-p", "x=5", "--autotask").returncode == 0
    (folder / "book.ipynb").unlink()

    store = Store(home, may_fall_back=False)
    (one,) = store.deployments()
    store.close()
    assert (one.kind, one.flow_name) == (DeploymentKind.NOTEBOOK, "book")
    assert (one.folder, one.target) == (str(folder), f"{folder}/book.ipynb")
    assert one.autotask
    text = unseal(purpose_of(one), one.snapshot, home).decode()
    assert "secret" not in text
    assert nbformat.reads(text, 4).cells[2].source == "%%task shown\nprint('x is', x)"


BAD = {
    "no pool": (("script.py:report", "-n", "a", "--pool", "b"), "create it with `nbflow work-pool"),
    "no file": (("none.py:report", *DAILY), "none.py does not exist"),
    "no notebook": (("none.ipynb", *DAILY), "there is no notebook none.ipynb"),
    "no flow": (("script.py:nothing", *DAILY), "has no flow 'nothing'; it has: report, broken"),
    "which flow": (("script.py", *DAILY), "has several flows; say which: report, broken"),
    "name": (("script.py:report", "-n", "a/b", "--pool", "local"), "a name without '/'"),
    "parameter": (("script.py:report", *DAILY, "-p", "m=3"), "unexpected keyword argument 'm'"),
    "type": (("script.py:report", *DAILY, "-p", "n=x"), "parameter 'n' = 'x' is not valid"),
    "missing": (("script.py:report", *DAILY, *EIGHT), "missing a required argument: 'n'"),
    "of a notebook": (("book.ipynb", *DAILY, "-p", "for=1"), "'for' cannot be a name"),
    "no name": (("book.ipynb", *DAILY, "-p", "y=1"), "has the name 'y'; its parameters cell has x"),
    "cron": (("book.ipynb", *DAILY, "--cron", "8 o'clock"), "minute hour day month weekday"),
    "zone": (("book.ipynb", *DAILY, "--every", "1h", "--tz", "Europe/Pairs"), "Europe/Paris?"),
    "two": (("book.ipynb", *DAILY, *EIGHT, "--every", "1h"), "give one of them"),
    "policy": (("book.ipynb", *DAILY, *EIGHT, "--overlap", "both"), "'skip', 'queue', 'cancel'"),
    "jitter alone": (("book.ipynb", *DAILY, "--jitter", "3s"), "there is no schedule for it"),
    "address": (("book.ipynb", *DAILY, "--notify", "nowhere"), "apprise"),
}


@pytest.mark.parametrize(("arguments", "told"), BAD.values(), ids=BAD)
def test_what_cannot_be_is_told_in_one_line(nbflow: Command, pool, arguments, told):
    answer = nbflow("deploy", *arguments)

    assert answer.returncode == 1
    assert told in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert of(nbflow("deployment", "ls", "--json")) == []


def test_what_takes_the_name_of_something_else_says_so(nbflow: Command, pool, folder: Path):
    again = ("script.py:report", "--name", "daily", "--pool", "local")
    nbflow("deploy", "script.py:report", *DAILY, *EIGHT, "-p", "n=3")
    nbflow("schedule", "create", "report/daily", "--every", "6h")
    same = nbflow("deploy", "script.py:report", *DAILY, *EIGHT, "-p", "n=3")
    (folder / "book.ipynb").rename(folder / "report.ipynb")

    other = nbflow("deploy", "report.ipynb", *DAILY)
    back = nbflow("deploy", *again)

    assert same.stderr == ""
    assert "deleted schedule daily-2" in same.stdout
    assert other.stderr == (
        f"nbflow: replaces report/daily, which was script {folder}/script.py:report; "
        "its schedule daily is deleted\n"
    )
    assert f"which was notebook {folder}/report.ipynb\n" in back.stderr


def test_script_that_deploys_itself_does_not_when_it_is_read_for_a_run(
    nbflow: Command, worker, folder: Path
):
    with (folder / "script.py").open("a") as script:
        script.write("\nbroken.deploy('self', work_pool_name='local', cron='0 8 * * *')\n")
    nbflow("deploy", "script.py:report", *DAILY, "-p", "n=3")

    assert nbflow("deployment", "run", "report/daily", "--watch").returncode == 0

    names = [one["full_name"] for one in of(nbflow("deployment", "ls", "--json"))]
    assert names == ["report/daily"]


def test_script_that_cannot_be_imported_shows_its_own_lines(nbflow: Command, pool):
    answer = nbflow("deploy", "bad.py:report", *DAILY)

    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'no_such_module'"
    assert "nbflow/deploy" not in answer.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("script.py:report", "--pool", "local"),
        ("script.py:report", "--name", "a"),
        ("script.py:report", *DAILY, "--autotask"),
        ("script.py:report", *DAILY, "-p", "n"),
        ("script.py:report", *DAILY, "--params", "[1]"),
        ("script.py:report", *DAILY, "--params", "{"),
        ("script.py:report", *DAILY, "--limit", "0"),
    ],
)
def test_wrong_use_is_told_with_how_to_get_help(nbflow: Command, pool, arguments):
    answer = nbflow("deploy", *arguments)

    assert answer.returncode == 2
    assert "deploy -h" in answer.stderr


# --- work pools and workers -------------------------------------------------------------------


def test_life_of_a_work_pool(nbflow: Command):
    nothing = nbflow("work-pool", "ls").stdout
    assert nothing.startswith("no work pools; create one with `nbflow work-pool create")

    created = nbflow("work-pool", "create", "books", "-t", "notebook", "--limit", "3", "--paused")
    assert "start a worker: nbflow worker start --pool books" in created.stdout
    (one,) = of(nbflow("work-pool", "ls", "--json"))
    assert (one["name"], one["type"], one["concurrency_limit"]) == ("books", "notebook", 3)
    assert one["is_paused"]

    for verb, *arguments in (("resume",), ("set-concurrency-limit", "5")):
        assert nbflow("work-pool", verb, "books", *arguments).returncode == 0
    one = of(nbflow("work-pool", "inspect", "books", "--json"))
    assert (one["is_paused"], one["concurrency_limit"], one["workers"]) == (False, 5, [])

    for verb in ("pause", "clear-concurrency-limit"):
        assert nbflow("work-pool", verb, "books").returncode == 0
    told = nbflow("work-pool", "inspect", "books").stdout
    assert told.startswith("work pool 'books' of type notebook: paused\n  limit     none\n")

    assert nbflow("work-pool", "delete", "books").stdout == "deleted work pool 'books'\n"
    assert of(nbflow("work-pool", "ls", "--json")) == []


def test_pool_that_is_deleted_under_its_deployments_says_so(nbflow: Command, pool):
    nbflow("deploy", "book.ipynb", *DAILY)

    assert "nobody runs any more: book/daily" in nbflow("work-pool", "delete", pool).stderr


def test_pool_of_another_type_is_refused(nbflow: Command, pool):
    assert nbflow("work-pool", "create", pool).returncode == 0
    other = nbflow("work-pool", "create", pool, "--type", "notebook")
    unknown = nbflow("work-pool", "create", "new", "--type", "cloud")

    assert "is there already, of type process" in other.stderr
    assert "'process' or 'notebook'" in unknown.stderr
    assert (other.returncode, unknown.returncode) == (1, 1)


POOL_VERBS = ("inspect", "pause", "resume", "delete", "clear-concurrency-limit")


@pytest.mark.parametrize("verb", POOL_VERBS)
def test_pool_that_is_not_there(nbflow: Command, verb):
    answer = nbflow("work-pool", verb, "nowhere")

    assert answer.returncode == 1
    assert answer.stderr.startswith("nbflow: no work pool 'nowhere'; create it with")


def test_worker_is_listed_while_it_lives(nbflow: Command, worker):
    (one,) = of(nbflow("worker", "ls", "--json"))
    assert (one["name"], one["pool"], one["limit"]) == ("w1", "local", 2)
    assert one["pid"] == worker.pid
    assert "w1\tlocal\t2\t" in nbflow("worker", "ls").stdout
    assert f"w1 (pid {worker.pid})" in nbflow("work-pool", "inspect", "local").stdout
    deployed = nbflow("deploy", "book.ipynb", *DAILY).stdout
    assert deployed.startswith("deployed book/daily to 1 worker of pool 'local'; run it: nbflow")

    worker.send_signal(signal.SIGTERM)
    worker.wait(60)

    assert of(nbflow("worker", "ls", "--json")) == []
    assert nbflow("worker", "ls").stdout.startswith("no workers; start one with")


def test_worker_of_a_pool_that_is_not_there(nbflow: Command):
    answer = nbflow("worker", "start", "--pool", "nowhere")

    assert answer.returncode == 1
    assert "no work pool 'nowhere'; create it with" in answer.stderr


# --- deployments ------------------------------------------------------------------------------


def test_run_is_watched_until_it_has_ended(nbflow: Command, worker):
    nbflow("deploy", "script.py:report", *DAILY)
    nbflow("deploy", "script.py:broken", *DAILY)

    good = nbflow("deployment", "run", "report/daily", "-p", "n=4", "--run-name", "mine", "--watch")
    bad = nbflow("deployment", "run", "broken/daily", "-w")

    assert good.returncode == 0, good.stderr
    assert "Flow run 'mine' - me 8 daily\n" in good.stderr
    assert "mine\treport\tCompleted\t1\t" in good.stdout
    assert bad.returncode == 1
    assert "ValueError: no good" in bad.stderr


def test_notebook_run_by_a_worker_has_its_parameters(nbflow: Command, worker):
    nbflow("deploy", "book.ipynb", *DAILY, "-p", "x=5")

    answer = nbflow("deployment", "run", "daily", "--watch")

    assert answer.returncode == 0, answer.stderr
    assert "Task run 'shown-0' - x is 5\n" in answer.stderr


def test_run_without_watching_tells_the_run(nbflow: Command, pool):
    nbflow("deploy", "script.py:report", *DAILY)

    asked = nbflow("deployment", "run", "report/daily", "-p", "n=4", "--at", "2099-01-01T08:00")
    as_json = of(nbflow("deployment", "run", "daily", "-p", "n=5", "--tag", "x", "--json"))

    assert asked.stdout.startswith("asked for run '")
    assert (
        "waits for a worker of pool 'local': no worker is alive: start one with `nbflow worker"
        in asked.stderr
    )
    assert (as_json["state"], as_json["tags"]) == ("Scheduled", ["x"])
    assert as_json["inputs"] == {"n": 5}


ASKED = {
    "type": (("deployment", "run", "report/daily", "-p", "n=two"), "parameter 'n' = 'two'"),
    "name": (("deployment", "run", "report/daily", "-p", "m=2"), "unexpected keyword argument 'm'"),
    "of a schedule": (("schedule", "trigger", "yearly", "-p", "n=two"), "parameter 'n' = 'two'"),
    "of a notebook": (("deployment", "run", "book/daily", "-p", "y=2"), "no cell has the name 'y'"),
}


@pytest.mark.parametrize(("asked", "told"), ASKED.values(), ids=ASKED)
def test_parameters_are_looked_at_when_a_run_is_asked_for(nbflow: Command, pool, asked, told):
    nbflow("deploy", "script.py:report", *DAILY)
    nbflow("schedule", "create", "report/daily", *EIGHT, "--name", "yearly", "-p", "n=1")
    nbflow("deploy", "book.ipynb", *DAILY)

    answer = nbflow(*asked)

    assert answer.returncode == 1
    assert told in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert of(nbflow("runs", "ls", "--json")) == []


@pytest.mark.parametrize(
    ("verb", "why", "advice"),
    [
        (("pause", "local"), "the pool is paused", "nbflow work-pool resume local"),
        (("set-concurrency-limit", "local", "0"), "its limit is 0", "clear-concurrency-limit loc"),
        (("delete", "local"), "there is no such pool", "create --type process local"),
        (("resume", "local"), "no worker is alive", "nbflow worker start --pool local"),
    ],
    ids=lambda one: one[0] if isinstance(one, tuple) else "",
)
def test_pool_that_begins_nothing_is_told_wherever_who_runs_it_is(
    nbflow: Command, pool, verb, why, advice
):
    nbflow("deploy", "script.py:report", *DAILY, *EIGHT, "-p", "n=3")
    nbflow("work-pool", *verb)

    assert f"workers of pool 'local' ({why})" in nbflow("deployment", "ls").stdout
    assert f"workers of pool 'local' ({why})" in nbflow("schedule", "ls").stdout
    assert f"workers of pool 'local' ({why})" in nbflow("schedule", "inspect", "daily").stdout
    asked = nbflow("deployment", "run", "daily").stderr
    assert why in asked or "no work pool 'local' any more" in asked
    assert advice in asked or verb[0] == "delete"


def test_show_tells_whose_run_it_is_when_it_was_planned_and_where_its_files_are(
    nbflow: Command, worker, home: Path
):
    nbflow("deploy", "book.ipynb", *DAILY)
    run = of(nbflow("deployment", "run", "daily", "--watch", "--json"))

    told = nbflow("runs", "show", run["id"]).stdout

    assert "by        book/daily\n" in told
    assert "planned   20" in told
    (files,) = (line.split()[1] for line in told.splitlines() if line.startswith("  files"))
    assert Path(files) == home / "runs" / run["id"]
    assert (Path(files) / "executed.html").is_file()


def test_inspect_tells_all_of_a_deployment(nbflow: Command, worker):
    nbflow("deploy", "script.py:report", *DAILY, *EIGHT, "-p", "n=3", "--jitter", "5m")
    nbflow("deployment", "run", "report/daily", "--watch")

    told = nbflow("deployment", "inspect", "report/daily").stdout

    assert told.startswith("report/daily: Makes the report.\n")
    for text in (
        "script.py:report", "workers of pool 'local'", "n=3", "retries   2",
        "daily: at 08:00", "America/New_York", "12-24 08:00 UTC-05:00", "later",
        "last runs", "Completed",
    ):  # fmt: skip
        assert text in told
    as_json = of(nbflow("deployment", "inspect", "daily", "--json"))
    assert as_json["runs"][0]["state"] == "Completed"


def test_deployment_that_is_paused_runs_nothing(nbflow: Command, pool):
    nbflow("deploy", "script.py:report", *DAILY, *EIGHT, "-p", "n=3")

    assert nbflow("deployment", "pause", "daily").stdout == "report/daily is paused\n"
    assert nbflow("schedule", "ls").stdout.splitlines()[1].split("\t")[3] == "paused"
    watched = nbflow("deployment", "run", "daily", "--watch")
    assert watched.returncode == 1
    assert "nbflow deployment resume report/daily" in watched.stderr

    assert nbflow("deployment", "resume", "daily").stdout == "report/daily goes on\n"
    assert "UTC-05:00" in nbflow("schedule", "ls").stdout


def test_deployment_is_deleted_with_its_schedules(nbflow: Command, pool):
    nbflow("deploy", "script.py:report", *DAILY, *EIGHT, "-p", "n=3")
    nbflow("deploy", "book.ipynb", *DAILY)

    assert nbflow("deployment", "rm", "report/daily", "book/daily").stdout == (
        "deleted report/daily\ndeleted book/daily\n"
    )
    assert of(nbflow("deployment", "ls", "--json")) == []
    assert of(nbflow("schedule", "ls", "--json")) == []
    assert nbflow("deployment", "ls").stdout.startswith("no deployments; make one with")
    assert nbflow("schedule", "ls").stdout.startswith("no schedules; make one with")


def test_name_that_fits_several_deployments_is_not_guessed(nbflow: Command, pool):
    nbflow("deploy", "script.py:broken", *DAILY)
    nbflow("deploy", "book.ipynb", *DAILY)

    answer = nbflow("deployment", "pause", "daily")

    assert answer.returncode == 1
    assert "give one of book/daily, broken/daily" in answer.stderr


@pytest.mark.parametrize("verb", ["inspect", "run", "pause", "resume", "rm"])
def test_deployment_that_is_not_there(nbflow: Command, verb):
    answer = nbflow("deployment", verb, "no/thing")

    assert (answer.returncode, answer.stderr) == (
        1,
        "nbflow: no deployment 'no/thing'; list them with `nbflow deployment ls`\n",
    )


# --- schedules --------------------------------------------------------------------------------


def test_life_of_a_schedule(nbflow: Command, pool):
    nbflow("deploy", "script.py:report", *DAILY)

    created = nbflow(
        "schedule", "create", "report/daily", "--every", "6h", "--tz", "UTC", "-p", "n=1"
    )
    assert created.returncode == 0, created.stderr
    assert created.stdout.startswith("daily: every 6 hours (UTC)\n")
    assert created.stdout.count("UTC+00:00") == 5
    assert "last  no runs yet" in created.stdout

    second = nbflow("schedule", "create", "daily", *EIGHT, "-p", "n=2")
    named = nbflow("schedule", "create", "daily", *EIGHT, "-p", "n=2", "--name", "xmas")
    assert second.stdout.startswith("daily-2: at 08:00")
    assert named.stdout.startswith("xmas: at 08:00")
    names = [one["name"] for one in of(nbflow("schedule", "ls", "report/daily", "--json"))]
    assert names == ["daily", "daily-2", "xmas"]

    assert nbflow("schedule", "pause", "xmas").stdout == "schedule 'xmas' is paused\n"
    assert not of(nbflow("schedule", "inspect", "xmas", "--json"))["is_active"]
    assert "next  paused" in nbflow("schedule", "inspect", "xmas").stdout
    resumed = nbflow("schedule", "resume", "report/daily/xmas").stdout
    assert resumed.startswith("schedule 'xmas' goes on, next: ")
    assert resumed.endswith("12-24 08:00 UTC-05:00\n")

    triggered = nbflow("schedule", "trigger", "xmas")
    assert triggered.stdout.startswith("asked for run '")
    (run,) = of(nbflow("deployment", "inspect", "daily", "--json"))["runs"]
    assert run["inputs"] == {"n": 2}
    assert "last  Scheduled" in nbflow("schedule", "inspect", "xmas").stdout

    assert nbflow("schedule", "delete", "xmas").stdout == "deleted schedule 'xmas'\n"
    assert len(of(nbflow("schedule", "ls", "--json"))) == 2


def test_schedule_of_the_same_name_takes_its_place_and_leaves_the_others(nbflow: Command, pool):
    nbflow("deploy", "script.py:report", *DAILY, "--every", "6h", "-p", "n=1")
    nbflow("schedule", "create", "daily", *EIGHT, "--name", "xmas")
    nbflow("schedule", "pause", "xmas")

    nbflow("schedule", "create", "daily", "--every", "2h", "--name", "daily")

    daily, xmas = of(nbflow("schedule", "ls", "--json"))
    assert daily["words"].startswith("every 2 hours")
    assert (xmas["name"], xmas["is_active"]) == ("xmas", False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--every", "6h"), "missing a required argument: 'n'"),
        (("--every", "6h", "-p", "n=x"), "parameter 'n' = 'x' is not valid"),
        (("--every", "soon"), "write seconds or a text such as 90s"),
    ],
)
def test_schedule_that_could_not_run_is_refused(nbflow: Command, pool, arguments, told):
    nbflow("deploy", "script.py:report", *DAILY)

    answer = nbflow("schedule", "create", "daily", *arguments)

    assert answer.returncode == 1
    assert told in answer.stderr
    assert of(nbflow("schedule", "ls", "--json")) == []


def test_schedule_needs_a_time(nbflow: Command, pool):
    nbflow("deploy", "script.py:report", *DAILY)

    answer = nbflow("schedule", "create", "daily")

    assert answer.returncode == 2
    assert "say when: --cron" in answer.stderr


@pytest.mark.parametrize("verb", ["inspect", "pause", "resume", "trigger", "delete"])
def test_schedule_that_is_not_there(nbflow: Command, verb):
    answer = nbflow("schedule", verb, "nothing")

    assert answer.returncode == 1
    assert answer.stderr.startswith("nbflow: no schedule 'nothing'; list them with")


def test_worker_runs_what_a_schedule_fires(nbflow: Command, worker):
    nbflow("deploy", "script.py:report", *DAILY, "--every", "1s", "-p", "n=1")

    seen = set()
    for _ in range(60):
        runs = of(nbflow("deployment", "inspect", "daily", "--json"))["runs"]
        seen |= {run["state"] for run in runs}
        if "Completed" in seen:
            break
    assert "Completed" in seen


@pytest.mark.parametrize(
    ("group", "verbs"),
    [
        ("work-pool", ["create", "ls", "inspect", "set-concurrency-limit", "delete"]),
        ("worker", ["start", "ls"]),
        ("deployment", ["ls", "inspect", "run", "pause", "resume", "rm"]),
        ("schedule", ["ls", "create", "pause", "resume", "trigger", "delete"]),
    ],
)
def test_help_tells_every_verb(nbflow: Command, group, verbs):
    told = nbflow(group, "-h").stdout

    assert [verb for verb in verbs if verb not in told] == []

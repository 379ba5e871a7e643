"""`nbflow doctor`: what is wrong is said first, with what to do, and in the exit code."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbflow import doctor, flow
from nbflow.doctor.examination import Examination
from nbflow.doctor.facts import Fact
from nbflow.errors import DeploymentNotFound
from nbflow.model.deployments import DeploymentKind, DeploymentRecord, DeploymentSpec
from nbflow.model.schedules import ScheduleSpec
from nbflow.store.store import Store
from nbflow.triggers.events import AfterTrigger
from nbflow.triggers.interval import IntervalTrigger
from nbflow.wiring import close
from tests.children import Child
from tests.cli.conftest import Command


@pytest.fixture(autouse=True)
def jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Jupyter's configuration is the test's own."""
    folder = tmp_path / "jupyter"
    folder.mkdir()
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(folder))
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(folder))
    monkeypatch.setenv("JUPYTER_NO_CONFIG", "")
    return folder


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    one = Store(home)
    yield one
    one.close()


TRIGGER = IntervalTrigger(3600.0)


def deployed(store: Store, **options: Any) -> DeploymentRecord:
    """A deployment with one hourly schedule, unless told otherwise."""
    given: dict[str, Any] = {
        "flow_name": "report",
        "name": "daily",
        "kind": DeploymentKind.SCRIPT,
        "target": "/nowhere/report.py:report",
        "folder": "/nowhere",
        **options,
    }
    next_at = given.pop("next_at", time.time() + 1800)
    trigger = given.pop("trigger", TRIGGER)
    serve = given.pop("serve", False)
    schedule = ScheduleSpec(name="hourly", trigger=trigger.to_json(), first_at=next_at)
    return store.put_deployment(DeploymentSpec(**given), [schedule], serve=serve)


def facts(section: str) -> list[Fact]:
    return [fact for fact in doctor.examine().facts if fact.section == section]


def the_schedule() -> Fact:
    [fact] = facts("schedules")
    assert fact.name == "report/daily/hourly"
    return fact


WORKER = """
    import sys
    from nbflow import wiring
    store = wiring.current().store
    store.register_worker("first", sys.argv[1], 4)
    store.worker_heartbeat()
    print("up", flush=True)
    sys.stdin.readline()
"""
SERVER = """
    from nbflow import wiring
    store = wiring.current().store
    store.flush()
    store.serve_deployment(store.find_deployment("report/daily").id)
    print("up", flush=True)
    sys.stdin.readline()
""".replace("from nbflow", "import sys\n    from nbflow", 1)


def child(code: str, home: Path, *arguments: object) -> Child:
    one = Child(code, home, *arguments)
    assert one.line() == "up"
    return one


# --- as a command ---------------------------------------------------------------------------------


def test_an_empty_home_has_no_problems_and_stays_empty(nbflow: Command, home: Path):
    answer = nbflow("doctor")

    assert answer.returncode == 0, answer.stderr + answer.stdout
    assert answer.stdout.startswith("no problems\n")
    for word in ("nbflow", "Python", "SQLite", "ipykernel", "time zone", "none yet"):
        assert word in answer.stdout
    assert not home.exists()


def test_problems_come_first_and_make_the_exit_code(nbflow: Command, store: Store):
    deployed(store, pool="batch")
    store.create_pool("batch", "process")

    answer = nbflow("doctor")

    assert answer.returncode == 1
    lines = answer.stdout.splitlines()
    assert lines[0] == "1 problem"
    assert lines[1].startswith("! schedules: report/daily/hourly: ")
    assert lines[2] == "    pool 'batch' has no worker: `nbflow worker start --pool batch`"


def test_json_has_the_same(nbflow: Command, store: Store):
    deployed(store, pool="batch")
    store.create_pool("batch", "process")

    answer = nbflow("doctor", "--json")

    assert answer.returncode == 1
    found = json.loads(answer.stdout)
    [problem] = found["problems"]
    assert problem["name"] == "report/daily/hourly"
    assert "worker start" in problem["advice"]
    assert problem in found["facts"]


def test_only_settings_that_differ_are_shown(nbflow: Command):
    assert "as they come" in nbflow("doctor").stdout

    text = nbflow("doctor", NBFLOW_LOG_LEVEL="DEBUG").stdout

    assert "log_level  DEBUG" in text
    assert "max_threads" not in text


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
def test_the_time_zone_of_the_machine_is_told(nbflow: Command, zone: str):
    assert zone in nbflow("doctor", TZ=zone).stdout


# --- who runs what --------------------------------------------------------------------------------


def test_a_schedule_of_a_living_kernel_is_run_by_it(store: Store, home: Path):
    deployed(store, place="/work/report.ipynb")
    kernel = child(SERVER, home)

    fact = the_schedule()
    assert fact.text.endswith(f"by kernel pid {kernel.pid} of /work/report.ipynb")
    assert "next " in fact.text
    assert not fact.is_problem
    assert any(f"pid {kernel.pid}" in one.name for one in facts("processes"))

    kernel.kill()

    fact = the_schedule()
    assert fact.text.endswith("by nobody")
    assert "no kernel of /work/report.ipynb is alive" in fact.advice
    assert "%load_ext nbflow" in fact.advice
    assert not any(f"pid {kernel.pid}" in one.name for one in facts("processes"))


def test_a_flow_that_only_its_kernel_had_needs_its_cell_again(store: Store):
    deployed(store, place="/work/report.ipynb", kind=DeploymentKind.FUNCTION)

    assert "run the cell again that schedules it, in /work/report.ipynb" in the_schedule().advice


def test_a_notebook_whose_path_is_not_known_is_a_notebook(store: Store, home: Path):
    deployed(store, place="/work/", kind=DeploymentKind.NOTEBOOK)
    kernel = child(SERVER, home)

    assert the_schedule().text.endswith(f"by kernel pid {kernel.pid} of /work/")

    kernel.kill()
    advice = the_schedule().advice
    assert advice == "no kernel serves it: run `%load_ext nbflow` in its notebook, in /work/"


@pytest.mark.parametrize(("limit", "is_paused"), [(None, True), (0, False)])
def test_runs_that_wait_in_a_pool_that_begins_none_are_a_problem(
    store: Store, limit: int | None, is_paused: bool
):
    store.create_pool("batch", "process", limit)
    store.pause_pool("batch", is_paused)
    store.add_order(deployed(store, pool="batch").id)

    assert "by nobody while" in the_schedule().text
    [fact] = facts("work pools")
    verb = "resume" if is_paused else "clear-concurrency-limit"
    assert f"nbflow work-pool {verb} batch" in fact.advice


def test_a_schedule_of_a_script_names_the_script(store: Store, home: Path):
    deployed(store, place="/work/report.py")
    script = child(SERVER, home)
    assert f"process pid {script.pid} of /work/report.py" in the_schedule().text

    script.kill()

    assert "run /work/report.py again" in the_schedule().advice


def test_a_schedule_of_a_pool_is_run_by_its_workers(store: Store, home: Path):
    deployed(store, pool="batch")
    assert "nbflow work-pool create --type process batch" in the_schedule().advice

    store.create_pool("batch", "process")
    assert "nbflow worker start --pool batch" in the_schedule().advice

    worker = child(WORKER, home, "batch")
    assert the_schedule().text.endswith("by worker 'first' of pool 'batch'")
    assert not the_schedule().is_problem
    assert any("worker 'first' of pool 'batch'" in one.text for one in facts("processes"))

    worker.kill()
    assert "nbflow worker start --pool batch" in the_schedule().advice


def test_a_pool_of_notebooks_does_not_run_scripts(store: Store, home: Path):
    deployed(store, pool="papers")
    store.create_pool("papers", "notebook")
    worker = child(WORKER, home, "papers")

    assert "runs notebooks only" in the_schedule().advice
    worker.kill()


def test_what_is_paused_is_no_problem(store: Store):
    deployment = deployed(store)
    assert the_schedule().is_problem

    store.pause_deployment(deployment.id, True)
    assert "paused: `nbflow deployment resume`" in the_schedule().text
    assert not the_schedule().is_problem

    store.pause_deployment(deployment.id, False)
    [schedule] = store.schedules()
    store.pause_schedule(schedule.id, True)
    assert "paused: `nbflow schedule resume`" in the_schedule().text
    assert not the_schedule().is_problem

    store.pause_schedule(schedule.id, False, next_at=time.time() + 60)
    store.create_pool("batch", "process")
    store.pause_pool("batch", True)
    store.move_deployment(deployment.id, "batch")
    assert "nobody while pool 'batch' is paused" in the_schedule().text
    assert not the_schedule().is_problem


def test_a_schedule_that_has_ended_is_no_problem(store: Store):
    deployed(store, next_at=None)

    assert "it has ended" in the_schedule().text
    assert not the_schedule().is_problem


def test_a_schedule_that_waits_for_an_event_needs_somebody_too(store: Store):
    deployed(store, next_at=None, trigger=AfterTrigger("other"))

    assert the_schedule().is_problem


def test_an_overdue_schedule_is_a_problem_though_somebody_serves_it(store: Store):
    deployed(store, serve=True, next_at=time.time() - 600)
    store.flush()

    assert "10 min" in the_schedule().advice
    assert str(os.getpid()) in the_schedule().advice


def test_runs_that_wait_in_a_pool_without_worker_are_a_problem(store: Store):
    store.create_pool("batch", "process", 3)
    [fact] = facts("work pools")
    assert fact.text == "process, 0 of 3 running, 0 waiting, no worker"
    assert not fact.is_problem

    deployment = deployed(store, pool="batch", next_at=None)
    store.add_order(deployment.id)

    [fact] = facts("work pools")
    assert "1 waiting" in fact.text
    assert "nbflow worker start --pool batch" in fact.advice


def test_a_schedule_of_a_newer_nbflow_does_not_hide_the_others(store: Store, home: Path):
    deployed(store, name="other")
    deployed(store)
    trigger = json.dumps({"kind": "moon", "phase": "full"})
    [schedule] = store.schedules(deployment_ids=[store.find_deployment("daily").id])
    with sqlite3.connect(home / "nbflow.db") as connection:
        connection.execute("UPDATE schedules SET trigger = ? WHERE id = ?", (trigger, schedule.id))
    connection.close()

    told = {fact.name: fact for fact in facts("schedules")}

    assert "upgrade nbflow" in told["report/daily/hourly"].advice
    assert "every hour" in told["report/other/hourly"].text


def test_thousands_of_schedules_are_counted_not_listed(store: Store):
    spec = DeploymentSpec(
        flow_name="f", name="d", kind=DeploymentKind.SCRIPT, target="/f.py:f", folder="/"
    )
    at = time.time() + 60
    schedules = [
        ScheduleSpec(name=f"s{i}", trigger=TRIGGER.to_json(), first_at=at) for i in range(2_000)
    ]
    store.put_deployment(spec, schedules)

    examination = doctor.examine()

    assert len(examination.problems) == 2_000
    assert len(examination.text().splitlines()) < 150
    assert "more" in examination.text()


# --- the store ------------------------------------------------------------------------------------


def test_a_sound_store_says_so(home: Path):
    flow(lambda: 1, name="f")()
    close()

    told = {fact.name: fact for fact in facts("store")}

    assert told["home"].text == str(home)
    assert told["file"].text.endswith("1 run")
    assert "schema" in told["file"].text
    assert told["integrity"].text == "ok"
    assert not any(fact.is_problem for fact in told.values())


def test_a_damaged_store_is_told_of_with_what_to_do(home: Path):
    for _ in range(200):
        flow(lambda: 1, name="f")()
    close()
    path = home / "nbflow.db"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * (size // 3))

    problems = doctor.examine().problems

    assert problems
    assert any("recover" in fact.advice or "malformed" in fact.text for fact in problems)


def test_a_file_that_is_no_store_is_told_of(home: Path):
    home.mkdir()
    (home / "nbflow.db").write_text("not a database, but long enough to be looked at\n" * 100)

    [problem] = doctor.examine().problems

    assert "move it aside" in problem.advice


def test_a_store_of_a_newer_nbflow_is_told_of(home: Path, store: Store):
    store.runs()
    with sqlite3.connect(home / "nbflow.db") as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()

    [problem] = doctor.examine().problems

    assert "upgrade nbflow" in problem.advice


def test_a_home_that_is_a_file_is_a_problem(home: Path):
    home.write_text("")

    [problem] = doctor.examine().problems

    assert problem.text == f"{home} is no folder"


def test_a_home_that_others_can_write_is_a_problem(home: Path):
    home.mkdir()
    home.chmod(0o777)

    [problem] = doctor.examine().problems

    assert "chmod go-w" in problem.advice
    assert stat.S_IMODE(home.stat().st_mode) == 0o777


def test_a_clock_behind_the_newest_run_is_a_problem(home: Path, store: Store):
    flow(lambda: 1, name="f")()
    close()
    with sqlite3.connect(home / "nbflow.db") as connection:
        connection.execute("UPDATE runs SET created_at = created_at + 7200")
    connection.close()

    [problem] = doctor.examine().problems

    assert (problem.section, problem.name) == ("clock", "set back")


def test_looking_changes_nothing(home: Path, store: Store):
    deployed(store, pool="batch")
    store.close()

    def state() -> set[tuple[str, int]]:
        owners = set(os.listdir(home / "owners"))
        with sqlite3.connect(home / "nbflow.db") as connection:
            rows = connection.execute("SELECT count(*) FROM owners").fetchone()[0]
        connection.close()
        return {(one, 0) for one in owners} | {("rows", rows)}

    before = state()
    doctor.report()

    assert state() == before


# --- Jupyter --------------------------------------------------------------------------------------

CULLING = [
    ("jupyter_server_config.json", '{"MappingKernelManager": {"cull_idle_timeout": 30}}', 30),
    (
        "jupyter_server_config.py",
        "c.ServerApp.ip = ''\nc.MappingKernelManager.cull_idle_timeout = 3_0\nexit(7)",
        30,
    ),
    ("jupyter_server_config.d/x.json", '{"MappingKernelManager": {"cull_idle_timeout": 30}}', 30),
    ("jupyter_config.json", '{"AsyncMappingKernelManager": {"cull_idle_timeout": 30}}', 30),
    ("jupyter_server_config.json", '{"MappingKernelManager": {"cull_idle_timeout": 0}}', None),
    ("jupyter_server_config.json", "{not json", None),
    ("jupyter_server_config.py", "# c.MappingKernelManager.cull_idle_timeout = 30", None),
    ("jupyter_server_config.json", '{"TerminalManager": {"cull_idle_timeout": 30}}', None),
    ("jupyter_server_config.json", '["cull_idle_timeout"]', None),
]


@pytest.mark.parametrize(("name", "text", "seconds"), CULLING)
def test_jupyters_culling_is_found_and_never_executed(
    jupyter: Path, name: str, text: str, seconds: int | None
):
    path = jupyter / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)

    told = {fact.text for fact in facts("kernels") if fact.name == "ended when idle"}

    expected = "never, as far as the files of Jupyter say"
    if seconds is not None:
        expected = f"after {seconds} s, says {path}"
    assert expected in told


@pytest.mark.parametrize(
    ("timeout", "keep_alive", "is_problem"),
    [(3600, "60", False), (30, "60", True), (30, "10", False), (3600, "0", True)],
)
def test_a_kernel_with_schedules_that_may_be_culled_is_a_problem(
    store: Store,
    home: Path,
    jupyter: Path,
    monkeypatch: pytest.MonkeyPatch,
    timeout: int,
    keep_alive: str,
    is_problem: bool,
):
    options = {"MappingKernelManager": {"cull_idle_timeout": timeout}}
    (jupyter / "jupyter_server_config.json").write_text(json.dumps(options))
    monkeypatch.setenv("NBFLOW_KEEP_ALIVE_SECONDS", keep_alive)
    deployed(store, place="/work/report.ipynb")
    kernel = child(SERVER, home)

    problems = doctor.examine().problems

    assert [fact.section for fact in problems] == ["kernels"] * is_problem
    kernel.kill()


# --- telling --------------------------------------------------------------------------------------


def test_the_report_counts_its_problems():
    good, bad = Fact("clock", "now", "12:00"), Fact("clock", "set back", "by 2 h", "set it")

    assert Examination((good,)).text().splitlines()[0] == "no problems"
    assert Examination((good, bad)).text().splitlines() == [
        "1 problem",
        "! clock: set back: by 2 h",
        "    set it",
        "",
        "clock",
        "! set back  by 2 h",
        "  now       12:00",
    ]


def test_a_look_that_fails_is_a_problem_and_not_the_end(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    deployed(store)

    def broken(*_: object, **__: object) -> None:
        raise DeploymentNotFound("gone")

    monkeypatch.setattr(Store, "schedules", broken)
    examination = doctor.examine()

    assert [fact.section for fact in examination.problems] == ["schedules"]
    assert any(fact.section == "kernels" for fact in examination.facts)

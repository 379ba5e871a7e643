"""Flows that others than their caller run: declared, checked at once, deployed, asked for."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from children import Child, run_child

from nbflow import flow, runtime, task, wiring
from nbflow.deployments import deploy, run_deployment
from nbflow.errors import (
    DeploymentNotFound,
    InvalidOption,
    InvalidSchedule,
    NbflowError,
    NotPicklable,
    ParameterError,
    PoolNotFound,
    UnknownOption,
)
from nbflow.flow_runs import cancel_run
from nbflow.flows import Flow
from nbflow.model.deployments import DeploymentKind, DeploymentRecord
from nbflow.results.sealing import purpose_of, unseal_value
from nbflow.schedules import Cron, Interval
from nbflow.scheduling.serving import current_server
from nbflow.task_runners import ThreadPoolTaskRunner


@flow(retries=2, retry_delay_seconds=3, version="7", description="Makes it.")
def report(n: int, who: str = "me") -> str:
    return f"{n} for {who}"


@flow
def free(**anything: Any) -> None: ...


@flow
def dated(day: dt.date) -> dt.date:
    return day


@pytest.fixture
def pool() -> str:
    wiring.current().store.create_pool("local", "process")
    return "local"


@pytest.fixture
def served() -> Iterator[Callable[[Flow[..., Any]], DeploymentRecord]]:
    """Has this process serve a flow."""

    def serve(what: Flow[..., Any], **options: Any) -> DeploymentRecord:
        record = what.to_deployment("live", **options).apply(serve=True)
        current_server().serve(record, what)
        return record

    yield serve
    current_server().join(30.0)


def eventually(claim: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.01)


# --- what is declared -----------------------------------------------------------------------


def test_deployment_takes_over_what_the_flow_says():
    spec = report.to_deployment("daily", tags=["b", "a"], concurrency_limit=2).spec

    assert (spec.flow_name, spec.name, spec.full_name) == ("report", "daily", "report/daily")
    assert (spec.retries, spec.retry_delay_seconds) == (2, 3.0)
    assert (spec.version, spec.description) == ("7", "Makes it.")
    assert (spec.tags, spec.concurrency_limit) == (("a", "b"), 2)
    assert spec.folder == str(Path.cwd())


def test_what_is_said_of_the_deployment_comes_first():
    spec = report.to_deployment("daily", version="8", description="Other.").spec

    assert (spec.version, spec.description) == ("8", "Other.")


def test_nothing_is_written_before_it_is_applied(home):
    report.to_deployment("daily", cron="0 8 * * *", parameters={"n": 1})

    assert not home.exists()


OPTIONS = {
    "cron": ({"cron": "0 8 * * *", "timezone": "America/Montreal"}, "America/Montreal"),
    "interval": ({"interval": 90, "timezone": "UTC"}, "UTC"),
    "interval text": ({"interval": "6h", "timezone": "Europe/Paris"}, "Europe/Paris"),
    "interval delta": ({"interval": timedelta(hours=6), "timezone": "UTC"}, "UTC"),
    "rrule": ({"rrule": "FREQ=DAILY;BYHOUR=8", "timezone": "UTC"}, "UTC"),
    "at": ({"at": "2099-12-24T18:00", "timezone": "Asia/Tokyo"}, "Asia/Tokyo"),
    "schedule": ({"schedule": Cron("0 8 * * *", timezone="UTC")}, "UTC"),
    "schedules": ({"schedules": [Cron("0 8 * * *", timezone="UTC")]}, "UTC"),
}


@pytest.mark.parametrize(("options", "zone"), OPTIONS.values(), ids=OPTIONS)
def test_every_kind_of_schedule_takes_a_zone(options, zone):
    deployment = report.to_deployment("daily", parameters={"n": 1}, **options)

    (schedule,) = deployment.schedules
    assert schedule.trigger.timezone == zone
    (spec,) = deployment.schedule_specs(time.time())
    assert spec.name == "daily"
    assert spec.first_at > time.time()


def test_policies_reach_the_schedule():
    deployment = report.to_deployment(
        "daily",
        interval="1h",
        catch_up="all",
        overlap="queue",
        jitter="30s",
        until="2099-01-01",
        parameters={"n": 1},
    )

    (spec,) = deployment.schedule_specs(0.0)
    assert (spec.catch_up, spec.overlap, spec.jitter_seconds) == ("all", "queue", 30.0)
    assert spec.until_at is not None


def test_several_schedules_get_names_of_their_own():
    schedules = [Cron("0 8 * * *"), Interval("6h", name="often"), Cron("0 9 * * *")]
    deployment = report.to_deployment("daily", schedules=schedules, parameters={"n": 1})

    assert [one.name for one in deployment.schedule_specs(0.0)] == ["daily-1", "often", "daily-3"]


BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no such parameter": ({"parameters": {"m": 1}}, ParameterError, "unexpected keyword .*'m'"),
    "wrong type": ({"parameters": {"n": "x"}}, ParameterError, "parameter 'n' = 'x' is not valid"),
    "not JSON": ({"parameters": {"n": object()}}, ParameterError, "'n' of type object cannot be"),
    "not finite": ({"parameters": {"n": float("nan")}}, ParameterError, "finite numbers"),
    "missing at a fire time": ({"cron": "0 8 * * *"}, ParameterError, "missing a required .*'n'"),
    "of a schedule": (
        {"schedule": Cron("0 8 * * *", parameters={"n": []})},
        ParameterError,
        "parameter 'n'",
    ),
    "two schedules": ({"cron": "0 8 * * *", "interval": 3}, InvalidSchedule, "not several"),
    "schedule and schedules": (
        {"cron": "0 8 * * *", "schedules": [Cron("0 9 * * *")]},
        InvalidSchedule,
        "cron cannot be given beside",
    ),
    "no schedules": ({"schedules": ["0 8 * * *"]}, InvalidSchedule, r"\[Cron"),
    "twice the same name": (
        {
            "parameters": {"n": 1},
            "schedules": [Cron("0 8 * * *", name="a"), Cron("0 9 * * *", name="a")],
        },
        InvalidOption,
        "name of their own",
    ),
    "cron": ({"cron": "0 8 * *"}, InvalidSchedule, "minute hour day month weekday"),
    "zone": ({"cron": "0 8 * * *", "timezone": "Montreal/America"}, InvalidSchedule, "no such"),
    "zone alone": ({"timezone": "UTC"}, InvalidSchedule, "no schedule for it"),
    "tags": ({"tags": "a"}, InvalidOption, "list of strings"),
    "limit": ({"concurrency_limit": 0}, InvalidOption, "whole number from 1"),
    "paused": ({"paused": "yes"}, InvalidOption, "True or False"),
    "pool": ({"work_pool_name": ""}, InvalidOption, "name of a work pool"),
    "address": ({"notify": "secret"}, InvalidOption, "mailto"),
}


@pytest.mark.parametrize(("options", "error", "told"), BAD.values(), ids=BAD)
def test_bad_options_are_told_at_once(options, error, told):
    with pytest.raises(error, match=told) as caught:
        report.to_deployment("daily", **options)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["", " ", "a/b", None, 3])
def test_name_must_be_one_that_commands_can_take(name):
    with pytest.raises(InvalidOption, match="such as 'daily'"):
        report.to_deployment(name)


def test_flow_that_yields_cannot_be_deployed():
    @flow
    def numbers():
        yield 1

    with pytest.raises(NbflowError, match="is a generator"):
        numbers.to_deployment("daily")


def test_parameters_may_be_missing_where_somebody_asks_for_each_run():
    assert report.to_deployment("daily", parameters={"who": "you"}).spec.parameters == {
        "who": "you"
    }
    assert free.to_deployment("daily", parameters={"any": [1, (2,)]}).spec.parameters == {
        "any": [1, [2]]
    }


def test_parameters_are_checked_as_they_will_be_at_the_run():
    """A date is text by then, and the type hint makes it a date again."""
    assert dated.to_deployment("d", parameters={"day": "2026-12-24"}).spec.parameters == {
        "day": "2026-12-24"
    }
    with pytest.raises(ParameterError, match="parameter 'day'"):
        dated.to_deployment("d", parameters={"day": "soon"})


# --- where the code comes from ----------------------------------------------------------------


def test_flow_of_a_module_is_read_from_its_file():
    spec = report.to_deployment("daily").spec

    assert spec.kind is DeploymentKind.SCRIPT
    assert spec.target == f"{Path(__file__).resolve()}:report"


def test_flow_that_its_file_would_not_make_again_goes_as_it_is():
    @flow
    def local() -> None: ...

    for one in (local, report.with_options(name="other")):
        assert one.to_deployment("daily").spec.kind is DeploymentKind.FUNCTION


SCRIPT = """
import sys
from nbflow import flow, wiring
@flow
def report(n: int = 1): return n
other = report.with_options(name="other")
if __name__ == "__main__":
    mine = report.with_options(name="mine")
    for one in (report, other, mine):
        spec = one.to_deployment("daily").spec
        print(spec.kind.value, spec.target, spec.place, sep="|")
"""


def test_flow_of_a_script_has_its_absolute_path(home, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    lines = run_child(
        f"import os, runpy; os.chdir({str(tmp_path)!r})\nimport subprocess, sys\n"
        "subprocess.run([sys.executable, 'script.py'], check=True)",
        home,
    )

    assert lines[:2] == [f"script|{script}:{name}|{script}" for name in ("report", "other")]
    assert lines[2].startswith("function|")


def test_flow_goes_with_all_it_uses(pool):
    base = 40

    @task
    def plus(x: int) -> int:
        return base + x

    @flow
    def added(x: int) -> int:
        return plus(x)

    added.deploy("daily", work_pool_name=pool)

    store = wiring.current().store
    record = store.find_deployment("added/daily")
    again = unseal_value(purpose_of(record), record.snapshot, store.folder)
    assert again is not added
    assert again(2) == 42


def test_flow_with_a_runner_and_hooks_goes(pool):
    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2), on_failure=[lambda *_: None])
    def threaded() -> int:
        return 1

    threaded.deploy("daily", work_pool_name=pool)

    assert wiring.current().store.find_deployment("threaded/daily").snapshot is not None


def test_value_that_cannot_go_is_named(pool):
    lock = threading.Lock()

    @task
    def guarded() -> None:
        with lock:
            pass

    @flow
    def outer() -> None:
        guarded()

    with pytest.raises(NotPicklable, match=r"'lock' \(lock\), used by 'guarded' cannot be pickled"):
        outer.deploy("daily", work_pool_name=pool)

    assert wiring.current().store.deployments() == []


def test_function_that_calls_itself_is_gone_through_once(pool):
    lock = threading.Lock()

    def even(n: int) -> bool:
        return n == 0 or odd(n - 1)

    def odd(n: int) -> bool:
        return n != 0 and even(n - 1) and bool(lock)

    @flow
    def outer() -> bool:
        return even(3)

    with pytest.raises(NotPicklable, match=r"'lock' \(lock\), used by 'odd', used by 'even'"):
        outer.deploy("daily", work_pool_name=pool)


def test_large_value_is_named(pool, monkeypatch):
    from nbflow.scheduling import snapshots

    monkeypatch.setattr(snapshots, "_MOST_BYTES", 1 << 20)
    table = bytes(3 << 20)

    @flow
    def outer() -> int:
        return len(table)

    with pytest.raises(NotPicklable, match="takes 3 MB, most of it 'table'; up to 1 MB"):
        outer.deploy("daily", work_pool_name=pool)


# --- deploying --------------------------------------------------------------------------------


def test_deploy_says_what_is_deployed_when_it_runs_and_how_to_start_a_worker(pool, capsys):
    deployment_id = report.deploy(
        "daily",
        work_pool_name=pool,
        schedule=Cron("0 8 24 12 *", timezone="America/New_York"),
        parameters={"n": 1},
    )

    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(
        "deployed report/daily to pool 'local' (start a worker: nbflow worker start --pool local)"
    )
    assert "12-24 08:00 UTC-05:00" in line
    record = wiring.current().store.find_deployment(deployment_id)
    assert record.full_name == "report/daily"
    (schedule,) = wiring.current().store.schedules(deployment_ids=[record.id])
    assert schedule.name == "daily"


def test_deploy_to_a_pool_that_is_not_there_says_how_to_create_it():
    with pytest.raises(PoolNotFound, match="nbflow work-pool create --type process nowhere"):
        report.deploy("daily", work_pool_name="nowhere")


def test_deploy_without_a_pool_names_those_there_are(pool):
    with pytest.raises(NbflowError, match=r"there is 'local'.*serve"):
        report.deploy("daily")


def test_deploy_with_an_option_that_does_not_exist_names_the_nearest():
    with pytest.raises(UnknownOption, match="did you mean 'work_pool_name'"):
        report.deploy("daily", work_pool="local")


def test_of_several_deployments_none_is_written_unless_all_can_be(pool):
    with pytest.raises(PoolNotFound):
        deploy(
            report.to_deployment("a"),
            report.to_deployment("b", work_pool_name="nowhere"),
            work_pool_name=pool,
        )
    assert wiring.current().store.deployments() == []

    ids = deploy(report.to_deployment("a"), report.to_deployment("b"), work_pool_name=pool)
    assert len(set(ids)) == 2


def test_flow_that_cannot_go_keeps_the_others_from_being_written(pool):
    lock = threading.Lock()

    @flow
    def guarded() -> bool:
        return bool(lock)

    with pytest.raises(NotPicklable):
        deploy(report.to_deployment("a"), guarded.to_deployment("b"), work_pool_name=pool)
    assert wiring.current().store.deployments() == []


def test_pool_for_notebooks_takes_no_flows():
    wiring.current().store.create_pool("nb", "notebook")

    with pytest.raises(NbflowError, match="type notebook, which runs notebooks only"):
        report.deploy("daily", work_pool_name="nb")


def test_deployed_again_it_is_the_same_deployment(pool):
    store = wiring.current().store
    first = report.deploy("daily", work_pool_name=pool, cron="0 8 * * *", parameters={"n": 1})
    store.pause_deployment(first, True)

    assert report.deploy("daily", work_pool_name=pool, tags=["x"]) == first
    assert store.find_deployment(first).is_paused
    assert store.find_deployment(first).tags == ("x",)
    assert store.schedules() == []

    report.deploy("daily", work_pool_name=pool, paused=False)
    assert not store.find_deployment(first).is_paused


def test_schedules_that_are_declared_no_more_are_named(pool, capsys):
    options = {"work_pool_name": pool, "parameters": {"n": 1}}
    schedules = [Interval("6h", name="a"), Interval("7h", name="b"), Interval("8h", name="c")]
    report.deploy("daily", **options, schedules=schedules)
    capsys.readouterr()

    report.deploy("daily", **options, schedules=schedules[1:2])

    assert capsys.readouterr().out.endswith("; deleted schedule a, c\n")
    assert [one.name for one in wiring.current().store.schedules()] == ["b"]


def test_what_fell_into_a_pause_is_not_missed(pool):
    store = wiring.current().store
    options = {"work_pool_name": pool, "interval": 0.01, "parameters": {"n": 1}}
    first = report.deploy("daily", **options, paused=True)
    (schedule,) = store.schedules()
    eventually(lambda: time.time() > (schedule.next_at or 0.0) + 0.1)

    before = time.time()
    report.deploy("daily", **options, paused=False)

    (schedule,) = store.schedules(deployment_ids=[first])
    assert schedule.next_at is not None
    assert schedule.next_at > before


# --- asking for runs --------------------------------------------------------------------------


def test_run_deployment_waits_for_the_run(served):
    served(report)

    run = run_deployment("report/live", {"n": 2}, flow_run_name="mine", tags=["x"])

    assert (run.state_name, run.name, run.tags) == ("Completed", "mine", ["x"])
    assert run.inputs == {"n": 2}


def test_run_deployment_gives_failed_runs_too(served):
    served(report)

    run = run_deployment("live", {"n": "two"})

    assert run.state_name == "Failed"
    assert "parameter 'n' = 'two' is not valid" in run.message


def test_run_deployment_inside_a_flow(served):
    served(report)

    @flow
    def outer() -> str:
        return run_deployment("report/live", {"n": 2}).state_name

    assert outer() == "Completed"


def test_run_deployment_without_waiting(served):
    served(report)

    run = run_deployment("report/live", {"n": 2}, timeout=0)

    store = wiring.current().store
    eventually(lambda: store.find_run(run.id).state_name == "Completed")


def test_run_deployment_stops_waiting_when_its_time_is_over(served):
    gate = threading.Event()

    @flow
    def waits() -> None:
        gate.wait(60)

    served(waits)
    try:
        began = time.monotonic()
        run = run_deployment("waits/live", timeout=0.3)
        assert not run.is_final
        assert 0.25 < time.monotonic() - began < 20
    finally:
        gate.set()


def test_run_deployment_at_a_time(served):
    served(report)
    at = time.time() + 0.5

    when = dt.datetime.fromtimestamp(at, dt.UTC)
    run = run_deployment("report/live", {"n": 2}, scheduled_time=when)

    assert run.state_name == "Completed"
    assert run.scheduled_at == pytest.approx(at, abs=1e-3)
    assert run.started_at >= run.scheduled_at


def test_run_deployment_hears_of_the_end_at_once(served):
    """Not at its next look, half a second later."""
    served(report)
    run_deployment("report/live", {"n": 1})

    took = []
    for n in range(5):
        began = time.monotonic()
        run_deployment("report/live", {"n": n})
        took.append(time.monotonic() - began)

    assert min(took) < 0.25


def test_flow_that_waits_for_a_run_can_be_cancelled(pool):
    report.deploy("daily", work_pool_name=pool)  # without a worker

    @flow
    def outer() -> None:
        run_deployment("report/daily", {"n": 1})

    store = wiring.current().store
    thread = threading.Thread(target=lambda: outer(return_state=True))
    thread.start()
    eventually(lambda: any(one.spec_name == "report" for one in store.runs()))
    (run,) = [one for one in store.runs() if one.spec_name == "outer"]
    began = time.monotonic()
    cancel_run(run.id)
    thread.join(30)

    assert time.monotonic() - began < 10
    store.flush()
    assert store.find_run(run.id).state_name == "Cancelled"


def test_async_flow_runs_too(served):
    @flow
    async def coroutine(n: int) -> int:
        return n

    served(coroutine)

    assert run_deployment("coroutine/live", {"n": 1}).state_name == "Completed"


def test_run_deployment_of_what_is_not_there():
    with pytest.raises(DeploymentNotFound, match="nbflow deployment ls"):
        run_deployment("report/nothing")


def test_run_deployment_that_nobody_would_run_is_an_error_rather_than_waiting_for_ever(caplog):
    report.to_deployment("daily").apply()

    with pytest.raises(NbflowError, match="nobody would run report/daily: it has no work pool"):
        run_deployment("report/daily")
    run = run_deployment("report/daily", {"n": 1}, timeout=0)

    assert run.state_name == "Scheduled"
    assert "nobody runs report/daily yet" in caplog.text


def test_server_that_died_runs_nothing(home):
    child = Child(
        """
        from nbflow import flow
        @flow
        def report(): pass
        report.to_deployment("daily").apply(serve=True)
        print("up", flush=True)
        input()
        """,
        home,
    )
    assert child.line() == "up"
    child.kill()

    with pytest.raises(NbflowError, match="nobody would run"):
        run_deployment("report/daily")


def test_run_deployment_without_a_worker_says_how_to_start_one(pool, caplog):
    report.deploy("daily", work_pool_name=pool)

    run_deployment("report/daily", {"n": 1}, timeout=0)

    assert "nbflow worker start --pool local" in caplog.text


def test_run_deployment_of_a_paused_one_says_so(served):
    record = served(report)
    wiring.current().store.pause_deployment(record.id, True)

    with pytest.raises(NbflowError, match="it is paused; resume it with"):
        run_deployment("report/live")


@pytest.mark.parametrize("value", [object(), float("inf"), {1: 2}])
def test_run_deployment_with_parameters_that_could_not_be_kept(served, value):
    served(report)

    with pytest.raises(ParameterError, match="parameter 'n'"):
        run_deployment("report/live", {"n": value})


# --- what a run may ask -------------------------------------------------------------------------


def test_run_knows_its_deployment_in_subflows_and_tasks_too(served):
    seen: list[Any] = []

    def look() -> None:
        one = runtime.deployment
        seen.append((one.id, one.name, one.flow_name, one.version, one.parameters))

    @task
    def inside() -> None:
        look()

    @flow
    def sub() -> None:
        look()

    @flow(version="3")
    def outer(n: int) -> None:
        look()
        inside()
        inside.submit().result()
        sub()

    record = served(outer)
    assert run_deployment("outer/live", {"n": 1}).state_name == "Completed"

    assert seen == [(record.id, "live", "outer", "3", {"n": 1})] * 4


def test_outside_of_deployments_every_fact_is_empty():
    one = runtime.deployment
    assert (one.id, one.name, one.parameters, one.tags) == (None, None, {}, [])

    @flow
    def plain() -> Any:
        return runtime.deployment.name

    assert plain() is None
    with pytest.raises(AttributeError, match="it has id, name"):
        runtime.deployment.nothing


def test_declaring_loads_nothing_heavy(home):
    (line,) = run_child(
        """
        import sys
        from nbflow import flow
        @flow
        def report(): pass
        report.to_deployment("daily", interval="6h", timezone="UTC")
        heavy = {"pandas", "numpy", "pydantic", "nbformat", "typer", "IPython", "croniter"}
        print(sorted(heavy & set(sys.modules)))
        """,
        home,
    )

    assert line == "[]"

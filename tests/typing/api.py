"""The public signatures as users write them. Type-checked by `make lint`, never run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from nbflow import deploy, flow, run_deployment, runtime, serve, task
from nbflow.flows import Flow
from nbflow.model.deployments import DeploymentRecord
from nbflow.model.records import RunRecord
from nbflow.schedules import (
    After,
    At,
    Cron,
    CronSchedule,
    Interval,
    IntervalSchedule,
    OnChange,
    RRule,
    RRuleSchedule,
    Schedule,
)
from nbflow.scheduling.declaring import Deployment
from nbflow.scheduling.handles import Serving


@task
def double(x: int) -> int:
    return 2 * x


@flow
def report(n: int, who: str = "me") -> str:
    return f"{who}: {double(n)}"


@flow(name="Other", retries=2)
def other(n: int) -> list[int]:
    return [n]


assert_type(double(1), int)
assert_type(report(1, who="you"), str)
assert_type(other(1), list[int])
assert_type(report.name, str)
assert_type(report.fn(1), str)

# --- schedules -----------------------------------------------------------------------------------

assert_type(Cron("0 8 * * 1-5", timezone="America/Montreal", overlap="queue"), Schedule)
assert_type(CronSchedule(cron="0 8 * * *", timezone="UTC", parameters={"n": 1}), Schedule)
assert_type(Interval(timedelta(hours=6), anchor_date=datetime(2026, 1, 1, tzinfo=UTC)), Schedule)
assert_type(IntervalSchedule(interval="6h", jitter="30s", until="2027-01-01"), Schedule)
assert_type(RRule("FREQ=DAILY;BYHOUR=8"), Schedule)
assert_type(RRuleSchedule(rrule="FREQ=DAILY", catch_up="all"), Schedule)
assert_type(At("2026-12-24T18:00", timezone="Europe/Paris"), Schedule)
assert_type(OnChange("data/*.csv", "more/*.csv"), Schedule)
assert_type(After(report), Schedule)
assert_type(After("report", active=False), Schedule)

# --- deployments ---------------------------------------------------------------------------------

deployment = report.to_deployment(
    "daily",
    cron="0 8 * * *",
    timezone="America/Montreal",
    parameters={"n": 1},
    tags=["report"],
    description="Every morning.",
    version="1",
    concurrency_limit=1,
    paused=False,
    work_pool_name="local",
    notify=["mailto://me"],
    catch_up="latest",
    overlap="skip",
    jitter=30,
    until="2027-01-01",
)
assert_type(deployment, Deployment)
assert_type(deployment.full_name, str)
assert_type(deployment.apply(), DeploymentRecord)
assert_type(deployment.apply(pool="local"), DeploymentRecord)
report.to_deployment("often", interval=timedelta(minutes=5))
report.to_deployment("often", interval=300.0)
report.to_deployment("often", interval="5m")
report.to_deployment("rule", rrule="FREQ=DAILY")
report.to_deployment("once", at=datetime(2026, 12, 24, 18, tzinfo=UTC))
report.to_deployment("both", schedules=[Cron("0 8 * * *"), Interval("6h")])
report.to_deployment("one", schedule=Cron("0 8 * * *"))

assert_type(report.deploy("daily", work_pool_name="local", cron="0 8 * * *"), str)
assert_type(report.deploy(name="daily", work_pool_name="local"), str)
assert_type(deploy(deployment, other.to_deployment("daily"), work_pool_name="local"), list[str])
assert_type(report.serve(name="live", interval="6h"), Serving | None)
assert_type(serve(deployment, other.to_deployment("live")), Serving | None)

run = run_deployment("report/daily", parameters={"n": 2}, timeout=60, tags=["now"])
assert_type(run, RunRecord)
assert_type(run.state_name, str)
run_deployment("report/daily", scheduled_time=datetime(2026, 12, 24, tzinfo=UTC), timeout=0)
assert runtime.deployment.name

# What a checker has to refuse.
report.to_deployment()  # type: ignore[call-arg]
report.to_deployment("daily", corn="0 8 * * *")  # type: ignore[call-arg]
report.to_deployment("daily", cron=8)  # type: ignore[arg-type]
run_deployment()  # type: ignore[call-arg]


def takes_any_flow(any_flow: Flow[..., Any]) -> None:
    any_flow.deploy("daily")


takes_any_flow(report)

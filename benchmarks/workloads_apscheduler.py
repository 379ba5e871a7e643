"""APScheduler's side of the rows about schedules: with its memory store, and with SQLite."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler

from benchmarks import due
from benchmarks.measuring import Measured

# A job store that is a database keeps a function by its name.
_late: list[float] = []


def workloads(contender: str) -> dict[str, Callable[[], Measured]]:
    """Every workload by the name it has in `rows_schedules`."""
    in_database = contender == "apscheduler sqlite"
    found: dict[str, Callable[[], Measured]] = {
        name: partial(spread, load, in_database) for name, load in due.LOADS.items()
    }
    found["due_at_once"] = partial(at_once, in_database)
    found["idle"] = partial(idle, in_database)
    return found


def note_spread(first_at: float, every_seconds: float) -> None:
    """The job: how long after its fire time, one of a series, it begins."""
    _late.append((time.time() - first_at) % every_seconds)


def note_at_once(planned_at: float) -> None:
    """The job: how long after its fire time it begins."""
    _late.append(time.time() - planned_at)


def spread(load: due.Load, in_database: bool) -> Measured:
    scheduler = _scheduler(in_database)
    begin_at = time.time() + _seconds_to_add(load.n, in_database)
    for first_at in load.first_times(begin_at):
        scheduler.add_job(
            note_spread,
            "interval",
            seconds=load.every_seconds,
            start_date=_instant(first_at),
            args=(first_at, load.every_seconds),
        )
    _check_in_time(begin_at)
    due.until(begin_at + due.WATCH_SECONDS)
    n_due = load.n * due.WATCH_SECONDS / load.every_seconds
    late = list(_late)
    scheduler.shutdown(wait=False)
    return due.lateness(late, int(n_due * 0.9))


def at_once(in_database: bool) -> Measured:
    scheduler = _scheduler(in_database)
    at = time.time() + _seconds_to_add(due.N_AT_ONCE, in_database)
    for _ in range(due.N_AT_ONCE):
        scheduler.add_job(note_at_once, "date", run_date=_instant(at), args=(at,))
    _check_in_time(at)
    due.wait_for(lambda: len(_late) == due.N_AT_ONCE, at - time.time() + 120, "all have run")
    scheduler.shutdown()
    return due.lateness(_late, due.N_AT_ONCE)


def idle(in_database: bool) -> float:
    scheduler = _scheduler(in_database)
    tomorrow = time.time() + 86_400
    for _ in range(due.N_AT_ONCE):
        scheduler.add_job(
            note_at_once, "interval", days=1, start_date=_instant(tomorrow), args=(tomorrow,)
        )
    time.sleep(1)
    share = due.busy_share(due.IDLE_SECONDS)
    scheduler.add_job(note_at_once, args=(time.time(),))
    due.wait_for(lambda: _late, 10, "the scheduler is alive")
    scheduler.shutdown()
    return share


def _scheduler(in_database: bool) -> BackgroundScheduler:
    """One that runs what is late all the same, as nbflow does."""
    options: dict[str, object] = {"job_defaults": {"misfire_grace_time": None}, "timezone": UTC}
    if in_database:
        options["jobstores"] = {"default": SQLAlchemyJobStore(url="sqlite:///jobs.db")}
    scheduler = BackgroundScheduler(**options)
    scheduler.start()
    return scheduler


def _seconds_to_add(n: int, in_database: bool) -> float:
    return 2 + n * (0.01 if in_database else 0.001)


def _check_in_time(at: float) -> None:
    if time.time() > at:
        raise RuntimeError("the jobs could not be added in time")


def _instant(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)

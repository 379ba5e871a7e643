"""The options that say when something runs, as `deploy` and `schedule create` take them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from nbflow.schedules import Schedule

Cron = Annotated[
    str | None,
    typer.Option("--cron", metavar="CRON", help="Minute hour day month weekday: '0 8 * * 1-5'."),
]
Every = Annotated[
    str | None,
    typer.Option("--every", "--interval", metavar="TIME", help="Every so often: 90s, 15m, 6h, 1d."),
]
At = Annotated[str | None, typer.Option("--at", metavar="WHEN", help="Once: 2026-12-24T18:00.")]
RRule = Annotated[
    str | None,
    typer.Option("--rrule", metavar="RRULE", help="As in RFC 5545: 'FREQ=DAILY;BYHOUR=8'."),
]
OnChange = Annotated[
    list[str] | None,
    typer.Option(
        "--on-change", metavar="PATTERN", help="When files change: 'data/*.csv'; may be repeated."
    ),
]
After = Annotated[
    str | None,
    typer.Option("--after", metavar="FLOW", help="Each time a run of this flow has completed."),
]
Zone = Annotated[
    str | None,
    typer.Option(
        "--tz",
        "--timezone",
        metavar="ZONE",
        help="Time zone, such as America/Montreal; default: this machine's.",
    ),
]
CatchUp = Annotated[
    str | None,
    typer.Option(
        "--catch-up",
        metavar="skip|latest|all",
        help="Which fire times run that nobody was there for; default: latest.",
    ),
]
Overlap = Annotated[
    str | None,
    typer.Option(
        "--overlap",
        metavar="skip|queue|cancel|allow",
        help="What a fire time does while the run before it goes on; default: skip.",
    ),
]
Jitter = Annotated[
    str | None,
    typer.Option("--jitter", metavar="TIME", help="Begin up to this much later: 30s, 5m."),
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="WHEN", help="No fire time after it: 2026-12-31.")
]


def schedule_of(**options: Any) -> Schedule | None:
    """The schedule that the options name; None: they name none.

    Raises:
        InvalidSchedule: One does not take its value, or they contradict each other.
    """
    from nbflow.schedules import check_times_left, schedule_from

    given = {name: value for name, value in options.items() if value not in (None, [])}
    schedule = schedule_from(**given)
    if schedule is not None:
        check_times_left(schedule, time.time())
    return schedule

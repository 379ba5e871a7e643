"""Rows about schedules: how late runs begin, what a scheduler costs that has nothing to do."""

from __future__ import annotations

from benchmarks.row import MS, Row, Section, Unit

_MEMORY, _SQLITE = "apscheduler", "apscheduler sqlite"
_PEERS = (_MEMORY, _SQLITE)


def _spread(workload: str, title: str, meaning: str, *, in_quick: bool = False) -> tuple[Row, Row]:
    return (
        Row(
            name=f"{workload}_p50",
            title=f"{title}: lateness, p50",
            meaning=meaning,
            workload=workload,
            key="p50",
            peers=_PEERS,
            at_most=1 * MS,
            ratios={_MEMORY: 1.0},
            heavy=True,
            in_quick=in_quick,
        ),
        Row(
            name=f"{workload}_p99",
            title=f"{title}: lateness, p99",
            meaning="As above.",
            workload=workload,
            key="p99",
            peers=_PEERS,
            at_most=10 * MS,
            heavy=True,
            in_quick=in_quick,
        ),
    )


_ROWS = (
    *_spread(
        "due_1",
        "1 schedule, every 0.1 s",
        "From the fire time to the function's first line, which does nothing, over 15 s. nbflow: "
        "a server in this process, every run claimed and recorded on disk.",
    ),
    *_spread(
        "due_1k",
        "1,000 schedules, 33 runs/s",
        "Every 30 s each, evenly spread; 15 s.",
        in_quick=True,
    ),
    *_spread("due_10k", "10,000 schedules, 33 runs/s", "Every 300 s each, evenly spread; 15 s."),
    Row(
        name="due_at_once_first",
        title="10,000 schedules due at one instant: lateness of the first",
        meaning="nbflow has claimed and recorded them all by then, in one transaction.",
        workload="due_at_once",
        key="first",
        peers=_PEERS,
        heavy=True,
        in_quick=False,
    ),
    Row(
        name="due_at_once_p50",
        title="the same: p50",
        meaning="nbflow begins and records each in a thread of its own, APScheduler on one of 10; "
        "with SQLite it waits for the disk after each, which nbflow does not.",
        workload="due_at_once",
        key="p50",
        peers=_PEERS,
        ratios={_MEMORY: 0.1},
        heavy=True,
        in_quick=False,
    ),
    Row(
        name="due_at_once_last",
        title="the same: the last",
        meaning="As above.",
        workload="due_at_once",
        key="last",
        peers=_PEERS,
        heavy=True,
        in_quick=False,
    ),
    Row(
        name="idle",
        title="10,000 schedules, none due: share of a core",
        meaning="CPU time of the whole process over 40 s; the next fire time is a day away.",
        unit=Unit.PERCENT,
        peers=_PEERS,
        at_most=0.01,
        heavy=True,
        in_quick=False,
    ),
    Row(
        name="pick_up_p50",
        title="a worker's pick-up, at rest: p50",
        meaning="From the order to the state Running in a process of its own; one a second.",
        workload="pick_up",
        key="p50",
        at_most=1.0,
        heavy=True,
    ),
    Row(
        name="pick_up_last",
        title="a worker's pick-up: the slowest",
        meaning="Of those, and of 20 orders of which each follows when the one before has ended.",
        workload="pick_up",
        key="last",
        at_most=1.0,
        heavy=True,
    ),
)

SCHEDULES = Section("schedules", "Schedules", _ROWS)

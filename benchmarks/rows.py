"""What is measured: one `Row` per line of the table, with its goal."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

_MS, _US = 1e-3, 1e-6
_KB, _MB = 1024, 1 << 20


class Unit(Enum):
    """How a value is shown."""

    SECONDS = "s"
    BYTES = "B"
    COUNT = ""
    PER_SECOND = "/s"
    TIMES = "x"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        name: For `--rows`.
        title: What it costs, and of what.
        meaning: One sentence for `docs/benchmarks.md`.
        workload: Name of the function that measures it; several rows may share one.
        key: Which of the workload's values.
        peers: Columns that have this workload, besides nbflow's.
        at_most: Goal for nbflow's own value; None: the ratios alone, or nothing, decide.
        ratios: Goals for nbflow's value divided by a peer's.
        heavy: Takes long: fewer rounds, and no Prefect with `--quick`.
        in_quick: False: not measured with `--quick`.
    """

    name: str
    title: str
    meaning: str
    workload: str = ""
    key: str = "value"
    unit: Unit = Unit.SECONDS
    peers: tuple[str, ...] = ()
    at_most: float | None = None
    ratios: dict[str, float] = field(default_factory=dict)
    heavy: bool = False
    in_quick: bool = True

    @property
    def measured_by(self) -> str:
        return self.workload or self.name


_GRAPHS = ("stdlib", "dask.get", "dask threads", "dask.delayed")

ROWS = (
    Row(
        name="import",
        title="`import nbflow`, above bare Python",
        meaning="Wall time of a fresh interpreter that imports it, less one that does nothing.",
        peers=("stdlib", "dask.get", "prefect"),
        at_most=60 * _MS,
    ),
    Row(
        name="import_names",
        title="`from nbflow import flow, task`, above bare Python",
        meaning="The same with the names that every program asks for: nbflow loads them lazily.",
        peers=("prefect",),
    ),
    Row(
        name="first_flow",
        title="first empty flow of a process, the call",
        meaning="An empty home: the database is made, threads start, rows are on disk.",
        peers=("prefect",),
        at_most=50 * _MS,
    ),
    Row(
        name="first_flow_process",
        title="first empty flow, the whole process above bare Python",
        meaning="Import, first flow and the end of the process.",
        peers=("prefect",),
        heavy=True,
    ),
    Row(
        name="empty_flow",
        title="empty flow, warm",
        meaning="A top-level flow that does nothing; each waits for its rows to be on disk.",
        peers=("prefect",),
        at_most=1 * _MS,
    ),
    Row(
        name="task_call",
        title="task called in sequence, per call",
        meaning="5,000 calls inside a flow, all rows on disk; the pool submits and waits.",
        peers=(*_GRAPHS, "prefect"),
        at_most=50 * _US,
        ratios={"stdlib": 0.2, "dask.get": 0.3},
    ),
    Row(
        name="async_task",
        title="async task awaited in sequence, per call",
        meaning="3,000 awaited calls inside an async flow, all rows on disk.",
        peers=("prefect",),
        at_most=50 * _US,
    ),
    Row(
        name="map_1000",
        title="`.map` over 1,000 items, per task",
        meaning="A flow that maps a no-op task and takes the results, rows on disk.",
        peers=(*_GRAPHS, "prefect"),
        at_most=100 * _US,
        ratios={"prefect": 1 / 80},
    ),
    Row(
        name="fanout_10k",
        title="10,000 tasks on 4 threads, per task",
        meaning="Submit, wait for all, end of the flow: rows on disk.",
        peers=_GRAPHS,
        at_most=60 * _US,
        ratios={"stdlib": 1.5, "dask.get": 0.6, "dask.delayed": 0.05},
    ),
    Row(
        name="diamond",
        title="100 x 100 diamond on 4 threads, per node",
        meaning="100 layers of 100 tasks; each layer hangs on a join of the one before.",
        peers=("stdlib", "dask.get", "dask threads"),
        at_most=80 * _US,
        ratios={"stdlib": 2, "dask.get": 0.35},
    ),
    Row(
        name="chain",
        title="chain of 500 submitted tasks, per task",
        meaning="Each is given the future of the one before; the pool waits for each.",
        peers=(*_GRAPHS, "prefect"),
    ),
    Row(
        name="subflow",
        title="subflow, per call",
        meaning="500 empty flows called inside a flow, rows on disk.",
        peers=("prefect",),
        at_most=200 * _US,
    ),
    Row(
        name="journal_caller",
        title="journal: cost to the caller, per event",
        meaning="Publishing a state on the bus; the goal is 10 us per task of three events.",
        workload="journal",
        key="caller",
        at_most=10 / 3 * _US,
    ),
    Row(
        name="journal_row",
        title="journal: time per row until on disk",
        meaning="40,000 rows of 10,000 runs; beside it `sqlite3.executemany` in one transaction.",
        workload="journal",
        key="row",
        peers=("stdlib",),
    ),
    Row(
        name="journal_rate",
        title="journal: rows on disk per second",
        meaning="The same, turned round.",
        workload="journal",
        key="rate",
        unit=Unit.PER_SECOND,
        peers=("stdlib",),
    ),
    Row(
        name="print",
        title="`print` in a task with log_prints, per line",
        meaning="Cost to the task; no console.",
        peers=("prefect",),
        at_most=5 * _US,
    ),
    Row(
        name="print_on_disk",
        title="the same until the lines are on disk, per line",
        meaning="10,000 lines, then a flush.",
        workload="print",
        key="on_disk",
    ),
    Row(
        name="logger",
        title="line of a run logger, per line",
        meaning="Cost to the task, no console; beside it `logging` to a file.",
        peers=("stdlib", "prefect"),
        at_most=5 * _US,
    ),
    Row(
        name="big_list",
        title="uncached task given a list of 200,000 dicts, per call",
        meaning="Big plain leaves are not walked.",
        peers=("prefect",),
        at_most=5 * _MS,
        heavy=True,
    ),
    Row(
        name="big_frame",
        title="uncached task given a 100 MB frame, per call",
        meaning="What is not cached is not hashed.",
        peers=("prefect",),
        at_most=0.1 * _MS,
    ),
    Row(
        name="cache_hit",
        title="cache hit, int -> 1 KB, through `@task`",
        meaning="1,000 hits inside a flow, rows on disk.",
        peers=("prefect",),
        at_most=60 * _US,
    ),
    Row(
        name="slot_free",
        title='`with concurrency("x")`, slot free',
        meaning="Take and give back a slot; both are committed.",
        peers=("prefect",),
        at_most=0.3 * _MS,
    ),
    Row(
        name="slots_20",
        title="20 tasks of 0.1 s at limit 5",
        meaning="Ideal is 0.4 s; beside it a semaphore.",
        peers=("stdlib", "prefect"),
        at_most=0.5,
    ),
    Row(
        name="threads",
        title="threads during a map of 5,000 tasks of 2 ms",
        meaning="The most threads that the process had at a time.",
        unit=Unit.COUNT,
        peers=("stdlib", "prefect"),
        at_most=40,
        heavy=True,
    ),
    Row(
        name="memory_10k",
        title="RAM per finished task, 10,000 held",
        meaning="Growth of RSS with all futures kept. Goal: 3 KB above the pool's 1.7 KB.",
        unit=Unit.BYTES,
        peers=("stdlib",),
        at_most=4.7 * _KB,
    ),
    Row(
        name="memory_100k",
        title="RAM per finished task, 100,000 held",
        meaning="The same for ten times as many.",
        unit=Unit.BYTES,
        peers=("stdlib",),
        at_most=4.7 * _KB,
        heavy=True,
    ),
    Row(
        name="traced_10k",
        title="Python objects per finished task, 10,000 held",
        meaning="The same by `tracemalloc`: what Python allocated and still holds.",
        unit=Unit.BYTES,
        peers=("stdlib",),
        at_most=1 * _KB,
        ratios={"stdlib": 0.7},
        heavy=True,
    ),
    Row(
        name="traced_100k",
        title="Python objects per finished task, 100,000 held",
        meaning="The same for ten times as many.",
        unit=Unit.BYTES,
        peers=("stdlib",),
        at_most=1 * _KB,
        ratios={"stdlib": 0.7},
        heavy=True,
        in_quick=False,
    ),
    Row(
        name="linearity",
        title="wall of 100,000 tasks / wall of 10,000",
        meaning="10 is linear. Both in one process, one after the other.",
        unit=Unit.TIMES,
        peers=("stdlib", "dask.get"),
        at_most=11,
        heavy=True,
    ),
    Row(
        name="big_flow",
        title="100,000 tasks in one flow, wall",
        meaning="On 4 threads, futures kept, rows on disk.",
        workload="memory_100k",
        key="wall",
        peers=("stdlib",),
        heavy=True,
    ),
    Row(
        name="big_flow_peak",
        title="100,000 tasks in one flow, peak of RAM",
        meaning="Above what the process had before.",
        workload="memory_100k",
        key="peak",
        unit=Unit.BYTES,
        peers=("stdlib",),
        heavy=True,
    ),
    Row(
        name="kept_called",
        title="20 results of 50 MB dropped at once, called: RAM kept",
        meaning="Growth of RSS while the flow still runs.",
        unit=Unit.BYTES,
        peers=("prefect",),
        at_most=60 * _MB,
        heavy=True,
    ),
    Row(
        name="kept_submitted",
        title="20 results of 50 MB dropped at once, submitted: RAM kept",
        meaning="Growth of RSS while the flow still runs.",
        unit=Unit.BYTES,
        peers=("prefect",),
        at_most=60 * _MB,
        heavy=True,
    ),
    Row(
        name="stop",
        title="stop button with 200 submitted tasks of 0.5 s on 4 threads",
        meaning="From SIGINT to the return of the flow call, one second after its start.",
        peers=("prefect",),
        at_most=1.0,
        heavy=True,
    ),
)

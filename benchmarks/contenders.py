"""Who is measured: a name, the Python to run it with, and its environment variables."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.envs import Env

PREFECT_ENV = Env("prefect", ("prefect==3.8.8", "fastapi<0.150", "numpy", "pandas"))
DASK_ENV = Env("dask", ("dask", "distributed", "numpy", "pandas", "pyarrow"))
APSCHEDULER_ENV = Env("apscheduler", ("APScheduler>=3.11,<4", "SQLAlchemy>=2,<3"))
CACHES_ENV = Env("caches", ("joblib", "diskcache", "numpy", "pandas", "pyarrow"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One column of the table.

    Attributes:
        modules: Of `benchmarks`, with its workloads; the first that has one is asked for it.
        env: Where it is installed; None: beside nbflow.
        home_variable: Names the folder it keeps its data in; every process gets an empty one.
        timeout_seconds: How long one process may take.
        is_slow: More than a round or two is not worth the wait.
    """

    name: str
    modules: tuple[str, ...]
    env: Env | None = None
    home_variable: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    timeout_seconds: float = 120.0
    is_slow: bool = False

    def python(self) -> Path:
        """The interpreter that has it. Makes the environment if need be.

        Raises:
            EnvFailed: It could not be made.
        """
        return Path(sys.executable) if self.env is None else self.env.python()


NBFLOW = Contender(
    name="nbflow",
    modules=("workloads_nbflow", "workloads_values", "workloads_notebooks", "workloads_schedules"),
    home_variable="NBFLOW_HOME",
    variables={"NBFLOW_LOG_LEVEL": "ERROR"},
)
POOL = Contender(name="stdlib", modules=("workloads_pool",))
DASK_GET = Contender(name="dask.get", modules=("workloads_dask",), env=DASK_ENV)
DASK_THREADS = Contender(
    name="dask threads", modules=("workloads_dask",), env=DASK_ENV, is_slow=True
)
DASK_DELAYED = Contender(
    name="dask.delayed", modules=("workloads_dask",), env=DASK_ENV, is_slow=True
)
PREFECT = Contender(
    name="prefect",
    modules=("workloads_prefect",),
    env=PREFECT_ENV,
    home_variable="PREFECT_HOME",
    variables={
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "60",
        "DO_NOT_TRACK": "1",
    },
    timeout_seconds=240.0,
    is_slow=True,
)
MACHINE = Contender(name="machine", modules=("workloads_machine",))
JOBLIB = Contender(name="joblib", modules=("workloads_joblib",), env=CACHES_ENV)
JOBLIB_MMAP = Contender(name="joblib mmap", modules=("workloads_joblib",), env=CACHES_ENV)
DISKCACHE = Contender(name="diskcache", modules=("workloads_diskcache",), env=CACHES_ENV)
TOKENIZE = Contender(name="dask.tokenize", modules=("workloads_tokenize",), env=DASK_ENV)
# Beside nbflow, which depends on it; the quickstart notebook uses nbflow whoever runs it.
NBCLIENT = Contender(
    name="nbclient",
    modules=("workloads_notebooks",),
    home_variable="NBFLOW_HOME",
    variables=NBFLOW.variables,
)
# Adding 10,000 jobs to a database takes minutes.
APSCHEDULER = Contender(
    name="apscheduler", modules=("workloads_apscheduler",), env=APSCHEDULER_ENV, is_slow=True
)
APSCHEDULER_SQLITE = Contender(
    name="apscheduler sqlite",
    modules=("workloads_apscheduler",),
    env=APSCHEDULER_ENV,
    timeout_seconds=400.0,
    is_slow=True,
)
PEERS = (
    POOL,
    MACHINE,
    DASK_GET,
    DASK_THREADS,
    DASK_DELAYED,
    TOKENIZE,
    JOBLIB,
    JOBLIB_MMAP,
    DISKCACHE,
    NBCLIENT,
    APSCHEDULER,
    APSCHEDULER_SQLITE,
    PREFECT,
)

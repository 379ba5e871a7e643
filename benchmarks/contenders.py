"""Who is measured: a name, the Python to run it with, and its environment variables."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.envs import Env

PREFECT_ENV = Env("prefect", ("prefect==3.8.8", "fastapi<0.150", "numpy", "pandas"))
DASK_ENV = Env("dask", ("dask", "distributed"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One column of the table.

    Attributes:
        module: Module of `benchmarks` with its workloads.
        env: Where it is installed; None: beside nbflow.
        home_variable: Names the folder it keeps its data in; every process gets an empty one.
        timeout_seconds: How long one process may take.
        is_slow: More than a round or two is not worth the wait.
    """

    name: str
    module: str
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
    module="workloads_nbflow",
    home_variable="NBFLOW_HOME",
    variables={"NBFLOW_LOG_LEVEL": "ERROR"},
)
POOL = Contender(name="stdlib", module="workloads_pool")
DASK_GET = Contender(name="dask.get", module="workloads_dask", env=DASK_ENV)
DASK_THREADS = Contender(name="dask threads", module="workloads_dask", env=DASK_ENV, is_slow=True)
DASK_DELAYED = Contender(name="dask.delayed", module="workloads_dask", env=DASK_ENV, is_slow=True)
PREFECT = Contender(
    name="prefect",
    module="workloads_prefect",
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
PEERS = (POOL, DASK_GET, DASK_THREADS, DASK_DELAYED, PREFECT)

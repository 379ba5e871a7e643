"""A run of another process, shown as it goes."""

from __future__ import annotations

from nbflow import wiring
from nbflow.cli.notebook_run import _Follower
from nbflow.deployments import ended_run


def watch_run(run_id: str) -> int:
    """Print a run's states and log lines until it has ended, then a table; gives the exit code.

    Ctrl-C ends the watching, not the run.
    """
    connected = wiring.current()
    follower = _Follower(connected)
    follower.follow(run_id)
    code = 130
    try:
        code = int(ended_run(connected.store, run_id).state_name != "Completed")
    except KeyboardInterrupt:
        pass
    finally:
        follower.finish()
    follower.print_table()
    return code

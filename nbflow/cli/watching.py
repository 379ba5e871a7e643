"""A run of another process, shown as it goes."""

from __future__ import annotations

from nbflow import wiring
from nbflow.cli.notebook_run import Follower
from nbflow.cli.shared import print_json, record_as_json
from nbflow.deployments import ended_run


def watch_run(run_id: str, *, json: bool = False) -> int:
    """Print a run's states and log lines until it has ended, then a table; gives the exit code.

    The lines go to stderr; with `json` the run goes to stdout as JSON, in place of the table.

    Ctrl-C ends the watching, not the run.
    """
    connected = wiring.current()
    follower = Follower(connected)
    follower.follow(run_id)
    code = 130
    try:
        code = int(ended_run(connected.store, run_id).state_name != "Completed")
    except KeyboardInterrupt:
        pass
    finally:
        follower.finish()
    if json:
        print_json(record_as_json(connected.store.find_run(run_id)))
    else:
        follower.print_table()
    return code

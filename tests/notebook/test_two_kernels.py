"""Two kernels that run the same cell at the same time: one computes, the other waits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_KERNEL = """
import sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
shell.run_cell("%load_ext nbflow", silent=True)
from nbflow.notebook import session
print("ready", flush=True)
sys.stdin.readline()
shell.run_cell("%%task slow\\nimport time\\ntime.sleep(2)\\nx = 3", store_history=True)
print("told", session.open_in(shell).obtained[-1].status, shell.user_ns["x"], flush=True)
"""


def test_one_computes_and_the_other_waits(tmp_path: Path):
    environment = {**os.environ, "NBFLOW_HOME": str(tmp_path / "home")}
    kernels = [
        subprocess.Popen(
            [sys.executable, "-c", _KERNEL],
            env=environment,
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for kernel in kernels:
        assert kernel.stdout is not None
        while "ready" not in kernel.stdout.readline():
            pass
    for kernel in kernels:
        assert kernel.stdin is not None
        kernel.stdin.write("\n")
        kernel.stdin.flush()

    told = []
    for kernel in kernels:
        out, _ = kernel.communicate(timeout=60)
        told += [line.split()[1:] for line in out.splitlines() if line.startswith("told")]

    assert sorted(told) == [["cached", "3"], ["completed", "3"]]

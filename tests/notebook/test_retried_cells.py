"""A cell that fails and is tried again: right, and never kept on the word of its first try."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_KERNEL = """
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
shell.run_cell("%load_ext nbflow", silent=True)
from nbflow.notebook import session
shell.run_cell("x, tries = 5, []\\ndef f():\\n    return x + 1")
shell.run_cell(
    "%%task again --retries 1\\n"
    "tries.append(1)\\nif len(tries) < 2:\\n    raise ValueError\\nx = f()", store_history=True)
obtained = session.open_in(shell).obtained[-1]
print("told", shell.user_ns["x"], obtained.status, obtained.reason, sep="|")
"""


def test_a_later_try_sees_what_functions_read_and_is_not_kept(tmp_path: Path):
    answer = subprocess.run(
        [sys.executable, "-c", _KERNEL],
        env={**os.environ, "NBFLOW_HOME": str(tmp_path / "home")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    told = [line for line in answer.stdout.splitlines() if line.startswith("told")]
    assert told == ["told|6|uncached|an earlier try of it failed"], answer.stdout

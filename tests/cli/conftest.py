"""The command line as users have it: a process for each command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NBFLOW = [sys.executable, "-m", "nbflow.cli.main"]
Answer = subprocess.CompletedProcess[str]
Command = Callable[..., Answer]


@pytest.fixture
def nbflow(tmp_path: Path) -> Command:
    """Runs a command in the test's folder, with the test's own store."""

    def run(*arguments: str, **environment: str) -> Answer:
        return subprocess.run(
            [*NBFLOW, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, **environment},
            check=False,
        )

    return run


def of(answer: Answer) -> Any:
    """What a command printed as JSON."""
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)

"""Runs workloads in a fresh process each, with a home of its own, and brings back the numbers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contenders import Contender
from benchmarks.envs import EnvFailed

_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Answer:
    """What one workload gave: values by name, or why there are none."""

    values: dict[str, float] = field(default_factory=dict)
    error: str | None = None


def run(contender: Contender, workloads: tuple[str, ...]) -> dict[str, Answer]:
    """Run workloads of a contender in one new process. Never raises: failures are answers too."""
    try:
        python = contender.python()
    except (EnvFailed, OSError) as error:
        return {name: Answer(error=str(error)) for name in workloads}
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        out = Path(folder) / "answers.jsonl"
        out.touch()
        command = [str(python), "-m", "benchmarks.worker", contender.name]
        reason = _execute(
            [*command, ",".join(contender.modules), str(out), *workloads],
            _environment(contender, Path(folder)),
            folder,
            contender.timeout_seconds * len(workloads),
        )
        answers = {name: Answer(error=reason) for name in workloads}
        for line in out.read_text(encoding="utf-8").splitlines():
            told = json.loads(line)
            answers[told["workload"]] = Answer(told.get("values", {}), told.get("error"))
        return answers


def _environment(contender: Contender, folder: Path) -> dict[str, str]:
    """The variables of this process without those that would configure a contender."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NBFLOW_", "PREFECT_", "DASK_", "PYTHON"))
    }
    env["PYTHONPATH"] = str(_ROOT)
    if contender.home_variable is not None:
        home = folder / "home"
        home.mkdir()
        env[contender.home_variable] = str(home)
    return {**env, **contender.variables}


def _execute(command: list[str], env: dict[str, str], folder: str, timeout: float) -> str:
    """Run a command to its end; gives the reason for missing answers."""
    errors = Path(folder) / "stderr.txt"
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            command,
            env=env,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        process.wait(timeout)
        lines = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else f"ended with exit code {process.returncode}"
    except subprocess.TimeoutExpired:
        return f"no answer within {timeout:.0f} s"
    finally:
        # The whole session, which is ours: Prefect's server may outlive who started it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

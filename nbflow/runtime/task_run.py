"""The task run around the caller: `id`, `name`, `parameters`, `tags`, `run_count`, ..."""

from typing import Any

from nbflow.runtime.facts import task_fact


def __getattr__(name: str) -> Any:
    return task_fact(name)

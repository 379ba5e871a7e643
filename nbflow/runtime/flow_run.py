"""The flow run around the caller: `id`, `name`, `parameters`, `tags`, `run_count`, ..."""

from typing import Any

from nbflow.runtime.facts import flow_fact


def __getattr__(name: str) -> Any:
    return flow_fact(name)

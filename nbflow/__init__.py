"""nbflow turns a Jupyter notebook into an orchestrated workflow, without a server or an account."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Looked up when first asked for (PEP 562), so that `import nbflow` stays cheap.
_HOMES = {
    # flows and tasks
    "Flow": "flows",
    "Task": "tasks",
    "flow": "flows",
    "serve": "flows",
    "task": "tasks",
    # arguments
    "allow_failure": "model.annotations",
    "File": "results.file_inputs",
    "quote": "model.annotations",
    "unmapped": "model.annotations",
    # notebooks
    "cell": "notebook.session",
    # running
    "State": "model.states",
    "get_run_context": "context",
    "get_run_logger": "logging",
    "pause_flow_run": "flow_runs",
    "resume_flow_run": "flow_runs",
    "tags": "context",
    # deployments
    "deploy": "deployments",
    "run_deployment": "deployments",
    # looking back
    "logs": "history",
    "runs": "history",
}

if TYPE_CHECKING:
    from nbflow.context import get_run_context, tags
    from nbflow.deployments import deploy, run_deployment
    from nbflow.flow_runs import pause_flow_run, resume_flow_run
    from nbflow.flows import Flow, flow, serve
    from nbflow.history import logs, runs
    from nbflow.logging import get_run_logger
    from nbflow.model.annotations import allow_failure, quote, unmapped
    from nbflow.model.states import State
    from nbflow.notebook.session import cell
    from nbflow.results.file_inputs import File
    from nbflow.tasks import Task, task

__all__ = [
    "File",
    "Flow",
    "State",
    "Task",
    "allow_failure",
    "cell",
    "deploy",
    "flow",
    "get_run_context",
    "get_run_logger",
    "load_ipython_extension",
    "logs",
    "pause_flow_run",
    "quote",
    "resume_flow_run",
    "run_deployment",
    "runs",
    "serve",
    "tags",
    "task",
    "unload_ipython_extension",
    "unmapped",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is not None:
        value = getattr(importlib.import_module(f"nbflow.{home}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'nbflow' has no attribute {name!r}")


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext nbflow`."""
    importlib.import_module("nbflow.notebook.extension").load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext nbflow`."""
    importlib.import_module("nbflow.notebook.extension").unload(shell)

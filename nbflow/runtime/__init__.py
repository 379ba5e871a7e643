"""What a run may ask about itself: `runtime.flow_run.id`, `runtime.task_run.name`.

Outside of a run every attribute is empty, never an error.
"""

from nbflow.runtime import deployment, flow_run, task_run

__all__ = ["deployment", "flow_run", "task_run"]

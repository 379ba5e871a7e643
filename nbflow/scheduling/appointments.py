"""From an order in the store to a run of the engine's."""

from __future__ import annotations

from nbflow.model.deployments import DeploymentRecord, OrderRecord
from nbflow.model.runs import Appointment


def appointment_of(order: OrderRecord, deployment: DeploymentRecord) -> Appointment:
    """The run that an order asks for, which is in the store already."""
    return Appointment(
        run_id=order.run_id,
        name=order.run_name,
        scheduled_at=order.scheduled_at,
        tags=frozenset(order.tags),
        run_count=order.run_count,
        origin_id=order.origin_id,
        deployment_id=deployment.id,
        deployment_name=deployment.full_name,
        is_resumable=True,
    )

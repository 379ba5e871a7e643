"""An order carried out in this process: its flow is found, then called as the run asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from nbflow import wiring
from nbflow.deploy.run_files import HTML, NOTEBOOK, new_run_folder, prepare_html, write_html
from nbflow.errors import NbflowError, ResultUnreadable
from nbflow.flows import Flow
from nbflow.model.deployments import DeploymentKind, DeploymentRecord, OrderRecord
from nbflow.model.retries import RetryPolicy
from nbflow.model.specs import FlowSpec
from nbflow.model.states import State
from nbflow.results.sealing import purpose_of, unseal, unseal_value
from nbflow.scheduling import serving


def execute(
    order: OrderRecord,
    deployment: DeploymentRecord,
    *,
    loading: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> State:
    """Carry an order out on this thread; gives its run's final state.

    Whatever comes of it, the run has ended then: what cannot be loaded has failed. A notebook runs
    in a fresh kernel, and is kept as executed, also as HTML, in the run's folder.

    Args:
        loading: Entered while the code is loaded. What it raises, or what is raised in it from
            outside, the run ends with.
    """
    connected = wiring.current()
    try:
        with loading():
            spec = _spec(order, deployment)
    except BaseException as error:  # a script may also try to end the process
        state = serving.fail(connected, order, deployment, error)
    else:
        state = serving.call(connected, spec, order, deployment)
    assert isinstance(state, State)
    return state


def flow_of(deployment: DeploymentRecord) -> Flow[..., Any]:
    """The flow of a script, its file read anew, or of a sealed copy.

    Raises:
        NbflowError: There is none, or it was not sealed here.
        Exception: Whatever importing the file or what the flow needs raises.
    """
    if deployment.kind is DeploymentKind.SCRIPT:
        from nbflow.deploy.scripts import load_flow

        return load_flow(deployment.target)
    if deployment.folder not in sys.path:  # modules beside the notebook; run processes have it
        sys.path.append(deployment.folder)
    flow = unseal_value(purpose_of(deployment), _snapshot(deployment), _home())
    if not isinstance(flow, Flow):
        raise NbflowError(f"the stored code of {deployment.full_name} is no flow; deploy it again")
    return flow


def _spec(order: OrderRecord, deployment: DeploymentRecord) -> FlowSpec:
    if not os.path.isdir(deployment.folder):
        raise NbflowError(
            f"the folder {deployment.folder} of {deployment.full_name} is gone; deploy it again"
        )
    if deployment.kind is DeploymentKind.NOTEBOOK:
        return _notebook(order, deployment)
    spec = flow_of(deployment).newest_spec
    if spec.colour.yields:
        raise NbflowError(
            f"flow {spec.name!r} yields its values, and a deployed flow has nobody to yield them "
            "to; let it return them"
        )
    return spec


def _notebook(order: OrderRecord, deployment: DeploymentRecord) -> FlowSpec:
    folder = new_run_folder(_home(), order.run_id)
    text = unseal(purpose_of(deployment), _snapshot(deployment), _home())

    def run(**parameters: Any) -> Path:
        # Here, where the run has begun: this takes longer than all that was before.
        from nbflow.deploy.notebooks import NotebookPlan, parse_notebook, prepared

        plan = NotebookPlan(
            folder=Path(deployment.folder),
            place=deployment.target,
            output=folder / NOTEBOOK,
            parameters=parameters,
            autotask=deployment.autotask,
            began=lambda _: prepare_html(),
            ended=partial(write_html, path=folder / HTML, title=deployment.full_name),
        )
        return prepared(parse_notebook(text, deployment.target), plan)()

    delay = deployment.retry_delay_seconds
    return FlowSpec(
        fn=run,
        name=deployment.flow_name,
        retry=RetryPolicy(deployment.retries, (delay,) if delay else ()),
        validate_parameters=False,
    )


def _snapshot(deployment: DeploymentRecord) -> bytes:
    if deployment.snapshot is None:
        raise ResultUnreadable(f"the code of {deployment.full_name} is gone; deploy it again")
    return deployment.snapshot


def _home() -> Path:
    return wiring.current().store.folder

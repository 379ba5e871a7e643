"""Parameters of runs that are asked for: looked at now, and not when the run begins."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from nbflow import wiring
from nbflow.deploy.executing import flow_of
from nbflow.errors import ParameterError, ResultUnreadable
from nbflow.model.deployments import DeploymentKind, DeploymentRecord
from nbflow.model.specs import FlowSpec
from nbflow.results.sealing import purpose_of, unseal
from nbflow.scheduling.kept_parameters import check_json, check_parameters

logger = logging.getLogger(__name__)


def check_run(
    deployment: DeploymentRecord, parameters: Mapping[str, Any], spec: FlowSpec | None = None
) -> None:
    """Return if a deployment takes these parameters on top of its own.

    A script is imported for it. Code that cannot be loaded here is not looked at: the run tells.

    Args:
        spec: Of its flow, where this process has it.

    Raises:
        ParameterError: It does not take them; names the parameter.
    """
    check_json(deployment.flow_name, parameters)
    if deployment.kind is DeploymentKind.NOTEBOOK:
        if deployment.snapshot is not None:
            home = wiring.current().store.folder
            text = unseal(purpose_of(deployment), deployment.snapshot, home)
            check_names(deployment.flow_name, text, parameters)
        return
    if spec is None:
        try:
            spec = flow_of(deployment).newest_spec
        except ResultUnreadable:  # only the process has it that serves it
            return
        except Exception as error:
            logger.warning("parameters of %s are not checked: %r", deployment.full_name, error)
            return
    check_parameters(spec, parameters)  # before those that are missing: one may be misspelt
    check_parameters(spec, {**deployment.parameters, **parameters}, is_complete=True)


def check_names(flow_name: str, notebook: str | bytes, parameters: Mapping[str, Any]) -> None:
    """Return if each parameter is a name that some cell of a notebook has.

    A value for any other name would change nothing, and nobody would know.

    Args:
        notebook: Its JSON.

    Raises:
        ParameterError: One is not; tells those that its `parameters` cell has.
    """
    if not parameters:
        return
    import nbformat

    from nbflow.analysis.names import cell_names

    text = notebook.decode() if isinstance(notebook, bytes) else notebook
    cells = [one for one in nbformat.reads(text, as_version=4).cells if one.cell_type == "code"]  # type: ignore[no-untyped-call]
    words = {word for one in cells for word in re.findall(r"\w+", one.source)}
    unknown = [name for name in parameters if name not in words]
    if not unknown:
        return
    known: dict[str, None] = {}
    for one in cells:
        if "parameters" in one.metadata.get("tags", []):
            try:
                known.update(dict.fromkeys(cell_names(one.source).writes))
            except SyntaxError:  # a notebook of another language
                continue
    told = f"its parameters cell has {', '.join(known)}" if known else "it has no parameters cell"
    raise ParameterError(f"notebook {flow_name!r}: no cell has the name {unknown[0]!r}; {told}")

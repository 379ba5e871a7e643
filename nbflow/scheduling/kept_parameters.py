"""Parameters that wait in the store until a run begins: checked when they are given."""

from __future__ import annotations

import functools
import inspect
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nbflow.engine.parameters import flow_parameters
from nbflow.errors import ParameterError
from nbflow.model.specs import FlowSpec


def check_parameters(
    spec: FlowSpec, parameters: Mapping[str, Any], *, is_complete: bool = False
) -> dict[str, Any]:
    """The parameters as they are kept, if they fit the flow and can be kept.

    Args:
        is_complete: Whether runs begin with these alone. Otherwise some may be missing: who asks
            for a run may give them.

    Raises:
        ParameterError: They do not fit, or are not JSON; names the parameter.
    """
    check_json(spec.name, parameters)
    kept = plain(parameters)
    if is_complete:
        flow_parameters(spec, (), kept)
    else:
        _check_some(spec, kept)
    return kept


def _check_some(spec: FlowSpec, given: Mapping[str, Any]) -> None:
    try:
        spec.signature.bind_partial(**given)
    except TypeError as error:
        raise ParameterError(f"flow {spec.name!r}: {error}; it takes {spec.signature}") from None
    # Those that are missing are taken away, so that the others can be checked as a call is.
    empty, every = inspect.Parameter.empty, inspect.Parameter
    there = [
        one
        for one in spec.signature.parameters.values()
        if one.name in given
        or one.default is not empty
        or one.kind in (every.VAR_KEYWORD, every.VAR_POSITIONAL)
    ]

    @functools.wraps(spec.fn)
    def reduced(**_parameters: Any) -> None: ...

    vars(reduced)["__signature__"] = spec.signature.replace(parameters=there)
    flow_parameters(replace(spec, fn=reduced), (), given)


def check_json(flow_name: str, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that the store could not keep as what they are.

    Raises:
        ParameterError: Names the first of them.
    """
    for name, value in parameters.items():
        if not isinstance(name, str) or not _is_json(value):
            raise ParameterError(
                f"flow {flow_name!r}: parameter {name!r} of type {type(value).__name__} cannot be "
                "kept until the run; give text, finite numbers, True, False, None, or lists and "
                "dicts of them (a date as text: the flow's type hint makes it a date again)"
            )


def _is_json(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list | tuple):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(one) for key, one in value.items())
    return value is None or isinstance(value, str | int)


def plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What the run will get: tuples are lists by then."""
    kept: dict[str, Any] = json.loads(json.dumps(dict(parameters)))
    return kept

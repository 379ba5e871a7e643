"""A flow's arguments: bound to its parameters, then checked and converted by their type hints."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, get_type_hints

from nbflow.errors import ParameterError
from nbflow.model.describe import describe
from nbflow.model.specs import FlowSpec

if TYPE_CHECKING:
    from pydantic import TypeAdapter

# A value of exactly one of these types fits a hint of the same type: pydantic would give it back
# as it is, and importing pydantic costs more than the whole run of a small flow.
_PLAIN = (int, float, str, bool, bytes, list, dict, set, tuple, type(None))


def flow_parameters(
    spec: FlowSpec, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> inspect.BoundArguments:
    """The arguments bound to the flow's parameters, defaults filled in.

    Raises:
        ParameterError: They do not fit; names every parameter, its value and the expected type.
    """
    try:
        bound = spec.signature.bind(*args, **kwargs)
    except TypeError as error:
        takes = f"it takes {spec.signature}"
        raise ParameterError(f"flow {spec.name!r}: {error}; {takes}") from None
    bound.apply_defaults()
    if spec.validate_parameters:
        hints = _hints(spec.fn)
        problems: list[str] = []
        for name, value in bound.arguments.items():
            if name in hints and not _fits_plainly(hints[name], value):
                parameter = bound.signature.parameters[name]
                bound.arguments[name] = _convert(name, value, hints[name], parameter, problems)
        if problems:
            raise ParameterError(f"flow {spec.name!r}: {'; '.join(problems)}")
    return bound


def _fits_plainly(hint: Any, value: Any) -> bool:
    return hint is Any or hint is object or (hint in _PLAIN and type(value) is hint)


def _convert(
    name: str, value: Any, hint: Any, parameter: inspect.Parameter, problems: list[str]
) -> Any:
    from pydantic import ValidationError

    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        hint = tuple[hint, ...]
    elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
        hint = dict[str, hint]
    try:
        return _adapter(hint).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{part!r}]" for part in first["loc"])
        problems.append(
            f"parameter {name!r}{place} = {describe(value)!r} is not valid: "
            f"{first['msg']} (expected {_spell(hint)})"
        )
        return value


def _adapter(hint: Any) -> TypeAdapter[Any]:
    try:
        return _cached_adapter(hint)
    except TypeError:  # a hint that cannot be hashed, such as Annotated[int, []]
        return _new_adapter(hint)


@lru_cache(maxsize=256)
def _cached_adapter(hint: Any) -> TypeAdapter[Any]:
    return _new_adapter(hint)


def _new_adapter(hint: Any) -> TypeAdapter[Any]:
    from pydantic import ConfigDict, PydanticUserError, TypeAdapter

    try:
        # A class pydantic does not know (a DataFrame) is checked by isinstance, never copied.
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # a model or dataclass brings its own configuration
        return TypeAdapter(hint)


def _hints(fn: Callable[..., Any]) -> dict[str, Any]:
    """The hints that can be told; those that name what is not there are left out."""
    target = fn if hasattr(fn, "__annotations__") else type(fn).__call__
    if not getattr(target, "__annotations__", None):
        return {}
    try:
        return get_type_hints(target, include_extras=True)
    except Exception:
        known = target.__annotations__.items()
        return {name: hint for name, hint in known if not isinstance(hint, str)}


def _spell(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and hint.__module__ == "builtins" else str(hint)

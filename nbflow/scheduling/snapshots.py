"""Where others find a flow's code: in its file, or else in a sealed copy of the flow itself."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from nbflow.errors import NotPicklable
from nbflow.model.deployments import DeploymentSpec
from nbflow.model.specs import FlowSpec, Spec
from nbflow.results.sealing import purpose_of, seal_value

_MOST_BYTES = 64 << 20


def script_target(spec: FlowSpec) -> str | None:
    """`/path/file.py:flow` by which the flow is found again in its file; None: it is in none.

    Not those of cells, nor those that importing the file would not make again: of functions'
    bodies, or made under `if __name__ == "__main__":`. Modules of a package are not read as files,
    because their relative imports would fail.
    """
    module = sys.modules.get(getattr(spec.fn, "__module__", None) or "")
    path = getattr(module, "__file__", None)
    if module is None or path is None or getattr(module, "__package__", None):
        return None
    path = os.path.abspath(path)
    if not path.endswith(".py") or not os.path.isfile(path):
        return None
    bound = _names_bound_on_import(path)
    names = [key for key, value in vars(module).items() if value is spec.owner and key in bound]
    return f"{path}:{names[0]}" if names else None


def sealed_flow(flow: Any, deployment: DeploymentSpec, folder: Path) -> bytes:
    """The flow with all it uses of its notebook or script, sealed for the deployment.

    Raises:
        NotPicklable: Something it uses cannot go; names it.
        ResultUnreadable, OSError: See `sealing.seal`.
    """
    try:
        sealed = seal_value(purpose_of(deployment), flow, folder)
    except OSError:
        raise
    except Exception as error:
        if not _fails(flow):  # it was the key, not the flow
            raise
        raise NotPicklable(_why(flow.spec, error)) from error
    if len(sealed) > _MOST_BYTES:
        raise NotPicklable(_too_large(flow.spec, len(sealed)))
    return sealed


def _names_bound_on_import(path: str) -> set[str]:
    """Names that a file gives values to when it is imported, if it can be told."""
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()
    return {name for node in tree.body for name in _bound(node)}


def _bound(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    if isinstance(node, ast.Lambda) or (isinstance(node, ast.If) and _asks_for_main(node.test)):
        return
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).partition(".")[0]
    for child in ast.iter_child_nodes(node):
        yield from _bound(child)


def _asks_for_main(test: ast.expr) -> bool:
    names = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
    return "__name__" in names


def _why(spec: Spec, error: Exception) -> str:
    told = f"flow {spec.name!r} cannot be deployed: "
    found = _culprit(spec.fn, set())
    if found is not None:
        names, value = found
        through = "".join(f", used by {name!r}" for name in reversed(names[:-1]))
        return (
            f"{told}{names[-1]!r} ({type(value).__name__}){through} cannot be pickled: {error}; "
            "make it inside the flow, or in a function that the flow calls"
        )
    runner = getattr(spec, "task_runner", None)
    if runner is not None and _fails(runner):
        return f"{told}its task_runner ({type(runner).__name__}) cannot be pickled: {error}"
    return f"{told}{error}"


def _too_large(spec: Spec, size: int) -> str:
    sizes = {name: _size(value) for name, value in _used(spec.fn).items()}
    largest = max(sizes, key=lambda name: sizes[name], default="")
    which = f", most of it {largest!r}" if largest and sizes[largest] > size // 2 else ""
    return (
        f"flow {spec.name!r} cannot be deployed: with all it uses it takes {size >> 20} MB{which}; "
        f"up to {_MOST_BYTES >> 20} MB are kept. Load large data inside the flow"
    )


def _culprit(fn: Any, seen: set[int]) -> tuple[tuple[str, ...], Any] | None:
    """The names by which a function comes to what cannot be pickled, and that value."""
    seen.add(id(_function(fn)))
    failing = {name: value for name, value in _used(fn).items() if _fails(value)}
    for name, value in failing.items():
        inner = _function(value)
        if inner is None:
            return (name,), value
        if id(inner) not in seen:
            found = _culprit(inner, seen)
            if found is not None:
                return (name, *found[0]), found[1]
    return None


def _function(value: Any) -> FunctionType | None:
    """The function inside a task, a flow or a method; a function itself."""
    value = getattr(getattr(value, "spec", None), "fn", value)
    value = getattr(value, "__func__", value)
    return value if isinstance(value, FunctionType) else None


def _used(fn: Any) -> dict[str, Any]:
    """What a function takes from around it, by name: variables of closures, globals, defaults."""
    fn = _function(fn)
    if fn is None:
        return {}
    found: dict[str, Any] = {}
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not set yet
            continue
    for name in _global_names(fn.__code__):
        if name in fn.__globals__:
            found.setdefault(name, fn.__globals__[name])
    for n, value in enumerate(fn.__defaults__ or ()):
        found.setdefault(f"default {n + 1}", value)
    return {name: one for name, one in found.items() if not isinstance(one, ModuleType)}


def _global_names(code: CodeType) -> list[str]:
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names += _global_names(constant)
    return names


def _fails(value: Any) -> bool:
    return _size(value) < 0


def _size(value: Any) -> int:
    """Bytes of a value's pickle; -1: it has none."""
    import cloudpickle

    try:
        return len(cloudpickle.dumps(value, protocol=5))
    except Exception:
        return -1

"""Flows that live in Python files."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import os
import sys
from collections.abc import AsyncIterable, Mapping
from pathlib import Path
from typing import Any

from nbflow import wiring
from nbflow.engine.resumption import plain
from nbflow.errors import NbflowError
from nbflow.flows import Flow
from nbflow.model.ids import new_id
from nbflow.model.runs import Appointment
from nbflow.scheduling.handles import is_loading


def run_script(target: str, parameters: Mapping[str, Any]) -> Any:
    """Run a flow of a file, so that `nbflow resume` can go on from it; gives its value.

    Args:
        target: See `load_flow`.

    Raises:
        NbflowError: See `load_flow`.
        Exception: What importing the file raises, or the flow.
    """
    flow = load_flow(target)
    file, colon, name = target.partition(":")
    source = {
        "kind": "script",
        "target": f"{os.path.abspath(file)}{colon}{name}",
        "folder": os.getcwd(),
        "parameters": plain(parameters),
    }
    run = Appointment(run_id=new_id(), name="", is_resumable=True, source=source)
    return run_as(run, flow, parameters)


def run_as(run: Appointment, flow: Flow[..., Any], parameters: Mapping[str, Any]) -> Any:
    """Run a flow to its end as the run that was asked for; gives its value. Blocks.

    Of a flow that yields a list of the items is given. It has a run of its own.
    """
    engine, given = wiring.current().engine, dict(parameters)
    if flow.spec.colour.yields:
        items = flow(**given)
        return _awaited(_collect(items)) if flow.spec.colour.is_async else list(items)
    answer = engine.call(flow.newest_spec, (), given, appointment=run)
    return _awaited(answer) if inspect.iscoroutine(answer) else answer


def _awaited(coroutine: Any) -> Any:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    return wiring.current().engine.loop.run(coroutine)  # in a notebook


async def _collect(items: AsyncIterable[Any]) -> list[Any]:
    return [item async for item in items]


def load_flow(target: str) -> Flow[..., Any]:
    """The flow named by `path/to/file.py:flow_name`; the name may be left out if there is one flow.

    The file is imported, so what it does under `if __name__ == "__main__":` is not done.

    Raises:
        NbflowError: There is no such file or flow, with those there are.
        Exception: Whatever importing the file raises.
    """
    file, _, name = target.partition(":")
    path = Path(file)
    if not path.is_file():
        what = "is a folder; give a notebook or file.py:flow" if path.is_dir() else "does not exist"
        raise NbflowError(f"{path} {what}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise NbflowError(f"{path} is not a Python file; give `file.py:flow` or a notebook")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    folder = str(path.parent.resolve())
    if folder not in sys.path:  # a kernel may load it for each run
        sys.path.insert(0, folder)  # as `python file.py` would
    token = is_loading.set(True)
    try:
        spec.loader.exec_module(module)
    finally:
        is_loading.reset(token)
    flows = {key: value for key, value in vars(module).items() if isinstance(value, Flow)}
    if not name and len(flows) == 1:
        return next(iter(flows.values()))
    if name not in flows:
        by_name = {flow.name: flow for flow in flows.values()}
        if name in by_name:
            return by_name[name]
        if not flows:
            raise NbflowError(f"{path} has no flow; put @flow above a function")
        asked = f"has no flow {name!r}; it has" if name else "has several flows; say which"
        raise NbflowError(f"{path} {asked}: {', '.join(flows)}")
    return flows[name]

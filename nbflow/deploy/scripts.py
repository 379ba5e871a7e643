"""Flows that live in Python files."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from nbflow.errors import NbflowError
from nbflow.flows import Flow


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
    sys.path.insert(0, str(path.parent.resolve()))  # as `python file.py` would
    spec.loader.exec_module(module)
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

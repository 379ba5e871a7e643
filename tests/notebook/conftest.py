"""One kernel for a module's tests: a kernel costs a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.notebook.kernels import Kernel

PRELUDE = """
%load_ext nbflow
import asyncio, logging, os, sys, threading, time
import nbflow
from nbflow import flow, task

def log(run, *columns):
    frame = nbflow.logs(run)
    return [tuple(row) for row in frame[list(columns or ["message"])].values.tolist()]

def newest(of):
    return nbflow.runs(name=of).head(1).to_dict('records')[0]

@task
def increment(x):
    return x + 1
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel with nbflow loaded and a few names; tests use names of their own."""
    kernel = Kernel(tmp_path_factory.mktemp("kernel"))
    try:
        loaded = kernel.run(PRELUDE)
        assert loaded.error is None, loaded.error
        yield kernel
    finally:
        kernel.close()

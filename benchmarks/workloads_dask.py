"""Dask's side: the same graphs through `dask.get`, the threaded scheduler and `dask.delayed`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import dask
import dask.threaded

from benchmarks import measuring
from benchmarks.measuring import Measured, noop, per_item

_N_WORKERS = 4
#: A graph as dask documents it: key -> (function, argument, ...), where an argument may be a key.
Graph = dict[str, tuple[Any, ...]]
#: Carries out a graph and gives the values of some keys.
Run = Callable[[Graph, list[str]], Any]


def workloads(contender: str) -> dict[str, Callable[[], Measured]]:
    """Every workload by the name it has in `rows`, on the scheduler the contender is named for."""
    run = {"dask.get": dask.get, "dask threads": _threaded, "dask.delayed": _delayed}[contender]
    return {
        "import": lambda: measuring.above_bare("import dask", 10),
        "task_call": partial(task_call, run),
        "map_1000": partial(fanout, run, 1_000),
        "fanout_10k": partial(fanout, run, 10_000),
        "diamond": partial(diamond, run),
        "chain": partial(chain, run),
        "linearity": partial(linearity, run),
    }


def _threaded(graph: Graph, keys: list[str]) -> Any:
    return dask.threaded.get(graph, keys, num_workers=_N_WORKERS)


def _delayed(graph: Graph, keys: list[str]) -> Any:
    """Build the graph with `dask.delayed`, key by key, then compute it on threads."""
    function = dask.delayed(noop)
    built: dict[str, Any] = {}

    def one(argument: Any) -> Any:
        if isinstance(argument, list):
            return [built[key] for key in argument]
        return built[argument] if isinstance(argument, str) else argument

    for key, (_, *arguments) in graph.items():
        built[key] = function(*map(one, arguments))
    return dask.compute(*[built[key] for key in keys], scheduler="threads", num_workers=_N_WORKERS)


def task_call(run: Run) -> float:
    run({"a": (noop, 0)}, ["a"])
    return per_item(500, lambda: [run({"a": (noop, i)}, ["a"]) for i in range(500)])


def _fan_out(run: Run, n: int) -> Any:
    graph: Graph = {f"n{i}": (noop, i) for i in range(n)}
    return run(graph, list(graph))


def fanout(run: Run, n: int) -> float:
    _fan_out(run, 100)
    return per_item(n, lambda: _fan_out(run, n))


def diamond(run: Run) -> float:
    def build_and_run() -> None:
        graph: Graph = {"join0": (noop, 0)}
        for layer in range(100):
            keys = [f"n{layer}-{i}" for i in range(100)]
            graph.update((key, (noop, f"join{layer}")) for key in keys)
            graph[f"join{layer + 1}"] = (noop, keys)
        run(graph, ["join100"])

    _fan_out(run, 100)
    return per_item(10_101, build_and_run)


def chain(run: Run) -> float:
    def build_and_run() -> None:
        graph: Graph = {"n0": (noop, 0)}
        graph.update((f"n{i}", (noop, f"n{i - 1}")) for i in range(1, 500))
        run(graph, ["n499"])

    _fan_out(run, 100)
    return per_item(500, build_and_run)


def linearity(run: Run) -> float:
    _fan_out(run, 100)
    small = per_item(1, lambda: _fan_out(run, 10_000))
    return per_item(1, lambda: _fan_out(run, 100_000)) / small

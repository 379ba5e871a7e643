"""State that is no variable of the notebook, but decides what its cells do and show.

Settings (display options, rcParams, warning filters ...) are part of every cell's key, and a cell
that changes one is run, not remembered: that is quick. Random generators are part of the key of
the cells that use them, and what such a cell leaves them in is part of its outcome.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import decimal
import hashlib
import importlib
import locale
import os
import random
import sys
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType
from typing import Any, Self

from nbflow.results.fingerprint import fingerprint

#: The libraries that hold settings; the first cell that loads one of them is run.
_LIBRARIES = ("numpy", "pandas", "matplotlib", "matplotlib.pyplot", "polars")


def settings(more: Mapping[str, Callable[[], object]] = {}) -> dict[str, str]:
    """A digest of each group of settings as it is now; of libraries, only of those loaded.

    Args:
        more: Further groups, each a function whose result's `repr` tells what is set.
    """
    probes = {**_PROBES, **more}
    found = {}
    for name, probe in probes.items():
        told = repr(probe())
        found[name] = hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=8).hexdigest()
    return found


def set_by_tasks() -> dict[str, object]:
    """The settings that a task may make for later ones; not those that importing makes.

    Not the warning filters: libraries set them for a moment, in other threads.
    """
    found: dict[str, object] = {"path": list(sys.path), "locale": _locale(), "logging": _levels()}
    found |= {"recursion": sys.getrecursionlimit(), "builtins": len(vars(builtins))}
    for name, probe in (("pandas", _pandas), ("matplotlib", _matplotlib)):
        if name in sys.modules:
            found[name] = probe()
    return found


def _levels() -> object:
    import logging

    loggers = logging.root.manager.loggerDict.values()
    named = sum(logger.level for logger in loggers if isinstance(logger, logging.Logger))
    return logging.root.level, len(logging.root.handlers), logging.root.manager.disable, named


def _loaded() -> tuple[str, ...]:
    return tuple(name for name in _LIBRARIES if name in sys.modules)


def load_first(source: str) -> None:
    """Load the libraries with settings that a cell begins with importing, before it is looked at.

    Then loading them is no change of settings that the cell makes, and it can be remembered.
    """
    for statement in ast.parse(source).body:
        match statement:
            case ast.Import(names=aliases):
                wanted = [alias.name for alias in aliases]
            case ast.ImportFrom(module=str(module), level=0):
                wanted = [module]
            case ast.Expr(value=ast.Constant()):
                continue
            case _:
                return
        for name in wanted:
            if name.partition(".")[0] in _LIBRARIES and name not in sys.modules:
                with contextlib.suppress(Exception):  # the cell will say so itself
                    importlib.import_module(name)


def _warning_filters() -> object:
    import warnings

    def text(pattern: Any) -> Any:
        return getattr(pattern, "pattern", pattern)

    found = [(f[0], text(f[1]), f[2], text(f[3]), f[4]) for f in warnings.filters]
    # numpy's own come with its import, which may be ours.
    return [
        one
        for one in found
        if not str(one[1]).endswith(" size changed") and not one[2].__module__.startswith("numpy")
    ]


def working_directory() -> str:
    """The working directory; empty if it is gone."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def _numpy() -> object:
    np = sys.modules.get("numpy")
    return np and (np.get_printoptions(), np.geterr())


def _pandas() -> object:
    pd = sys.modules.get("pandas")
    options = getattr(pd, "options", None)
    return options and repr(options.d)


def _matplotlib() -> object:
    library = sys.modules.get("matplotlib")
    params = getattr(library, "rcParams", None)
    # The plain dict's items: asking rcParams itself for the backend would choose one.
    return params and [item for item in dict.items(params) if item[0] != "backend"]


def _open_figures() -> object:
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    return sorted(helpers.Gcf.figs) if helpers is not None else []


def figures_are_open() -> bool:
    """Whether pyplot has figures that the next plotting call would draw on."""
    return bool(_open_figures())


def _locale() -> object:
    return locale.setlocale(locale.LC_ALL)


def _logging() -> object:
    import logging

    root = logging.getLogger()
    return root.level, root.manager.disable, [type(handler).__name__ for handler in root.handlers]


_PROBES: dict[str, Callable[[], object]] = {
    "which libraries are loaded": _loaded,
    "the working directory": working_directory,
    "the import path": lambda: sys.path,
    "the environment variables": lambda: sorted(environment().items()),
    "the warning filters": _warning_filters,
    "numpy's options": _numpy,
    "pandas' options": _pandas,
    "matplotlib's rcParams": _matplotlib,
    "the open figures": _open_figures,
    "the decimal context": decimal.getcontext,
    "the locale": _locale,
    "the logging set-up": _logging,
    "the recursion limit": sys.getrecursionlimit,
}
#: Settings of libraries, which concern cells that use these libraries.
_OF_NUMPY = frozenset({"numpy's options"})
_OF_OTHERS = frozenset({"pandas' options", "matplotlib's rcParams", "how figures are displayed"})
_NOT_KEYED = frozenset({
    "which libraries are loaded",
    "the import path",
    "the environment variables",
    "the working directory",
})  # fmt: skip


def keyed(groups: Iterable[str], packages: set[str]) -> set[str]:
    """The groups of settings that decide what a cell does or shows that uses these packages.

    The others are only watched for changes: nbflow itself may have loaded pandas, say.
    """
    foreign = packages - sys.stdlib_module_names - {"__main__", "nbflow"}
    left_out = set(_NOT_KEYED)
    if not foreign:
        left_out |= _OF_NUMPY
    if foreign <= {"numpy"}:
        left_out |= _OF_OTHERS
    return set(groups) - left_out


# --- the environment ----------------------------------------------------------------------------

_VOLATILE = ("NBFLOW_", "JPY_", "PYTEST_", "KERNEL_", "PYTHONHASHSEED", "SHLVL", "OLDPWD", "_")


def environment() -> dict[str, str]:
    """The environment variables that a cell may have read."""
    return {k: v for k, v in os.environ.items() if not k.startswith(_VOLATILE)}


# --- random generators ----------------------------------------------------------------------------


def _numpy_random() -> Any:
    module = sys.modules.get("numpy.random")
    return None if module is None else module.get_state(legacy=False)


def _set_numpy_random(state: Any) -> None:
    import numpy as np

    np.random.set_state(state)  # noqa: NPY002  (it is the state of the legacy functions)


_GENERATORS: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {
    "random": (random.getstate, random.setstate),
    "numpy.random": (_numpy_random, _set_numpy_random),
}


def generators() -> dict[str, Any]:
    """The states of the process-wide random generators that are loaded."""
    states = {name: get() for name, (get, _) in _GENERATORS.items()}
    return {name: state for name, state in states.items() if state is not None}


def generator_digest(name: str) -> str:
    """A digest of one generator's state as it is now; empty: it is not loaded."""
    state = _GENERATORS[name][0]()
    return "" if state is None else fingerprint(state)


def changed_generators(before: Mapping[str, Any]) -> dict[str, Any]:
    """The states of those generators that are no longer in the state they were in."""
    now = generators()
    return {
        name: state
        for name, state in now.items()
        if name in before and fingerprint(state) != fingerprint(before[name])
    }


def set_generator(name: str, state: Any) -> None:
    """Put a generator into a state."""
    _GENERATORS[name][1](state)


class Seeding:
    """Notices that a generator is seeded with a value before anything is drawn from it.

    What such a cell draws does not depend on the state before it.
    """

    def __init__(self) -> None:
        self.seeded: set[str] = set()
        self._undo: list[tuple[Any, Any]] = []

    def __enter__(self) -> Self:
        self._watch("random", random)
        module = sys.modules.get("numpy.random")
        if module is not None:
            self._watch("numpy.random", module)
        return self

    def __exit__(self, *_: object) -> None:
        for module, inner in self._undo:
            module.seed = inner

    def release(self, namespace: dict[str, Any]) -> None:
        """Where a cell has imported one of the watched functions, put the real one."""
        for name, value in list(namespace.items()):
            if type(value) is FunctionType and "_nbflow_inner" in value.__dict__:
                namespace[name] = value.__dict__["_nbflow_inner"]

    def _watch(self, name: str, module: Any) -> None:
        inner, begun = module.seed, _GENERATORS[name][0]()
        first = [True]

        def seed(*args: Any, **kwargs: Any) -> Any:
            given = [*args, *kwargs.values()]
            is_fixed = bool(given) and isinstance(given[0], int | str | float | bytes)
            if first and is_fixed and fingerprint(_GENERATORS[name][0]()) == fingerprint(begun):
                self.seeded.add(name)
            first.clear()
            return inner(*args, **kwargs)

        seed._nbflow_inner = inner  # type: ignore[attr-defined]
        self._undo.append((module, inner))
        module.seed = seed

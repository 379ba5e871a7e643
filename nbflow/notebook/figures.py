"""Figures that scheduled runs draw with pyplot: they are closed with their run.

Open figures belong to the process, and the inline backend shows them all when a cell ends.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_PYPLOT = "matplotlib.pyplot"
#: The figures that the run at hand has made so far; None: the code at hand is no such run.
_made: ContextVar[list[Any] | None] = ContextVar("nbflow_made_figures", default=None)


@contextmanager
def own_figures() -> Iterator[None]:
    """Close the figures that the code inside the block makes, in other threads too."""
    made: list[Any] = []
    token = _made.set(made)
    is_first = not _watch()
    try:
        yield
    finally:
        _made.reset(token)
        if is_first and _watch():  # the run has imported it
            from matplotlib import _pylab_helpers

            made += [one.canvas.figure for one in _pylab_helpers.Gcf.get_all_fig_managers()]
        for figure in made:
            sys.modules[_PYPLOT].close(figure)


def unwatch() -> None:
    """Leave pyplot as it was."""
    pyplot = sys.modules.get(_PYPLOT)
    inner = getattr(getattr(pyplot, "figure", None), "_nbflow_inner", None)
    if pyplot is not None and inner is not None:
        pyplot.figure = inner  # type: ignore[attr-defined]


def _watch() -> bool:
    """Take note of the figures that are made from now on; gives whether pyplot is there."""
    pyplot = sys.modules.get(_PYPLOT)
    inner = getattr(pyplot, "figure", None)
    if pyplot is None or inner is None:
        return False
    if not hasattr(inner, "_nbflow_inner"):

        @functools.wraps(inner)
        def figure(*args: Any, **kwargs: Any) -> Any:
            found = inner(*args, **kwargs)
            made = _made.get()
            if made is not None and not any(one is found for one in made):
                made.append(found)
            return found

        figure._nbflow_inner = inner  # type: ignore[attr-defined]
        pyplot.figure = figure  # type: ignore[attr-defined]
    return True

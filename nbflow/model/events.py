"""Facts about runs, as they are published on the bus."""

from __future__ import annotations

from typing import NamedTuple

from nbflow.model.runs import Run
from nbflow.model.states import State

# Named tuples and not dataclasses: three are made for every task run, at a quarter of the cost.


class RunCreated(NamedTuple):
    """A run exists, in its first state: whoever looks at `run` later finds it in another."""

    run: Run
    state: State


class StateChanged(NamedTuple):
    """A run entered `state`."""

    run: Run
    state: State


class LogEmitted(NamedTuple):
    """A run said something.

    Attributes:
        level: A level of `logging`, such as 20 for INFO.
        at: Seconds since the epoch.
        echo: Whether the console shows it; False where the text reached the screen by itself.
    """

    run: Run
    level: int
    logger: str
    message: str
    at: float
    echo: bool


Event = RunCreated | StateChanged | LogEmitted

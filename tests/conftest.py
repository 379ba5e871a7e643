"""Every test gets a store of its own, and leaves no thread of nbflow's behind."""

from __future__ import annotations

import asyncio
import functools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbflow import wiring
from nbflow.flows import Flow
from nbflow.model.events import Event, LogEmitted, StateChanged
from nbflow.model.runs import Run
from nbflow.tasks import Task

# A shell starts background jobs with SIGINT ignored, and so would be every child of the tests.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The store's folder, empty; runs of the test go there."""
    folder = tmp_path / "nbflow-home"
    monkeypatch.setenv("NBFLOW_HOME", str(folder))
    monkeypatch.delenv("NBFLOW_PARENT_RUN", raising=False)
    wiring.close(wait=False)
    yield folder
    wiring.close(wait=False)


class Recorder:
    """Everything that was published, in order."""

    def __init__(self) -> None:
        self.all: list[Event] = []

    def names(self, run: str | Run | None = None) -> list[str]:
        """Names of the states entered: by every run, or by the run of this name."""
        wanted = run.name if isinstance(run, Run) else run
        return [
            event.state.name
            for event in self.all
            if isinstance(event, StateChanged) and wanted in (None, event.run.name)
        ]

    def messages(self) -> list[str]:
        """Text of every log line."""
        return [event.message for event in self.all if isinstance(event, LogEmitted)]

    def runs(self) -> list[Run]:
        """Every run once, in order of appearance."""
        return list({event.run.id: event.run for event in self.all}.values())


@pytest.fixture
def events() -> Recorder:
    """A recorder on the bus of the test's wiring."""
    recorder = Recorder()
    wiring.current().bus.subscribe(recorder.all.append)
    return recorder


class Colour:
    """Writes a test once for functions and for coroutine functions."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async

    def fn(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """`plain`, as a coroutine function where the colour says so."""
        if not self.is_async:
            return plain

        @functools.wraps(plain)
        async def coloured(*args: Any, **kwargs: Any) -> Any:
            return plain(*args, **kwargs)

        return coloured

    def task(self, plain: Callable[..., Any], **options: Any) -> Task[..., Any]:
        return Task(self.fn(plain), **options)

    def flow(self, plain: Callable[..., Any], **options: Any) -> Flow[..., Any]:
        return Flow(self.fn(plain), **options)

    def run(self, called: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call it, and await what it gives where that is to be awaited."""
        answer = called(*args, **kwargs)
        return asyncio.run(answer) if asyncio.iscoroutine(answer) else answer


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> Colour:
    """Both colours: what holds for one has to hold for the other."""
    return Colour(request.param)

"""Every test gets a store of its own, and leaves no thread of nbflow's behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nbflow import wiring
from nbflow.model.events import Event, LogEmitted, StateChanged
from nbflow.model.runs import Run


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

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nbflow.results.results import Results
from nbflow.store.store import Store


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    """A store that says so when it cannot be used."""
    opened = Store(home, may_fall_back=False)
    yield opened
    opened.close()


@pytest.fixture
def results(store: Store) -> Results:
    return Results(store)

"""One warm process per worker; every notebook run is a fork of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.notebook.replay.runner import COLD, Template


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    """Warm: numpy, pandas and pyplot are imported already."""
    template = Template(tmp_path_factory.mktemp("template"))
    yield template
    template.close()


@pytest.fixture(scope="session")
def cold_template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    """As a kernel is at its start."""
    template = Template(tmp_path_factory.mktemp("cold"), *COLD)
    yield template
    template.close()


@pytest.fixture(scope="session")
def other_hashes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    """Warm, and strings have other hashes."""
    template = Template(tmp_path_factory.mktemp("other"), hash_seed=4242)
    yield template
    template.close()

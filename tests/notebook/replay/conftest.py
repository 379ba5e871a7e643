"""One warm process per worker; every notebook run is a fork of it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.notebook.replay.runner import COLD, Template


def _template(folder: str, *modules: str, hash_seed: int = 0) -> Iterator[Template]:
    before = os.environ.get("NBFLOW_HOME")
    os.environ["NBFLOW_HOME"] = folder
    try:
        template = Template(*modules, hash_seed=hash_seed)
    finally:
        if before is None:
            del os.environ["NBFLOW_HOME"]
        else:
            os.environ["NBFLOW_HOME"] = before
    yield template
    template.close()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    """Warm: numpy, pandas and pyplot are imported already."""
    yield from _template(str(tmp_path_factory.mktemp("template")))


@pytest.fixture(scope="session")
def cold_template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    """As a kernel is at its start."""
    yield from _template(str(tmp_path_factory.mktemp("cold")), *COLD)


@pytest.fixture(scope="session")
def other_hashes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    """Warm, and strings have other hashes."""
    yield from _template(str(tmp_path_factory.mktemp("other")), hash_seed=4242)

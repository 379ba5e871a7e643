"""What importing nbflow costs, and which way its imports point."""

from __future__ import annotations

import subprocess
import sys

import grimp
import pytest

HEAVY = (
    "pandas", "numpy", "nbformat", "nbclient", "jupyter_server", "pydantic", "ipywidgets",
    "anywidget", "typer", "rich", "dask", "cloudpickle", "loky",
)  # fmt: skip


def _loaded_by(code: str) -> set[str]:
    """Top-level modules that running `code` loads, beyond those of a bare interpreter."""
    script = f"{code}\nimport sys; print('\\n'.join(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(answer.stdout.split())


def test_import_nbflow_loads_nothing_heavy():
    assert _loaded_by("import nbflow").isdisjoint((*HEAVY, "IPython", "sqlite3", "asyncio"))


def test_flows_and_tasks_load_nothing_heavy():
    assert _loaded_by("from nbflow import flow, task").isdisjoint((*HEAVY, "IPython"))


def test_load_ext_loads_nothing_heavy_and_starts_no_thread():
    code = (
        "from IPython.core.interactiveshell import InteractiveShell as S\n"
        "import sys, threading\n"
        "shell = S.instance(); before = set(sys.modules)\n"
        "shell.run_line_magic('load_ext', 'nbflow')\n"
        "assert threading.active_count() == 1 or all(\n"
        "    'nbflow' not in t.name for t in threading.enumerate())\n"
        "print(*(set(sys.modules) - before), sep='\\n'); raise SystemExit"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert set(answer.stdout.split()).isdisjoint(HEAVY)


def test_no_module_imports_itself_in_a_circle_hidden_imports_included():
    graph = grimp.build_graph("nbflow", exclude_type_checking_imports=True)

    circles = {
        tuple(sorted((module, other)))
        for module in graph.modules
        for other in graph.find_modules_directly_imported_by(module)
        if graph.chain_exists(importer=other, imported=module)
    }

    assert circles == set()


@pytest.mark.parametrize("name", ["flow", "task", "State", "runs", "get_run_logger", "cell"])
def test_public_names_are_there(name):
    import nbflow

    assert name in nbflow.__all__
    assert getattr(nbflow, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    import nbflow

    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        nbflow.nothing_of_the_kind

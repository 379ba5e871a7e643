"""Putting nbflow into a shell and taking it out again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebook.conftest import PRELUDE
from tests.notebook.kernels import Kernel

# What loading changes; every value has to be as before when nbflow is out of the shell again.
STATE = """
import builtins, logging, sys, threading
import IPython.core.displaypub, IPython.utils.capture
def state_of_shell():
    ip = get_ipython()
    return (
        type(sys.stdout), type(sys.stderr), "write" in vars(sys.stdout),
        builtins.print, threading.Thread.start,
        logging.getLogRecordFactory(), logging.Logger.callHandlers,
        IPython.utils.capture.StringIO, IPython.core.displaypub.CapturingDisplayPublisher,
        vars(ip.display_pub).get("publish"),
        [sorted(names) for names in ip.magics_manager.magics.values()],
        sorted(ip.magics_manager.registry),
        [len(callbacks) for callbacks in ip.events.callbacks.values()],
        list(ip.Completer.custom_matchers),
        {t.name for t in threading.enumerate() if t.name.startswith("nbflow")},
    )
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory):
    """A kernel without nbflow."""
    kernel = Kernel(tmp_path_factory.mktemp("bare"))
    try:
        kernel.run("%load_ext storemagic")  # IPython registers its magics for extensions first
        kernel.run(STATE)
        yield kernel
    finally:
        kernel.close()


def test_unloading_undoes_everything(bare: Kernel):
    bare.run("before = state_of_shell()")
    bare.run("%load_ext nbflow")
    bare.run("import nbflow, logging, threading")
    assert bare.literal("state_of_shell() != before")
    bare.run("@nbflow.task\ndef one(): return 1")
    bare.run("%%task here\nprint(1)\nthreading.Thread(target=print).start()\nlogging.warning('x')")
    bare.run("%%flow\nnbflow.cell('here')()\none.submit().result()")
    bare.run("%%task\nimport asyncio\nawait asyncio.sleep(0)")

    bare.run("%unload_ext nbflow")

    assert bare.literal("[(a, b) for a, b in zip(before, state_of_shell()) if a != b]") == []
    assert "Cell magic `%%task` not found" in bare.run("%%task\n1").text()


def test_flows_run_without_the_extension_as_in_a_script(bare: Kernel):
    cell = bare.run("import nbflow\n@nbflow.flow\ndef plain(): return 3\nplain()")

    assert cell.value == "3"
    assert "for flow 'plain'" in cell.text("stderr")
    assert cell.displays() == []


def test_the_cell_that_loads_may_run_a_flow(bare: Kernel):
    cell = bare.run("%load_ext nbflow\nimport nbflow\n@nbflow.flow\ndef early(): return 3\nearly()")
    bare.run("%unload_ext nbflow")

    assert cell.text() == ""
    assert cell.displays()[0].startswith("✔ early ")


def test_loading_inside_a_capture_block_watches_the_cells_after_it(bare: Kernel):
    bare.run("%%capture\n%load_ext nbflow\nimport nbflow")

    cell = bare.run("%%task watched\nprint('seen')")

    assert cell.text() == "seen\n"
    assert bare.literal("list(nbflow.logs('watched-0')['message'])") == ["seen"]
    bare.run("%unload_ext nbflow")


def test_loading_twice_is_told_and_harmless(kernel: Kernel):
    again = kernel.run("%load_ext nbflow")

    assert "already loaded" in again.text()
    assert len(kernel.run("%%task once\n1;").displays()) == 1


def test_reloading_shows_each_run_once(kernel: Kernel):
    for _ in range(3):
        assert kernel.run("%reload_ext nbflow").error is None

    cell = kernel.run("%%task reloaded\nprint('line')\nnbflow.get_run_logger().info('said')")

    assert len(cell.displays()) == 1
    assert cell.text().count("line\n") == cell.text().count("said\n") == 1
    assert kernel.literal("log('reloaded-0')") == [("line",), ("said",)]


def test_reloading_with_a_run_in_flight_loses_nothing(kernel: Kernel):
    kernel.run(
        "gate = threading.Event()\n"
        "@task\ndef slow():\n    gate.wait()\n    print('late')\n    return 42"
    )
    kernel.run("in_flight = slow.submit()")

    reloaded = kernel.run("%reload_ext nbflow")
    kernel.run("gate.set()")

    assert reloaded.error is None
    assert kernel.literal("in_flight.result(timeout=10)") == 42
    assert kernel.literal("newest('slow')['state']") == "Completed"
    assert kernel.literal("log('slow-0')") == [("late",)]


def test_unloading_with_a_run_in_flight_lets_it_end(kernel: Kernel):
    kernel.run("gate2 = threading.Event()\n@task\ndef slow2():\n    gate2.wait()\n    return 43")
    kernel.run("in_flight = slow2.submit()")

    kernel.run("%unload_ext nbflow")
    kernel.run("gate2.set()")

    assert kernel.literal("in_flight.result(timeout=10)") == 43
    kernel.run(PRELUDE)
    assert kernel.literal("newest('slow2')['state']") == "Completed"


# --- completion -----------------------------------------------------------------------------------


def test_options_are_completed(kernel: Kernel):
    assert kernel.complete("%%task --ret") == ["--retries", "--retry-delay"]
    assert kernel.complete("%%task load --out") == ["--outputs"]
    assert kernel.complete("%%flow --l") == ["--log-prints"]
    assert kernel.complete("%nbflow --") == ["--limit"]


def test_names_are_completed_where_an_option_takes_some(kernel: Kernel):
    kernel.run("%%task fetch_all --quiet\nmy_table, my_other = 1, 2")

    assert kernel.complete("%%task x --after fetch_") == ["fetch_all"]
    assert kernel.complete("%%task x --inputs my_table,my_o") == ["my_other"]
    assert kernel.complete("%%task x --outputs my_t") == ["my_table"]
    assert kernel.complete("%%task fetch_") == ["fetch_all"]


def test_verbs_and_runs_are_completed(kernel: Kernel):
    kernel.run("%%task logged_cell --quiet\n1;")

    assert kernel.complete("%nbflow ca") == ["cache", "cancel"]
    assert kernel.complete("%nbflow logs logged_c") == ["logged_cell-0"]


def test_the_body_of_a_cell_is_completed_as_ever(kernel: Kernel):
    kernel.run("some_long_name = 1")

    assert "some_long_name" in kernel.complete("%%task --retries 3\nsome_lon")


# --- autoreload -----------------------------------------------------------------------------------


def test_autoreload_runs_the_new_code_of_an_imported_task(kernel: Kernel, tmp_path: Path):
    module = tmp_path / "edited_module.py"
    module.write_text("from nbflow import task\n\n@task\ndef versioned():\n    return 'old'\n")
    kernel.run(f"%load_ext autoreload\n%autoreload 2\nsys.path.insert(0, {str(tmp_path)!r})")
    kernel.run("from edited_module import versioned")
    assert kernel.literal("(versioned(), versioned.submit().result())") == ("old", "old")

    # Of another length: autoreload and the byte code cache may go by size and whole seconds.
    module.write_text("from nbflow import task\n\n@task\ndef versioned():\n    return 'changed'\n")

    assert kernel.literal("(versioned(), versioned.submit().result())") == ("changed", "changed")
    kernel.run("%autoreload 0")

"""`%%task`, `%%flow` and `%nbflow` as a person at the keyboard meets them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import pytest

from tests.notebook.kernels import Kernel

# --- names ----------------------------------------------------------------------------------------


def test_names_of_a_completed_cell_are_the_notebooks(kernel: Kernel):
    cell = kernel.run("%%task\nfirst_name = 1\nsecond_name = first_name + 1")

    assert cell.error is None
    assert kernel.literal("(first_name, second_name)") == (1, 2)


def test_a_failed_cell_leaves_no_name_behind_and_keeps_older_values(kernel: Kernel):
    kernel.run("kept = 'old'")

    cell = kernel.run("%%task\nkept = 'new'\ndel os\nleft = 5\n1 / 0")

    assert cell.error_name == "ZeroDivisionError"
    assert kernel.literal("(kept, 'left' in globals(), 'os' in globals())") == ("old", False, True)


def test_a_retry_runs_the_cell_again_without_the_names_of_the_failed_try(kernel: Kernel):
    kernel.run("seen_by_tries = []")

    cell = kernel.run(
        "%%task tried --retries 3\n"
        "seen_by_tries.append('half_done' in globals())\n"
        "half_done = 1\n"
        "if len(seen_by_tries) < 3: raise ValueError('flaky')"
    )

    assert cell.error is None
    assert kernel.literal("seen_by_tries") == [False, False, False]
    assert "✔ tried · Completed" in cell.displays()[0]
    assert "after 3 tries" in cell.displays()[0]
    assert kernel.literal("newest('tried')['tries']") == 3


def test_retry_delays_come_one_after_the_other(kernel: Kernel):
    cell = kernel.run("%%task delayed --retries 2 --retry-delay 0,0.2\n1 / 0")

    messages = kernel.run("%nbflow logs delayed-0").text()
    assert cell.error_name == "ZeroDivisionError"
    assert "retrying in 0.0 seconds (try 2 of 3)" in messages
    assert "retrying in 0.2 seconds (try 3 of 3)" in messages


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("frame_a = 1\nframe_b = 2", "frame_a"),
        ("import math\n\ndef clean(): ...", "clean"),
        ("class Model: ...", "Model"),
        ("annotated: int = 3", "annotated"),
        ("left_one, right_one = 1, 2", "left_one"),
    ],
)
def test_a_task_is_named_after_what_its_cell_assigns_first(kernel: Kernel, source: str, name: str):
    shown = kernel.run(f"%%task\n{source}").displays()

    assert shown[0].startswith(f"✔ {name} · Completed")


def test_a_given_name_is_used_and_a_cell_without_names_is_numbered(kernel: Kernel):
    assert kernel.run("%%task given\nx = 1").displays()[0].startswith("✔ given ·")
    assert re.match(r"✔ cell-\d+ ·", kernel.run("%%task\nprint()").displays()[0])


def test_outputs_names_all_that_is_kept(kernel: Kernel):
    kernel.run("scratch = 'before'")

    cell = kernel.run("%%task --outputs wanted\nscratch = 'after'\nspare = 1\nwanted = 2")

    assert cell.error is None
    assert kernel.literal("(wanted, scratch, 'spare' in globals())") == (2, "before", False)


def test_a_missing_output_fails_the_task_in_one_line(kernel: Kernel):
    cell = kernel.run("%%task --outputs here,there\nhere = 1")

    assert cell.error is not None
    assert cell.error.strip() == (
        "MissingOutput: the cell did not write there, named by --outputs; it writes here"
    )
    assert kernel.literal("'here' in globals()") is False


def test_functions_of_a_task_cell_see_helpers_that_are_redefined_later(kernel: Kernel):
    kernel.run("def helper(): return 'old'")
    kernel.run("%%task\ndef uses_helper(): return helper()")

    kernel.run("def helper(): return 'new'")

    assert kernel.literal("uses_helper()") == "new"


def test_magics_of_a_task_cell_act_on_the_notebook(kernel: Kernel):
    cell = kernel.run("%%task\n%env NBFLOW_TEST_WORD=hello\nlisted = !echo $NBFLOW_TEST_WORD")

    assert cell.error is None, cell.error
    assert kernel.literal("list(listed)") == ["hello"]


# --- the value of a cell --------------------------------------------------------------------------


def test_the_last_expression_is_the_cells_value(kernel: Kernel):
    cell = kernel.run("%%task\nvalued = 20\nvalued * 2")

    assert cell.value == "40"
    assert kernel.run("_ + 2").value == "42"


def test_a_semicolon_hides_the_value(kernel: Kernel):
    assert kernel.run("%%task\nvalued = 20\nvalued * 2;").value is None
    assert kernel.run("%%flow\nincrement(2);  # hidden").value is None


def test_a_cell_that_ends_with_a_statement_has_no_value(kernel: Kernel):
    assert kernel.run("%%task\n1 + 1\nlast = 3").value is None


def test_no_name_of_nbflows_is_left_in_the_notebook(kernel: Kernel):
    kernel.run("%%task\n40 + 2")

    assert kernel.literal("[n for n in globals() if n.startswith('_nbflow')]") == []


def test_an_empty_body_is_explained(kernel: Kernel):
    assert kernel.run("%%task").text().startswith("UsageError: %%task is a cell magic, but")
    assert kernel.run("%%task\n# nothing yet").error is None
    assert kernel.run("%flow").error is None  # the graph of the task cells


# --- await ----------------------------------------------------------------------------------------


def test_a_cell_may_await_at_top_level(kernel: Kernel):
    cell = kernel.run(
        "%%task awaits\n"
        "async def answer(): return 42\n"
        "awaited = await answer()\n"
        "print('awaited it')\n"
        "awaited"
    )

    assert (cell.value, cell.text()) == ("42", "awaited it\n")
    assert kernel.literal("(awaited, log('awaits-0'))") == (42, [("awaited it",)])


def test_an_awaiting_cell_that_fails_shows_its_own_line_and_leaves_no_name(kernel: Kernel):
    cell = kernel.run("%%task\nasync_left = 1\nawait asyncio.sleep(0)\n1 / 0")

    assert cell.error is not None
    assert "----> 4 1 / 0" in cell.error
    assert "nbflow" not in cell.error.replace("%%task", "")
    assert kernel.literal("'async_left' in globals()") is False


def test_an_awaiting_cell_has_a_timeout(kernel: Kernel):
    cell = kernel.run("%%task too_long --timeout 0.2\nawait asyncio.sleep(30)", timeout=10)

    assert cell.error_name == "RunTimedOut"
    assert cell.error is not None
    assert "exceeded its timeout of 0.2 seconds" in cell.error
    assert "File" not in cell.error


# --- what is shown --------------------------------------------------------------------------------


def test_what_a_cell_shows_is_under_it_and_in_its_log(kernel: Kernel):
    cell = kernel.run(
        "%%task shows\n"
        "print('printed')\n"
        "print('to stderr', file=sys.stderr)\n"
        "display({'dis': 'played'})\n"
        "!echo from the shell\n"
        "sys.stdout.write('without an end')"
    )

    under_cell = cell.text() + "".join(cell.displays())
    logged = kernel.literal("log('shows-0', 'logger', 'message')")
    for logger, text in (
        ("stdout", "printed"),
        ("stderr", "to stderr"),
        ("display", "{'dis': 'played'}"),
        ("stdout", "from the shell"),
        ("stdout", "without an end"),
    ):
        assert text in under_cell
        assert (logger, text) in logged
    assert len(logged) == 5


def test_threads_and_logging_of_a_cell_are_in_its_log_once(kernel: Kernel):
    cell = kernel.run(
        "%%task speaks\n"
        "def child():\n"
        "    print('from a thread')\n"
        "    logging.warning('warned in a thread')\n"
        "logging.warning('warned')\n"
        "thread = threading.Thread(target=child)\n"
        "thread.start(); thread.join()\n"
        "nbflow.get_run_logger().info('said to the run')"
    )

    logged = kernel.literal("log('speaks-0', 'level', 'message')")
    assert logged == [
        ("WARNING", "warned"),
        ("INFO", "from a thread"),
        ("WARNING", "warned in a thread"),
        ("INFO", "said to the run"),
    ]
    for _, message in logged:
        assert cell.text().count(f"{message}\n") == 1


def test_the_traceback_is_the_users_alone(kernel: Kernel):
    cell = kernel.run(
        "%%task failing --retries 1\ndef inner():\n    raise KeyError('gone')\ninner()"
    )

    assert cell.error is not None
    assert "# %%task failing --retries 1" in cell.error
    assert "----> 4 inner()" in cell.error
    assert "----> 3     raise KeyError('gone')" in cell.error
    assert "nbflow" not in cell.error
    assert "skipping hidden" not in cell.error


def test_a_tracebacks_own_frames_are_left_out_inside_a_flow_too(kernel: Kernel):
    kernel.run("%%task fails_below\n1 / 0")

    cell = kernel.run("%%flow\nnbflow.cell('fails_below')()")

    assert cell.error is not None
    assert "----> 2 nbflow.cell('fails_below')()" in cell.error
    assert "----> 2 1 / 0" in cell.error
    assert "site-packages" not in cell.error
    assert "/nbflow/" not in cell.error


def test_a_timeout_ends_a_sleeping_cell_at_the_line_it_slept_in(kernel: Kernel):
    cell = kernel.run("%%task sleeps --timeout 0.2\ntime.sleep(30)", timeout=10)

    assert cell.error is not None
    assert "----> 2 time.sleep(30)" in cell.error
    assert "/nbflow/" not in cell.error
    assert cell.displays()[0].startswith("⏱✖ sleeps · TimedOut")


def test_a_syntax_error_is_shown_short(kernel: Kernel):
    cell = kernel.run("%%task\nx = = 1")

    assert cell.error is not None
    assert "line 2\n    x = = 1\n        ^\nSyntaxError: invalid syntax" in cell.error
    assert "/nbflow/" not in cell.error
    assert cell.displays() == []


def test_a_status_line_is_left_out_when_asked_for_that_run_only(kernel: Kernel):
    assert kernel.run("%%task hushed --quiet\nx = 1").displays() == []
    assert kernel.run("%%flow --quiet\nincrement(1)").displays() == []
    assert len(kernel.run("@flow\ndef loud(): increment(1)\nloud()").displays()) == 1


def test_a_flow_called_in_a_plain_cell_has_one_status_line(kernel: Kernel):
    cell = kernel.run("@flow\ndef called(n): return [increment(i) for i in range(n)]\ncalled(3)")

    assert cell.value == "[1, 2, 3]"
    (shown,) = cell.displays()
    assert re.fullmatch(r"✔ called [a-z]+-[a-z]+ · Completed in \d+ ms · 3/3 tasks", shown)


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--retires 3", "unrecognized arguments: --retires 3; did you mean --retries?"),
        ("--retries x", "argument --retries: 'x' is not a whole number from 0 on"),
        ("--timeout 0", "argument --timeout: '0' is not a number of seconds above 0"),
        ("--timeout soon", "argument --timeout: 'soon' is not a number of seconds above 0"),
        ("--retry-delay 1,-2", "'1,-2' has a wait that is not 0 seconds or more"),
        ("--retry-delay a", "'a' is not seconds such as 10 or 1,2,4"),
        ("--inputs no_such_name", "needs no_such_name, which the notebook has not defined"),
        ("--after no_such_cell", "there is no task cell 'no_such_cell' in this notebook"),
    ],
)
def test_a_wrong_option_is_told_in_a_line_and_nothing_runs(kernel: Kernel, line: str, told: str):
    cell = kernel.run(f"%%task misused {line}\nran_anyway = 1")

    assert cell.text().startswith("UsageError: ")
    assert told in cell.text().splitlines()[0]
    assert kernel.literal("'ran_anyway' in globals()") is False


def test_help_names_every_option_and_runs_nothing(kernel: Kernel):
    cell = kernel.run("%%task --help\nran_for_help = 1")

    assert cell.text().startswith("Usage: %%task [--retries N]")
    for option in ("--retry-delay", "--timeout", "--after", "--inputs", "--outputs", "--quiet"):
        assert f"\n  {option}" in cell.text()
    assert kernel.literal("'ran_for_help' in globals()") is False


def test_tags_are_recorded(kernel: Kernel):
    kernel.run("%%task tagged --tags etl,daily\nx = 1")

    assert kernel.literal("sorted(newest('tagged')['tags'])") == ["daily", "etl"]


def test_inputs_are_what_the_cell_reads_or_what_is_declared(kernel: Kernel):
    kernel.run("amount, rate = 10, 3")

    kernel.run("%%task found\ntotal = amount * rate")
    kernel.run("%%task declared --inputs amount\ntotal = amount * rate")

    assert kernel.literal("newest('found')['inputs']") == {"amount": 10, "rate": 3}
    assert kernel.literal("newest('declared')['inputs']") == {"amount": 10}


def test_after_needs_a_completed_cell(kernel: Kernel):
    kernel.run("%%task not_begun --after nowhere\n1")
    kernel.run("%%task broken\n1 / 0")
    kernel.run("%%task finished\n1")

    for earlier, told in (("not_begun", "is not run; run"), ("broken", "is Failed; run")):
        cell = kernel.run(f"%%task later --after finished,{earlier}\nlater = 1")
        assert told in cell.text()
    assert kernel.run("%%task later --after finished\nlater = 1").error is None
    assert kernel.literal("later") == 1


# --- flows ----------------------------------------------------------------------------------------


def test_a_flow_cell_counts_its_tasks_and_is_their_parent(kernel: Kernel):
    kernel.run("%%task step_one\nhalfway = 20")
    kernel.run("%%task step_two\nwhole = halfway * 2")

    cell = kernel.run(
        "%%flow piped\nnbflow.cell('step_one')()\nnbflow.cell('step_two')()\nincrement(whole)"
    )

    assert cell.value == "41"
    (shown,) = cell.displays()
    assert shown.startswith("✔ piped ")
    assert shown.endswith(" · 3/3 tasks")
    assert kernel.literal(
        "[newest(of)['parent_id'] == newest('piped')['id'] for of in"
        " ('step_one', 'step_two', 'increment')]"
    ) == [True, True, True]


def test_a_failed_flow_keeps_the_names_of_its_completed_cells(kernel: Kernel):
    kernel.run("%%task writes_it --quiet\nwritten = len(globals())")
    kernel.run("del written")

    cell = kernel.run("%%flow\nnbflow.cell('writes_it')()\n1 / 0")

    assert cell.error is not None
    assert "----> 3 1 / 0" in cell.error
    assert "Failed" in cell.displays()[0]
    assert cell.displays()[0].endswith("1/1 task")
    assert kernel.literal("written > 0") is True


def test_a_flow_cell_waits_for_what_it_submits(kernel: Kernel):
    cell = kernel.run("%%flow\nfutures = [increment.submit(i) for i in range(5)]")

    assert cell.error is None
    assert cell.displays()[0].endswith("5/5 tasks")


def test_log_prints_of_a_flow_cell_are_log_lines(kernel: Kernel):
    cell = kernel.run("%%flow printing --log-prints\nprint('for the log')")

    assert re.fullmatch(
        r"[\d:.]+ \| INFO    \| Flow run '[a-z-]+' - for the log\n", cell.text("stdout")
    )
    assert kernel.literal("log(newest('printing')['name'])") == [("for the log",)]


def test_an_unknown_cell_is_told_with_those_there_are(kernel: Kernel):
    kernel.run("%%task known_cell --quiet\n1;")

    cell = kernel.run("nbflow.cell('knwon_cell')")

    assert cell.error is not None
    assert "there is no task cell 'knwon_cell'; there are: " in cell.error
    assert "known_cell" in cell.error


# --- ending a run ---------------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["time.sleep(60)", "await asyncio.sleep(60)", "while True: pass"])
def test_an_interrupt_cancels_the_cell_and_the_next_one_works(kernel: Kernel, body: str):
    cell = kernel.send(f"%%task stopped\nprint('begun', flush=True)\n{body}")
    kernel.wait_for_text(cell, "begun")

    kernel.interrupt()
    ended = kernel.wait(cell, timeout=5)

    assert ended.error == "KeyboardInterrupt: 'stopped' was cancelled"
    assert ended.displays()[0].startswith("⊘ stopped · Cancelled")
    assert kernel.run("%%task\n40 + 2").value == "42"


def test_an_interrupt_ends_what_a_flow_cell_submitted(kernel: Kernel):
    kernel.run("@task\ndef naps():\n    while True: time.sleep(0.01)")
    cell = kernel.send("%%flow\nnap = naps.submit()\nprint('begun', flush=True)\nnap.result()")
    kernel.wait_for_text(cell, "begun")

    kernel.interrupt()
    ended = kernel.wait(cell, timeout=5)

    assert ended.error == "KeyboardInterrupt: 'flow' was cancelled"
    assert kernel.literal("(nap.wait(5), nap.state.name)[1]") == "Cancelled"


@pytest.mark.parametrize(
    ("name", "body"), [("far", "time.sleep(60)"), ("far_async", "await asyncio.sleep(60)")]
)
def test_another_process_cancels_a_cell_within_a_second(kernel: Kernel, name: str, body: str):
    cell = kernel.send(f"%%task {name}\nprint('begun', flush=True)\n{body}")
    kernel.wait_for_text(cell, "begun")

    answer = subprocess.run(
        [sys.executable, "-m", "nbflow.cli.main", "cancel", f"{name}-0"],
        env={**os.environ, "NBFLOW_HOME": str(kernel.home)},
        capture_output=True,
        text=True,
        check=True,
    )
    asked = time.monotonic()
    ended = kernel.wait(cell, timeout=5)

    assert "cancel was asked for" in answer.stdout
    assert time.monotonic() - asked < 1
    assert ended.error_name == "CancelledRun"
    assert ended.displays()[0].startswith(f"⊘ {name} · Cancelled")


# --- looking back ---------------------------------------------------------------------------------


def test_nbflow_runs_lists_the_newest_run_first(kernel: Kernel):
    kernel.run("%%task listed_first\n1;")

    assert kernel.run("%nbflow").value is not None
    assert kernel.run("%nbflow runs listed_first").value is not None
    columns = "['name', 'kind', 'of', 'state', 'tries', 'seconds', 'started_at', 'message']"
    kernel.run("frame = %nbflow runs --limit 1")
    assert kernel.literal(f"(list(frame.columns) == {columns}, frame['name'][0])") == (
        True,
        "listed_first-0",
    )


def test_nbflow_logs_prints_whole_lines_of_the_newest_or_named_run(kernel: Kernel):
    kernel.run("%%task wordy\nprint('word ' * 100)")

    newest, named = kernel.run("%nbflow logs"), kernel.run("%nbflow logs wordy-0")

    assert newest.text() == named.text()
    assert ("word " * 100).rstrip() in newest.text()
    assert "Finished in state Completed()" in newest.text()


def test_nbflow_tasks_lists_the_cells(kernel: Kernel):
    kernel.run("%%task tabled\ntabled_out = 1")

    kernel.run("frame = %nbflow tasks")

    assert kernel.literal("tuple(frame.loc['tabled'][['state', 'writes']])") == (
        "Completed",
        "tabled_out",
    )
    assert "no task cell 'nope'" in kernel.run("%task nope").text()


def test_nbflow_cancel_ends_a_submitted_task(kernel: Kernel):
    kernel.run(
        "@task\ndef background():\n    while True: time.sleep(0.01)\nrunning = background.submit()"
    )

    asked = kernel.run("%nbflow cancel background-0")

    assert "Task run 'background-0': cancel was asked for\n" in asked.text()
    assert kernel.literal("(running.wait(5), running.state.name)[1]") == "Cancelled"
    again = kernel.run("%nbflow cancel background-0")
    assert again.text() == "Task run 'background-0' has ended already: Cancelled\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("logs no-such-run", "no run 'no-such-run' in"),
        ("cancel", "%nbflow cancel needs a run"),
        ("frobnicate", "invalid choice: 'frobnicate'"),
        ("--limt 3", "did you mean --limit?"),
    ],
)
def test_a_wrong_question_is_answered_in_a_line(kernel: Kernel, line: str, told: str):
    answer = kernel.run(f"%nbflow {line}").text()

    assert answer.startswith("UsageError: ")
    assert told in answer

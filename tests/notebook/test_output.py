"""Every line goes to the log of the run that wrote it, whatever else writes meanwhile."""

from __future__ import annotations

import re

import pytest

from tests.notebook.kernels import Kernel

CHATTY = """
@task
def chatty(word, n, start):
    start.wait()
    for i in range(n):
        print(word, i)
        if i % 100 == 0:
            time.sleep(0.001)
"""


def test_lines_of_background_runs_never_mix(kernel: Kernel):
    kernel.run(CHATTY)
    kernel.run(
        "start = threading.Event()\n"
        "first, second = chatty.submit('A', 1000, start), chatty.submit('B', 1000, start)"
    )

    cell = kernel.run(
        "%%task busy\nstart.set()\nfor i in range(1000): print('C', i)\nfirst.wait(); second.wait()"
    )

    assert cell.error is None
    for run, word in (("first.task_run_id", "A"), ("second.task_run_id", "B"), ("'busy-0'", "C")):
        lines = kernel.literal(f"list(nbflow.logs({run})['message'])")
        assert lines == [f"{word} {i}" for i in range(1000)]


def test_a_capture_block_takes_its_own_output_only(kernel: Kernel):
    kernel.run(CHATTY)
    kernel.run("start = threading.Event()\nbehind = chatty.submit('B', 300, start)")

    kernel.run(
        "%%capture taken\n"
        "start.set()\n"
        "@flow\ndef inside():\n    print('in a flow')\n"
        "for i in range(300): print('mine', i)\n"
        "inside()\n"
        "behind.wait()"
    )

    assert kernel.literal("taken.stdout.splitlines()") == [
        *(f"mine {i}" for i in range(300)),
        "in a flow",
    ]
    assert kernel.literal("list(nbflow.logs(behind.task_run_id)['message'])") == [
        f"B {i}" for i in range(300)
    ]


def test_displays_of_a_background_run_pass_a_capture_block_by(kernel: Kernel):
    kernel.run(
        "shown = threading.Event()\n"
        "@task\ndef showing():\n    shown.wait()\n    display('from behind')\n"
        "behind = showing.submit()"
    )

    kernel.run("%%capture taken\ndisplay('mine')\nshown.set()\nbehind.wait()")

    assert kernel.literal("[o.data['text/plain'] for o in taken.outputs]") == ["'mine'"]
    assert kernel.literal("list(nbflow.logs(behind.task_run_id)['message'])") == ["'from behind'"]


def test_what_a_task_captures_is_not_in_its_log(kernel: Kernel):
    kernel.run(
        "%%task captures\n"
        "from IPython.utils.capture import capture_output\n"
        "with capture_output() as taken:\n    print('kept from the screen')\n"
        "print('on the screen')"
    )

    assert kernel.literal("(taken.stdout, log('captures-0'))") == (
        "kept from the screen\n",
        [("on the screen",)],
    )


def test_a_status_line_is_never_captured_by_its_own_task(kernel: Kernel):
    """The line is updated once a second, in the middle of the block."""
    kernel.run(
        "%%task ticks\n"
        "from IPython.utils.capture import capture_output\n"
        "with capture_output() as taken:\n    time.sleep(1.2)"
    )

    assert kernel.literal("taken.outputs") == []


@pytest.mark.parametrize("draw", ["'\\r' + text", "text + '\\r'"])
def test_a_progress_bar_is_one_line_of_the_log(kernel: Kernel, draw: str):
    kernel.run(
        f"%%task bar\n"
        f"for i in range(5001):\n"
        f"    text = f'{{i / 50:3.0f}}%|' + '#' * (i // 100)\n"
        f"    sys.stderr.write({draw})\n"
        f"sys.stderr.write('\\n')\n"
        f"print('done')"
    )

    run = "newest('bar')['id']"
    assert kernel.literal(f"log({run})") == [("100%|" + "#" * 50,), ("done",)]


def test_an_endless_line_is_cut(kernel: Kernel):
    kernel.run("%%task endless\nfor i in range(50):\n    sys.stdout.write('x' * 1000)")

    lengths = kernel.literal("[len(line) for line, in log('endless-0')]")
    assert sum(lengths) == 50_000
    assert max(lengths) <= 21_000


def test_lines_written_in_pieces_by_several_threads_stay_whole(kernel: Kernel):
    cell = kernel.run(
        "%%task pieces\n"
        "def write(word):\n"
        "    for i in range(50): print(word, i)\n"
        "threads = [threading.Thread(target=write, args=(w,)) for w in 'ab']\n"
        "for t in threads: t.start()\n"
        "for t in threads: t.join()"
    )

    assert cell.error is None
    lines = kernel.literal("sorted(line for line, in log('pieces-0'))")
    assert lines == sorted(f"{w} {i}" for w in "ab" for i in range(50))


def test_a_log_line_is_shown_with_its_time_level_and_run(kernel: Kernel):
    cell = kernel.run("%%task told\nnbflow.get_run_logger().warning('careful')")

    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} \| WARNING \| Task run 'told-0' - careful\n", cell.text()
    )
    assert kernel.literal("log('told-0')") == [("careful",)]


def test_stable_output_shows_no_times_and_no_names_of_runs(
    tmp_path_factory: pytest.TempPathFactory,
):
    kernel = Kernel(tmp_path_factory.mktemp("stable"), NBFLOW_STABLE_OUTPUT="1")
    try:
        kernel.run("%load_ext nbflow\nimport nbflow")
        task = kernel.run("%%task one --retries 1\nnbflow.get_run_logger().info('said')")
        flow = kernel.run("%%flow\nnbflow.cell('one')()\nnbflow.get_run_logger().info('said')")
        failed = kernel.run("%%task two\n1 / 0")
    finally:
        kernel.close()

    assert task.text() == "INFO    | Task run 'one-0' - said\n"
    assert task.displays() == ["nbflow: one — Completed"]
    assert flow.displays() == ["nbflow: flow — Completed (1 task: 1 completed)"]
    assert flow.text() == "INFO    | Task run 'one-0' - said\nINFO    | Flow run of 'flow' - said\n"
    assert failed.displays() == ["nbflow: two — Failed"]

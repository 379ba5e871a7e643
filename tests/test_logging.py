"""What runs say: loggers, prints, records of `logging`, and lines on the console."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import re
import subprocess
import sys
import threading

import pytest

from nbflow import flow, get_run_logger, task
from nbflow.console import Console
from nbflow.errors import NotInRun
from nbflow.logging import disable_run_logger
from nbflow.model.events import LogEmitted
from nbflow.settings import Settings
from nbflow.wiring import using


def said(events):
    return [(e.run.name, e.level, e.message) for e in events.all if isinstance(e, LogEmitted)]


def test_prints_go_to_the_log_where_asked(colour, events, capsys):
    colour.run(colour.task(lambda: print("a", 1, sep="-"), log_prints=True, name="t"))

    assert said(events) == [("t-0", logging.INFO, "a-1")]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "| INFO    | Task run 't-0' - a-1" in captured.err


def test_prints_stay_prints_elsewhere(colour, events, capsys):
    colour.run(colour.task(lambda: print("plain")))
    print("outside")

    assert said(events) == []
    assert capsys.readouterr().out == "plain\noutside\n"


@pytest.mark.parametrize(
    ("of_flow", "of_task", "logged"),
    [(True, None, True), (True, False, False), (None, True, True), (None, None, False)],
)
def test_tasks_inherit_log_prints_and_may_opt_out(of_flow, of_task, logged, events, capsys):
    speak = task(lambda: print("hello"), log_prints=of_task, name="t")

    @flow(log_prints=of_flow)
    def main():
        speak()
        speak.submit().wait()

    main()

    assert [line[2] for line in said(events)] == (["hello", "hello"] if logged else [])
    assert capsys.readouterr().out == ("" if logged else "hello\nhello\n")


def test_prints_to_a_file_go_there_and_to_stderr_are_errors(events):
    text = io.StringIO()

    @task(log_prints=True)
    def speak():
        print("to a file", file=text)
        print("to stderr", file=sys.stderr)

    speak()

    assert text.getvalue() == "to a file\n"
    assert [(level, line) for _, level, line in said(events)] == [(logging.ERROR, "to stderr")]


def test_run_logger_knows_its_run_on_every_thread(colour, events):
    def work():
        logger = get_run_logger()
        logger.info("here %d", 1)
        thread = threading.Thread(target=lambda: logger.warning("there"))
        thread.start()
        thread.join()

    colour.run(colour.task(work, name="t"))

    assert said(events) == [("t-0", logging.INFO, "here 1"), ("t-0", logging.WARNING, "there")]


def test_run_logger_of_a_flow_and_its_concurrent_tasks_do_not_mix(events):
    @task(name="t")
    async def one(n):
        await asyncio.sleep(0)
        get_run_logger().info("n=%s", n)
        await asyncio.sleep(0)
        get_run_logger().info("n=%s", n)

    @flow(flow_run_name="f")
    async def main():
        get_run_logger().info("flow")
        await asyncio.gather(*(one(n) for n in range(5)))

    asyncio.run(main())

    lines = said(events)
    assert ("f", logging.INFO, "flow") in lines
    for n in range(5):
        assert [run for run, _, line in lines if line == f"n={n}"] == [f"t-{n}"] * 2


def test_run_logger_outside_of_a_run_is_refused():
    with pytest.raises(NotInRun, match=r"get_run_logger.*inside one"):
        get_run_logger()


def test_run_logger_can_be_silenced_for_a_plain_function(events):
    with disable_run_logger():
        task(lambda: get_run_logger().error("quiet"))()
    task(lambda: get_run_logger().error("loud"))()

    assert [line[2] for line in said(events)] == ["loud"]


def test_logger_tells_exceptions(events):
    @task
    def work():
        try:
            1 / 0
        except ZeroDivisionError:
            get_run_logger().exception("it went wrong")

    work()

    assert "ZeroDivisionError: division by zero" in said(events)[0][2]


def test_records_of_logging_in_a_run_are_kept_with_it(events):
    @task(name="t")
    def work():
        logging.getLogger("library").warning("careful: %s", "x")
        logging.getLogger("library").debug("too low to be kept")

    work()
    logging.getLogger("library").warning("outside")

    assert said(events) == [("t-0", logging.WARNING, "careful: x")]


def test_record_with_bad_arguments_hurts_nobody(events):
    @task
    def work():
        with contextlib.suppress(TypeError):
            logging.getLogger("library").warning("%d", "no number")
        return 1

    before, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        assert work() == 1
    finally:
        logging.raiseExceptions = before


def test_basic_config_of_the_user_still_works(tmp_path):
    code = """
import logging
import nbflow
from nbflow import task

@task
def work():
    logging.getLogger("mine").info("in a run")

work()
logging.basicConfig(level=logging.INFO, format="CONF %(name)s %(message)s")
work()
logging.getLogger("mine").info("outside")
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=60
    )
    ours = [line for line in done.stderr.splitlines() if line.startswith("CONF")]
    assert ours == ["CONF mine in a run", "CONF mine outside"]


def test_console_lines_have_time_level_and_run(capsys):
    @task(name="t")
    def work():
        get_run_logger().warning("careful")

    @flow(name="main", flow_run_name="nimble-falcon")
    def main():
        inner()
        work()

    @flow(name="inner", flow_run_name="crimson-hawk")
    def inner():
        pass

    main()

    lines = capsys.readouterr().err.splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d{3} \| [A-Z]+ +\| ", line) for line in lines)
    assert [line.split(" | ", 1)[1] for line in lines] == [
        "INFO    | nbflow.engine - Created flow run 'nimble-falcon' for flow 'main'",
        "INFO    | nbflow.engine - Created subflow run 'crimson-hawk' for flow 'inner'",
        "INFO    | Flow run 'crimson-hawk' - Finished in state Completed()",
        "WARNING | Task run 't-0' - careful",
        "INFO    | Task run 't-0' - Finished in state Completed()",
        "INFO    | Flow run 'nimble-falcon' - Finished in state Completed()",
    ]


def test_console_tells_failures_and_retries(capsys):
    def fails():
        raise ConnectionError("down")

    task(fails, retries=1, name="t")(return_state=True)

    lines = [line.split(" | ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    told = "Task run raised ConnectionError: down"
    assert lines == [
        "WARNING | Task run 't-0' - ConnectionError: down; retrying in 0.0 seconds (try 2 of 2)",
        f"ERROR   | Task run 't-0' - Finished in state Failed({told!r})",
    ]


def test_console_shows_nothing_below_its_level():
    stream = io.StringIO()
    console = Console(logging.ERROR, stream)
    from nbflow import wiring

    wiring.current().bus.subscribe(console.on_event)
    flow(lambda: get_run_logger().warning("careful"))()

    assert stream.getvalue() == ""


def test_level_and_prints_follow_the_settings(tmp_path):
    events = []
    with using(Settings(home=tmp_path / "other", log_level="DEBUG", log_prints=True)) as wiring:
        wiring.bus.subscribe(events.append)

        @task
        def work():
            print("a print")
            logging.getLogger("nowhere.special").setLevel(logging.DEBUG)
            logging.getLogger("nowhere.special").debug("detail")

        work()

    assert [e.message for e in events if isinstance(e, LogEmitted)] == ["a print", "detail"]

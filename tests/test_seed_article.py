"""The snippets of the article that started nbflow run as they stand there, but for the import.

Only `prefect` is replaced by `nbflow`; what would leave this machine or take its time is replaced
around them, never in them.
"""

from __future__ import annotations

import random
import re
import time

import httpx
import pytest

from nbflow import wiring
from nbflow.model.retries import RetryPolicy

QUICK_EXAMPLE = """\
from prefect import flow, task

@task
def fetch_data(url: str) -> list[dict]:
    import httpx
    return httpx.get(url).json()

@task
def process(records: list[dict]) -> list[dict]:
    return [r for r in records if r.get("active")]

@flow(name="My Pipeline")
def pipeline(url: str) -> list[dict]:
    raw = fetch_data(url)
    return process(raw)

if __name__ == "__main__":
    result = pipeline("https://httpbin.org/json")
    print(result)
"""

RETRIES = """\
from prefect import flow, task
from datetime import timedelta

@task(
    retries=3,
    retry_delay_seconds=10,
    timeout_seconds=30,
    log_prints=True,
)
def unreliable_api_call(endpoint: str) -> dict:
    import httpx, random
    if random.random() < 0.5:
        raise ConnectionError("Simulated network failure")
    print(f"Called {endpoint} successfully")
    return {"status": "ok"}

@flow(
    retries=1,
    timeout_seconds=120,
    log_prints=True,
)
def robust_pipeline():
    result = unreliable_api_call("https://api.example.com/data")
    print(f"Result: {result}")

robust_pipeline()
"""

CACHING = """\
from prefect import flow, task
from prefect.tasks import task_input_hash
from datetime import timedelta
import time

@task(
    cache_key_fn=task_input_hash,
    cache_expiration=timedelta(hours=1),
    log_prints=True,
)
def expensive_query(sql: str) -> list[dict]:
    print(f"Running query: {sql}")
    time.sleep(2)  # simulate slow DB call
    return [{"result": 42}]

@flow
def pipeline():
    # First call — runs the query
    r1 = expensive_query("SELECT * FROM big_table")
    # Second call with same input — returns cached result instantly
    r2 = expensive_query("SELECT * FROM big_table")
    print(r1, r2)

pipeline()
"""

SUBMISSION = """\
from prefect import flow, task
from prefect.futures import wait
import time

@task(log_prints=True)
def process_item(item: int) -> int:
    time.sleep(0.5)
    return item ** 2

@flow
def parallel_pipeline(items: list[int]) -> list[int]:
    futures = [process_item.submit(item) for item in items]
    wait(futures)
    return [f.result() for f in futures]

result = parallel_pipeline(list(range(10)))
print(result)
"""

SUBFLOWS = """\
from prefect import flow, task

@task
def validate(data: list) -> bool:
    return len(data) > 0

@flow(name="transform")
def transform_flow(data: list) -> list:
    if validate(data):
        return [x * 2 for x in data]
    return []

@flow(name="main")
def main_flow():
    raw = [1, 2, 3, 4, 5]
    result = transform_flow(raw)   # sub-flow call
    print(f"Transformed: {result}")

main_flow()
"""

HOOKS = """\
from prefect import flow, task
from prefect.states import State

@task(log_prints=True)
def my_task():
    print("task running")
    return 42

def on_failure(flow, flow_run, state):
    print(f"Flow {flow.name} failed: {state.message}")

def on_completion(flow, flow_run, state):
    print(f"Flow {flow.name} completed successfully")

@flow(
    on_failure=[on_failure],
    on_completion=[on_completion],
    log_prints=True,
)
def instrumented_flow():
    result = my_task()
    print(f"Result: {result}")

instrumented_flow()
"""

CONCURRENCY = """\
from prefect import flow, task
from prefect.concurrency.sync import concurrency

@task
def api_call(endpoint: str) -> dict:
    with concurrency("external-api", occupy=1):
        import httpx
        return httpx.get(endpoint).json()

@flow
def batch_requests(endpoints: list[str]) -> list[dict]:
    futures = [api_call.submit(ep) for ep in endpoints]
    return [f.result() for f in futures]
"""


def run_snippet(text, name="__main__"):
    """Run it as a script would be; gives its names."""
    replaced = re.sub(r"\bprefect\b", "nbflow", text)
    assert replaced != text
    namespace = {"__name__": name}
    exec(compile(replaced, "<article>", "exec", dont_inherit=True), namespace)
    return namespace


@pytest.fixture
def no_sleep(monkeypatch):
    """What was slept; nothing takes its time."""
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


@pytest.fixture
def web(monkeypatch):
    """What `httpx.get` answers, by address; the addresses that were asked for."""

    class Web(dict):
        asked: list[str] = []

    answers = Web()
    answers.asked = []

    def get(url):
        answers.asked.append(url)
        return httpx.Response(200, json=answers[url])

    monkeypatch.setattr(httpx, "get", get)
    return answers


def console(capsys):
    """The lines on the console without their times."""
    captured = capsys.readouterr()
    return [line.split(" | ", 1)[1] for line in captured.err.splitlines()], captured.out


def test_quick_example(web, capsys):
    web["https://httpbin.org/json"] = [{"active": True, "n": 1}, {"active": False}, {}]

    run_snippet(QUICK_EXAMPLE)

    lines, out = console(capsys)
    assert out == "[{'active': True, 'n': 1}]\n"
    name = wiring.current().store.runs(name="My Pipeline")[0].name
    assert lines == [
        f"INFO    | nbflow.engine - Created flow run '{name}' for flow 'My Pipeline'",
        "INFO    | Task run 'fetch_data-0' - Finished in state Completed()",
        "INFO    | Task run 'process-0' - Finished in state Completed()",
        f"INFO    | Flow run '{name}' - Finished in state Completed()",
    ]


def test_quick_example_does_not_run_when_it_is_imported(web, events):
    run_snippet(QUICK_EXAMPLE, name="pipeline")

    assert web.asked == []
    assert events.all == []


def test_retries_and_timeouts(monkeypatch, capsys, events):
    throws = iter([0.1, 0.2, 0.9])
    monkeypatch.setattr(random, "random", lambda: next(throws))
    waited = []
    before = RetryPolicy.wait_before
    monkeypatch.setattr(
        RetryPolicy, "wait_before", lambda self, retry: waited.append(before(self, retry)) or 0.0
    )
    monkeypatch.setattr("nbflow.engine.engine.friendly_name", lambda: "crimson-hawk")

    run_snippet(RETRIES)

    lines, _ = console(capsys)
    assert waited == [10.0, 10.0]
    called = "INFO    | Task run 'unreliable_api_call-0'"
    retrying = (
        "WARNING | Task run 'unreliable_api_call-0' - ConnectionError: Simulated network failure"
    )
    assert lines == [
        "INFO    | nbflow.engine - Created flow run 'crimson-hawk' for flow 'robust_pipeline'",
        f"{retrying}; retrying in 0.0 seconds (try 2 of 4)",
        f"{retrying}; retrying in 0.0 seconds (try 3 of 4)",
        f"{called} - Called https://api.example.com/data successfully",
        f"{called} - Finished in state Completed()",
        "INFO    | Flow run 'crimson-hawk' - Result: {'status': 'ok'}",
        "INFO    | Flow run 'crimson-hawk' - Finished in state Completed()",
    ]
    assert events.names("unreliable_api_call-0").count("AwaitingRetry") == 2


def test_retries_of_the_flow_when_the_tasks_are_used_up(monkeypatch, events):
    throws = iter([0.1] * 4 + [0.9])
    monkeypatch.setattr(random, "random", lambda: next(throws))
    monkeypatch.setattr(RetryPolicy, "wait_before", lambda *_: 0.0)

    run_snippet(RETRIES)

    flow_run, *tasks = events.runs()
    assert (flow_run.state.name, flow_run.run_count) == ("Completed", 2)
    assert [run.state.name for run in tasks] == ["Failed", "Completed"]


def test_caching(no_sleep, capsys, events):
    run_snippet(CACHING)
    lines, out = console(capsys)

    assert out == "[{'result': 42}] [{'result': 42}]\n"
    assert sum("Running query: SELECT * FROM big_table" in line for line in lines) == 1
    assert [run.state.name for run in events.runs()] == ["Completed", "Completed", "Cached"]

    run_snippet(CACHING)

    lines, out = console(capsys)
    assert out == "[{'result': 42}] [{'result': 42}]\n"
    assert not any("Running query" in line for line in lines)
    assert no_sleep.count(2) == 1


def test_parallel_submission(no_sleep, capsys):
    names = run_snippet(SUBMISSION)

    _, out = console(capsys)
    assert out == "[0, 1, 4, 9, 16, 25, 36, 49, 64, 81]\n"
    assert names["result"] == [n**2 for n in range(10)]
    assert no_sleep.count(0.5) == 10


def test_parallel_submission_is_parallel():
    started = time.monotonic()

    run_snippet(SUBMISSION)

    assert time.monotonic() - started < 3  # one after the other: 5 s


def test_subflows(capsys, events):
    run_snippet(SUBFLOWS)

    lines, out = console(capsys)
    assert out == "Transformed: [2, 4, 6, 8, 10]\n"
    main, transform, validate = events.runs()
    assert (main.spec.name, transform.spec.name, validate.spec.name) == (
        "main",
        "transform",
        "validate",
    )
    assert transform.parent_id == main.id
    assert validate.parent_id == transform.id
    assert f"Created flow run '{main.name}' for flow 'main'" in lines[0]
    assert f"Created subflow run '{transform.name}' for flow 'transform'" in lines[1]


def test_logging_and_hooks(capsys):
    names = run_snippet(HOOKS)

    lines, out = console(capsys)
    assert out == "Flow instrumented_flow completed successfully\n"
    assert "INFO    | Task run 'my_task-0' - task running" in lines
    assert any(line.endswith("- Result: 42") for line in lines)

    @names["flow"](on_failure=[names["on_failure"]])
    def broken():
        raise ValueError("no rows")

    broken(return_state=True)
    assert console(capsys)[1] == "Flow broken failed: Flow run raised ValueError: no rows\n"


def test_concurrency_limit(web, monkeypatch):
    endpoints = [f"https://example.org/{n}" for n in range(12)]
    web.update({endpoint: {"n": n} for n, endpoint in enumerate(endpoints)})
    inside, most = [], []
    answer = httpx.get

    def slow(url):
        inside.append(url)
        most.append(len(inside))
        time.sleep(0.01)
        inside.remove(url)
        return answer(url)

    monkeypatch.setattr(httpx, "get", slow)
    wiring.current().store.create_limit("external-api", 5)

    names = run_snippet(CONCURRENCY)

    assert names["batch_requests"](endpoints) == [{"n": n} for n in range(12)]
    assert max(most) <= 5

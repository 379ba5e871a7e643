"""Notices: who is told what, how often, and that nothing secret is told."""

from __future__ import annotations

import json
import logging
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nbflow.errors import InvalidOption, NbflowError
from nbflow.model.deployments import (
    DeploymentKind,
    DeploymentRecord,
    DeploymentSpec,
    OrderRecord,
)
from nbflow.model.records import RunRecord
from nbflow.model.schedules import Fire, Firing, ScheduleSpec
from nbflow.scheduling import addresses, notices
from nbflow.scheduling.addresses import check_addresses, shown
from nbflow.scheduling.notices import Notices, tell_ended, tell_late, wait_sent
from nbflow.scheduling.sending import Notice, Sender
from nbflow.store.store import Store
from tests.children import Child, run_child

# One of apprise's plugins imports it.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

PASSWORD = "hunter2secret"


class Service:
    """A real HTTP server that takes what apprise posts."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status = 200
        self.answers = threading.Event()
        self.answers.set()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.answers.wait(30)
                service.got.append(json.loads(body))
                self.send_response(service.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.address = f"json://me:{PASSWORD}@127.0.0.1:{self._server.server_port}/told"

    def close(self) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def titles(self) -> list[str]:
        assert wait_sent(10)
        return [one["title"] for one in self.got]


@pytest.fixture
def service() -> Iterator[Service]:
    one = Service()
    yield one
    one.close()


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    one = Store(home)
    yield one
    one.close()


def deployed(store: Store, *notify: str, **options: Any) -> DeploymentRecord:
    given: dict[str, Any] = {
        "flow_name": "report",
        "name": "daily",
        "kind": DeploymentKind.SCRIPT,
        "target": "/nowhere/report.py:report",
        "folder": "/",
        "parameters": {"token": PASSWORD},
        "notify": notify,
        **options,
    }
    spec = DeploymentSpec(**given)
    schedule = ScheduleSpec(name="s", trigger={"kind": "date", "at": 2e9}, first_at=2e9)
    return store.put_deployment(spec, [schedule])


def crashed(store: Store, deployment: DeploymentRecord) -> RunRecord:
    """A run of the deployment whose process died."""
    order = store.add_order(deployment.id)
    store.take_orders(deployment_ids=[deployment.id], pool=None, limit=None)
    return store.crash_run(order.run_id, store.owner_id, "killed by signal 9\nTraceback ...")


_COMPLETES = """
    import sys
    from nbflow import flow, wiring
    from nbflow.scheduling.serving import call, fail

    @flow(name="report")
    def report(token): pass

    connected = wiring.current()
    deployment = connected.store.deployments()[0]
    [order] = connected.store.take_orders(deployment_ids=[deployment.id], pool=None, limit=None)
    call(connected, report.spec, order, deployment)
"""


def completed(store: Store, deployment: DeploymentRecord, home: Path) -> RunRecord:
    """A run of the deployment that a process has carried out."""
    order = store.add_order(deployment.id)
    run_child(_COMPLETES, home)
    run = store.find_run(order.run_id)
    assert run.state_name == "Completed"
    return run


def missed(store: Store, deployment: DeploymentRecord, n: int) -> list[OrderRecord]:
    """Fire times that nobody was there for."""
    [schedule] = store.schedules(deployment_ids=[deployment.id])
    now = time.time()
    firings = tuple(
        Firing(
            cause=str(i),
            fire_at=now - 7200 + i,
            due_at=now - 7200 + i,
            state="Missed",
            message="missed: nobody was there for it",
        )
        for i in range(n)
    )
    fire = Fire(schedule_id=schedule.id, expected_at=None, firings=firings, next_at=None)
    [fired] = store.fire([fire], start=False)
    return list(fired.orders)


# --- what is told ---------------------------------------------------------------------------------


def test_a_failure_is_told_with_its_error_and_without_parameters(store: Store, service: Service):
    deployment = deployed(store, service.address)
    run = crashed(store, deployment)

    tell_ended(store, run, deployment)

    assert service.titles == [f"report/daily: run {run.name} failed"]
    [told] = service.got
    assert told["type"] == "failure"
    assert "Crashed" in told["message"]
    assert "killed by signal 9" in told["message"]
    assert "Traceback" not in told["message"]
    assert f"nbflow runs logs {run.id}" in told["message"]
    assert PASSWORD not in json.dumps(told)


def test_a_run_is_told_of_once_whoever_tells(store: Store, service: Service, home: Path):
    deployment = deployed(store, service.address)
    run = crashed(store, deployment)
    other = Store(home)

    threads = [
        threading.Thread(target=tell_ended, args=(one, run, deployment))
        for one in (store, other) * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()

    assert len(service.titles) == 1


def test_recovery_is_told_of_the_first_run_that_completes_after_a_failure(
    store: Store, service: Service, home: Path
):
    deployment = deployed(store, service.address)
    for _ in range(2):
        tell_ended(store, completed(store, deployment, home), deployment)
    assert service.titles == []

    tell_ended(store, crashed(store, deployment), deployment)
    for _ in range(2):
        tell_ended(store, completed(store, deployment, home), deployment)

    assert len(service.titles) == 2
    assert service.titles[1] == "report/daily: works again"
    assert service.got[1]["type"] == "success"


def test_recovery_is_told_though_many_fire_times_were_skipped_since(
    store: Store, service: Service, home: Path
):
    deployment = deployed(store, service.address)
    tell_ended(store, crashed(store, deployment), deployment)
    for order in [store.add_order(deployment.id) for _ in range(120)]:
        assert store.cancel_waiting(order.run_id)

    tell_ended(store, completed(store, deployment, home), deployment)

    assert service.titles[1:] == ["report/daily: works again"]


def test_a_cancelled_run_is_no_failure(store: Store, service: Service):
    deployment = deployed(store, service.address)
    order = store.add_order(deployment.id)
    assert store.cancel_waiting(order.run_id)

    tell_ended(store, store.find_run(order.run_id), deployment)

    assert service.titles == []


@pytest.mark.parametrize(
    ("late_seconds", "run_count", "is_told"),
    [(59, 0, False), (61, 0, True), (7200, 0, True), (7200, 1, False)],
)
def test_a_run_that_begins_over_a_minute_late_is_told_of(
    store: Store, service: Service, late_seconds: float, run_count: int, is_told: bool
):
    from dataclasses import replace

    deployment = deployed(store, service.address)
    order = replace(store.add_order(deployment.id), run_count=run_count)

    for _ in range(2):
        tell_late(store, [order], deployment, now=order.due_at + late_seconds)

    assert len(service.titles) == is_told
    if is_told:
        assert "late" in service.titles[0]
        assert service.got[0]["type"] == "warning"


def test_missed_fire_times_are_told_in_one_notice(store: Store, service: Service):
    deployment = deployed(store, service.address)
    orders = missed(store, deployment, 7)

    for _ in range(2):
        tell_late(store, orders, deployment)

    assert service.titles == ["report/daily: 7 fire times were missed"]


def test_what_nobody_could_tell_of_is_told_by_who_looks_back(store: Store, service: Service):
    deployment = deployed(store, service.address)
    run = crashed(store, deployment)  # and its worker is gone
    missed(store, deployment, 1)

    for _ in range(2):
        Notices(store).look_back()

    assert sorted(service.titles) == [
        "report/daily: a fire time was missed",
        f"report/daily: run {run.name} failed",
    ]


def test_a_host_tells_of_the_run_that_ended(store: Store, service: Service, home: Path):
    deployment = deployed(store, service.address)
    host = Notices(store)
    order = store.add_order(deployment.id)
    store.take_orders(deployment_ids=[deployment.id], pool=None, limit=None)
    store.crash_run(order.run_id, store.owner_id, "killed")

    host.ended(order, deployment)
    host.ended(order, deployment)

    assert len(service.titles) == 1


def test_without_addresses_nothing_is_read_or_claimed(home: Path):
    store = Store(home)
    record = DeploymentRecord(
        id="1", flow_name="f", name="d", kind=DeploymentKind.SCRIPT, target="", folder=""
    )

    Notices(store).ended(None, record)  # type: ignore[arg-type]

    assert not home.exists()


_WORKER = """
    from nbflow.deploy.worker import Worker
    Worker("batch").run()
"""


def test_a_worker_tells_of_failure_and_recovery(
    store: Store, service: Service, home: Path, tmp_path: Path
):
    script = tmp_path / "report.py"
    script.write_text(
        "from nbflow import flow\n"
        "@flow\n"
        "def report(token, good=False):\n"
        "    if not good:\n"
        "        raise ValueError('no good')\n"
    )
    store.create_pool("batch", "process")
    deployment = deployed(store, service.address, pool="batch", target=f"{script}:report")
    worker = Child(_WORKER, home, PYTHONWARNINGS="default")

    for good in (True, False, False, True, True):
        order = store.add_order(deployment.id, parameters={"token": PASSWORD, "good": good})
        deadline = time.monotonic() + 60
        while not store.find_run(order.run_id).is_final:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    worker.send(signal.SIGTERM)
    worker.end()

    titles = service.titles
    assert [title.rpartition(" ")[2] for title in titles] == ["failed", "failed", "again"]
    assert "Error: " in service.got[0]["message"]
    assert "ValueError: no good" in service.got[0]["message"]
    assert PASSWORD not in json.dumps(service.got)
    assert PASSWORD not in worker.stderr


# --- sending --------------------------------------------------------------------------------------


def a_notice(*to: str) -> Notice:
    return Notice(title="t", body="b", tone="failure", addresses=to)


def test_every_address_is_told_though_one_of_them_fails(
    service: Service, caplog: pytest.LogCaptureFixture
):
    sender = Sender()
    sender.post(a_notice(f"json://me:{PASSWORD}@127.0.0.1:9/told", service.address))

    assert sender.wait(10)

    assert len(service.got) == 1
    [record] = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert "json://***: " in record.getMessage()


@pytest.mark.parametrize("status", [401, 500])
def test_a_refusal_is_one_warning_without_the_address(
    service: Service, caplog: pytest.LogCaptureFixture, status: int
):
    caplog.set_level(1)
    for name in ("apprise", "urllib3.connectionpool"):
        caplog.set_level(1, logger=name)
    service.status = status
    sender = Sender()

    sender.post(a_notice(service.address))
    assert sender.wait(10)

    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.WARNING
    for secret in (PASSWORD, "me:", "/told", service.address):
        assert secret not in caplog.text


def test_a_service_that_never_answers_is_given_up(
    service: Service, caplog: pytest.LogCaptureFixture
):
    service.answers.clear()
    sender = Sender(timeout_seconds=0.3)

    began = time.monotonic()
    sender.post(a_notice(service.address))
    assert time.monotonic() - began < 0.2
    assert not sender.wait(0.05)
    assert sender.wait(10)

    assert "no answer within 0.3 s" in caplog.text
    assert PASSWORD not in caplog.text


def test_the_users_own_use_of_apprise_still_logs(caplog: pytest.LogCaptureFixture):
    check_addresses("json://localhost")

    logging.getLogger("apprise").warning("mine")

    assert "mine" in caplog.text


def test_a_store_that_cannot_be_written_changes_nothing(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    deployment = deployed(store, "json://localhost")
    run = crashed(store, deployment)

    def full(*_: object) -> bool:
        raise NbflowError("the disk is full")

    monkeypatch.setattr(store, "claim_once", full)
    tell_ended(store, run, deployment)

    assert "the disk is full" in caplog.text


def test_a_process_can_wait_until_all_is_sent(service: Service, home: Path):
    run_child(
        f"""
        from nbflow.scheduling import notices
        from nbflow.scheduling.sending import Notice
        notices._sender.post(Notice(title="t", body="b", tone="failure",
                                    addresses=({service.address!r},)))
        assert notices.wait_sent()
        """,
        home,
        PYTHONWARNINGS="default",  # apprise's plugins give some
    )

    assert [one["title"] for one in service.got] == ["t"]


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", [(), "json://localhost/x", ("mailto://me:pw@example.com", "jsons://host")]
)
def test_good_addresses_are_taken(given: Any):
    assert check_addresses(given) == ((given,) if isinstance(given, str) else tuple(given))


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "nonsense",
        f"nowhere://{PASSWORD}",
        f"slack://{PASSWORD}",
        f"mailto://me:{PASSWORD}@",
        f"discord://{PASSWORD}",
        f"json://{PASSWORD}:{PASSWORD}@",
        f"{PASSWORD}",
        f"me:{PASSWORD}@host",
        "json://[::1",
        "json://\x00",
    ],
)
def test_a_bad_address_is_refused_in_one_clear_line(
    bad: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    caplog.set_level(1)
    caplog.set_level(1, logger="apprise")

    with pytest.raises(InvalidOption) as caught:
        check_addresses(["json://localhost", bad], "report/daily")

    sentence = str(caught.value)
    assert sentence.startswith("report/daily: notify=")
    assert "mailto://user:password@host" in sentence
    assert "\n" not in sentence
    assert PASSWORD not in sentence
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")


def test_without_apprise_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)

    with pytest.raises(NbflowError, match=r"pip install 'nbflow\[notify\]'"):
        check_addresses("json://localhost")
    assert check_addresses(()) == ()


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("slack://a/b/c", "slack://***"),
        ("json://u:p@h", "json://***"),
        ("no address", "***"),
        (f"{PASSWORD}:x@h://", "***"),
    ],
)
def test_only_the_scheme_is_shown(address: str, text: str):
    assert shown(address) == text


def test_reasons_are_told_without_words_of_the_address():
    address = "json://me:p%40ss%20word@host.example/tokEN"

    told = addresses._without(address, "at host.example: p@ss word or p%40ss refused, TOKEN=token")

    for secret in ("p@ss", "p%40ss", "word", "host", "token", "TOKEN"):
        assert secret not in told
    assert "refused" in told


def test_the_addresses_are_checked_where_notices_are():
    assert notices.check_addresses is check_addresses

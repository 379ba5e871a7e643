"""A kernel with schedules lives on under Jupyter's culling; a real server decides."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from nbflow.notebook.keep_alive import MESSAGE_TYPE, KeepAlive
from tests.notebook.kernels import Kernel

_TOKEN = "for-this-test"
_CULLED_AFTER_SECONDS = 4
_SCHEDULED = """
import nbflow
%load_ext nbflow
@nbflow.flow
def hourly():
    pass
%schedule --every 1h hourly
"""


class Server:
    """A Jupyter server that culls kernels which have been idle for some seconds."""

    def __init__(self, folder: Path) -> None:
        self._runtime = folder / "runtime"
        environment = {
            **os.environ,
            "JUPYTER_RUNTIME_DIR": str(self._runtime),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_NO_CONFIG": "1",
            "NBFLOW_HOME": str(folder / "home"),
            "NBFLOW_KEEP_ALIVE_SECONDS": "1",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        options = {
            "ServerApp.root_dir": str(folder),
            "ServerApp.port": 0,
            "ServerApp.open_browser": False,
            "ServerApp.allow_root": True,
            "IdentityProvider.token": _TOKEN,
            "MappingKernelManager.cull_idle_timeout": _CULLED_AFTER_SECONDS,
            "MappingKernelManager.cull_interval": 1,
        }
        self._log = (folder / "server.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server", *(f"--{k}={v}" for k, v in options.items())],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        self._url = ""

    def wait(self) -> None:
        def begun() -> bool:
            assert self._process.poll() is None, "the server has ended"
            found = list(self._runtime.glob("jpserver-*.json"))
            if found and found[0].read_text():
                self._url = json.loads(found[0].read_text())["url"]
            return bool(self._url) and self._answers()

        _wait_until(begun, "the server did not begin")

    def _answers(self) -> bool:
        try:
            self.ask("api")
        except urllib.error.URLError:
            return False
        return True

    def ask(self, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            self._url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {_TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def kernels(self) -> set[str]:
        return {one["id"] for one in self.ask("api/kernels")}

    def start_kernel(self, notebook: str, code: str) -> str:
        """A kernel of a notebook that has run `code`."""
        session = {"path": notebook, "name": notebook, "type": "notebook", "kernel": {}}
        kernel_id: str = self.ask("api/sessions", session)["kernel"]["id"]
        client = BlockingKernelClient(
            connection_file=str(self._runtime / f"kernel-{kernel_id}.json")
        )
        client.load_connection_file()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=60)
            shown: list[Any] = []
            answer = client.execute_interactive(code, output_hook=shown.append, timeout=60)
            assert answer["content"]["status"] == "ok", answer["content"]
            assert not any("Error" in str(one["content"]) for one in shown), shown
        finally:
            client.stop_channels()
        return kernel_id

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._log.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    try:
        server.wait()
        yield server
    finally:
        server.close()


def _wait_until(true: Callable[[], bool], else_: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, else_
        time.sleep(0.1)


def test_a_kernel_with_a_schedule_is_not_culled_and_those_without_are(server: Server):
    scheduled = server.start_kernel("a.ipynb", _SCHEDULED)
    begun = time.monotonic()
    idle = server.start_kernel("b.ipynb", "import nbflow\n%load_ext nbflow")
    deleted = server.start_kernel(
        "c.ipynb", _SCHEDULED.replace("hourly", "other") + "\n%schedule --delete other"
    )

    _wait_until(lambda: server.kernels().isdisjoint({idle, deleted}), "the others were not culled")
    end = begun + 2 * _CULLED_AFTER_SECONDS
    _wait_until(lambda: time.monotonic() > end, "")

    assert server.kernels() == {scheduled}


def test_the_sign_of_life_belongs_to_no_cell_and_shows_nothing(tmp_path: Path):
    kernel = Kernel(tmp_path, NBFLOW_KEEP_ALIVE_SECONDS="0.2")
    try:
        cell = kernel.run(_SCHEDULED)
        assert cell.error is None, cell.error
        message = None
        end = time.monotonic() + 30
        while message is None or message["msg_type"] != MESSAGE_TYPE:
            message = kernel.pump(end - time.monotonic())
    finally:
        kernel.close()

    assert message["parent_header"] == {}
    assert message["content"] == {}


def test_nothing_is_sent_where_it_is_switched_off(tmp_path: Path):
    kernel = Kernel(tmp_path, NBFLOW_KEEP_ALIVE_SECONDS="0")
    try:
        kernel.run(_SCHEDULED)
        timer = kernel.literal(
            "__import__('nbflow.notebook.session', fromlist=['_']).open_in(get_ipython())"
            ".keep_alive._timer is None"
        )
    finally:
        kernel.close()

    assert timer is True


class Timers:
    """Calls what is due when it is told to."""

    def __init__(self) -> None:
        self.due: list[Callable[[], object]] = []

    def call_later(self, _seconds: float, fn: Callable[[], object]) -> Any:
        self.due.append(fn)
        return self

    def cancel(self) -> None:
        self.due.clear()

    def tick(self) -> None:
        due, self.due = self.due, []
        for fn in due:
            fn()


class Shell:
    """Of a kernel that counts what is sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.kernel = self.session = self
        self.iopub_socket, self.ident = object(), "1"

    def send(self, _socket: Any, kind: str, *_: Any, **__: Any) -> None:
        self.sent.append(kind)


@pytest.fixture
def timers() -> Timers:
    return Timers()


def test_it_is_sent_while_something_lives_and_then_no_more(timers: Timers):
    shell, lives = Shell(), [True]
    keep_alive = KeepAlive(shell, 60.0, timers.call_later, lambda: lives[0])
    assert timers.due == []

    for _ in range(3):
        keep_alive.wake()
    timers.tick()
    timers.tick()
    lives[0] = False
    timers.tick()

    assert shell.sent == [MESSAGE_TYPE] * 2
    assert timers.due == []


def test_it_ends_when_it_is_closed(timers: Timers):
    shell = Shell()
    keep_alive = KeepAlive(shell, 60.0, timers.call_later, lambda: True)
    keep_alive.wake()

    keep_alive.close()
    keep_alive.wake()
    timers.tick()

    assert shell.sent == []


@pytest.mark.parametrize(("kernel", "seconds"), [(True, 0.0), (False, 60.0)])
def test_no_timer_is_set_where_nothing_would_be_sent(timers: Timers, kernel: bool, seconds: float):
    shell = Shell() if kernel else object()

    KeepAlive(shell, seconds, timers.call_later, lambda: True).wake()

    assert timers.due == []

"""Runs cells in a real kernel and keeps what each of them put out."""

from __future__ import annotations

import ast
import os
import queue
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class CellResult:
    """What one cell put out, in order."""

    messages: list[dict[str, Any]] = field(default_factory=list)

    def text(self, *streams: str) -> str:
        wanted = streams or ("stdout", "stderr")
        return "".join(
            m["content"]["text"]
            for m in self.messages
            if m["msg_type"] == "stream" and m["content"]["name"] in wanted
        )

    def displays(self) -> list[str]:
        """The text of what was displayed, each display as it was last updated."""
        shown: dict[Any, str] = {}
        for m in self.messages:
            if m["msg_type"] in ("display_data", "update_display_data"):
                key = m["content"].get("transient", {}).get("display_id") or id(m)
                shown[key] = m["content"]["data"].get("text/plain", "")
        return list(shown.values())

    @property
    def value(self) -> str | None:
        for m in self.messages:
            if m["msg_type"] == "execute_result":
                return m["content"]["data"]["text/plain"]
        return None

    @property
    def error(self) -> str | None:
        """The traceback as plain text."""
        for m in self.messages:
            if m["msg_type"] == "error":
                return _ANSI.sub("", "\n".join(m["content"]["traceback"]))
        return None

    @property
    def error_name(self) -> str | None:
        for m in self.messages:
            if m["msg_type"] == "error":
                return m["content"]["ename"]
        return None


class Kernel:
    """A kernel of this Python, with its own store."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self.manager = KernelManager()
        self.manager.start_kernel(
            env={**os.environ, "NBFLOW_HOME": str(home), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
            | environment
        )
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self._cells: dict[str, CellResult] = {}
        self._idle: set[str] = set()

    def send(self, code: str) -> str:
        """Start a cell; gives its id, to `wait` for."""
        message_id = self.client.execute(code)
        self._cells[message_id] = CellResult()
        return message_id

    def wait(self, message_id: str, timeout: float = 60) -> CellResult:
        end = time.monotonic() + timeout
        while message_id not in self._idle:
            self.pump(end - time.monotonic())
        return self._cells[message_id]

    def pump(self, timeout: float = 1.0) -> dict[str, Any] | None:
        """Take one message; None: none came."""
        if timeout <= 0:
            raise TimeoutError("the cell did not end in time")
        try:
            message = self.client.get_iopub_msg(timeout=timeout)
        except queue.Empty:
            return None
        parent = message["parent_header"].get("msg_id", "")
        if parent in self._cells:
            self._cells[parent].messages.append(message)
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            self._idle.add(parent)
        return message

    def wait_for_text(self, message_id: str, text: str, timeout: float = 30) -> None:
        """Wait until the cell has written `text`."""
        end = time.monotonic() + timeout
        while text not in self._cells[message_id].text():
            self.pump(end - time.monotonic())

    def run(self, code: str, timeout: float = 60) -> CellResult:
        return self.wait(self.send(code), timeout)

    def literal(self, expression: str) -> Any:
        """The value of an expression in the kernel, which has to be a literal."""
        answer = self.run(f"print('literal:' + repr({expression}))")
        assert answer.error is None, answer.error
        return ast.literal_eval(answer.text("stdout").partition("literal:")[2].strip())

    def complete(self, code: str) -> list[str]:
        """What is offered at the end of `code`."""
        message_id = self.client.complete(code)
        while True:
            reply = self.client.get_shell_msg(timeout=30)
            if reply["parent_header"].get("msg_id") == message_id:
                return list(reply["content"]["matches"])

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

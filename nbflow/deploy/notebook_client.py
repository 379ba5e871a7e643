"""The cells of a notebook sent to a fresh kernel one by one, and what came of each."""

from __future__ import annotations

import ast
import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import NoSuchKernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from nbflow.engine.futures import Latch, wait_interruptibly
from nbflow.errors import NbflowError, NotebookFailed

Status = Literal["completed", "cached", "failed", "uncached"]
_STATUSES: tuple[Status, ...] = ("completed", "cached", "failed", "uncached")
_FACTS = "nbflow"  # the key of cell metadata and of the expression sent along
# Does not load what the notebook itself has not: without autotask its kernel stays as it is.
# The number of cells that were obtained so far tells whether the newest one is this cell.
_EXPRESSION = (
    "(lambda s: '' if s is None else"
    " f'{sum(len(one.obtained) for one in s._sessions.values())} {s.obtained_json()}')"
    "(__import__('sys').modules.get('nbflow.notebook.session'))"
)
# The copy on disk is at most this far behind.
_SAVE_SECONDS = 0.5
# What a kernel gets to end its cell and itself, more than jupyter_client gives it before killing.
_END_SECONDS = 15.0
# Not by way of the extension manager: it would write a line when the notebook loads nbflow itself.
_AUTOTASK = (
    "__import__('nbflow').load_ipython_extension(get_ipython())\n"
    "get_ipython().run_line_magic('autotask', 'on')"
)


@dataclass(frozen=True, slots=True)
class CellProgress:
    """Where a notebook run stands.

    Attributes:
        number: The code cell that begins, from 1 on.
        n_cells: Code cells in all.
        title: What the cell begins with.
    """

    number: int
    n_cells: int
    title: str


@dataclass(frozen=True, slots=True)
class CellFacts:
    """How a cell came by its outputs.

    Attributes:
        status: completed: it ran and may be reused; uncached: it ran and may not.
        reason: Why it was not reused or may not be, or the error it failed with.
        seconds: What it took now.
        key: Of its entry in the cache; empty: it has none.
        saved_seconds: Of a cached one: what it took when it ran.
        is_expected: Of a failed one: whether the notebook itself says that it raises.
    """

    status: Status
    reason: str = ""
    seconds: float = 0.0
    key: str = ""
    saved_seconds: float = 0.0
    is_expected: bool = False


Progress = Callable[[CellProgress], object]
Obtained = Callable[[CellProgress, CellFacts], object]


class CellRunner(NotebookClient):
    """nbclient, with the facts of how each cell was obtained put into its metadata.

    Args:
        folder: The kernel's working directory.
        autotask: Whether every cell is a task, reused where that is safe.
        allow_errors: Whether to go on after cells that raise.
        save: Called before the first cell and after each.
        progress: Called before each code cell.
        obtained: Called after each code cell that failed or may be a task.
    """

    def __init__(
        self,
        notebook: NotebookNode,
        folder: Path,
        *,
        autotask: bool,
        allow_errors: bool,
        save: Callable[[], None],
        progress: Progress,
        obtained: Obtained,
    ) -> None:
        is_python = _is_python(notebook)
        if autotask and not is_python:
            raise NbflowError("--autotask is for notebooks in Python; this one asks for another")
        super().__init__(
            notebook,
            timeout=None,
            # For Python the kernel of this interpreter, whatever its name in the notebook.
            kernel_name="python3" if is_python else str(notebook.metadata.kernelspec.name),
            # ipykernel's warning that loopback is not encrypted would stand in every log.
            extra_arguments=["--IPKernelApp.log_level=40"] if is_python else [],
            resources={"metadata": {"path": str(folder.resolve())}},
            allow_errors=allow_errors,
            on_cell_executed=self._executed,
        )
        self._is_python = is_python
        self._autotask = autotask
        self._save = save
        self._progress = progress
        self._obtained = obtained
        self._saving: asyncio.TimerHandle | None = None
        self._saved_at = 0.0
        self._n_begun = 0
        self._n_told = 0
        self._began_at = 0.0
        self._cells = [cell for cell in notebook.cells if runs(cell)]
        self._failed: list[tuple[int, str]] = []  # code cell's number and error

    def run(self, environment: Mapping[str, str]) -> None:
        """Execute all cells. The kernel gets the environment given.

        Raises:
            NotebookFailed: A cell raised; where errors are allowed, after the last cell.
            NbflowError: There is no such kernel, or it died.
        """
        for cell in self._cells:
            cell.metadata.pop(_FACTS, None)  # of an earlier run
        self._save()
        try:
            self._run_in_thread(dict(environment))
        except CellExecutionError as error:
            told = f"{error.ename}: {error.evalue}"
            raise NotebookFailed(self._told_of(self._n_begun), told) from None
        except DeadKernelError:
            cell = self._told_of(self._n_begun)
            raise NbflowError(f"the kernel died in {cell}; it may have run out of memory") from None
        except NoSuchKernel as error:
            raise NbflowError(
                f"there is no kernel {error.name!r} on this machine, which the notebook asks for; "
                "`jupyter kernelspec list` shows those there are"
            ) from None
        finally:
            if self._saving is not None:
                self._saving.cancel()
            self._save()
        if self._failed:
            self._raise_failed()

    def _run_in_thread(self, environment: dict[str, str]) -> None:
        """Wait for a thread of its own, where an event loop sees to the kernel.

        Whatever ends the run from outside is raised here, never within that loop, which might take
        it for something else. The kernel is ended then, its cell interrupted first.
        """
        loop, errors, done = asyncio.new_event_loop(), list[BaseException](), Latch()
        execution = loop.create_task(self._execute_all(environment))

        def work() -> None:
            try:
                with asyncio.Runner(loop_factory=lambda: loop) as runner:
                    runner.run(_awaited(execution))
            except BaseException as error:
                errors.append(error)
            finally:
                done.set()

        threading.Thread(target=work, name="nbflow-notebook", daemon=True).start()
        try:
            wait_interruptibly(done, None)
        except BaseException:
            with suppress(RuntimeError):  # it has ended, and its loop is closed
                loop.call_soon_threadsafe(execution.cancel)
                done.wait(_END_SECONDS)
            raise
        if errors:
            raise errors[0]

    async def _execute_all(self, environment: dict[str, str]) -> None:
        try:
            # Our own keyword of nbclient's: whatever it does not know goes to the kernel's start.
            await self.async_execute(env=environment)
        finally:
            if self.km is not None:  # it was ended while the kernel started
                await self._async_cleanup_kernel()

    def create_kernel_manager(self) -> Any:
        manager = super().create_kernel_manager()
        manager.client_factory = _CellSender
        return manager

    async def async_execute_cell(self, cell: NotebookNode, *args: Any, **kwargs: Any) -> Any:
        if runs(cell):
            await self._prepare(cell)
            self._n_begun += 1
            self._progress(self._place())
            self._began_at = time.monotonic()
        try:
            return await super().async_execute_cell(cell, *args, **kwargs)
        finally:
            self._save_soon()

    def _save_soon(self) -> None:
        """Write the copy now, or shortly if it was written just now: writing takes its time."""
        if self._saving is not None:
            return
        wait = self._saved_at + _SAVE_SECONDS - time.monotonic()
        if wait <= 0:
            self._save_now()
        else:
            self._saving = asyncio.get_running_loop().call_later(wait, self._save_now)

    def _save_now(self) -> None:
        self._saving = None
        self._save()
        self._saved_at = time.monotonic()

    async def _prepare(self, cell: NotebookNode) -> None:
        """Say which cell is next; before the first, turn autotask on if it is wanted."""
        sender = self.kc
        assert isinstance(sender, _CellSender)
        if self._autotask and not self._n_begun:
            # Silent and without history: the cells' numbers and outputs stay those of a plain run.
            sent = sender.execute(_AUTOTASK, silent=True, store_history=False)
            reply = await self.async_wait_for_reply(sent)
            content = (reply or {}).get("content", {})
            if content.get("status") != "ok":
                told = f"{content.get('ename')}: {content.get('evalue')}"
                raise NbflowError(f"the notebook's kernel cannot run cells as tasks: {told}")
        sender.cell_id = cell.get("id")
        sender.expressions = {_FACTS: _EXPRESSION} if self._is_python else {}

    def _executed(self, cell: NotebookNode, cell_index: int, execute_reply: dict[str, Any]) -> None:
        """Hook of nbclient's: the kernel has answered, with a result or an error."""
        content = execute_reply["content"]
        if content["status"] == "error":
            facts = CellFacts(
                "failed",
                f"{content.get('ename')}: {content.get('evalue')}",
                time.monotonic() - self._began_at,
                is_expected="raises-exception" in cell.metadata.get("tags", []),
            )
            if not facts.is_expected:
                self._failed.append((self._n_begun, facts.reason))
        else:
            told = self._told_by_kernel(content)
            if told is None and not self._autotask:
                return
            seconds = time.monotonic() - self._began_at
            facts = told or CellFacts("uncached", "it was not run as a task", seconds)
        if self._autotask or self._n_told:
            cell.metadata[_FACTS] = {
                "status": facts.status,
                "reason": facts.reason,
                "seconds": round(facts.seconds, 6),
                "key": facts.key,
            }
        self._obtained(self._place(), facts)

    def _told_by_kernel(self, content: dict[str, Any]) -> CellFacts | None:
        n_told, facts = _facts(content.get("user_expressions", {}).get(_FACTS))
        if n_told == self._n_told:
            return None  # those of an earlier cell: this one has nothing to run, for example
        self._n_told = n_told
        # A cell that failed has not told of it, as kernels answer nothing beside an error.
        return None if facts is None or facts.status == "failed" else facts

    def _place(self) -> CellProgress:
        return CellProgress(self._n_begun, len(self._cells), title(self._cells[self._n_begun - 1]))

    def _told_of(self, number: int) -> str:
        named = f" ({title(self._cells[number - 1])})" if number else ""
        return f"cell {number} of {len(self._cells)}{named}"

    def _raise_failed(self) -> None:
        number, error = self._failed[0]
        if len(self._failed) == 1:
            raise NotebookFailed(self._told_of(number), error)
        counted = f"{len(self._failed)} of {len(self._cells)} cells"
        raise NotebookFailed(counted, f"the first is {self._told_of(number)}: {error}")


class _CellSender(AsyncKernelClient):
    """Sends with each cell its id, as front ends do, and what is to be answered beside it.

    Attributes:
        cell_id: Of the cell that is sent next.
        expressions: Evaluated by the kernel after every cell that does not raise.
    """

    cell_id: str | None = None
    expressions: Mapping[str, str] = {}

    def execute(
        self,
        code: str,
        silent: bool = False,
        store_history: bool = True,
        user_expressions: dict[str, Any] | None = None,
        allow_stdin: bool | None = None,
        stop_on_error: bool = True,
    ) -> str:
        """As the method of `KernelClient`, which has no parameter for metadata."""
        expressions = self.expressions if user_expressions is None and not silent else {}
        content = {
            "code": code,
            "silent": silent,
            "store_history": store_history,
            "user_expressions": user_expressions or dict(expressions),
            "allow_stdin": self.allow_stdin if allow_stdin is None else allow_stdin,
            "stop_on_error": stop_on_error,
        }
        metadata = {} if self.cell_id is None else {"cellId": self.cell_id}
        message = self.session.msg("execute_request", content, metadata=metadata)
        self.shell_channel.send(message)
        return str(message["header"]["msg_id"])


async def _awaited(task: asyncio.Task[None]) -> None:
    await task


def _facts(answer: Any) -> tuple[int, CellFacts | None]:
    """A kernel's answer to `_EXPRESSION`: how many cells were obtained, and how the last one.

    The answer is the repr of the text, as IPython displays it.
    """
    try:
        n_told, _, text = ast.literal_eval(answer["data"]["text/plain"]).partition(" ")
        given = json.loads(text)
        if given["status"] not in _STATUSES:
            return int(n_told), None
        return int(n_told), CellFacts(
            given["status"],
            given.get("reason") or "",
            float(given.get("seconds") or 0.0),
            given.get("key") or "",
            float(given.get("saved_seconds") or 0.0),
        )
    except (KeyError, TypeError, ValueError, SyntaxError, AttributeError):
        # There are none yet, or the notebook displays text in a way of its own.
        return 0, None


def title(cell: NotebookNode) -> str:
    """What a cell begins with, for people: its magic's line or its first line of code."""
    lines = [line.strip() for line in cell.source.splitlines()]
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return first if len(first) <= 60 else f"{first[:59]}…"


def runs(cell: NotebookNode) -> bool:
    """Whether a cell is code that is not blank."""
    return bool(cell.cell_type == "code" and cell.source.strip())


def _is_python(notebook: NotebookNode) -> bool:
    spec = notebook.metadata.get("kernelspec", {})
    known = spec.get("language") or notebook.metadata.get("language_info", {}).get("name", "python")
    return bool(known == "python")

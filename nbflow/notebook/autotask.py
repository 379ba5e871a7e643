"""`%autotask on`: every cell that is run becomes a task, remembered where that is surely right."""

from __future__ import annotations

import linecache
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from nbflow.analysis.effects import EffectKind, cell_effects, is_definitions_only
from nbflow.memo.cells import cell_of
from nbflow.model.specs import ResultOptions, TaskSpec
from nbflow.notebook.cells import cell_code
from nbflow.notebook.obtaining import Obtained
from nbflow.notebook.parsing import parse
from nbflow.notebook.recording import flush_figures
from nbflow.notebook.remembering import CellKeeper

if TYPE_CHECKING:
    from nbflow.notebook.session import Session
    from nbflow.notebook.task_cells import TaskCell

_OURS = ("%%task", "%%flow", "%nbflow", "%autotask", "%flow", "%task", "%schedule",
         "%load_ext nbflow", "%reload_ext nbflow", "%unload_ext nbflow")  # fmt: skip
#: Whether the code at hand is that of a cell already.
inside: ContextVar[bool] = ContextVar("nbflow_autotask_inside", default=False)


class Autotask:
    """Stands in for the shell's way to run a cell's statements, until `close()`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._shell = session.shell
        self._inner: Callable[..., Any] = self._shell.run_ast_nodes
        self._shell.__dict__["run_ast_nodes"] = self._run

    def close(self) -> None:
        """Cells are run as they always were."""
        if self._shell.__dict__.get("run_ast_nodes") == self._run:
            del self._shell.__dict__["run_ast_nodes"]

    async def _run(
        self,
        nodelist: list[Any],
        cell_name: str,
        interactivity: str = "last_expr",
        compiler: Any = compile,
        result: Any = None,
    ) -> bool:
        """As `InteractiveShell.run_ast_nodes`: gives whether the cell raised."""

        async def plainly() -> bool:
            failed: bool = await self._inner(nodelist, cell_name, interactivity, compiler, result)
            return failed

        if not nodelist or interactivity == "none" or inside.get():
            return await plainly()
        token = inside.set(True)
        try:
            return await self._run_cell(plainly, nodelist, cell_name, result)
        finally:
            inside.reset(token)

    async def _run_cell(
        self, plainly: Callable[[], Any], nodelist: list[Any], cell_name: str, result: Any
    ) -> bool:
        source = "".join(linecache.getlines(cell_name))
        began, n_obtained = time.perf_counter(), len(self._session.obtained)
        try:
            code = cell_code(source, source, cell_name, self._shell.compile.flags)
            effects = cell_effects(source)
        except SyntaxError:  # the text of the cell is not to be had
            return await plainly()
        if any(effect.told.startswith(_OURS) for effect in effects):
            failed: bool = await plainly()
            status = "failed" if failed else "uncached"
            if len(self._session.obtained) == n_obtained:  # it is no task cell of its own
                seconds = time.perf_counter() - began
                told = Obtained(status, "it uses nbflow's magics", seconds)
                self._session.obtained.append(told)
            return failed
        options = parse(self._session.magics.task, "--quiet")
        name = code.result_name or ""
        task_cell = self._session.register(name, code, options, option_line="--quiet")
        run = _CellRun(self._session, task_cell, plainly, result)
        awaits = any(effect.kind is EffectKind.AWAIT for effect in effects)
        return await run.awaiting() if awaits else run.blocking()


class _CellRun:
    """One execution of one cell, as a task run."""

    def __init__(
        self, session: Session, task_cell: TaskCell, plainly: Callable[[], Any], result: Any
    ) -> None:
        self._session = session
        self._task_cell = task_cell
        self._plainly = plainly
        self._result = result
        cell = task_cell.cell
        is_quick = is_definitions_only(cell.transformed)
        self._keeper = CellKeeper(
            session,
            cell_of(
                task_cell.name,
                cell.transformed,
                cell.names,
                cell.filename,
                form="cell",
            ),
            reason="it only defines names, and is run each time" if is_quick else "",
            min_seconds=session.cache_min_seconds,
            alone=not session.flow.is_busy,
        )
        task_cell.obtained = self._keeper.obtained

    def blocking(self) -> bool:
        return self._ended(lambda engine, spec: engine.call(spec, (), {}), self._run)

    async def awaiting(self) -> bool:
        spec = self._spec(self._run_async)
        try:
            await self._session.watch().engine.call(spec, (), {})
        except BaseException as error:
            return self._failed(error)
        return False

    def _ended(self, call: Callable[[Any, TaskSpec], Any], fn: Callable[..., Any]) -> bool:
        try:
            call(self._session.watch().engine, self._spec(fn))
        except BaseException as error:
            return self._failed(error)
        return False

    def _failed(self, error: BaseException) -> bool:
        if error is not getattr(self._result, "error_in_exec", None):
            raise error  # not of the cell: a cancelled run, an interrupt on the way
        return True

    def _spec(self, fn: Callable[..., Any]) -> TaskSpec:
        spec = TaskSpec(
            fn=fn,
            name=self._task_cell.name,
            owner=self._task_cell,
            description=self._task_cell.cell.source,
            results=ResultOptions(keeper=self._keeper),
        )
        self._session.quiet = spec
        return spec

    def _run(self) -> None:
        with self._keeper.running():
            coroutine = self._plainly()
            try:
                coroutine.send(None)
            except StopIteration as stop:
                failed = stop.value
            else:
                coroutine.close()
                raise RuntimeError("a cell without a top-level await has awaited")
            self._finish(failed)

    async def _run_async(self) -> None:
        with self._keeper.running():
            self._finish(await self._plainly())

    def _finish(self, failed: bool) -> None:
        flush_figures()
        if failed:
            error: BaseException = self._result.error_in_exec
            raise error

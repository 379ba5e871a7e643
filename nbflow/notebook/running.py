"""Running cells: from a magic's options to a run, and its error back to the cell."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from nbflow import flow_runs, history, wiring
from nbflow.console import console_line, told_of_line, users_traceback
from nbflow.errors import CellSyntaxError, NbflowError
from nbflow.memo.cells import cell_of
from nbflow.model.annotations import quote
from nbflow.model.retries import RetryPolicy
from nbflow.model.specs import FlowSpec, ResultOptions, Spec, TaskSpec
from nbflow.notebook import caching
from nbflow.notebook.cells import CellCode, CellFunction, compile_cell
from nbflow.notebook.parsing import names
from nbflow.notebook.recording import flush_figures
from nbflow.notebook.remembering import CellKeeper
from nbflow.notebook.shells import flows_in
from nbflow.notebook.task_cells import TaskCell

if TYPE_CHECKING:
    from nbflow.notebook.session import Session


def run_task_cell(session: Session, magic_line: str, source: str, args: Any) -> Any:
    """Run a cell as a task in the user's namespace; gives its last expression's value."""
    __tracebackhide__ = True
    cell = _compiled(session, source, magic_line)
    name, line = args.name or cell.result_name or "", magic_line.removeprefix("%%task").strip()
    task_cell = session.register(name, cell, args, magic_line, line)
    if args.background:
        return session.flow.start_one(task_cell)
    return rerun(session, task_cell)


def rerun(session: Session, task_cell: TaskCell) -> Any:
    """Run a task cell with the code and options it was last given."""
    __tracebackhide__ = True
    cell, args = task_cell.cell, task_cell.options
    namespace = session.shell.user_ns
    for earlier in names(args.after):
        _require_completed(session, task_cell.name, earlier)
    declared = names(args.inputs)
    if missing := [name for name in declared if name not in namespace]:
        raise UsageError(
            f"task {task_cell.name!r} needs {', '.join(missing)}, which the notebook has not "
            "defined; run the cell that writes it, or change --inputs"
        )
    inputs = {
        name: quote(namespace[name])  # quoted: the cell waits for futures itself
        for name in declared or cell.names.reads
        if name in namespace
    }
    spec, _ = spec_of(session, task_cell, alone=not session.flow.is_busy)
    return _run(session, spec, inputs, cell, quiet=args.quiet)


def spec_of(
    session: Session,
    task_cell: TaskCell,
    *,
    refresh: bool = False,
    holds: bool = False,
    alone: bool = True,
) -> tuple[TaskSpec, CellKeeper]:
    """One execution of a task cell: what the engine runs, and what remembers it.

    Args:
        refresh: Run it though it is remembered.
        holds, alone: See `CellKeeper`.
    """
    cell, args = task_cell.cell, task_cell.options
    outputs = names(args.outputs) or None
    facts = cell_of(
        task_cell.name,
        cell.transformed,
        cell.names,
        cell.filename,
        inputs=names(args.inputs),
        outputs=outputs,
        form="" if task_cell.line else "cell",
    )
    keeper = CellKeeper(
        session,
        facts,
        reason="--no-cache" if args.no_cache else "",
        forced=args.cache,
        refresh=refresh or args.refresh,
        expiration_seconds=args.expires,
        returns_last=True,
        holds=holds,
        alone=alone,
    )
    task_cell.obtained = keeper.obtained
    fn = CellFunction(cell, session.shell.user_ns, outputs, alone=alone).function()
    spec = TaskSpec(
        fn=_kept(fn, keeper, is_async=cell.is_async),
        name=task_cell.name,
        owner=task_cell,
        description=cell.source,
        results=ResultOptions(keeper=keeper),
        **_common(args),
    )
    return spec, keeper


def _kept(fn: Callable[..., Any], keeper: CellKeeper, *, is_async: bool) -> Callable[..., Any]:
    """A cell's function, watched and recorded by its keeper."""

    def run(**inputs: Any) -> Any:
        with keeper.running():
            value = fn(**inputs)
            flush_figures()
        return value

    async def run_async(**inputs: Any) -> Any:
        with keeper.running():
            value = await fn(**inputs)
            flush_figures()
        return value

    return run_async if is_async else run


def run_flow_cell(session: Session, magic_line: str, source: str, args: Any) -> Any:
    """Run a cell as a flow in the user's namespace; gives its last expression's value."""
    __tracebackhide__ = True
    cell = _compiled(session, source, magic_line)
    spec = FlowSpec(
        fn=CellFunction(cell, session.shell.user_ns, undo=False).function(),
        name=args.name or "flow",
        validate_parameters=False,
        log_prints=True if args.log_prints else None,
        description=source,
        **_common(args),
    )
    return _run(session, spec, {}, cell, quiet=args.quiet)


def task_table(session: Session, name: str | None) -> Any:
    """The task cells of this notebook as a frame, or the one asked for."""
    import pandas as pd

    known = session.task_cells
    if name is not None and name not in known:
        raise UsageError(_unknown_cell(session, name))
    rows = [
        {
            "task": one.name,
            "state": one.run.state.name if one.run is not None else "",
            "seconds": one.run.seconds if one.run is not None else None,
            "reads": ", ".join(one.cell.names.reads),
            "writes": ", ".join(one.cell.names.writes),
        }
        for one in known.values()
        if name in (None, one.name)
    ]
    if not rows:
        raise UsageError("no cell has been run as a task yet; write %%task at the top of one")
    return pd.DataFrame(rows).set_index("task")


def answer(session: Session, args: Any) -> Any:
    """What `%nbflow` was asked."""
    __tracebackhide__ = True
    try:
        if args.what == "tasks":
            return task_table(session, args.run)
        if args.what == "runs":
            kept = ["name", "kind", "of", "state", "tries", "seconds", "started_at", "message"]
            frame = history.runs(name=args.run, limit=args.limit)[kept]
            frame["seconds"] = frame["seconds"].round(3)
            frame["started_at"] = frame["started_at"].dt.floor("s")
            return frame
        if args.what == "logs":
            return _print_log(args.run)
        if args.what == "cache":
            return _answer_cache(session, args.run, args.task)
        if args.what == "doctor":
            from nbflow.doctor.examination import report

            return print(report())  # noqa: T201  (the answer)
        if args.run is None:
            raise UsageError(f"%nbflow {args.what} needs a run: its name or id (see %nbflow runs)")
        if args.what == "resume":
            return _resume(session, args.run)
        record = flow_runs.ask(args.run, args.what)
        ended = f" has ended already: {record.state_name}"
        told = ended if record.is_final else f": {args.what} was asked for"
        return print(f"{record.label}{told}")  # noqa: T201  (the answer)
    except NbflowError as error:
        raise UsageError(str(error)) from None


def _resume(session: Session, run: str) -> None:
    """Go on with a run that was paused, or start one again that did not complete."""
    __tracebackhide__ = True
    from nbflow.deploy.resuming import resume

    flows = {one.name: one for one in flows_in(session.shell).values()}
    record = resume(run, flows=flows)
    is_paused = run in (record.name, record.id)
    told = "goes on" if is_paused else f"goes on from {run}: {record.state_name}"
    print(f"{record.label} of {record.spec_name!r} {told}")  # noqa: T201  (the answer)


def _answer_cache(session: Session, verb: str | None, task: str | None) -> Any:
    if verb == "clear":
        return print(caching.clear(session))  # noqa: T201  (the answer)
    if verb in ("rm", "why"):
        if task is None:
            raise UsageError(f"%nbflow cache {verb} needs the name of a task")
        told = caching.forget(session, task) if verb == "rm" else caching.why(session, task)
        return print(told)  # noqa: T201  (the answer)
    return caching.table(session, verb)


def _print_log(run: str | None) -> None:
    """A run's log as text: a frame would cut its lines. Default: the newest run's."""
    store = wiring.current().store
    store.flush()
    if run is None:
        newest = store.runs(outermost=True, limit=1)
        if not newest:
            raise UsageError("nothing has been run yet")
        record = newest[0]
    else:
        record = store.find_run(run)
    labels = {one.id: one.label for one in store.family(record.id)}
    for line in store.lines(record.id):
        loudness, told = told_of_line(labels.get(line.run_id, line.run_id), line)
        if loudness >= logging.DEBUG:
            print(console_line(line.at, loudness, told))  # noqa: T201  (the answer)


def _common(args: Any) -> dict[str, Any]:
    return {
        "retry": RetryPolicy(args.retries, tuple(args.retry_delay or ())),
        "timeout_seconds": args.timeout,
        "tags": frozenset(names(args.tags)),
    }


def _run(
    session: Session, spec: Spec, inputs: dict[str, Any], cell: CellCode, *, quiet: bool
) -> Any:
    __tracebackhide__ = True
    engine = session.watch().engine
    session.quiet = spec if quiet else None
    try:
        answer = engine.call(spec, (), inputs)
        # A cell that awaits runs on nbflow's loop: the kernel's own runs this very call.
        return engine.loop.run(answer) if cell.is_async and inspect.iscoroutine(answer) else answer
    except KeyboardInterrupt as error:
        _show_instead(error, [f"KeyboardInterrupt: {spec.name!r} was cancelled"])
        raise
    except BaseException as error:
        show_briefly(session, error, cell)
        raise


def show_briefly(session: Session, error: BaseException, cell: CellCode) -> None:
    """Have the traceback of an error begin in the cell's own code."""
    formatter = session.shell.InteractiveTB
    trace = users_traceback(error, cell.filename)
    if trace is not None:
        shown = formatter.structured_traceback(type(error), error, trace, tb_offset=0)
    else:  # what ended the cell did not come from a line of it
        shown = formatter.get_exception_only(type(error), error)
    _show_instead(error, shown)


def _compiled(session: Session, source: str, magic_line: str) -> CellCode:
    __tracebackhide__ = True
    try:
        return compile_cell(session.shell, source, magic_line)
    except SyntaxError as error:
        shown = session.shell.SyntaxTB.structured_traceback(type(error), error, [])
        failure = CellSyntaxError(str(error))
        _show_instead(failure, shown)
        raise failure from None


def _show_instead(error: BaseException, lines: list[str]) -> None:
    """Have IPython show this in place of the traceback through the magic and the engine."""

    def once() -> list[str]:
        del error._render_traceback_  # type: ignore[attr-defined]
        return lines

    error._render_traceback_ = once  # type: ignore[attr-defined]


def _require_completed(session: Session, name: str, earlier: str) -> None:
    known = session.task_cells.get(earlier)
    if known is None:
        raise UsageError(f"--after of task {name!r}: {_unknown_cell(session, earlier)}")
    if known.run is None or not known.run.state.is_completed():
        state = known.run.state.name if known.run is not None else "not run"
        raise UsageError(
            f"task {name!r} comes after {earlier!r}, which is {state}; run that cell first"
        )


def _unknown_cell(session: Session, name: str) -> str:
    known = ", ".join(session.task_cells) or "none yet"
    return f"there is no task cell {name!r} in this notebook; there are: {known}"

"""`%%task`, `%%flow` and `%nbflow`: parse, delegate, show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import (
    Magics,
    line_cell_magic,
    line_magic,
    magics_class,
    no_var_expand,
    output_can_be_silenced,
)
from IPython.core.magic_arguments import argument, magic_arguments

from nbflow.notebook import flowing, running
from nbflow.notebook.parsing import count, delays, parse, period, seconds

if TYPE_CHECKING:
    from nbflow.notebook.session import Session


@magics_class
class NbflowMagics(Magics):
    """The magics of one session."""

    def __init__(self, shell: Any, session: Session) -> None:
        super().__init__(shell)
        self._session = session

    @no_var_expand
    @magic_arguments()
    @argument("name", nargs="?", help="The task's name; default: the first name the cell assigns.")
    @argument("--retries", type=count, default=0, metavar="N", help="Tries after the first.")
    @argument(
        "--retry-delay",
        type=delays,
        metavar="SECONDS",
        help="Wait before a retry; 1,2,4: before the first, the second, ...",
    )
    @argument("--timeout", type=seconds, metavar="SECONDS", help="How long one try may take.")
    @argument("--tags", metavar="TAGS", help="Tags of the run, as a,b; limits of the name apply.")
    @argument("--after", metavar="TASKS", help="Task cells that must have completed, as a,b.")
    @argument("--inputs", metavar="NAMES", help="Names the cell needs; default: those it reads.")
    @argument("--outputs", metavar="NAMES", help="The only names to keep; default: all it writes.")
    @argument(
        "--cache",
        action="store_true",
        help="Remember it though it reads the clock, the network or the like.",
    )
    @argument("--no-cache", action="store_true", help="Run it each time.")
    @argument("--refresh", action="store_true", help="Run it now, and replace what is kept.")
    @argument("--expires", type=period, metavar="TIME", help="Use what is kept for 1h, 2d, ...")
    @argument("--background", "-b", action="store_true", help="In a thread; gives a future.")
    @argument("--quiet", action="store_true", help="Show no status line.")
    @output_can_be_silenced
    @line_cell_magic
    def task(self, line: str, cell: str | None = None) -> Any:
        """Run this cell as a task: tracked, retried, timed, logged and remembered."""
        __tracebackhide__ = True
        args = parse(self.task, line)
        if args is None:
            return None
        if cell is None:
            return running.task_table(self._session, args.name)
        return running.run_task_cell(self._session, f"%%task {line}", cell, args)

    @no_var_expand
    @magic_arguments()
    @argument("name", nargs="?", help="The flow's name; default: 'flow'.")
    @argument("--retries", type=count, default=0, metavar="N", help="Tries after the first.")
    @argument("--retry-delay", type=delays, metavar="SECONDS", help="Wait before a retry.")
    @argument("--timeout", type=seconds, metavar="SECONDS", help="How long one try may take.")
    @argument("--tags", metavar="TAGS", help="Tags of the run, as a,b.")
    @argument("--log-prints", action="store_true", help="Log what is printed, as log lines.")
    @argument("--quiet", action="store_true", help="Show no status line.")
    @output_can_be_silenced
    @line_cell_magic
    def flow(self, line: str, cell: str | None = None) -> Any:
        """Run this cell as a flow: the tasks and task cells it calls are its runs."""
        __tracebackhide__ = True
        if cell is None:
            args = parse(self.notebook_flow, line, is_line=True)
            return None if args is None else flowing.answer(self._session, args)
        args = parse(self.flow, line)
        if args is None:
            return None
        return running.run_flow_cell(self._session, f"%%flow {line}", cell, args)

    @no_var_expand
    @magic_arguments("%flow")
    @argument(
        "what",
        nargs="?",
        default="show",
        choices=["show", "run", "stale", "restore", "export"],
        help="What to do; default: show the graph of the task cells.",
    )
    @argument(
        "targets",
        nargs="*",
        help="For run: task cells or variables; default: all. For export: the path of the file.",
    )
    @argument(
        "-p",
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="For run: a value for a variable.",
    )
    @argument(
        "--downstream",
        action="store_true",
        help="For run: the targets and what depends on them, not what they need.",
    )
    @argument("--force", action="store_true", help="For run: also what is up to date or kept.")
    @argument("--jobs", type=count, default=0, metavar="N", help="For run: how many at once.")
    @argument(
        "--background",
        "-b",
        action="store_true",
        help="For run: in a thread; gives a future at once.",
    )
    def notebook_flow(self, line: str) -> None:
        """Show, run, restore or export the flow that the notebook's task cells form."""

    @no_var_expand
    @magic_arguments()
    @argument("state", nargs="?", choices=["on", "off"], help="Default: tell which it is.")
    @line_magic
    def autotask(self, line: str) -> None:
        """Make every cell that is run from now on a task, remembered where that is surely right."""
        args = parse(self.autotask, line, is_line=True)
        if args is not None and args.state is not None:
            self._session.autotask(on=args.state == "on")
        elif args is not None:
            print("on" if self._session.is_autotask else "off")  # noqa: T201  (the answer)

    @no_var_expand
    @magic_arguments()
    @argument(
        "what",
        nargs="?",
        default="runs",
        choices=["runs", "logs", "tasks", "cache", "cancel", "pause", "resume", "doctor"],
        help="What to show or do; default: runs.",
    )
    @argument(
        "run",
        nargs="?",
        help="A run's name or id; default for logs: the newest run. "
        "For cache: a task, or rm TASK, clear, why TASK.",
    )
    @argument("task", nargs="?", help="For cache rm and cache why: the task.")
    @argument("--limit", type=count, default=20, metavar="N", help="How many runs to show.")
    @line_magic
    def nbflow(self, line: str) -> Any:
        """Look at the recorded runs, their logs and what is kept; end a run, or go on with one."""
        args = parse(self.nbflow, line, is_line=True)
        return None if args is None else running.answer(self._session, args)

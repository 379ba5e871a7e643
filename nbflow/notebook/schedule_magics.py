"""`%schedule`: parse, delegate, show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import (
    Magics,
    line_magic,
    magics_class,
    no_var_expand,
    output_can_be_silenced,
)
from IPython.core.magic_arguments import argument, magic_arguments

from nbflow.notebook.parsing import parse

if TYPE_CHECKING:
    from nbflow.notebook.session import Session


@magics_class
class ScheduleMagics(Magics):
    """The magic of schedules of one session."""

    def __init__(self, shell: Any, session: Session) -> None:
        super().__init__(shell)
        self._session = session

    @no_var_expand
    @magic_arguments()
    @argument(
        "what",
        nargs="*",
        metavar="WHAT",
        help="A cron text in quotes, such as '0 8 * * *', unless an option says when; then an "
        "@flow of the notebook; default: the flow of its task cells, as they are now.",
    )
    @argument("--every", metavar="TIME", help="Every so often: 90s, 15m, 6h, 1d.")
    @argument("--at", metavar="WHEN", help="Once: 2026-12-24T18:00.")
    @argument(
        "--on-change",
        action="append",
        metavar="PATTERN",
        help="When files change: 'data/*.csv'. May be repeated.",
    )
    @argument("--after", metavar="FLOW", help="Each time a run of this flow has completed.")
    @argument("--tz", metavar="ZONE", help="Time zone, such as Europe/Paris; default: this one's.")
    @argument("--name", metavar="NAME", help="The schedule's name; default: the flow's.")
    @argument(
        "-p",
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="A parameter of the flow, or a variable that the task cells read.",
    )
    @argument(
        "--catch-up",
        metavar="skip|latest|all",
        help="Of fire times that nobody was there for, run none, the latest or all; default: "
        "latest.",
    )
    @argument(
        "--overlap",
        metavar="skip|queue|cancel|allow",
        help="While an earlier run goes on: do not run, wait, cancel that one, or run both; "
        "default: skip.",
    )
    @argument("--jitter", metavar="TIME", help="Begin up to this much later: 30s, 5m.")
    @argument("--until", metavar="WHEN", help="The last time it may fire: 2026-12-31.")
    @argument("--tags", metavar="TAGS", help="Tags of its runs, as a,b.")
    @argument(
        "--notify",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="Tell of failure, recovery and lateness there (apprise). May be repeated.",
    )
    @argument(
        "--pool",
        metavar="POOL",
        help="A work pool whose workers run it when this kernel does not live; with --hand-over: "
        "that run it from now on.",
    )
    @argument("--list", action="store_true", help="Show the notebook's schedules; the default.")
    @argument("--pause", metavar="NAME", help="Fire no more until it is resumed.")
    @argument("--resume", metavar="NAME", help="Fire again.")
    @argument("--trigger", metavar="NAME", help="Run once now.")
    @argument("--delete", metavar="NAME", help="Delete the schedule. Its runs stay.")
    @argument("--hand-over", metavar="NAME", help="Leave it to the workers of --pool.")
    @output_can_be_silenced
    @line_magic
    def schedule(self, line: str) -> Any:
        """Run the notebook or an @flow on a schedule, in the background of this kernel."""
        __tracebackhide__ = True
        args = parse(self.schedule, line, is_line=True)
        if args is None:
            return None
        # Not before it is used: `%load_ext` stays quick.
        from nbflow.notebook.scheduling import answer

        return answer(self._session, args)

"""Between a cell, its run in the engine and its memory: what is looked up, run, kept and told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from nbflow.console import duration
from nbflow.memo.cells import Cell
from nbflow.memo.visits import Remembered, Visit
from nbflow.model.states import State
from nbflow.notebook.obtaining import Obtained
from nbflow.notebook.recording import RESULT, Recorder, recording, show_again
from nbflow.results.claims import Claim
from nbflow.results.results import Hit
from nbflow.results.serializers import JSONSerializer

if TYPE_CHECKING:
    from nbflow.engine.context import RunContext
    from nbflow.notebook.session import Session


class CellKeeper:
    """The cache of one execution of one cell, as the engine calls it.

    Args:
        reason: Why it is not to be cached, if that is known beforehand.
        forced, refresh: See `CellMemory.visit`.
        min_seconds: Run anew what took less than this: that is quicker.
        expiration_seconds: Age at which what is kept is no longer used.
        returns_last: Whether the run's result, and not what was displayed as the cell's result, is
            the value of its last expression.
        holds: Whether what the cell shows is only recorded, in `shown`.
        alone: Whether no other cell runs at the same time.

    Attributes:
        open: Begins the visit; see `CellMemory.visit`.
        shown: What the cell has shown; see `Recorder`.
    """

    def __init__(
        self,
        session: Session,
        cell: Cell,
        *,
        reason: str = "",
        forced: bool = False,
        refresh: bool = False,
        min_seconds: float = 0.0,
        expiration_seconds: float | None = None,
        returns_last: bool = False,
        holds: bool = False,
        alone: bool = True,
    ) -> None:
        self._session = session
        self._holds = holds
        self.shown: list[tuple[Any, ...]] = []
        self._returns_last = returns_last
        self._cell = cell
        self._began = time.perf_counter()
        self._reason = reason
        self._min_seconds = min_seconds
        # Only when its turn has come: what it reads may be written by cells that run before.
        self.open = partial(
            session.memory.visit,
            cell,
            forced=forced,
            refresh=refresh,
            expiration_seconds=expiration_seconds,
            alone=alone,
            origin=session.watch().settings.origin_run,
        )
        self.visit: Visit
        self._claim: Claim | None = None
        self._recorder = Recorder()
        self._seconds = 0.0
        self.obtained = Obtained("failed", name=cell.name)
        session.obtained.append(self.obtained)

    def lookup(self, context: RunContext) -> Hit | None:
        """Put back what the cell did before, if that is known."""
        self._began = time.perf_counter()
        self.visit = self.open()
        if not self._reason and not self._session.has_own_streams():
            self._reason = "sys.stdout or sys.stderr is not the notebook's own"
        if self._reason:
            return None
        try:
            with recording(holds=True):  # what an imported module prints is in `shown` already
                found = self.visit.find() or self._find_after_others(context)
                last = self.visit.restore(found) if found is not None else None
        except Exception as error:  # a module that is gone: run it
            self.visit.reasons.bars[f"it could not be put back: {error}"] = None
            return None
        if found is None:
            return None
        outcome = found.outcome
        self.obtained.changed = outcome.changed
        self.shown = outcome.shown
        if self._holds:
            self._show_value(last)
        else:
            has_last = outcome.has_last and not self._returns_last
            show_again(self._session.shell, outcome.shown, last, has_last=has_last)
        self._set("cached", "", found.key)
        self.obtained.saved_seconds = outcome.seconds
        self.visit.close()
        last = last if self._returns_last else None  # it must not be kept alive
        return Hit(last, found.created_at, found.seconds, 0, message=_told(found))

    def _find_after_others(self, context: RunContext) -> Remembered | None:
        """Let another kernel finish that runs the same cell on the same inputs right now."""
        if self.visit.first_key is None or self.visit.refresh:
            return None
        run = context.run
        claim = self._session.watch().results.lookup_or_claim(
            f"{self.visit.first_key}-run",
            JSONSerializer(),
            run_id=run.id,
            parent_id=run.parent_id,
            is_over=lambda: run.state.is_final(),  # noqa: PLW0108  (the state then)
        )
        if isinstance(claim, Claim):
            self._claim = claim
        found = self.visit.find()
        if found is not None:
            self._release()
        return found

    def _release(self) -> None:
        if self._claim is not None:
            self._claim.release()
            self._claim = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around the cell's code."""
        began = time.perf_counter()
        try:
            with (
                self.visit.watched(skipped=bool(self._reason)),
                recording(holds=self._holds) as recorder,
            ):
                self._recorder = recorder
                self.shown = recorder.shown
                yield
        except BaseException as error:
            self.visit.failed()
            self.visit.close()
            self._release()
            self._set("failed", f"{type(error).__name__}: {error}", "")
            raise
        finally:
            self._seconds = time.perf_counter() - began

    def save(self, context: RunContext, state: State) -> State:
        """Remember what the cell did, or why that is not to be."""
        recorder = self._recorder
        reason = self._reason
        is_quick = self._seconds < self._min_seconds and not self.visit.asked_for_run
        if not reason and is_quick:
            reason = "it is quicker to run than to remember"
        if not reason:
            reason = "; ".join(recorder.reasons)
        if not reason and sum(item[0] == RESULT for item in recorder.shown) > 1:
            reason = "it shows several results"
        if not reason and not self._session.has_own_streams():
            reason = "it replaces sys.stdout or sys.stderr"
        if not reason and _warns(recorder):
            reason = "it gave a warning, which Python shows once"
        if reason:
            self.visit.skip(reason)
        else:
            last = state.data if self._returns_last else recorder.last
            has_last = recorder.has_last or (self._returns_last and last is not None)
            has_last = has_last and not _is_drawing(last)
            reason = self.visit.keep(
                last=last if has_last else None,
                has_last=has_last,
                shown=recorder.shown,
                run_id=context.run.id,
                seconds=self._seconds,
            )
        if self._holds:
            self._show_value(state.data)
        self.obtained.changed = self.visit.changed
        if not reason and self.visit.is_of_run:
            reason = f"{self.visit.reasons.against(forced=False)}; only a resumed run finds it"
        self._set("uncached" if reason else "completed", reason, self.visit.key or "")
        self.visit.close()
        self._release()
        recorder.last = None
        return state

    def _show_value(self, value: Any) -> None:
        """Have the value of the last expression shown with what the cell displayed."""
        is_shown = any(item[0] == RESULT for item in self.shown)
        if self._returns_last and value is not None and not is_shown:
            data, metadata = self._session.shell.display_formatter.format(value)
            if data:
                self.shown = [*self.shown, (RESULT, data, metadata)]

    def _set(self, status: str, reason: str, key: str) -> None:
        obtained = self.obtained
        obtained.status, obtained.reason, obtained.key = status, reason, key
        obtained.seconds = time.perf_counter() - self._began


def _told(found: Remembered) -> str:
    age = duration(max(0.0, time.time() - found.created_at))
    return f"cached {age} ago, saved {duration(found.seconds)}"


def _warns(recorder: Recorder) -> bool:
    """Whether a warning was shown: Python remembers that, and shows each but once."""
    texts = [item[2] for item in recorder.shown if item[:2] == ("stream", "stderr")]
    return any("Warning: " in text for text in texts)


def _is_drawing(value: Any) -> bool:
    """What plotting calls return, for which nobody asks: the figure has been shown."""
    if isinstance(value, list | tuple):
        return bool(value) and all(_is_drawing(one) for one in value)
    return type(value).__module__.partition(".")[0] == "matplotlib"

"""Groups of work that take effect together or not at all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from enum import StrEnum
from typing import Any

from nbflow.errors import TransactionError

logger = logging.getLogger(__name__)
_UNSET = object()
#: A hook and the transaction it is called with.
_Hook = tuple[Callable[["Transaction"], Any], "Transaction"]


class IsolationLevel(StrEnum):
    """Whether two transactions with one key may be open at the same time."""

    READ_COMMITTED = "READ_COMMITTED"  #: they may; the last to commit stands
    SERIALIZABLE = "SERIALIZABLE"  #: the second waits for the first


class TransactionState(StrEnum):
    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    STAGED = "STAGED"
    COMMITTED = "COMMITTED"
    ROLLED_BACK = "ROLLED_BACK"


class Transaction:
    """Collects the hooks of what happens inside, and runs them at the end.

    An inner transaction leaves its work to the outer one when it ends well; only the outermost
    commits. Rollback hooks run in reverse order. Each hook gets the transaction it came from.
    """

    def __init__(self, key: str | None = None, parent: Transaction | None = None) -> None:
        self.key = key
        self.parent = parent
        self.state = TransactionState.PENDING
        self._inner: list[Transaction] = []
        self._commit_hooks: list[_Hook] = []
        self._rollback_hooks: list[_Hook] = []
        self._keeps: list[Callable[[], object]] = []
        self._data: dict[str, Any] = {}
        self._committed_elsewhere = False
        #: What `stage()` was given, to be kept under `key` at the commit.
        self.staged_value: Any = _UNSET

    def set(self, name: str, value: Any) -> None:
        """Leave a value for the hooks, which get the transaction."""
        self._data[name] = value

    def get(self, name: str, default: Any = _UNSET) -> Any:
        """A value that was set here or in a transaction around this one.

        Raises:
            TransactionError: There is none and no default.
        """
        if name in self._data:
            return self._data[name]
        if self.parent is not None:
            return self.parent.get(name, default)
        if default is _UNSET:
            raise TransactionError(f"nothing is set under {name!r} in this transaction")
        return default

    def stage(
        self,
        value: Any,
        on_commit_hooks: list[Callable[[Transaction], Any]] | None = None,
        on_rollback_hooks: list[Callable[[Transaction], Any]] | None = None,
    ) -> None:
        """Give the transaction its result, which is kept under its key when it commits."""
        self.staged_value = value
        self.add_hooks(tuple(on_commit_hooks or ()), tuple(on_rollback_hooks or ()))

    @property
    def has_staged_value(self) -> bool:
        return self.staged_value is not _UNSET

    def add_hooks(
        self,
        on_commit: tuple[Callable[[Transaction], Any], ...],
        on_rollback: tuple[Callable[[Transaction], Any], ...],
        rolled_back: Callable[[], None] | None = None,
    ) -> None:
        """Take hooks over. `rolled_back` is called after `on_rollback`, when it comes to that."""
        self._commit_hooks += [(hook, self) for hook in on_commit]
        if rolled_back is not None:
            self._rollback_hooks.append((lambda _: rolled_back(), self))
        # They run in reverse order of the tasks; those of one task in the order they were given.
        self._rollback_hooks += [(hook, self) for hook in reversed(on_rollback)]

    def keep_by(self, keep: Callable[[], object]) -> None:
        """Call this first when it comes to a commit: it makes the staged value outlive the run."""
        self._keeps.append(keep)

    def is_active(self) -> bool:
        return self.state is TransactionState.ACTIVE

    def is_staged(self) -> bool:
        return self.state is TransactionState.STAGED

    def is_committed(self) -> bool:
        """Whether it was committed, here or by an earlier run under the same key."""
        return self._committed_elsewhere or self.state is TransactionState.COMMITTED

    def is_rolled_back(self) -> bool:
        return self.state is TransactionState.ROLLED_BACK

    def commit(self) -> None:
        """Run the commit hooks, or leave everything to the transaction around this one.

        Raises:
            Exception: A staged value could not be kept; everything is rolled back then.
        """
        if self.parent is not None:
            self.parent._commit_hooks += self._commit_hooks
            self.parent._rollback_hooks += self._rollback_hooks
            self.parent._keeps += self._keeps
            self.parent._inner.append(self)
            self._enter(TransactionState.STAGED)
            return
        try:
            for keep in self._keeps:
                keep()
        except BaseException:
            self.rollback()
            raise
        self._enter(TransactionState.COMMITTED)
        _run(self._commit_hooks)

    def rollback(self) -> None:
        """Run the rollback hooks, the last one first. One that raises does not stop the others."""
        if self.state in (TransactionState.COMMITTED, TransactionState.ROLLED_BACK):
            return
        self._enter(TransactionState.ROLLED_BACK)
        _run(self._rollback_hooks[::-1])

    def _enter(self, state: TransactionState) -> None:
        self.state = state
        for inner in self._inner:
            inner._enter(state)


def _run(hooks: list[_Hook]) -> None:
    for hook, transaction in hooks:
        try:
            hook(transaction)
        except Exception:
            name = getattr(hook, "__name__", repr(hook))
            logger.exception("hook %r of a transaction raised", name)


current_transaction: ContextVar[Transaction | None] = ContextVar(
    "nbflow_current_transaction", default=None
)

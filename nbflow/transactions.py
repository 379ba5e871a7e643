"""`with transaction():` -- tasks inside take effect together, or their rollback hooks run.

With a key it also keeps what was staged, and a later run finds it done.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from nbflow import wiring
from nbflow.engine.context import current_run
from nbflow.engine.transactions import (
    IsolationLevel,
    Transaction,
    TransactionState,
    current_transaction,
)
from nbflow.errors import TransactionError

__all__ = ["IsolationLevel", "Transaction", "get_transaction", "transaction"]

_LOCK_PREFIX = "transaction:"


def get_transaction() -> Transaction | None:
    """The innermost open transaction."""
    return current_transaction.get()


@contextmanager
def transaction(
    key: str | None = None, *, isolation_level: IsolationLevel = IsolationLevel.READ_COMMITTED
) -> Iterator[Transaction]:
    """Open a transaction. It commits at the end of the block, or rolls back when that raises.

    Args:
        key: Name under which `stage(value)` is kept at the commit. A block whose key was committed
            before still runs; ask `is_committed()` to skip its work.
        isolation_level: SERIALIZABLE: wait while another transaction with this key is open.

    Raises:
        TransactionError: SERIALIZABLE without a key.
    """
    level = IsolationLevel(isolation_level)
    if level is IsolationLevel.SERIALIZABLE and key is None:
        raise TransactionError("a SERIALIZABLE transaction needs a key: transaction(key=...)")
    connected = wiring.current()
    lease = None
    if level is IsolationLevel.SERIALIZABLE:
        lock = f"{_LOCK_PREFIX}{key}"
        connected.store.create_limit(lock, 1)
        lease = connected.limits.acquire([lock])
    own = Transaction(key, current_transaction.get())
    own.state = TransactionState.ACTIVE
    results = connected.engine.results
    if key is not None:
        own._committed_elsewhere = results.lookup(_stored_key(key)) is not None
    token = current_transaction.set(own)
    started = time.time()
    try:
        yield own
    except BaseException:
        own.rollback()
        raise
    else:
        if key is not None and own.has_staged_value:
            context = current_run.get()
            own.keep_by(
                partial(
                    results.save,
                    _stored_key(key),
                    own.staged_value,
                    task_name=f"transaction {key}",
                    run_id=context.run.id if context is not None else "",
                    seconds=time.time() - started,
                )
            )
        own.commit()
    finally:
        current_transaction.reset(token)
        if lease is not None:
            lease.release()


def _stored_key(key: str) -> str:
    return f"{_LOCK_PREFIX}{key}"

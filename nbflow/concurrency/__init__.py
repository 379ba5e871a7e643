"""Limits on how much runs at a time, kept in the store and honoured across processes.

`nbflow.concurrency.sync` and `nbflow.concurrency.asyncio` hold the same names; what is here works
in both: `with concurrency("db"):` and `async with concurrency("db"):`.
"""

from nbflow.concurrency.slots import concurrency, rate_limit

__all__ = ["concurrency", "rate_limit"]

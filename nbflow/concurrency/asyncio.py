"""For asynchronous code: `async with concurrency("db"):`, `await rate_limit("api")`."""

from __future__ import annotations

from collections.abc import Sequence

from nbflow.concurrency.slots import concurrency

__all__ = ["concurrency", "rate_limit"]


async def rate_limit(
    names: str | Sequence[str],
    occupy: int = 1,
    *,
    timeout_seconds: float | None = None,
    strict: bool = False,
) -> None:
    """Wait until a limit with a decay lets this pass, without blocking the event loop."""
    slots = concurrency(names, occupy, timeout_seconds=timeout_seconds, strict=strict)
    await slots.acquire_async()

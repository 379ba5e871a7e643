"""Holding slots of a limit while a block runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from nbflow import wiring
from nbflow.engine.context import current_run
from nbflow.limits import Lease, Waiting


class concurrency:  # noqa: N801  (read as a function at the call, as in Prefect)
    """Hold slots of one or several limits inside `with` or `async with`.

    Args:
        names: A limit's name, or several: all are taken or none.
        occupy: Slots to take of each.
        timeout_seconds: How long to wait for them at most; None: as long as it takes.
        strict: A name without a limit is an error; else it does not limit, and says so once.
        limit: Create the limits with this many slots, or change them to it.

    Raises:
        AcquireTimedOut: No slots came free in time.
        LimitNotFound: With `strict`, there is no limit of this name.
    """

    def __init__(
        self,
        names: str | Sequence[str],
        occupy: int = 1,
        *,
        timeout_seconds: float | None = None,
        strict: bool = False,
        limit: int | None = None,
    ) -> None:
        if occupy < 1:
            raise ValueError(f"occupy={occupy!r} is not valid; it takes a number from 1 on")
        self._names = [names] if isinstance(names, str) else list(dict.fromkeys(names))
        self._occupy = occupy
        self._timeout_seconds = timeout_seconds
        self._strict = strict
        self._limit = limit
        self._leases: list[Lease] = []  # one per block entered: the object may be used again

    def acquire(self) -> Lease:
        """Take the slots. Blocks; who calls this must `release()` what it gives."""
        return self._wait().block()

    async def acquire_async(self) -> Lease:
        """As `acquire`, without blocking the event loop."""
        waiting = await asyncio.to_thread(self._wait)
        return await waiting.wait()

    def _wait(self) -> Waiting:
        connected = wiring.current()
        if self._limit is not None:
            known = {record.name: record for record in connected.store.limits()}
            for name in self._names:
                record = known.get(name)
                if record is None or record.limit != self._limit:
                    decay = record.decay_per_second if record is not None else None
                    connected.store.create_limit(name, self._limit, decay)
        context = current_run.get()
        return connected.limits.waiting(
            self._names,
            self._occupy,
            timeout_seconds=self._timeout_seconds,
            strict=self._strict,
            run_id=context.run.id if context is not None else "",
        )

    def __enter__(self) -> Self:
        self._leases.append(self.acquire())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leases.pop().release()

    async def __aenter__(self) -> Self:
        self._leases.append(await self.acquire_async())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Not a coroutine of its own: a cancellation here must not keep the slots taken.
        loop = asyncio.get_running_loop()
        await asyncio.shield(loop.run_in_executor(None, self._leases.pop().release))


def rate_limit(
    names: str | Sequence[str],
    occupy: int = 1,
    *,
    timeout_seconds: float | None = None,
    strict: bool = False,
) -> None:
    """Wait until a limit with a decay lets this pass. Blocks; there is nothing to release.

    Raises:
        AcquireTimedOut, LimitNotFound: As `concurrency`.
    """
    concurrency(names, occupy, timeout_seconds=timeout_seconds, strict=strict).acquire()

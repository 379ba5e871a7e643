"""Keeping results, and finding them again."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol

from nbflow.errors import ResultUnreadable
from nbflow.model.records import ResultRecord
from nbflow.results.claims import Claim, Claims
from nbflow.results.entries import Draft, open_entry
from nbflow.results.eviction import Eviction, EvictionIndex
from nbflow.results.files import ResultFiles
from nbflow.results.serializers import NAMED, AnySerializer, PickleSerializer, dump, load
from nbflow.results.signing import Signer
from nbflow.store.results import Removed, ResultRow

logger = logging.getLogger(__name__)

# SQLite reads small blobs faster than the file system opens files; the cross-over is near 20 KB.
_INLINE_BYTES = 16 << 10


class ResultIndex(EvictionIndex, Protocol):
    """What results need of the store."""

    @property
    def folder(self) -> Path: ...
    def put_result(self, row: ResultRow) -> str | None: ...
    def get_result(self, key: str) -> ResultRow | None: ...
    def use_result(self, key: str, seconds: float) -> None: ...
    def drop_result(self, row: ResultRow) -> None: ...
    def list_results(self, **filters: str | None) -> list[ResultRecord]: ...
    def result_keys(self, group: str) -> list[str]: ...
    def forget_results(
        self, *, key: str | None, task_name: str | None, run_id: str | None
    ) -> Removed: ...
    def ancestors(self, run_id: str) -> set[str]: ...


@dataclass(frozen=True, slots=True)
class Hit:
    """A kept result that may be used.

    Attributes:
        seconds: How long it took to make.
        message: For the state of the run that it stands in for.
    """

    value: Any
    created_at: float
    seconds: float
    size_bytes: int
    message: str = ""


class _Opened(NamedTuple):
    signer: Signer
    files: ResultFiles
    claims: Claims
    eviction: Eviction


class Results:
    """The results of one store folder.

    Args:
        max_bytes: Size of all results above which those used longest ago are dropped.
        max_age_seconds: Age above which a result is not used; None: none is too old.
        verify_buffers: Whether the memory of arrays is checked too whenever a result is used.
    """

    def __init__(
        self,
        index: ResultIndex,
        *,
        max_bytes: int = 10_000_000_000,
        max_age_seconds: float | None = None,
        verify_buffers: bool = True,
    ) -> None:
        self._index = index
        self._max_bytes = max_bytes
        self._max_age_seconds = max_age_seconds
        self._verify_buffers = verify_buffers
        self._lock = threading.Lock()
        self._opened: _Opened | None = None
        self._reported: set[str] = set()

    # --- keeping ----------------------------------------------------------------------------

    def save(
        self,
        key: str,
        value: Any,
        *,
        task_name: str,
        run_id: str,
        seconds: float,
        expiration_seconds: float | None = None,
        serializer: AnySerializer | None = None,
        group: str | None = None,
    ) -> int:
        """Keep a value under `key`; gives the bytes it takes. Returns when it is on disk.

        Args:
            seconds: How long it took to make.
            group: By which the entries of one family are found, see `entries`.

        Raises:
            Exception: The value cannot be serialized, in the serializer's own words.
            OSError, StoreUnavailable: It cannot be written; what was kept before still is.
        """
        chosen = serializer or PickleSerializer()
        signer, files, _, eviction = self._open()
        draft = Draft(chosen.name, *dump(chosen, value))
        entry = file = None
        if draft.size_bytes <= _INLINE_BYTES:
            entry = draft.whole(signer, key)
        else:
            file = files.write(draft, signer, key)
        now = time.time()
        row = ResultRow(
            key=key,
            size_bytes=draft.size_bytes,
            entry=entry,
            file=file,
            created_at=now,
            expires_at=None if expiration_seconds is None else now + expiration_seconds,
            task_name=task_name,
            run_id=run_id,
            seconds=seconds,
            group=group,
        )
        try:
            replaced = self._index.put_result(row)
        except BaseException:
            files.remove([file] if file else [])
            raise
        files.remove([replaced] if replaced else [])
        eviction.saved(draft.size_bytes)
        return draft.size_bytes

    # --- finding ----------------------------------------------------------------------------

    def lookup(self, key: str, serializer: AnySerializer | None = None) -> Hit | None:
        """The result under `key`, if there is one that is neither too old nor damaged.

        A damaged one is forgotten and reported once; the task then simply runs. Never raises.
        """
        row = None
        try:
            row = self._index.get_result(key)
            if row is None or self._is_too_old(row):
                return None
            return self._use(row, serializer)
        except FileNotFoundError:
            assert row is not None
            return self._look_again(row, serializer)
        except Exception as error:
            self._report(key, row, error)
            return None

    def claim(self, key: str, run_id: str = "") -> Claim | None:
        """The right to compute the result under `key`; None: a run has it. Does not wait."""
        return self._open().claims.take(key, run_id)

    def lookup_or_claim(
        self,
        key: str,
        serializer: AnySerializer | None = None,
        *,
        run_id: str = "",
        parent_id: str | None = None,
        is_over: Callable[[], bool] = lambda: False,
        waiting: Callable[[bool], AbstractContextManager[bool]] = lambda _: nullcontext(True),
    ) -> Hit | Claim | None:
        """The result under `key`, or the right to compute it. Waits while another computes it.

        Args:
            run_id: The run that wants it.
            parent_id: The run around that one: a run does not wait for one that it is inside of.
            is_over: Whether the wait is in vain, as the run was cancelled meanwhile.
            waiting: Entered for the wait, with whether this process computes the result; gives
                whether this thread may wait.

        Returns:
            None: Compute it without a claim. Who computed it failed, and all that waited go on
            together; or the wait is not allowed, or in vain; or it would be for ever.
        """
        if (hit := self.lookup(key, serializer)) is not None:
            return hit
        try:
            claims = self._open().claims
            claim = claims.take(key, run_id)
        except Exception as error:  # the store cannot be used: the task runs all the same
            logger.debug("no claim on a result: %s", error)
            return None
        if claim is not None:
            return self._unless_kept(key, serializer, claim)
        with waiting(claims.is_held_here(key)) as may_wait:
            if not may_wait:
                return None
            return self._wait(claims, key, serializer, run_id, parent_id, is_over)

    def _wait(
        self,
        claims: Claims,
        key: str,
        serializer: AnySerializer | None,
        run_id: str,
        parent_id: str | None,
        is_over: Callable[[], bool],
    ) -> Hit | Claim | None:
        bell: SimpleQueue[None] = SimpleQueue()
        claims.bells.add(bell)
        try:
            holder = ""
            while not is_over():
                claim = claims.take(key, run_id)
                if claim is not None:
                    return self._unless_kept(key, serializer, claim)
                before, holder = holder, claims.holder(key) or holder
                if holder != before:
                    if before:
                        return self.lookup(key, serializer)
                    if parent_id is not None and holder in self._index.ancestors(parent_id):
                        return None
                claims.wait(bell)
        finally:
            claims.bells.discard(bell)
        return None

    def loader(self, key: str, serializer: AnySerializer | None) -> Callable[[], Any]:
        """A function that reads the value back when it is asked for."""

        def load_value() -> Any:
            hit = self.lookup(key, serializer)
            if hit is None:
                raise ResultUnreadable(f"the result under {key!r} is no longer there")
            return hit.value

        return load_value

    # --- what there is ----------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return self._index.folder / "results"

    def entries(
        self, task_name: str | None = None, *, group: str | None = None
    ) -> list[ResultRecord]:
        """What is kept, newest first: of one task, of one group, or all."""
        return self._index.list_results(task_name=task_name, group=group)

    def keys_of(self, group: str) -> list[str]:
        """The keys of what is kept of one group."""
        return self._index.result_keys(group)

    def forget(
        self,
        *,
        key: str | None = None,
        task_name: str | None = None,
        run_id: str | None = None,
        all: bool = False,
    ) -> tuple[int, int]:
        """Drop what fits all that is given; gives the number of results and their bytes.

        Raises:
            ValueError: Nothing was given, and not `all` either.
        """
        if not all and key is None and task_name is None and run_id is None:
            raise ValueError("say which results to forget: key, task_name, run_id or all=True")
        removed = self._index.forget_results(key=key, task_name=task_name, run_id=run_id)
        self._open().files.remove(removed.files)
        return removed.n, removed.size_bytes

    def drop(self, keys: Iterable[str]) -> None:
        """Drop these results as far as they are there; quicker than `forget` for a few of many."""
        files = self._open().files
        for key in keys:
            row = self._index.get_result(key)
            if row is not None:
                self._index.drop_result(row)
                files.remove([row.file] if row.file else [])

    def prune(self) -> tuple[int, int]:
        """Drop what has expired, is too old or too much, and what killed processes left.

        Gives the number of results and files, and their bytes. What is in use stays usable: its
        file is only without a name from then on.
        """
        return self._open().eviction.prune()

    # --- inside -----------------------------------------------------------------------------

    def _open(self) -> _Opened:
        if self._opened is None:
            with self._lock:
                if self._opened is None:
                    folder = self._index.folder
                    files = ResultFiles(folder / "results")
                    claims = Claims(folder / "results" / "claims")
                    limits = self._max_bytes, self._max_age_seconds
                    eviction = Eviction(self._index, files, claims, *limits)
                    self._opened = _Opened(Signer(folder), files, claims, eviction)
        return self._opened

    def _use(self, row: ResultRow, serializer: AnySerializer | None) -> Hit | None:
        """The value of a row, counted as a hit; None: it is another serializer's."""
        signer, files, _, _ = self._open()
        try:
            signer.key()
        except ResultUnreadable as error:
            raise _KeyUnusable(str(error)) from error
        stored = files.read(row.file) if row.file is not None else memoryview(row.entry or b"")
        if row.file is None and stored.nbytes:
            stored = memoryview(bytearray(stored))  # arrays are to be writable
        entry = open_entry(signer, row.key, stored, verify_buffers=self._verify_buffers)
        reader = serializer or NAMED.get(entry.name) or PickleSerializer()
        if reader.name != entry.name:
            return None  # kept with another serializer: written anew with the one asked for
        value = load(reader, entry.data, entry.buffers)
        self._index.use_result(row.key, row.seconds)
        return Hit(value, row.created_at, row.seconds, row.size_bytes)

    def _look_again(self, row: ResultRow, serializer: AnySerializer | None) -> Hit | None:
        """The file was gone: it was evicted or replaced since its row was read."""
        try:
            again = self._index.get_result(row.key)
            if again is None:
                return None
            if again.file != row.file:
                return self._use(again, serializer)
            self._index.drop_result(row)
        except FileNotFoundError:
            return None
        except Exception as error:
            self._report(row.key, row, error)
        return None

    def _unless_kept(self, key: str, serializer: AnySerializer | None, claim: Claim) -> Hit | Claim:
        """The result, if it was kept since it was last looked for; else the claim."""
        try:
            hit = self.lookup(key, serializer)
        except BaseException:  # Ctrl-C
            claim.release()
            raise
        if hit is None:
            return claim
        claim.release()
        return hit

    def _is_too_old(self, row: ResultRow) -> bool:
        now = time.time()
        if row.expires_at is not None and row.expires_at <= now:
            return True
        return self._max_age_seconds is not None and row.created_at < now - self._max_age_seconds

    def _report(self, key: str, row: ResultRow | None, error: Exception) -> None:
        """Say once why a result is not used, and forget it if it never can be."""
        of_all = row is None or isinstance(error, _KeyUnusable)
        about = str(error) if of_all else key
        if about not in self._reported:
            self._reported.add(about)
            if of_all:
                logger.warning("kept results are not used: %s", error)
            else:
                assert row is not None
                logger.warning("the kept result of task %r is not used: %s", row.task_name, error)
        if row is None or isinstance(error, OSError | MemoryError | _KeyUnusable):
            return
        with contextlib.suppress(Exception):  # a store that fails may not stop the task
            self._index.drop_result(row)
            self._reported.discard(key)
            if row.file is not None:
                self._open().files.remove([row.file])


class _KeyUnusable(ResultUnreadable):
    """It is the key that cannot be used; the results may be as they should."""

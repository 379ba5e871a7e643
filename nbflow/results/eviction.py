"""Results within their limits: what has expired goes, then what was used longest ago."""

from __future__ import annotations

import logging
import time
from typing import Protocol

from nbflow.results.claims import Claims
from nbflow.results.files import ResultFiles
from nbflow.store.results import Removed

logger = logging.getLogger(__name__)

# How often the size of all results is looked at: when this part of the limit was written.
_COUNTED_SHARE = 1 / 64


class EvictionIndex(Protocol):
    """What eviction needs of the store."""

    def prune_results(self, *, max_bytes: int, oldest_at: float | None) -> Removed: ...
    def result_bytes(self) -> int: ...
    def result_files(self) -> set[str]: ...


class Eviction:
    """Keeps one folder of results within its limits.

    Args:
        max_bytes: Size of all results.
        max_age_seconds: None: none is too old.
    """

    def __init__(
        self,
        index: EvictionIndex,
        files: ResultFiles,
        claims: Claims,
        max_bytes: int,
        max_age_seconds: float | None,
    ) -> None:
        self._index = index
        self._files = files
        self._claims = claims
        self._max_bytes = max_bytes
        self._max_age_seconds = max_age_seconds
        self._uncounted_bytes: float | None = None  # written since the size was last looked at

    def saved(self, size_bytes: int) -> None:
        """Make room if it is needed; looks at the size of all results only now and then.

        Never raises: the result that was saved is kept, whatever becomes of the others.
        """
        first = self._uncounted_bytes is None
        self._uncounted_bytes = (self._uncounted_bytes or 0) + size_bytes
        if not first and self._uncounted_bytes < self._max_bytes * _COUNTED_SHARE:
            return
        self._uncounted_bytes = 0
        try:
            if first:
                self.prune()
            elif self._index.result_bytes() > self._max_bytes:
                self._drop_what_is_over()
        except Exception as error:
            logger.debug("no room was made for results: %s", error)

    def prune(self) -> tuple[int, int]:
        """Drop what is over a limit and what killed processes left; gives number and bytes."""
        n, n_bytes = self._drop_what_is_over()
        more, more_bytes = self._files.sweep(self._index.result_files())
        self._claims.sweep()
        return n + more, n_bytes + more_bytes

    def _drop_what_is_over(self) -> tuple[int, int]:
        age = self._max_age_seconds
        removed = self._index.prune_results(
            max_bytes=self._max_bytes, oldest_at=None if age is None else time.time() - age
        )
        self._files.remove(removed.files)
        return removed.n, removed.size_bytes

"""Keeping results, and finding them again."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nbflow.errors import ResultUnreadable
from nbflow.model.specs import Serializer
from nbflow.results.serializers import NAMED, PickleSerializer
from nbflow.results.signing import Signer
from nbflow.store.results import ResultRow

logger = logging.getLogger(__name__)

# SQLite reads small blobs faster than the file system opens files; the cross-over is near 20 KB.
_INLINE_BYTES = 16 << 10
_SEPARATOR = b"\n"


class ResultIndex(Protocol):
    """What results need of the store."""

    @property
    def folder(self) -> Path: ...
    def put_result(self, row: ResultRow) -> None: ...
    def get_result(self, key: str) -> ResultRow | None: ...
    def drop_result(self, key: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Hit:
    """A kept result that may be used."""

    value: Any
    created_at: float
    seconds: float


class Results:
    """The results of one store folder."""

    def __init__(self, index: ResultIndex) -> None:
        self._index = index
        self._signer: Signer | None = None

    def save(
        self,
        key: str,
        value: Any,
        *,
        task_name: str,
        run_id: str,
        seconds: float,
        expiration_seconds: float | None = None,
        serializer: Serializer | None = None,
    ) -> None:
        """Keep a value under `key`. Returns when it is on disk.

        Raises:
            Exception: The value cannot be serialized, in the serializer's own words.
        """
        chosen = serializer or PickleSerializer()
        payload = chosen.name.encode() + _SEPARATOR + chosen.dumps(value)
        entry = self._sign().seal(key, payload)
        file = None
        if len(entry) > _INLINE_BYTES:
            file = hashlib.blake2b(key.encode(), digest_size=16).hexdigest() + ".result"
            self._write_file(file, entry)
        now = time.time()
        expires_at = None if expiration_seconds is None else now + expiration_seconds
        self._index.put_result(
            ResultRow(
                key=key,
                size_bytes=len(entry),
                entry=None if file else entry,
                file=file,
                created_at=now,
                expires_at=expires_at,
                task_name=task_name,
                run_id=run_id,
                seconds=seconds,
            )
        )

    def lookup(self, key: str, serializer: Serializer | None = None) -> Hit | None:
        """The result under `key`, if there is one that has not expired and is intact.

        A damaged one is forgotten and reported once; the task then simply runs.
        """
        task_name = ""
        try:
            row = self._index.get_result(key)
            if row is None or (row.expires_at is not None and row.expires_at <= time.time()):
                return None
            task_name = row.task_name
            entry = row.entry if row.file is None else self._read_file(row.file)
            name, _, data = self._sign().open(key, entry or b"").partition(_SEPARATOR)
            reader = serializer or NAMED.get(name.decode()) or PickleSerializer()
            if reader.name != name.decode():
                return None  # kept with another serializer: written anew with the one asked for
            return Hit(reader.loads(data), row.created_at, row.seconds)
        except Exception as error:
            logger.warning("the kept result of task %r is not used: %s", task_name, error)
            with contextlib.suppress(Exception):  # a store that fails may not stop the task
                self._index.drop_result(key)
            return None

    def loader(self, key: str, serializer: Serializer | None) -> Callable[[], Any]:
        """A function that reads the value back when it is asked for."""

        def load() -> Any:
            hit = self.lookup(key, serializer)
            if hit is None:
                raise ResultUnreadable(f"the result under {key!r} is no longer there")
            return hit.value

        return load

    def _sign(self) -> Signer:
        if self._signer is None:
            self._signer = Signer(self._index.folder)
        return self._signer

    def _folder(self) -> Path:
        return self._index.folder / "results"

    def _read_file(self, name: str) -> bytes:
        return (self._folder() / name).read_bytes()

    def _write_file(self, name: str, entry: bytes) -> None:
        """Under a temporary name, synced, then renamed: a kill leaves a whole file or none."""
        folder = self._folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = folder / f"{name}.{os.getpid()}.{secrets.token_hex(4)}"
        try:
            with temporary.open("xb") as file:
                file.write(entry)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(folder / name)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()

"""Nothing is unpickled that this user's nbflow did not write: entries carry a keyed digest."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from nbflow.errors import ResultUnreadable

_MAGIC = b"NBFR1\n"
_MAC_BYTES = 32
_KEY_BYTES = 64


class Signer:
    """Seals and opens entries with the key of one home folder (file `key`, mode 0600)."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "key"
        self._key: bytes | None = None

    def seal(self, purpose: str, payload: bytes) -> bytes:
        """The payload with a digest that only this key makes. `purpose` is bound in."""
        return _MAGIC + self._mac(purpose, payload) + payload

    def open(self, purpose: str, entry: bytes) -> bytes:
        """The payload of an entry.

        Raises:
            ResultUnreadable: It is not an entry, is damaged, or another key or purpose made it.
        """
        mac, payload = entry[len(_MAGIC) :][:_MAC_BYTES], entry[len(_MAGIC) + _MAC_BYTES :]
        if not entry.startswith(_MAGIC) or not hmac.compare_digest(
            mac, self._mac(purpose, payload)
        ):
            raise ResultUnreadable(f"the stored result {purpose!r} is damaged or not of this user")
        return payload

    def _mac(self, purpose: str, payload: bytes) -> bytes:
        mac = hashlib.blake2b(key=self._load(), digest_size=_MAC_BYTES, person=b"nbflow-result")
        mac.update(len(purpose).to_bytes(8, "little") + purpose.encode())
        mac.update(payload)
        return mac.digest()

    def _load(self) -> bytes:
        if self._key is None:
            self._key = self._read() or self._create()
        return self._key

    def _read(self) -> bytes | None:
        with contextlib.suppress(FileNotFoundError):
            if (self._path.stat().st_mode & 0o077) and os.name == "posix":
                raise ResultUnreadable(
                    f"others can read the key {self._path}; run `chmod 600 {self._path}`, "
                    "or delete it to start with a new one"
                )
            key = self._path.read_bytes()
            if len(key) != _KEY_BYTES:  # an empty one would sign what anybody can sign
                raise ResultUnreadable(
                    f"the key {self._path} is damaged; delete it to start with a new one"
                )
            return key
        return None

    def _create(self) -> bytes:
        """Write a new key whole or not at all; of several processes, the first one's stands."""
        temporary = self._path.with_name(f"key.{os.getpid()}.{secrets.token_hex(4)}")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, self._path)
        temporary.unlink()
        key = self._read()
        assert key is not None
        return key

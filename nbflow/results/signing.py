"""Nothing is unpickled that this user's nbflow did not write: entries carry a keyed digest."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from nbflow.errors import ResultUnreadable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

MAC_BYTES = 32
_KEY_BYTES = 64


class Signer:
    """Makes and checks digests with the key of one home folder (file `key`, mode 0600)."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "key"
        self._key: bytes | None = None

    def mac(self, purpose: str, *parts: Buffer) -> bytes:
        """A digest of the parts that only this key makes. `purpose` is bound in.

        Raises:
            ResultUnreadable: The key cannot be used, with what to do about it.
        """
        mac = hashlib.blake2b(key=self.key(), digest_size=MAC_BYTES, person=b"nbflow-result")
        about = purpose.encode("utf-8", "surrogatepass")
        mac.update(len(about).to_bytes(8, "little") + about)
        for part in parts:
            mac.update(part)
        return mac.digest()

    def check(self, purpose: str, mac: Buffer, *parts: Buffer) -> None:
        """Return if `mac` is the digest of the parts.

        Raises:
            ResultUnreadable: They are damaged, or another key or purpose made it.
        """
        if not hmac.compare_digest(bytes(mac), self.mac(purpose, *parts)):
            raise ResultUnreadable(f"the stored result {purpose!r} is damaged or not of this user")

    def key(self) -> bytes:
        """The key; a new one where there is none.

        Raises:
            ResultUnreadable: Others could have written or read it, or it is damaged.
            OSError: It cannot be read or written.
        """
        if self._key is None:
            self._key = self._read() or self._create()
        return self._key

    def _read(self) -> bytes | None:
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return None
        with file:
            about = os.fstat(file.fileno())
            key = file.read(_KEY_BYTES + 1)
        folder = self._path.parent
        if os.name == "posix":
            if about.st_uid != os.geteuid():
                raise ResultUnreadable(
                    f"the key {self._path} belongs to another user; use a folder of your own"
                )
            if about.st_mode & 0o077:
                raise ResultUnreadable(
                    f"others can read the key {self._path}; run `chmod 600 {self._path}`, "
                    "or delete it to start with a new one"
                )
            if folder.stat().st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
                raise ResultUnreadable(
                    f"everybody can write to {folder}, so nothing in it can be trusted; "
                    f"run `chmod o-w {folder}`"
                )
        if len(key) != _KEY_BYTES:  # an empty one would sign what anybody can sign
            raise ResultUnreadable(
                f"the key {self._path} is damaged; delete it to start with a new one"
            )
        return key

    def _create(self) -> bytes:
        """Write a new key whole or not at all; of several processes, the first one's stands."""
        temporary = self._path.with_name(f"key.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(fd, "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(temporary, self._path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
        key = self._read()
        assert key is not None
        return key

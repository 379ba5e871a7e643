"""`File`: an input of a task that stands for what is in a file, not for its path."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass

from nbflow.errors import Unfingerprintable
from nbflow.results.fingerprint_bulk import LEAF_BYTES, in_threads, tree_digest
from nbflow.results.fingerprint_walk import EXACT, Encoder, Walk, digest

# A file changed again within the resolution of its time stamp looks unchanged: coarse file
# systems (FAT) count in steps of two seconds.
_SETTLED_SECONDS = 2.0
_MOST_REMEMBERED = 4096
_digests: dict[tuple[int, ...], bytes] = {}


@dataclass(frozen=True, slots=True, init=False)
class File(os.PathLike[str]):
    """A file as an input: its name and content count, not where it is or when it was written.

    It is passed wherever a path may be: `pd.read_csv(File("data.csv"))`. A file that is missing
    is a state of its own, which ends when it appears.

    Attributes:
        path: As given.
    """

    path: str

    def __init__(self, path: str | os.PathLike[str]) -> None:
        object.__setattr__(self, "path", os.fspath(path))

    def __fspath__(self) -> str:
        return self.path

    def content(self) -> bytes | None:
        """16 bytes that identify what is in the file now; None: it is missing.

        A file that was not touched for two seconds is read once only.

        Raises:
            OSError: It is there and cannot be read.
            Unfingerprintable: It is a folder, a pipe or a device.
        """
        try:
            before = os.stat(self.path)
            if not stat.S_ISREG(before.st_mode):
                raise Unfingerprintable("File", f"{self.path!r} is no regular file")
            key = _identity(before)
            found = _digests.get(key)
            if found is not None:
                return found
            now = time.time()
            found = _read_digest(self.path)
            after = os.stat(self.path)
        except FileNotFoundError:
            return None
        settled = min(abs(now - after.st_mtime), abs(now - after.st_ctime)) > _SETTLED_SECONDS
        if settled and _identity(after) == key:
            if len(_digests) >= _MOST_REMEMBERED:
                _digests.clear()
            _digests[key] = found
        return found


def _identity(facts: os.stat_result) -> tuple[int, ...]:
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _read_digest(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        number = file.fileno()
        n_bytes = os.fstat(number).st_size
        if n_bytes <= LEAF_BYTES:
            content = file.read()
            return digest(b"%d:%b" % (len(content), digest(content)))

        def leaf(start: int) -> bytes:
            return digest(os.pread(number, LEAF_BYTES, start))

        leaves = in_threads(leaf, range(0, n_bytes, LEAF_BYTES), n_bytes)
        return digest(b"%d:%b" % (n_bytes, tree_digest(n_bytes, leaves)))


def _encode(walk: Walk, file: File) -> bytes:
    name = os.path.basename(os.path.normpath(file.path))
    return walk.several(b"File", [name, file.content() or "missing"])


EXACT[File] = Encoder(_encode, has_identity=False)

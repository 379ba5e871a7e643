"""What else an outcome depends on than its code and its inputs: files, folders, generators."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

import xxhash

from nbflow.memo import hidden
from nbflow.memo.watching import file_facts
from nbflow.results.fingerprint import fingerprint

#: A file that was changed this shortly before it was looked at may be changed again unseen: clocks
#: of file systems tick at up to 2 s.
_SETTLED_SECONDS = 2.0
_MOST_FILES = 2_000
_CHUNK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Dependency:
    """One thing that an outcome depends on.

    Attributes:
        kind: "file" (its content), "folder" (the names in it), "tree" (all files below it, by
            size and time), "generator" (a random generator's state), "environment",
            "place" (the working directory, which paths are relative to).
        state: A digest of it as it was.
        facts: Of a file: its `file_facts` then, if those are enough to tell that it is the same.
    """

    kind: str
    name: str
    state: str
    facts: tuple[int, ...] | None = None

    def state_now(self) -> str:
        """A digest of it as it is."""
        if self.kind == "file" and self.facts is not None and self.facts == file_facts(self.name):
            return self.state
        return _state(self.kind, self.name)

    def to_json(self) -> list[Any]:
        return [self.kind, self.name, self.state, self.facts]

    @staticmethod
    def from_json(data: list[Any]) -> Dependency:
        kind, name, state, facts = data
        return Dependency(kind, name, state, None if facts is None else tuple(facts))


def dependency(kind: str, name: str) -> Dependency:
    """A dependency on something as it is now."""
    facts = file_facts(name) if kind == "file" else None
    state = _state(kind, name)
    if facts is not None and facts[3] / 1e9 > time.time() - _SETTLED_SECONDS:
        facts = None
    return Dependency(kind, name, state, facts)


def _state(kind: str, name: str) -> str:
    if kind == "file":
        return _content(name)
    if kind == "folder":
        return fingerprint(sorted(os.listdir(name))) if os.path.isdir(name) else "missing"
    if kind == "tree":
        return _tree(name)
    if kind == "place":
        return hidden.working_directory()
    if kind == "generator":
        return hidden.generator_digest(name)
    return fingerprint(sorted(hidden.environment().items()))


def _content(path: str) -> str:
    digest = xxhash.xxh3_128()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        return f"unreadable: {error.errno}"
    return digest.hexdigest()


def _tree(path: str) -> str:
    found: list[tuple[str, tuple[int, ...] | None]] = []
    for folder, folders, files in os.walk(path):
        folders.sort()
        for name in sorted(files):
            found.append((os.path.join(folder, name), file_facts(os.path.join(folder, name))))
            if len(found) > _MOST_FILES:
                raise OSError(f"there are too many files under {path} to depend on")
    return fingerprint(found)

"""The cache of cells: finds what a cell did before with the same inputs, and keeps what it does.

A cell's key has two steps. The first is made of what the source tells: the code it reaches and the
values it reads, with what they share, and the settings. Under it lies what else it was seen to
depend on when it ran - files, folders, random generators, the environment - whose present state
makes the second step, under which its outcome is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nbflow.memo.cells import Cell
from nbflow.memo.outcomes import RESERVED
from nbflow.memo.visits import NEEDS, Visit
from nbflow.results.fingerprint import fingerprint
from nbflow.results.results import Results
from nbflow.results.serializers import JSONSerializer


class CellMemory:
    """The memory of one notebook.

    Args:
        namespace: The notebook's variables.
        probes: Settings of the notebook's own; see `hidden.settings`.
        is_injected: Tells names that are not the user's, such as `In` and `_3`.
    """

    def __init__(
        self,
        results: Results,
        namespace: dict[str, Any],
        *,
        probes: Mapping[str, Callable[[], object]] | None = None,
        is_injected: Callable[[str, Any], bool] = lambda *_: False,
    ) -> None:
        self.results = results
        self.namespace = namespace
        self.probes = dict(probes or {})
        self.is_injected = is_injected
        self.world = ""  # a digest of the cells that changed the process unseen, in order
        self._numbers: dict[str, int] = {}

    def visit(
        self,
        cell: Cell,
        *,
        forced: bool = False,
        refresh: bool = False,
        expiration_seconds: float | None = None,
        alone: bool = True,
        origin: str = "",
    ) -> Visit:
        """Look at a cell that is about to run.

        Args:
            forced: Cache it although it reads clock, network and the like.
            refresh: Do not use what is kept, but replace it.
            expiration_seconds: How long what is kept may be used.
            alone: Whether no other cell runs at the same time. If not, what the cell writes is
                told from its source, and changes to shared state cannot be told apart.
            origin: The run for which, and for those that go on from it, also that is kept which
                reads clock, network and the like; empty: for none.
        """
        return Visit(
            self,
            cell,
            forced=forced,
            refresh=refresh,
            expiration_seconds=expiration_seconds,
            alone=alone,
            origin=origin,
        )

    def noted(self, first_key: str) -> dict[str, Any] | None:
        """What is noted under a first key: "parts" and "needs"; None: nothing."""
        hit = self.results.lookup(f"{first_key}{NEEDS}", JSONSerializer())
        return None if hit is None else hit.value

    def number(self, parts: Mapping[str, str]) -> int:
        """0, 1, 2, ...: how many cells with this key were numbered before in this kernel."""
        key = fingerprint(sorted(parts.items()))
        number = self._numbers.get(key, 0)
        self._numbers[key] = number + 1
        return number

    def names(self) -> list[str]:
        """The user's names."""
        return [
            name
            for name, value in list(self.namespace.items())
            if name not in RESERVED and not self.is_injected(name, value)
        ]

    def changed_unseen(self, what: object) -> None:
        """Something may have changed what later cells do: their keys count it from now on."""
        self.world = fingerprint(self.world, what)

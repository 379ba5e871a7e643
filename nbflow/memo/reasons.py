"""Why a cell was run and not remembered."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Reasons:
    """What was found against caching a cell, in words.

    Attributes:
        reads: What it asks of the world, which may answer otherwise next time: clock, network,
            files. The user's `--cache` overrules these.
        bars: What could not be put back, or not told for sure.
        changes_process: Whether it may have changed what later cells do, unseen.
    """

    reads: dict[str, None] = field(default_factory=dict)
    bars: dict[str, None] = field(default_factory=dict)
    changes_process: bool = False

    def against(self, *, forced: bool) -> str:
        """The reason to tell; empty: nothing is against it."""
        found = list(dict.fromkeys([*self.bars, *(() if forced else self.reads)]))
        return "; ".join(found[:2])

"""Loading and unloading. The state is on `session`, which `%reload_ext` does not execute again."""

from __future__ import annotations

from typing import Any

from nbflow.notebook import session


def load(shell: Any) -> None:
    """Put nbflow into a shell; again: nothing happens."""
    session.open_in(shell)


def unload(shell: Any) -> None:
    """Undo all that `load` did. Runs that are in flight go on."""
    session.close_in(shell)

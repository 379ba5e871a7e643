"""How deep the caller's stack is."""

from __future__ import annotations

import sys

# What a run needs below the user's frame, from its call down to SQLite and back.
_RESERVED_FRAMES = 150


def is_deeper_than(n_frames: int) -> bool:
    """Whether there are more frames than this. Looks at no more than so many."""
    try:
        sys._getframe(n_frames)
    except ValueError:
        return False
    return True


def check_room(what: str) -> None:
    """Refuse to begin a run that could not be carried to its end.

    Raises:
        RecursionError: The stack is nearly full. Met later, in the middle of our own work, it
            would leave runs without an end.
    """
    if is_deeper_than(sys.getrecursionlimit() - _RESERVED_FRAMES):
        raise RecursionError(f"{what} is called too deep: maximum recursion depth is near")

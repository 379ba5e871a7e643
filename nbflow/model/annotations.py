"""Wrappers that say how an argument is to be treated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class unmapped:  # noqa: N801  (read as a function at the call, as in Prefect)
    """In `.map()`: give the same value to every call, though it is iterable."""

    value: Any


@dataclass(frozen=True, slots=True)
class allow_failure:  # noqa: N801
    """Run the task though this upstream run failed; it then gets the exception as the value."""

    value: Any


@dataclass(frozen=True, slots=True)
class quote:  # noqa: N801
    """Pass the value as it is: nothing inside is looked at or replaced."""

    value: Any

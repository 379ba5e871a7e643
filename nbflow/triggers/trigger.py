"""What every trigger can tell."""

from __future__ import annotations

from typing import Any, Protocol


class Trigger(Protocol):
    """Tells the fire times of a schedule. Triggers are frozen, and equal when declared alike."""

    @property
    def timezone(self) -> str:
        """The zone its wall times are in, and in which its fire times are shown."""
        ...

    def next_after(self, at: float) -> float | None:
        """The first fire time strictly after `at`, both in seconds since the epoch.

        None: there is none any more, or the trigger waits for an event.
        """
        ...

    def to_json(self) -> dict[str, Any]:
        """What `loading.load` makes an equal trigger of."""
        ...

    def words(self) -> str:
        """The trigger for people, such as "at 08:00, Monday to Friday (Europe/Paris)"."""
        ...

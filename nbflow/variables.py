"""Small values that outlive runs and are shared by all of them."""

from __future__ import annotations

import json
from typing import Any

from nbflow import wiring
from nbflow.errors import NbflowError

__all__ = ["Variable"]


class Variable:
    """`Variable.set("limit", 10)`, `Variable.get("limit")`. Values are what JSON knows."""

    @staticmethod
    def get(name: str, default: Any = None) -> Any:
        """The value under `name`, or `default`."""
        return wiring.current().store.variables(name).get(name, default)

    @staticmethod
    def set(name: str, value: Any, tags: list[str] | None = None, overwrite: bool = False) -> None:
        """Keep a value. Returns when it is on disk.

        Raises:
            NbflowError: There is one already and `overwrite` is False.
            TypeError: The value is not JSON.
        """
        json.dumps(value)
        if not wiring.current().store.set_variable(name, value, tags or [], overwrite):
            raise NbflowError(f"variable {name!r} exists; pass overwrite=True to replace it")

    @staticmethod
    def unset(name: str) -> bool:
        """Forget a variable; False: there was none."""
        return wiring.current().store.unset_variable(name)

"""Checks of what `@flow` and `@task` are given, at the line where it was written."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any

from nbflow.errors import InvalidOption, ReservedParameter, UnknownOption
from nbflow.model.retries import RetryDelay, RetryPolicy

_RESERVED = ("return_state", "wait_for")


def check_known(options: Iterable[str], known: frozenset[str], owner: str) -> None:
    """Refuse options that do not exist, with the one that was probably meant.

    Raises:
        UnknownOption: There is one.
    """
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UnknownOption(owner, option, f"{hint}it takes {', '.join(sorted(known))}")


class OptionChecks:
    """Checks options on behalf of one decorator, whose name the errors carry."""

    def __init__(self, owner: str) -> None:
        self._owner = owner

    def function(self, fn: Any) -> Callable[..., Any]:
        if not callable(fn) and not isinstance(fn, classmethod | staticmethod):
            raise InvalidOption(
                self._owner, "the decorated object", fn, "a function, a method or a callable object"
            )
        try:
            names: Iterable[str] = inspect.signature(getattr(fn, "__func__", fn)).parameters
        except (TypeError, ValueError):  # builtins without a signature
            names = ()
        if reserved := [name for name in _RESERVED if name in names]:
            raise ReservedParameter(getattr(fn, "__name__", repr(fn)), reserved)
        return fn  # type: ignore[no-any-return]  # the isinstance above does not narrow Any

    def text(self, option: str, value: Any) -> str | None:
        if value is not None and not isinstance(value, str):
            raise InvalidOption(self._owner, option, value, "a string")
        return value

    def flag(self, option: str, value: Any) -> Any:
        if value is not None and not isinstance(value, bool):
            raise InvalidOption(self._owner, option, value, "True or False")
        return value

    def tags(self, value: Any) -> frozenset[str]:
        if value is None:
            return frozenset()
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise InvalidOption(self._owner, "tags", value, "a list of strings")
        tags = list(value)
        if not all(isinstance(tag, str) for tag in tags):
            raise InvalidOption(self._owner, "tags", value, "a list of strings")
        return frozenset(tags)

    def seconds(self, option: str, value: Any) -> float | None:
        if value is None:
            return None
        if isinstance(value, timedelta):
            value = value.total_seconds()
        if not _is_seconds(value) or not value > 0:
            raise InvalidOption(self._owner, option, value, "a number of seconds above 0")
        return float(value)

    def expiration(self, option: str, value: Any) -> float | None:
        if value is None:
            return None
        if not isinstance(value, timedelta) or value < timedelta(0):
            raise InvalidOption(self._owner, option, value, "a datetime.timedelta")
        return value.total_seconds()

    def hooks(self, option: str, value: Any) -> tuple[Any, ...]:
        if value is None:
            return ()
        if callable(value):
            raise InvalidOption(self._owner, option, value, f"a list: {option}=[{_name(value)}]")
        hooks = tuple(value) if isinstance(value, Iterable) else (value,)
        for hook in hooks:
            if not callable(hook):
                raise InvalidOption(self._owner, option, hook, "a list of functions")
        return hooks

    def run_name(self, option: str, value: Any) -> Any:
        if value is None or isinstance(value, str) or callable(value):
            return value
        raise InvalidOption(
            self._owner, option, value, "a template such as 'load-{year}' or a function"
        )

    def callable_or_none(self, option: str, value: Any, takes: str) -> Any:
        if value is not None and not callable(value):
            raise InvalidOption(self._owner, option, value, takes)
        return value

    def retry(self, retries: Any, delay: RetryDelay | None, jitter: Any) -> RetryPolicy:
        if retries is None:
            retries = 0
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise InvalidOption(self._owner, "retries", retries, "a whole number from 0 on")
        if jitter is None:
            jitter = 0.0
        if isinstance(jitter, bool) or not isinstance(jitter, int | float) or jitter < 0:
            raise InvalidOption(self._owner, "retry_jitter_factor", jitter, "a number from 0 on")
        return RetryPolicy(retries, self._delays(retries, delay), float(jitter))

    def _delays(self, retries: int, delay: Any) -> tuple[float, ...]:
        takes = "a number of seconds, a list of them, or a function such as exponential_backoff(2)"
        given = delay(retries) if callable(delay) else delay
        if isinstance(given, timedelta):
            given = given.total_seconds()
        if given is None:
            return ()
        several = given if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
        for seconds in several:
            if not _is_seconds(seconds) or seconds < 0:
                raise InvalidOption(self._owner, "retry_delay_seconds", delay, takes)
        return tuple(float(seconds) for seconds in several)


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _name(fn: Any) -> str:
    return getattr(fn, "__name__", type(fn).__name__)

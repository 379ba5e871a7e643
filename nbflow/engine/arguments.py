"""Futures and states among a task's arguments: found, awaited, replaced by their values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sized
from typing import Any

from nbflow.engine.futures import TaskFuture, TaskFutureList
from nbflow.errors import MappingError, UpstreamFailed
from nbflow.model.annotations import allow_failure, quote, unmapped
from nbflow.model.states import State

_ATOMS = frozenset({int, float, str, bytes, bool, type(None), complex, bytearray})
_SEQUENCES = (list, tuple, set, frozenset)
# In longer containers whose items are all of one container type only some are looked into: a
# future hides in all of such items or in none, and 200,000 rows must not be walked at each call.
_SAMPLE = 64
_LONG = 1_000
_DEEPEST = 20


class Upstream:
    """What an argument list waits for.

    Attributes:
        futures: Every future found, in order.
        states: Every state found, in order.
        allowed: Those futures whose failure is welcome.
        found: Whether there is anything to replace.
    """

    __slots__ = ("_seen", "allowed", "found", "futures", "states")

    def __init__(self) -> None:
        self.futures: list[TaskFuture[Any]] = []
        self.states: list[State] = []
        self.allowed: set[TaskFuture[Any]] = set()
        self.found = False
        self._seen: set[tuple[int, bool]] = set()

    def look(self, value: Any, allowed: bool = False, depth: int = 0) -> None:
        """Find the futures, states and annotations inside `value`."""
        kind = type(value)
        if kind in _ATOMS or depth > _DEEPEST:
            return
        if kind is TaskFuture:
            self.found = True
            self.futures.append(value)
            if allowed:
                self.allowed.add(value)
        elif kind in _SEQUENCES or kind is TaskFutureList:
            if self._is_new(value, allowed):
                self._look_into(value, allowed, depth)
        elif kind is dict:
            if self._is_new(value, allowed):
                self._look_into(value.values(), allowed, depth)
        elif kind is State:
            self.found = True
            self.states.append(value)
        elif kind is quote:
            self.found = True
        elif kind is allow_failure or kind is unmapped:
            self.found = True
            self.look(value.value, allowed or kind is allow_failure, depth + 1)
        elif dataclasses.is_dataclass(kind) and self._is_new(value, allowed):
            for field in dataclasses.fields(kind):
                self.look(getattr(value, field.name, None), allowed, depth + 1)

    def _is_new(self, value: Any, allowed: bool) -> bool:
        """Whether it is met for the first time.

        In a tree with links to its parents each node is reached in more ways than can be walked.
        """
        key = (id(value), allowed)
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    def _look_into(self, values: Iterable[Any], allowed: bool, depth: int) -> None:
        items: Iterable[Any] = values
        if isinstance(values, Sized) and len(values) > _LONG:
            kinds = set(map(type, values))
            if kinds <= _ATOMS:
                return
            if len(kinds) == 1 and TaskFuture not in kinds:
                items = [item for item, _ in zip(values, range(_SAMPLE), strict=False)]
                before = len(self.futures)
                for item in items:
                    self.look(item, allowed, depth + 1)
                if len(self.futures) == before:
                    return
                items = list(values)[_SAMPLE:]
        for item in items:
            self.look(item, allowed, depth + 1)

    def failure(self) -> UpstreamFailed | None:
        """Why the task cannot run, once all futures have ended."""
        for future in self.futures:
            final = future._final
            if final is not None and not final.is_completed() and future not in self.allowed:
                future._observe()  # from here on the failure of this task tells of it
                if isinstance(final.data, UpstreamFailed):
                    # The first of a chain is what people look for; and a message that quoted the
                    # one before it would grow with every link.
                    return UpstreamFailed(final.data.upstream, final.data.state)
                return UpstreamFailed(future.run.name, repr(final))
        return None


def look_for_upstream(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], wait_for: Any
) -> Upstream | None:
    """The futures that a call's arguments wait for; None where there is nothing to replace."""
    upstream = Upstream()
    for value in args:
        if type(value) not in _ATOMS:
            upstream.look(value)
    for value in kwargs.values():
        if type(value) not in _ATOMS:
            upstream.look(value)
    if wait_for is not None:
        upstream.look(list(wait_for) if not isinstance(wait_for, TaskFuture) else wait_for)
        upstream.found = True
    return upstream if upstream.found else None


def resolve(value: Any, depth: int = 0, memo: dict[int, Any] | None = None) -> Any:
    """`value` with every future and state in it replaced by what it holds.

    What contains none is given back itself, not a copy. `memo` holds what was met before, by id.
    """
    kind = type(value)
    if kind in _ATOMS or depth > _DEEPEST:
        return value
    if kind is TaskFuture:
        value._observe()
        final = value._final
        return final.result(raise_on_failure=False) if final is not None else value
    if kind is State:
        return value.result(raise_on_failure=False)
    if kind is quote:
        return value.value
    if kind is allow_failure or kind is unmapped:
        return resolve(value.value, depth + 1, memo)
    if kind in _SEQUENCES or kind is TaskFutureList or kind is dict:
        resolve_inside = _resolve_container
    elif dataclasses.is_dataclass(kind):
        resolve_inside = _resolve_dataclass
    else:
        return value
    memo = {} if memo is None else memo
    if id(value) not in memo:
        memo[id(value)] = value  # while it is being worked on, for links back to it
        memo[id(value)] = resolve_inside(value, depth, memo)
    return memo[id(value)]


def _resolve_container(value: Any, depth: int, memo: dict[int, Any]) -> Any:
    kind = type(value)
    values = value.values() if kind is dict else value
    if len(value) > _LONG:
        upstream = Upstream()
        upstream._look_into(values, allowed=False, depth=depth)
        if not upstream.found:
            return value
    items = [resolve(item, depth + 1, memo) for item in values]
    if all(new is old for new, old in zip(items, values, strict=True)):
        return value
    if kind is dict:
        return dict(zip(value, items, strict=True))
    return items if kind is TaskFutureList else kind(items)


def _resolve_dataclass(value: Any, depth: int, memo: dict[int, Any]) -> Any:
    changes = {}
    for field in dataclasses.fields(value):
        old = getattr(value, field.name, None)
        new = resolve(old, depth + 1, memo)
        if new is not old and field.init:
            changes[field.name] = new
    return dataclasses.replace(value, **changes) if changes else value


def expand(
    names: Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[int, Callable[[int], tuple[tuple[Any, ...], dict[str, Any]]]]:
    """The calls that `.map()` stands for: their number, and the arguments of the nth.

    Raises:
        MappingError: There is nothing to iterate over, or the lengths differ.
    """
    columns = [_column(value) for value in args]
    named = {name: _column(value) for name, value in kwargs.items()}
    lengths = {
        str(name): len(values)
        for name, (values, many) in (*enumerate(columns), *named.items())
        if many
    }
    if not lengths:
        raise MappingError(
            "map() needs at least one iterable argument; got "
            f"{', '.join(type(value).__name__ for value in (*args, *kwargs.values())) or 'none'}. "
            "Use submit() for a single call"
        )
    if len(set(lengths.values())) > 1:
        shown = names(args, kwargs)
        told = {
            (list(shown)[int(name)] if name.isdigit() and int(name) < len(shown) else name): length
            for name, length in lengths.items()
        }
        listed = ", ".join(f"{name}: {length}" for name, length in told.items())
        raise MappingError(
            f"map() needs iterables of equal length; got {listed}. "
            "Wrap what every call should get whole in unmapped(...)"
        )

    def call(n: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (
            tuple(values[n] if many else values for values, many in columns),
            {name: values[n] if many else values for name, (values, many) in named.items()},
        )

    return next(iter(lengths.values())), call


def _column(value: Any) -> tuple[Any, bool]:
    """An argument of `.map()`: (items, True), or (value, False) where every call gets it whole."""
    if type(value) is unmapped:
        return value.value, False
    if type(value) is allow_failure:
        items, many = _column(value.value)
        return ([allow_failure(item) for item in items], True) if many else (value, False)
    if type(value) is quote or isinstance(value, str | bytes | bytearray | Mapping):
        return value, False
    if type(value) is TaskFuture:
        value.wait()
        found = value.result()
        return _column(found)
    if type(value) is State:
        return _column(value.result())
    if not isinstance(value, Iterable):
        return value, False
    return (value if isinstance(value, list | tuple) else list(value)), True

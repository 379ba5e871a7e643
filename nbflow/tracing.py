"""Following a flow's body without running its tasks, to draw it."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from nbflow.model.annotations import allow_failure, quote, unmapped

T = TypeVar("T")


@dataclass
class Trace:
    """What a traced flow calls: nodes in order of their calls, and which feeds which."""

    nodes: list[tuple[str, bool]] = field(default_factory=list)  # name, whether it is a flow
    edges: list[tuple[int, int]] = field(default_factory=list)

    def call(self, name: str, args: Iterable[Any], *, is_flow: bool = False) -> Placeholder:
        """Note a call; what stands for its result is given back."""
        number = len(self.nodes)
        self.nodes.append((name, is_flow))
        for source in dict.fromkeys(_sources(list(args))):
            self.edges.append((source, number))
        return Placeholder(number)

    def mermaid(self) -> str:
        """The graph in mermaid's language, top down."""
        lines = ["graph TD"]
        for number, (name, is_flow) in enumerate(self.nodes):
            text = re.sub(r'["<>{}|]', " ", name)
            shape = f'[["{text}"]]' if is_flow else f'["{text}"]'
            lines.append(f"    n{number}{shape}")
        lines += [f"    n{source} --> n{target}" for source, target in self.edges]
        return "\n".join(lines)


class Placeholder:
    """Stands for the result of a call that was not made; whatever is done to it gives itself."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __getattr__(self, name: str) -> Placeholder:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_args: Any, **_kwargs: Any) -> Placeholder:
        return self

    def __getitem__(self, _: Any) -> Placeholder:
        return self

    def __iter__(self) -> Iterator[Placeholder]:
        yield self

    def __len__(self) -> int:
        return 1

    def __await__(self) -> Generator[Any, None, Placeholder]:
        return iter_nothing(self)

    def __repr__(self) -> str:
        return f"<result of call {self._number}>"

    def _same(self, *_: Any) -> Placeholder:
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _same
    __rtruediv__ = __floordiv__ = __mod__ = __pow__ = __neg__ = __lt__ = __gt__ = _same
    __le__ = __ge__ = __and__ = __or__ = _same


def iter_nothing(value: T) -> Generator[Any, None, T]:
    """Awaiting this gives `value` at once."""
    yield from ()
    return value


def _sources(value: Any, depth: int = 0) -> Iterator[int]:
    if isinstance(value, Placeholder):
        yield value._number
    elif isinstance(value, allow_failure | quote | unmapped):
        yield from _sources(value.value, depth)
    elif isinstance(value, list | tuple | set | dict) and depth < 4:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _sources(item, depth + 1)


current_trace: ContextVar[Trace | None] = ContextVar("nbflow_current_trace", default=None)

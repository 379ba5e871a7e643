"""What `Flow` and `Task` have in common: a function with a spec, callable like the function."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import replace
from types import MethodType
from typing import Any, Generic, ParamSpec, Self, TypeVar

from nbflow import wiring
from nbflow.model.options import check_known
from nbflow.model.specs import FlowSpec, Spec, StateHook
from nbflow.tracing import current_trace

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=Spec)
H = TypeVar("H", bound=Callable[..., Any])

_AUTORELOAD = "IPython.extensions.autoreload"


class RunCallable(Generic[P, R, S]):
    """A decorated function.

    Attributes:
        spec: What was declared.
        fn: The function itself, called without any of this.
    """

    spec: S
    _options: dict[str, Any]

    def __init__(self, fn: Any, spec: S, options: dict[str, Any]) -> None:
        # Not its `__dict__`: a callable object's own attributes would hide those of a task.
        functools.update_wrapper(self, fn, updated=())
        # A function handed over already wrapped by @staticmethod or @classmethod binds as that.
        self._binding = type(fn) if isinstance(fn, staticmethod | classmethod) else None
        self._options = options
        self._derived = False
        self.spec = replace(spec, owner=self)

    @property
    def fn(self) -> Callable[P, R]:
        return self.spec.fn

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def description(self) -> str | None:
        return self.spec.description

    @property
    def version(self) -> str | None:
        return self.spec.version

    @property
    def tags(self) -> frozenset[str]:
        return self.spec.tags

    @property
    def retries(self) -> int:
        return self.spec.retry.retries

    @property
    def timeout_seconds(self) -> float | None:
        return self.spec.timeout_seconds

    def __call__(
        self, *args: Any, return_state: bool = False, wait_for: Any = None, **kwargs: Any
    ) -> R:
        """Run it here and give its value, as calling the function would.

        Args:
            return_state: Give the final `State` instead, whatever it is.
            wait_for: Futures that have to end first.

        Raises:
            ParameterError: The arguments do not fit a flow's type hints.
            Exception: What the function raised, unwrapped.
        """
        __tracebackhide__ = True
        if current_trace.get() is not None:
            return self._traced(args, kwargs, wait_for)  # type: ignore[no-any-return]
        spec = self.newest_spec
        return wiring.current().engine.call(  # type: ignore[no-any-return]
            spec, args, kwargs, return_state=return_state, wait_for=wait_for
        )

    def with_options(self, **options: Any) -> Self:
        """A copy with other options; those not named stay as they are.

        Raises:
            UnknownOption, InvalidOption: As the decorator.
        """
        known = frozenset(type(self).__init__.__kwdefaults__ or ())
        check_known(options, known, f"{type(self).__name__}.with_options()")
        fn = self._options["__fn__"]
        kept = {name: value for name, value in self._options.items() if name != "__fn__"}
        other = type(self)(fn, **{**kept, **options})
        other._derived = True
        other.spec = replace(other.spec, fn=self.spec.fn)
        return other

    def __get__(self, instance: Any, owner: type | None = None) -> Self:
        """As a method: the function gets its object, the runs keep their task."""
        if self._binding is staticmethod or (instance is None and self._binding is None):
            return self
        target = owner if self._binding is classmethod else instance
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound._derived = True
        bound._binding = staticmethod
        bound.spec = replace(self.spec, fn=MethodType(self.spec.fn, target), owner=bound)
        return bound

    def _traced(self, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any) -> Any:
        trace = current_trace.get()
        assert trace is not None
        is_flow = isinstance(self.spec, FlowSpec)
        return trace.call(self.spec.name, (*args, *kwargs.values(), wait_for), is_flow=is_flow)

    @property
    def newest_spec(self) -> S:
        """What calling it would run."""
        return self._fresh().spec

    def _fresh(self) -> Self:
        """The newest definition: under `%autoreload` an imported name keeps the old object."""
        if _AUTORELOAD not in sys.modules or self._derived:
            return self
        found: Any = sys.modules.get(self.spec.fn.__module__)
        for name in getattr(self.spec.fn, "__qualname__", "<lambda>").split("."):
            found = getattr(found, name, None)
        return found if type(found) is type(self) else self

    def _add_hook(self, when: str, hook: H) -> H:
        hooks = self.spec.hooks
        self.spec = replace(
            self.spec, hooks=replace(hooks, **{when: (*getattr(hooks, when), hook)})
        )
        self._options = {**self._options, when: [*(self._options.get(when) or []), hook]}
        return hook

    def on_running(self, hook: H) -> H:
        """As a decorator: call the function when a run begins, with (this, run, state)."""
        return self._add_hook("on_running", hook)

    def on_completion(self, hook: H) -> H:
        """As a decorator: call the function when a run completes, with (this, run, state)."""
        return self._add_hook("on_completion", hook)

    def on_failure(self, hook: H) -> H:
        """As a decorator: call the function when a run fails, with (this, run, state)."""
        return self._add_hook("on_failure", hook)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.spec.name!r})"


def described(fn: Any, description: str | None) -> str | None:
    """The description given, or the function's docstring."""
    return description if description is not None else getattr(fn, "__doc__", None)


def named(fn: Any, name: str | None) -> str:
    """The name given, or the function's own."""
    if name is not None:
        return name
    target = fn.func if isinstance(fn, functools.partial) else fn
    return getattr(target, "__name__", None) or type(target).__name__


def plain_function(fn: Any) -> Any:
    """The function inside a staticmethod or classmethod."""
    return fn.__func__ if isinstance(fn, staticmethod | classmethod) else fn


__all__ = ["RunCallable", "StateHook", "described", "named", "plain_function"]

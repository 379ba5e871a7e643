"""Which call of a run is which, told the same way in a later run that goes on from it.

Of equal calls - same task, source and inputs, made inside of the same run - each has a number. A
later run gives the numbers under which something was kept to its calls, first come, first served;
a call that is left over runs under a number of its own. So three equal calls are three runs, and
those that had completed are not run again, in whatever order threads ask.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

T = TypeVar("T")


class Caller(Protocol):
    """What is asked of the run that makes the calls; see `model.runs.Run`."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def run_count(self) -> int: ...


class Origin:
    """What runs that go on from each other have in common.

    Attributes:
        id: Of the first of them.
        run: The one that is carried out now.
        has_kept: Whether an earlier run or try may have kept results.
        surroundings: The working directory and the environment when it began.
        keys: Of the results that were kept or used, until the run has completed.
    """

    __slots__ = ("has_kept", "id", "keys", "run", "surroundings")

    def __init__(
        self,
        origin_id: str,
        run: Caller,
        *,
        has_kept: bool,
        surroundings: tuple[str, Mapping[str, str]] = ("", {}),
    ) -> None:
        self.id = origin_id
        self.run = run
        self.has_kept = has_kept
        self.surroundings = surroundings
        self.keys: dict[str, None] = {}


class Calls:
    """The calls that are made inside of one run; each try of the run begins to count anew.

    Args:
        run: A flow run, or a task run whose own result is kept: what is called in one that is
            not kept counts as called by the run around it.
        path: What tells the run from every other of its origin, in any process; or a function of
            `outer` that finds it out when it is first asked for.
        outer: Of the run around it.
    """

    __slots__ = (
        "_is_anew",
        "_lock",
        "_n_tries",
        "_numbers",
        "_outer",
        "_path",
        "_run",
        "_slots",
        "origin",
    )

    def __init__(
        self,
        origin: Origin,
        run: Caller,
        path: str | Callable[[Calls], str],
        outer: Calls | None = None,
    ) -> None:
        self.origin = origin
        self._run = run
        self._path = path
        self._outer = outer
        self._lock = threading.Lock()
        self._n_tries = run.run_count
        self._is_anew = False
        self._slots: dict[str, _Slots] = {}
        self._numbers: dict[str, int] = {}

    @property
    def path(self) -> str:
        """What tells the run from every other of its origin."""
        if not isinstance(self._path, str):
            with self._lock:
                if not isinstance(self._path, str):
                    assert self._outer is not None
                    self._path = self._path(self._outer)
        return self._path

    @property
    def is_outermost(self) -> bool:
        """Whether they are those of the flow run that was started."""
        return self._outer is None

    def number(self, what: str) -> int:
        """0, 1, 2, ...: how many calls of this description there were before in this try."""
        with self._lock:
            self._begin_try()
            return self._next(what)

    def find(
        self, what: str, numbers: Callable[[], Iterable[int]], look: Callable[[int], T | None]
    ) -> tuple[T | None, int]:
        """The result of such a call that nobody has used yet, and its number; or one to run under.

        Args:
            what: All that tells a call from others.
            numbers: Gives those under which something is kept.
            look: Gives what is kept under a number. Called by one thread at a time.
        """
        with self._lock:
            self._begin_try()
            slots = self._slots.get(what)
            if slots is None:
                looks = self.origin.has_kept and what not in self._numbers
                if not looks or self._runs_anew():
                    return None, self._next(what)
                slots = self._slots[what] = _Slots()
        with slots.lock:
            if slots.unused is None:
                slots.kept = frozenset(numbers())
                slots.unused = deque(sorted(slots.kept))
            while slots.unused:
                number = slots.unused.popleft()
                found = look(number)
                if found is not None:
                    return found, number
            return None, slots.next()

    def _next(self, what: str) -> int:
        n = self._numbers.get(what, 0)
        self._numbers[what] = n + 1
        return n

    def _begin_try(self) -> None:
        n_tries = self._run.run_count
        if n_tries != self._n_tries:
            self._is_anew = bool(self._slots or self._numbers)
            self._n_tries = n_tries
            self._slots.clear()
            self._numbers.clear()

    def _runs_anew(self) -> bool:
        """Whether what is called runs again: who tries again in one process does all of it anew."""
        return self._is_anew or (self._outer is not None and self._outer._runs_anew())


class _Slots:
    """The numbers of equal calls of which some may be kept.

    Attributes:
        kept: Those under which something was kept when they were first asked for.
        unused: Of these, those that no call was given; None: nobody has asked yet.
    """

    __slots__ = ("_n", "kept", "lock", "unused")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.kept: frozenset[int] = frozenset()
        self.unused: deque[int] | None = None
        self._n = 0

    def next(self) -> int:
        """A number that nothing is kept under."""
        while self._n in self.kept:
            self._n += 1
        self._n += 1
        return self._n - 1

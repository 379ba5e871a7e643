"""All the doctor looks at, put together and told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from nbflow.doctor import jupyter, machine, schedules, stored
from nbflow.doctor.facts import Fact
from nbflow.errors import StoreError
from nbflow.settings import Settings, load_settings
from nbflow.store.database import Database
from nbflow.store.store import Store

_MOST_LINES = 30  # of a section


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found, problems and all."""

    facts: tuple[Fact, ...]

    @property
    def problems(self) -> tuple[Fact, ...]:
        return tuple(fact for fact in self.facts if fact.is_problem)

    def text(self) -> str:
        """For people: the problems, then everything by section."""
        problems = self.problems
        n = len(problems)
        lines = [f"{n} problem{'s' if n != 1 else ''}" if n else "no problems"]
        lines += _cut([line for fact in problems for line in _told(fact)])
        for section in dict.fromkeys(fact.section for fact in self.facts):
            facts = [fact for fact in self.facts if fact.section == section]
            width = min(24, max(len(fact.name) for fact in facts))
            lines += ["", section]
            lines += _cut(
                [
                    f"{'!' if fact.is_problem else ' '} {fact.name:<{width}}  {fact.text}".rstrip()
                    for fact in sorted(facts, key=lambda one: not one.is_problem)
                ]
            )
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "problems": [_as_json(fact) for fact in self.problems],
            "facts": [_as_json(fact) for fact in self.facts],
        }


def examine(settings: Settings | None = None) -> Examination:
    """Look at everything. Changes nothing; what does not exist yet is not made."""
    settings = settings or load_settings()
    return Examination(tuple(_look(settings)))


def report() -> str:
    """What was found, for people."""
    return examine().text()


def _look(settings: Settings) -> Iterator[Fact]:
    yield from machine.versions()
    yield from machine.clock()
    yield from machine.settings(settings)
    yield from stored.folder(settings.home)
    if not os.path.exists(settings.home / "nbflow.db"):  # nor where it cannot be told
        yield Fact("store", "file", "none yet; it is made by the first run")
        yield from jupyter.keep_alive(settings, is_needed=False)
        return
    try:
        # By itself: a store would fall back, or write itself into the file.
        Database(settings.home).close_reader()
    except StoreError as error:
        yield Fact("store", "file", "it cannot be used", str(error))
        return
    store = Store(settings.home, may_fall_back=False)
    try:
        yield from _of_store(store, settings)
    finally:
        store.close()


def _of_store(store: Store, settings: Settings) -> Iterator[Fact]:
    looks: tuple[tuple[str, Callable[[], Iterable[Fact]]], ...] = (
        ("store", lambda: stored.file(store)),
        ("processes", lambda: stored.processes(store)),
        ("schedules", lambda: schedules.schedules(store)),
        ("work pools", lambda: schedules.pools(store)),
        ("notices", lambda: schedules.notices(store)),
        ("kernels", lambda: jupyter.keep_alive(settings, is_needed=schedules.in_kernels(store))),
    )
    for section, look in looks:
        try:
            yield from look()
        except Exception as error:  # a damaged file: what else there is to say is said
            told = f"{type(error).__name__}: {error}"
            yield Fact(section, "failed", told, f"{section} could not be looked at: {told}")


def _told(fact: Fact) -> list[str]:
    return [f"! {fact.section}: {fact.name}: {fact.text}", f"    {fact.advice}"]


def _as_json(fact: Fact) -> dict[str, Any]:
    return {
        "section": fact.section,
        "name": fact.name,
        "text": fact.text,
        "advice": fact.advice or None,
    }


def _cut(lines: list[str]) -> list[str]:
    if len(lines) <= _MOST_LINES:
        return lines
    return [*lines[:_MOST_LINES], f"  ... and {len(lines) - _MOST_LINES} more lines (--json)"]

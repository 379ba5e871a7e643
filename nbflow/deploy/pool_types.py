"""The types of work pools: what each takes, and how its workers have a run carried out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nbflow.deploy.processes import ProcessStarter
from nbflow.errors import InvalidOption
from nbflow.model.deployments import DeploymentKind, DeploymentRecord, OrderRecord


class Execution(Protocol):
    """A run that is being carried out somewhere. All methods may be called on any thread."""

    @property
    def where(self) -> str:
        """Where it is, for people: "process 4711"."""

    def cancel(self) -> None:
        """Ask it to end. Returns at once."""

    def kill(self) -> None:
        """End it at once, by force."""

    def wait(self) -> str:
        """Wait until nothing of it is left; gives how it ended, if not by its run's end."""

    @property
    def owner_id(self) -> str:
        """Who had the run in the end, by its id in the store; empty: nobody took it over."""

    def close(self) -> None:
        """The run has been seen to: it has ended, or waits to be run again."""


class Starter(Protocol):
    """Has runs carried out, for one worker."""

    def start(self, order: OrderRecord, deployment: DeploymentRecord, refusal: str) -> Execution:
        """Have a run begun that the worker owns. Returns at once.

        Who carries it out takes it over by `Store.adopt_order`, and ends it.

        Args:
            refusal: Why the run has to fail instead; empty: it has not.
        """

    def call_crashed_hooks(self, order: OrderRecord, deployment: DeploymentRecord) -> None:
        """Have the `on_crashed` hooks of a flow called for a run that has ended. Does not wait."""

    def close(self) -> None:
        """Nothing more will be started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolType:
    """One type of work pool.

    Attributes:
        takes: The kinds of deployments whose runs it carries out.
        about: What it is, for people.
        starter: Called with the store's folder and the id of the worker in the store.
    """

    name: str
    takes: frozenset[DeploymentKind]
    about: str
    starter: Callable[[Path, str], Starter]

    def refusal(self, deployment: DeploymentRecord) -> str:
        """Why a deployment cannot be run here; empty: it can."""
        if deployment.kind in self.takes:
            return ""
        taken = " and ".join(sorted(self.takes))
        return (
            f"work pools of type {self.name!r} take {taken} deployments, and "
            f"{deployment.full_name} is a {deployment.kind}; deploy it to a pool of another type"
        )


def _processes(home: Path, owner_id: str) -> Starter:
    return ProcessStarter(home, owner_id)


def _notebooks(home: Path, owner_id: str) -> Starter:
    return ProcessStarter(home, owner_id, preload=("nbflow.deploy.notebooks",))


POOL_TYPES = {
    one.name: one
    for one in (
        PoolType(
            name="process",
            takes=frozenset(DeploymentKind),
            about="each run in a process of its own; a notebook also in a fresh kernel",
            starter=_processes,
        ),
        PoolType(
            name="notebook",
            takes=frozenset({DeploymentKind.NOTEBOOK}),
            about="notebooks only, each run in a fresh kernel",
            starter=_notebooks,
        ),
    )
}


def check_pool_type(name: str) -> None:
    """Return if there is a type of this name.

    Raises:
        InvalidOption: There is none.
    """
    find(name)


def find(name: str) -> PoolType:
    """The type of this name.

    Raises:
        InvalidOption: There is none.
    """
    try:
        return POOL_TYPES[name]
    except KeyError:
        known = " or ".join(repr(one) for one in POOL_TYPES)
        raise InvalidOption("work pool", "type", name, known) from None

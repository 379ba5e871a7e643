"""Which task cells a `%flow run` is to run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from nbflow.analysis.graph import CellGraph, CycleError, EdgeKind
from nbflow.notebook.graphing import is_hidden
from nbflow.notebook.task_cells import TaskCell

if TYPE_CHECKING:
    from nbflow.notebook.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which cells to run, and how.

    Attributes:
        targets: Cells or variables; none: all.
        downstream: Run what depends on the targets, rather than what they need.
        force: Run also what is up to date, and do not use what is kept.
        jobs: How many cells may run at once; 0: the default.
        parameters: Values for variables, in place of what cells write.
    """

    targets: tuple[str, ...] = ()
    downstream: bool = False
    force: bool = False
    jobs: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)


def scope(graph: CellGraph, choice: Choice) -> list[str]:
    """The cells that may be run, in order, whether they are up to date or not.

    Raises:
        UsageError: There is no such cell or variable, or the cells need each other in a circle.
    """
    cells = [node.name for node in graph.nodes]
    variables = _variables(graph)
    for target in choice.targets:
        if target not in cells and target not in variables:
            near = get_close_matches(target, [*cells, *variables], n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(cells)}"
            raise UsageError(f"there is no task cell or variable {target!r} in this notebook{hint}")
    try:
        if not choice.targets:
            return list(graph.order())
        if not choice.downstream:
            return list(graph.pull(*choice.targets))
        first = [
            one
            for target in choice.targets
            for one in ([target] if target in cells else variables[target])
        ]
        return list(graph.push(*first))
    except CycleError as error:
        raise UsageError(str(error)) from None


def replaced_by(graph: CellGraph, session: Session, parameters: Collection[str]) -> list[str]:
    """Cells that are not needed because all they write is given.

    Raises:
        UsageError: A parameter is none of the notebook's variables, or but a part of what a cell
            writes.
    """
    found = []
    known = {*session.shell.user_ns, *_variables(graph)}
    known.update(name for node in graph.nodes for name in graph.inputs(node.name))
    for name in parameters:
        if name not in known:
            raise UsageError(f"-p {name}: no cell of this notebook reads {name}")
    for node in graph.nodes:
        writes = {name for name in node.names.writes if not is_hidden(name)}
        if given := sorted(writes.intersection(parameters)):
            if left := sorted(writes.difference(parameters)):
                raise UsageError(
                    f"-p {given[0]}: task {node.name!r} writes {', '.join(left)} as well; write "
                    f"{given[0]} in a cell of its own, or give all of them"
                )
            found.append(node.name)
    return found


def to_run(
    session: Session, graph: CellGraph, choice: Choice, stale: Collection[str], given: list[str]
) -> list[TaskCell]:
    """The cells to run, in order: those of the scope that are stale, and what these need.

    Args:
        given: See `replaced_by`.
    """
    wanted = [name for name in scope(graph, choice) if name not in given]
    touched = set(graph.push(*given)) if given else set()
    is_all = choice.force or choice.downstream
    chosen = {name for name in wanted if is_all or name in stale or name in touched}
    needed = graph.pull(*wanted)
    order = [name for name in needed if name not in given]
    sources = {
        name: {e.before for e in graph.edges if e.after == name and e.kind is EdgeKind.DATA}
        for name in order
    }
    while True:
        more = {before for name in chosen for before in sources[name] if before in stale}
        after = session.freshness.after(graph, [n for n in order if n in chosen], given)
        for name in order:
            if name not in after or name in more:
                continue
            if name not in chosen:
                more |= {name} & set(wanted)
            else:  # it would read what another cell has made of a variable since
                more |= sources[name]
        more -= {*chosen, *given}
        if not more:
            return [session.task_cells[name] for name in order if name in chosen]
        chosen |= more


def _variables(graph: CellGraph) -> dict[str, list[str]]:
    """Every variable that cells bind, with those cells."""
    found: dict[str, list[str]] = {}
    for node in graph.nodes:
        for name in node.names.writes:
            if not is_hidden(name):
                found.setdefault(name, []).append(node.name)
    return found

"""What an exported file consists of: what stands at module level, and a step for each cell left."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nbflow.analysis.effects import is_definitions_only
from nbflow.analysis.names import CellNames, cell_names
from nbflow.errors import NbflowError
from nbflow.notebook.export_cells import (
    ParsedCell,
    Piece,
    loop_variables,
    refusal,
    surely_bound,
)

_BUILTINS = frozenset(vars(builtins))
_KNOWN = _BUILTINS | {"__name__", "__file__", "__doc__", "display"}
_RESERVED = frozenset({"return_state", "wait_for"})  # options of a task's call
# What they set has to be set before the imports and cells that follow.
_SETTINGS = (
    "sys.path.",
    "sys.setrecursionlimit(",
    "os.environ",
    "os.chdir(",
    "warnings.filterwarnings(",
    "warnings.simplefilter(",
    "matplotlib.use(",
    "mpl.use(",
)
_Mutable = ast.List | ast.Dict | ast.Set
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Step:
    """A cell as a function of the file.

    Attributes:
        pieces: What its body consists of.
        takes: Names of other steps that it reads or changes.
        gives: Names that it writes or changes and others take; of a last step, all it writes.
        starts: Of those it gives, the ones that only a branch binds: they start as None.
        ends: Names that it deletes for good.
        is_last: Whether no other step takes anything of it.
    """

    cell: ParsedCell
    pieces: tuple[Piece, ...]
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    starts: tuple[str, ...]
    ends: tuple[str, ...]
    is_last: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What a file consists of.

    Attributes:
        module: Imports, definitions and constants, in order.
        steps: In the order of their calls.
    """

    module: tuple[Piece, ...]
    steps: tuple[Step, ...]


def plan(cells: Sequence[ParsedCell]) -> Plan:
    """Divide cells, in the order in which they are to run, into module level and steps.

    Raises:
        NbflowError: A cell cannot be a function that does the same.
    """
    hoisted = _hoisted(cells)
    left = [(cell, tuple(p for p in cell.pieces if id(p) not in hoisted)) for cell in cells]
    left = [(cell, pieces) for cell, pieces in left if pieces]
    facts = [_names_of(pieces) for _, pieces in left]
    is_open = any(_is_star(piece) for cell in cells for piece in cell.pieces)
    module_names = {
        name
        for cell in cells
        for piece in cell.pieces
        if id(piece) in hoisted
        for name in piece.names.writes
    }
    takes: list[tuple[str, ...]] = []
    there: dict[str, None] = {}  # names that the steps so far have left
    variables = {name for names in facts for name in names.writes}
    for (cell, pieces), names in zip(left, facts, strict=True):
        taken = _taken(cell, pieces, names, there)
        takes.append(taken)
        lacking = set(names.reads) - set(there) - module_names - _KNOWN
        if lacking and not (is_open and not lacking & variables):
            first = min(lacking, key=names.reads.index)
            raise refusal(cell.cell, f"reads {first!r}, which no cell before it writes")
        if clash := sorted(_RESERVED.intersection((*taken, *names.writes))):
            raise refusal(cell.cell, f"uses {clash[0]!r}, which is an option of a task's call")
        ends = [name for name in names.deletes if name not in names.writes]
        there = {name: None for name in (*there, *names.writes) if name not in ends}
    steps = []
    for n, ((cell, pieces), names) in enumerate(zip(left, facts, strict=True)):
        later = set[str]().union(*takes[n + 1 :])
        step = _step(cell, pieces, names, takes[n], later)
        _check_late_reads(step, left[n + 1 :], variables, later)
        steps.append(step)
    module = tuple(p for cell in cells for p in cell.pieces if id(p) in hoisted)
    return Plan(module, tuple(steps))


# --- module level -------------------------------------------------------------------------------


def _hoisted(cells: Sequence[ParsedCell]) -> set[int]:
    """Ids of the pieces that go to module level: all they need is there as well.

    Lists, dicts and sets stay with their cells, so that each run of the flow has its own.
    """
    pieces = [piece for cell in cells for piece in cell.pieces]
    writers: dict[str, list[Piece]] = {}
    for piece in pieces:
        for name in piece.names.writes:
            writers.setdefault(name, []).append(piece)
    touched = {name for piece in pieces for name in piece.names.deletes}
    changed = {name for piece in pieces for name in piece.names.mutates}
    candidates: dict[int, Piece] = {}
    for cell in cells:
        is_setup = cell.cell.options is None and is_definitions_only(cell.source)
        for piece in cell.pieces:
            names = set(piece.names.writes)
            is_constant = not (
                _is_import(piece) or _is_star(piece) or isinstance(piece.node, _Definition)
            )
            if is_constant and not (is_setup or (cell.cell.options is None and is_setting(piece))):
                continue
            if names & touched or (is_constant and names & changed):
                continue
            if (
                isinstance(piece.node, ast.Expr)
                and piece is cell.pieces[-1]
                and not is_setting(piece)
            ):
                continue  # shown
            if is_constant and any(isinstance(one, _Mutable) for one in ast.walk(piece.node)):
                continue
            if all(_is_one_binding(writers[name]) for name in names):
                candidates[id(piece)] = piece
    _drop_settings(cells, candidates)
    while True:
        there = {name for piece in candidates.values() for name in piece.names.writes}
        elsewhere = set(writers) - there
        lacking = [
            key
            for key, piece in candidates.items()
            if elsewhere.intersection((*piece.needs, *_loaded_builtins([piece])))
        ]
        if not lacking:
            return set(candidates)
        for key in lacking:
            del candidates[key]


def _drop_settings(cells: Sequence[ParsedCell], candidates: dict[int, Piece]) -> None:
    """Leave settings in their cell where something runs before them that they could change."""
    has_run = False
    for cell in cells:
        for piece in cell.pieces:
            if id(piece) not in candidates:
                has_run = True
            elif has_run and is_setting(piece) and "sys.path" not in piece.text:
                del candidates[id(piece)]


def _is_import(piece: Piece) -> bool:
    return isinstance(piece.node, ast.Import | ast.ImportFrom)


def _is_star(piece: Piece) -> bool:
    node = piece.node
    return isinstance(node, ast.ImportFrom) and node.names[0].name == "*"


def is_setting(piece: Piece) -> bool:
    """Whether a statement sets up what the imports and cells below it work with."""
    is_kind = isinstance(piece.node, ast.Expr | ast.Assign | ast.AugAssign)
    return is_kind and ast.unparse(piece.node).startswith(_SETTINGS)


def _is_one_binding(writers: Sequence[Piece]) -> bool:
    """Whether a name is bound once in the notebook, or by the same import each time."""
    if len(writers) == 1:
        return True
    return all(map(_is_import, writers)) and len({ast.dump(one.node) for one in writers}) == 1


def _loaded_builtins(pieces: Iterable[Piece]) -> list[str]:
    """Names of builtins in use: the analysis takes them for the builtins, which a cell may bind."""
    return [
        node.id
        for piece in pieces
        for node in ast.walk(piece.node)
        if isinstance(node, ast.Name) and node.id in _BUILTINS
    ]


# --- steps --------------------------------------------------------------------------------------


def _names_of(pieces: Sequence[Piece]) -> CellNames:
    return cell_names("\n".join(ast.unparse(piece.node) for piece in pieces))


def _taken(
    cell: ParsedCell, pieces: Sequence[Piece], names: CellNames, there: Mapping[str, None]
) -> tuple[str, ...]:
    """The names a step needs of those that are there when it runs, in the order of its text."""
    wanted = [*names.reads, *names.mutates, *names.deletes, *names.deferred]
    bound = surely_bound(piece.node for piece in pieces)
    perhaps = [name for name in names.writes if name not in bound]
    wanted += [*_late_reads(pieces), *_loaded_builtins(pieces), *sorted(cell.query_names)]
    every = dict.fromkeys((*wanted, *perhaps))
    return tuple(name for name in every if name in there)


def _late_reads(pieces: Sequence[Piece]) -> list[str]:
    """Names that functions of a step may read before the step itself binds them."""
    bound: set[str] = set()
    found: list[str] = []
    for piece in pieces:
        found += [name for name in piece.names.deferred if name not in bound]
        bound |= surely_bound([piece.node])
    return found


def _step(
    cell: ParsedCell,
    pieces: tuple[Piece, ...],
    names: CellNames,
    takes: tuple[str, ...],
    later: set[str],
) -> Step:
    ends = tuple(name for name in names.deletes if name not in names.writes)
    nodes = [piece.node for piece in pieces]
    for name in _deleted_inside(nodes, names):
        if name in takes or name in later:
            raise refusal(cell.cell, f"deletes {name!r} inside of a block")
    bound = surely_bound(nodes)
    left = [*names.writes, *(name for name in names.mutates if name in takes)]
    own = [name for name in dict.fromkeys(left) if name not in ends]
    gives = [name for name in own if name in later]
    is_last = not gives
    if cell.cell.outputs is not None:
        gives = list(dict.fromkeys((*cell.cell.outputs, *gives)))
    elif is_last:
        loops = loop_variables(nodes)
        gives = [
            name
            for name in own
            if not name.startswith("_") and name not in loops and (name in bound or name in takes)
        ]
    missing = [name for name in gives if name not in own]
    if missing:
        raise refusal(cell.cell, f"is to give {missing[0]!r}, which it does not write")
    starts = [name for name in gives if name not in bound and name not in takes]
    return Step(cell, pieces, takes, tuple(gives), tuple(starts), ends, is_last)


def _deleted_inside(nodes: Iterable[ast.stmt], names: CellNames) -> list[str]:
    """Names that are deleted elsewhere than by a statement of its own, so perhaps not at all."""
    at_top = {
        target.id
        for node in nodes
        if isinstance(node, ast.Delete)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return [name for name in names.deletes if name not in at_top]


def _check_late_reads(
    step: Step,
    later: Sequence[tuple[ParsedCell, tuple[Piece, ...]]],
    variables: set[str],
    wanted: set[str],
) -> None:
    """A function sees a notebook's names as they are when it is called; in a file, as they were.

    Raises:
        NbflowError: A later step binds a name that a function of this step reads.
    """
    for piece in step.pieces:
        if not (_keeps_function(piece) and wanted.intersection(piece.names.writes)):
            continue
        for name in piece.needs & variables - set(piece.names.writes):
            for cell, pieces in later:
                if any(name in one.names.writes for one in pieces):
                    function = piece.names.writes[0]
                    raise NbflowError(
                        f"cell {step.cell.cell.name!r} cannot be exported: its {function!r} reads "
                        f"{name!r}, which cell {cell.cell.name!r} binds later; "
                        f"give it to {function!r} as a parameter"
                    )


def _keeps_function(piece: Piece) -> bool:
    """Whether a statement binds something that reads names when it is called."""
    if isinstance(piece.node, _Definition):
        return True
    value = getattr(piece.node, "value", None)
    held = [value, *getattr(value, "elts", ()), *getattr(value, "values", ())]
    return isinstance(piece.node, ast.Assign | ast.AnnAssign) and any(
        isinstance(one, ast.Lambda | ast.GeneratorExp) for one in held
    )

"""A cell taken apart for `export`: its statements, each with the comments above it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager

from nbflow.analysis.effects import EffectKind, cell_effects
from nbflow.analysis.names import CellNames, cell_names
from nbflow.analysis.source import ends_with_semicolon
from nbflow.errors import NbflowError
from nbflow.notebook.parsing import names as words

# They change what a notebook shows or how it runs, not what its cells compute.
_DROPPED = {
    "autoreload",
    "autotask",
    "config",
    "flow",
    "load_ext",
    "matplotlib",
    "nbflow",
    "pinfo",
    "pinfo2",
    "reload_ext",
}
_REFUSED = (EffectKind.SHELL, EffectKind.MAGIC, EffectKind.NAMESPACE, EffectKind.HISTORY)
_QUERY_NAME = re.compile(r"@([^\W\d]\w*)")


@dataclass(frozen=True, slots=True)
class ExportCell:
    """A cell that is to be exported.

    Attributes:
        name: What messages call it by, and its function as far as it can be one's name. Unique.
        source: As the user wrote it, without the line of a `%%task` magic.
        options: Of its `@task`, by name; None: it is no task cell.
        outputs: The only names it is to give; None: those that other cells need.
    """

    name: str
    source: str
    options: Mapping[str, Any] | None = None
    outputs: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """One statement of a cell's top level.

    Attributes:
        text: Its source, with the comments above it and behind it.
        names: As if it were a cell of its own.
    """

    node: ast.stmt
    text: str
    names: CellNames

    @property
    def needs(self) -> set[str]:
        """Every name it takes from outside, at once or when its functions are called."""
        return {*self.names.reads, *self.names.deferred}


@dataclass(frozen=True, slots=True)
class ParsedCell:
    """A cell in pieces.

    Attributes:
        source: Without magics.
        is_silenced: Whether a semicolon keeps the last expression from being shown.
        is_async: Whether it awaits at top level.
        query_names: Names in strings such as `"x > @least"`, which pandas looks up.
    """

    cell: ExportCell
    source: str
    pieces: tuple[Piece, ...]
    tail: str
    is_silenced: bool
    is_async: bool
    query_names: frozenset[str] = field(default_factory=frozenset)


def parse_cell(cell: ExportCell) -> ParsedCell:
    """Take a cell apart.

    Raises:
        NbflowError: It is not Python, or does what a function of a file cannot do.
    """
    try:
        source = _without_magics(TransformerManager().transform_cell(cell.source))
        tree = ast.parse(source)
        effects = cell_effects(source)
        is_silenced = ends_with_semicolon(source)
    except SyntaxError as error:
        raise refusal(cell, f"is not Python: {error}") from None
    for effect in effects:
        if effect.kind in _REFUSED:
            raise refusal(cell, f"uses {effect.told} in line {effect.line}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            raise refusal(cell, f"declares {', '.join(node.names)} global in line {node.lineno}")
    pieces, tail = _pieces(source, tree)
    texts = (one.value for one in ast.walk(tree) if isinstance(one, ast.Constant))
    return ParsedCell(
        cell=cell,
        source=source,
        pieces=pieces,
        tail=tail,
        is_silenced=is_silenced,
        is_async=any(effect.kind is EffectKind.AWAIT for effect in effects),
        query_names=frozenset(
            name for text in texts if isinstance(text, str) for name in _QUERY_NAME.findall(text)
        ),
    )


def task_cell(name: str, source: str, args: Any) -> ExportCell:
    """A `%%task` cell, with those of its magic's options that `@task` has as well."""
    given = {
        "retries": args.retries,
        "retry_delay_seconds": args.retry_delay,
        "timeout_seconds": args.timeout,
        "tags": list(words(args.tags)),
    }
    options = {option: value for option, value in given.items() if value}
    return ExportCell(name, source, options, words(args.outputs) or None)


def refusal(cell: ExportCell, why: str) -> NbflowError:
    """The error for a cell that cannot be exported."""
    return NbflowError(
        f"cell {cell.name!r} cannot be exported: it {why}; change the cell or leave it out"
    )


def indented(text: str) -> str:
    """Four spaces to the right, but for what is inside of strings."""
    inside: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant | ast.JoinedStr) and node.end_lineno is not None:
            inside.update(range(node.lineno + 1, node.end_lineno + 1))
    return "\n".join(
        line if n in inside or not line.strip() else f"    {line}"
        for n, line in enumerate(text.split("\n"), 1)
    )


def surely_bound(statements: Iterable[ast.stmt]) -> set[str]:
    """Names that statements bind whichever way they go; loops are taken to run at least once."""
    bound: set[str] = set()
    for statement in statements:
        match statement:
            case ast.If(body=body, orelse=orelse):
                bound |= surely_bound(body) & surely_bound(orelse)
            case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=finalbody):
                ways = [surely_bound([*body, *orelse])]
                ways += [surely_bound(one.body) for one in handlers if not _leaves(one.body)]
                bound |= set.intersection(*ways) | surely_bound(finalbody)
            case ast.Match():
                pass  # none of its cases may fit
            case ast.For(body=body) | ast.AsyncFor(body=body) | ast.While(body=body):
                bound |= _targets(statement) | surely_bound(body)
            case ast.With(body=body) | ast.AsyncWith(body=body):
                bound |= _targets(statement) | surely_bound(body)
            case ast.Delete():
                bound -= {one.id for one in statement.targets if isinstance(one, ast.Name)}
            case _:
                bound |= set(cell_names(ast.unparse(statement)).writes)
    return bound


def loop_variables(statements: Iterable[ast.stmt]) -> set[str]:
    """Names bound by `for` at top level only: seldom what a cell is about."""
    return {
        name
        for statement in statements
        if isinstance(statement, ast.For | ast.AsyncFor)
        for name in _targets(statement)
    }


def _targets(statement: ast.stmt) -> set[str]:
    holders: list[ast.expr] = []
    if isinstance(statement, ast.For | ast.AsyncFor):
        holders = [statement.target]
    elif isinstance(statement, ast.With | ast.AsyncWith):
        holders = [one.optional_vars for one in statement.items if one.optional_vars is not None]
    nodes = (node for holder in holders for node in ast.walk(holder))
    return {
        node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _leaves(body: Sequence[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], ast.Raise | ast.Continue | ast.Break)


def _without_magics(source: str) -> str:
    """The source with a comment in the place of each magic that may be dropped."""
    lines = source.split("\n")
    tree = ast.parse(source)
    for node in ast.walk(tree):
        told = _dropped_magic(node)
        if told is None or not isinstance(node, ast.Expr):
            continue
        line = lines[node.lineno - 1]
        before = line[: node.col_offset]
        if before.strip() or node.end_lineno != node.lineno:
            continue  # told of as an effect, which refuses the cell
        statement = "" if node in tree.body else "pass  "
        lines[node.lineno - 1] = f"{before}{statement}# {told}  (for notebooks only)"
    return "\n".join(lines).strip("\n")


def _dropped_magic(node: ast.AST) -> str | None:
    match node:
        case ast.Expr(
            value=ast.Call(
                func=ast.Attribute(
                    value=ast.Call(func=ast.Name(id="get_ipython")), attr="run_line_magic"
                ),
                args=[ast.Constant(value=str(name)), ast.Constant(value=str(line))],
            )
        ) if name in _DROPPED:
            return f"%{name} {line}".strip()
        case _:
            return None


def _pieces(source: str, tree: ast.Module) -> tuple[tuple[Piece, ...], str]:
    """The statements, and the comments below the last one."""
    lines = source.split("\n")
    spans = [(_first_line(node), node.end_lineno or node.lineno) for node in tree.body]
    ends = [0, *(end for _, end in spans)]
    is_shared = any(start <= end for (start, _), end in zip(spans, ends, strict=False))
    pieces = []
    for n, node in enumerate(tree.body):
        # Statements that share a line cannot be told apart as text; their comments are lost.
        text = ast.unparse(node) if is_shared else "\n".join(lines[ends[n] : ends[n + 1]])
        pieces.append(Piece(node, text.strip("\n"), cell_names(ast.unparse(node))))
    return tuple(pieces), "\n".join(lines[ends[-1] :]).strip("\n")


def _first_line(node: ast.stmt) -> int:
    decorators: Iterator[ast.expr] = iter(getattr(node, "decorator_list", ()))
    return min([node.lineno, *(one.lineno for one in decorators)])

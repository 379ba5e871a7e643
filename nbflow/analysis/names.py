"""Which names a cell reads, writes, deletes and changes in place."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_BUILTINS = frozenset(vars(builtins)) | {
    "__name__",
    "__file__",
    "__doc__",
    "get_ipython",
    "display",
}
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(frozen=True, slots=True)
class CellNames:
    """The names of one cell, each in the order in which the cell first uses it so.

    Attributes:
        reads: Read before the cell has surely written them, so needed when it starts.
        writes: Bound in the notebook: assignments, imports, definitions, loop variables, and what
            its functions declare `global` and bind.
        deletes: Unbound with `del`.
        mutates: Changed in place: `x[k] = `, `x.attr = `, `del x[k]`. What a method call changes
            cannot be told from the source.
        deferred: Read only inside functions, so needed when those are called; without what the
            cell itself binds, before the function or after it.
    """

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    deletes: tuple[str, ...]
    mutates: tuple[str, ...]
    deferred: tuple[str, ...]


def cell_names(source: str) -> CellNames:
    """The names of a cell whose magics have been turned into Python already.

    Raises:
        SyntaxError: It is not Python.
    """
    visitor = _CellVisitor()
    visitor.body(ast.parse(source).body)
    reads = list(visitor.reads)
    deferred = [name for name in visitor.deferred if name not in visitor.reads]
    return CellNames(
        reads=tuple(name for name in reads if name not in _BUILTINS),
        writes=tuple({**visitor.writes, **visitor.late_writes}),
        deletes=tuple(visitor.deletes),
        mutates=tuple(visitor.mutates),
        deferred=tuple(
            name for name in deferred if name not in _BUILTINS and name not in visitor.writes
        ),
    )


class _CellVisitor(ast.NodeVisitor):
    """Walks a cell's top level in the order of execution.

    `bound` holds the names that are surely bound at the point reached: what one branch binds does
    not count after it, unless every branch does.
    """

    def __init__(self) -> None:
        # Dicts as ordered sets.
        self.reads: dict[str, None] = {}
        self.writes: dict[str, None] = {}
        self.deletes: dict[str, None] = {}
        self.mutates: dict[str, None] = {}
        self.deferred: dict[str, None] = {}
        self.late_writes: dict[str, None] = {}  # by functions, when they are called
        self.bound: set[str] = set()
        self.own: set[str] = set()  # variables of the comprehensions around

    def body(self, statements: Iterable[ast.stmt]) -> None:
        for statement in statements:
            self.visit(statement)

    # --- single names ---------------------------------------------------------------------

    def read(self, name: str) -> None:
        if name not in self.bound:
            self.reads[name] = None

    def write(self, name: str) -> None:
        self.writes[name] = None
        self.bound.add(name)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.read(node.id)
        elif isinstance(node.ctx, ast.Store):
            self.write(node.id)
        else:
            self.read(node.id)
            self.deletes[node.id] = None
            self.writes.pop(node.id, None)
            self.bound.discard(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._changed(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._changed(node)

    def _changed(self, node: ast.Attribute | ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            owner: ast.expr = node
            while isinstance(owner, ast.Attribute | ast.Subscript):
                owner = owner.value
            if isinstance(owner, ast.Name):
                self.mutates[owner.id] = None
        self.generic_visit(node)

    # --- statements whose parts run in another order than they are written --------------------

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)
            self.visit(node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.read(node.target.id)
        self.visit(node.value)
        self.visit(node.target)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self.visit(node.target)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.write(alias.asname or alias.name.partition(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name != "*":  # what a star brings cannot be told
                self.write(alias.asname or alias.name)

    # --- branches ---------------------------------------------------------------------------

    def _branches(self, *branches: Iterable[ast.AST]) -> None:
        """Visit alternatives; only what all of them bind, or unbind, surely is so afterwards."""
        before, written = set(self.bound), dict(self.writes)
        after, writes = list[set[str]](), dict[str, None]()
        for branch in branches:
            self.bound, self.writes = set(before), dict(written)
            for node in branch:
                self.visit(node)
            after.append(self.bound)
            writes |= self.writes
        self.bound, self.writes = set.intersection(*after), writes

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        self._branches(node.body, node.orelse)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.visit(node.test)
        self._branches([node.body], [node.orelse])

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.visit(node.values[0])
        self._branches(node.values[1:], [])

    def visit_Compare(self, node: ast.Compare) -> None:
        self.visit(node.left)
        self.visit(node.comparators[0])
        self._branches(node.comparators[1:], [])

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        self._branches(node.body, [])
        self._branches(node.orelse, [])

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self._branches([node.target, *node.body], [])
        self._branches(node.orelse, [])

    visit_AsyncFor = visit_For

    def visit_Try(self, node: ast.Try | ast.TryStar) -> None:
        before = set(self.bound)
        self._branches([*node.body, *node.orelse], *([handler] for handler in node.handlers))
        surely, self.bound = self.bound, before  # the last part also runs when one above raises
        self.body(node.finalbody)
        self.bound |= surely

    visit_TryStar = visit_Try

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type is not None:
            self.visit(node.type)
        if node.name is not None:
            self.bound.add(node.name)
        self.body(node.body)
        if node.name is not None:  # Python unbinds it at the end of the handler
            self.bound.discard(node.name)

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        last = node.cases[-1]
        takes_rest = isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None
        is_complete = takes_rest and last.guard is None
        self._branches(*([case] for case in node.cases), *([] if is_complete else [[]]))

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self.generic_visit(node)
        if node.name is not None:
            self.write(node.name)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name is not None:
            self.write(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.generic_visit(node)
        if node.rest is not None:
            self.write(node.rest)

    # --- scopes of their own -------------------------------------------------------------------

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        parameters = _type_parameters(node) - self.bound
        self.bound |= parameters
        for outside in (*node.decorator_list, *_defaults(node.args), *_annotations(node)):
            self.visit(outside)
        self.bound -= parameters
        self._defer(node)
        self.write(node.name)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for default in _defaults(node.args):
            self.visit(default)
        self._defer(node)

    def visit_TypeAlias(self, node: Any) -> None:
        """`type X = ...`, which is evaluated when it is needed."""
        inner = _FunctionVisitor(self.own | _type_parameters(node))
        inner.visit(node.value)
        self.deferred.update(inner.free)
        self.visit(node.name)

    def _defer(self, node: _Function) -> None:
        inner = _FunctionVisitor(self.own | _type_parameters(node))
        inner.enter(node)
        self.deferred.update(inner.free)
        self.late_writes.update(inner.globals_written)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        parameters = _type_parameters(node) - self.bound
        self.bound |= parameters
        for outside in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(outside)
        inner = _CellVisitor()
        inner.bound = set(self.bound)
        self.bound -= parameters
        inner.body(node.body)
        self.reads.update(inner.reads)
        self.deferred.update(inner.deferred)
        self.late_writes.update(inner.late_writes)
        self.mutates.update({name: None for name in inner.mutates if name not in inner.writes})
        self.write(node.name)

    def visit_ListComp(self, node: _Comprehension) -> None:
        """Its variables are its own; a walrus inside binds outside."""
        first = node.generators[0]
        self.visit(first.iter)
        bound, own = set(self.bound), set(self.own)
        for generator in node.generators:
            if generator is not first:
                self.visit(generator.iter)
            self.own |= _targets(generator.target)
            self.bound |= self.own
            for condition in generator.ifs:
                self.visit(condition)
        for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.visit(part)
        # A walrus inside binds outside, but not surely: there may be no items.
        self.bound, self.own = bound, own

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp


class _FunctionVisitor(ast.NodeVisitor):
    """Collects the names a function takes from outside, inner functions included."""

    def __init__(self, local: set[str]) -> None:
        self.free: dict[str, None] = {}
        self.globals_written: dict[str, None] = {}
        self._local = set(local)
        self._of_class: set[str] = set()  # bound in the class body at hand: not for its methods

    def enter(self, node: _Function) -> None:
        """Visit the body of a function; its arguments and assignments are local to all of it."""
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
        declared_global: set[str] = set()
        for statement in body:
            for inner in _own_nodes(statement):
                if isinstance(inner, ast.Global):
                    declared_global.update(inner.names)
        bound = {one.arg for one in every}
        for statement in body:
            bound |= _bound_in(statement)
        self._local = (self._local | bound) - declared_global
        for name in sorted(bound & declared_global):
            self.globals_written[name] = None
        for statement in body:
            self.visit(statement)

    def visit_Name(self, node: ast.Name) -> None:
        is_read = isinstance(node.ctx, ast.Load)
        if is_read and node.id not in self._local and node.id not in self._of_class:
            self.free[node.id] = None

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.visit_Name(ast.Name(node.target.id, ast.Load()))
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        for outside in (*_decorators(node), *_defaults(node.args), *_annotations(node)):
            self.visit(outside)
        inner = _FunctionVisitor(self._local | _type_parameters(node))
        inner.enter(node)
        self.free.update(inner.free)
        self.globals_written.update(inner.globals_written)

    visit_AsyncFunctionDef = visit_Lambda = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for outside in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(outside)
        before = set(self._of_class)
        self._of_class |= set[str]().union(*map(_bound_in, node.body))
        for statement in node.body:
            self.visit(statement)
        self._of_class = before

    def visit_ListComp(self, node: _Comprehension) -> None:
        before = set(self._local)
        for generator in node.generators:
            self.visit(generator.iter)
            self._local |= _targets(generator.target)
            for condition in generator.ifs:
                self.visit(condition)
        for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.visit(part)
        self._local = before

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp


def _own_nodes(node: ast.AST) -> Iterable[ast.AST]:
    """`node` and what is below it, but not what is in scopes of their own in it."""
    yield node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        for child in ast.iter_child_nodes(node):
            if not (isinstance(node, ast.comprehension) and child is node.target):
                yield from _own_nodes(child)


def _bound_in(statement: ast.AST) -> set[str]:
    """Names that a statement of a function body binds in the function's own scope."""
    bound: set[str] = set()
    for node in _own_nodes(statement):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                bound.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                bound.add(name)
            case ast.ClassDef(name=name):
                bound.add(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                bound |= {alias.asname or alias.name.partition(".")[0] for alias in aliases}
            case ast.ExceptHandler(name=str(name)):
                bound.add(name)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                bound.add(name)
            case ast.MatchMapping(rest=str(name)):
                bound.add(name)
            case _:
                pass
    return bound


def _targets(target: ast.expr) -> set[str]:
    names = (node for node in ast.walk(target) if isinstance(node, ast.Name))
    return {name.id for name in names if isinstance(name.ctx, ast.Store)}


def _defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [*arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)]


def _type_parameters(node: ast.AST) -> set[str]:
    """`T` of `def f[T](): ...`; there is none before Python 3.12."""
    return {parameter.name for parameter in getattr(node, "type_params", ())}


def _decorators(node: _Function) -> list[ast.expr]:
    return [] if isinstance(node, ast.Lambda) else node.decorator_list


def _annotations(node: _Function) -> list[ast.expr]:
    """Annotations run when the function is defined."""
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
    found = [one.annotation for one in every if one.annotation is not None]
    returns = None if isinstance(node, ast.Lambda) else node.returns
    return found if returns is None else [*found, returns]

"""Scopes inside a cell: what functions and classes bind for themselves and take from outside."""

from __future__ import annotations

import ast
from collections.abc import Iterable

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class FunctionScope(ast.NodeVisitor):
    """Collects the names a function takes from outside, inner functions included."""

    def __init__(self, local: set[str]) -> None:
        self.free: dict[str, None] = {}
        self.globals_written: dict[str, None] = {}
        self._local = set(local)
        self._of_class: set[str] = set()  # bound in the class body at hand: not for its methods

    def enter(self, node: Function) -> None:
        """Visit the body of a function; its arguments and assignments are local to all of it."""
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        declared_global: set[str] = set()
        for statement in body:
            for inner in own_nodes(statement):
                if isinstance(inner, ast.Global):
                    declared_global.update(inner.names)
        bound = set(parameters(node))
        for statement in body:
            bound |= bound_in(statement)
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
        for outside in (*decorators(node), *defaults(node.args), *hints(node)):
            self.visit(outside)
        inner = FunctionScope(self._local | type_parameters(node))
        inner.enter(node)
        self.free.update(inner.free)
        self.globals_written.update(inner.globals_written)

    visit_AsyncFunctionDef = visit_Lambda = visit_FunctionDef  # noqa: N815

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for outside in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(outside)
        before = set(self._of_class)
        self._of_class |= set[str]().union(*map(bound_in, node.body))
        for statement in node.body:
            self.visit(statement)
        self._of_class = before

    def visit_ListComp(self, node: Comprehension) -> None:
        before = set(self._local)
        for generator in node.generators:
            self.visit(generator.iter)
            self._local |= targets(generator.target)
            for condition in generator.ifs:
                self.visit(condition)
        for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.visit(part)
        self._local = before

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp  # noqa: N815


def own_nodes(node: ast.AST) -> Iterable[ast.AST]:
    """`node` and what is below it, but not what is in scopes of their own in it."""
    yield node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        for child in ast.iter_child_nodes(node):
            if not (isinstance(node, ast.comprehension) and child is node.target):
                yield from own_nodes(child)


def bound_in(statement: ast.AST) -> set[str]:
    """Names that a statement of a function body binds in the function's own scope."""
    bound: set[str] = set()
    for node in own_nodes(statement):
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


def targets(target: ast.expr) -> set[str]:
    names = (node for node in ast.walk(target) if isinstance(node, ast.Name))
    return {name.id for name in names if isinstance(name.ctx, ast.Store)}


def defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [*arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)]


def type_parameters(node: ast.AST) -> set[str]:
    """`T` of `def f[T](): ...`; there is none before Python 3.12."""
    return {parameter.name for parameter in getattr(node, "type_params", ())}


def decorators(node: Function) -> list[ast.expr]:
    return [] if isinstance(node, ast.Lambda) else node.decorator_list


def hints(node: Function) -> list[ast.expr]:
    """Annotations run when the function is defined."""
    found = [one.annotation for one in _arguments(node) if one.annotation is not None]
    returns = None if isinstance(node, ast.Lambda) else node.returns
    return found if returns is None else [*found, returns]


def parameters(node: Function) -> tuple[str, ...]:
    """Names of a function's parameters: those that take positions first, in order."""
    return tuple(one.arg for one in _arguments(node))


def _arguments(node: Function) -> list[ast.arg]:
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return every + [one for one in (arguments.vararg, arguments.kwarg) if one is not None]

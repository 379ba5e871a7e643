"""What calling a function does to names and arguments, told from its definition."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nbflow.analysis.changes import (
    is_used_up,
    passed_on,
    roots_changed,
    shared_roots,
    statement_call,
)
from nbflow.analysis.scopes import (
    Comprehension,
    Function,
    FunctionScope,
    bound_in,
    defaults,
    own_nodes,
    parameters,
    targets,
)


@dataclass(frozen=True, slots=True)
class Passed:
    """An argument of a call: object `name` given to `function` at `place`.

    Attributes:
        place: Position, keyword, or None where a star hides it.
        is_statement: Nothing is done with the call's result, so it is called for what it changes.
    """

    function: str
    place: int | str | None
    name: str
    is_statement: bool


@dataclass(frozen=True, slots=True)
class FunctionFacts:
    """One function, or one class with its methods taken together.

    Attributes:
        positional: Parameters that take positions, without a method's first.
        named: Parameters that take a keyword only.
        rest: The parameter behind `*`, if any.
        changes: Parameters whose objects it changes in place.
        reads: Names it takes from the notebook when it is called.
        mutates: Names of the notebook whose objects it changes in place.
        writes: Names it declares `global` and binds.
        returns: Parameters and notebook names whose objects its result may be, or be a part of.
        returns_of: Functions whose results it returns.
        passes: Parameters and notebook names it hands to functions called by name.
        carries: Its results may hold code that takes names from the notebook: it is a class or
            defines functions.
        is_used_up: Its result changes when it is read: it is a generator function.
    """

    positional: tuple[str, ...]
    named: tuple[str, ...]
    rest: str | None
    changes: tuple[str, ...]
    reads: tuple[str, ...]
    mutates: tuple[str, ...]
    writes: tuple[str, ...]
    returns: tuple[str, ...]
    returns_of: tuple[str, ...]
    passes: tuple[Passed, ...]
    carries: bool
    is_used_up: bool

    def changes_argument(self, place: int | str | None) -> bool:
        """Whether it changes what it is given at this position or keyword."""
        return self._has(self.changes, place)

    def returns_argument(self, place: int | str | None) -> bool:
        """Whether its result may be, or be a part of, what it is given there."""
        return self._has(self.returns, place)

    def outer_returns(self) -> set[str]:
        """Names of the notebook among `returns`."""
        return set(self.returns) - {*self.positional, *self.named, self.rest}

    def _has(self, parameters: tuple[str, ...], place: int | str | None) -> bool:
        if place is None:
            return bool(parameters)
        if isinstance(place, str):
            return place in parameters
        name = self.positional[place] if place < len(self.positional) else self.rest
        return name in parameters


def parameter_changes(source: str) -> dict[str, tuple[int | str, ...]]:
    """Which parameters the functions defined in a cell change in place.

    By function: positions, and names for parameters that take none; functions that change none
    are left out. What a parameter is handed on to counts too, in functions of the same cell.

    Raises:
        SyntaxError: It is not Python.
    """
    facts = function_facts(source)
    found: dict[str, tuple[int | str, ...]] = {}
    for name, one in facts.items():
        places = [
            one.positional.index(name) if name in one.positional else name for name in one.changes
        ]
        if places:
            found[name] = tuple(places)
    return found


def function_facts(source: str) -> dict[str, FunctionFacts]:
    """The functions, classes and named lambdas at the top level of a cell, by name.

    Raises:
        SyntaxError: It is not Python.
    """
    return facts_below(ast.parse(source))


def facts_below(tree: ast.Module) -> dict[str, FunctionFacts]:
    """See `function_facts`. Where a name is defined on several branches all of them count."""
    found: dict[str, FunctionFacts] = {}
    for node in (one for statement in tree.body for one in own_nodes(statement)):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                pieces = {name: facts_of_function(node)}
            case ast.ClassDef(name=name):
                pieces = {name: _facts_of_class(node)}
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda() as value):
                pieces = {name: facts_of_function(value)}
            case _:
                continue
        for name, facts in pieces.items():
            found[name] = union(found[name], facts) if name in found else facts
    return resolved(found)


def resolved(facts: Mapping[str, FunctionFacts]) -> dict[str, FunctionFacts]:
    """The same facts, with what follows from functions that hand objects on to each other."""
    found = dict(facts)
    is_settled = False
    while not is_settled:  # ends: each of the three only grows
        is_settled = True
        for name, one in found.items():
            handed = {p.name for p in one.passes if _is_changed_by(p, found)}
            changes = handed & {*one.positional, *one.named, one.rest}
            changes |= set(one.changes)
            mutates = {*one.mutates, *(handed - changes)}
            returns = set(one.returns)
            for other in one.returns_of:
                returns |= found[other].outer_returns() if other in found else set()
            sizes = len(changes), len(mutates), len(returns)
            if sizes > (len(one.changes), len(one.mutates), len(one.returns)):
                found[name] = replace(
                    one,
                    changes=tuple(sorted(changes)),
                    mutates=tuple(sorted(mutates)),
                    returns=tuple(sorted(returns)),
                )
                is_settled = False
    return found


def reached(name: str, find: Callable[[str], FunctionFacts | None]) -> Iterator[FunctionFacts]:
    """The facts of a function and of all it may call, by their names, each once."""
    seen, waiting = {name}, [name]
    while waiting:
        facts = find(waiting.pop())
        if facts is not None:
            yield facts
            fresh = [one for one in facts.reads if one not in seen]
            seen.update(fresh)
            waiting += fresh


def _is_changed_by(passed: Passed, known: Mapping[str, FunctionFacts]) -> bool:
    facts = known.get(passed.function)
    return facts is not None and facts.changes_argument(passed.place)


def union(one: FunctionFacts, other: FunctionFacts) -> FunctionFacts:
    return FunctionFacts(
        positional=other.positional,
        named=other.named,
        rest=other.rest,
        changes=_joined(one.changes, other.changes),
        reads=_joined(one.reads, other.reads),
        mutates=_joined(one.mutates, other.mutates),
        writes=_joined(one.writes, other.writes),
        returns=_joined(one.returns, other.returns),
        returns_of=_joined(one.returns_of, other.returns_of),
        passes=(*one.passes, *other.passes),
        carries=one.carries or other.carries,
        is_used_up=one.is_used_up or other.is_used_up,
    )


def _joined(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def facts_of_function(node: Function, *, is_method: bool = False) -> FunctionFacts:
    """What calling this function does; a method's first parameter is not among its positions."""
    scope = FunctionScope(set())
    scope.enter(node)
    body = _Body(set(), {})
    body.enter(node)
    statements = [node.body] if isinstance(node, ast.Lambda) else node.body
    inner = [one for statement in statements for one in own_nodes(statement)]
    names = parameters(node)
    positional = tuple(one.arg for one in (*node.args.posonlyargs, *node.args.args))
    return FunctionFacts(
        positional=positional[1:] if is_method else positional,
        named=tuple(one.arg for one in node.args.kwonlyargs)
        + ((node.args.kwarg.arg,) if node.args.kwarg else ()),
        rest=node.args.vararg.arg if node.args.vararg else None,
        changes=tuple(name for name in names if name in body.changed_here),
        reads=tuple(scope.free),
        mutates=tuple(name for name in body.changed_outside if name in scope.free),
        writes=tuple(scope.globals_written),
        returns=tuple(sorted(body.returned)),
        returns_of=tuple(body.returned_calls),
        passes=tuple(body.passes),
        carries=any(
            isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef)
            for one in inner
        ),
        is_used_up=any(isinstance(one, ast.Yield | ast.YieldFrom) for one in inner)
        or any(
            isinstance(one, ast.Return) and one.value is not None and is_used_up(one.value)
            for one in inner
        ),
    )


def _facts_of_class(node: ast.ClassDef) -> FunctionFacts:
    scope = FunctionScope(set())
    scope.visit(node)
    methods = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    facts = [facts_of_function(one, is_method=True) for one in methods]
    made = [one for one, at in zip(facts, methods, strict=True) if at.name == "__init__"]
    return FunctionFacts(
        positional=made[0].positional if made else (),
        named=made[0].named if made else (),
        rest=made[0].rest if made else None,
        changes=made[0].changes if made else (),
        reads=tuple(scope.free),
        mutates=tuple(dict.fromkeys(name for one in facts for name in one.mutates)),
        writes=tuple(scope.globals_written),
        returns=made[0].positional if made else (),
        returns_of=(),
        passes=tuple(passed for one in facts for passed in one.passes),
        carries=True,
        is_used_up=False,
    )


class _Body(ast.NodeVisitor):
    """Follows what a function's names stand for, line by line, and what is changed.

    `origins` says, for a local name, which parameters and outer names its object may be reached
    from. What a branch binds is added to it, what every path binds replaces it.
    """

    def __init__(self, outer: set[str], origins: Mapping[str, set[str]]) -> None:
        self.changed_here: set[str] = set()  # parameters, and locals of the functions around
        self.changed_outside: dict[str, None] = {}
        self.passes: list[Passed] = []
        self.returned: set[str] = set()
        self.returned_calls: dict[str, None] = {}
        self._local = set(outer)
        self._origins = dict(origins)
        self._n_branches = 0

    def enter(self, node: Function) -> None:
        names = parameters(node)
        body: Sequence[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else node.body
        declared = {
            name
            for statement in body
            for one in own_nodes(statement)
            if isinstance(one, ast.Global | ast.Nonlocal)
            for name in one.names
        }
        bound = {*names, *(name for statement in body for name in bound_in(statement))} - declared
        self._local |= bound
        self._origins |= {name: set() for name in bound} | {name: {name} for name in names}
        for statement in body:
            self.visit(statement)
        if isinstance(node, ast.Lambda):
            self._return(node.body)

    def visit(self, node: ast.AST) -> None:
        for name in roots_changed(node):
            self._change(name)
        super().visit(node)

    def _sources(self, name: str) -> set[str]:
        return self._origins.get(name, set()) if name in self._local else {name}

    def _return(self, value: ast.expr) -> None:
        for name in shared_roots(value):
            self.returned |= self._sources(name)
        for call in ast.walk(value):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                self.returned_calls[call.func.id] = None
                for _, name in passed_on(call):
                    self.returned |= self._sources(name)

    def visit_Return(self, node: ast.Return) -> None:
        self.generic_visit(node)
        if node.value is not None:
            self._return(node.value)

    def visit_Yield(self, node: ast.Yield) -> None:
        self.generic_visit(node)
        if node.value is not None:
            self._return(node.value)

    def _change(self, name: str) -> None:
        for source in self._sources(name):
            if source in self._local:
                self.changed_here.add(source)
            else:
                self.changed_outside[source] = None

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            values = value.elts if isinstance(value, ast.Tuple | ast.List) else []
            is_paired = len(values) == len(target.elts)
            for n, one in enumerate(target.elts):
                self._bind(one, values[n] if is_paired else value)
        elif isinstance(target, ast.Starred):
            self._bind(target.value, value)
        elif isinstance(target, ast.Name):
            found = {source for name in shared_roots(value) for source in self._sources(name)}
            if self._n_branches:
                found |= self._origins.get(target.id, set())
            self._origins[target.id] = found

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._bind(target, node.value)
            self.visit(target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.generic_visit(node)
        if node.value is not None:
            self._bind(node.target, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._bind(node.target, node.value)

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            self.visit(item.context_expr)
            if item.optional_vars is not None:
                self._bind(item.optional_vars, item.context_expr)
                self.visit(item.optional_vars)
        self._all(node.body)

    def visit_AsyncWith(self, node: ast.AsyncWith) -> None:
        self.visit_With(node)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self._n_branches += 1
        self._bind(node.target, node.iter)
        self.visit(node.target)
        for _ in range(2):  # a name bound late in the body stands for the same early in the next
            self._all([*node.body, *node.orelse])
        self._n_branches -= 1

    def visit_AsyncFor(self, node: ast.AsyncFor) -> None:
        self.visit_For(node)

    def visit_While(self, node: ast.While) -> None:
        self._n_branches += 1
        for _ in range(2):
            self.generic_visit(node)
        self._n_branches -= 1

    def _branch(self, node: ast.AST) -> None:
        self._n_branches += 1
        self.generic_visit(node)
        self._n_branches -= 1

    def visit_If(self, node: ast.If) -> None:
        self._branch(node)

    def visit_Try(self, node: ast.Try) -> None:
        self._branch(node)

    def visit_TryStar(self, node: ast.AST) -> None:
        self._branch(node)

    def visit_Match(self, node: ast.Match) -> None:
        self._n_branches += 1
        self.visit(node.subject)
        for case in node.cases:
            for name in bound_in(case.pattern):  # each may be a part of the subject
                self._bind(ast.Name(name, ast.Store()), node.subject)
            self.generic_visit(case)
        self._n_branches -= 1

    def _comprehension(self, node: Comprehension) -> None:
        before = set(self._local), dict(self._origins)
        for generator in node.generators:
            self.visit(generator.iter)
            self._local |= targets(generator.target)
            self._bind(generator.target, generator.iter)
            self._all(generator.ifs)
        self._all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])
        self._local, self._origins = before

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815

    def visit_Expr(self, node: ast.Expr) -> None:
        call = statement_call(node)
        if call is not None:
            self._pass(call, is_statement=True)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        self._pass(node, is_statement=False)
        self.generic_visit(node)

    def _pass(self, node: ast.Call, *, is_statement: bool) -> None:
        if isinstance(node.func, ast.Name):
            self.passes += [
                Passed(node.func.id, place, source, is_statement)
                for place, name in passed_on(node)
                for source in self._sources(name)
            ]

    def _inner(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        """A function inside: taken to be called, with arguments that are not known."""
        self._all(defaults(node.args))
        inner = _Body(self._local, self._origins)
        inner.enter(node)
        own = {*parameters(node)}
        own |= set() if isinstance(node, ast.Lambda) else set().union(*map(bound_in, node.body))
        self.changed_here |= inner.changed_here - own
        self.changed_outside |= inner.changed_outside
        self.passes += [passed for passed in inner.passes if passed.name not in own]

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _inner  # noqa: N815

    def _all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

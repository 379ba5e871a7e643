"""Which names a cell reads, writes, deletes and changes in place."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nbflow.analysis.changes import (
    is_used_up,
    passed_on,
    roots_changed,
    shared_roots,
    statement_call,
)
from nbflow.analysis.functions import (
    FunctionFacts,
    facts_below,
    facts_of_function,
    reached,
    resolved,
    union,
)
from nbflow.analysis.scopes import (
    Comprehension,
    Function,
    FunctionScope,
    defaults,
    hints,
    targets,
    type_parameters,
)

_BUILTINS = frozenset(vars(builtins)) | {
    "__name__",
    "__file__",
    "__doc__",
    "get_ipython",
    "display",
}


@dataclass(frozen=True, slots=True)
class CellNames:
    """The names of one cell, each in the order in which the cell first uses it so.

    Attributes:
        reads: Read before the cell has surely written them, so needed when it starts.
        writes: Bound in the notebook: assignments, imports, definitions, loop variables, and what
            its functions declare `global` and bind.
        deletes: Unbound with `del`.
        mutates: Changed in place, or taken to be: `x[k] =`, `x.attr =`, `del x[k]`, `x +=`, methods
            that change their object, `inplace=True`, `out=x`, methods and functions called for
            nothing but what they change; what a changed object is a part of, as in
            `y = x[1:]; y[0] = 1`. A module imported in another cell may be among them.
        deferred: Read only inside functions, so needed when those are called; without what the
            cell itself binds, before the function or after it.
        immediate: Read inside functions that the cell itself calls or hands on, directly or not,
            before it has surely bound them: needed when it starts, like `reads`.
        conditional: Of `writes`, those that the cell may come to its end without binding.
        imports: Bound by import statements outside functions.
        definitions: Bound by `def` and `class`.
        stars: Modules star-imported; what those bind is not known.
        calls: Called by their names outside functions.
        uses: Read in any way but being called, outside functions, own names included.
        aliases: Pairs (name bound, name whose object it is, is part of, or holds); a name with
            itself, as in `x = x[1:]`, where it is part of what it was.
        used_up: Bound to what changes when it is only read: iterators, open files, random
            generators.
    """

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    mutates: tuple[str, ...] = ()
    deferred: tuple[str, ...] = ()
    immediate: tuple[str, ...] = ()
    conditional: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    definitions: tuple[str, ...] = ()
    stars: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    used_up: tuple[str, ...] = ()


def cell_names(source: str, functions: Mapping[str, FunctionFacts] | None = None) -> CellNames:
    """The names of a cell whose magics have been turned into Python already.

    Args:
        functions: What is known of functions defined in other cells: a call `show(x)` of one that
            does not change its argument is no change of `x`.

    Raises:
        SyntaxError: It is not Python.
    """
    tree = ast.parse(source)
    own = facts_below(tree)
    earlier = functions or {}
    visitor = _CellVisitor(own, resolved({**earlier, **own}))
    visitor.body(tree.body)
    # Called first and defined anew further down: which of the two is meant where is not told.
    both = [name for name in own if name in earlier and name in visitor.reads]
    if both:
        joined = {**earlier, **own, **{name: union(earlier[name], own[name]) for name in both}}
        visitor = _CellVisitor(own, resolved(joined))
        visitor.body(tree.body)
    reads = list(visitor.reads)
    deferred = [name for name in visitor.deferred if name not in visitor.reads]
    writes = {**visitor.writes, **visitor.late_writes}
    return CellNames(
        reads=tuple(name for name in reads if name not in _BUILTINS),
        writes=tuple(writes),
        deletes=tuple(visitor.deletes),
        mutates=tuple(name for name in visitor.mutates if name not in _BUILTINS),
        deferred=tuple(
            name for name in deferred if name not in _BUILTINS and name not in visitor.writes
        ),
        immediate=tuple(
            name for name in visitor.immediate if name not in reads and name not in _BUILTINS
        ),
        conditional=tuple(name for name in writes if name not in visitor.bound),
        imports=tuple(name for name in visitor.imports if name in writes),
        definitions=tuple(name for name in visitor.definitions if name in writes),
        stars=tuple(visitor.stars),
        calls=tuple(visitor.calls),
        uses=tuple(visitor.uses),
        aliases=tuple(
            (name, root)
            for name, roots in visitor.shares.items()
            if name in writes
            for root in sorted(roots)
            if root not in _BUILTINS
        ),
        used_up=tuple(name for name in visitor.used_up if name in writes),
    )


class _CellVisitor(ast.NodeVisitor):
    """Walks a cell's top level in the order of execution.

    `bound` holds the names that are surely bound at the point reached: what one branch binds does
    not count after it, unless every branch does.
    """

    def __init__(
        self, own: Mapping[str, FunctionFacts], functions: Mapping[str, FunctionFacts]
    ) -> None:
        self._own_functions = own
        self._functions = functions
        # Dicts as ordered sets.
        self.reads: dict[str, None] = {}
        self.writes: dict[str, None] = {}
        self.deletes: dict[str, None] = {}
        self.mutates: dict[str, None] = {}
        self.deferred: dict[str, None] = {}
        self.late_writes: dict[str, None] = {}  # by functions, when they are called
        self.bound: set[str] = set()
        self.own: set[str] = set()  # variables of the comprehensions around
        self.immediate: dict[str, None] = {}
        self.imports: dict[str, None] = {}
        self.definitions: dict[str, None] = {}
        self.stars: dict[str, None] = {}
        self.calls: dict[str, None] = {}
        self.uses: dict[str, None] = {}
        self.used_up: dict[str, None] = {}
        self.shares: dict[str, set[str]] = {}  # what a name's object may be reached from, besides
        self._defined: set[str] = set()  # functions of this cell, by now
        self._modules: set[str] = set()  # names that imports of this cell have bound
        self._n_branches = 0

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
        self._modules.discard(name)
        self._defined.discard(name)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.read(node.id)
            if node.id not in self.own:
                self.uses[node.id] = None
            self._enter(node.id)
        elif isinstance(node.ctx, ast.Store):
            self.write(node.id)
        else:
            self.read(node.id)
            self.deletes[node.id] = None
            self.writes.pop(node.id, None)
            self.bound.discard(node.id)

    # --- objects ------------------------------------------------------------------------------

    def visit(self, node: ast.AST) -> None:
        changed = list(roots_changed(node))
        if isinstance(node, ast.Call | ast.Expr):
            # `plt.show()`: what a module that is imported here does to itself is its own business
            changed = [name for name in changed if name not in self._modules]
        super().visit(node)
        for name in changed:
            self.change(name)

    def change(self, name: str) -> None:
        for source in self._sources(name):
            self.mutates[source] = None

    def _sources(self, name: str) -> list[str]:
        """The names to tell for this one: a comprehension's variable is known to nobody else."""
        shared = sorted(self.shares.get(name, ()))
        return shared if name in self.own else [name, *shared]

    def bind(self, target: ast.expr, value: ast.expr) -> None:
        """Note what an assignment makes a name share, before the name is written."""
        if isinstance(target, ast.Tuple | ast.List):
            values = value.elts if isinstance(value, ast.Tuple | ast.List) else []
            is_paired = len(values) == len(target.elts)
            for n, one in enumerate(target.elts):
                self.bind(one, values[n] if is_paired else value)
        elif isinstance(target, ast.Starred):
            self.bind(target.value, value)
        elif isinstance(target, ast.Name):
            roots = [*shared_roots(value), *self._returned(value)]
            found = {one for name in roots for one in self._sources(name)}
            if self._n_branches:
                found |= self.shares.get(target.id, set())
            self.shares[target.id] = found
            if self._is_used_up(value):
                self.used_up[target.id] = None
            elif not self._n_branches:
                self.used_up.pop(target.id, None)

    def _returned(self, value: ast.expr) -> Iterator[str]:
        """Names of what the known functions called in a value may give back."""
        for call in ast.walk(value):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                facts = self._functions.get(call.func.id)
                if facts is not None:
                    yield from facts.outer_returns()
                    yield from (n for place, n in passed_on(call) if facts.returns_argument(place))

    def _is_used_up(self, value: ast.expr) -> bool:
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
            facts = self._functions.get(value.func.id)
            if facts is not None:
                return facts.is_used_up
        return is_used_up(value)

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func.id if isinstance(node.func, ast.Name) else None
        if function is None:
            self.visit(node.func)
        else:
            self.read(function)
            self.calls[function] = None
        for argument in (*node.args, *node.keywords):
            self.visit(argument)
        if function is not None:
            self._enter(function)
            facts = self._functions.get(function)
            for place, name in passed_on(node) if facts is not None else ():
                if facts is not None and facts.changes_argument(place):
                    self.change(name)

    def visit_Expr(self, node: ast.Expr) -> None:
        self.visit(node.value)
        call = statement_call(node)
        if call is None or not isinstance(call.func, ast.Name):
            return
        for _, name in passed_on(call) if call.func.id not in self._functions else ():
            self.change(name)

    def _enter(self, name: str) -> None:
        """What follows when one of the cell's own functions is called, or handed on to be."""
        if name in self._defined:
            for facts in reached(name, self._own_functions.get):
                self._run(facts)

    def _run(self, facts: FunctionFacts) -> None:
        self.immediate.update({name: None for name in facts.reads if name not in self.bound})
        for name in facts.mutates:
            self.change(name)

    # --- statements whose parts run in another order than they are written --------------------

    def visit_Assign(self, node: ast.Assign) -> None:
        is_named = len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
        if is_named and isinstance(node.value, ast.Lambda):
            self._define_lambda(node.value)
        else:
            self.visit(node.value)
        for target in node.targets:
            self.bind(target, node.value)
            self.visit(target)
            if isinstance(target, ast.Name) and isinstance(node.value, ast.Lambda):
                self._defined.add(target.id)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)
            self.bind(node.target, node.value)
            self.visit(node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.read(node.target.id)
            if node.target.id not in self.bound:  # it may stay the object it was
                self.shares.setdefault(node.target.id, set()).add(node.target.id)
        self.visit(node.value)
        self.visit(node.target)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self.bind(node.target, node.value)
        self.visit(node.target)

    def visit_withitem(self, node: ast.withitem) -> None:
        self.visit(node.context_expr)
        if node.optional_vars is not None:
            self.bind(node.optional_vars, node.context_expr)
            self.visit(node.optional_vars)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._import(alias.asname or alias.name.partition(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                self.stars["." * node.level + (node.module or "")] = None
            else:
                self._import(alias.asname or alias.name)

    def _import(self, name: str) -> None:
        self.write(name)
        self.imports[name] = None
        self._modules.add(name)

    # --- branches ---------------------------------------------------------------------------

    def _branches(self, *branches: Iterable[ast.AST]) -> None:
        """Visit alternatives; only what all of them bind, or unbind, surely is so afterwards."""
        before, written = set(self.bound), dict(self.writes)
        after, writes = list[set[str]](), dict[str, None]()
        self._n_branches += 1
        for branch in branches:
            self.bound, self.writes = set(before), dict(written)
            for node in branch:
                self.visit(node)
            after.append(self.bound)
            writes |= self.writes
        self.bound, self.writes = set.intersection(*after), writes
        self._n_branches -= 1

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
        self._n_branches += 1
        self.bind(node.target, node.iter)
        self._n_branches -= 1
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
        parameters = type_parameters(node) - self.bound
        self.bound |= parameters
        for outside in (*node.decorator_list, *defaults(node.args), *hints(node)):
            self.visit(outside)
        self.bound -= parameters
        self._defer(node)
        self._define(node.name)
        if node.decorator_list:  # the decorator may have called it
            self._enter(node.name)

    def _define(self, name: str) -> None:
        self.write(name)
        self.definitions[name] = None
        self._defined.add(name)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """One without a name, so handed on to be called."""
        self._define_lambda(node)
        self._run(facts_of_function(node))

    def _define_lambda(self, node: ast.Lambda) -> None:
        for default in defaults(node.args):
            self.visit(default)
        self._defer(node)

    def visit_TypeAlias(self, node: Any) -> None:
        """`type X = ...`, which is evaluated when it is needed."""
        inner = FunctionScope(self.own | type_parameters(node))
        inner.visit(node.value)
        self.deferred.update(inner.free)
        self.visit(node.name)

    def _defer(self, node: Function) -> None:
        inner = FunctionScope(self.own | type_parameters(node))
        inner.enter(node)
        self.deferred.update(inner.free)
        self.late_writes.update(inner.globals_written)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        parameters = type_parameters(node) - self.bound
        self.bound |= parameters
        for outside in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(outside)
        inner = _CellVisitor(self._own_functions, self._functions)
        inner._defined, inner._modules = set(self._defined), set(self._modules)
        inner.bound = set(self.bound)
        self.bound -= parameters
        inner.body(node.body)
        self.reads.update(inner.reads)
        self.deferred.update(inner.deferred)
        self.late_writes.update(inner.late_writes)
        self.immediate.update(inner.immediate)
        self.calls.update(inner.calls)
        self.uses.update(inner.uses)
        self.mutates.update({name: None for name in inner.mutates if name not in inner.writes})
        self._define(node.name)
        if node.decorator_list:
            self._enter(node.name)

    def visit_ListComp(self, node: Comprehension) -> None:
        """Its variables are its own; a walrus inside binds outside."""
        first = node.generators[0]
        self.visit(first.iter)
        before = set(self.bound), set(self.own), dict(self.shares), dict(self.used_up)
        for generator in node.generators:
            if generator is not first:
                self.visit(generator.iter)
            own = targets(generator.target)
            for name in own:
                self.shares.pop(name, None)
            self.bind(generator.target, generator.iter)
            self.own |= own
            self.bound |= self.own
            for condition in generator.ifs:
                self.visit(condition)
        for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.visit(part)
        # A walrus inside binds outside, but not surely: there may be no items.
        self.bound, self.own, self.shares, self.used_up = before

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp

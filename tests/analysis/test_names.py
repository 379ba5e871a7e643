"""Which names a cell needs and leaves, told from its source."""

from __future__ import annotations

import builtins
import contextlib
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.analysis.names import cell_names


@dataclass(frozen=True)
class CellCase:
    """A cell and its names, each group as one text of words."""

    name: str
    source: str
    reads: str = ""
    writes: str = ""
    deletes: str = ""
    mutates: str = ""
    deferred: str = ""


CASES = [
    # assignments
    CellCase("assign", "y = x", "x", "y"),
    CellCase("chained assign", "a = b = c", "c", "a b"),
    CellCase("assign from itself", "x = x + 1", "x", "x"),
    CellCase("read after write", "x = 1\ny = x", "", "x y"),
    CellCase("tuple", "a, (b, *c) = d", "d", "a b c"),
    CellCase("starred value", "a = [*b, *c]", "b c", "a"),
    CellCase("augmented", "n += step", "n step", "n", "", "n"),
    CellCase("augmented after write", "n = 0\nn += 1", "", "n", "", "n"),
    CellCase("annotated", "x: Hint = y", "Hint y", "x"),
    CellCase("only annotated", "x: Hint", "Hint", ""),
    CellCase("walrus", "if (n := f()) > m: print(n)", "f m", "n"),
    CellCase("walrus that may not run", "a and (b := 1)\nb", "a b", "b"),
    CellCase("walrus in a chain", "1 < a < (b := 3)\nb", "a b", "b"),
    CellCase("several uses in order", "b\na\nb", "b a"),
    # in place
    CellCase("item", "frame['a'] = value", "value frame", "", "", "frame"),
    CellCase("attribute", "model.rate = value", "value model", "", "", "model"),
    CellCase("nested target", "a.b[c].d = 1", "a c", "", "", "a"),
    CellCase("augmented item", "counts[key] += 1", "counts key", "", "", "counts"),
    CellCase("deleted item", "del frame['a']", "frame", "", "", "frame"),
    CellCase("own object changed", "d = {}\nd[k] = v", "v k", "d", "", "d"),
    CellCase("item of a call", "f().x = 1", "f"),
    CellCase("method call", "items.append(x)", "items x", "", "", "items"),
    # del
    CellCase("del", "del x", "x", "", "x"),
    CellCase("del of its own", "x = 1\ndel x", "", "", "x"),
    CellCase("del and write", "del x\nx = 1", "x", "x", "x"),
    CellCase("del on one branch", "x = 1\nif c: del x\nx", "c x", "x", "x"),
    CellCase("del of several", "del a, b[0]", "a b", "", "a", "b"),
    # branches
    CellCase("both branches", "if c: x = 1\nelse: x = 2\nx", "c", "x"),
    CellCase("one branch", "if c: x = 1\nx", "c x", "x"),
    CellCase("conditional expression", "a if b else c", "b a c"),
    CellCase("for", "for i in items: total = i\ni", "items i", "i total"),
    CellCase("for tuple", "for k, v in d.items(): use(k, v)", "d use", "k v", "", "k d v"),
    CellCase("for else", "for i in items: found = i\nelse: found", "items found", "i found"),
    CellCase("for over an item", "for d[k] in items: pass", "items d k", "", "", "d"),
    CellCase("while", "while left: left = step(left)", "left step", "left"),
    CellCase("while walrus", "while (line := read()): use(line)", "read use", "line", "", "line"),
    CellCase("while else", "while c: x = 1\nelse: y = x", "c x", "x y"),
    CellCase("with", "with opened(p) as f: text = f.read()\ntext", "opened p", "f text", "", "f"),
    CellCase("with several", "with a() as x, b(x) as (y, z): pass", "a b", "x y z"),
    CellCase("with item", "with a() as d['k']: pass", "a d", "", "", "d"),
    CellCase("try", "try: x = f()\nexcept E: x = None\nx", "f E", "x"),
    CellCase("try without a value", "try: x = f()\nexcept E: pass\nx", "f E x", "x"),
    CellCase(
        "except as",
        "try: f()\nexcept E as error: log(error)\nerror",
        "f E log error",
        "",
        "",
        "error",
    ),
    CellCase("try else", "try: f()\nexcept E: raise\nelse: x = 1", "f E", "x"),
    CellCase("finally", "try: x = f()\nfinally: use(x)", "f use x", "x", "", "x"),
    CellCase("finally binds", "try: f()\nfinally: x = 1\nx", "f", "x"),
    CellCase("except group", "try: f()\nexcept* E as group: g(group)", "f E g", "", "", "group"),
    CellCase("match", "match c:\n case [a, *b]: a\n case {'k': v, **r}: r", "c", "a b v r"),
    CellCase("match class", "match c:\n case P(x=1 as one) | Q(y=one): one", "c P Q", "one"),
    CellCase("match guard", "match c:\n case x if x > low: pass", "c low", "x"),
    CellCase("match complete", "match c:\n case 1: x = 1\n case _: x = 2\nx", "c", "x"),
    CellCase("match incomplete", "match c:\n case 1: x = 1\nx", "c x", "x"),
    CellCase("match value", "match c:\n case Color.RED: pass", "c Color"),
    CellCase("assert", "assert ok, message", "ok message"),
    CellCase("raise", "raise Error(x) from cause", "Error x cause"),
    # comprehensions
    CellCase("list comprehension", "[f(x) for x in items if x > low]", "items low f"),
    CellCase("nested comprehension", "[c for row in rows for c in row]", "rows"),
    CellCase("dict comprehension", "{k: v for k, v in pairs}", "pairs"),
    CellCase("generator", "sum(x * w for x in xs)", "xs w"),
    CellCase("its variable is its own", "[x for x in x]\nx", "x"),
    CellCase("walrus in a comprehension", "[last := x for x in xs]\nlast", "xs last", "last"),
    CellCase("lambda in a comprehension", "[lambda: x + y for x in xs]", "xs", deferred="y"),
    CellCase("async comprehension", "[x async for x in stream() if await ok(x)]", "stream ok"),
    # functions
    CellCase("function", "def f(a): return a + b", "", "f", deferred="b"),
    CellCase("default", "def f(a=b, *, c=d): return a", "b d", "f"),
    CellCase("decorator", "@wrap(n)\ndef f(): pass", "wrap n", "f"),
    CellCase("hints", "def f(a: A, *args: B, **more: C) -> D: ...", "A B C D", "f"),
    CellCase("all kinds of arguments", "def f(a, /, b, *c, d, **e): a, b, c, d, e", "", "f"),
    CellCase("local", "def f():\n x = 1\n return x", "", "f"),
    CellCase(
        "local of a loop", "def f():\n for i in items: i\n return i", "", "f", deferred="items"
    ),
    CellCase("local import", "def f():\n import a.b as c, d.e\n c, d", "", "f"),
    CellCase("local except", "def f():\n try: g()\n except E as e: e", "", "f", deferred="g E"),
    CellCase("local match", "def f(c):\n match c:\n  case [x, *y]: x, y\n  case {**z}: z", "", "f"),
    CellCase(
        "comprehension does not bind", "def f():\n [x for x in y]\n x", "", "f", deferred="y x"
    ),
    CellCase("walrus binds", "def f():\n [x := i for i in y]\n x", "", "f", deferred="y"),
    CellCase("nested function", "def f():\n x = 1\n def g(): return x + y", "", "f", deferred="y"),
    CellCase("nested default", "def f(a):\n def g(b=a, c=d): b, c", "", "f", deferred="d"),
    CellCase("nonlocal", "def f():\n n = 0\n def g():\n  nonlocal n\n  n += 1", "", "f"),
    CellCase("global", "def f():\n global n\n n = 1", "", "f n"),
    CellCase("global counted up", "def f():\n global n\n n += 1", "", "f n", deferred="n"),
    CellCase(
        "global below a local",
        "def f():\n n = 1\n def g():\n  global n\n  return n",
        "",
        "f",
        deferred="n",
    ),
    CellCase("recursion", "def f(n): return f(n - 1)", "", "f"),
    CellCase("mutual", "def f(): return g()\ndef g(): return f()", "", "f g"),
    CellCase("read twice", "def f(): return x\ny = x", "x", "f y"),
    CellCase("changed in a function", "def f(): d['k'] = v", "", "f", deferred="d v"),
    CellCase("lambda", "key = lambda row, n=m: row[n] + offset", "m", "key", deferred="offset"),
    CellCase("async function", "async def f(): return await g()", "", "f", deferred="g"),
    CellCase("generator function", "def f(): yield from g", "", "f", deferred="g"),
    # classes
    CellCase("class", "class A(B, metaclass=M): x = y", "B M y", "A"),
    CellCase("class decorated", "@d\nclass A: pass", "d", "A"),
    CellCase("names of a class are its own", "class A:\n x = 1\n y = x", "", "A"),
    CellCase("but not its methods'", "class A:\n x = 1\n def m(self): x", "", "A", deferred="x"),
    CellCase("class reads itself", "class A:\n x = x", "x", "A"),
    CellCase("class changes an object", "class A:\n d['k'] = 1", "d", "A", "", "d"),
    CellCase("local class", "def f():\n class A(B):\n  x = 1\n  y = x", "", "f", deferred="B"),
    CellCase(
        "method of a local class",
        "def f():\n class A:\n  x = 1\n  def m(self): x",
        "",
        "f",
        deferred="x",
    ),
    # imports
    CellCase("import", "import a.b, c as d", "", "a d"),
    CellCase("from import", "from a import b, c as d", "", "b d"),
    CellCase("star import", "from a import *\nb", "b"),
    # expressions
    CellCase("await", "x = await f(y)", "f y", "x"),
    CellCase("async with", "async with a() as x: pass", "a", "x"),
    CellCase("async for", "async for x in a(): pass", "a", "x"),
    CellCase("f-string", "f'{a:>{width}} {b!r}'", "a width b"),
    CellCase("slice", "a[b:c, ...]", "a b c"),
    CellCase("call", "f(a, *b, c=d, **e)", "f a b d e", "", "", "a b d e"),
    CellCase("builtins", "print(len(__name__)); display(get_ipython())"),
    CellCase("empty", ""),
    CellCase("docstring", '"x"'),
]
TYPE_PARAMETERS = [
    CellCase("generic function", "def f[T: Bound](x: T) -> list[T]: return T", "", "f"),
    CellCase("generic class", "class A[T](B[T]): x: T", "B", "A"),
    CellCase("alias", "type Pair[T] = tuple[T, Other]", "", "Pair", deferred="Other"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_names_of(case: CellCase):
    found = cell_names(case.source)

    assert (
        {"reads": found.reads, "writes": found.writes, "deletes": found.deletes}
        | {"mutates": found.mutates, "deferred": found.deferred}
    ) == {
        "reads": tuple(case.reads.split()),
        "writes": tuple(case.writes.split()),
        "deletes": tuple(case.deletes.split()),
        "mutates": tuple(case.mutates.split()),
        "deferred": tuple(case.deferred.split()),
    }


@pytest.mark.skipif(sys.version_info < (3, 12), reason="syntax of Python 3.12")
@pytest.mark.parametrize("case", TYPE_PARAMETERS, ids=lambda case: case.name)
def test_type_parameters_of(case: CellCase):
    test_names_of(case)


def test_what_is_not_python_is_a_syntax_error():
    with pytest.raises(SyntaxError):
        cell_names("x = = 1")


# --- what programs really do ----------------------------------------------------------------------

_NAMES = ("a", "b", "c", "d")
_names = st.sampled_from(_NAMES)
_conditions = st.sampled_from(["yes", "no"])


def _expressions() -> st.SearchStrategy[str]:
    return st.recursive(
        st.one_of(_names, st.just("1")),
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(lambda two: f"use({two[0]}, {two[1]})"),
            st.tuples(_names, inner).map(lambda two: f"({two[0]} := {two[1]})"),
            st.tuples(inner, _conditions, inner).map(lambda p: f"({p[0]} if {p[1]} else {p[2]})"),
            st.tuples(inner, _names, inner).map(
                lambda p: (
                    f"[{p[0].replace(':=', '==')} for {p[1]} in use({p[2].replace(':=', '==')})]"
                )
            ),
            inner.map(lambda text: f"(lambda: {text})()"),
        ),
        max_leaves=4,
    )


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _statements() -> st.SearchStrategy[str]:
    expressions = _expressions()
    simple = st.one_of(
        expressions,
        st.tuples(_names, expressions).map(lambda two: f"{two[0]} = {two[1]}"),
        st.tuples(_names, expressions).map(lambda two: f"{two[0]} += {two[1]}"),
        st.tuples(_names, _names, _names).map(lambda p: f"{p[0]}, {p[1]} = use({p[2]}), 2"),
        _names.map(lambda name: f"import math as {name}"),
        _names.map(lambda name: f"del {name}"),
    )

    def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        blocks = st.lists(inner, min_size=1, max_size=3).map("\n".join).map(_indented)
        return st.one_of(
            st.tuples(_conditions, blocks, blocks).map(
                lambda p: f"if {p[0]}:\n{p[1]}\nelse:\n{p[2]}"
            ),
            st.tuples(_names, st.sampled_from(["some", "none"]), blocks, blocks).map(
                lambda p: f"for {p[0]} in {p[1]}:\n{p[2]}\nelse:\n{p[3]}"
            ),
            st.tuples(st.sampled_from(["1", "fails()"]), blocks, blocks).map(
                lambda p: f"try:\n    {p[0]}\n{p[1].replace('del ', '')}\nexcept Oops:\n{p[2]}"
            ),
            st.tuples(blocks, blocks).map(lambda p: f"try:\n{p[0]}\nfinally:\n{p[1]}"),
            st.tuples(_names, _names, blocks).map(
                lambda p: f"def {p[0]}({p[1]}=1):\n{p[2]}\n{p[0]}()"
            ),
            st.tuples(_names, blocks).map(lambda p: f"class {p[0]}:\n{p[1]}"),
            st.tuples(_names, expressions, blocks, blocks).map(
                lambda p: (
                    f"match {p[1]}:\n    case 1:\n{_indented(p[2])}\n"
                    f"    case {p[0]}:\n{_indented(p[3])}"
                )
            ),
        )

    return st.recursive(simple, compound, max_leaves=6)


class _Recording(dict[str, Any]):
    """A cell's namespace that notes what is read before it was bound.

    `exec` asks a mapping that is no plain dict for every name of the top level; functions read
    their globals past it, so what they alone read is not noted.
    """

    def __init__(self, before: dict[str, Any]) -> None:
        super().__init__(before)
        self.needed: set[str] = set()
        self._own: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        if name in _NAMES and name not in self._own:
            self.needed.add(name)
        return super().__getitem__(name)

    def __setitem__(self, name: str, value: Any) -> None:
        self._own.add(name)
        super().__setitem__(name, value)


class _Oops(Exception):
    pass


def _fails() -> None:
    raise _Oops


class _Number(int):
    """Takes part in everything the programs do."""

    def __add__(self, other: Any) -> _Number:
        return self

    __radd__ = __iadd__ = __add__

    def __iter__(self) -> Any:
        return iter((_Number(1),))

    def __call__(self, *args: Any) -> _Number:
        return self


@given(st.lists(_statements(), min_size=1, max_size=5).map("\n".join))
@settings(max_examples=400, deadline=None)
def test_what_a_program_reads_and_binds_is_foretold(source: str):
    try:
        found = cell_names(source)
    except SyntaxError:  # such as a walrus in the body of a class's comprehension
        return
    before = {name: _Number(7) for name in _NAMES}
    outside = {
        "__builtins__": builtins,
        "use": lambda *values: _Number(1),
        "fails": _fails,
        "Oops": _Oops,
        "yes": True,
        "no": False,
        "some": [_Number(1), _Number(2)],
        "none": [],
    }
    namespace = _Recording(before)

    ran_to_its_end = False
    with contextlib.suppress(NameError, TypeError, AttributeError, _Oops):
        exec(compile(source, "<cell>", "exec"), {**before, **outside}, namespace)
        ran_to_its_end = True

    assert namespace.needed <= set(found.reads)
    if not ran_to_its_end:  # it may not have come to a `del`
        return
    bound = {name for name in _NAMES if namespace.get(name) is not before[name]}
    bound &= namespace.keys()
    gone = {name for name in _NAMES if name not in namespace}
    assert bound <= set(found.writes)
    assert gone <= set(found.deletes)

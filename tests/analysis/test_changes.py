"""What a cell changes in place, told from its source."""

from __future__ import annotations

import pytest

from nbflow.analysis.functions import parameter_changes
from nbflow.analysis.names import cell_names

# (source, names changed)
CHANGES = [
    # methods that change their object
    ("x.append(1)", "x"),
    ("y = x.pop()", "x"),
    ("x.extend(y)", "x"),
    ("x.insert(0, y)", "x"),
    ("d.update(e)", "d"),
    ("v = d.setdefault(k, [])", "d"),
    ("d.popitem()", "d"),
    ("x.sort()", "x"),
    ("x.reverse()", "x"),
    ("s.add(1)", "s"),
    ("[seen.add(a) for a in xs]", "seen"),
    ("s.discard(1)", "s"),
    ("x.clear()", "x"),
    ("x.fill(0)", "x"),
    ("x.resize(3)", "x"),
    ("x.itemset(0, 1)", "x"),
    ("x.put(0, 1)", "x"),
    ("fitted = model.fit(a, b)", "model"),
    ("model.partial_fit(a)", "model"),
    ("z = scaler.fit_transform(a)", "scaler"),
    ("p = model.fit(a).predict(b)", "model"),
    ("f.seek(0)", "f"),
    ("n = f.write(text)", "f"),
    ("line = f.readline()", "f"),
    ("v = it.__next__()", "it"),
    ("g.send(1)", "g"),
    ("rows = cursor.execute(q).fetchall()", "cursor"),
    # methods that are called for nothing else
    ("posterior.normalize()", "posterior"),
    ("posterior.normalize(); 1", "posterior"),
    ("await session.load()", "session"),
    ("a.b.c.normalize()", "a"),
    ("a[0].normalize()", "a"),
    ("a.b().c.append(1)", "a"),
    ("d.setdefault(k, []).append(1)", "d"),
    ("model.add(a).compile()", "model"),
    ("df.head()", ""),
    ("df.groupby('a').mean()", ""),
    ("df['a'].describe()", ""),
    ("y = posterior.normalized()", ""),
    ("import m\nm.run()", ""),
    ("m.run()", "m"),
    ("from m import thing\nthing.run()", ""),
    ("text.upper()", ""),
    # arguments that say so
    ("df.sort_values('a', inplace=True)", "df"),
    ("df.sort_values('a', inplace=False)", ""),
    ("df['a'].fillna(0, inplace=flag)", "df"),
    ("np.add(a, b, out=c)", "np c"),
    ("y = np.sqrt(a, out=c[1:])", "c"),
    # functions that change what they are given
    ("v = next(it)", "it"),
    ("v = next(self.it)", "self"),
    ("random.shuffle(x)", "random x"),
    ("import random\nrandom.shuffle(x)", "x"),
    ("heapq.heappush(x, 1)", "heapq x"),
    ("from heapq import heappush\nheappush(x, 1)", "x"),
    ("v = heappop(x)", "x"),
    ("setattr(x, 'a', 1)", "x"),
    ("delattr(x, 'a')", "x"),
    ("import numpy as np\nnp.put(x, 0, 1)", "x"),
    ("import numpy as np\nnp.copyto(x, y)", "x"),
    ("import numpy as np\nnp.fill_diagonal(x, 0)", "x"),
    ("import numpy as np\nnp.add.at(x, i, 1)", "x"),
    ("import bisect\nbisect.insort(x, 1)", "x"),
    ("v = np.random.normal(3)", "np"),
    ("v = random.random()", "random"),
    ("rng = np.random.default_rng(0)", ""),
    # functions that are called for nothing else
    ("f(x)", "x"),
    ("f(x, key=y)", "x y"),
    ("f(x.part)", "x"),
    ("f(x + 1)", ""),
    ("y = f(x)", ""),
    ("print(x)", ""),
    ("display(x)", ""),
    ("len(x)", ""),
    ("repr(x)", ""),
    ("help(x)", ""),
    ("type(x)", ""),
    ("def show(a): print(a)\nshow(x)", ""),
    ("def change(a): a.append(1)\ny = change(x)", "x"),
    ("def change(a, *, b): b.append(1)\ny = change(x, b=z)", "z"),
    ("def change(*a): a[0].append(1)\ny = change(x)", "x"),
    ("def change(a): a.append(1)\ny = change(*xs)", "xs"),
    ("def change(): d['k'] = 1\nchange()", "d"),
    ("def change(): d['k'] = 1", ""),
    ("def inner(): d['k'] = 1\ndef outer(): inner()\nouter()", "d"),
    ("y = list(map(lambda a: out.append(a), xs))", "out"),
    ("class A:\n def __init__(self, a): a.append(1)\ny = A(x)", "x"),
    ("class A:\n def m(self): d['k'] = 1\nA().m()", "d"),
    # statements
    ("x[0] = 1", "x"),
    ("x.a = 1", "x"),
    ("del x[0]", "x"),
    ("del x.a", "x"),
    ("x += 1", "x"),
    ("x[0] += 1", "x"),
    ("x.a[1].b = 1", "x"),
    ("a, x[0] = 1, 2", "x"),
    ("for x[0] in y: pass", "x"),
    ("df.index = index", "df"),
    ("df.loc[mask, 'a'] = 1", "df"),
    # through other names of the object
    ("y = x\ny.append(1)", "x y"),
    ("y = x[1:]\ny[0] = 1", "x y"),
    ("y = x.T\ny[0] = 1", "x y"),
    ("y = x.reshape(2, 3)\ny[0] = 1", "x y"),
    ("y = x.copy()\ny[0] = 1", "y"),
    ("y = x[x > 1]\ny[0] = 1", "y"),
    ("y = x[['a', 'b']]\ny['c'] = 1", "y"),
    ("y = [x, 1]\ny[0].append(1)", "x y"),
    ("y = x if c else z\ny.append(1)", "x y z"),
    ("(y := x).append(1)", "x y"),
    ("a, b = x, z\na.append(1)", "a x"),
    ("a, *b = x\nb.append(1)", "b x"),
    ("for row in rows: row['a'] = 1", "row rows"),
    ("for i, row in enumerate(rows): row['a'] = 1", "row rows"),
    ("[row.sort() for row in rows]", "rows"),
    ("with open(x) as f: f.write('')", "f"),
    ("y = x\ny = []\ny.append(1)", "y"),
    ("y = x\nif c: y = []\ny.append(1)", "x y"),
    ("m = Model(x)\nm.run()", "m x"),
    # only reads
    ("y = x[0]", ""),
    ("y = x.a", ""),
    ("y = x + z", ""),
    ("y = sorted(x)", ""),
    ("x", ""),
    ("f'{x}'", ""),
]

# (source, what each function changes)
PARAMETERS = [
    ("def f(a): a.append(1)", {"f": (0,)}),
    ("def f(a): return a + 1", {}),
    ("def f(a, b): b['k'] = a", {"f": (1,)}),
    ("def f(a, /, b): a.x = b.y = 1", {"f": (0, 1)}),
    ("def f(*, k): k.sort()", {"f": ("k",)}),
    ("def f(*a): a[0].sort()", {"f": ("a",)}),
    ("def f(**k): k['x'].sort()", {"f": ("k",)}),
    ("def f(a):\n a = a.copy()\n a[0] = 1", {}),
    ("def f(a):\n if c: a = a.copy()\n a[0] = 1", {"f": (0,)}),
    ("def f(df):\n df = df.dropna()\n df['x'] = 1\n return df", {}),
    ("def f(a):\n b = a\n b.append(1)", {"f": (0,)}),
    ("def f(a):\n b = a[1:]\n b[0] = 1", {"f": (0,)}),
    ("def f(a):\n for b in a: b.sort()", {"f": (0,)}),
    ("def f(a):\n [b.sort() for b in a]", {"f": (0,)}),
    ("def f(a):\n b = []\n for x in a:\n  b.append(x)", {}),
    ("def f(a):\n def g(): a.append(1)\n g()", {"f": (0,)}),
    ("def f(a):\n def g(a): a.append(1)", {}),
    ("def f(a): return lambda: a.append(1)", {"f": (0,)}),
    ("def f(a): g(a)\ndef g(b): b.sort()", {"f": (0,), "g": (0,)}),
    ("def f(a): g(b=a)\ndef g(x, b): b.sort()", {"f": (0,), "g": (1,)}),
    ("def f(a, n): f(a, n - 1); a.pop()", {"f": (0,)}),
    ("def f(a): random.shuffle(a)", {"f": (0,)}),
    ("def f(a): a += 1", {"f": (0,)}),
    ("def f(a): del a['k']", {"f": (0,)}),
    ("def f(a): a.sort_values('x', inplace=True)", {"f": (0,)}),
    ("async def f(a): a.append(await b())", {"f": (0,)}),
    ("f = lambda a: a.append(1)", {"f": (0,)}),
    ("class A:\n def __init__(self, a): a.append(1)", {"A": (0,)}),
    ("class A:\n def m(self, a): a.append(1)", {}),
    ("if c:\n def f(a): a.append(1)\nelse:\n def f(a): pass", {"f": (0,)}),
    ("def f(a):\n match a:\n  case [b, *c]: b.append(1)", {"f": (0,)}),
    ("def f(a):\n with a as b: b.write('')", {"f": (0,)}),
    ("def f(a):\n while c:\n  x.append(1)\n  x = a", {"f": (0,)}),
]


@pytest.mark.parametrize(("source", "names"), CHANGES, ids=[source for source, _ in CHANGES])
def test_changes_in_place_of(source: str, names: str):
    assert set(cell_names(source).mutates) == set(names.split())


@pytest.mark.parametrize(("source", "changes"), PARAMETERS, ids=[row[0] for row in PARAMETERS])
def test_parameters_changed_by(source: str, changes: dict[str, tuple[int | str, ...]]):
    assert parameter_changes(source) == changes


@pytest.mark.parametrize(
    ("source", "field", "names"),
    [
        ("import a.b, c as d\nfrom e import f as g", "imports", "a d g"),
        ("if c: import a\ntry: import b\nexcept ImportError: b = None", "imports", "a b"),
        ("def f(): import a", "imports", ""),
        ("def f(): pass\nclass A: pass\nx = 1", "definitions", "f A"),
        ("class A:\n def m(self): pass", "definitions", "A"),
        ("from a.b import *\nfrom . import *", "stars", "a.b ."),
        ("f(g(x))", "calls", "f g"),
        ("f(g)", "uses", "g"),
        ("h = f", "uses", "f"),
        ("def f(): return x\nf()", "immediate", "x"),
        ("def f(): return x", "immediate", ""),
        ("def f(): return x\nx = 1\nf()", "immediate", ""),
        ("def f(): return x\nf()\nx = 1", "immediate", "x"),
        ("def f(): return x\ndef g(): return f()\ng()", "immediate", "x"),
        ("key = lambda r: r + x", "immediate", ""),
        ("sorted(rows, key=lambda r: r + x)", "immediate", "x"),
        ("@register\ndef f(): return x", "immediate", "x"),
        ("class A:\n def m(self): return x\nA().m()", "immediate", "x"),
        ("x = 1\nif c: y = 2", "conditional", "y"),
        ("if c: y = 1\nelse: y = 2", "conditional", ""),
        ("for i in xs: pass", "conditional", "i"),
        ("def f():\n global n\n n = 1", "conditional", "n"),
        ("it = iter(x)", "used_up", "it"),
        ("it = (a for a in x)", "used_up", "it"),
        ("f = open('a')", "used_up", "f"),
        ("rng = np.random.default_rng(0)", "used_up", "rng"),
        ("def g(): yield 1\nit = g()", "used_up", "it"),
        ("it = iter(x)\nit = list(it)", "used_up", ""),
        ("x = [1]", "used_up", ""),
    ],
)
def test_further_names_of(source: str, field: str, names: str):
    assert getattr(cell_names(source), field) == tuple(names.split())


@pytest.mark.parametrize(
    ("source", "aliases"),
    [
        ("y = x", {("y", "x")}),
        ("y = x.copy()", set()),
        ("y = z = x[1:]", {("y", "x"), ("z", "x")}),
        ("y = x\nz = y", {("y", "x"), ("z", "x"), ("z", "y")}),
        ("d = {'a': x, **e}", {("d", "x"), ("d", "e")}),
        ("x = x.T", {("x", "x")}),
        ("c = Counter(words)", set()),
    ],
)
def test_aliases_of(source: str, aliases: set[tuple[str, str]]):
    assert set(cell_names(source).aliases) == aliases

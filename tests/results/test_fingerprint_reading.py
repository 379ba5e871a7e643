"""What `read_names` tells of a notebook's variables: contents, and what they share."""
# ruff: noqa: E501  (a notebook of a table is one text)

from __future__ import annotations

import pickle
import sys
import types
from typing import Any

import numpy as np
import pandas as pd
import pytest
from children import Child
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.results.fingerprint import read_names


def notebook(source: str) -> dict[str, Any]:
    """The namespace after a cell has run."""
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(source, space)
    return space


def read(source: str, *names: str):
    return read_names(names, notebook(source))


def case(name: str, one: str, other: str, names: str = "a b") -> Any:
    return pytest.param(one, other, names.split(), id=name)


NP = "import numpy as np\n"
SAME = [
    case("equal lists", "a = [1]; b = [[1]]", "a = [1]; b = [[1]]"),
    case("equal texts, shared or not", "a = 'x' * 99; b = a", "a = 'x' * 99; b = 'x' * 98 + 'x'"),
    case("equal tuples", "a = (1, 2); b = a", "a = (1, 2); b = (1, int('2'))"),
    case(
        "shared dates",
        "import datetime as d\na = d.date(1, 1, 1); b = a",
        "import datetime as d\na = d.date(1, 1, 1); b = d.date(1, 1, 1)",
    ),
    case(
        "strided and copied",
        NP + "a = np.arange(8.)[::2]; b = 1",
        NP + "a = np.arange(8.)[::2].copy(); b = 1",
    ),
    case(
        "slice of what is gone and its copy",
        NP + "a = np.arange(8)[2:5]; b = 1",
        NP + "a = np.arange(2, 5); b = 1",
    ),
    case(
        "reshaped and not",
        NP + "a = np.zeros(6).reshape(2, 3); b = 1",
        NP + "a = np.zeros((2, 3)); b = 1",
    ),
    case(
        "column order kept by a copy",
        NP + "a = np.zeros((4, 6))[:, ::2].T; b = 1",
        NP + "a = np.zeros((4, 6))[:, ::2].T.copy('K'); b = 1",
    ),
    case(
        "views at the same place",
        NP + "a = np.arange(8); b = a[2:]",
        NP + "c = np.arange(8); a = c[:]; b = c[2:]",
    ),
    case(
        "parts that do not meet",
        NP + "c = np.arange(8); a = c[:4]; b = c[4:]",
        NP + "a = np.arange(4); b = np.arange(4, 8)",
    ),
    case(
        "frame built otherwise",
        "import pandas as pd\na = pd.DataFrame({'x': [1]}); b = 1",
        "import pandas as pd\na = pd.DataFrame(index=[0]); a['x'] = 1\n"
        "a.index = pd.RangeIndex(1); b = 1",
    ),
    case(
        "another value of a global",
        "g = 1\ndef a(): return g\nb = 1",
        "g = 2\ndef a(): return g\nb = 1",
    ),
    case("comments", "def a(): return 1\nb = 1", "def a():\n  'Doc.'\n  # note\n  return 1\nb = 1"),
    case("set in another order", "a = {'x', 'y', 'z'}; b = 1", "a = {'z', 'y', 'x'}; b = 1"),
    case(
        "large equal sets",
        "a = set(map(str, range(999))); b = 1",
        "a = set(map(str, range(998, -1, -1))); b = 1",
    ),
]

CLASS = "class C:\n  def __init__(self, x): self.x = x\n"
DIFF = [
    case("shared and equal parts", "a = [1]; b = [a, a]", "a = [1]; b = [[1], [1]]"),
    case("shared within one name", "c = [1]; a = [c, c]; b = 1", "a = [[1], [1]]; b = 1"),
    case("many shared", "c = [1]; a = [c] * 99; b = 1", "a = [[1] for _ in range(99)]; b = 1"),
    case(
        "one of many shared",
        "a = [[1] for _ in range(99)]; b = a[3]",
        "a = [[1] for _ in range(99)]; b = [1]",
    ),
    case(
        "which of many is shared",
        "a = [[1] for _ in range(99)]; b = a[3]",
        "a = [[1] for _ in range(99)]; b = a[4]",
    ),
    case(
        "deep in many",
        "a = [{'k': [1]} for _ in range(99)]; b = a[3]['k']",
        "a = [{'k': [1]} for _ in range(99)]; b = [1]",
    ),
    case("through a tuple", "c = [1]; a = (c,); b = (c,)", "a = ([1],); b = ([1],)"),
    case("alias and copy", "a = {}; b = a", "a = {}; b = {}"),
    case("alias and copy of a set", "a = set(); b = a", "a = set(); b = set()"),
    case(
        "alias and copy of bytes",
        "a = bytearray(b'x'); b = a",
        "a = b = None\na = bytearray(b'x'); b = bytearray(b'x')",
    ),
    case("instance", CLASS + "a = C(1); b = [a]", CLASS + "a = C(1); b = [C(1)]"),
    case(
        "instances share a part",
        CLASS + "c = []; a = C(c); b = C(c)",
        CLASS + "a = C([]); b = C([])",
    ),
    case("dict of an instance", CLASS + "a = C(1); b = vars(a)", CLASS + "a = C(1); b = {'x': 1}"),
    case(
        "view and copy",
        NP + "a = np.arange(4); b = a[1:]",
        NP + "a = np.arange(4); b = a[1:].copy()",
    ),
    case(
        "view before its owner",
        NP + "b = np.arange(4); a = b[1:]",
        NP + "b = np.arange(4); a = b[1:].copy()",
    ),
    case(
        "views of something else",
        NP + "c = np.zeros(8); a = c[:5]; b = c[3:]",
        NP + "a = np.zeros(5); b = np.zeros(5)",
    ),
    case("where in it", NP + "a = np.zeros(8); b = a[1:3]", NP + "a = np.zeros(8); b = a[2:4]"),
    case(
        "order of a view", NP + "a = np.zeros(8); b = a[:4]", NP + "a = np.zeros(8); b = a[3::-1]"
    ),
    case(
        "step of a view",
        NP + "a = np.zeros(8); b = a[::2]",
        NP + "a = np.zeros(8); b = a[::2][:3].repeat(2)[:4]",
    ),
    case(
        "view of a view",
        NP + "a = np.zeros(8)[2:]; b = a[2:]",
        NP + "a = np.zeros(8)[2:]; b = a[2:].copy()",
    ),
    case(
        "view as another type",
        NP + "a = np.zeros(4); b = a.view('i8')",
        NP + "a = np.zeros(4); b = np.zeros(4, 'i8')",
    ),
    case(
        "array over bytes",
        NP + "b = bytearray(8); a = np.frombuffer(b, 'u1')",
        NP + "b = bytearray(8); a = np.zeros(8, 'u1')",
    ),
    case(
        "array over part of bytes",
        NP + "b = bytearray(8); a = np.frombuffer(b, 'u1')[2:4]",
        NP + "b = bytearray(8); a = np.zeros(2, 'u1')",
    ),
    case(
        "array over earlier bytes",
        NP + "a = bytearray(8); b = np.frombuffer(a, 'u1')[2:4]",
        NP + "a = bytearray(8); b = np.zeros(2, 'u1')",
    ),
    case(
        "masked array over an array",
        NP + "a = np.zeros(3); b = np.ma.array(a)",
        NP + "a = np.zeros(3); b = np.ma.array(a.copy())",
    ),
    case(
        "read-only",
        NP + "a = np.zeros(3); a.flags.writeable = False; b = 1",
        NP + "a = np.zeros(3); b = 1",
    ),
    case("function's code", "def a(): return 1\nb = 1", "def a(): return 2\nb = 1"),
    case("function's default", "def a(x=[]): return x\nb = 1", "def a(x=[1]): return x\nb = 1"),
    case("function's attributes", "def a(): pass\na.n = 1; b = 1", "def a(): pass\na.n = 2; b = 1"),
    case(
        "closure shares a variable's value",
        "def m(c): return lambda: c\nb = []; a = m(b)",
        "def m(c): return lambda: c\nb = []; a = m([])",
    ),
    case(
        "variable of two closures",
        "def m():\n  n = 0\n  def up():\n    nonlocal n\n    n += 1\n  return up, lambda: n\na, b = m()",
        "def m():\n  n = 0\n  def up():\n    nonlocal n\n    n += 1\n  return up, lambda: n\n"
        "(a, _), (_, b) = m(), m()",
    ),
    case("which global", "def a(): return g\nb = g = h = 1", "def a(): return h\nb = g = h = 1"),
    case(
        "contents of a cache",
        "import functools\n@functools.cache\ndef a(x): return x\nb = 1",
        "import functools\n@functools.cache\ndef a(x): return x\nb = 1\na(1)",
    ),
    case("class attribute", "class a: n = 1\nb = 1", "class a: n = 2\nb = 1"),
    case(
        "alias of a function", "def a(): pass\nb = a", "def a(): pass\nc = a\ndef a(): pass\nb = c"
    ),
    case(
        "state of a generator of numbers",
        "import random\na = random.Random(1); b = 1",
        "import random\na = random.Random(1); b = 1\na.random()",
    ),
    case(
        "state of numpy's",
        NP + "a = np.random.default_rng(1); b = 1",
        NP + "a = np.random.default_rng(1); b = 1\na.random()",
    ),
    case(
        "position in a file in memory",
        "import io\na = io.StringIO('ab'); b = 1",
        "import io\na = io.StringIO('ab'); b = 1\na.read(1)",
    ),
    case(
        "instances in sets share",
        CLASS + "c = C(1); a = {c}; b = [c]",
        CLASS + "a = {C(1)}; b = [C(1)]",
    ),
    case(
        "value of an enum that is bound nowhere",
        "import enum\na = enum.Enum('E', {'X': 1}).X; b = 1",
        "import enum\na = enum.Enum('E', {'X': 2}).X; b = 1",
    ),
    case(
        "object column's parts",
        "import pandas as pd\nb = []; a = pd.Series([b, b], dtype=object)",
        "import pandas as pd\nb = []; a = pd.Series([b, []], dtype=object)",
    ),
    case(
        "frame and its copy",
        "import pandas as pd\na = pd.DataFrame({'x': [1]}); b = a",
        "import pandas as pd\na = pd.DataFrame({'x': [1]}); b = a.copy()",
    ),
    case(
        "cause of an exception",
        "a = ValueError(1); b = 1",
        "a = ValueError(1); a.__cause__ = KeyError(); b = 1",
    ),
]


def digests(source: str, names: list[str]) -> list[str | None]:
    reading = read(source, *names)
    return [reading.digests.get(name, f"refused {name}") for name in names]


@pytest.mark.parametrize(("one", "other", "names"), SAME)
def test_same(one, other, names):
    assert digests(one, names) == digests(other, names)
    assert "refused" not in str(digests(one, names))


@pytest.mark.parametrize(("one", "other", "names"), DIFF)
def test_different(one, other, names):
    assert digests(one, names) != digests(other, names)


# --- places ---------------------------------------------------------------------------------


def test_nodes_are_what_can_be_changed_in_the_order_met():
    reading = read("a = [1, {'k': (2, {3})}]; b = [a, bytearray()]", "a", "b")

    assert [type(one) for one in reading.nodes["a"]] == [list, dict, set]
    assert [type(one) for one in reading.nodes["b"]] == [list, bytearray]
    assert reading.refs == {"a": set(), "b": {"a"}}


def test_places_lead_back_to_the_objects():
    space = notebook("a = [[n] for n in range(100)]; b = {'k': [a, [1]]}")
    reading = read_names("ab", space)

    for key, (name, number) in reading.node_ids().items():
        assert id(reading.nodes[name][number]) == key
    assert reading.node_ids()[id(space["a"][7])][0] == "a"


def test_immutable_values_are_no_nodes():
    source = (
        "import datetime, decimal, enum, pathlib, re, uuid, numpy as np, pandas as pd, math\n"
        "class E(enum.Enum): X = 1\n"
        "a = (1, 'x', b'x', 2.0, 1j, None, ..., (3,), frozenset({4}), range(5), slice(1),\n"
        "     datetime.date(1, 1, 1), datetime.datetime(1, 1, 1), decimal.Decimal(1), E.X,\n"
        "     pathlib.Path('x'), re.compile('x'), uuid.UUID(int=1), np.float64(1), np.dtype('i4'),\n"
        "     pd.Timestamp(0), pd.NaT, pd.NA, pd.Timedelta(1), np, math.sin, print, dict, np.mean)"
    )

    reading = read(source, "a")

    assert not reading.refused
    assert reading.nodes["a"] == []


def test_array_takes_two_places_the_second_for_its_whole_memory():
    space = notebook(NP + "a = np.zeros(6).reshape(2, 3); b = np.zeros(6); c = np.zeros(9)[2:]")
    reading = read_names("abc", space)

    assert reading.nodes["a"][1] is space["a"].base
    assert reading.nodes["b"][1] is space["b"]
    assert reading.nodes["c"][1] is space["c"]


def test_objects_in_sets_have_no_number():
    space = notebook(CLASS + "c = C(1)\na = {c, C([2])}; b = 1")
    reading = read_names("ab", space)

    assert len(reading.nodes["a"]) == 1
    assert id(space["c"]) in reading.unordered
    assert reading.digests.keys() == {"a", "b", "C"}


def test_object_that_items_of_a_set_share_is_refused():
    reading = read(CLASS + "c = []; a = {C(c), C(c)}; b = {C(1)}", "a", "b")

    assert reading.refused.keys() == {"a"}
    assert "b" in reading.digests


# --- functions, classes, modules ----------------------------------------------------------------


def test_globals_that_functions_use_are_read_as_well():
    source = (
        "import os\ndef f(x): return g(x) + len(x) + nope.attribute\n"
        "def g(x): return [x + y for x in z]\n"
        "y = [1]; z = 2; x = attribute = 3\nclass K:\n  def m(self): return w\nw = 4\nk = K()"
    )
    reading = read(source, "f", "k")

    assert reading.digests.keys() == {"f", "g", "y", "z", "k", "K", "w"}
    assert reading.missing == ("nope",)
    assert [code.co_name for code in reading.codes] == ["f", "m", "g"]


def test_names_that_are_only_written_are_not_read():
    reading = read("def f():\n  global late\n  late = 1\n  class K:\n    a = 1\n    b = a", "f")

    assert reading.digests.keys() == {"f"}
    assert reading.missing == ()


def test_home_may_differ_from_where_names_are_looked_up():
    space = notebook("def f(): return y\ny = 1")
    reading = read_names(["f"], {**space, "y": [2]}, home=space)

    assert reading.digests["y"] == read_names(["y"], {"y": [2]}).digests["y"]


@pytest.fixture
def users_module(tmp_path, monkeypatch):
    """Writes and imports a module of the user's."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(body: str) -> types.ModuleType:
        sys.modules.pop("users_part", None)
        module = types.ModuleType("users_part")
        module.__file__ = str(tmp_path / "users_part.py")
        exec(body, vars(module))
        monkeypatch.setitem(sys.modules, "users_part", module)
        return module

    return write


MODULES = {
    "function": ("def f(): return 1", "def f(): return 2"),
    "value": ("n = [1]", "n = [2]"),
    "helper": ("def g(): return 1\ndef f(): return g()", "def g(): return 2\ndef f(): return g()"),
    "function with a lock": (
        "import threading\nl = threading.Lock()\ndef f():\n  with l: return 1",
        "import threading\nl = threading.Lock()\ndef f():\n  with l: return 2",
    ),
    "kind of what has no digest": ("n = iter([1])", "n = iter({1})"),
}


@pytest.mark.parametrize(("one", "other"), MODULES.values(), ids=MODULES)
def test_module_of_the_users_counts_by_its_globals(users_module, one, other):
    first = read_names("m", {"m": users_module(one)})
    again = read_names("m", {"m": users_module(one)})
    changed = read_names("m", {"m": users_module(other)})

    assert first.digests == again.digests
    assert first.digests != changed.digests
    assert not first.refused


def test_function_of_a_users_module_counts_by_the_globals_it_uses(users_module):
    body = "x = {}\nunused = {}\ndef f(): return x"
    bodies = [body.format(1, 1), body.format(1, 2), body.format(2, 1)]
    one, unused, used = (read_names("f", {"f": users_module(text).f}).digests for text in bodies)

    assert one == unused
    assert one != used


def test_nbflow_itself_and_libraries_count_by_version():
    reading = read("import json, numpy, nbflow.results\nf = json.dumps; g = nbflow.results", *"fg")

    assert reading.codes == []
    assert reading.refused == {}


# --- what is refused -------------------------------------------------------------------------

REFUSED = {
    "generator": "a = (x for x in [1])",
    "iterator": "a = iter([1])",
    "map": "a = map(str, [1])",
    "zip": "a = zip([1])",
    "enumerate": "a = enumerate([1])",
    "cycle": "import itertools\na = itertools.cycle([1])",
    "reader": "import csv\na = csv.reader(['x'])",
    "iterator of the user's": "class I:\n  def __iter__(self): return self\n"
    "  def __next__(self): return 1\na = I()",
    "memoryview": "a = memoryview(b'x')",
    "lock": "import threading\na = threading.Lock()",
    "pool": "import concurrent.futures as c\na = c.ThreadPoolExecutor()",
    "queue": "import queue\na = queue.Queue()",
    "context variable": "import contextvars\na = contextvars.ContextVar('x')",
    "weak reference": "import weakref\nclass C: pass\nc = C(); a = weakref.ref(c)",
    "weak dictionary": "import weakref\na = weakref.WeakValueDictionary()",
    "open file": "import os\na = open(os.devnull)",
    "database": "import sqlite3\na = sqlite3.connect(':memory:')",
    "figure": "import matplotlib.figure as m\na = m.Figure()",
    "axes": "import matplotlib.figure as m\na = m.Figure().subplots()",
    "widget": "import ipywidgets\na = ipywidgets.IntSlider()",
    "shell": "from IPython.core.interactiveshell import InteractiveShell as I\na = I.__new__(I)",
    "process": "import subprocess\na = subprocess.Popen.__new__(subprocess.Popen); a.__del__ = 1\n"
    "a._child_created = False",
    "event loop": "import asyncio\na = asyncio.new_event_loop()",
    "namespace": "a = globals()",
    "traceback": "try: 1 / 0\nexcept ZeroDivisionError as e: a = e",
    "frame": "import sys\na = sys._getframe()",
    "lazy frame": "import polars\na = polars.DataFrame({'x': [1]}).lazy()",
    "state that cannot be read": "class C:\n  def __reduce_ex__(self, n): raise OSError\na = C()",
    "own namespace": "import types, sys\na = types.SimpleNamespace(g=globals())",
}


@pytest.mark.parametrize("source", REFUSED.values(), ids=REFUSED)
def test_what_has_no_sure_digest_is_refused_and_the_others_are_read(source):
    space = notebook(f"b = []\n{source}\nc = [b, a]\nd = [b]")
    try:
        reading = read_names("abcd", space)
    finally:
        if hasattr(space["a"], "close"):
            space["a"].close()

    assert reading.refused.keys() - {"C", "I"} == {"a", "c"}
    assert reading.digests.keys() - {"C", "I"} == {"b", "d"}
    assert reading.nodes["a"] == reading.nodes["c"] == []


# --- strange values --------------------------------------------------------------------------

STRANGE = {
    "list in itself": "a = []; a.append(a)",
    "dict in itself": "a = {}; a['a'] = a",
    "instance that is its own dict": "class D(dict):\n  def __init__(self): self.__dict__ = self\na = D()",
    "equality that raises": "class C:\n  def __eq__(self, o): raise OSError\n  __hash__ = object.__hash__\na = [C(), C()]",
    "hash that raises": "class C:\n  def __hash__(self): raise OSError\na = [C(), C()]",
    "truth that raises": "class C:\n  def __bool__(self): raise OSError\na = [C(), C()]",
    "attributes that raise": "class C:\n  def __getattr__(self, n): raise OSError(n)\na = C()",
    "class that lies": "class C:\n  @property\n  def __class__(self): raise OSError\na = C()",
    "odd names": "import pandas as pd\na = pd.DataFrame([[1, 2, 3, 4]], columns=['x', 'x', (1, None), 2])",
    "names of columns by level": "import pandas as pd\na = pd.DataFrame({('x', 1): [1], ('x', 2): [2]})",
    "empty frame": "import pandas as pd\na = pd.DataFrame()",
    "frame in attrs": "import pandas as pd\na = pd.DataFrame({'x': [1]}); a.attrs['f'] = a.copy()",
    "lone surrogate": "a = ['\\ud800'] * 99",
    "slots": "class C:\n  __slots__ = ('x',)\na = C(); a.x = [a]",
    "named tuple": "import collections\nT = collections.namedtuple('T', 'x y')\na = T(1, [])",
    "typed dict": "import typing\nclass T(typing.TypedDict):\n  x: int\na = T(x=1)",
    "abstract base": "import abc\nclass B(abc.ABC):\n  @abc.abstractmethod\n  def m(self): ...\nclass C(B):\n  def m(self): return 1\na = C()",
    "flag": "import enum\nclass F(enum.Flag):\n  A = 1\n  B = 2\na = F.A | F.B",
    "exception": "class E(Exception): pass\na = E('x', [1])",
    "super": "class B:\n  def m(self): return 1\nclass C(B):\n  def m(self): return super().m()\na = C()",
    "property": "class C:\n  @property\n  def p(self): return 1\n  @staticmethod\n  def s(): return 1\n  @classmethod\n  def c(cls): return 1\na = C()",
    "single dispatch": "import functools\n@functools.singledispatch\ndef a(x): return 1\n@a.register\ndef _(x: int): return 2\na(1)",
    "context manager": "import contextlib\n@contextlib.contextmanager\ndef a(): yield 1",
    "partial": "import functools\na = functools.partial(print, end='')",
    "default dict": "import collections\na = collections.defaultdict(lambda: [1]); a['x']",
    "deque": "import collections\na = collections.deque([1, []], maxlen=3)",
    "chain map": "import collections\na = collections.ChainMap({}, {1: 2})",
    "pydantic": "import pydantic\nclass M(pydantic.BaseModel):\n  x: int\n  y: list[int] = []\na = M(x=1)",
    "generic alias": "a = list[int]",
    "union": "import typing\na = int | None, typing.Optional[int], typing.TypeVar('T')",
    "structured array": "import numpy as np\na = np.zeros(3, [('x', 'i4'), ('y', 'f8')])",
    "array of lists": "import numpy as np\na = np.array([[1], {2: 3}, None], dtype=object)",
    "empty array": "import numpy as np\na = np.zeros((0, 3))",
    "zero dimensions": "import numpy as np\na = np.array(1.0)",
    "broadcast array": "import numpy as np\na = np.broadcast_to(np.arange(3), (4, 3))",
    "old generator": "import numpy as np\na = np.random.RandomState(1)",
    "matrix": "import numpy as np\na = np.rec.array([(1, 2.0)], dtype=[('x', 'i4'), ('y', 'f8')])",
    "group": "import pandas as pd\na = pd.DataFrame({'x': [1], 'y': [2]}).groupby('x')",
}


@pytest.mark.parametrize("source", STRANGE.values(), ids=STRANGE)
def test_strange_values_have_a_digest_that_does_not_change_by_reading(source):
    space = notebook(source)

    first, second = read_names("a", space), read_names("a", space)

    assert not first.refused
    assert first.digests == second.digests == read(source, "a").digests
    shapes = [[type(one).__name__ for one in r.nodes["a"]] for r in (first, second)]
    assert shapes[0] == shapes[1]


def test_deep_nesting_is_refused():
    value: Any = []
    for _ in range(50_000):
        value = [value]

    reading = read_names(["deep", "other"], {"deep": value, "other": [1]})

    assert reading.refused.keys() == {"deep"}
    assert reading.digests.keys() == {"other"}
    while value:  # taken apart by hand: the interpreter would recurse
        value = value[0]


def test_tuples_that_share_tuples_are_walked_once():
    value: Any = ([1],)
    for _ in range(100):
        value = (value, value)

    assert read_names("a", {"a": value}).digests


# --- graphs of objects ------------------------------------------------------------------------


def build(shapes: list[tuple[str, list[int]]]) -> dict[str, Any]:
    """Containers that hold each other: (kind, numbers of parts), tuples only of later ones."""
    made: list[Any] = [[] if kind == "list" else {} for kind, _ in shapes]
    for n in reversed(range(len(shapes))):
        kind, parts = shapes[n]
        if kind == "tuple":
            made[n] = tuple(made[part] for part in parts if n < part < len(made))
    for n, (kind, parts) in enumerate(shapes):
        if kind == "list":
            made[n].extend(made[part % len(shapes)] for part in parts)
        elif kind == "dict":
            made[n].update({k: made[part % len(shapes)] for k, part in enumerate(parts)})
    return {"a": made[0], "b": made[-1], "c": made[len(made) // 2]}


def told(value: Any, numbers: dict[int, int]) -> Any:
    """The same as `read_names` should see, told the slow and simple way."""
    if isinstance(value, tuple):
        return ("tuple", [told(part, numbers) for part in value])
    if id(value) in numbers:
        return numbers[id(value)]
    numbers[id(value)] = len(numbers)
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    return (type(value).__name__, [(key, told(part, numbers)) for key, part in parts])


PART_NUMBERS = st.lists(st.integers(0, 7), max_size=4)
SHAPES = st.lists(
    st.tuples(st.sampled_from(["list", "dict", "tuple"]), PART_NUMBERS), min_size=1, max_size=7
).filter(lambda shapes: not any(kind == "tuple" and len(p) > 3 for kind, p in shapes))


@settings(max_examples=400, deadline=None)
@given(SHAPES, SHAPES)
def test_digests_are_equal_exactly_where_contents_and_sharing_are(one, other):
    spaces = [build(one), build(other), build(one)]
    seen = []
    for space in spaces:
        numbers: dict[int, int] = {}
        seen.append([told(space[name], numbers) for name in "abc"])
    readings = [read_names("abc", space) for space in spaces]

    assert readings[0].digests == readings[2].digests
    assert (readings[0].digests == readings[1].digests) == (seen[0] == seen[1])
    for reading in readings:
        assert not reading.refused


VIEWS = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6), st.sampled_from([1, 2, -1])))


@settings(max_examples=300, deadline=None)
@given(VIEWS, VIEWS)
def test_views_are_equal_exactly_where_they_share_alike(one, other):
    def views(cuts: Any) -> dict[str, Any]:
        memory = np.zeros(12)
        return {
            f"v{n}": memory[at : at + 6][::step][:size] for n, (at, size, step) in enumerate(cuts)
        }

    names = [f"v{n}" for n in range(max(len(one), len(other)))]
    first, second, again = (read_names(names, views(cuts)) for cuts in (one, other, one))

    assert first.digests == again.digests
    if first.digests == second.digests:
        for space, cuts in ((views(one), one), (views(other), other)):
            assert len(space) == len(cuts)
        sharing = [
            [[np.shares_memory(x, y) for x in space.values()] for y in space.values()]
            for space in (views(one), views(other))
        ]
        assert sharing[0] == sharing[1]
        # Writing through each of them changes the others alike.
        spaces = views(one), views(other)
        for space in spaces:
            for n, view in enumerate(space.values()):
                view += np.arange(n, n + len(view))
        assert all(np.array_equal(spaces[0][name], spaces[1][name]) for name in spaces[0])


# --- there and back ---------------------------------------------------------------------------

STORED = {
    "array": np.arange(12.0),
    "reshaped": np.arange(12.0).reshape(3, 4),
    "column order": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "part": np.arange(12.0)[3:9],
    "steps": np.arange(12.0)[::-2],
    "structured": np.zeros(3, [("x", "i4"), ("y", "f8")]),
    "objects": np.array(["a", None, [1]], dtype=object),
    "masked": np.ma.array([1, 2, 3], mask=[0, 1, 0]),
    "frame": pd.DataFrame({"x": [1, 2], "y": ["a", None], "z": pd.Categorical(["a", "b"])}),
    "dates": pd.DataFrame({"t": pd.date_range("2024", periods=3, tz="UTC")}),
    "index": pd.MultiIndex.from_product([[1, 2], ["a", "b"]], names=["x", None]),
    "shared": (lambda part: [part, part, {"k": part}])([1]),
}


@pytest.mark.parametrize("value", STORED.values(), ids=STORED)
def test_what_comes_back_from_storage_is_the_same(value):
    """What is read again must be found under the same digest, and its parts in the same places."""
    plain = pickle.loads(pickle.dumps(value, protocol=5))
    buffers: list[Any] = []
    data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    mapped = pickle.loads(data, buffers=[bytearray(one.raw()) for one in buffers])
    before, *after = (read_names("a", {"a": one}) for one in (value, plain, mapped))

    for reading in after:
        assert reading.digests == before.digests
        assert len(reading.nodes["a"]) == len(before.nodes["a"])


ACROSS = """
    import collections, dataclasses, enum, functools, numpy as np, pandas as pd, random
    from nbflow.results.fingerprint import read_names

    @dataclasses.dataclass
    class Point:
        x: int = 0
        names: set = dataclasses.field(default_factory=set)
        def far(self): return LIMIT < self.x

    class Colour(enum.Enum):
        RED = "r"

    @functools.cache
    def cached(x): return helper(x)
    def helper(x): return x in {"a", "b", ("c", "d")}
    LIMIT = 3
    words = "the quick brown fox jumps over the lazy dog".split()
    shared = [{"w": word, "n": [len(word)]} for word in words * 20]
    p = Point(1, set(words))
    q = [p, p.names, shared[3], Colour.RED]
    s = {Colour.RED, frozenset(words), Point, helper, len}
    a = np.arange(20.0); b = a[3:9]; c = a.reshape(4, 5).T
    df = pd.DataFrame({"w": words, "n": range(9)})
    rng = random.Random(3)
    d = collections.defaultdict(list, x=[words])
    try_it = functools.partial(cached, x=words)
    names = "p q s a b c df rng d shared try_it cached absent".split()
    found = read_names(names, globals())
    for name, digest in sorted(found.digests.items()):
        print(name, digest, [type(one).__name__ for one in found.nodes[name]][:40])
    print(found.missing, found.refused, sorted((k, sorted(v)) for k, v in found.refs.items()))
    print([code.co_name for code in found.codes])
"""


def test_same_in_every_process(home):
    children = [Child(ACROSS, home, PYTHONHASHSEED=seed) for seed in ("0", "1", "2", "12345")]

    first, *others = (child.end() for child in children)

    assert len(first) > 15
    assert "{}" in first[-2]
    for other in others:
        assert other == first

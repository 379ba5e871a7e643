"""Equal values have equal fingerprints in every process; other values never have.

The cases are those on which joblib, dask, hamilton, redun, marimo, diskcache and cloudpickle were
compared; each of them fails several.
"""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import functools
import itertools
import pathlib
import re
import socket
import sys
import threading
import types
import uuid
import zoneinfo
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pydantic
import pytest
from children import Child
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.errors import Unfingerprintable
from nbflow.results.fingerprint import fingerprint

WORD = "a word that is not interned, " * 20


def case(name: str, one: Any, other: Any) -> Any:
    return pytest.param(one, other, id=name)


def defined(source: str, name: str = "f", **globals_: Any) -> Any:
    """A function as a cell defines it, in a namespace of its own."""
    space = {"__name__": "__main__", **globals_}
    exec(source, space)
    return space[name]


def closure(value):
    def inner():
        return value

    return inner


class Plain:
    def __init__(self, **state):
        self.__dict__.update(state)


class Other(Plain):
    pass


class Silent:
    def __init__(self, x):
        self.x = x

    def __repr__(self):
        return "Silent"

    def method(self):
        return self.x


class Slots:
    __slots__ = ("a", "b")

    def __init__(self, a, b):
        self.a, self.b = a, b


class Whole(int):
    pass


class Measured(np.ndarray):
    pass


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Kept(enum.Flag, boundary=enum.KEEP):
    A = 1


@dataclass(frozen=True)
class Point:
    x: int
    names: frozenset[str] = frozenset()
    more: list[int] = field(default_factory=list)


class Model(pydantic.BaseModel):
    x: int
    tags: set[str] = set()


def cyclic(*items):
    made = list(items)
    made.append(made)
    return made


def junk_under_the_mask(junk):
    return pd.arrays.IntegerArray(np.array([1, junk, 3]), np.array([False, True, False]))


def inserted():
    frame = pd.DataFrame({"a": [1, 2]})
    frame["b"] = [3, 4]
    return frame


def memmap(tmp="/dev/shm"):
    import tempfile

    with tempfile.NamedTemporaryFile(dir=tempfile.gettempdir()) as file:
        made = np.memmap(file.name, dtype="f8", mode="w+", shape=(4,))
        made[:] = [1, 2, 3, 4]
        return made


ARRAY = np.array([1.0, 2.0, 3.0, 4.0])
READ_ONLY = ARRAY.copy()
READ_ONLY.flags.writeable = False
SHARED = [1, [2]]
BIG_SET = set(range(1000))
for n in range(10, 1000):
    BIG_SET.discard(n)

SAME = [
    case(
        "shared and equal strings",
        pd.Series([WORD] * 2, dtype=object),
        pd.Series([WORD, "".join(list(WORD))], dtype=object),
    ),
    case("shared and equal lists", [SHARED, SHARED], [[1, [2]], [1, [2]]]),
    case(
        "large shared and equal lists", [[0] * 99, [[0] * 99] * 2], [[0] * 99, [[0] * 99, [0] * 99]]
    ),
    case("equal and identical strings", (WORD, WORD), (WORD, "".join(list(WORD)))),
    case("strided and contiguous", np.arange(8.0)[::2], np.arange(8.0)[::2].copy()),
    case("read-only and writable", READ_ONLY, ARRAY.copy()),
    case("mapped and in memory", memmap(), ARRAY),
    case("frame blocks", inserted(), pd.DataFrame({"a": [1, 2], "b": [3, 4]})),
    case("junk under the mask", junk_under_the_mask(7), junk_under_the_mask(8)),
    case(
        "text column: slice and fresh",
        pd.Series(["a", "b", "c"], dtype="str")[1:].reset_index(drop=True),
        pd.Series(["b", "c"], dtype="str"),
    ),
    case("set with another history", BIG_SET, set(range(10))),
    case("set in another order", {"a", "b", "c"}, {"c", "b", "a"}),
    case(
        "lambda on another line", defined("f = lambda x: x + 1"), defined("\n\nf = lambda x: x + 1")
    ),
    case(
        "comments and docstring",
        defined("def f(x):\n  return x"),
        defined("def f(x):\n  'Doc.'\n  # note\n  return (x)"),
    ),
    case("annotations", defined("def f(x): return x"), defined("def f(x: int) -> int: return x")),
    case("closures over equal values", closure([1]), closure([1])),
    case("equal state", Plain(a=1, b=[2]), Plain(a=1, b=[2])),
    case("cyclic list", cyclic(1), cyclic(1)),
    case(
        "unused global",
        defined("def f(): return 1", other=1),
        defined("def f(): return 1", other=2),
    ),
    case("decimal", decimal.Decimal("1.0"), decimal.Decimal("1.0")),
    case(
        "zone",
        dt.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")),
        dt.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo.no_cache("Europe/Paris")),
    ),
    case("series", pd.Series([1], name="a"), pd.Series([1], name="a")),
    case("index", pd.MultiIndex.from_tuples([(1, "a")]), pd.MultiIndex.from_tuples([(1, "a")])),
    case("dataclass", Point(1, frozenset("ab")), Point(1, frozenset("ba"))),
    case("pydantic", Model(x=1, tags={"a", "b"}), Model(x=1, tags={"b", "a"})),
]

HELPER = "def h(x): return x + {}\ndef f(x): return h(x)"
CACHED = "import functools\n@functools.cache\ndef h(x): return x + {}\ndef f(x): return h(x)"
WRAPPED = (
    "import functools\ndef d(fn):\n  @functools.wraps(fn)\n  def inner(*a): return fn(*a)\n"
    "  return inner\n@d\ndef f(x): return x + {}"
)
METHOD = "class C:\n  def m(self): return {}\ndef f(): return C().m()"
LAZY = "import functools\nclass C:\n  @functools.cached_property\n  def m(self): return {}\nf = C"
ENUM = "import enum\nclass E(enum.Enum):\n  A = {}\nf = E.A"


def pair(source: str, one: object = 1, other: object = 2) -> tuple[Any, Any]:
    return defined(source.format(one)), defined(source.format(other))


def using_module(body: str) -> Any:
    module = types.ModuleType("users_module")
    module.__file__ = "/home/user/users_module.py"
    exec(body, vars(module))
    sys.modules["users_module"] = module
    return defined("def f(): return users_module.helper()", users_module=module)


DIFF = [
    case("int and bool", 1, True),
    case("int and float", 1, 1.0),
    case("int and text", 1, "1"),
    case("int and its subclass", 1, Whole(1)),
    case("None and False", None, False),
    case("zero and minus zero", 0.0, -0.0),
    case("text and bytes", "a", b"a"),
    case("bytes and bytearray", b"a", bytearray(b"a")),
    case("tuple and list", (1,), [1]),
    case("list and set", [1], {1}),
    case("set and frozenset", {1}, frozenset({1})),
    case("range and list", range(3), [0, 1, 2]),
    case("dict order", {"a": 1, "b": 2}, {"b": 2, "a": 1}),
    case("dict and ordered dict", {"a": 1}, collections.OrderedDict(a=1)),
    case("nesting", [[1], [2]], [[1, 2]]),
    case("nesting of texts", ["ab", "c"], ["a", "bc"]),
    case("depth of a cycle", [cyclic(1)], cyclic([1])),
    case("cycle and its unrolling", cyclic(1), [1, [1, [1]]]),
    case("long bytes", b"x" * 1000, b"x" * 999 + b"y"),
    case("large int", 2**200, 2**200 + 1),
    case("int over 64 bits", 2**63, -(2**63)),
    case("complex", 1j, 1 + 1j),
    case("dtype", np.zeros(2, "i8"), np.zeros(2, "f8")),
    case("shape", np.zeros((2, 3)), np.zeros((3, 2))),
    case("endianness", np.zeros(2, "<i4"), np.zeros(2, ">i4")),
    case("duration and int", np.zeros(2, "m8[s]"), np.zeros(2, "i8")),
    case("unit of time", np.zeros(2, "M8[s]"), np.zeros(2, "M8[ms]")),
    case("scalar and array", np.float64(1), np.array(1.0)),
    case("numpy and python float", np.float64(1), 1.0),
    case("array and its subclass", np.array([1]).view(Measured), np.array([1])),
    case("mask", np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2], mask=[1, 0])),
    case("field names", np.zeros(1, [("a", "i4")]), np.zeros(1, [("b", "i4")])),
    case("column names", pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})),
    case("column order", pd.DataFrame({"a": [1], "b": [2]}), pd.DataFrame({"b": [2], "a": [1]})),
    case("index values", pd.Series([1], index=[1]), pd.Series([1], index=[2])),
    case("index name", pd.Series([1], index=pd.Index([1], name="i")), pd.Series([1], index=[1])),
    case("series name", pd.Series([1], name="a"), pd.Series([1], name="b")),
    case("series and frame", pd.Series([1], name="a"), pd.DataFrame({"a": [1]})),
    case("None and nan", pd.Series([None], dtype=object), pd.Series([np.nan], dtype=object)),
    case("object 1 and '1'", pd.Series([1], dtype=object), pd.Series(["1"], dtype=object)),
    case("texts split elsewhere", pd.Series(["ab", "c"]), pd.Series(["a", "bc"])),
    case("text and object column", pd.Series(["a"], dtype="str"), pd.Series(["a"], dtype=object)),
    case("ordered categories", pd.Categorical(["a"], ordered=True), pd.Categorical(["a"])),
    case("category order", pd.Categorical(["a"], ["a", "b"]), pd.Categorical(["a"], ["b", "a"])),
    case(
        "time zone",
        pd.Series(pd.to_datetime(["2024-01-01"]).tz_localize("UTC")),
        pd.Series(pd.to_datetime(["2024-01-01"]).tz_localize("Europe/London")),
    ),
    case(
        "attrs",
        pd.DataFrame({"a": [1]}),
        (lambda f: (f.attrs.update(x=1), f)[1])(pd.DataFrame({"a": [1]})),
    ),
    case("missing", pd.array([1, None], dtype="Int64"), pd.array([1, 0], dtype="Int64")),
    case("lambda: constant", *pair("f = lambda: {}")),
    case("lambda: text", *pair("f = lambda: '{}'")),
    case("lambda: name", defined("f = lambda x: x.a"), defined("f = lambda x: x.b")),
    case("lambda: operator", defined("f = lambda x: x + 1"), defined("f = lambda x: x - 1")),
    case("text in a comprehension", *pair("f = lambda y: ['{}' for _ in y]")),
    case("text in a generator", *pair("f = lambda y: list('{}' for _ in y)")),
    case("text in a nested lambda", *pair("def f(): return lambda: '{}'")),
    case("returned text", *pair("def f(): return '{}'")),
    case("closure", closure(1), closure(2)),
    case("default", *pair("def f(x={}): return x")),
    case("keyword default", *pair("def f(*, x={}): return x")),
    case("argument names", defined("def f(a, b): return a"), defined("def f(b, a): return a")),
    case("used global", defined("def f(): return g", g=1), defined("def f(): return g", g=2)),
    case(
        "global of a nested function",
        defined("def f(): return lambda: g", g=1),
        defined("def f(): return lambda: g", g=2),
    ),
    case("helper", *pair(HELPER)),
    case("cached helper", *pair(CACHED)),
    case(
        "cached function itself",
        *pair("import functools\n@functools.lru_cache(8)\ndef f(): return {}"),
    ),
    case("wrapped", *pair(WRAPPED)),
    case("method of a class", *pair(METHOD)),
    case("cached property", *pair(LAZY)),
    case("class attribute", *pair("class f:\n  a = {}")),
    case("base class", *pair("class B:\n  a = {}\nclass f(B): pass")),
    case("nested function", *pair("def f():\n  def g(): return {}\n  return g")),
    case(
        "handler",
        defined("def f():\n  try: g()\n  except KeyError: pass"),
        defined("def f():\n  try: g()\n  except ValueError: pass"),
    ),
    case(
        "module of the user's",
        using_module("def helper(): return 1"),
        using_module("def helper(): return 2"),
    ),
    case("partial", functools.partial(int, base=2), functools.partial(int, base=3)),
    case("bound method", Silent(1).method, Silent(2).method),
    case("bound builtin", [1].append, [2].append),
    case("instance state", Plain(a=1), Plain(a=2)),
    case("class of an instance", Plain(a=1), Other(a=1)),
    case("silent repr", Silent(1), Silent(2)),
    case("slots", Slots(1, 2), Slots(2, 1)),
    case("dataclass", Point(1), Point(2)),
    case("pydantic", Model(x=1), Model(x=2)),
    case("enum member", Colour.RED, Colour.BLUE),
    case("enum value", *pair(ENUM)),
    case("unknown flags", Kept(2), Kept(4)),
    case("decimal scale", decimal.Decimal("1.0"), decimal.Decimal("1.00")),
    case("fold", dt.datetime(2024, 10, 27, 2, 30), dt.datetime(2024, 10, 27, 2, 30, fold=1)),
    case(
        "zone of a time",
        dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        dt.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC")),
    ),
    case("date and datetime", dt.date(2024, 1, 1), dt.datetime(2024, 1, 1)),
    case("uuid", uuid.UUID(int=1), uuid.UUID(int=2)),
    case("pattern flags", re.compile("a"), re.compile("a", re.IGNORECASE)),
    case("path type", pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("a")),
    case("type", int, float),
    case("counter", collections.Counter("aab"), collections.Counter("abb")),
    case("default factory", collections.defaultdict(int), collections.defaultdict(list)),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_same(one, other):
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(("one", "other"), DIFF)
def test_different(one, other):
    assert fingerprint(one) != fingerprint(other)


def test_number_of_values_counts():
    digests = [fingerprint(*values) for values in [(), (1,), (1, 1), ((1, 1),), (1, (1,))]]

    assert len(set(digests)) == 5
    assert all(re.fullmatch("[0-9a-f]{32}", digest) for digest in digests)


# --- across processes ---------------------------------------------------------------------------

ACROSS = """
    import collections, dataclasses, datetime, enum, functools, numpy, pandas, pydantic, sys
    from nbflow.results.fingerprint import fingerprint

    def helper(x):
        return x in {"a", "b", ("c", "d")}

    def function(x):
        return [helper(y) for y in x] + list({"e", "f"})

    def odd(n):
        return n and even(n - 1)

    def even(n):
        return not n or odd(n - 1)

    def closure(value):
        return lambda: value

    @dataclasses.dataclass(frozen=True)
    class Point:
        names: frozenset = frozenset()
        def method(self):
            return Point(self.names)

    class Model(pydantic.BaseModel):
        names: set[str]
        @pydantic.field_validator("names")
        def check(cls, value):
            return value

    class Colour(enum.Enum):
        RED = "r"

    class Plain:
        def __init__(self):
            self.names = {"x", "y", "z"}

    cyclic = {"a"}, []
    cyclic[1].append(cyclic)
    words = "the quick brown fox jumps over the lazy dog".split()
    values = {
        "set of texts": set(words),
        "frozenset of tuples": frozenset((w, w[::-1]) for w in words),
        "list of sets": [set(words), {frozenset(words)}],
        "set of functions": {odd, even, helper},
        "lambda": lambda x: x + 1,
        "function with a set": function,
        "closure over a set": closure(set(words)),
        "mutual recursion": odd,
        "instance with a set": Plain(),
        "dataclass": Point(frozenset(words)),
        "bound method": Point(frozenset(words)).method,
        "pydantic": Model(names=set(words)),
        "pydantic class": Model,
        "enum": Colour.RED,
        "enum class": Colour,
        "class": Plain,
        "object": object(),
        "cycle": cyclic,
        "partial": functools.partial(function, set(words)),
        "library function": numpy.linalg.norm,
        "ufunc": numpy.add,
        "frame": pandas.DataFrame({"a": words, "b": range(9)}),
        "dates": pandas.date_range("2024-01-01", periods=3, tz="Europe/Paris"),
        "array of objects": numpy.array([set(words), None], dtype=object),
        "counter": collections.Counter(words),
    }
    for name, value in values.items():
        print(name, fingerprint(value))
"""


def test_same_in_every_process(home):
    children = [Child(ACROSS, home, PYTHONHASHSEED=seed) for seed in ("0", "1", "2", "12345")]

    first, *others = (child.end() for child in children)

    assert len(first) == 25
    assert len({line.rsplit(" ", 1)[1] for line in first}) == 25
    for other in others:
        assert other == first


# --- structure ----------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
KEYS = st.text(max_size=3) | st.integers()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.frozensets(KEYS, max_size=4)
    ),
    max_leaves=20,
)


def exact(value: Any) -> Any:
    """A form of a value in which only what is the same compares equal."""
    if isinstance(value, list | tuple):
        return type(value).__name__, [exact(item) for item in value]
    if isinstance(value, dict):
        return "dict", [(exact(key), exact(item)) for key, item in value.items()]
    if isinstance(value, frozenset):
        return "frozenset", sorted(map(repr, map(exact, value)))
    if isinstance(value, float):
        import struct

        return "float", struct.pack("<d", value)
    return type(value).__name__, value


def rebuilt(value: Any) -> Any:
    """An equal value that shares nothing with the first."""
    if isinstance(value, list | tuple):
        return type(value)([rebuilt(item) for item in value])
    if isinstance(value, dict):
        return {rebuilt(key): rebuilt(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return frozenset(reversed([rebuilt(item) for item in value]))
    return value


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_rebuilt_value_is_the_same(value):
    assert fingerprint(value) == fingerprint(rebuilt(value))


@settings(max_examples=300, deadline=None)
@given(VALUES, VALUES)
def test_fingerprints_are_equal_exactly_where_values_are(one, other):
    assert (fingerprint(one) == fingerprint(other)) == (exact(one) == exact(other))


def test_shared_parts_are_walked_once():
    value: Any = [0]
    for _ in range(100):
        value = [value, value]

    assert fingerprint(value)


def test_functions_that_all_call_each_other_are_walked_once():
    names = [f"f{n}" for n in range(30)]
    lines = (f"def {name}(): return {', '.join(n + '()' for n in names)}" for name in names)
    source = "\n".join(lines)
    one = defined(source, "f0")
    other = defined(source.replace("def f29(): return", "def f29(): return 1,"), "f0")

    assert fingerprint(one) == fingerprint(defined(source, "f0"))
    assert fingerprint(one) != fingerprint(other)


def test_objects_that_all_know_each_other_are_walked_once():
    def friends(n, **state):
        several = [Plain(n=i) for i in range(n)]
        for one, other in itertools.permutations(several, 2):
            one.__dict__.setdefault("friends", []).append(other)
        several[-1].__dict__.update(state)
        return several

    assert fingerprint(friends(20)) == fingerprint(friends(20))
    assert fingerprint(friends(20)) != fingerprint(friends(20, x=1))


def test_modules_that_import_each_other_end():
    one, other = types.ModuleType("user_one"), types.ModuleType("user_other")
    one.user_other, other.user_one = other, one
    other.helper = defined("def helper(): user_one.user_other.helper()", "helper", user_one=one)

    f = defined("def f(): return user_one.user_other.helper()", user_one=one)

    assert fingerprint(f) == fingerprint(f)


def test_nbflow_task_among_the_globals_counts_by_its_function():
    source = "from nbflow import task\n@task\ndef h(x): return x + {}\ndef f(x): return h(x)"

    one, other = pair(source)

    assert fingerprint(one) == fingerprint(defined(source.format(1)))
    assert fingerprint(one) != fingerprint(other)


def test_large_list_of_rows_keeps_no_memory_of_each():
    rows = [(n, str(n), float(n)) for n in range(200_000)]

    assert fingerprint(rows) == fingerprint(list(rows))


# --- what has none ------------------------------------------------------------------------------


def generator():
    yield 1


async def coroutine():
    yield 1


UNSURE = {
    "lock": threading.Lock,
    "reentrant lock": threading.RLock,
    "event": threading.Event,
    "thread": lambda: threading.Thread(target=print),
    "file": lambda: open(__file__, encoding="utf-8"),
    "socket": socket.socket,
    "generator": generator,
    "asynchronous generator": coroutine,
    "memoryview": lambda: memoryview(b"a"),
    "frame": sys._getframe,
    "local": threading.local,
    "weak reference": lambda: __import__("weakref").ref(Plain),
    "connection": lambda: __import__("sqlite3").connect(":memory:"),
    "iterator over a generator": lambda: map(str, generator()),
}


@pytest.mark.parametrize("make", UNSURE.values(), ids=UNSURE)
def test_what_has_no_sure_digest_is_refused(make):
    value = make()

    for held in (value, [value], {"a": value}, Plain(a=value), closure(value)):
        with pytest.raises(Unfingerprintable, match="has no stable fingerprint"):
            fingerprint(held)
    if hasattr(value, "close"):
        value.close()


def test_refusal_names_the_type():
    with pytest.raises(Unfingerprintable, match=r"_thread\.lock"):
        fingerprint({"a": [threading.Lock()]})


def test_deep_nesting_is_refused_not_a_crash():
    value: Any = []
    for _ in range(100_000):
        value = [value]

    with pytest.raises(Unfingerprintable, match="nested too deeply"):
        fingerprint(value)
    while value:  # taken apart by hand: the interpreter would recurse
        value = value[0]

"""What a cell does besides computing, told from its source."""

from __future__ import annotations

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from nbflow.analysis.effects import (
    EffectKind,
    cell_effects,
    is_definitions_only,
    literal_paths,
    mentioned_words,
)

SHELL, MAGIC, INPUT = EffectKind.SHELL, EffectKind.MAGIC, EffectKind.INPUT
NAMESPACE, HISTORY = EffectKind.NAMESPACE, EffectKind.HISTORY
STAR, AWAIT = EffectKind.STAR, EffectKind.AWAIT

# (cell as the user writes it, its effects)
EFFECTS = [
    ("!ls -l", [(SHELL, "!ls -l")]),
    ("files = !ls", [(SHELL, "!ls")]),
    ("!!ls", [(SHELL, "!ls")]),
    ("x = 1\n!echo {x}", [(SHELL, "!echo {x}")]),
    ("%timeit f(x)", [(MAGIC, "%timeit")]),
    ("%matplotlib inline", [(MAGIC, "%matplotlib")]),
    ("v = %who_ls", [(MAGIC, "%who_ls")]),
    ("%%writefile a.py\nx = 1", [(MAGIC, "%%writefile")]),
    ("%%time\nx = 1", [(MAGIC, "%%time")]),
    ("for i in x:\n    %run a.ipynb", [(MAGIC, "%run")]),
    ("x?", [(MAGIC, "%pinfo")]),
    ("get_ipython().run_line_magic(name, '')", [(MAGIC, "%...")]),
    ("name = input('who')", [(INPUT, "input()")]),
    ("ask = input", [(INPUT, "input()")]),
    ("import getpass\nx = getpass.getpass()", [(INPUT, "getpass()")]),
    ("getpass('word')", [(INPUT, "getpass()")]),
    ("import sys\nx = sys.stdin.read()", [(INPUT, "sys.stdin")]),
    ("def f(): return input()", [(INPUT, "input()")]),
    ("eval('x')", [(NAMESPACE, "eval()")]),
    ("exec(text)", [(NAMESPACE, "exec()")]),
    ("list(map(eval, texts))", [(NAMESPACE, "eval()")]),
    ("globals()['x'] = 1", [(NAMESPACE, "globals()")]),
    ("locals()", [(NAMESPACE, "locals()")]),
    ("vars()", [(NAMESPACE, "vars()")]),
    ("vars(x)", []),
    ("dir()", [(NAMESPACE, "dir()")]),
    ("dir(x)", []),
    ("df.eval('a + b')", []),
    ("def eval(x): return x\neval(1)", []),
    ("__import__('__main__').x = 1", [(NAMESPACE, "__import__('__main__')")]),
    ("__import__('math')", []),
    ("import __main__", [(NAMESPACE, "import __main__")]),
    ("from __main__ import x", [(NAMESPACE, "from __main__ import")]),
    ("import sys\nsys.modules['__main__'].x", [(NAMESPACE, "sys.modules['__main__']")]),
    ("importlib.import_module('__main__')", [(NAMESPACE, "import_module('__main__')")]),
    ("import sys\nsys._getframe().f_globals", [(NAMESPACE, "_getframe()")]),
    ("ip = get_ipython()", [(NAMESPACE, "get_ipython()")]),
    ("get_ipython().user_ns['x']", [(NAMESPACE, "get_ipython().user_ns")]),
    ("x = _ + 1", [(HISTORY, "_")]),
    ("__ + ___", [(HISTORY, "__"), (HISTORY, "___")]),
    ("_12", [(HISTORY, "_12")]),
    ("Out[3]", [(HISTORY, "Out")]),
    (
        "In[-1], _ih, _oh, _dh, _i, _ii, _i3",
        [(HISTORY, n) for n in "In _ih _oh _dh _i _ii _i3".split()],
    ),
    ("for _ in range(3): print(_)", []),
    ("_, x = y\nprint(_)", []),
    ("[_ for _ in x]", []),
    ("def f():\n    return _", [(HISTORY, "_")]),
    ("def f(_): return _", []),
    ("from os.path import *", [(STAR, "from os.path import *")]),
    ("from .a import *", [(STAR, "from .a import *")]),
    ("x = await f()", [(AWAIT, "await")]),
    ("async with a: pass", [(AWAIT, "await")]),
    ("async for x in a: pass", [(AWAIT, "await")]),
    ("[x async for x in a]", [(AWAIT, "await")]),
    ("async def f(): await g()", []),
    ("x = 1\nprint(x)", []),
    ("", []),
]


@pytest.mark.parametrize(("cell", "effects"), EFFECTS, ids=[cell for cell, _ in EFFECTS])
def test_effects_of(cell: str, effects: list[tuple[EffectKind, str]]):
    found = cell_effects(TransformerManager().transform_cell(cell))

    assert [(one.kind, one.told) for one in found] == effects


def test_effects_know_their_lines_and_come_in_their_order():
    found = cell_effects("x = 1\nprint(_)\neval('x')\nprint(_)")

    assert [(one.told, one.line) for one in found] == [("_", 2), ("eval()", 3), ("_", 4)]


def test_long_commands_are_told_short():
    command = "x" * 200

    (effect,) = cell_effects(f"get_ipython().system({command!r})")

    assert len(effect.told) <= 41


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("df.query('@x > limit_2')", "x limit_2"),
        ("display('a')", "a"),
        ("eval('f(x)')", "f x"),
        ("f'{a} b {c!r:d}'", "b d"),
        ("x = 'naïve café'", "naïve café"),
        ("def f():\n 'Doc.'\n return 'word'", "word"),
        ("b'bytes'", ""),
        ("x + y", ""),
        ("'3d 4'", "d"),
    ],
)
def test_words_in_strings_of(source: str, words: str):
    assert mentioned_words(source) == frozenset(words.split())


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("open('data/a')", ["data/a"]),
        ("pd.read_csv('a.csv')", ["a.csv"]),
        ("pd.read_csv('my data.csv')", ["my data.csv"]),
        ("open('a.csv'); open('a.csv')", ["a.csv"]),
        ("open('../b.parquet'), open('/c')", ["../b.parquet", "/c"]),
        ("pd.read_csv('https://a.org/b.csv')", []),
        ("open(f'{folder}/a.csv')", []),
        ("x = 'word', 'a sentence.', '', '3.14', 'a\\n/b'", []),
        ("def f():\n 'See a/b.'\n open('c.txt')", ["c.txt"]),
        ("x = 1", []),
    ],
)
def test_paths_in(source: str, paths: list[str]):
    assert literal_paths(source) == tuple(paths)


@pytest.mark.parametrize(
    ("source", "is_so"),
    [
        ("import a\nfrom b import c", True),
        ("from b import *", True),
        ("def f(a, b=1): return a", True),
        ("def f(a=g()): return a", False),
        ("@cache\ndef f(): pass", True),
        ("@lru_cache(maxsize=None)\ndef f(): pass", True),
        ("@app.get('/')\nasync def f(): pass", True),
        ("@wrap(g())\ndef f(): pass", False),
        ("class A: pass", True),
        ("class A(B, metaclass=M):\n x = 1\n def m(self): pass", True),
        ("@dataclass\nclass A:\n x: int\n y: list = field(default_factory=list)", True),
        ("class A(Generic[T]): pass", True),
        ("class A(make()): pass", False),
        ("class A:\n print(1)", False),
        ("class A:\n for i in x: pass", False),
        ("'''About this cell.'''\nimport a", True),
        ("pass", True),
        ("", True),
        ("x = 1\ny = z = 'a'", True),
        ("x = -1.5, [2, {'a': None}]", True),
        ("x: int = 1\ny: int", True),
        ("x = y", False),
        ("x = f()", False),
        ("x[0] = 1", False),
        ("a, b = 1, 2", False),
        ("if TYPE_CHECKING:\n import a", True),
        ("if typing.TYPE_CHECKING: import a\nelse: a = None", True),
        ("if x: import a", False),
        ("try:\n import a\nexcept ImportError:\n a = None", True),
        ("try:\n f()\nexcept ImportError:\n pass", False),
        ("x", False),
        ("print(1)", False),
        ("x += 1", False),
        ("del x", False),
    ],
)
def test_only_defines(source: str, is_so: bool):
    assert is_definitions_only(source) is is_so

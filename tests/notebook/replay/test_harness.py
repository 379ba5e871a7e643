"""The comparison that the other tests rest on: what it tells apart, and what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebook.replay.attack import Place
from tests.notebook.replay.patterns import Pattern
from tests.notebook.replay.runner import Run, Template, differences

#: Two endings of a notebook that leave something different behind: claim, before, one, other.
UNLIKE = [
    ("an alias and a copy", "x = [1]", "y = x", "y = [1]"),
    ("one object twice and two equal ones", "a = []", "x = [a, a]", "x = [a, []]"),
    ("a view and a copy of an array", "import numpy as np; a = np.arange(4)", "b = a[1:]",
     "b = a[1:].copy()"),
    ("two views at other places", "import numpy as np; a = np.zeros(4)", "b = a[1:3]",
     "b = a[:2]"),
    ("two views without a common name", "import numpy as np",
     "m = np.zeros(4); a, b = m[:2], m[1:]; del m", "a, b = np.zeros(2), np.zeros(3)"),
    ("an array that may not be written to", "import numpy as np; a = np.zeros(2)",
     "a.flags.writeable = False", "pass"),
    ("the order of an array in memory", "import numpy as np; a = np.eye(3)",
     "a = np.asfortranarray(a)", "pass"),
    ("1, True and 1.0", "", "x = 1", "x = True"),
    ("an int and a float", "", "x = {'a': 1}", "x = {'a': 1.0}"),
    ("0.0 and -0.0", "", "x = 0.0", "x = -0.0"),
    ("a list and a tuple", "", "x = ([1],)", "x = [[1]]"),
    ("the order of a dict", "", "x = {1: 1, 2: 2}", "x = {2: 2, 1: 1}"),
    ("the order of an OrderedDict", "from collections import OrderedDict as O; x = O(a=1, b=2)",
     "x.move_to_end('a')", "pass"),
    ("a longest length of a deque", "from collections import deque", "x = deque([1], 2)",
     "x = deque([1], 3)"),
    ("an instance and its equal", "class A: pass\na = A()", "b = a", "b = A()"),
    ("instances of a class and of its redefinition", "class A: pass\na = A()",
     "class A: pass", "pass"),
    ("a class that was changed", "class A: x = [1]", "A.x.append(2)", "pass"),
    ("closures that share a variable", ("def make():\n    n = 0\n    def f():\n"
     "        nonlocal n\n        n += 1\n        return n\n    return f\nf = make()"),
     "g = f", "g = make()"),
    ("a closure that was called", ("def make():\n    n = 0\n    def f():\n        nonlocal n\n"
     "        n += 1\n        return n\n    return f\nf = make()"), "f();", "pass"),
    ("the code of a function", "", "def f(): return 1", "def f(): return 2"),
    ("a default that was changed", "def f(x=[]): x.append(1)", "f()", "pass"),
    ("a function with other globals", "import types\ndef f(): return 1",
     "f = types.FunctionType(f.__code__, {'__name__': '__main__'}, 'f')", "pass"),
    ("the contents of a cache", "from functools import lru_cache\n@lru_cache\ndef f(x): return x",
     "f(1);", "pass"),
    ("an iterator's place", "it = iter([1, 2, 3])", "next(it);", "pass"),
    ("a generator's place", "g = (n for n in range(3))", "next(g);", "pass"),
    ("a name of an index", "import pandas as pd; d = pd.DataFrame({'a': [1]})",
     "d.index.name = 'i'", "pass"),
    ("the type of a column", "import pandas as pd", "d = pd.DataFrame({'a': [1]})",
     "d = pd.DataFrame({'a': [1]}, dtype='int32')"),
    ("None and nan in a frame", "import pandas as pd",
     "d = pd.DataFrame({'a': pd.Series([None], dtype=object)})",
     "d = pd.DataFrame({'a': pd.Series([float('nan')], dtype=object)})"),
    ("attrs of a frame", "import pandas as pd; d = pd.DataFrame()", "d.attrs['u'] = 1", "pass"),
    ("a random state", "import random", "random.random();", "pass"),
    ("numpy's random state", "import numpy as np", "np.random.rand();", "pass"),
    ("a Generator's state", "import numpy as np; g = np.random.default_rng(1)", "g.random();",
     "pass"),
    ("an environment variable", "import os", "os.environ['X_Y'] = '1'", "pass"),
    ("the working directory", "import os", "os.chdir('..')", "pass"),
    ("sys.path", "import sys", "sys.path.append('x')", "pass"),
    ("a pandas option", "import pandas as pd", "pd.options.display.max_rows = 5", "pass"),
    ("an rcParam", "import matplotlib as mpl", "mpl.rcParams['lines.linewidth'] = 5", "pass"),
    ("numpy's way to print", "import numpy as np", "np.set_printoptions(precision=2)", "pass"),
    ("a warnings filter", "import warnings", "warnings.simplefilter('ignore')", "pass"),
    ("a level of a logger", "import logging", "logging.getLogger('a').setLevel(10)", "pass"),
    ("a builtin", "import builtins", "builtins.sum = lambda v: 0", "pass"),
    ("an open figure", ("import matplotlib.pyplot as plt\n"
     "from matplotlib_inline.config import InlineBackend\n"
     "InlineBackend.instance().close_figures = False"), "plt.figure();", "plt.close('all')"),
    ("what was drawn", "import matplotlib.pyplot as plt", "plt.plot([1, 2]); plt.show()",
     "plt.plot([2, 1]); plt.show()"),
    ("a file", "", "open('f.txt', 'w').write('a');", "pass"),
    ("stdout and stderr", "import sys", "print('x')", "print('x', file=sys.stderr)"),
    ("a result and a display", "", "5", "display(5)"),
    ("the order of outputs", "", "print('a'); display(1)", "display(1); print('a')"),
    ("a result and none", "x = 5", "x", "x;"),
    ("what underscore is", "", "[1]", "[2];"),
    ("an error", "", "1 / 0", "pass"),
    ("an error's text", "", "raise ValueError(1)", "raise ValueError(2)"),
    ("a name that is gone", "x = 1", "del x", "pass"),
    ("a local module's state", "import mod", "mod.state.append(1)", "pass"),
]  # fmt: skip

ALIKE = [
    ("addresses", "print(object())\nx = object()\nx"),
    ("sets", "s = {object, 'b', 'a', (1, 2)}\nt = {frozenset({1}): s}"),
    ("display ids", "h = display(1, display_id=True)\nh.update(2)"),
    ("exceptions", "try:\n    1 / 0\nexcept Exception as e:\n    kept = e\nkept"),
    ("cycles", "a = []\na.append(a)\nd = {1: a}\nd[2] = d"),
    ("hostile objects", ("class H:\n    def __eq__(self, o): raise RuntimeError\n"
     "    __hash__ = None\n    def __getattr__(self, n): raise RuntimeError\n"
     "    def __bool__(self): raise RuntimeError\n    def __len__(self): raise RuntimeError\n"
     "    def __repr__(self): return 'h'\nh = H()\nbox = [h]")),
    ("the notebook's folder", "import os\nprint(os.getcwd())\n1 / 0"),
    ("figures", "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 2])"),
]  # fmt: skip


def run(template: Template, folder: Path, *cells: str) -> Run:
    pattern = Pattern(name="", cells=cells, files={"mod.py": "state = []\n"})
    return Place(pattern, template, folder).run(cells)


@pytest.mark.parametrize(
    ("before", "one", "other"), [pytest.param(*c[1:], id=c[0]) for c in UNLIKE]
)
def test_tells_apart(before: str, one: str, other: str, template: Template, tmp_path: Path):
    runs = [
        run(template, tmp_path / name, before or "pass", "x = 0" if not before else "pass", last)
        for name, last in (("one", one), ("other", other))
    ]
    history = ("In", "_i", "_ii", "_iii")
    told = [{k: v for k, v in r.names.items() if k not in history} for r in runs]

    is_unlike = runs[0].cells != runs[1].cells or runs[0].files != runs[1].files
    assert is_unlike or told[0] != told[1]


@pytest.mark.parametrize("source", [pytest.param(c[1], id=c[0]) for c in ALIKE])
def test_does_not_tell_apart(source: str, template: Template, tmp_path: Path):
    one = run(template, tmp_path / "one", source, "pass")
    other = run(template, tmp_path / "other", source, "pass")

    assert differences(one, other) == []


def test_every_run_is_a_fresh_process(template: Template, tmp_path: Path):
    cells = ("import json, os\nn = getattr(json, 'seen', 0)\njson.seen = 1\nx = 1", "print(n)")

    first = run(template, tmp_path / "one", *cells)
    second = run(template, tmp_path / "two", "print('x' in dir())", *cells)

    assert first.cells[1] == [("stdout", "0\n")]
    assert second.cells[0] == [("stdout", "False\n")]
    assert second.cells[2] == [("stdout", "0\n")]

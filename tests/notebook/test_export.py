"""`%flow export`: the file runs, and does what the notebook does."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import os
import runpy
import subprocess
import sys
import textwrap
from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, reject, settings
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell

from nbflow.errors import NbflowError
from nbflow.notebook.export import export
from nbflow.notebook.export_cells import ExportCell, task_cell


@dataclass(frozen=True)
class Case:
    """A notebook; `has` are texts that its file has to hold, `lacks` that it must not."""

    name: str
    cells: tuple[str, ...]
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = field(default=())


CASES = [
    Case("one value", ("x = 1 + 1", "print(x)"), ("def one_0():", "x = one_0()", "one_1(x)")),
    Case(
        "imports go up, once",
        ("import math", "import math\nx = math.sqrt(9)", "import math\nprint(x, math.pi)"),
        ("import math",),
        ("def one_0",),
    ),
    Case(
        "several results are a tuple",
        ("a = [1]; b = a", "b.append(2)", "print(a, b, a is b)"),
        ("return a, b", "a, b = one_0()", "b = one_1(b)", "return b"),
    ),
    Case(
        "a cell that changes its input takes and gives it",
        ("d = {}\nd['a'] = len('ab')", "d['b'] = 2", "print(d)"),
        ("def one_1(d):", "d = one_1(d)"),
    ),
    Case(
        "a name bound by two cells",
        ("x = int('1')", "x = x + 1", "y = x * 2", "x = 10 * x", "print(x, y)"),
        ("x = one_1(x)", "x = one_3(x)", "one_4(x, y)"),
    ),
    Case(
        "functions of constants and imports go up",
        (
            "import math\nSCALE = 3",
            "def scaled(x):\n    # as agreed\n    return math.floor(x * SCALE)",
            "y = scaled(1.5)",
            "print(y)",
        ),
        ("SCALE = 3", "# as agreed", "def scaled(x):"),
        ("def one_0", "def one_1"),
    ),
    Case(
        "functions that call each other across cells go up",
        (
            "def even(n): return n == 0 or odd(n - 1)",
            "def odd(n): return n != 0 and even(n - 1)",
            "print(even(10), odd(7))",
        ),
        (),
        ("def one_0", "def one_1"),
    ),
    Case(
        "a function that reads what a cell computes stays in its cell",
        ("factor = int('7')", "def times(x):\n    return x * factor", "print(times(6))"),
        ("def one_1(factor):", "times = one_1(factor)", "one_2(times)"),
    ),
    Case(
        "a function that is called before its cell binds what it reads",
        ("c = len('abc')", "def f(x): return [x, c]\na = f(1)\nc = 8", "print(a, c, f(2))"),
        ("def one_1(c):",),
    ),
    Case(
        "classes with super, decorators and defaults",
        (
            "from dataclasses import dataclass",
            "@dataclass\nclass Point:\n    x: int = 1",
            "class Far(Point):\n    def __post_init__(self):\n        self.x += 10",
            "p = Far(2)",
            "print(p.x, super(Far, p).__repr__().startswith('Far'))",
        ),
        ("class Point:", "@dataclass\nclass"),
    ),
    Case(
        "a constant that a cell changes is no constant of the module",
        ("seen = []\nLIMIT = 5", "seen.append(1)\nseen += [2]", "print(seen, LIMIT)"),
        ("LIMIT = 5", "seen = one_0()"),
    ),
    Case(
        "a rebound builtin",
        ("sum = len('abc')", "print(sum + 1)"),
        ("def one_1(sum):",),
    ),
    Case(
        "deleted names",
        ("a = list('ab'); b = len(a)", "del a", "print(b)"),
        ("del a",),
    ),
    Case(
        "a scratch name that a loop deletes",
        (
            "total = 0\nfor i in range(3):\n    half = i / 2\n    total += half\n    del half",
            "print(total)",
        ),
    ),
    Case(
        "a name that only a branch binds",
        (
            "import sys",
            "if sys.maxsize < 0:\n    extra = 1",
            "print('extra' if sys.maxsize < 0 and extra else '-')",
        ),
        ("extra = None  # a branch below may bind it",),
    ),
    Case(
        "a name that a branch binds anew",
        ("mode = str('slow')", "if len(mode) > 10:\n    mode = 'fast'", "print(mode)"),
        ("def one_1(mode):", "return mode"),
    ),
    Case(
        "try and with bind surely",
        (
            "import io\ntry:\n    import no_such_module as m\nexcept ImportError:\n    m = None",
            "with io.StringIO('text') as file:\n    text = file.read()",
            "print(m, text)",
        ),
        (),
        ("a branch below",),
    ),
    Case(
        "awaiting cells",
        (
            "import asyncio",
            "async def later(x):\n    await asyncio.sleep(0)\n    return x + 1",
            "a = await later(1)",
            "b = a * 2",
            "c = [await later(i) for i in range(b)]",
            "print(a, b, c)",
        ),
        ("async def one_2():", "a = await one_2()", "asyncio.run("),
    ),
    Case(
        "magics that only notebooks need",
        (
            "%matplotlib inline\n%load_ext autoreload\n%autoreload 2\nimport math",
            "x = math.pi\nif x:\n    %matplotlib inline\nprint(x)",
        ),
        ("# %matplotlib inline", "pass  # %matplotlib inline  (for notebooks only)"),
        ("get_ipython",),
    ),
    Case(
        "a string that looks like a magic",
        ('text = """\n%matplotlib inline\n  indented\n"""\nn = 7 \\\n% 4', "print(repr(text), n)"),
    ),
    Case(
        "strings, comments and layout stay",
        (
            '# about\nr = [  # two\n    1,\n]\n# text\ntext = f"""a\n  {r}\n"""  # done\n# end',
            "print(repr(text))",
        ),
        (
            "    # about\n    r = [  # two\n        1,",
            "\n  {r}\n",
            "    # end",
        ),
    ),
    Case(
        "statements on one line",
        ("import math; a = math.floor(2.5); b = a  # both", "print(a); print(b);"),
        ("import math\n",),
    ),
    Case(
        "names that pandas looks up in strings",
        (
            "import pandas as pd",
            "frame = pd.DataFrame({'x': [1, 2, 3]})\nleast = int('2')",
            "kept = frame.query('x >= @least')",
            "print(kept.x.tolist())",
        ),
        ("def one_2(frame, least):",),
    ),
    Case(
        "seeds and draws keep their order",
        (
            "import random\nimport numpy as np",
            "random.seed(3)\nnp.random.seed(4)",
            "a = random.random()",
            "b = np.random.rand()",
            "print(a, b, random.random())",
        ),
    ),
    Case(
        "views and aliases",
        (
            "import numpy as np",
            "grid = np.zeros((2, 3))",
            "row = grid[0]",
            "row[:] = 5",
            "print(grid.tolist())",
        ),
    ),
    Case(
        "a cell written after the one that reads it is called before it",
        ("print(late * 2)", "late = int('4')"),
        ("late = one_1()\n    one_0(late)",),
    ),
    Case(
        "names that the file itself uses",
        ("task = len('ab')\nflow = task + 1", "print(task, flow)"),
        ("import nbflow", "@nbflow.task", "@nbflow.flow"),
    ),
    Case(
        "star imports",
        ("from math import *", "x = sqrt(16)", "print(x, floor(2.5))"),
        ("from math import *",),
    ),
    Case(
        "future imports come first",
        (
            "x = len('a')",
            "from __future__ import annotations\ndef f(a: Undefined): return a",
            "print(f(x))",
        ),
    ),
    Case(
        "one name imported from two places",
        (
            "from time import time",
            "a = time() > 0",
            "import time",
            "b = time.time() > 0",
            "print(a, b)",
        ),
    ),
    Case(
        "a generator goes on where another cell left it",
        (
            "numbers = iter(range(9))",
            "a = next(numbers)",
            "b = next(numbers)",
            "print(a, b, list(numbers))",
        ),
    ),
    Case(
        "lambdas over loops and defaults",
        (
            "fs = [lambda x, n=n: x + n for n in range(3)]",
            "def call(f, *args, deep=False, **more): return f(*args)",
            "print([call(f, 1) for f in fs])",
        ),
    ),
    Case(
        "match, walrus and unpacking",
        (
            "point = (1, [2, 3])",
            "match point:\n    case (a, [b, *rest]):\n        kind = 'pair'",
            "n = y = x = z = 0\nif (n := len(rest)) > 0:\n    (x, y), z = (a, b), rest",
            "print(kind, a, b, rest, n, x, y, z)",
        ),
    ),
    Case(
        "settings stay before the imports that need them",
        (
            "import sys",
            "sys.path.insert(0, 'lib')",
            "import nbflow_test_local",
            "print(nbflow_test_local.VALUE)",
        ),
    ),
]


class Shell(InteractiveShell):
    """IPython's own, without a window system."""

    def enable_gui(self, gui: str | None = None) -> None:
        pass


def in_notebook(cells: tuple[str, ...]) -> str:
    """What the cells print, run by IPython."""
    shell = Shell()
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            for cell in cells:
                # As dependencies say: a file cannot read what is not there yet.
                shell.run_cell(cell).raise_error()
    finally:
        shell.history_manager.end_session() if shell.history_manager else None
    return out.getvalue()


def in_file(text: str, folder: Path) -> tuple[str, dict[str, Any]]:
    """What the file prints when it is run, and its names."""
    path = folder / "exported.py"
    path.write_text(text)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        names = runpy.run_path(str(path), run_name="__main__")
    return out.getvalue(), names


def cells_of(sources: tuple[str, ...]) -> list[ExportCell]:
    return [ExportCell(f"one {n}", source) for n, source in enumerate(sources)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_file_prints_what_the_notebook_prints(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "nbflow_test_local.py").write_text("VALUE = 'local'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    sources = case.cells[::-1] if "late" in case.cells[-1] else case.cells

    text = export(cells_of(case.cells))
    sys.modules.pop("nbflow_test_local", None)
    expected = in_notebook(sources)
    printed, _ = in_file(text, tmp_path)

    assert printed == expected, text
    for wanted in case.has:
        assert wanted in text, text
    for unwanted in case.lacks:
        assert unwanted not in text, text


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (("x = !ls",), "uses !ls in line 1"),
        (("a = 1\n!ls",), "uses !"),
        (("%time x = 1",), "uses %time in line 1"),
        (("%%bash\nls",), "uses %%bash in line 1"),
        (("%%time\nx = 1",), "uses %%time"),
        (("1 +",), "is not Python"),
        (("x = eval('1')",), "uses eval()"),
        (("globals()['x'] = 1",), "uses globals()"),
        (("1 + 1", "print(_)"), "'one 1' cannot be exported: it uses _"),
        (("n = 0", "def count():\n    global n\n    n += 1"), "declares n global in line 2"),
        (("print(unknown)",), "reads 'unknown', which no cell before it writes"),
        (("a = len('a')", "del a", "print(a)"), "reads 'a'"),
        (("a = len('a')", "if a:\n    del a"), "deletes 'a' inside of a block"),
        (("wait_for = len('a')", "print(wait_for)"), "uses 'wait_for', which is an option"),
        (
            ("k = len('a')", "def f(): return k", "k = k + 1", "print(f())"),
            "its 'f' reads 'k', which cell 'one 2' binds later",
        ),
        (("f = lambda: k", "k = len('a')", "print(f())"), "'f' reads 'k'"),
    ],
)
def test_what_a_file_cannot_do_is_refused_by_name(cells: tuple[str, ...], told: str):
    with pytest.raises(NbflowError) as caught:
        export(cells_of(cells))

    assert told in str(caught.value)
    assert str(caught.value).startswith("cell 'one ")


def test_cells_that_need_each_other_are_refused():
    with pytest.raises(NbflowError, match="the notebook cannot be exported"):
        export(cells_of(("a = b + 1", "b = a + 1")))


def test_task_options_and_names_are_kept():
    cells = [
        ExportCell("load data", "raw = [1]", {"retries": 2, "retry_delay_seconds": [0.1]}),
        ExportCell("clean", "clean = raw[:]", {"tags": ["db"]}),
        ExportCell("2nd", "print(clean)"),
        ExportCell("print", "print(len(clean))", {}),
    ]

    text = export(cells, flow_name="My report")

    options = 'name="load data", retries=2, retry_delay_seconds=[0.1]'
    assert f"@task({options})\ndef load_data():" in text
    assert '@task(name="clean", tags=["db"])\ndef clean_task(raw):' in text
    assert '@task(name="2nd")\ndef cell_2nd(clean):' in text
    assert "def print_task(clean):" in text
    assert '@flow(name="My report")\ndef My_report():' in text


def test_options_of_the_magic_are_those_of_the_task():
    args = Namespace(
        retries=2, retry_delay=[1.0, 2.0], timeout=None, tags="db, slow", outputs="rows", quiet=True
    )

    text = export([task_cell("load", "rows = [1]\nextra = 2", args)])

    options = 'retries=2, retry_delay_seconds=[1.0, 2.0], tags=["db", "slow"]'
    assert f"@task({options})\ndef load():\n" in text
    assert "    return rows\n" in text


def test_decorators_that_the_notebook_imports_are_not_imported_again(tmp_path: Path):
    cells = (
        "from nbflow import flow, task",
        "@task\ndef double(n): return 2 * n",
        "@flow\ndef inner(): return double(2)",
        "print(inner())",
    )

    text = export(cells_of(cells))

    assert text.count("from nbflow import") == 1
    assert "@task(name=" in text
    assert in_file(text, tmp_path)[0] == "4\n"


def test_outputs_of_a_task_cell_are_what_it_gives():
    cells = [
        ExportCell("load", "raw = [1]\nkept = raw[0]\nn = 1", {}, outputs=("kept",)),
        ExportCell("show", "print(kept)", {}),
    ]

    assert "    return kept\n" in export(cells)
    with pytest.raises(NbflowError, match="it is to give 'other', which it does not write"):
        export([ExportCell("load", "raw = [1]", {}, outputs=("other",))])


def test_a_constant_in_a_task_cell_stays_a_task():
    text = export([ExportCell("size", "n = 3", {}), ExportCell("show", "print(n)", {})])

    assert "def size():\n    n = 3\n    return n" in text


def test_what_a_cell_shows_last_the_file_shows(tmp_path: Path):
    cells = ("x = [1, 2]\nx", "x.append(3)", "x.copy();", "1, 2", "print('p')", "'text'\n# end")

    printed, _ = in_file(export(cells_of(cells)), tmp_path)

    assert printed == "[1, 2]\n(1, 2)\np\n'text'\n"


def test_the_flow_gives_what_the_last_cells_write(tmp_path: Path):
    cells = (
        "raw = [3, 4]\nscratch = 1",
        "total = sum(raw)\n_n = 1\nfor i in raw: pass",
        "most = max(raw)",
    )

    _, names = in_file(export(cells_of(cells), flow_name="report"), tmp_path)

    assert names["report"]() == (7, 4)
    assert list(inspect.signature(names["one_1"].fn).parameters) == ["raw"]


def test_a_file_is_written_and_only_an_export_is_overwritten(tmp_path: Path):
    path = tmp_path / "report.py"

    first = export(cells_of(("x = len('a')",)), path)
    second = export(cells_of(("x = len('b')",)), path)

    assert path.read_text() == second != first
    assert "def report():" in second
    path.write_text("print('mine')\n")
    with pytest.raises(NbflowError, match="is there already and no export"):
        export(cells_of(("x = 1",)), path)
    assert path.read_text() == "print('mine')\n"
    with pytest.raises(NbflowError, match="cannot write"):
        export(cells_of(("x = 1",)), tmp_path / "no such folder" / "report.py")


def test_python_runs_the_file(tmp_path: Path, home: Path):
    path = tmp_path / "report.py"
    export(cells_of(("import sys", "x = len(sys.argv)", "print('arguments:', x)")), path)

    answer = subprocess.run(
        [sys.executable, path],
        env={**os.environ, "NBFLOW_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (answer.returncode, answer.stdout) == (0, "arguments: 1\n"), answer.stderr


def test_a_notebook_of_definitions_only_has_an_empty_flow(tmp_path: Path):
    text = export(cells_of(("import math", "def f(): return math.pi")))

    assert ast.get_docstring(ast.parse(text).body[-2]) == "No cell is left to run."
    in_file(text, tmp_path)


def test_the_text_is_laid_out_as_people_write_it():
    text = export(
        [
            ExportCell("setup", "import math\nN = 2"),
            ExportCell("roots", "# all of them\nroots = [math.sqrt(n) for n in range(N)]", {}),
            ExportCell("show", "print(roots)", {}),
        ],
        flow_name="notebook",
    )

    assert text == textwrap.dedent('''\
        """Exported from a notebook by nbflow."""

        from nbflow import flow, task
        import math
        N = 2


        @task(name="roots")
        def roots_task():
            # all of them
            roots = [math.sqrt(n) for n in range(N)]
            return roots


        @task
        def show(roots):
            print(roots)


        @flow
        def notebook():
            roots = roots_task()
            show(roots)


        if __name__ == "__main__":
            notebook()
        ''')


NAMES = st.sampled_from("abcd")
FUNCTIONS = st.sampled_from("fg")
STATEMENTS = st.one_of(
    st.builds("{} = {}".format, NAMES, st.integers(0, 9)),
    st.builds("{} = [{}]".format, NAMES, st.integers(0, 9)),
    st.builds("{} = {}".format, NAMES, NAMES),
    st.builds("{} += {}".format, NAMES, NAMES),
    st.builds("{}.append({})".format, NAMES, st.integers(0, 9)),
    st.builds("{} = {} * 2".format, NAMES, NAMES),
    st.builds("if {}: {} = {}".format, NAMES, NAMES, NAMES),
    st.builds("for {} in range(2): {} = {}".format, NAMES, NAMES, NAMES),
    st.builds("del {}".format, NAMES),
    st.builds("{} = [x for x in range({})]".format, NAMES, st.integers(0, 3)),
    st.builds("def {}(x): return [x, {}]".format, FUNCTIONS, NAMES),
    st.builds("def {}(x): x.append({})".format, FUNCTIONS, st.integers(0, 9)),
    st.builds("def {}(x): return {}(x) if x else 0".format, FUNCTIONS, FUNCTIONS),
    st.builds("{} = lambda x: [{}, x]".format, FUNCTIONS, NAMES),
    st.builds("{} = {}({})".format, NAMES, FUNCTIONS, NAMES),
    st.builds("{}({})".format, FUNCTIONS, NAMES),
    st.builds("print({})".format, NAMES),
)
CELLS = st.lists(STATEMENTS, min_size=1, max_size=3).map("\n".join)


@settings(max_examples=200, deadline=None)
@given(st.lists(CELLS, min_size=1, max_size=8))
def test_any_file_does_what_its_notebook_does(cells: list[str]):
    """Or the notebook is refused; one that raises has no file to compare with."""
    cells = ["a, b, c, d = [1], 2, [3], 4", "f = g = len", *cells, "print(a, b, c, d)"]
    expected, namespace = io.StringIO(), dict[str, Any]()
    try:
        with contextlib.redirect_stdout(expected):
            for cell in cells:
                exec(cell, namespace)
    except Exception:
        reject()

    try:
        text = export(cells_of(tuple(cells)))
    except NbflowError as refused:
        event(str(refused).partition(": ")[2].split("'")[0])
        return
    event("exported")
    printed = io.StringIO()
    # What a cell shows last is not compared: exec shows nothing.
    text = text.replace("print(repr(value))", "pass")
    with contextlib.redirect_stdout(printed):
        exec(compile(text, "exported", "exec"), {"__name__": "__main__"})
    assert printed.getvalue() == expected.getvalue(), text

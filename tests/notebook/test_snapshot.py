"""The task cells of a notebook as one that runs anywhere: what goes with them, and what cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nbflow.notebook.carrying import expression_of
from tests.notebook.notebooks import Notebook


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    notebook = Notebook(tmp_path_factory.mktemp("kernel"))
    try:
        yield notebook
    finally:
        notebook.close()


@pytest.fixture
def notebook(kernel: Notebook, tmp_path: Path) -> Notebook:
    """A new notebook in the same kernel."""
    kernel.load(tmp_path)
    return kernel


_TAKE = """
from nbflow.notebook import session as _session, snapshot as _snapshot
def _take(*given):
    from IPython.core.error import UsageError
    try:
        return _snapshot.snapshot(_session.open_in(get_ipython()), given).text
    except UsageError as error:
        return f"UsageError: {error}"
0;  # so that the cell counts as none that only defines
"""


def take(notebook: Notebook, *given: str) -> str:
    """The snapshot as text, or what it says of what is missing."""
    notebook.run(_TAKE)
    text: str = notebook.literal(f"_take(*{given!r})")
    return text


def sources(text: str) -> list[str]:
    assert not text.startswith("UsageError"), text
    return ["".join(cell["source"]) for cell in json.loads(text)["cells"]]


def parameters(text: str) -> str:
    (found,) = [
        "".join(cell["source"])
        for cell in json.loads(text)["cells"]
        if cell["metadata"].get("tags") == ["parameters"]
    ]
    return found


@dataclass
class Case:
    """Cells of a notebook, and the cells of its snapshot after the first."""

    name: str
    cells: list[str]
    expected: list[str]
    given: tuple[str, ...] = ()


CASES = [
    Case(
        "definitions stand above the task cells",
        ["def f():\n    return 1", "%%task a\nx = f()"],
        ["def f():\n    return 1", "%%task a\nx = f()"],
    ),
    Case(
        "the order is that of the graph",
        ["x = int('1')", "%%task late\ny = x + 1", "%%task early --retries 2\nx = 3"],
        ["%%task early --retries 2\nx = 3", "%%task late\ny = x + 1"],
    ),
    Case(
        "plain values that nothing makes again are parameters",
        ["n = int('3')\nname = str('a')\nunused = int('9')", "%%task a\nx = [n, name]"],
        ["n = 3\nname = 'a'", "%%task a\nx = [n, name]"],
    ),
    Case(
        "constants are parameters too, so that others can be given",
        ["CITY = 'Montreal'", "%%task a\nx = CITY"],
        ["CITY = 'Montreal'", "CITY = 'Montreal'", "%%task a\nx = CITY"],
    ),
    Case(
        "a constant that a cell changes begins as it was written",
        ["seen = []", "%%task a\nseen.append(1)"],
        ["seen = []", "%%task a\nseen.append(1)"],
    ),
    Case(
        "a definition that comes after what took its place holds again",
        ["def f():\n    return 1", "f = len", "def f():\n    return 2", "%%task a\nx = f()"],
        ["def f():\n    return 2", "%%task a\nx = f()"],
    ),
    Case(
        "a definition that reads a value when it is run stands below that",
        ["n = int('3')", "def f(x=n):\n    return x", "n = 3", "%%task a\ny = f(), n"],
        [
            "n = 3",
            "def f(x=n):\n    return x",
            "n = 3",
            "n = 3",
            "%%task a\ny = f(), n",
        ],
    ),
    Case(
        "a value that is imported is no parameter",
        ["from string import digits", "%%task a\nx = digits"],
        ["from string import digits", "%%task a\nx = digits"],
    ),
    Case(
        "unless it is asked for as one",
        ["from string import digits", "%%task a\nx = digits"],
        ["from string import digits", "digits = '0123456789'", "%%task a\nx = digits"],
        given=("digits",),
    ),
    Case(
        "imports of cells that do more",
        ["import json as j, math\nfrom os.path import join\n1 + 1", "%%task a\nx = j, join, math"],
        [
            "import json as j\nfrom posixpath import join\nimport math",
            "%%task a\nx = j, join, math",
        ],
    ),
    Case(
        "functions of cells that do more, and what those need",
        [
            "k = int('2')\ndef g(x):\n    return x * k\ndef f(x):\n    return g(x)\nprint(f(1))",
            "%%task a\nx = f(3)",
        ],
        [
            "def f(x):\n    return g(x)\n",
            "def g(x):\n    return x * k\n",
            "k = 2",
            "%%task a\nx = f(3)",
        ],
    ),
    Case(
        "settings of modules that plain cells made, each once",
        [
            "import warnings, random as r, os\nwarnings.filterwarnings('ignore')\nr.seed(1)",
            "r.seed(2)\nos.getpid()\nos.environ['MODE'] = 'slow'\nr.random()\nr.shuffle([])",
            "r.seed(1)\nr.mode = 'quick'\nr.seed(len('a'))",
            "%%task a\nx = r.random()",
        ],
        [
            "import random as r\nimport warnings",
            "warnings.filterwarnings('ignore')\nr.seed(2)\nr.seed(1)\nr.mode = 'quick'",
            "%%task a\nx = r.random()",
        ],
    ),
    Case(
        "what a definition needs at once comes before it",
        ["n = int('5')", "def f(x=n):\n    return x", "%%task a\ny = f()"],
        ["n = 5", "def f(x=n):\n    return x", "n = 5", "%%task a\ny = f()"],
    ),
    Case(
        "definitions that nothing needs and that would fail are left out",
        ["base = type('Base', (), {})", "class A(base):\n    pass", "%%task a\ny = 1"],
        ["%%task a\ny = 1"],
    ),
    Case(
        "names that a cell binds itself are its own",
        ["%%task a\nwith open('f', 'w') as file:\n    file.write('1')"],
        ["%%task a\nwith open('f', 'w') as file:\n    file.write('1')"],
    ),
    Case(
        "a cell without a name keeps the one it got",
        ["%%task\nprint(1)"],
        ["%%task cell-{n}\nprint(1)"],
    ),
    Case(
        "nobody waits for a background cell, so it is none",
        ["%%task a -b --retries 1\nx = 1", "%%task b\ny = x"],
        ["%%task a  --retries 1\nx = 1", "%%task b\ny = x"],
    ),
    Case(
        "a name that is given need not be there",
        ["%%task a --quiet\ntry:\n    x = city\nexcept NameError:\n    pass"],
        ["city = None", "%%task a --quiet\ntry:\n    x = city\nexcept NameError:\n    pass"],
        given=("city",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_goes_with_the_cells(notebook: Notebook, case: Case):
    for code in case.cells:
        ran = notebook.run(code)
        assert ran.error is None, ran.error
    n = notebook.literal("get_ipython().execution_count - 1")

    first, *rest = sources(take(notebook, *case.given))

    assert first == "%load_ext nbflow"
    assert rest == [one.replace("{n}", str(n)) for one in case.expected]


@dataclass
class Refusal:
    """Cells of a notebook that cannot go, and what is said."""

    name: str
    cells: list[str]
    says: list[str]
    given: tuple[str, ...] = field(default=())


REFUSALS = [
    Refusal("no task cell", ["x = 1"], ["no cell has been run as a task yet", "write %%task"]),
    Refusal(
        "a value that nothing makes",
        ["class Thing:\n    pass\nthing = Thing()", "%%task a\nx = thing"],
        ["cell 'a' reads 'thing', a Thing that a new kernel would not have", "%%task at the top"],
    ),
    Refusal(
        "a value that a cell has put in the place of a definition",
        ["data = None", "data = __import__('threading').Lock()", "%%task a\nx = data"],
        ["cell 'a' reads 'data', a lock that a new kernel would not have", "%%task at the top"],
    ),
    Refusal(
        "a class that a cell has changed",
        ["class Config:\n    size = 1", "Config.size = int('5')", "%%task a\nx = Config.size"],
        ["cell 'a' reads 'Config', a type that a new kernel would not have"],
    ),
    Refusal(
        "a function with something around it that its source does not have",
        ["def f():\n    return 1", "f = __import__('functools').cache(f)", "%%task a\nx = f()"],
        ["cell 'a' reads 'f', a _lru_cache_wrapper"],
    ),
    Refusal(
        "a parameter that something which stays as it is was made from",
        ["year = int('2012')", "path = f'out-{year}.csv'", "%%task a\nx = path, year"],
        ["-p year: 'path' was made from 'year' in a plain cell", "-p path=VALUE"],
        given=("year",),
    ),
    Refusal(
        "a large value",
        ["rows = list(range(10_000))", "%%task a\nx = len(rows)"],
        ["cell 'a' reads 'rows', a list"],
    ),
    Refusal(
        "through a function",
        ["lock = __import__('threading').Lock()", "def f():\n    return lock", "%%task a\nf()"],
        ["the definition of 'f' reads 'lock', a lock"],
    ),
    Refusal(
        "a value that the cells have changed",
        ["total = int('0')", "%%task a\ntotal = total + 1"],
        ["cell 'a' reads 'total', which task cells change", "(total = ...)"],
    ),
    Refusal(
        "a name that is gone",
        ["x = int('1')", "%%task a\ny = x", "del x"],
        ["cell 'a' reads 'x', which nothing in the notebook defines", "-p x=VALUE"],
    ),
    Refusal(
        "a parameter that nobody reads",
        ["n = 1", "%%task a\nx = n"],
        ["-p m: no task cell reads a value of this name; there are: n"],
        given=("m",),
    ),
    Refusal(
        "a parameter that a cell writes itself",
        ["n = 1", "%%task a\nx = n"],
        ["-p x: a task cell writes 'x' itself; there are: n"],
        given=("x",),
    ),
]


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
def test_what_cannot_go_is_said_with_what_to_do(notebook: Notebook, case: Refusal):
    for code in case.cells:
        notebook.run(code)

    text = take(notebook, *case.given)

    assert text.startswith("UsageError: ")
    assert "\n" not in text
    for part in case.says:
        assert part in text


def test_folders_that_the_notebook_has_put_on_the_path_go_with_it(notebook: Notebook):
    notebook.run("import sys\nsys.path.append('lib')")
    notebook.run("%%task a\nx = 1")
    found = sources(take(notebook))
    notebook.run("sys.path.remove('lib')")

    folder = notebook.literal("os.getcwd()")
    assert found[1] == f"import sys\nsys.path += ['{folder}/lib']"


def test_the_same_cells_are_the_same_snapshot(notebook: Notebook):
    notebook.run("n = int('3')")
    notebook.run("%%task a\nx = n")

    assert take(notebook) == take(notebook)


def test_cells_that_autotask_made_tasks_stay_cells(notebook: Notebook):
    notebook.run("%autotask on")
    notebook.run("x = 1")
    notebook.run("y = x + 1")
    notebook.run("%autotask off")

    assert sources(take(notebook))[1:] == ["x = 1", "y = x + 1"]


@pytest.mark.parametrize(
    "value",
    [
        1, -2.5, float("inf"), complex("inf+2j"), True, None, "text", b"bytes",
        [], (), (1,), {}, set(), {1, 2},
        frozenset({3}), {"a": [1, {"b": (None,)}]}, Path("a/b"),
        __import__("datetime").date(2026, 1, 2),
        __import__("datetime").datetime(2026, 1, 2, 3, 4, 5),
        __import__("datetime").timedelta(days=1, seconds=2),
    ],
    ids=repr,
)  # fmt: skip
def test_a_plain_value_comes_back_from_its_text(value: Any):
    text = expression_of(value)

    assert text is not None
    back = eval(text, {})
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    "value",
    [object(), [object()], {"a": object()}, "x" * 20_000, len, range(3), type("S", (str,), {})()],
    ids=lambda value: type(value).__name__,
)
def test_any_other_value_has_none(value: Any):
    assert expression_of(value) is None


def test_a_list_that_holds_itself_has_none():
    loop: list[Any] = []
    loop.append(loop)

    assert expression_of(loop) is None

"""A few patterns in real kernels: what the shell of the other tests may not have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.notebook.kernels import CellResult, Kernel
from tests.notebook.replay.rendering import normal

NOTEBOOKS = {
    "aliases, views and a changed argument": (
        ["import numpy as np", "a = np.arange(4)\nb = a[1:]\nx = [3, 1]\ny = x",
         "def tidy(v):\n    v.sort()", "tidy(x)\nb[0] = 9", "print(a, x, y is x)\nx",
         "y.append(_)"],
        ["a.tolist()", "len(x)", "x is y", "bool(np.shares_memory(a, b))"],
    ),
    "outputs of every kind in order": (
        ["import sys\nfrom IPython.display import HTML, display",
         "print(1)\ndisplay(HTML('<b>2</b>'))\nprint(3, file=sys.stderr)\nprint(4)\n[5]",
         "_.append(6)\nprint(Out[2], _)"],
        ["Out[2]", "sorted(k for k in Out)"],
    ),
    "seeds, options and a frame": (
        ["import random, numpy as np, pandas as pd\nrandom.seed(1); np.random.seed(1)",
         "pd.options.display.max_rows = 3", "df = pd.DataFrame({'a': np.random.rand(9).round(3)})",
         "df", "df['b'] = [random.random() for _ in df.index]\ndel df['a']", "df.b.sum()"],
        ["list(df)", "random.random()", "float(np.random.rand())", "pd.options.display.max_rows"],
    ),
    "a figure": (
        ["%matplotlib inline\nimport matplotlib.pyplot as plt", "plt.plot([1, 3])",
         "fig, ax = plt.subplots()\nax.plot([2, 1]);", "print(plt.get_fignums())", "fig"],
        ["len(ax.lines)"],
    ),
    "functions, classes and an iterator": (
        ["rate = 2\ndef f(x, seen=[]):\n    seen.append(x)\n    return x * rate, len(seen)",
         "class C:\n    n = 0\n    def __init__(self):\n        C.n += 1", "c = C(); a = f(3)",
         "rate = 5", "print(f(3), C.n)", "it = iter([1, 2, 3])", "print(next(it))",
         "print(next(it))"],
        ["f(1)", "C.n", "isinstance(c, C)", "list(it)"],
    ),
    "widgets": (
        [("import ipywidgets as w\nlog = []\ns = w.IntSlider(value=3)\n"
         "s.observe(lambda c: log.append(c['new']), names='value')"), "s", "s.value = 8",
         "print(log, s.value)"],
        ["log", "s.value"],
    ),
    "magics and shell commands": (
        ["%time x = [1]", "!echo hi > made.txt", "text = open('made.txt').read()\ntext",
         "%precision 2", "1 / 3", "files = !ls made.txt\nfiles"],
        ["text", "x"],
    ),
    "top-level await and clear_output": (
        ["import asyncio\nfrom IPython.display import clear_output, display",
         "async def f(x):\n    await asyncio.sleep(0)\n    return x + 1", "y = await f(1)\ny",
         "print('a'); clear_output(); print('b')", "h = display('c', display_id=True)",
         "h.update('d')"],
        ["y"],
    ),
}  # fmt: skip


def _seen(cell: CellResult) -> list[Any]:
    """The outputs as a front end shows them."""
    shown: list[Any] = []
    for message in cell.messages:
        kind, content = message["msg_type"], message["content"]
        if kind == "stream" and shown and shown[-1][0] == content["name"]:
            shown[-1] = (content["name"], shown[-1][1] + content["text"])
        elif kind == "stream":
            shown.append((content["name"], content["text"]))
        elif kind in ("display_data", "update_display_data", "execute_result"):
            data = {k: normal(str(v)) for k, v in content["data"].items() if "widget" not in k}
            shown.append((kind, data, content.get("execution_count")))
        elif kind == "clear_output":
            shown.clear()
        elif kind == "error":
            shown.append((kind, content["ename"], content["evalue"]))
    return shown


def _run(folder: Path, home: Path, cells: list[str], probes: list[str], *, autotask: bool) -> Any:
    folder.mkdir(exist_ok=True)
    kernel = Kernel(home, NBFLOW_CACHE_MIN_SECONDS="0")
    try:
        if autotask:
            for line in ("%load_ext nbflow", "%autotask on"):
                kernel.client.execute(line, silent=True, store_history=False)
        kernel.client.execute(f"%cd -q {folder}", silent=True, store_history=False)
        outputs = [_seen(kernel.run(source)) for source in cells]
        outputs = [[e for e in cell if "Wall time" not in str(e)] for cell in outputs]
        values = [kernel.literal(f"repr({probe})") for probe in probes]
        statuses = []
        if autotask:
            statuses = kernel.literal(
                "[o.status for o in __import__('nbflow.notebook.session', fromlist=['x'])"
                ".open_in(get_ipython()).obtained]"
            )
    finally:
        kernel.close()
    return (outputs, values), statuses[: len(cells)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_runs_in_kernels_equal_plain_runs(name: str, tmp_path: Path):
    cells, probes = NOTEBOOKS[name]
    home = tmp_path / "home"

    plain, _ = _run(tmp_path / "plain", tmp_path / "other", cells, probes, autotask=False)
    first, ran = _run(tmp_path / "tasks", home, cells, probes, autotask=True)
    second, again = _run(tmp_path / "tasks", home, cells, probes, autotask=True)

    assert "cached" not in ran
    assert first == plain, ran
    assert second == plain, again

"""What lies outside of the notebook and changes between its runs: files, modules, variables."""

from __future__ import annotations

from tests.notebook.replay.patterns import pattern

_MODULES = {
    "mod.py": "from inner import FACTOR\ndef f(x):\n    return x * FACTOR\n",
    "inner.py": "FACTOR = 2\n",
}
PATTERNS = [
    pattern(
        "a local module was edited",
        """
        import mod
        ---
        y = mod.f(5)
        y
        """,
        files=_MODULES,
        then_files={"mod.py": "def f(x):\n    return 'edited'\n"},
        has_disk=True,
    ),
    pattern(
        "a module behind a local module was edited",
        """
        from mod import f
        ---
        y = f(5)
        y
        """,
        files=_MODULES,
        then_files={"inner.py": "FACTOR = 333\n"},
        has_disk=True,
    ),
    pattern(
        "a local module imported where it is used",
        """
        def g(x):
            from mod import f
            return f(x)
        ---
        y = g(5)
        y
        ---
        import inner as i
        z = i.FACTOR + len([1])
        """,
        files=_MODULES,
        then_files={"inner.py": "FACTOR = 444\n"},
        has_disk=True,
    ),
    pattern(
        "a package with modules in it",
        """
        from pack.sub import value
        import pack
        ---
        y = [value(), pack.NAME]
        y
        """,
        files={
            "pack/__init__.py": "NAME = 'n'\n",
            "pack/sub.py": "from . import deep\ndef value():\n    return deep.v\n",
            "pack/deep.py": "v = 1\n",
        },
        then_files={"pack/deep.py": "v = 'edited'\n"},
        has_disk=True,
    ),
    pattern(
        "a file whose new text has the same length",
        """
        text = open("in.txt").read()
        text
        """,
        files={"in.txt": "one"},
        then_files={"in.txt": "two"},
        has_disk=True,
    ),
    pattern(
        "files whose names are put together",
        """
        import json, os, pathlib, pandas as pd, numpy as np
        def paths(kind):
            stem = "da" + "ta"
            return stem + "." + kind
        ---
        t = pd.read_csv(paths("csv"))["a"].sum()
        ---
        j = json.loads(pathlib.Path(paths("json")).read_text())
        ---
        a = np.loadtxt(paths("csv"), skiprows=1)
        ---
        names = sorted(n for n in os.listdir() if n.startswith("data"))
        print(t, j, a, names)
        """,
        files={"data.csv": "a\n1\n2\n", "data.json": "[1]"},
        then_files={"data.csv": "a\n5\n6\n", "data.json": "[2]", "data.new": ""},
        has_disk=True,
    ),
    pattern(
        "files read by compiled code",
        """
        import pyarrow.csv, pyarrow.parquet, pandas as pd
        def stem():
            return "da" + str("ta")
        ---
        pa = pyarrow.csv.read_csv(f"{stem()}.csv").to_pydict()
        pa
        ---
        import polars as pl
        po = pl.read_csv(f"{stem()}.csv").to_dict(as_series=False)
        po
        """,
        files={"data.csv": "a\n1\n2\n"},
        then_files={"data.csv": "a\n7\n8\n"},
        has_disk=True,
    ),
    pattern(
        "files written by compiled code and removed since",
        """
        import pyarrow as pa, pyarrow.parquet as pq
        table = pa.table({"a": [1, 2]})
        def name(n):
            return f"out{n}.parquet"
        ---
        pq.write_table(table, name(1))
        ---
        table.to_pandas().to_parquet(name(2))
        done = True
        ---
        import os
        print(sorted(f for f in os.listdir() if f.endswith("parquet")))
        """,
        then_files={"out1.parquet": None, "out2.parquet": None},
        has_disk=True,
    ),
    pattern(
        "an output file removed since",
        """
        import pathlib
        rows = [1, 2]
        ---
        n = pathlib.Path("out.txt").write_text(str(rows))
        ---
        with open("two.txt", "w") as f:
            done = f.write("x")
        """,
        then_files={"out.txt": None, "two.txt": "changed by hand"},
        has_disk=True,
    ),
    pattern(
        "what is asked about files",
        """
        import os, glob, pathlib
        ---
        a = os.path.exists("maybe.txt")
        ---
        b = sorted(glob.glob("*.txt"))
        ---
        c = pathlib.Path("in.txt").stat().st_size
        ---
        d = [p.name for p in pathlib.Path().iterdir() if p.suffix == ".txt"]
        ---
        e = sum(len(files) for _, _, files in os.walk("."))
        print(a, b, c, len(d), e)
        """,
        files={"in.txt": "one"},
        then_files={"maybe.txt": "", "in.txt": "longer"},
        has_disk=True,
    ),
    pattern(
        "%run of a script that was edited",
        """
        %run script.py
        ---
        y = made + 1
        y
        """,
        files={"script.py": "made = 1\n"},
        then_files={"script.py": "made = 100\n"},
        has_disk=True,
    ),
    pattern(
        "code executed from a file",
        """
        exec(open("code.py").read())
        ---
        y = made + 1
        ---
        import runpy
        z = runpy.run_path("code.py")["made"]
        print(y, z)
        """,
        files={"code.py": "made = 1\n"},
        then_files={"code.py": "made = 100\n"},
        has_disk=True,
    ),
    pattern(
        "the environment was changed",
        """
        import os
        ---
        mode = os.environ.get("NB_OUTSIDE", "unset")
        ---
        home = os.path.expanduser("$NB_OUTSIDE")
        both = os.path.expandvars("$NB_OUTSIDE")
        print(mode, home, both)
        ---
        import subprocess
        shown = subprocess.run("echo $NB_OUTSIDE", shell=True, capture_output=True).stdout
        """,
        then_environment={"NB_OUTSIDE": "set"},
    ),
    pattern(
        "the environment, read by a local module",
        """
        import conf
        ---
        m = conf.mode()
        print(m, conf.AT_IMPORT)
        """,
        files={
            "conf.py": "import os\nAT_IMPORT = os.getenv('NB_OUTSIDE')\n"
            "def mode():\n    return os.environ.get('NB_OUTSIDE')\n"
        },
        then_environment={"NB_OUTSIDE": "set"},
    ),
    pattern(
        "a module that prints and counts when it is imported",
        """
        n = len([1])
        ---
        import noisy
        x = noisy.count + n
        ---
        import noisy
        y = noisy.count
        ---
        import importlib
        importlib.reload(noisy)
        ---
        print(x, y)
        """,
        files={"noisy.py": "print('imported')\ncount = 1\n"},
        edit=(0, "n = len([1, 2])"),
    ),
    pattern(
        "a module that changes a library when it is imported",
        """
        import numpy as np
        ---
        import patcher
        x = len([1])
        ---
        y = np.mean([1, 2])
        print(y)
        """,
        files={"patcher.py": "import numpy as np\nnp.mean = lambda v: 'patched'\n"},
        edit=(2, "y = np.mean([1, 2, 3])\nprint(y)"),
    ),
]

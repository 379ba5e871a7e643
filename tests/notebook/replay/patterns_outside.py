"""What is outside of names: files, modules, registries of libraries, compiler flags, code lines."""

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
    pattern(
        "submodules that an import makes visible",
        """
        import xml
        ---
        import xml.dom.minidom
        n = len([1])
        ---
        import wsgiref.util as u, email.mime.text
        k = len([1, 2])
        ---
        tag = xml.dom.minidom.parseString("<a/>").documentElement.tagName
        print(tag, email.mime.text.__name__)
        """,
        edit=(3, "print(xml.dom.minidom.__name__, email.mime.__name__)"),
    ),
    pattern(
        "registries of libraries, filled for the effect",
        """
        import csv, mimetypes, copyreg, collections.abc, io
        class A: pass
        ---
        csv.register_dialect("pipes", delimiter="|")
        ---
        mimetypes.add_type("text/x-nb", ".nbx")
        ---
        collections.abc.Sized.register(A)
        ---
        csv.field_size_limit(1000)
        ---
        print(list(csv.reader(io.StringIO("a|b"), "pipes")), mimetypes.guess_type("f.nbx"))
        print(isinstance(A(), collections.abc.Sized), csv.field_size_limit())
        """,
        edit=(5, "print(csv.list_dialects(), csv.field_size_limit(), issubclass(A, collections.abc.Sized))"),
    ),
    pattern(
        "registries of libraries, the result of filling them kept",
        """
        import csv, sys, numpy as np, pandas as pd, matplotlib as mpl
        class Geo:
            def __init__(self, df): self.df = df
            def rows(self): return len(self.df)
        ---
        made = csv.register_dialect("tabs", delimiter="\\t")
        old = csv.field_size_limit(2000)
        ---
        Reg = pd.api.extensions.register_dataframe_accessor("geo")(Geo)
        ---
        none = mpl.colormaps.register(mpl.colormaps["viridis"].with_extremes(bad="red"), name="mine")
        ---
        digits = sys.set_int_max_str_digits(5000)
        before = np.seterrcall(Geo)
        ---
        print("tabs" in csv.list_dialects(), csv.field_size_limit())
        print(pd.DataFrame({"a": [1]}).geo.rows(), "mine" in mpl.colormaps)
        print(sys.get_int_max_str_digits(), np.geterrcall() is Geo)
        """,
        edit=(5, "print(pd.DataFrame().geo.rows(), 'mine' in mpl.colormaps, csv.field_size_limit())"),
    ),
    pattern(
        "functions of libraries replaced by roundabout ways",
        """
        import json, operator, random, time, types
        ---
        operator.setitem(json.__dict__, "extra", [1])
        ---
        done = setattr(random, "own", len([1]))
        ---
        holder = types.SimpleNamespace(m=json)
        ---
        holder.m.by_holder = 5
        n = len([1])
        ---
        modules = [random]
        modules[0].by_list = n + 1
        ---
        print(json.extra, random.own, json.by_holder, random.by_list)
        """,
        edit=(6, "print(random.by_list, json.by_holder, random.own, json.extra)"),
    ),
    pattern(
        "a class of a library changed by roundabout ways",
        """
        import decimal, fractions, collections
        target = fractions.Fraction
        ---
        target.nb_extra = len([1])
        ---
        type.__setattr__(collections.UserDict, "nb_kind", "changed")
        ---
        def patch(cls):
            cls.nb_patched = True
            return cls
        ---
        same = patch(collections.UserList)
        ---
        print(fractions.Fraction(1).nb_extra, collections.UserDict.nb_kind)
        print(collections.UserList.nb_patched)
        """,
        edit=(5, "print(collections.UserList.nb_patched, fractions.Fraction.nb_extra)"),
    ),
    pattern(
        "a __future__ import lasts for the later cells",
        """
        from __future__ import annotations
        n = len([1])
        ---
        def f(a: not_there) -> neither:
            return a
        ---
        print(f.__annotations__, f(1))
        """,
        edit=(1, "def f(a: not_there_either):\n    return a"),
    ),
    pattern(
        "an error in a function of a cell that was not run again",
        """
        def f(x):
            return 1 / x
        start = f(1)
        ---
        y = f(2)
        ---
        f(0)
        """,
        edit=(0, "# a comment above\ndef f(x):\n    # and inside\n    return 1 / x\nstart = f(1)"),
    ),
    pattern(
        "functions of a cell that also computes",
        """
        def f(x, seen=[]):
            seen.append(x)
            return g(x) if x > 1 else len(seen)
        def g(x):
            return f(x - 1)
        ops = {"f": f, "seen": f.__defaults__[0]}
        y = f(3)
        ---
        z = ops["f"](2)
        ---
        print(y, z, ops["seen"], ops["f"] is f, f.__globals__ is globals())
        """,
        edit=(1, "z = ops['f'](5)"),
        probes=("ops['f'] is f", "ops['seen'] is f.__defaults__[0]", "f(1)"),
    ),
    pattern(
        "printed tracebacks",
        """
        import traceback
        def risky():
            raise ValueError("x")
        try:
            risky()
        except ValueError as e:
            kept = e
        ---
        traceback.print_exception(kept)
        ---
        text = traceback.format_exception_only(kept)
        print(text, kept.__traceback__.tb_lineno)
        """,
        edit=(2, "print(kept.__traceback__.tb_next.tb_lineno)"),
    ),
    pattern(
        "a name that is missing at first",
        """
        pass
        ---
        def f():
            return helper()
        ---
        try:
            r = f()
        except NameError:
            r = "missing"
        print(r)
        ---
        try:
            n += 1
        except NameError:
            n = 0
        ---
        print(n)
        """,
        edit=(0, "def helper():\n    return 'there'\nn = 10"),
    ),
    pattern(
        "a builtin that comes back",
        """
        max = lambda *a: "mine"
        n = len([1])
        ---
        a = max(1, 2)
        ---
        del max
        ---
        b = max(1, 2)
        print(a, b)
        """,
        edit=(2, "pass"),
    ),
    pattern(
        "another module under the same name",
        """
        import math as m
        ---
        x = m.sqrt(16)
        x
        ---
        y = m.__name__ + "!"
        y
        """,
        edit=(0, "import cmath as m"),
    ),
    pattern(
        "history by magics",
        """
        x = 1
        ---
        y = x + 1
        y
        ---
        %history -n 1-2
        ---
        print(_i, _oh, In[-2])
        """,
        edit=(0, "x = 2"),
    ),
    pattern(
        "objects that display themselves, metadata and raw bundles",
        """
        from IPython.display import display, Image, JSON
        class Own:
            def _ipython_display_(self): print("own way")
        class Bundle:
            def _repr_mimebundle_(self, include=None, exclude=None):
                return {"text/plain": "b", "text/x-nb": "raw"}, {"text/x-nb": {"k": 1}}
        ---
        display(Own(), Bundle())
        display({"text/plain": "r", "application/json": {"a": 1}}, raw=True, metadata={"m": 1})
        n = len([1])
        Bundle()
        ---
        Own()
        ---
        display(Image(data=b"\\x89PNG", format="png"), metadata={"width": 3})
        k = len([2])
        """,
        edit=(0, "from IPython.display import display, Image\nclass Own:\n"
                 "    def _ipython_display_(self): print('another way')\nBundle = Own"),
    ),  # fmt: skip
    pattern(
        "odd texts: carriage returns, surrogates, nulls, no end of line",
        """
        import sys
        ---
        for n in range(3):
            print(f"\\r{n * 50}%", end="", flush=True)
        k = sys.stdout.write("\\x00\\u2603\\n")
        print("x" * 5000)
        sys.stderr.write("err")
        ---
        write = sys.stdout.write
        n = len([1])
        ---
        write("through an alias\\n")
        """,
        edit=(3, "write('edited\\n')"),
        unlike=("write",),
    ),
    pattern(
        "print given another meaning",
        """
        import functools
        shout = functools.partial(print, end="!\\n")
        n = len([1])
        ---
        shout("a")
        m = len([2])
        ---
        print = shout
        ---
        print("b")
        """,
        edit=(1, "shout('c')\nm = len([3])"),
    ),
    pattern(
        "data classes and instances whose class was edited",
        """
        from dataclasses import dataclass
        @dataclass
        class P:
            x: int
            def area(self): return self.x ** 2
        ---
        ps = [P(1), P(2)]
        ---
        total = sum(p.area() for p in ps)
        print(total, ps)
        """,
        edit=(0, "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n    y: int = 0\n"
                 "    def area(self): return self.x * 100"),
        probes=("ps[0].area()", "isinstance(ps[0], P)"),
    ),  # fmt: skip
    pattern(
        "white space inside a text",
        """
        x = "a b"
        ---
        y = x.split(" ")
        y
        """,
        edit=(0, "x = 'a  b'"),
    ),
]

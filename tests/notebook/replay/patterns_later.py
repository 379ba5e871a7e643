"""What shows only later: registries, compiler flags, lines of code, odd texts."""

from __future__ import annotations

from tests.notebook.replay.patterns import pattern

PATTERNS = [
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
        edit=(
            5,
            (
                "print(csv.list_dialects(), csv.field_size_limit())\n"
                "print(issubclass(A, collections.abc.Sized))"
            ),
        ),
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
        none = mpl.colormaps.register(mpl.colormaps["viridis"].copy(), name="mine")
        ---
        digits = sys.set_int_max_str_digits(5000)
        before = np.seterrcall(Geo)
        ---
        print("tabs" in csv.list_dialects(), csv.field_size_limit())
        print(pd.DataFrame({"a": [1]}).geo.rows(), "mine" in mpl.colormaps)
        print(sys.get_int_max_str_digits(), np.geterrcall() is Geo)
        """,
        edit=(
            5,
            "print(pd.DataFrame().geo.rows(), 'mine' in mpl.colormaps, csv.field_size_limit())",
        ),
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
        edit=(
            0,
            (
                "from IPython.display import display, Image\nclass Own:\n"
                "    def _ipython_display_(self): print('another way')\nBundle = Own"
            ),
        ),
    ),
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
        edit=(
            0,
            (
                "from dataclasses import dataclass\n@dataclass\nclass P:\n"
                "    x: int\n    y: int = 0\n"
                "    def area(self): return self.x * 100"
            ),
        ),
        probes=("ps[0].area()", "isinstance(ps[0], P)"),
    ),
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

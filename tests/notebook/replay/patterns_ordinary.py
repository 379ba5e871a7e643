"""What ordinary notebooks do: here the cache has to be right and to be used."""

from __future__ import annotations

from tests.notebook.replay.patterns import pattern

PATTERNS = [
    pattern(
        "numbers and prints",
        """
        a = 2
        b = a * 21
        print(b)
        ---
        c = b + 1
        c
        ---
        d = [a, b, c]
        d
        """,
        edit=(1, "c = b + 2\nc"),
        cached=(0, 1, 2),
        kept=(0,),
    ),
    pattern(
        "an array pipeline",
        """
        import numpy as np
        ---
        a = np.arange(12.0).reshape(3, 4)
        ---
        b = a.sum(axis=1)
        ---
        c = (a.T / b).round(3)
        c
        ---
        print(c.mean(), b.max())
        """,
        edit=(2, "b = a.sum(axis=1) + 1"),
        cached=(1, 2, 3, 4),
        kept=(1,),
    ),
    pattern(
        "frames, groupby and merge",
        """
        import numpy as np
        import pandas as pd
        ---
        df = pd.DataFrame({"k": list("abab"), "v": [1, 2, 3, 4], "w": [0.5, None, 1.5, 2.5]})
        df
        ---
        means = df.groupby("k").mean(numeric_only=True)
        means
        ---
        merged = df.merge(means.reset_index(), on="k", suffixes=("", "_mean"))
        merged.head(2)
        ---
        total = merged["v"].sum()
        total
        """,
        edit=(2, "means = df.groupby('k').max(numeric_only=True)\nmeans"),
        cached=(1, 2, 3, 4),
        kept=(1,),
    ),
    pattern(
        "functions in cells of their own",
        """
        def double(x):
            return 2 * x
        ---
        def quadruple(x):
            return double(double(x))
        ---
        y = quadruple(4)
        print(y)
        ---
        z = double(1)
        z
        ---
        unrelated = 5 * 5
        unrelated
        """,
        edit=(0, "def double(x):\n    return 2 * x + 1"),
        cached=(2, 3, 4),
        kept=(4,),
        probes=("quadruple(1)",),
    ),
    pattern(
        "comments and formatting do not matter",
        """
        a = [1, 2, 3]
        ---
        total = sum(a)
        print(total)
        """,
        edit=(1, "# the sum\ntotal = sum( a )   # of a\nprint( total )"),
        cached=(0, 1),
        kept=(0, 1),
    ),
    pattern(
        "a class and its instances",
        """
        class Point:
            def __init__(self, x, y):
                self.x, self.y = x, y
            def norm(self):
                return (self.x ** 2 + self.y ** 2) ** 0.5
            def __repr__(self):
                return f"Point({self.x}, {self.y})"
        ---
        points = [Point(3, 4), Point(6, 8)]
        points
        ---
        norms = [p.norm() for p in points]
        norms
        """,
        edit=(1, "points = [Point(3, 4), Point(5, 12)]\npoints"),
        cached=(1, 2),
        probes=("points[1].norm()", "type(points[0]) is Point"),
    ),
    pattern(
        "strings, dates, decimals",
        """
        import datetime as dt, decimal, fractions, pathlib, uuid
        ---
        when = dt.datetime(2024, 2, 29, tzinfo=dt.timezone.utc)
        price = decimal.Decimal("1.10")
        third = fractions.Fraction(1, 3)
        path = pathlib.Path("a") / "b"
        ident = uuid.UUID(int=5)
        ---
        table = {"when": when, "price": price * 2, third: path, ident: None}
        print(table)
        """,
        edit=(
            1,
            "when = dt.datetime(2024, 3, 1)\nprice = decimal.Decimal(2)\nthird = path = ident = 0",
        ),
        cached=(1, 2),
    ),
    pattern(
        "every pandas dtype",
        """
        import numpy as np, pandas as pd
        ---
        df = pd.DataFrame({
            "i": pd.array([1, None], dtype="Int64"),
            "b": pd.array([True, None], dtype="boolean"),
            "s": ["x", None],
            "c": pd.Categorical(["u", "v"], categories=["v", "u"], ordered=True),
            "t": pd.to_datetime(["2024-01-01", None]).tz_localize("UTC"),
            "d": pd.to_timedelta([1, 2], unit="s"),
            "p": pd.period_range("2024-01", periods=2, freq="M"),
            "o": [[1], {"k": 2}],
        })
        df.attrs["source"] = "made up"
        ---
        out = df.set_index("t").sort_values("c")
        out
        ---
        out.dtypes
        """,
        cached=(1, 2, 3),
        edit=(2, "out = df.set_index('p')\nout"),
        kept=(1,),
    ),
    pattern(
        "an unrelated edit leaves the rest cached",
        """
        import numpy as np
        ---
        a = np.ones(5)
        ---
        b = np.zeros(5)
        ---
        c = a + 1
        ---
        d = b + 1
        ---
        c.sum() + d.sum()
        """,
        edit=(2, "b = np.full(5, 7.0)"),
        cached=(1, 2, 3, 4, 5),
        kept=(1, 3),
    ),
    pattern(
        "an edit without a difference in its outcome goes no further",
        """
        a = 5
        ---
        b = a > 3
        ---
        c = [b] * 3
        c
        """,
        edit=(0, "a = 6"),
        cached=(0, 1, 2),
        kept=(2,),
    ),
    pattern(
        "containers of every kind",
        """
        from collections import ChainMap, Counter, OrderedDict, defaultdict, deque, namedtuple
        ---
        counts = Counter("mississippi")
        by_key = defaultdict(list)
        by_key["a"].append(1)
        ring = deque([1, 2, 3], maxlen=3)
        ordered = OrderedDict(b=1, a=2)
        ordered.move_to_end("b")
        chain = ChainMap({"a": 1}, {"b": 2})
        sets = {frozenset({1, 2}), frozenset()}
        ---
        ring.append(4)
        by_key["new"].append(2)
        print(counts.most_common(2), list(ring), dict(by_key), list(ordered), chain["b"])
        """,
        edit=(2, "ring.append(5)\nprint(list(ring))"),
        cached=(1, 2),
        probes=("by_key['probe']", "ring.maxlen", "list(ordered)"),
    ),
    pattern(
        "stdout, stderr, displays and results come back in order",
        """
        import sys
        from IPython.display import display, HTML, Markdown
        ---
        print("one")
        display(HTML("<b>two</b>"))
        print("three", file=sys.stderr)
        display(Markdown("*four*"))
        print("five", end="")
        "six"
        """,
        edit=(1, "print('only')"),
        cached=(1,),
    ),
    pattern(
        "a semicolon hides the result",
        """
        x = 41
        ---
        x + 1;
        """,
        edit=(1, "x + 1"),
    ),
    pattern(
        "several results of one cell",
        """
        from IPython.core.interactiveshell import InteractiveShell
        get_ipython().ast_node_interactivity = "all"
        ---
        1
        2
        3
        ---
        "a"
        "b"
        """,
        edit=(0, "pass"),
    ),
    pattern(
        "a name written twice",
        """
        x = 1
        ---
        y = x + 1
        ---
        x = 10
        ---
        z = x + y
        z
        """,
        edit=(0, "x = 2"),
        cached=(0, 1, 2, 3),
    ),
    pattern(
        "the same cell twice",
        """
        x = 1
        ---
        x = x * 2 + 1
        x
        ---
        x = x * 2 + 1
        x
        ---
        x = x * 2 + 1
        x
        """,
        edit=(0, "x = 3"),
        cached=(1, 2, 3),
    ),
    pattern(
        "comprehensions, walrus and match",
        """
        rows = [{"n": n, "kind": "odd" if n % 2 else "even"} for n in range(5)]
        if (count := len(rows)) > 3:
            verdict = f"{count} rows"
        ---
        match rows[1]:
            case {"kind": "odd", "n": n}:
                found = n
            case _:
                found = None
        print(verdict, found)
        """,
        edit=(1, "found = [n for n in rows if n['n'] > 2]"),
        cached=(0, 1),
        kept=(0,),
    ),
    pattern(
        "numpy of every kind",
        """
        import numpy as np
        ---
        kinds = [("i", "i4"), ("f", "f8"), ("s", "U3")]
        structured = np.array([(1, 2.5, "a"), (2, 3.5, "b")], dtype=kinds)
        objects = np.array([[1], None, "x"], dtype=object)
        times = np.array(["2024-01-01", "NaT"], dtype="datetime64[D]")
        masked = np.ma.masked_array([1, 2, 3], mask=[0, 1, 0])
        fortran = np.asfortranarray(np.arange(6).reshape(2, 3))
        empty = np.empty((0, 3))
        zero_d = np.array(3.5)
        scalar = np.float32(0.1)
        big_endian = np.arange(3, dtype=">i4")
        frozen = np.arange(3)
        frozen.flags.writeable = False
        ---
        total = structured["f"].sum() + masked.sum() + fortran.sum() + float(zero_d) + scalar
        total
        """,
        edit=(2, "total = fortran.flags.f_contiguous\ntotal"),
        cached=(1, 2),
        probes=(
            "fortran.flags.f_contiguous",
            "big_endian.dtype.byteorder",
            "frozen.flags.writeable",
        ),
    ),
    pattern(
        "huge integers, -0.0, nan and inf",
        """
        big = 10 ** 5000 % (10 ** 40 + 7)
        minus = -0.0
        values = [float("nan"), float("inf"), -0.0, 0.0, 1e-320, 2 ** 200]
        by_nan = {float("nan"): 1, 0: "zero", True: "one"}
        ---
        import math
        signs = [math.copysign(1, v) for v in values]
        print(signs, big, len(by_nan))
        """,
        edit=(0, "big = 7; minus = 0.0; values = [0.0]; by_nan = {}"),
        cached=(0,),
    ),
    pattern(
        "equal values of different types are different inputs",
        """
        x = 1
        ---
        y = [x, type(x).__name__]
        print(y)
        """,
        edit=(0, "x = True"),
        cached=(0, 1),
    ),
    pattern(
        "one and one point zero",
        """
        x = {"a": 1, "b": (2, 3)}
        ---
        y = repr(x)
        y
        """,
        edit=(0, "x = {'a': 1.0, 'b': [2, 3]}"),
        cached=(0, 1),
    ),
    pattern(
        "the order of a dict is part of it",
        """
        d = {"a": 1, "b": 2}
        ---
        first = next(iter(d))
        print(list(d))
        """,
        edit=(0, "d = {'b': 2, 'a': 1}"),
    ),
    pattern(
        "top-level await",
        """
        import asyncio
        async def later(x):
            await asyncio.sleep(0)
            return x + 1
        ---
        y = await later(1)
        y
        ---
        z = y * 2
        z
        """,
        edit=(1, "y = await later(10)\ny"),
    ),
    pattern(
        "enum, dataclass and namedtuple of the notebook",
        """
        import enum
        from dataclasses import dataclass, field
        from typing import NamedTuple
        ---
        class Colour(enum.Enum):
            RED = 1
            BLUE = 2
        @dataclass(frozen=True)
        class Pair:
            a: int
            b: list = field(default_factory=list)
        class Row(NamedTuple):
            name: str
            colour: Colour
        ---
        rows = [Row("x", Colour.RED), Row("y", Colour.BLUE)]
        pair = Pair(1)
        pair.b.append(rows[0])
        ---
        same = [row.colour is Colour.RED for row in rows]
        print(same, pair, pair.b[0] is rows[0], isinstance(rows[0], Row))
        """,
        edit=(2, "rows = [Row('z', Colour.BLUE)]\npair = Pair(2, [rows[0]])"),
        probes=("rows[0].colour is Colour.RED", "pair == Pair(1, [rows[0]])"),
    ),
]

"""Views of one memory, and frames changed in place."""

from __future__ import annotations

from tests.notebook.replay.patterns import pattern

PATTERNS = [
    pattern(
        "writing through a slice",
        """
        import numpy as np
        ---
        a = np.zeros(6)
        ---
        b = a[2:4]
        ---
        b[:] = 9
        ---
        print(a)
        """,
        edit=(2, "b = a[2:4].copy()"),
    ),
    pattern(
        "writing through a reshape",
        """
        import numpy as np
        a = np.arange(6)
        ---
        m = a.reshape(2, 3)
        ---
        m[0, 0] = 100
        ---
        total = a.sum()
        total
        """,
        edit=(2, "m[1, 2] = -1"),
    ),
    pattern(
        "writing through a transposed, diagonal and strided view",
        """
        import numpy as np
        a = np.arange(9.0).reshape(3, 3)
        ---
        t = a.T
        s = a[::2, ::-1]
        r = a.ravel()
        ---
        t[0, 2] = -1
        s[0, 0] = -2
        ---
        r[4] = 50
        print(a)
        """,
        edit=(2, "t[1, 1] = -7"),
    ),
    pattern(
        "two views of a memory without a name",
        """
        import numpy as np
        left, right = np.split(np.arange(6), 2)
        both = left.base
        ---
        evens, odds = (lambda m: (m[::2], m[1::2]))(np.arange(8))
        same = evens.base is odds.base
        ---
        left[0] = 77
        evens += 10
        print(both, same, right)
        """,
        edit=(2, "both[:] = 1\nprint(left, right)"),
    ),
    pattern(
        "overlapping views",
        """
        import numpy as np
        base = np.arange(8)
        head, tail = base[:6], base[2:]
        ---
        head[4] = 40
        ---
        tail[0] = 20
        print(head, tail)
        """,
        edit=(1, "head[5] = 50"),
    ),
    pattern(
        "a view rebound to another view of the same memory",
        """
        import numpy as np
        v = np.arange(6.0)
        w = v[2:5]
        ---
        w = w.ravel()
        ---
        w[0] = 50
        print(v)
        """,
        edit=(2, "w[1] = 60"),
    ),
    pattern(
        "views of structured arrays and reinterpreted bytes",
        """
        import numpy as np
        records = np.zeros(3, dtype=[("x", "f4"), ("n", "i4")])
        ---
        xs = records["x"]
        raw = records.view(np.uint8)
        ---
        xs[:] = [1, 2, 3]
        ---
        print(records, raw[:4])
        """,
        edit=(2, "raw[:] = 1"),
    ),
    pattern(
        "a stride trick and a broadcast",
        """
        import numpy as np
        a = np.arange(5)
        ---
        windows = np.lib.stride_tricks.sliding_window_view(a, 3, writeable=True)
        wide = np.broadcast_to(a, (2, 5))
        ---
        windows[0, 1] = 99
        print(a, wide)
        """,
        edit=(2, "a[0] = 5\nprint(windows, wide)"),
    ),
    pattern(
        "a frame changed by its methods",
        """
        import pandas as pd
        df = pd.DataFrame({"a": [3, 1, 2], "b": [1.0, 2.0, 3.0], "c": list("xyz")})
        ---
        df.sort_values("a", inplace=True)
        ---
        df.index = ["p", "q", "r"]
        ---
        del df["c"]
        ---
        df["d"] = df["a"] * 10
        ---
        df.loc["p", "b"] = -5
        ---
        df
        """,
        edit=(1, "df.sort_values('a', ascending=False, inplace=True)"),
        cached=(6,),
    ),
    pattern(
        "a frame, its alias and its copy",
        """
        import pandas as pd
        df = pd.DataFrame({"a": [1, 2]})
        same = df
        copy = df.copy()
        ---
        df["b"] = 0
        ---
        print(list(same), list(copy), same is df)
        """,
        edit=(1, "df.insert(0, 'z', 1)"),
    ),
    pattern(
        "columns of a frame taken before a change",
        """
        import pandas as pd
        df = pd.DataFrame({"a": [1, 2, 3], "b": [4, 5, 6]})
        ---
        col = df["a"]
        part = df[df["b"] > 4]
        raw = df["b"].to_numpy()
        ---
        df.loc[0, "a"] = 100
        df["b"] += 1
        ---
        print(col.tolist(), part["b"].tolist(), raw)
        """,
        edit=(2, "col.iloc[0] = 7"),
    ),
    pattern(
        "setting on a frame made from an array",
        """
        import numpy as np, pandas as pd
        a = np.arange(4.0).reshape(2, 2)
        ---
        df = pd.DataFrame(a, columns=["x", "y"], copy=False)
        s = pd.Series(a[0], copy=False)
        ---
        a[0, 0] = 99
        ---
        print(df, s.tolist())
        """,
        edit=(2, "a[1, 1] = -1"),
    ),
    pattern(
        "names of an index, attrs and flags of a frame",
        """
        import pandas as pd
        df = pd.DataFrame({"a": [1, 2]})
        ---
        df.index.name = "row"
        df.columns.name = "cols"
        df.attrs["unit"] = "m"
        ---
        print(df.index.name, df.columns.name, df.attrs)
        """,
        edit=(1, "df.index.name = 'other'"),
    ),
]

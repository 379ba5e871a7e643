"""Objects that somebody else holds too: libraries, caches, modules; and what only `is` can tell."""

from __future__ import annotations

from tests.notebook.replay.patterns import pattern

PATTERNS = [
    pattern(
        "nan is found by identity",
        """
        import numpy as np
        n = float("nan")
        ---
        values = [1.0, n, np.nan]
        table = {np.nan: "np", n: "own"}
        ---
        print(n in values, np.nan in values, values.count(n), table.get(np.nan), table.get(n))
        """,
        edit=(2, "print(np.nan in values, n in values, table.get(n), table.get(np.nan))"),
    ),
    pattern(
        "immutable values under two names",
        """
        big = 10 ** 30
        t = (1, [2])
        ---
        box = [big, t, "text " * 3]
        text = box[2]
        ---
        print(box[0] is big, box[1] is t, box[2] is text)
        """,
        edit=(2, "print(box[1] is t, box[0] is big)"),
    ),
    pattern(
        "sentinels of libraries and local modules",
        """
        from dataclasses import MISSING
        from inspect import Parameter
        from mod import NOTHING
        ---
        box = {"a": MISSING, "b": Parameter.empty, "c": NOTHING, "d": len([1])}
        ---
        print(box["a"] is MISSING, box["b"] is Parameter.empty, box["c"] is NOTHING)
        """,
        files={"mod.py": "NOTHING = object()\n"},
        edit=(2, "print(box['c'] is NOTHING, box['a'] is MISSING)"),
    ),
    pattern(
        "the environment under another name",
        """
        import os
        n = len([1])
        env = os.environ
        ---
        env["NB_ALIAS"] = "set"
        ---
        print(os.getenv("NB_ALIAS"), env is os.environ)
        """,
        edit=(1, "env['NB_ALIAS'] = 'set otherwise'"),
    ),
    pattern(
        "lists of the interpreter under other names",
        """
        import sys, warnings
        n = len([1])
        path, arguments, filters = sys.path, sys.argv, warnings.filters
        ---
        path.append("nowhere")
        arguments.append("--flag")
        ---
        print(sys.path[-1], sys.argv[-1], filters is warnings.filters)
        """,
        edit=(1, "path.append('elsewhere')"),
    ),
    pattern(
        "the global random states under other names",
        """
        import random, numpy as np
        n = len([1])
        np.random.seed(1); random.seed(1)
        state = np.random.mtrand._rand
        inst = random._inst
        ---
        a = state.rand()
        b = inst.random()
        ---
        print(a, b, np.random.rand(), random.random(), state is np.random.mtrand._rand)
        """,
        edit=(1, "a = state.rand(2)\nb = 0"),
    ),
    pattern(
        "rcParams and options under other names",
        """
        import matplotlib as mpl, pandas as pd
        n = len([1])
        rc = mpl.rcParams
        shown = pd.options.display
        ---
        rc["lines.linewidth"] = 7
        shown.max_rows = 9
        ---
        print(mpl.rcParams["lines.linewidth"], pd.options.display.max_rows, rc is mpl.rcParams)
        """,
        edit=(1, "rc['lines.linewidth'] = 8"),
    ),
    pattern(
        "the dict of a module under another name",
        """
        import mod
        n = len([1])
        inside = vars(mod)
        ---
        inside["x"] = 5
        ---
        print(mod.x, mod.read())
        """,
        files={"mod.py": "x = 1\ndef read():\n    return x\n"},
        edit=(1, "inside['x'] = 6"),
    ),
    pattern(
        "an object of a module, changed by a call whose result is kept",
        """
        import mod
        ---
        a = mod.add(1)
        ---
        b = mod.add(2)
        items = mod.items
        ---
        items.append("mine")
        ---
        print(a, b, mod.items, mod.total())
        """,
        files={
            "mod.py": "items = []\ndef add(x):\n    items.append(x)\n    return len(items)\n"
            "def total():\n    return list(items)\n"
        },
        edit=(1, "a = mod.add(10)"),
        probes=("mod.items is items",),
    ),
    pattern(
        "an object in a cache of results",
        """
        from functools import cache
        @cache
        def table(k):
            return {"k": k, "seen": []}
        ---
        t = table("a")
        ---
        t["seen"].append(1)
        ---
        print(table("a"), table("a") is t)
        """,
        edit=(2, "t['seen'].append(2)"),
    ),
    pattern(
        "lists inside object arrays and frames",
        """
        import numpy as np, pandas as pd
        arr = np.empty(2, dtype=object)
        arr[0], arr[1] = [1], [2]
        df = pd.DataFrame({"o": [[1], [2]]})
        ---
        first = arr[0]
        cell = df["o"].iloc[0]
        ---
        first.append("a")
        ---
        cell.append("b")
        ---
        print(arr.tolist(), df["o"].tolist())
        """,
        edit=(3, "cell.append('c')"),
        probes=("arr[0] is first", "df['o'].iloc[0] is cell"),
    ),
    pattern(
        "an extension array inside a series",
        """
        import pandas as pd
        raw = pd.array([1, 2, None], dtype="Int64")
        s = pd.Series(raw, copy=False)
        ---
        raw[0] = 100
        ---
        inner = s.array
        ---
        print(s.tolist(), raw, inner[0])
        """,
        edit=(1, "raw[1] = 200"),
    ),
    pattern(
        "a groupby, a rolling window and an accessor made before a change",
        """
        import pandas as pd
        df = pd.DataFrame({"k": [1, 1, 2], "v": [1.0, 2.0, 3.0]})
        ---
        groups = df.groupby("k")
        window = df["v"].rolling(2)
        ---
        df.loc[0, "v"] = 100.0
        ---
        print(groups["v"].sum().tolist(), window.sum().tolist())
        """,
        edit=(2, "df.loc[0, 'v'] = 200.0"),
    ),
    pattern(
        "attributes on frames and arrays that pickling forgets",
        """
        import pandas as pd, warnings
        warnings.simplefilter("ignore")
        df = pd.DataFrame({"a": [1]})
        ---
        df.note = "hello"
        ---
        copy = df
        print(df.note, copy.note)
        """,
        edit=(1, "df.note = 'other'"),
        probes=("df.note",),
    ),
    pattern(
        "an attribute on a frame made in the same cell",
        """
        import pandas as pd, warnings
        warnings.simplefilter("ignore")
        ---
        df = pd.DataFrame({"a": [1]})
        object.__setattr__(df, "note", [1])
        s = df["a"]
        object.__setattr__(s, "unit", "m")
        ---
        print(df.note, s.unit)
        """,
        edit=(2, "print(s.unit, df.note)"),
    ),
    pattern(
        "names with underscores and names of IPython's",
        """
        __version__ = "1." + str(len([1, 2]))
        _private = [1]
        __double = {"a": len([1])}
        ---
        exit = 3
        In_ = len([1])
        display = lambda x: print("mine", x)
        ---
        print(__version__, _private, __double, exit)
        display(5)
        """,
        edit=(0, "__version__ = '2.' + str(len([1]))\n_private = [2]\n__double = len([5])"),
    ),
    pattern(
        "display as a name of the user's, computed",
        """
        base = [1]
        ---
        display = {"x": sum(base)}
        quit = sum(base) + 1
        ---
        print(display, quit)
        """,
        edit=(0, "base = [5]"),
    ),
    pattern(
        "_i and _1 as names of the user's",
        """
        base = [4]
        ---
        _i = sum(base)
        _x1 = sum(base)
        ---
        print(_x1, In[2] == "x")
        """,
        edit=(0, "base = [6]"),
    ),
    pattern(
        "a finaliser that writes to a list",
        """
        log = []
        class L:
            def __init__(self, n): self.n = n
            def __del__(self): log.append(self.n)
        x = None
        ---
        x = L(1)
        ---
        x = len([1])
        ---
        y = [L(2)]
        y.clear()
        ---
        print(log)
        """,
        edit=(1, "x = L(10)"),
    ),
    pattern(
        "weakref.finalize",
        """
        import weakref
        log = []
        class T: pass
        t = T()
        ---
        f = weakref.finalize(t, log.append, "gone")
        ---
        t = len([1])
        ---
        print(log)
        """,
        edit=(2, "t2 = t"),
    ),
    pattern(
        "observers that write elsewhere",
        """
        log = []
        class Subject:
            def __init__(self): self.listeners = []
            def notify(self, x):
                return [f(x) for f in self.listeners]
        subject = Subject()
        subject.listeners.append(lambda x: log.append(x))
        ---
        done = subject.notify(1)
        ---
        subject.listeners.append(log.append)
        ---
        done = subject.notify(2)
        ---
        print(log, done)
        """,
        edit=(1, "done = subject.notify(10)"),
    ),
    pattern(
        "callbacks given to library functions",
        """
        import pandas as pd
        log = []
        def key(x):
            log.append(x)
            return -x
        ---
        a = sorted([1, 2], key=key)
        ---
        b = pd.Series([3, 4]).map(key).tolist()
        ---
        c = list(map(key, [5]))
        d = {x: key(x) for x in [6]}
        ---
        print(log, a, b, c, d)
        """,
        edit=(1, "a = sorted([7, 8, 9], key=key)"),
    ),
    pattern(
        "hashes, compressors and parsers hold hidden state",
        """
        import hashlib, zlib, xml.etree.ElementTree as ET, array, configparser
        h = hashlib.md5()
        z = zlib.compressobj()
        root = ET.fromstring("<a><b/></a>")
        arr = array.array("i", [1, 2])
        cfg = configparser.ConfigParser()
        ---
        h.update(b"one")
        ---
        part = z.compress(b"data")
        ---
        root[0].set("x", "1")
        child = root[0]
        ---
        arr.append(3)
        view = memoryview(arr)
        ---
        cfg["s"] = {"k": "v"}
        ---
        print(h.hexdigest(), ET.tostring(root), child is root[0], list(arr), cfg["s"]["k"])
        """,
        edit=(1, "h.update(b'two')"),
        unlike=("view",),
    ),
    pattern(
        "singledispatch filled by later cells",
        """
        from functools import singledispatch
        @singledispatch
        def show(x): return "any"
        ---
        @show.register
        def _(x: int): return "int"
        n = len([1])
        ---
        show.register(str, lambda x: "str")
        ---
        print(show(1), show("a"), show(None))
        """,
        edit=(1, "@show.register\ndef _(x: int): return 'an int'\nn = len([1])"),
        unlike=("_",),
    ),
    pattern(
        "an object put back where another cell has put another one",
        """
        state = {"current": None}
        ---
        state["current"] = [1]
        ---
        old = state["current"]
        state["current"] = [2]
        ---
        old.append(9)
        print(state, old)
        """,
        edit=(1, "state['current'] = [5]"),
    ),
    pattern(
        "a big list of dicts and a part of it",
        """
        data = [{"n": n, "sub": {"k": n}} for n in range(3000)]
        ---
        part = data[10]["sub"]
        chosen = data[5:8]
        ---
        data[10]["sub"]["k"] = "changed"
        ---
        chosen[0]["n"] = "through the slice"
        ---
        print(part, data[5]["n"])
        """,
        edit=(2, "data[10]['sub']['k'] = 'edited'"),
        probes=("data[10]['sub'] is part",),
    ),
    pattern(
        "very deep nesting",
        """
        deep = []
        for _ in range(20_000):
            deep = [deep]
        ---
        n, d = 0, deep
        while d:
            n, d = n + 1, d[0]
        print(n)
        ---
        while deep:
            deep = deep.pop()
        """,
        edit=(1, "n = 0"),
        unlike=("_",),
    ),
    pattern(
        "a chain of linked objects",
        """
        class Link:
            def __init__(self, rest): self.rest, self.value = rest, 0
        chain = None
        for _ in range(300):
            chain = Link(chain)
        ---
        chain.rest.rest.value = 5
        ---
        total, link = 0, chain
        while link:
            total, link = total + link.value, link.rest
        print(total)
        """,
        edit=(1, "chain.rest.value = 6"),
    ),
]

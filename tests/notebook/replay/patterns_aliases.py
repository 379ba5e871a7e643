"""One object under several names, and changes in place."""

from __future__ import annotations

from tests.notebook.replay.patterns import pattern

PATTERNS = [
    pattern(
        "an alias, then append",
        """
        x = [1, 2]
        ---
        y = x
        ---
        x.append(3)
        ---
        print(y, x is y)
        y
        """,
        edit=(0, "x = [7]"),
        probes=("x is y",),
    ),
    pattern(
        "an alias made and changed in one cell",
        """
        x = {"a": [1]}
        ---
        y = x["a"]
        y.append(2)
        ---
        y.append(3)
        print(x)
        """,
        edit=(1, "y = list(x['a'])\ny.append(2)"),
        probes=("x['a'] is y",),
    ),
    pattern(
        "one object or two equal ones",
        """
        a = [0]
        b = a
        ---
        a.append(1)
        ---
        print(a, b)
        """,
        edit=(0, "a = [0]\nb = [0]"),
    ),
    pattern(
        "one object twice in a container",
        """
        row = [0]
        grid = [row, row]
        ---
        grid[0].append(1)
        ---
        print(grid, row)
        """,
        edit=(0, "row = [0]\ngrid = [row, [0]]"),
    ),
    pattern(
        "a method that changes its object and returns nothing",
        """
        class Posterior:
            def __init__(self, weights):
                self.weights = list(weights)
            def normalize(self):
                total = sum(self.weights)
                self.weights = [w / total for w in self.weights]
        ---
        posterior = Posterior([1, 3])
        ---
        posterior.normalize()
        ---
        print(posterior.weights)
        """,
        edit=(1, "posterior = Posterior([1, 1])"),
    ),
    pattern(
        "model.fit stored nowhere",
        """
        import numpy as np
        class Model:
            def fit(self, x, y):
                self.coef_ = float((x * y).sum() / (x * x).sum())
                return self
            def predict(self, x):
                return self.coef_ * x
        ---
        x = np.array([1.0, 2.0, 3.0]); y = 2 * x
        model = Model()
        ---
        model.fit(x, y)
        ---
        model.predict(10)
        """,
        edit=(1, "x = np.array([1.0, 2.0]); y = 5 * x\nmodel = Model()"),
    ),
    pattern(
        "a function that sorts its argument",
        """
        def median(values):
            values.sort()
            return values[len(values) // 2]
        ---
        data = [3, 1, 2]
        ---
        m = median(data)
        ---
        print(data, m)
        """,
        edit=(1, "data = [9, 8, 7, 6, 5]"),
    ),
    pattern(
        "a function that changes its argument deep inside",
        """
        def tidy(d):
            inner(d["rows"])
        def inner(rows):
            rows.pop()
            rows[0]["seen"] = True
        ---
        d = {"rows": [{}, {}, {}]}
        first = d["rows"][0]
        ---
        tidy(d)
        ---
        print(d, first)
        """,
        edit=(2, "tidy(d); tidy(d)"),
    ),
    pattern(
        "augmented assignment: of a list in place, of a tuple anew",
        """
        a = [1]
        t = (1,)
        ---
        b, u = a, t
        ---
        a += [2]
        t += (2,)
        ---
        print(b, u, a is b, t is u)
        """,
        edit=(2, "a = a + [2]\nt = t + (2,)"),
        probes=("a is b",),
    ),
    pattern(
        "augmented assignment of arrays",
        """
        import numpy as np
        a = np.ones(3)
        b = a
        ---
        a += 1
        ---
        a = a + 1
        ---
        print(a, b, a is b)
        """,
        edit=(2, "a *= 3"),
    ),
    pattern(
        "dict views follow their dict",
        """
        d = {"a": 1}
        keys = d.keys()
        items = d.items()
        ---
        d["b"] = 2
        ---
        print(list(keys), list(items))
        """,
        edit=(1, "d['c'] = 3"),
    ),
    pattern(
        "bytearray and memoryview",
        """
        buffer = bytearray(b"hello")
        window = memoryview(buffer)[1:3]
        ---
        window[0] = 65
        ---
        print(bytes(buffer), bytes(window))
        """,
        edit=(1, "window[1] = 66"),
    ),
    pattern(
        "a memoryview of an array",
        """
        import numpy as np
        a = np.arange(4, dtype="u1")
        view = memoryview(a)
        ---
        b = np.frombuffer(view, dtype="u1")
        a[0] = 200
        ---
        print(b, view[0])
        """,
        edit=(1, "b = np.frombuffer(view, dtype='u1')\na[1] = 7"),
    ),
    pattern(
        "a list inside a tuple",
        """
        t = ([1], "x")
        ---
        inner = t[0]
        ---
        inner.append(2)
        ---
        print(t, {t[1]: t})
        """,
        edit=(2, "t[0].append(9)"),
        probes=("t[0] is inner",),
    ),
    pattern(
        "cycles",
        """
        a = []
        a.append(a)
        d = {"me": None, "a": a}
        d["me"] = d
        ---
        a.append(d)
        ---
        print(a, d, a[0] is a, d["me"] is d, a[1] is d)
        """,
        edit=(1, "a.insert(0, 5)"),
    ),
    pattern(
        "objects that refer to each other",
        """
        class Node:
            def __init__(self, name, parent=None):
                self.name, self.parent, self.children = name, parent, []
                if parent:
                    parent.children.append(self)
        ---
        root = Node("root")
        ---
        leaf = Node("leaf", root)
        ---
        other = Node("other", leaf.parent)
        ---
        print([c.name for c in root.children], leaf.parent is root)
        """,
        edit=(3, "other = Node('other', leaf)"),
        probes=("leaf.parent is root", "root.children[0] is leaf"),
    ),
    pattern(
        "an object and a bound method of it",
        """
        stack = []
        push = stack.append
        ---
        push(1)
        ---
        push(2)
        print(stack)
        """,
        edit=(1, "push(10)"),
        probes=("push.__self__ is stack",),
    ),
    pattern(
        "deleting",
        """
        x, y, z = 1, [2], 3
        ---
        del x
        ---
        del y[0], z
        ---
        print("x" in dir(), y)
        """,
        edit=(1, "x = 5"),
    ),
    pattern(
        "a name deleted and made again",
        """
        x = 1
        ---
        del x
        ---
        try:
            x
        except NameError as error:
            text = str(error)
        print(text)
        ---
        x = 2
        x
        """,
        edit=(1, "y = 0"),
    ),
    pattern(
        "in-place functions of libraries",
        """
        import heapq, bisect, numpy as np
        heap, sorted_, arr = [5, 3], [1, 4], np.array([3, 1, 2])
        ---
        heapq.heapify(heap); heapq.heappush(heap, 1)
        bisect.insort(sorted_, 2)
        np.put(arr, [0], [9]); arr.sort(); np.copyto(arr[:1], [0])
        ---
        np.add(arr, 1, out=arr)
        ---
        print(heap, sorted_, arr)
        """,
        edit=(1, "heapq.heapify(heap)"),
    ),
    pattern(
        "random.shuffle of a list",
        """
        import random
        random.seed(3)
        deck = list(range(8))
        ---
        random.shuffle(deck)
        ---
        print(deck)
        """,
        edit=(0, "import random\nrandom.seed(4)\ndeck = list(range(8))"),
    ),
    pattern(
        "an attribute set from outside, by setattr and vars",
        """
        class Box: pass
        box = Box()
        also = box
        ---
        box.a = 1
        setattr(box, "b", 2)
        vars(box)["c"] = 3
        ---
        print(vars(also))
        """,
        edit=(1, "box.a = 10"),
    ),
    pattern(
        "a property setter changes another object",
        """
        log = []
        class Watched:
            @property
            def value(self):
                return self._value
            @value.setter
            def value(self, new):
                log.append(new)
                self._value = new
        w = Watched()
        ---
        w.value = 1
        ---
        w.value = 2
        ---
        print(log, w.value)
        """,
        edit=(1, "w.value = 5"),
    ),
    pattern(
        "reading changes: a property and __getattr__ that count",
        """
        class Counting:
            n = 0
            @property
            def seen(self):
                self.n += 1
                return self.n
            def __getattr__(self, name):
                if name.startswith("_"):
                    raise AttributeError(name)
                self.__dict__.setdefault("asked", []).append(name)
                return name
        c = Counting()
        ---
        c.seen
        ---
        c.thing
        ---
        print(c.n, c.seen, c.asked)
        """,
        edit=(1, "c.seen + c.seen"),
    ),
    pattern(
        "a defaultdict changed by reading it",
        """
        from collections import defaultdict
        d = defaultdict(lambda: [0])
        ---
        d["a"]
        ---
        d["b"].append(1)
        ---
        print(dict(d))
        """,
        edit=(1, "d['z']"),
        probes=("d['probe']",),
    ),
    pattern(
        "a memory map",
        """
        import numpy as np
        m = np.memmap("data.bin", dtype="u1", mode="w+", shape=(4,))
        ---
        m[0] = 7
        m.flush()
        ---
        print(open("data.bin", "rb").read(), m[0])
        """,
        edit=(1, "m[1] = 8\nm.flush()"),
        has_disk=True,
    ),
    pattern(
        "objects with slots",
        """
        class Slotted:
            __slots__ = ("a", "b")
        s = Slotted()
        s.a = [1]
        shared = s.a
        ---
        s.b = shared
        ---
        s.b.append(2)
        print(s.a, shared)
        """,
        edit=(1, "s.b = list(shared)"),
        probes=("s.a is shared",),
    ),
    pattern(
        "a sentinel",
        """
        MISSING = object()
        ---
        values = {"a": MISSING, "b": 1}
        ---
        holes = [k for k, v in values.items() if v is MISSING]
        print(holes)
        """,
        edit=(1, "values = {'a': MISSING, 'c': MISSING}"),
        probes=("values['a'] is MISSING",),
    ),
    pattern(
        "swapping names",
        """
        a, b = [1], [2]
        c = a
        ---
        a, b = b, a
        ---
        a.append(0)
        print(a, b, c, b is c)
        """,
        edit=(1, "pass"),
        probes=("b is c",),
    ),
    pattern(
        "objects in sets",
        """
        class Key:
            def __init__(self, n): self.n = n
            def __hash__(self): return self.n
            def __eq__(self, other): return self.n == other.n
        ---
        k = Key(1)
        pool = {k, Key(2)}
        ---
        k.label = "changed"
        ---
        print(sorted((x.n, getattr(x, "label", None)) for x in pool))
        """,
        edit=(2, "k.label = 'other'"),
    ),
    pattern(
        "dict keys that are changed objects",
        """
        class K: pass
        k = K()
        d = {k: 1}
        ---
        k.note = "n"
        ---
        print([(x.note, v) for x, v in d.items()], k in d)
        """,
        edit=(1, "k.note = 'm'"),
        probes=("next(iter(d)) is k",),
    ),
    pattern(
        "a cached value that another name changes later",
        """
        base = list(range(3))
        ---
        nested = {"base": base, "copy": base[:]}
        ---
        base.append(99)
        ---
        base.clear()
        ---
        nested
        """,
        edit=(2, "base.append(98)"),
    ),
    pattern(
        "undone by a later cell",
        """
        x = [1]
        ---
        x.append(2)
        ---
        x.pop()
        ---
        x.append(2)
        ---
        x.pop()
        ---
        print(x)
        """,
        edit=(2, "pass"),
    ),
    pattern(
        "the display of an object changed later",
        """
        class Shown:
            text = "before"
            def _repr_html_(self):
                return f"<i>{self.text}</i>"
        s = Shown()
        s
        ---
        s.text = "after"
        ---
        s
        """,
        edit=(1, "Shown.text = 'of the class'"),
    ),
]

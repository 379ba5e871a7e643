"""Functions and closures: what they see, hold and share."""

from __future__ import annotations

from tests.notebook.replay.patterns import pattern

PATTERNS = [
    pattern(
        "a function reads a global that is rebound later",
        """
        rate = 2
        def f(x):
            return x * rate
        ---
        a = f(10)
        ---
        rate = 3
        ---
        b = f(10)
        print(a, b)
        """,
        edit=(2, "rate = 30"),
        probes=("f(1)", "f.__globals__ is globals()"),
    ),
    pattern(
        "a function reads a global that is changed in place",
        """
        table = {"k": 1}
        ---
        def look(k):
            return table.get(k)
        ---
        first = look("k")
        ---
        table["k"] = 2
        ---
        second = look("k")
        print(first, second)
        """,
        edit=(3, "table['k'] = 5"),
        probes=("look('k')",),
    ),
    pattern(
        "a function called before and after its redefinition",
        """
        def f(): return "old"
        ---
        a = f()
        g = f
        ---
        def f(): return "new"
        ---
        b = f()
        print(a, b, g())
        """,
        edit=(2, "def f(): return 'newer'"),
        probes=("f()", "g()"),
    ),
    pattern(
        "recursion between functions of different cells",
        """
        def even(n):
            return True if n == 0 else odd(n - 1)
        ---
        def odd(n):
            return False if n == 0 else even(n - 1)
        ---
        r = even(10), odd(7)
        r
        """,
        edit=(1, "def odd(n):\n    return 'edited' if n == 0 else even(n - 1)"),
        cached=(2,),
        probes=("even(3)",),
    ),
    pattern(
        "global in a callee",
        """
        count = 0
        def tick():
            global count
            count += 1
        ---
        tick()
        ---
        tick()
        tick()
        ---
        print(count)
        """,
        edit=(1, "tick(); tick()"),
        probes=("tick() or count",),
    ),
    pattern(
        "a global made in a callee, two calls deep",
        """
        def outer():
            inner()
        def inner():
            global made
            made = [1]
        ---
        outer()
        ---
        made.append(2)
        print(made)
        """,
        edit=(0, "def outer():\n    inner()\ndef inner():\n    global made\n    made = [9]"),
    ),
    pattern(
        "globals() written to",
        """
        for i in range(3):
            globals()[f"var_{i}"] = i * 10
        ---
        print(var_0, var_2)
        """,
        edit=(0, "for i in range(3):\n    globals()[f'var_{i}'] = i"),
    ),
    pattern(
        "mutable defaults",
        """
        def collect(x, into=[]):
            into.append(x)
            return into
        ---
        a = collect(1)
        ---
        b = collect(2)
        ---
        print(a, b, a is b, collect.__defaults__)
        """,
        edit=(1, "a = collect(100)"),
        probes=("collect(3)",),
    ),
    pattern(
        "an attribute of a function",
        """
        def f():
            f.calls += 1
            return f.calls
        f.calls = 0
        ---
        f()
        ---
        f()
        ---
        print(f.calls)
        """,
        edit=(1, "f(); f()"),
    ),
    pattern(
        "the contents of an lru_cache",
        """
        from functools import lru_cache
        log = []
        @lru_cache(maxsize=None)
        def slow(x):
            log.append(x)
            return x * 2
        ---
        a = slow(1)
        ---
        b = slow(1) + slow(2)
        ---
        print(log, slow.cache_info())
        """,
        edit=(1, "a = slow(2)"),
    ),
    pattern(
        "fib with a memo",
        """
        memo = {}
        def fib(n):
            if n not in memo:
                memo[n] = n if n < 2 else fib(n - 1) + fib(n - 2)
            return memo[n]
        ---
        fib(10)
        ---
        print(len(memo))
        """,
        edit=(1, "fib(20)"),
    ),
    pattern(
        "closures over a loop variable",
        """
        fs = [lambda: i for i in range(3)]
        gs = [lambda i=i: i for i in range(3)]
        ---
        print([f() for f in fs], [g() for g in gs])
        ---
        hs = []
        for k in range(3):
            hs.append(lambda: k)
        ---
        k = 100
        print([h() for h in hs])
        """,
        edit=(0, "fs = [lambda: -i for i in range(4)]\ngs = []"),
    ),
    pattern(
        "two closures share a nonlocal",
        """
        def make():
            n = 0
            def up():
                nonlocal n
                n += 1
                return n
            def show():
                return n
            return up, show
        up, show = make()
        ---
        up()
        ---
        print(show())
        ---
        up(); up()
        ---
        print(show())
        """,
        edit=(1, "up(); up(); up()"),
        probes=("up()", "up.__closure__[0] is show.__closure__[0]"),
    ),
    pattern(
        "closures sharing a cell, made in one cell and used in others",
        """
        def account(balance):
            history = []
            def deposit(x):
                nonlocal balance
                balance += x
                history.append(balance)
            return deposit, lambda: balance, history
        ---
        deposit, balance, history = account(10)
        ---
        deposit(5)
        ---
        print(balance(), history)
        """,
        edit=(2, "deposit(50)"),
    ),
    pattern(
        "a partial, a method and a lambda in a dict",
        """
        from functools import partial
        log = []
        def record(tag, x):
            log.append((tag, x))
            return len(log)
        ops = {"p": partial(record, "p"), "l": lambda x: record("l", x), "m": log.append}
        ---
        ops["p"](1)
        ---
        ops["l"](2)
        ---
        ops["m"]("direct")
        ---
        print(log)
        """,
        edit=(1, "ops['p'](10)"),
    ),
    pattern(
        "a decorator that counts and wraps",
        """
        import functools
        calls = []
        def logged(fn):
            @functools.wraps(fn)
            def wrapper(*a):
                calls.append(fn.__name__)
                return fn(*a)
            return wrapper
        ---
        @logged
        def add(a, b):
            return a + b
        ---
        x = add(1, 2)
        ---
        print(x, calls, add.__wrapped__(1, 1))
        """,
        edit=(2, "x = add(1, 2) + add(3, 4)"),
    ),
    pattern(
        "a registry filled by a decorator",
        """
        registry = {}
        def register(fn):
            registry[fn.__name__] = fn
            return fn
        ---
        @register
        def first(): return 1
        ---
        @register
        def second(): return 2
        ---
        print(sorted(registry), registry["first"]())
        """,
        edit=(1, "@register\ndef other(): return 10\nregistry['first'] = other"),
        probes=("registry['second'] is second",),
    ),
    pattern(
        "the source of a restored function",
        """
        def f(x):
            # a comment inside
            return x + 1
        class C:
            def m(self): return 2
        ---
        import inspect
        src = inspect.getsource(f)
        print(src)
        ---
        print(inspect.getsource(C.m))
        """,
        edit=(
            0,
            (
                "def f(x):\n    # another comment\n    return x + 1\n"
                "class C:\n    def m(self): return 3"
            ),
        ),
    ),
    pattern(
        "docstrings that are read",
        '''
        def f():
            """Says one thing."""
        ---
        text = f.__doc__
        print(text)
        ''',
        edit=(0, 'def f():\n    """Says another thing."""'),
    ),
    pattern(
        "line numbers that are read",
        """
        import inspect
        def where():
            return inspect.currentframe().f_back.f_lineno
        ---
        n = where()
        print(n)
        """,
        edit=(1, "# pushed down\n\nn = where()\nprint(n)"),
    ),
    pattern(
        "annotations that are read",
        """
        from dataclasses import dataclass, fields
        @dataclass
        class D:
            a: int
            b: str = "x"
        ---
        names = [(f.name, f.type) for f in fields(D)]
        print(names)
        """,
        edit=(
            0,
            (
                "from dataclasses import dataclass, fields\n@dataclass\nclass D:\n    a: float\n"
                "    c: str = 'y'"
            ),
        ),
    ),
    pattern(
        "annotations of a function that are read",
        """
        def f(x: int) -> str: ...
        ---
        print(f.__annotations__)
        """,
        edit=(0, "def f(x: float) -> bytes: ..."),
    ),
    pattern(
        "a function made by exec, and one by types",
        """
        import types
        exec("def made(x):\\n    return x + offset")
        offset = 10
        ---
        other = types.FunctionType(made.__code__, globals(), "other")
        apart = types.FunctionType(made.__code__, {"offset": 1000})
        ---
        print(made(1), other(2), apart(3))
        ---
        offset = 20
        print(made(1), other(2), apart(3))
        """,
        edit=(3, "offset = 30\nprint(made(1), other(2), apart(3))"),
    ),
    pattern(
        "a function whose code is replaced",
        """
        def f(): return 1
        def g(): return 2
        alias = f
        ---
        f.__code__ = g.__code__
        ---
        print(alias(), f())
        ---
        f.__defaults__ = None
        f.__name__ = "renamed"
        print(alias.__name__)
        """,
        edit=(1, "pass"),
        probes=("alias()",),
    ),
    pattern(
        "a method of an instance replaced",
        """
        class A:
            def m(self): return "class"
        a = A()
        ---
        a.m = lambda: "instance"
        ---
        print(a.m(), A().m())
        ---
        A.m = lambda self: "patched class"
        print(a.m(), A().m())
        """,
        edit=(1, "pass"),
    ),
    pattern(
        "a class swapped under an instance",
        """
        class A:
            kind = "a"
        class B:
            kind = "b"
        x = A()
        ---
        x.__class__ = B
        ---
        print(x.kind)
        """,
        edit=(1, "pass"),
    ),
    pattern(
        "a namespace object and a nested class",
        """
        import types
        ns = types.SimpleNamespace(a=1, sub=types.SimpleNamespace(b=[2]))
        class Outer:
            class Inner:
                value = 3
        ---
        ns.sub.b.append(ns)
        inner = Outer.Inner()
        ---
        print(ns.sub.b[1] is ns, inner.value, type(inner).__qualname__)
        """,
        edit=(1, "ns.sub.b.append(1)\ninner = Outer.Inner()\nns.sub.b.append(2)"),
        probes=("type(inner) is Outer.Inner",),
    ),
    pattern(
        "a local class and a function-made class",
        """
        def make(n):
            class Local:
                value = n
                def get(self): return self.value + extra
            return Local
        extra = 1
        ---
        L = make(5)
        x = L()
        ---
        extra = 2
        ---
        print(x.get(), type(x) is L)
        """,
        edit=(2, "extra = 3"),
        probes=("type(x) is L",),
    ),
    pattern(
        "a generic class and a type alias",
        """
        from typing import Generic, TypeVar, Protocol
        T = TypeVar("T")
        class Stack(Generic[T]):
            def __init__(self): self.items: list[T] = []
            def push(self, x: T) -> None: self.items.append(x)
        ---
        s = Stack[int]()
        ---
        s.push(1)
        ---
        print(s.items, s.__orig_class__)
        """,
        edit=(2, "s.push(2)"),
    ),
    pattern(
        "a subclass of dict, list, int, str and array",
        """
        import numpy as np
        class D(dict):
            def __missing__(self, k): self[k] = k; return k
        class L(list): pass
        class I(int): pass
        class S(str): pass
        class A(np.ndarray): pass
        ---
        d, l, i, s = D(a=1), L([1]), I(5), S("x")
        l.extra = [1]; i.tag = "t"; s.tag = "u"
        a = np.zeros(2).view(A)
        a.unit = "m"
        ---
        d["new"]
        l.append(l.extra)
        ---
        print(d, l, i.tag, s.tag, type(a).__name__, getattr(a, "unit", None))
        """,
        edit=(2, "d['other']"),
        probes=("l[1] is l.extra if len(l) > 1 else None",),
    ),
    pattern(
        "getattr and functions found by name",
        """
        def step_one(x): return x + 1
        def step_two(x): return x * 2
        ---
        steps = ["step_one", "step_two"]
        ---
        v = 3
        for name in steps:
            v = globals()[name](v)
        print(v)
        """,
        edit=(0, "def step_one(x): return x + 10\ndef step_two(x): return x * 20"),
    ),
    pattern(
        "a function of a local module that is edited between runs",
        """
        from mod import helper
        ---
        y = helper(2)
        y
        ---
        z = y + 1
        z
        """,
        files={
            "mod.py": "FACTOR = 3\ndef inner(x):\n    return x * FACTOR\n"
            "def helper(x):\n    return inner(x)\n"
        },
        cached=(1, 2),
    ),
    pattern(
        "calls through a callable object and operator",
        """
        class Acc:
            def __init__(self): self.total = 0
            def __call__(self, x):
                self.total += x
                return self.total
            def __iadd__(self, x):
                self.total += x * 100
                return self
            def __setitem__(self, k, v): self.total += v
            def __lshift__(self, x): self.total += x; return self
            def __enter__(self): self.total += 7
            def __exit__(self, *a): pass
            def __contains__(self, x): self.total += 1; return True
            def __iter__(self): self.total += 1; return iter([])
            def __lt__(self, o): self.total += 1; return True
        acc = Acc()
        ---
        a = acc(1)
        ---
        acc += 1
        ---
        acc["k"] = 5
        ---
        acc << 3
        ---
        with acc:
            pass
        ---
        t = 1 in acc
        list(acc)
        u = acc < 2
        ---
        print(acc.total)
        """,
        edit=(1, "a = acc(1000)"),
    ),
]

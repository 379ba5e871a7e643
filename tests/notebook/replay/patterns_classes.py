"""Classes and instances: redefined, patched, counted, pickled and compared in odd ways."""

from __future__ import annotations

from tests.notebook.replay.patterns import pattern

PATTERNS = [
    pattern(
        "a class redefined with live instances",
        """
        class A:
            def who(self): return "first"
        ---
        a = A()
        ---
        class A:
            def who(self): return "second"
        ---
        b = A()
        print(a.who(), b.who(), isinstance(a, A), isinstance(b, A), type(a).__name__)
        """,
        edit=(2, "class A:\n    def who(self): return 'third'"),
        probes=("a.who()", "b.who()", "isinstance(a, A)"),
    ),
    pattern(
        "super() and inheritance over cells",
        """
        class Base:
            def __init__(self, x):
                self.x = x
            def describe(self):
                return f"{type(self).__name__}({self.x})"
        ---
        class Child(Base):
            def __init__(self, x):
                super().__init__(x * 2)
            def describe(self):
                return "child of " + super().describe()
        ---
        c = Child(4)
        ---
        c.describe()
        """,
        edit=(
            0,
            (
                "class Base:\n    def __init__(self, x):\n        self.x = -x\n"
                "    def describe(self):\n        return 'edited'"
            ),
        ),
        probes=("c.describe()", "isinstance(c, Base)", "Child(1).describe()"),
    ),
    pattern(
        "a method added to a class later",
        """
        class A:
            def __init__(self): self.n = 1
        a = A()
        ---
        def double(self):
            self.n *= 2
            return self
        A.double = double
        ---
        a.double().double()
        ---
        print(a.n)
        """,
        edit=(1, "def double(self):\n    self.n *= 20\n    return self\nA.double = double"),
    ),
    pattern(
        "class attributes that count instances",
        """
        class Counted:
            n = 0
            everyone = []
            def __init__(self):
                Counted.n += 1
                Counted.everyone.append(self)
        ---
        a = Counted()
        ---
        b = [Counted() for _ in range(2)]
        ---
        print(Counted.n, len(Counted.everyone), Counted.everyone[0] is a)
        """,
        edit=(1, "a = Counted(); Counted()"),
        probes=("Counted.everyone[-1] is b[-1]",),
    ),
    pattern(
        "subclasses register themselves",
        """
        class Plugin:
            registry = []
            def __init_subclass__(cls):
                Plugin.registry.append(cls.__name__)
        ---
        class One(Plugin): pass
        ---
        class Two(Plugin): pass
        ---
        print(Plugin.registry, [c.__name__ for c in Plugin.__subclasses__()])
        """,
        edit=(1, "class Uno(Plugin): pass"),
    ),
    pattern(
        "a singleton",
        """
        class Singleton:
            _it = None
            def __new__(cls):
                if cls._it is None:
                    cls._it = super().__new__(cls)
                    cls._it.items = []
                return cls._it
        ---
        a = Singleton()
        a.items.append(1)
        ---
        b = Singleton()
        b.items.append(2)
        print(a is b, a.items)
        """,
        edit=(1, "a = Singleton()\na.items.append(5)"),
        probes=("Singleton() is a",),
    ),
    pattern(
        "a metaclass and an abstract class",
        """
        import abc
        class Meta(type):
            made = []
            def __new__(mcls, name, bases, ns):
                cls = super().__new__(mcls, name, bases, ns)
                mcls.made.append(name)
                return cls
        class Shape(abc.ABC):
            @abc.abstractmethod
            def area(self): ...
        ---
        class M(metaclass=Meta): pass
        class Square(Shape):
            def area(self): return 4
        ---
        s = Square()
        print(Meta.made, s.area(), isinstance(s, Shape))
        ---
        Shape.register(int)
        ---
        print(isinstance(3, Shape))
        """,
        edit=(
            1,
            "class N(metaclass=Meta): pass\nclass Square(Shape):\n    def area(self): return 9",
        ),
    ),
    pattern(
        "descriptors, cached_property and class methods",
        """
        import functools
        class Typed:
            def __set_name__(self, owner, name): self.name = "_" + name
            def __get__(self, obj, owner=None):
                return self if obj is None else getattr(obj, self.name)
            def __set__(self, obj, value): setattr(obj, self.name, int(value))
        class T:
            x = Typed()
            made = 0
            @functools.cached_property
            def costly(self):
                type(self).made += 1
                return self.x * 2
            @classmethod
            def build(cls, v):
                t = cls(); t.x = v
                return t
        ---
        t = T.build("5")
        ---
        t.costly
        ---
        print(t.x, t.costly, T.made, vars(t))
        """,
        edit=(1, "t = T.build('6')"),
    ),
    pattern(
        "__del__ that is seen",
        """
        class Loud:
            def __init__(self, name): self.name = name
            def __del__(self): print("bye", self.name)
        ---
        x = Loud("x")
        ---
        x = None
        ---
        y = Loud("y")
        del y
        """,
        edit=(1, "x = Loud('edited')"),
    ),
    pattern(
        "weak references",
        """
        import weakref
        class Thing: pass
        t = Thing()
        ---
        r = weakref.ref(t)
        d = weakref.WeakValueDictionary(t=t)
        s = weakref.WeakSet([t])
        ---
        print(r() is t, "t" in d, len(s))
        ---
        del t
        ---
        print(r(), len(d), len(s))
        """,
        edit=(1, "r = weakref.ref(t)\nd, s = {}, []"),
    ),
    pattern(
        "hooks of pickling and copying",
        """
        import copy
        class Half:
            def __init__(self): self.kept, self.dropped = 1, 2
            def __getstate__(self): return {"kept": self.kept}
        class Reduced:
            def __init__(self, n): self.n = n
            def __reduce__(self): return (Reduced, (self.n + 100,))
        class Copied:
            n = 0
            def __copy__(self):
                c = Copied(); c.n = self.n + 1
                return c
        ---
        h, r, c = Half(), Reduced(1), Copied()
        ---
        h.dropped = 3
        c2 = copy.copy(c)
        ---
        print(h.dropped, r.n, c2.n)
        """,
        edit=(1, "h, r, c = Half(), Reduced(2), Copied()"),
        probes=("vars(h)", "r.n"),
    ),
    pattern(
        "pickling that changes the object, or fails, or lies",
        """
        class Changing:
            pickled = 0
            def __reduce_ex__(self, protocol):
                Changing.pickled += 1
                return object.__reduce_ex__(self, protocol)
        class Failing:
            def __reduce__(self): raise TypeError("no")
        class Lying:
            def __init__(self): self.real = [1]
            def __reduce__(self): return (str, ("something else",))
        ---
        c, f, l = Changing(), Failing(), Lying()
        ---
        l.real.append(2)
        ---
        print(Changing.pickled, type(l).__name__, l.real)
        """,
        edit=(2, "l.real.append(3)"),
    ),
    pattern(
        "equality and hashes that lie or raise",
        """
        class Equal:
            def __init__(self, n): self.n = n
            def __eq__(self, other): return True
            def __hash__(self): return 1
            def __repr__(self): return f"Equal({self.n})"
        class Raising:
            def __eq__(self, other): raise RuntimeError("no comparing")
            __hash__ = None
            def __bool__(self): raise RuntimeError("no truth")
            def __len__(self): raise RuntimeError("no length")
        ---
        e = Equal(1)
        r = [Raising()]
        ---
        old = e
        e = Equal(2)
        ---
        print(old, e, len(r))
        """,
        edit=(1, "e = Equal(5)\nr = [Raising(), Raising()]"),
    ),
    pattern(
        "a repr that changes its object",
        """
        class Shy:
            shown = 0
            def __repr__(self):
                self.shown += 1
                return f"shown {self.shown} times"
        s = Shy()
        ---
        s
        ---
        s
        ---
        print(s.shown)
        """,
        edit=(1, "print(s, s)"),
    ),
    pattern(
        "a context manager that changes state",
        """
        from contextlib import contextmanager
        stack = []
        @contextmanager
        def pushed(x):
            stack.append(x)
            try:
                yield stack
            finally:
                stack.append(-x)
        ---
        with pushed(1) as s:
            seen = list(s)
        ---
        print(stack, seen)
        ---
        manager = pushed(2)
        manager.__enter__()
        ---
        manager.__exit__(None, None, None)
        print(stack)
        """,
        edit=(1, "with pushed(7) as s:\n    seen = list(s)"),
    ),
    pattern(
        "exceptions kept in variables",
        """
        def risky(x):
            return 1 / x
        kept = None
        ---
        try:
            risky(0)
        except ZeroDivisionError as e:
            kept = e
        ---
        print(type(kept).__name__, kept.args, kept.__traceback__ is not None)
        ---
        kept.note = ["n"]
        kept.add_note("more")
        print(kept.__notes__)
        """,
        edit=(1, "try:\n    [][1]\nexcept IndexError as e:\n    kept = e"),
    ),
    pattern(
        "a cell that fails half way",
        """
        x, log = 1, []
        ---
        x = 2
        log.append("before")
        y = 1 / 0
        log.append("after")
        ---
        print(x, log, "y" in dir())
        ---
        log.append(x)
        print(log)
        """,
        edit=(1, "x = 3\nlog.append('no error')\ny = 1"),
        never=(1,),
    ),
    pattern(
        "sys.exit, KeyboardInterrupt and a syntax error",
        """
        import sys
        x = 1
        ---
        x = 2
        sys.exit("enough")
        ---
        x += 1
        raise KeyboardInterrupt
        ---
        x = = 3
        ---
        print(x)
        """,
        edit=(1, "x = 20"),
        never=(1, 2, 3),
    ),
    pattern(
        "an exception in a function called by another cell",
        """
        def check(v):
            if v > 2:
                raise ValueError(f"{v} is too much")
            return v
        ---
        total = 0
        for v in range(5):
            total += check(v)
        ---
        print(total)
        """,
        edit=(0, "def check(v):\n    return v"),
    ),
]

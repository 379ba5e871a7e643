"""Random cells over a few names, such that cells meet the same names in many states."""

from __future__ import annotations

from hypothesis import strategies as st

#: The first cell of every notebook. What it makes, the other cells share, change and lose.
PRELUDE = """\
import random
import numpy as np
import pandas as pd
random.seed(1); np.random.seed(1)
rng = np.random.default_rng(1)
n, m = 2, 5
a, b = [1, 2], [3]
v = np.arange(6.0)
w = v[2:5]
df = pd.DataFrame({"k": [0, 1, 0], "x": [1.0, 2.0, 3.0]})
s = {"one": a, "two": [4]}
it = iter(range(100))
class Counter:
    made = 0
    def __init__(self, items):
        Counter.made += 1
        self.items = items
    def bump(self):
        self.items.append(len(self.items))
        return self
    def __repr__(self):
        return f"Counter({self.items})"
c = Counter(a)
def f(x=[0]):
    x.append(n)
    return len(x) + n
def make():
    total = 0
    def add(k):
        nonlocal total
        total += k
        return total
    return add, lambda: total
add, show = make()
"""

_NUMBERS = st.sampled_from(["n", "m", "1", "7", "len(a)", "c.made", "a[-1]", "int(v.sum())"])
_LISTS = st.sampled_from(["a", "b", "c.items", "s['one']", "s['two']"])
_ARRAYS = st.sampled_from(["v", "w", "v[::2]", "v.reshape(2, 3)", "df['x'].to_numpy()"])
_TEMPLATES: list[tuple[str, tuple[st.SearchStrategy[str], ...]]] = [
    # names and aliases
    ("n = {}", (_NUMBERS,)),
    ("m = n + {}", (_NUMBERS,)),
    ("n += {}", (_NUMBERS,)),
    ("a = {}", (_LISTS,)),
    ("b = {}", (_LISTS,)),
    ("b = list({})", (_LISTS,)),
    ("a, b = b, a", ()),
    ("a = [{}, {}]", (_NUMBERS, _NUMBERS)),
    ("s['one'] = {}", (_LISTS,)),
    ("s = dict(s, two={})", (_LISTS,)),
    ("pair = ({}, {})", (_LISTS, _LISTS)),
    ("pair[0].append({})", (_NUMBERS,)),
    ("del {}", (st.sampled_from(["a", "b", "pair", "w", "s['two']", "a[0]", "g", "df['y']"]),)),
    # changes in place
    ("{}.append({})", (_LISTS, _NUMBERS)),
    ("{}.extend({})", (_LISTS, _LISTS)),
    ("{}.sort(key=str)", (_LISTS,)),
    ("{}.clear()", (_LISTS,)),
    ("a += [{}]", (_NUMBERS,)),
    ("b[:] = {}", (_LISTS,)),
    # arrays and views
    ("v = np.arange(6.0) * {}", (_NUMBERS,)),
    ("w = {}", (_ARRAYS,)),
    ("w = {}.copy()", (_ARRAYS,)),
    ("w = w.ravel()", ()),
    ("v[{} % 6] = {}", (_NUMBERS, _NUMBERS)),
    ("w[...] = {}", (_NUMBERS,)),
    ("w += {}", (_NUMBERS,)),
    ("v = v + 1", ()),
    ("np.add(v, {}, out=v)", (_NUMBERS,)),
    ("views = [v[:3], w]", ()),
    ("views[0][0] = {}", (_NUMBERS,)),
    # frames
    ("df['y'] = df['x'] * {}", (_NUMBERS,)),
    ("df.loc[0, 'x'] = {}", (_NUMBERS,)),
    ("df.sort_values('x', ascending=False, inplace=True)", ()),
    ("df = df[df['x'] < {}]", (_NUMBERS,)),
    ("df = pd.DataFrame({{'k': [0, 1, 1], 'x': v[:3]}})", ()),
    ("frame = df", ()),
    ("sums = df.groupby('k')['x'].sum(); print(sums.tolist())", ()),
    ("df.attrs['n'] = {}", (_NUMBERS,)),
    # functions, closures and classes
    ("def f(x=[0]):\n    x.append(n)\n    return len(x) + n", ()),
    ("def f(x=[5, 5]):\n    return g(len(x)) if len(x) < 9 else {}", (_NUMBERS,)),
    ("def g(k):\n    return k * m", ()),
    ("def g(k):\n    global n\n    n += k\n    return n", ()),
    ("r = f(); r", ()),
    ("r = f({})", (_LISTS,)),
    ("g = lambda k: k + {}", (_NUMBERS,)),
    ("print(g({}))", (_NUMBERS,)),
    ("add, show = make()", ()),
    ("add({})", (_NUMBERS,)),
    ("print(show())", ()),
    ("h = add", ()),
    ("h({})", (_NUMBERS,)),
    ("c = Counter({})", (_LISTS,)),
    ("c.bump()", ()),
    ("c.items = {}", (_LISTS,)),
    ("Counter.made += 10", ()),
    ("Counter.bump = lambda self: self.items.append('p')", ()),
    (
        (
            "class Counter:\n    made = 100\n"
            "    def __init__(self, items):\n        self.items = items"
        ),
        (),
    ),
    ("other = c", ()),
    ("other.bump()", ()),
    ("isinstance(c, Counter)", ()),
    ("bound = {}.append", (_LISTS,)),
    ("bound({})", (_NUMBERS,)),
    # random draws and other hidden state
    ("random.seed({})", (_NUMBERS,)),
    ("np.random.seed(n % 100)", ()),
    ("n = random.randint(0, 9)", ()),
    ("random.shuffle({})", (_LISTS,)),
    ("m = int(np.random.randint(0, 9))", ()),
    ("w = rng.random(3)", ()),
    ("rng = np.random.default_rng({} % 5)", (_NUMBERS,)),
    ("n = next(it)", ()),
    ("it = iter({})", (_LISTS,)),
    ("gen = (k * n for k in {})", (_LISTS,)),
    ("print(next(gen))", ()),
    ("np.set_printoptions(precision={} % 5 + 1)", (_NUMBERS,)),
    ("pd.options.display.max_rows = {} % 50 + 1", (_NUMBERS,)),
    ("import os; os.environ['NB_TEST'] = str({})", (_NUMBERS,)),
    ("import os; print(os.environ.get('NB_TEST'))", ()),
    # outputs, and what is read by other ways
    ("print({}, {})", (_NUMBERS, _LISTS)),
    ("print(a is b, s['one'] is a, c.items is a)", ()),
    ("{}", (_LISTS,)),
    ("{}", (_ARRAYS,)),
    ("df", ()),
    ("c", ()),
    ("_", ()),
    ("eval('n + m')", ()),
    ("exec('n = m')", ()),
    ("globals()['m'] = {}", (_NUMBERS,)),
    ("df.query('x > @n')", ()),
    # errors, some of them half way
    ("a.append(-1); 1 / 0", ()),
    ("if {} > 6: raise ValueError(n)", (_NUMBERS,)),
    ("try:\n    undefined_name\nexcept NameError:\n    n = -1", ()),
]


def _statement() -> st.SearchStrategy[str]:
    return st.one_of(
        *(
            st.tuples(*parts).map(lambda values, text=text: text.format(*values))
            for text, parts in _TEMPLATES
        )
    )


statements = _statement()
cells = st.lists(statements, min_size=1, max_size=3).map("\n".join)

"""State that no name shows: random states, options, filters."""

from __future__ import annotations

from tests.notebook.replay.patterns import pattern

PATTERNS = [
    pattern(
        "a seed early and draws later: random",
        """
        import random
        random.seed(42)
        ---
        a = random.random()
        a
        ---
        b = random.random()
        b
        ---
        c = 5
        ---
        d = [random.randint(0, 9) for _ in range(3)]
        d
        """,
        edit=(1, "a = random.random() + random.random()\na"),
    ),
    pattern(
        "a seed early and draws later: np.random",
        """
        import numpy as np
        np.random.seed(0)
        ---
        x = np.random.rand(3)
        ---
        y = np.random.normal(size=2)
        print(y)
        ---
        z = np.random.permutation(5)
        z
        """,
        edit=(0, "import numpy as np\nnp.random.seed(1)"),
    ),
    pattern(
        "the seed alone is edited, its cell far above",
        """
        import numpy as np, random
        ---
        def draw():
            return random.random() + np.random.rand()
        ---
        random.seed(1); np.random.seed(1)
        ---
        a = draw()
        ---
        b = draw()
        print(a, b)
        """,
        edit=(2, "random.seed(2); np.random.seed(2)"),
    ),
    pattern(
        "a cell without draws between draws",
        """
        import numpy as np
        np.random.seed(5)
        ---
        a = np.random.rand()
        ---
        data = np.arange(4) * 2
        ---
        b = np.random.rand()
        print(a, b)
        """,
        edit=(1, "a = 1"),
        cached=(2,),
        kept=(2,),
    ),
    pattern(
        "a Generator that advances",
        """
        import numpy as np
        rng = np.random.default_rng(7)
        ---
        a = rng.random(2)
        ---
        b = rng.integers(0, 100, 3)
        print(b)
        ---
        c = rng.choice([1, 2, 3])
        c
        """,
        edit=(1, "a = rng.random(3)"),
    ),
    pattern(
        "two Generators over one bit generator",
        """
        import numpy as np
        bits = np.random.PCG64(3)
        g, h = np.random.Generator(bits), np.random.Generator(bits)
        ---
        a = g.random()
        ---
        b = h.random()
        print(a, b)
        """,
        edit=(1, "a = g.random(2)"),
        probes=("g.bit_generator is h.bit_generator",),
    ),
    pattern(
        "random.Random and RandomState objects",
        """
        import random, numpy as np
        r, s = random.Random(1), np.random.RandomState(1)
        alias = r
        ---
        a = r.random()
        ---
        b = s.rand()
        ---
        c = alias.random()
        print(a, b, c)
        """,
        edit=(1, "a = r.gauss(0, 1)"),
    ),
    pattern(
        "draws inside a function of a library",
        """
        import numpy as np, pandas as pd
        df = pd.DataFrame({"a": range(10)})
        np.random.seed(11)
        ---
        part = df.sample(3)
        part
        ---
        again = df.sample(3)
        again
        """,
        edit=(1, "part = df.sample(2)\npart"),
    ),
    pattern(
        "draws without a seed are never repeated",
        """
        import random, numpy as np
        ---
        a = random.random()
        ---
        b = np.random.rand()
        ---
        c = np.random.default_rng().random()
        ---
        import uuid, secrets, os
        d = uuid.uuid4(), secrets.token_hex(4), os.urandom(4)
        """,
        never=(1, 2, 3, 4),
        unlike=("a", "b", "c", "d", "hidden:random", "hidden:np.random"),
        entropy=True,
    ),
    pattern(
        "seeding from the draw of another",
        """
        import random, numpy as np
        random.seed(1)
        ---
        np.random.seed(random.randint(0, 1000))
        ---
        print(np.random.rand(), random.random())
        """,
        edit=(0, "import random, numpy as np\nrandom.seed(2)"),
    ),
    pattern(
        "getstate and setstate",
        """
        import random
        random.seed(8)
        state = random.getstate()
        ---
        a = random.random()
        ---
        random.setstate(state)
        ---
        b = random.random()
        print(a == b)
        """,
        edit=(2, "pass"),
    ),
    pattern(
        "rcParams set by a restored cell",
        """
        import matplotlib as mpl
        import matplotlib.pyplot as plt
        ---
        plt.rcParams["figure.figsize"] = (2, 1)
        mpl.rcParams.update({"lines.linewidth": 5})
        ---
        plt.plot([1, 2]);
        ---
        print(plt.rcParams["figure.figsize"], mpl.rcParams["lines.linewidth"])
        """,
        edit=(1, "plt.rcParams['figure.figsize'] = (3, 1)"),
    ),
    pattern(
        "a style used",
        """
        import matplotlib.pyplot as plt
        plt.style.use("ggplot")
        ---
        x = plt.rcParams["axes.facecolor"]
        x
        """,
        edit=(0, "import matplotlib.pyplot as plt\nplt.style.use('dark_background')"),
    ),
    pattern(
        "pandas options",
        """
        import pandas as pd
        df = pd.DataFrame({"a": range(100), "b": [1 / 3] * 100})
        ---
        pd.options.display.max_rows = 4
        pd.set_option("display.precision", 2)
        ---
        df
        ---
        with pd.option_context("display.max_rows", 6):
            print(df)
        """,
        edit=(1, "pd.options.display.max_rows = 8"),
    ),
    pattern(
        "numpy print options and errstate",
        """
        import numpy as np
        a = np.array([1 / 3, 2 / 3])
        ---
        np.set_printoptions(precision=2)
        np.seterr(divide="ignore")
        ---
        print(a)
        b = a / 0
        b
        ---
        with np.errstate(divide="raise"):
            try:
                a / 0
            except FloatingPointError as e:
                print(e)
        """,
        edit=(1, "np.set_printoptions(precision=4)\nnp.seterr(divide='ignore')"),
    ),
    pattern(
        "warnings filters",
        """
        import warnings
        def careful(x):
            warnings.warn(f"careful with {x}", UserWarning)
            return x
        ---
        warnings.filterwarnings("ignore")
        ---
        y = careful(1)
        ---
        warnings.simplefilter("error")
        ---
        try:
            careful(2)
        except UserWarning as w:
            print("caught", w)
        """,
        edit=(1, "warnings.filterwarnings('always')"),
    ),
    pattern(
        "a warning is shown once",
        """
        import warnings
        ---
        warnings.warn("once", UserWarning)
        ---
        warnings.warn("once", UserWarning)
        ---
        def f():
            warnings.warn("from f", UserWarning)
        f()
        ---
        f()
        """,
        edit=(1, "pass"),
    ),
]

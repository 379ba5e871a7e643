"""State that no name shows: random states, options, the environment, the process."""

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
    pattern(
        "environment variables",
        """
        import os
        ---
        os.environ["NB_MODE"] = "fast"
        ---
        mode = os.environ.get("NB_MODE", "none")
        print(mode, os.getenv("NB_MODE"))
        ---
        del os.environ["NB_MODE"]
        ---
        print(os.environ.get("NB_MODE"))
        """,
        edit=(1, "os.environ['NB_MODE'] = 'slow'"),
    ),
    pattern(
        "the working directory",
        """
        import os
        os.makedirs("sub", exist_ok=True)
        ---
        os.chdir("sub")
        ---
        print(os.path.basename(os.getcwd()))
        ---
        with open("here.txt", "w") as f:
            f.write("x")
        ---
        os.chdir("..")
        print(sorted(os.listdir()))
        """,
        edit=(1, "pass"),
        has_disk=True,
    ),
    pattern(
        "sys.path and a module found by it",
        """
        import sys
        sys.path.append("lib")
        ---
        import inside
        ---
        y = inside.value()
        y
        """,
        files={"lib/inside.py": "def value():\n    return 12\n"},
        edit=(2, "y = inside.value() + 1\ny"),
    ),
    pattern(
        "the locale and the decimal context",
        """
        import decimal, locale
        decimal.getcontext().prec = 5
        ---
        a = decimal.Decimal(1) / 3
        a
        ---
        with decimal.localcontext() as ctx:
            ctx.prec = 3
            b = decimal.Decimal(1) / 3
        print(a, b)
        """,
        edit=(0, "import decimal, locale\ndecimal.getcontext().prec = 9"),
    ),
    pattern(
        "decimal flags",
        """
        import decimal
        c = decimal.getcontext()
        ---
        x = decimal.Decimal(1) / 3
        ---
        print(c.flags[decimal.Inexact])
        ---
        c.clear_flags()
        """,
        edit=(1, "x = decimal.Decimal(1) / 2"),
    ),
    pattern(
        "logging configuration",
        """
        import logging, sys
        log = logging.getLogger("nb")
        ---
        logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(message)s")
        ---
        log.info("seen")
        ---
        log.setLevel(logging.ERROR)
        ---
        log.warning("not seen")
        log.error("seen too")
        """,
        edit=(3, "log.setLevel(logging.DEBUG)"),
    ),
    pattern(
        "a library function replaced",
        """
        import numpy as np
        plain_mean = np.mean
        ---
        np.mean = lambda a: "replaced"
        ---
        m = np.mean([1, 2, 3])
        m
        ---
        np.mean = plain_mean
        ---
        print(np.mean([1, 2, 3]))
        """,
        edit=(1, "np.mean = lambda a: 'replaced otherwise'"),
    ),
    pattern(
        "a builtin replaced",
        """
        import builtins
        plain = builtins.sum
        ---
        builtins.sum = lambda *a: -1
        ---
        s = sum([1, 2])
        s
        ---
        builtins.sum = plain
        print(sum([1, 2]))
        """,
        edit=(1, "builtins.sum = lambda *a: -2"),
    ),
    pattern(
        "a builtin shadowed by a name",
        """
        x = [3, 1]
        ---
        y = sorted(x)
        ---
        def sorted(v):
            return "mine"
        ---
        z = sorted(x)
        print(y, z)
        """,
        edit=(2, "def sorted(v):\n    return 'other'"),
    ),
    pattern(
        "a name that becomes a builtin's stand-in above",
        """
        pass
        ---
        y = len([1, 2])
        print(y)
        """,
        edit=(0, "len = lambda v: 99"),
    ),
    pattern(
        "a new builtin, read by nobody's import",
        """
        import builtins
        builtins.answer = 42
        ---
        print(answer)
        """,
        edit=(0, "import builtins\nbuiltins.answer = 43"),
    ),
    pattern(
        "a method put on a library's class",
        """
        import pandas as pd
        pd.DataFrame.shape_text = lambda self: f"{self.shape}!"
        ---
        t = pd.DataFrame({"a": [1]}).shape_text()
        t
        """,
        edit=(0, "import pandas as pd\npd.DataFrame.shape_text = lambda self: 'edited'"),
    ),
    pattern(
        "an attribute of a module set",
        """
        import json, math
        json.my_flag = [1]
        ---
        json.my_flag.append(2)
        ---
        print(json.my_flag)
        ---
        math.tau = 3
        ---
        print(math.tau)
        """,
        edit=(0, "import json, math\njson.my_flag = [9]"),
    ),
    pattern(
        "the state of a local module",
        """
        import counterlib
        ---
        counterlib.increment()
        ---
        counterlib.increment()
        ---
        print(counterlib.count, counterlib.log)
        """,
        files={
            "counterlib.py": "count = 0\nlog = []\ndef increment():\n    global count\n"
            "    count += 1\n    log.append(count)\n"
        },
        edit=(1, "counterlib.increment(); counterlib.increment()"),
    ),
    pattern(
        "a name imported from a module whose state changes",
        """
        from config import settings, get
        ---
        settings["mode"] = "b"
        ---
        print(get("mode"))
        """,
        files={"config.py": "settings = {'mode': 'a'}\ndef get(k):\n    return settings[k]\n"},
        edit=(1, "settings['mode'] = 'c'"),
    ),
    pattern(
        "a module put into sys.modules",
        """
        import sys, types
        fake = types.ModuleType("fake")
        fake.x = 1
        sys.modules["fake"] = fake
        ---
        from fake import x
        print(x)
        ---
        import fake as again
        print(again is fake)
        """,
        edit=(
            0,
            "import sys, types\nfake = types.ModuleType('fake')\nfake.x = 2\n"
            "sys.modules['fake'] = fake",
        ),
    ),  # fmt: skip
    pattern(
        "the recursion limit and the garbage collector",
        """
        import gc, sys
        sys.setrecursionlimit(1234)
        gc.disable()
        ---
        print(sys.getrecursionlimit(), gc.isenabled())
        """,
        edit=(0, "import gc, sys\nsys.setrecursionlimit(2345)"),
    ),
    pattern(
        "atexit",
        """
        import atexit
        ---
        @atexit.register
        def bye():
            open("bye.txt", "w").write("bye")
        ---
        x = 1
        """,
        edit=(2, "x = 2"),
        has_disk=True,
    ),
    pattern(
        "context variables",
        """
        import contextvars
        var = contextvars.ContextVar("var", default=0)
        ---
        token = var.set(5)
        ---
        x = var.get()
        x
        """,
        edit=(1, "token = var.set(6)"),
    ),
    pattern(
        "thread-local data and threads",
        """
        import threading
        local = threading.local()
        local.x = 1
        results = []
        ---
        t = threading.Thread(target=lambda: results.append(2))
        t.start(); t.join()
        ---
        print(results, local.x)
        """,
        edit=(1, "t = threading.Thread(target=lambda: results.append(3))\nt.start(); t.join()"),
    ),
    pattern(
        "results of a pool of threads",
        """
        from concurrent.futures import ThreadPoolExecutor
        def square(x):
            return x * x
        ---
        with ThreadPoolExecutor(2) as pool:
            squares = list(pool.map(square, range(5)))
        ---
        squares
        """,
        edit=(
            0,
            "from concurrent.futures import ThreadPoolExecutor\ndef square(x):\n    return -x",
        ),
    ),
    pattern(
        "a signal handler",
        """
        import signal, os
        hits = []
        signal.signal(signal.SIGUSR1, lambda *a: hits.append(1))
        ---
        signal.raise_signal(signal.SIGUSR1)
        ---
        print(hits)
        """,
        edit=(1, "pass"),
    ),
    pattern(
        "the clock",
        """
        import time, datetime
        ---
        now = time.time()
        ---
        today = datetime.datetime.now()
        ---
        began = time.perf_counter()
        ---
        ok = now > 1_600_000_000 and today.year > 2020
        ok
        """,
        never=(1, 2, 3),
        unlike=("now", "today", "began"),
    ),
    pattern(
        "the clock in a function of another cell",
        """
        import time
        def stamp():
            return time.time_ns()
        ---
        t = stamp()
        """,
        never=(1,),
        unlike=("t",),
    ),
    pattern(
        "the clock by other names",
        """
        from time import perf_counter as tick
        from datetime import date, datetime
        import pandas as pd, numpy as np
        ---
        a = tick()
        ---
        b = datetime.utcnow()
        ---
        c = pd.Timestamp.now()
        ---
        d = np.datetime64("now")
        ---
        e = getattr(datetime, "now")()
        """,
        never=(1, 2, 3, 5),
        unlike=("a", "b", "c", "d", "e", "cell 2"),
    ),
]

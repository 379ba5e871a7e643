"""State of the process: environment, folder, modules, builtins, handlers, the clock."""

from __future__ import annotations

from tests.notebook.replay.patterns import pattern

PATTERNS = [
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
        shown = "%(levelname)s %(message)s"
        logging.basicConfig(level=logging.INFO, stream=sys.stdout, format=shown)
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
            (
                "import sys, types\nfake = types.ModuleType('fake')\nfake.x = 2\n"
                "sys.modules['fake'] = fake"
            ),
        ),
    ),
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

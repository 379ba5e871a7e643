"""IPython itself: magics, history, names in strings, figures, widgets."""

from __future__ import annotations

from tests.notebook.replay.patterns import pattern

PATTERNS = [
    pattern(
        "names used only in strings",
        """
        a, threshold = 5, 2
        ---
        import pandas as pd
        df = pd.DataFrame({"x": [1, 2, 3]})
        ---
        part = df.query("x > @threshold")
        part
        ---
        b = eval("a + 1")
        exec("c = a * 2")
        ---
        print(f"{eval('a')} {b} {c}")
        ---
        df.eval("y = x + @a", inplace=True)
        df
        """,
        edit=(0, "a, threshold = 50, 1"),
    ),
    pattern(
        "a function that evaluates a name it is given",
        """
        def show(*names):
            for name in names:
                print(name, "=", eval(name))
        ---
        a = 1
        ---
        show("a")
        ---
        show("a")
        """,
        edit=(1, "a = 2"),
    ),
    pattern(
        "a name assembled from parts",
        """
        col_x, col_y = 1, 2
        ---
        picked = globals()["col_" + "y"]
        ---
        import __main__
        also = getattr(__main__, "col_" + "x")
        print(picked, also)
        """,
        edit=(0, "col_x, col_y = 10, 20"),
    ),
    pattern(
        "underscores and Out",
        """
        1 + 1
        ---
        _ * 10
        ---
        x = _ + __
        x
        ---
        print(Out[1], _1, sorted(Out))
        ---
        y = _
        print(y)
        """,
        edit=(0, "2 + 2"),
    ),
    pattern(
        "In and the count of cells",
        """
        x = 1
        ---
        print(In[1], len(In))
        ---
        n = get_ipython().execution_count
        print(n)
        """,
        edit=(0, "x = 2"),
    ),
    pattern(
        "a result that is changed through Out",
        """
        [1, 2]
        ---
        _.append(3)
        ---
        print(Out[1])
        """,
        edit=(0, "[7]"),
    ),
    pattern(
        "a result that a name and Out share",
        """
        x = [1]
        x
        ---
        x.append(2)
        ---
        print(Out[1], Out[1] is x, _)
        """,
        edit=(0, "x = [5]\nx"),
    ),
    pattern(
        "underscore as a name of the user's",
        """
        _ = 5
        total = 0
        for _ in range(3):
            total += _
        ---
        print(_, total)
        ---
        7
        ---
        print(_)
        """,
        edit=(0, "_ = 5\ntotal = 1"),
    ),
    pattern(
        "%config and formatters that change what later cells show",
        """
        x = 1 / 3
        ---
        %precision 2
        ---
        x
        ---
        plain = get_ipython().display_formatter.formatters["text/plain"]
        plain.for_type(int, lambda v, p, c: p.text(f"<{v}>"))
        ---
        41 + 1
        """,
        edit=(1, "%precision 4"),
    ),
    pattern(
        "%config of ast_node_interactivity",
        """
        %config InteractiveShell.ast_node_interactivity = "all"
        ---
        1
        2
        """,
        edit=(0, "%config InteractiveShell.ast_node_interactivity = 'last_expr'"),
    ),
    pattern(
        "%run of another notebook or script",
        """
        %run other.py
        ---
        print(from_other)
        ---
        from_other.append(2)
        print(from_other, helper())
        """,
        files={"other.py": "from_other = [1]\ndef helper():\n    return len(from_other)\n"},
        edit=(1, "from_other = [5]"),
    ),
    pattern(
        "%run of a notebook",
        """
        %run part.ipynb
        ---
        print(part_value)
        """,
        files={
            "part.ipynb": '{"cells": [{"cell_type": "code", "execution_count": null, "id": "a",'
            ' "metadata": {}, "outputs": [], "source": "part_value = 11"}], "metadata": {},'
            ' "nbformat": 4, "nbformat_minor": 5}'
        },
        edit=(1, "print(part_value + 1)"),
    ),
    pattern(
        "%%writefile, then import",
        """
        %%writefile written.py
        def value():
            return 1
        ---
        import importlib, sys
        sys.modules.pop("written", None)
        importlib.invalidate_caches()
        import written
        ---
        v = written.value()
        v
        """,
        edit=(0, "%%writefile written.py\ndef value():\n    return 2222"),
        has_disk=True,
    ),
    pattern(
        "!shell that changes files",
        """
        !echo one > shell.txt
        ---
        text = open("shell.txt").read()
        text
        ---
        out = !cat shell.txt
        out
        ---
        !rm shell.txt
        ---
        import os
        os.path.exists("shell.txt")
        """,
        edit=(0, "!echo two > shell.txt"),
        has_disk=True,
    ),
    pattern(
        "a variable in a shell command and in a magic",
        """
        name = "world"
        ---
        !echo hello {name} $name
        ---
        %env GREETING=$name
        ---
        import os
        print(os.environ["GREETING"])
        """,
        edit=(0, "name = 'moon'"),
    ),
    pattern(
        "%%bash, %cd and %env",
        """
        %%bash
        mkdir -p inner && echo data > inner/f.txt
        ---
        %cd -q inner
        ---
        print(open("f.txt").read())
        ---
        %cd -q ..
        ---
        import os
        sorted(os.listdir("inner"))
        """,
        edit=(0, "%%bash\nmkdir -p inner && echo other > inner/f.txt"),
        has_disk=True,
    ),
    pattern(
        "%time, %timeit and %%time cells",
        """
        values = []
        ---
        %time values.append(1)
        ---
        %timeit -n 1 -r 2 values.append(2)
        ---
        %%time
        y = sum(values)
        ---
        print(values, y)
        """,
        edit=(0, "values = [100]"),
        unlike=("cell 1", "cell 2", "cell 3"),
    ),
    pattern(
        "%%capture",
        """
        %%capture captured
        print("hidden")
        x = 5
        ---
        print(repr(captured.stdout), x)
        """,
        edit=(0, "%%capture captured\nprint('hidden too')\nx = 6"),
        unlike=("captured",),
    ),
    pattern(
        "%reset_selective, %who and %xdel",
        """
        apple, banana = 1, 2
        ---
        %xdel apple
        ---
        print("apple" in globals(), banana)
        ---
        %who_ls int
        """,
        edit=(0, "apple, banana = 1, 3"),
    ),
    pattern(
        "a magic of the notebook's own",
        """
        from IPython.core.magic import register_line_magic, register_cell_magic
        @register_line_magic
        def twice(line):
            return line + line
        ---
        x = %twice ab
        x
        ---
        @register_cell_magic
        def shout(line, cell):
            print(cell.upper())
        ---
        %%shout
        quiet
        """,
        edit=(
            0,
            (
                "from IPython.core.magic import register_line_magic, register_cell_magic\n"
                "@register_line_magic\ndef twice(line):\n    return line * 3"
            ),
        ),
    ),
    pattern(
        "hooks of the shell and input transformers",
        """
        seen = []
        def after(result):
            seen.append(result.info.raw_cell)
        get_ipython().events.register("post_run_cell", after)
        ---
        x = 1
        ---
        get_ipython().events.unregister("post_run_cell", after)
        ---
        print(len(seen))
        """,
        edit=(1, "x = 2"),
    ),
    pattern(
        "displays that are updated from another cell",
        """
        from IPython.display import display, clear_output
        handle = display("first", display_id=True)
        ---
        handle.update("second")
        ---
        print("gone")
        clear_output()
        print("stays")
        """,
        edit=(1, "handle.update('third')"),
        unlike=("handle",),
    ),
    pattern(
        "a figure flushed under its cell",
        """
        %matplotlib inline
        import matplotlib.pyplot as plt
        ---
        data = [1, 3, 2]
        ---
        fig, ax = plt.subplots(figsize=(1, 1))
        ax.plot(data);
        ---
        plt.figure(figsize=(1, 1))
        plt.plot([0, 1])
        plt.title("t")
        plt.show()
        ---
        print(plt.get_fignums())
        """,
        edit=(1, "data = [5, 5, 5]"),
    ),
    pattern(
        "a figure drawn on by a later cell",
        """
        import matplotlib.pyplot as plt
        fig, ax = plt.subplots(figsize=(1, 1))
        ---
        ax.plot([1, 2], [3, 4])
        ---
        ax.set_title("later")
        fig
        """,
        edit=(1, "ax.plot([1, 2], [9, 9])"),
    ),
    pattern(
        "a figure kept open without inline flushing",
        """
        import matplotlib.pyplot as plt
        from matplotlib_inline.config import InlineBackend
        InlineBackend.instance().close_figures = False
        f = plt.figure(figsize=(1, 1))
        ---
        plt.plot([1, 2]);
        ---
        n = len(plt.gca().lines)
        print(n, plt.get_fignums())
        """,
        edit=(1, "plt.plot([1, 2]); plt.plot([2, 1]);"),
    ),
    pattern(
        "plotting with pandas",
        """
        import pandas as pd
        df = pd.DataFrame({"a": [1, 2, 3]})
        ---
        df.plot(figsize=(1, 1));
        ---
        ax = df.plot(figsize=(1, 1))
        ---
        ax.get_title()
        """,
        edit=(0, "import pandas as pd\ndf = pd.DataFrame({'a': [3, 2, 1]})"),
    ),
    pattern(
        "widgets and their callbacks",
        """
        import ipywidgets as widgets
        clicks = []
        slider = widgets.IntSlider(value=3)
        slider.observe(lambda change: clicks.append(change["new"]), names="value")
        ---
        slider.value = 7
        ---
        print(clicks, slider.value)
        """,
        edit=(1, "slider.value = 8"),
        unlike=("slider",),
    ),
    pattern(
        "a module reloaded",
        """
        import importlib, changing
        ---
        open("changing.py", "w").write("x = 'rewritten'\\n")
        importlib.reload(changing)
        ---
        print(changing.x)
        ---
        open("changing.py", "w").write("x = 'original'\\n")
        """,
        files={"changing.py": "x = 'original'\n"},
        edit=(2, "print(changing.x + '!')"),
        has_disk=True,
    ),
    pattern(
        "autocall, automagic and question marks",
        """
        def f(x):
            return x
        ---
        %autocall 1
        ---
        f 5
        ---
        pwd_is_a_name = 1
        """,
        edit=(2, "f 6"),
    ),
    pattern(
        "locals(), dir() and vars() see everything",
        """
        a = 1
        ---
        names = [n for n in dir() if not n.startswith("_")]
        ---
        b = 2
        ---
        print("a" in locals(), "b" in vars(), "names" in dir())
        """,
        edit=(0, "a = 1\nextra = 2"),
        unlike=("names",),
    ),
    pattern(
        "a star import",
        """
        from stars import *
        ---
        y = visible + 1
        y
        ---
        visible = 100
        ---
        print(visible, y)
        """,
        files={"stars.py": "__all__ = ['visible']\nvisible = 1\nhidden = 2\n"},
        edit=(1, "y = visible + 2\ny"),
    ),
    pattern(
        "an empty cell, a comment and a docstring",
        """
        # nothing here
        ---
        "just a text"
        ---
        pass
        ---
        print(_)
        """,
        edit=(1, "'another text'"),
    ),
    pattern(
        "an alias of IPython's %alias and %macro",
        """
        %macro -q again 0
        ---
        x = 1
        ---
        %alias say echo said
        ---
        %say hello
        """,
        edit=(1, "x = 2"),
    ),
    pattern(
        "the user's namespace through get_ipython",
        """
        ip = get_ipython()
        ip.user_ns["pushed"] = 5
        ip.push({"also": [1]})
        ---
        print(pushed, also)
        ---
        ip.run_cell("inner = pushed + 1")
        ---
        print(inner)
        """,
        edit=(0, "ip = get_ipython()\nip.user_ns['pushed'] = 50\nip.push({'also': [10]})"),
        unlike=("cell 2", "Out", "_", "ip"),
    ),
]

"""What is known of magics, names, libraries and reasons, and no source tells."""

from __future__ import annotations

#: Magics whose effects are seen otherwise, or that have none on later cells.
HARMLESS_MAGICS = {"time", "timeit", "matplotlib", "config", "writefile", "capture", "ls", "pwd",
                   "who", "whos", "precision", "cd", "env", "bash", "sh", "html", "HTML",
                   "latex", "markdown", "svg", "javascript", "js", "load_ext", "autoreload",
                   "pip", "conda", "history", "prun", "task", "flow", "nbflow"}  # fmt: skip
IGNORED = {"In", "Out", "get_ipython", "exit", "quit", "display"}
#: Libraries whose objects show in their digest all that their methods change.
TRANSPARENT = {"builtins", "numpy", "pandas", "collections", "polars", "pyarrow", "sklearn",
               "datetime", "decimal", "fractions", "matplotlib", "scipy", "statsmodels",
               "array", "random", "re", "pathlib", "string", "networkx"}  # fmt: skip
#: What a run was seen to ask of the world; see `reasons.Reasons.reads`.
OVERRULED = {"it uses the network", "it waits for input", "it draws fresh randomness"}

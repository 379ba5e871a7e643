"""State of a process that cells can change without touching a name."""

from __future__ import annotations

import builtins
import decimal
import gc
import hashlib
import locale
import logging
import os
import random
import signal
import sys
import threading
import warnings
from typing import Any


def hidden_state() -> dict[str, str]:
    """What is hidden -> text. The notebook's own folder and nbflow's parts are left out."""
    state = {
        "folder": os.getcwd(),
        "environment": _lines(
            f"{k}={v}" for k, v in sorted(os.environ.items()) if not k.startswith("NBFLOW_")
        ),
        "sys.path": repr(sys.path),
        "random": _digest(random.getstate()),
        "warnings": _lines(_filter(entry) for entry in warnings.filters),
        "locale": locale.setlocale(locale.LC_ALL),
        "decimal": repr(decimal.getcontext()),
        "recursion": repr(sys.getrecursionlimit()),
        "gc": repr(gc.isenabled()),
        "builtins": _lines(
            f"{name} of the notebook's" if _is_of_notebook(value) else name
            for name, value in sorted(vars(builtins).items())
            if name not in {"_", "__annotations__"}
        ),
        "signals": _lines(
            f"{s}={getattr(signal.getsignal(s), '__qualname__', signal.getsignal(s))}"
            for s in (signal.SIGTERM, signal.SIGUSR1)  # SIGALRM is nbflow's own
        ),
        "logging": _logging(),
        "threads": _lines(
            sorted(t.name for t in threading.enumerate() if not t.name.startswith("nbflow"))
        ),
        "umask": _umask(),
        "trace": repr((sys.gettrace(), sys.getprofile())),
        "hooks": repr((sys.excepthook.__name__, sys.unraisablehook.__name__)),
    }
    return state | _numpy() | _pandas() | _matplotlib()


def _is_of_notebook(value: Any) -> bool:
    return getattr(value, "__module__", None) == "__main__"


def _numpy() -> dict[str, str]:
    np = sys.modules.get("numpy")
    if np is None:
        return {}
    return {
        "np.random": _digest([_listed(v) for v in np.random.get_state()]),
        "np.print": _lines(f"{k}={v}" for k, v in np.get_printoptions().items()),
        "np.err": repr(np.geterr()),
    }


def _pandas() -> dict[str, str]:
    config = sys.modules.get("pandas._config.config")
    if config is None:
        return {}
    return {"pd.options": _lines(_flat(config._global_config))}


def _matplotlib() -> dict[str, str]:
    matplotlib = sys.modules.get("matplotlib")
    if matplotlib is None:
        return {}
    pylab = sys.modules.get("matplotlib._pylab_helpers")
    figures = [] if pylab is None else list(pylab.Gcf.figs)
    params = {k: v for k, v in dict.items(matplotlib.rcParams) if k != "backend"}
    return {
        "rcParams": _lines(f"{k}={v}" for k, v in sorted(params.items())),
        "figures": repr(figures),
    }


def _logging() -> str:
    root = logging.getLogger()
    levels = [
        f"{name}={logger.level}"
        for name, logger in sorted(root.manager.loggerDict.items())
        if isinstance(logger, logging.Logger) and logger.level and not name.startswith("nbflow")
    ]
    handlers = [f"{type(h).__name__}:{h.level}" for h in root.handlers]
    return f"{root.level} {handlers} {levels} {root.manager.disable}"


def _filter(entry: Any) -> str:
    action, message, category, module, line = entry
    return f"{action} {message!r} {category.__name__} {module!r} {line}"


def _umask() -> str:
    mask = os.umask(0)
    os.umask(mask)
    return oct(mask)


def _flat(options: Any, prefix: str = "") -> list[str]:
    lines = []
    for name, value in sorted(options.items()):
        if isinstance(value, dict):
            lines += _flat(value, f"{prefix}{name}.")
        else:
            lines.append(f"{prefix}{name}={value!r}")
    return lines


def _listed(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _lines(lines: Any) -> str:
    return "\n".join(lines)


def _digest(value: Any) -> str:
    return hashlib.blake2b(repr(value).encode(), digest_size=6).hexdigest()

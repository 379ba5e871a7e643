"""The values that are hashed, kept and found again; the same in every environment."""

from __future__ import annotations

from typing import Any

#: Eight arguments as a task is often given.
SMALL: tuple[Any, ...] = (
    7,
    2.5,
    "montreal",
    True,
    None,
    b"some bytes",
    (2012, 6, 1),
    {"warm": 15, "wet": 2},
)
_N_ROWS = 1_000_000


def array_100mb() -> Any:
    """12.5 million floats."""
    import numpy as np

    return np.random.default_rng(0).random(12_500_000)


def array_1gb() -> Any:
    """125 million floats."""
    import numpy as np

    return np.random.default_rng(0).random(125_000_000)


def mixed_frame() -> Any:
    """A million rows: strings as Python objects (65 MB), four columns of floats, one of ints."""
    return _with_strings(object)


def arrow_frame() -> Any:
    """The same with the strings in arrow's memory, and more floats to come to 100 MB."""
    frame = _with_strings("string[pyarrow]")
    for n in range(6):
        frame[f"more{n}"] = frame["float0"] * n
    return frame


def _with_strings(dtype: Any) -> Any:
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(0)
    names = [f"counter {n:06d}" for n in range(_N_ROWS)]
    columns: dict[str, Any] = {"name": pd.Series(names, dtype=dtype)}
    columns["int"] = np.arange(_N_ROWS)
    columns |= {f"float{n}": random.random(_N_ROWS) for n in range(4)}
    return pd.DataFrame(columns)


def number_frame() -> Any:
    """1.25 million rows of eight floats, an int and a time."""
    import numpy as np
    import pandas as pd

    n = 1_250_000
    random = np.random.default_rng(0)
    columns: dict[str, Any] = {f"float{i}": random.random(n) for i in range(8)}
    columns["int"] = np.arange(n)
    columns["time"] = pd.date_range("2012-01-01", periods=n, freq="s")
    return pd.DataFrame(columns)


# --- functions to be cached: by name, as some peers need their source -----------------------------


def make_kb(_: int) -> bytes:
    return bytes(1_000)


def make_array(_: int) -> Any:
    return array_100mb()


def make_mixed(_: int) -> Any:
    return mixed_frame()


def make_numbers(_: int) -> Any:
    return number_frame()


def length(value: Any) -> int:
    return len(value)

"""The only reader of the environment: `NBFLOW_*` variables, then `[tool.nbflow]`, then defaults."""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be set from outside. Every field is read from `NBFLOW_<FIELD>` in capitals.

    Attributes:
        home: Folder of the store, the results and the key. Created when first needed.
        log_level: Lowest level shown on the console and kept in a run's log.
        log_prints: Whether `print` inside runs is logged where the flow or task does not say.
        persist_results: Whether results are kept where the flow or task does not say.
        cache_max_bytes: Size of all kept results above which those used longest ago are dropped.
        cache_max_age_seconds: Age above which a kept result is dropped; None: none is too old.
        verify_buffers: Whether the memory of kept arrays is checked whenever one is used.
        max_threads: Size of the default thread pool.
        cache_min_seconds: With `%autotask`, a cell that takes less is run each time.
        stable_output: Show no times, ids or names that differ from run to run (for nbval).
        parent_run: Id of the flow run that this process' runs belong to; set by `nbflow run`.
        origin_run: Of a kernel: what names that flow run also in runs that go on from it; set by
            `nbflow run`.
        keep_alive_seconds: While schedules or runs live, a kernel that looks idle tells Jupyter
            this often that it is not, so that it is not culled; 0: never.
    """

    home: Path = Path("~/.nbflow")
    log_level: str = "INFO"
    log_prints: bool = False
    persist_results: bool = False
    cache_max_bytes: int = 10_000_000_000
    cache_max_age_seconds: float | None = None
    verify_buffers: bool = True
    max_threads: int = 32
    cache_min_seconds: float = 0.01
    stable_output: bool = False
    parent_run: str = ""
    origin_run: str = ""
    keep_alive_seconds: float = 60.0

    @property
    def log_level_number(self) -> int:
        """`log_level` as the number `logging` uses; an unknown name counts as INFO."""
        return logging.getLevelNamesMapping().get(self.log_level.upper(), logging.INFO)


def load_settings() -> Settings:
    """Read the settings as they are now. A value that cannot be read keeps its default."""
    values: dict[str, Any] = {}
    project: tuple[dict[str, Any], Path | None] = {}, None
    with contextlib.suppress(FileNotFoundError):  # the working directory may be gone
        project = _project_table(os.getcwd())
    for field in fields(Settings):
        default = field.default
        from_env = os.environ.get(f"NBFLOW_{field.name.upper()}") or None  # empty: not set
        raw = from_env if from_env is not None else project[0].get(field.name)
        value = _convert(raw, default)
        if field.name == "home" and from_env is None and raw is not None and project[1] is not None:
            # A project's home is relative to its pyproject.toml.
            value = project[1] / os.path.expanduser(value)
        values[field.name] = value
    values["home"] = _absolute(values["home"])
    return Settings(**values)


def notebook_path() -> str:
    """The notebook that this kernel runs, as far as the front end tells; else empty."""
    return os.environ.get("NBFLOW_NOTEBOOK") or os.environ.get("JPY_SESSION_NAME", "")


def child_environment(**settings: str) -> dict[str, str]:
    """A copy of this process' environment with the given settings as `NBFLOW_*` on top."""
    return {**os.environ, **{f"NBFLOW_{name.upper()}": value for name, value in settings.items()}}


def _convert(raw: object, default: Any) -> Any:
    if raw is None:
        return default
    if isinstance(default, bool):
        text = str(raw).strip().lower()
        return True if text in _TRUE else False if text in _FALSE else default
    if isinstance(default, int):
        try:
            return max(1, int(str(raw)))
        except ValueError:
            return default
    if default is None or isinstance(default, float):  # seconds; None: no limit
        try:
            return max(0.0, float(str(raw)))
        except ValueError:
            return default
    return type(default)(raw) if isinstance(default, str) else Path(str(raw))


def _absolute(home: Path) -> Path:
    try:
        return Path(os.path.abspath(home.expanduser()))
    except (RuntimeError, OSError):  # no home folder, or no working directory
        return home


@lru_cache(maxsize=16)
def _project_table(folder: str) -> tuple[dict[str, Any], Path | None]:
    """`[tool.nbflow]` of the nearest pyproject.toml above `folder`, and that file's folder."""
    for parent in (Path(folder), *Path(folder).parents):
        path = parent / "pyproject.toml"
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if "[tool.nbflow]" not in text:
            return {}, None
        import tomllib  # only where a project configures nbflow: 5 ms of import

        try:
            return tomllib.loads(text)["tool"]["nbflow"], parent
        except (tomllib.TOMLDecodeError, KeyError):
            return {}, None
    return {}, None

"""Whether Jupyter ends kernels that look idle, and whether nbflow keeps its own alive."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from nbflow.doctor.facts import Fact
from nbflow.settings import Settings

_NAMES = ("jupyter_config", "jupyter_server_config", "jupyter_notebook_config")
_CLASSES = r"(?:Async)?(?:Mapping)?KernelManager"
# Files of Python are only read: what they would do when they are run is the server's business.
_IN_PYTHON = re.compile(rf"^\s*c\.{_CLASSES}\.cull_idle_timeout\s*=\s*([\d_]+)", re.MULTILINE)


def keep_alive(settings: Settings, *, is_needed: bool) -> Iterator[Fact]:
    """What the configuration files say. A server's command line is not seen.

    Args:
        is_needed: Whether a living kernel has schedules.
    """
    every = settings.keep_alive_seconds
    yield Fact(
        "kernels", "kept alive", f"every {every:g} s while they have schedules" if every else "no"
    )
    found = list(_culling())
    for path, seconds in found:
        advice = ""
        if is_needed and (not every or every >= seconds):
            wish = "to less than that" if every else "to 60"
            advice = f"a kernel with schedules may be ended: set NBFLOW_KEEP_ALIVE_SECONDS {wish}"
        yield Fact("kernels", "ended when idle", f"after {seconds} s, says {path}", advice)
    if not found:
        yield Fact("kernels", "ended when idle", "never, as far as the files of Jupyter say")


def _culling() -> Iterator[tuple[Path, int]]:
    try:
        from jupyter_core.paths import jupyter_config_path
    except ImportError:
        return
    for folder in map(Path, dict.fromkeys(jupyter_config_path())):
        for name in _NAMES:
            yield from _in_file(folder / f"{name}.py")
            for path in (folder / f"{name}.json", *sorted(folder.glob(f"{name}.d/*.json"))):
                yield from _in_file(path)


def _in_file(path: Path) -> Iterator[tuple[Path, int]]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            values = [int(value) for value in _IN_PYTHON.findall(text)]
        else:
            classes = json.loads(text)
            values = [
                int(options["cull_idle_timeout"])
                for name, options in classes.items()
                if re.fullmatch(_CLASSES, name) and "cull_idle_timeout" in options
            ]
    except (OSError, ValueError, TypeError, AttributeError):
        return
    for value in values[-1:]:
        if value > 0:
            yield path, value

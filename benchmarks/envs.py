"""Virtual environments of the peers, made when first needed and kept in `benchmarks/.envs`."""

from __future__ import annotations

import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent / ".envs"


class EnvFailed(RuntimeError):
    """A peer could not be installed; the message is the last line of what pip said."""


@dataclass(frozen=True, slots=True)
class Env:
    """One environment.

    Attributes:
        requirements: As pip takes them. The environment is completed when they change.
    """

    name: str
    requirements: tuple[str, ...]

    def python(self) -> Path:
        """The interpreter of the environment, with all that is required.

        Raises:
            EnvFailed: pip could not install it.
        """
        folder = _FOLDER / self.name
        python, stamp = folder / "bin" / "python", folder / "installed.txt"
        wanted = "\n".join(self.requirements)
        if not (stamp.exists() and stamp.read_text(encoding="utf-8") == wanted):
            sys.stderr.write(f"making {folder} with {', '.join(self.requirements)} ...\n")
            if not python.exists():
                venv.create(folder, with_pip=True, symlinks=True)
            self._install(python)
            stamp.write_text(wanted, encoding="utf-8")
        return python

    def _install(self, python: Path) -> None:
        command = [str(python), "-m", "pip", "install", "-q", *self.requirements]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["pip said nothing"]
            raise EnvFailed(f"{self.name} cannot be installed: {lines[-1]}")

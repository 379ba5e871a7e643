"""Versions, the clock, the settings."""

from __future__ import annotations

import platform
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from nbflow.doctor.facts import Fact
from nbflow.settings import Settings
from nbflow.triggers.zones import local_zone_name, zone

_PACKAGES = ("ipython", "ipykernel", "jupyter_server", "jupyterlab", "apprise")
_FIRST_SECOND = 1_704_067_200.0  # of 2024: a clock that shows less was never set


def versions() -> Iterator[Fact]:
    """Of what nbflow stands on. Nothing of it is imported."""
    yield Fact("versions", "nbflow", _version("nbflow") or "not installed")
    python = f"{platform.python_version()} ({platform.system()} {platform.machine()})"
    yield Fact("versions", "Python", python)
    yield Fact("versions", "SQLite", sqlite3.sqlite_version)
    for package in _PACKAGES:
        found = _version(package)
        if found is not None:
            yield Fact("versions", package, found)


def clock() -> Iterator[Fact]:
    """What time it is here, and whether times of other places can be told."""
    now = time.time()
    local = datetime.fromtimestamp(now, UTC).astimezone()
    was_set = now >= _FIRST_SECOND
    yield Fact(
        "clock",
        "now",
        local.isoformat(sep=" ", timespec="seconds"),
        "" if was_set else "set the clock: fire times cannot be told",
    )
    try:
        name = local_zone_name()
        yield Fact("clock", "time zone", name)
        zone("America/New_York")
        zone(name)
    except Exception as error:  # of tzlocal's or of zoneinfo's: files of any content
        advice = "install the names of the zones (`pip install -U tzdata`), or set TZ to one"
        yield Fact("clock", "time zones", str(error), advice)
    else:
        yield Fact("clock", "time zones", f"known{_by_tzdata()}")


def settings(found: Settings) -> Iterator[Fact]:
    """Those that are not as they come."""
    usual = Settings()
    changed = [
        (field.name, getattr(found, field.name))
        for field in fields(Settings)
        if getattr(found, field.name) != getattr(usual, field.name) and field.name != "home"
    ]
    for name, value in changed:
        yield Fact("settings", name, str(value))
    if not changed:
        yield Fact("settings", "all", "as they come")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _by_tzdata() -> str:
    found = _version("tzdata")
    return "" if found is None else f" (tzdata {found})"

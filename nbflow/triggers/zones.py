"""Time zones by name, with the nearest one for a name that there is not."""

from __future__ import annotations

import zoneinfo
from datetime import tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from nbflow.errors import InvalidSchedule

_TAKES = "a zone of the tz database, such as America/New_York, Europe/Paris or UTC"
_UTC = frozenset({"Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu", "UCT", "Universal", "Zulu"})
# Not of the database: files that differ from machine to machine, or count leap seconds.
_OTHER = ("posix/", "right/", "localtime", "posixrules", "Factory", "build/")


def zone(name: str | tzinfo) -> ZoneInfo:
    """The zone of this name.

    Raises:
        InvalidSchedule: There is none; the sentence names the nearest one.
    """
    if isinstance(name, tzinfo):
        name = getattr(name, "key", None) or str(name)
    if not isinstance(name, str):
        raise InvalidSchedule("timezone", name, f"give {_TAKES}")
    return _zone(name)


@lru_cache(maxsize=700)
def _zone(name: str) -> ZoneInfo:
    try:
        if name and len(name) <= 64 and not name.startswith(_OTHER):
            return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # what it raises depends on what lies at that path
        pass
    near = _nearest(name)
    advice = f"did you mean {near}?" if near else f"give {_TAKES}"
    raise InvalidSchedule("timezone", name, f"there is no such zone; {advice}")


def _nearest(name: str) -> str | None:
    import difflib

    wanted = _plain(name[:64])
    if not wanted:
        return None
    names = _names()
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.7)
    return names[near[0]] if near else None


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Every zone, by its name and by that of its city as people may write them."""
    names: dict[str, str] = {}
    for key in sorted(zoneinfo.available_timezones()):
        names.setdefault(_plain(key), key)
        names.setdefault(_plain(key.rpartition("/")[2]), key)
    return names


def _plain(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign.isalnum() or sign in "+-/")


def local_zone_name() -> str:
    """The zone this machine's clock is shown in; UTC where it has none with a name."""
    import warnings

    import tzlocal

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the machine's own files disagree about it
            name = tzlocal.get_localzone_name()
        return zone(name).key if name and name not in _UTC else "UTC"
    except (LookupError, ValueError, OSError):  # InvalidSchedule is a ValueError
        return "UTC"

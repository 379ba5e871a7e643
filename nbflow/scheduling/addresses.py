"""Where notices go: addresses as apprise takes them. They hold passwords and so are never shown."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from urllib.parse import unquote

from nbflow.errors import InvalidOption, NbflowError

_TAKES = (
    "addresses as apprise takes them, such as mailto://user:password@host, "
    "slack://token/token/token or json://host/path "
    "(https://github.com/caronc/apprise/wiki lists them)"
)


def check_addresses(addresses: str | Iterable[str], owner: str = "--notify") -> tuple[str, ...]:
    """Look whether notices can be sent there, as far as that can be told without sending.

    Args:
        owner: Whose option it is, for the error.

    Raises:
        InvalidOption: What is wrong with which address, without what is secret in it.
        NbflowError: apprise is not installed, and how to install it.
    """
    given = (addresses,) if isinstance(addresses, str) else tuple(addresses)
    for address in given:
        with _said.listening() as said:
            apprise = _apprise()
            try:
                service = apprise.Apprise.instantiate(address)
            except Exception as error:  # it has a plugin for each service, of many authors
                service, said[:] = None, [*said, str(error)]
        if service is None:
            reason = f"; apprise says: {_without(address, said[-1])}" if said else ""
            raise InvalidOption(owner, "notify", shown(address), _TAKES + reason)
    return given


def shown(address: str) -> str:
    """An address for people: `slack://***`."""
    scheme, found, _ = address.partition("://")
    return f"{scheme}://***" if found and scheme.isalnum() else "***"


def send(address: str, title: str, body: str, tone: str) -> None:
    """Send a text there. Blocks: some seconds where nobody answers.

    Args:
        tone: "failure", "warning" or "success"; some services choose a colour or a sign by it.

    Raises:
        NbflowError: Why it did not get there, without what is secret in the address.
    """
    with _said.listening() as said:
        apprise = _apprise()
        try:
            # Not by an `Apprise` of several: it would send on threads of its own, and what those
            # log could not be told from what the user's use of apprise logs.
            service = apprise.Apprise.instantiate(address)
            if service is not None and service.notify(body=body, title=title, notify_type=tone):
                return
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")
    raise NbflowError(_without(address, said[-1]) if said else "apprise gave no reason")


class _Said(logging.Filter):
    """Takes what is logged by a thread that sends: it is told in a warning of ours, or not at all.

    At its lowest levels apprise logs addresses with all that is in them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        said: list[str] | None = getattr(self._local, "said", None)
        if said is None:
            return True
        if record.levelno >= logging.WARNING:
            said.append(record.getMessage())
        return False

    @contextmanager
    def listening(self) -> Iterator[list[str]]:
        """The warnings that this thread gets meanwhile."""
        for name in ("apprise", "urllib3.connectionpool"):
            logging.getLogger(name).addFilter(self)  # twice is once
        said: list[str] = []
        self._local.said = said
        try:
            yield said
        finally:
            self._local.said = None


_said = _Said()


def _apprise() -> ModuleType:
    try:
        import apprise  # 0.2 s
    except ImportError as error:
        raise NbflowError(
            "notices need apprise; install it with `pip install 'nbflow[notify]'`"
        ) from error
    return apprise


def _without(address: str, text: str) -> str:
    """The first line of a text, without any word of an address but its scheme."""
    rest = address.rpartition("://")[2]
    text = text.strip().partition("\n")[0]
    words = {word.casefold() for one in (rest, unquote(rest)) for word in re.findall(r"\w+", one)}
    text = text.replace(rest, "***") if rest else text
    return re.sub(r"\w+", lambda found: "***" if found[0].casefold() in words else found[0], text)

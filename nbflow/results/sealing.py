"""Code and notebooks that are kept to be run later, sealed with the key of the home folder.

Whoever may write to the store's file can put anything into it; what the key did not seal for this
very purpose is neither unpickled nor run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbflow.errors import ResultUnreadable
from nbflow.model.deployments import DeploymentSpec
from nbflow.results.serializers import PickleSerializer
from nbflow.results.signing import MAC_BYTES, Signer
from nbflow.settings import load_settings

# magic 6 | MAC 32 | payload
_MAGIC = b"NBFS1\n"
_HEAD_BYTES = len(_MAGIC) + MAC_BYTES


def seal(purpose: str, payload: bytes, folder: Path | None = None) -> bytes:
    """The payload with the digest that only this home's key makes.

    Args:
        purpose: What it is for; it cannot be opened for another.
        folder: Where the key lies; None: the settings' home. A process that has a store gives
            the store's folder, which is another one where the home cannot be used.

    Raises:
        ResultUnreadable: The key cannot be used, and what to do about it.
        OSError: There is none and none can be written.
    """
    return _MAGIC + _signer(folder).mac(_bound(purpose), payload) + payload


def unseal(purpose: str, sealed: bytes, folder: Path | None = None) -> bytes:
    """The payload of what `seal` gave, with the same purpose and key.

    Raises:
        ResultUnreadable: It was damaged, sealed by another key or for another purpose, or the key
            cannot be used.
        OSError: As `seal`.
    """
    signer = _signer(folder)
    signer.key()  # what is wrong with it is told in its own words
    payload = sealed[_HEAD_BYTES:]
    try:
        if not sealed.startswith(_MAGIC):
            raise ResultUnreadable("not sealed at all")
        signer.check(_bound(purpose), sealed[len(_MAGIC) : _HEAD_BYTES], payload)
    except ResultUnreadable:
        raise ResultUnreadable(
            f"the stored code of {purpose} is damaged, or was not stored by this user with this "
            "home's key; it was not run. Deploy it again"
        ) from None
    return payload


def seal_value(purpose: str, value: Any, folder: Path | None = None) -> bytes:
    """Any value, sealed; functions and classes of notebooks and scripts go by value.

    Raises:
        Exception: It cannot be pickled, in pickle's own words.
        ResultUnreadable, OSError: As `seal`.
    """
    return seal(purpose, PickleSerializer().dumps(value), folder)


def unseal_value(purpose: str, sealed: bytes, folder: Path | None = None) -> Any:
    """The value of what `seal_value` gave. Nothing is unpickled unless the seal is right.

    Raises:
        ResultUnreadable, OSError: As `unseal`.
        Exception: What it needs cannot be imported here.
    """
    payload = unseal(purpose, sealed, folder)
    return PickleSerializer().loads(payload)


def purpose_of(deployment: DeploymentSpec) -> str:
    """What a deployment's snapshot is sealed for: its kind and its names are bound in."""
    return f"{deployment.kind.value} deployment {deployment.full_name!r}"


def _bound(purpose: str) -> str:
    """Kept results are signed by the same key: neither may pass for the other."""
    return f"sealed: {purpose}"


def _signer(folder: Path | None) -> Signer:
    home = load_settings().home if folder is None else folder
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Signer(home)

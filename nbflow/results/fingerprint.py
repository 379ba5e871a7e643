"""A content digest of a Python value: equal for equal values in any process, different otherwise.

It depends on types and values only, never on addresses, reference counts, hash seeds or set order.
What has no such digest raises `Unfingerprintable`: not cached is better than wrong.
"""

from __future__ import annotations

import hashlib
from typing import Any

from nbflow.results import file_inputs, fingerprint_plain  # noqa: F401  (fill the tables)
from nbflow.results.fingerprint_arrays import array_family
from nbflow.results.fingerprint_arrow import arrow_family
from nbflow.results.fingerprint_code import code_family, is_library_module
from nbflow.results.fingerprint_content import ContentWalk
from nbflow.results.fingerprint_frames import frame_family
from nbflow.results.fingerprint_objects import any_object, known_family
from nbflow.results.fingerprint_reading import Reading, read_names
from nbflow.results.fingerprint_walk import FAMILIES, SCALARS

__all__ = ["Reading", "fingerprint", "is_library_module", "read_names"]

_DIGEST_BYTES = 16
_VERSION = b"nbflow-2"
FAMILIES[:] = [code_family, array_family, frame_family, arrow_family, known_family, any_object]


def fingerprint(*values: Any) -> str:
    """32 hex digits that identify `values`.

    The parts are hashed with xxh3_128 at the memory's read speed, and bound together by blake2b.

    Raises:
        Unfingerprintable: One of them, or something inside, has no sure digest.
    """
    whole = hashlib.blake2b(_VERSION, digest_size=_DIGEST_BYTES)
    walk: ContentWalk | None = None
    for value in values:
        scalar = SCALARS.get(type(value))
        if scalar is not None:
            whole.update(scalar(value))
            continue
        walk = walk or ContentWalk()
        whole.update(walk.encode(value))
    return whole.hexdigest()

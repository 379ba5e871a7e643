"""What was not sealed with this home's key for this purpose is neither unpickled nor run."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from children import run_child
from planting import bit_flipped, evil, truncated

from nbflow import flow
from nbflow.errors import ResultUnreadable
from nbflow.model.deployments import DeploymentKind, DeploymentSpec
from nbflow.results.sealing import purpose_of, seal, seal_value, unseal, unseal_value
from nbflow.results.signing import MAC_BYTES, Signer

PAYLOAD = b"the code"
HEAD = 6 + MAC_BYTES


def spec(name: str = "daily", kind: DeploymentKind = DeploymentKind.FUNCTION) -> DeploymentSpec:
    return DeploymentSpec(flow_name="report", name=name, kind=kind, target="", folder="/")


@pytest.mark.parametrize("payload", [b"", PAYLOAD, os.urandom(100_000)])
def test_what_was_sealed_comes_back(home, payload):
    assert unseal("p", seal("p", payload)) == payload


def test_function_of_a_script_comes_back_by_value(home):
    add = 3

    def plus(x: int) -> int:
        return x + add

    plus.__module__ = "__main__"

    assert unseal_value("p", seal_value("p", plus))(1) == 4


def test_flow_of_one_process_runs_in_another(home):
    lines = run_child(
        """
        from nbflow import flow, task
        from nbflow.results.sealing import seal_value
        import base64
        OFFSET = 5
        @task
        def double(x): return 2 * x + OFFSET
        @flow(retries=1)
        def report(n: int = 1): return double(n)
        print(base64.b64encode(seal_value("p", report)).decode())
        """,
        home,
    )

    answers = run_child(
        """
        import base64, sys
        from nbflow.results.sealing import unseal_value
        flow = unseal_value("p", base64.b64decode(sys.argv[1]))
        print(flow(n=2), flow.name, flow.retries)
        """,
        home,
        lines[0],
    )

    assert answers == ["9 report 1"]


FORGED = {
    "bare pickle": lambda sealed, path: evil(path),
    "other pickle under the digest": lambda sealed, path: sealed[:HEAD] + evil(path),
    "no digest": lambda sealed, path: sealed[:6] + evil(path),
    "zeros for a digest": lambda sealed, path: sealed[:6] + bytes(MAC_BYTES) + evil(path),
    "appended": lambda sealed, path: sealed + evil(path),
    "other magic": lambda sealed, path: b"NBFS2\n" + sealed[6:],
    "half": lambda sealed, path: sealed[: len(sealed) // 2],
    "empty": lambda sealed, path: b"",
    "flipped bit": lambda sealed, path: bit_flipped(sealed, random.Random(1)),
    "truncated": lambda sealed, path: truncated(sealed, random.Random(1)),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_what_was_not_sealed_is_not_unpickled(home, tmp_path, forge):
    canary = tmp_path / "canary"
    forged = forge(seal_value("p", [1, 2, 3]), canary)

    with pytest.raises(ResultUnreadable, match=r"the stored code of p is damaged, or was not .*"):
        unseal_value("p", forged)

    assert not canary.exists()


def test_seal_holds_for_its_purpose_and_key_only(home, tmp_path):
    sealed = seal("p", PAYLOAD)

    for purpose, folder in (("q", None), ("p", tmp_path / "other")):
        with pytest.raises(ResultUnreadable, match="Deploy it again"):
            unseal(purpose, sealed, folder)


def test_kept_result_does_not_pass_for_sealed_code(home):
    """Both are signed with one key."""
    seal("p", b"")
    mac = Signer(home).mac("p", PAYLOAD)

    with pytest.raises(ResultUnreadable):
        unseal("p", b"NBFS1\n" + mac + PAYLOAD)


def test_purpose_binds_the_names_and_the_kind():
    specs = [spec(), spec("weekly"), spec(kind=DeploymentKind.NOTEBOOK)]

    assert len({purpose_of(one) for one in specs}) == 3


def test_key_that_others_can_read_is_named(home: Path):
    sealed = seal("p", PAYLOAD)
    (home / "key").chmod(0o644)

    with pytest.raises(ResultUnreadable, match="others can read the key"):
        unseal("p", sealed)


def test_folder_that_is_given_holds_the_key(home, tmp_path):
    sealed = seal("p", PAYLOAD, tmp_path / "other")

    assert unseal("p", sealed, tmp_path / "other") == PAYLOAD
    assert not home.exists()


def test_value_that_cannot_be_pickled_is_told_in_pickles_words(home):
    import threading

    lock = threading.Lock()

    @flow
    def locked() -> None:
        lock.acquire()

    with pytest.raises(TypeError, match="cannot pickle"):
        seal_value("p", locked)

"""Claims: of several that need one result, one computes it; a claim dies with its holder."""

from __future__ import annotations

import os
import threading
import time

import pytest
from children import Child

from nbflow.results.claims import Claim, Claims
from nbflow.results.results import Hit

ABOUT = {"task_name": "t", "run_id": "r", "seconds": 1.5}
HOLDER = """
    import os, sys
    from pathlib import Path
    from nbflow.results.claims import Claims
    claim = Claims(Path(sys.argv[1])).take("k", "the-run")
    print("taken" if claim else "refused", flush=True)
    input()
"""


@pytest.fixture
def claims(tmp_path):
    return Claims(tmp_path / "claims")


def test_one_at_a_time(claims):
    claim = claims.take("k", "one")

    assert claims.take("k", "two") is None
    assert claims.take("other", "two") is not None
    assert claims.holder("k") == "one"
    claim.release()
    claim.release()
    assert claims.holder("k") == ""
    with claims.take("k", "two"):
        assert claims.holder("k") == "two"


def test_claim_that_is_lost_is_released(claims):
    claim = claims.take("k", "one")
    assert claims.take("k", "two") is None

    del claim

    assert claims.take("k", "two") is not None


def test_claim_leaves_no_file(claims, tmp_path):
    for n in range(20):
        claims.take(f"k{n}", "one").release()

    assert list((tmp_path / "claims").iterdir()) == []


def test_claim_of_another_process_dies_with_it(claims, tmp_path):
    child = Child(HOLDER, tmp_path, tmp_path / "claims")
    assert child.line() == "taken"
    assert claims.take("k", "mine") is None
    assert claims.holder("k") == "the-run"

    child.kill()

    assert claims.take("k", "mine") is not None


def test_forked_child_does_not_hold_its_parents_claim(claims):
    claim = claims.take("k", "one")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)  # until the parent lets go
        os._exit(0)
    claim.release()

    assert claims.take("k", "two") is not None
    os.close(writer)
    os.waitpid(child, 0)
    os.close(reader)


def test_files_of_killed_holders_are_swept(claims, tmp_path):
    old = time.time() - 3700
    held = claims.take("held", "one")
    (tmp_path / "claims" / "left").touch()
    (tmp_path / "claims" / "new").touch()
    for path in (tmp_path / "claims").iterdir():
        if path.name != "new":
            os.utime(path, (old, old))

    claims.sweep()

    assert len(list((tmp_path / "claims").iterdir())) == 2
    assert claims.take("held", "two") is None
    held.release()


def test_without_locks_everybody_may_compute(tmp_path):
    (tmp_path / "claims").write_text("no folder")
    claims = Claims(tmp_path / "claims")

    assert claims.take("k", "one") is not None
    assert claims.take("k", "two") is not None


def test_crowd_computes_once(claims, tmp_path):
    """Files are made, locked, removed and made again all the time: never two holders."""
    inside, most, n_taken = [], [], []

    def work():
        for _ in range(200):
            claim = claims.take("k", "x")
            if claim is None:
                continue
            inside.append(1)
            most.append(len(inside))
            inside.pop()
            n_taken.append(1)
            claim.release()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert max(most) == 1
    assert len(n_taken) > 10


# --- waiting for a result -----------------------------------------------------------------------


def in_thread(fn, *args, **kwargs):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(fn(*args, **kwargs)), daemon=True)
    thread.start()
    return thread, answers


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.002)


def n_waiting(results):
    return len(results._open().claims.bells)


def test_waiter_gets_what_the_holder_saves(results):
    claim = results.lookup_or_claim("k", run_id="one")
    assert isinstance(claim, Claim)
    waiters = [in_thread(results.lookup_or_claim, "k", run_id=str(n)) for n in range(5)]
    until(lambda: n_waiting(results) == 5)

    results.save("k", 7, **ABOUT)
    claim.release()

    for thread, answers in waiters:
        thread.join(20)
        assert isinstance(answers[0], Hit)
        assert answers[0].value == 7


def test_failed_holder_leaves_it_to_the_waiters(results):
    """The first of them has the claim, and the others do not fail one after the other."""
    claim = results.lookup_or_claim("k", run_id="one")
    waiters = [in_thread(results.lookup_or_claim, "k", run_id=str(n)) for n in range(5)]
    until(lambda: n_waiting(results) == 5)

    claim.release()

    for thread, _ in waiters:
        thread.join(20)
    found = [answers[0] for _, answers in waiters]
    assert sorted(map(type, found), key=str) == sorted(
        [Claim, type(None), type(None), type(None), type(None)], key=str
    )


def test_waiter_whose_run_is_over_gives_up(results):
    claim = results.claim("k", "one")
    over = threading.Event()
    thread, answers = in_thread(results.lookup_or_claim, "k", run_id="two", is_over=over.is_set)
    until(lambda: n_waiting(results) == 1)

    over.set()
    thread.join(20)

    assert answers == [None]
    assert n_waiting(results) == 0
    claim.release()


def test_claim_is_public_and_does_not_wait(results):
    with results.claim("k"):
        assert results.claim("k") is None
    assert results.claim("k") is not None

"""What is damaged or not of this user is never unpickled: it is dropped, and told once."""

from __future__ import annotations

import logging
import os
import random
import secrets
import stat
from dataclasses import replace

import numpy as np
import pytest
from children import Child, is_intact
from planting import bit_flipped, entry_of, evil, plant, truncated

from nbflow.errors import ResultUnreadable
from nbflow.results.entries import Draft
from nbflow.results.results import Results
from nbflow.results.signing import Signer
from nbflow.store.store import Store

SMALL = {"a": [1, 2.5, None, "é"]}
LARGE = list(range(50_000))
ARRAY = np.arange(20_000.0)
ABOUT = {"task_name": "t", "run_id": "r", "seconds": 1.5}
HEAD = 60  # up to and with the MAC


def resealed(entry, path):
    """The old head over another pickle of the same length."""
    return entry[: HEAD + 6] + evil(path).ljust(len(entry) - HEAD - 6, b"\0")


FORGED = {
    "bare pickle": lambda entry, path: evil(path),
    "first form": lambda entry, path: b"NBFR1\n" + bytes(32) + b"pickle\n" + evil(path),
    "unsigned": lambda entry, path: entry[: HEAD - 32] + bytes(32) + entry[HEAD:],
    "random digest": lambda entry, path: entry[:28] + secrets.token_bytes(32) + entry[HEAD:],
    "digest of another": resealed,
    "without a digest": lambda entry, path: entry[:28] + entry[HEAD:],
    "appended": lambda entry, path: entry + evil(path),
    "half": lambda entry, path: entry[: len(entry) // 2],
    "without its last byte": lambda entry, path: entry[:-1],
    "empty": lambda entry, path: b"",
    "zeros": lambda entry, path: bytes(len(entry)),
    "only the head": lambda entry, path: entry[:HEAD],
    "other magic": lambda entry, path: b"NBFR3\n" + entry[6:],
    "longer name": lambda entry, path: entry[:6] + b"\xff\xff" + entry[8:],
    "longer data": lambda entry, path: entry[:8] + b"\xff" * 8 + entry[16:],
    "more buffers": lambda entry, path: entry[:24] + b"\xff" * 4 + entry[28:],
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("value", [SMALL, LARGE, ARRAY], ids=["row", "file", "buffers"])
def test_entry_that_is_not_ours_is_never_unpickled(results, store, tmp_path, caplog, value, forge):
    canary = tmp_path / "canary"
    results.save("k", value, **ABOUT)
    plant(store, "k", forge(entry_of(store, "k"), canary))

    assert results.lookup("k") is None
    assert results.lookup("k") is None

    assert not canary.exists()
    assert store.get_result("k") is None
    assert not list(results.folder.glob("*.result"))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "the kept result of task 't' is not used" in record.getMessage()
    results.save("k", value, **ABOUT)
    assert np.array_equal(results.lookup("k").value, value)


def test_entry_of_another_key_is_not_used(results, store):
    """Swapping two good entries of the same user would give a wrong value."""
    for value in (1, ARRAY):
        results.save("one", value, **ABOUT)
        results.save("two", value + 1, **ABOUT)
        plant(store, "one", entry_of(store, "two"))

        assert results.lookup("one") is None
        assert np.array_equal(results.lookup("two").value, value + 1)


def test_entry_of_another_home_is_not_used(results, store, tmp_path):
    canary = tmp_path / "canary"
    results.save("k", SMALL, **ABOUT)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    plant(store, "k", Draft("pickle", evil(canary), ()).whole(Signer(foreign), "k"))

    assert results.lookup("k") is None
    assert not canary.exists()


def same(value, other):
    return np.array_equal(value, other) if isinstance(other, np.ndarray) else value == other


@pytest.mark.parametrize("damage", [bit_flipped, truncated])
@pytest.mark.parametrize("value", [SMALL, LARGE, ARRAY], ids=["row", "file", "buffers"])
def test_no_damage_gives_a_wrong_value(results, store, value, damage):
    seed = random.randrange(10**6)
    print("seed", seed)
    rng = random.Random(seed)
    results.save("k", value, **ABOUT)
    good = entry_of(store, "k")
    logging.disable(logging.WARNING)
    try:
        for _ in range(150):
            plant(store, "k", damage(good, rng))
            hit = results.lookup("k")
            # Only a bit between two buffers may change nothing.
            assert hit is None or same(hit.value, value)
            assert (hit is None) or value is ARRAY
            if hit is None:
                results.save("k", value, **ABOUT)
                good = entry_of(store, "k")
    finally:
        logging.disable(logging.NOTSET)


def test_swapped_files_are_not_used(results, store):
    rng = random.Random(5)
    keys = [f"k{n}" for n in range(20)]
    for n, key in enumerate(keys):
        results.save(key, ARRAY + n, **ABOUT)
    entries = {key: entry_of(store, key) for key in keys}
    order = keys[1:] + keys[:1]
    rng.shuffle(order)

    for key, other in zip(keys, order, strict=True):
        plant(store, key, entries[other])

    for n, (key, other) in enumerate(zip(keys, order, strict=True)):
        hit = results.lookup(key)
        assert (hit is None) == (key != other)
        assert hit is None or np.array_equal(hit.value, ARRAY + n)


def test_unchecked_buffers_cannot_run_anything(store, tmp_path):
    """With the check of the buffers off, they may be wrong, but name no function."""
    canary = tmp_path / "canary"
    results = Results(store, verify_buffers=False)
    words = np.array([f"word {n}" for n in range(10_000)], dtype=object)
    results.save("k", words, **ABOUT)
    assert results.lookup("k").value.tolist() == words.tolist()
    entry = entry_of(store, "k")
    at = entry.rindex(b"\x80\x05\x95")
    plant(store, "k", entry[:at] + evil(canary).ljust(len(entry) - at, b"."))

    assert results.lookup("k") is None
    assert not canary.exists()


def test_missing_file_is_a_miss_without_a_word(results, store, caplog):
    results.save("k", LARGE, **ABOUT)
    (store.folder / "results" / store.get_result("k").file).unlink()

    assert results.lookup("k") is None
    assert store.get_result("k") is None
    assert not caplog.records


def test_file_outside_of_the_folder_is_neither_read_nor_removed(results, store, tmp_path):
    canary = tmp_path / "canary"
    results.save("k", LARGE, **ABOUT)
    (tmp_path / "planted").write_bytes(evil(canary))
    store.put_result(replace(store.get_result("k"), file="../../planted"))

    assert results.lookup("k") is None
    results.forget(all=True)

    assert not canary.exists()
    assert (tmp_path / "planted").exists()


def test_file_that_cannot_be_read_now_is_kept(results, store, caplog):
    results.save("k", LARGE, **ABOUT)
    file = results.folder / store.get_result("k").file
    good = file.read_bytes()
    file.unlink()
    file.mkdir()

    assert results.lookup("k") is None
    assert results.lookup("k") is None
    assert len(caplog.records) == 1

    file.rmdir()
    file.write_bytes(good)
    assert results.lookup("k").value == LARGE


# --- the key ------------------------------------------------------------------------------------


def test_key_is_for_its_user_only(results, store):
    results.save("k", SMALL, **ABOUT)

    key = store.folder / "key"

    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.stat().st_size == 64


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_key_that_others_can_read_is_not_used(results, store, caplog, mode):
    results.save("k", SMALL, **ABOUT)
    (store.folder / "key").chmod(mode)

    fresh = Results(store)
    assert fresh.lookup("k") is None
    with pytest.raises(ResultUnreadable, match=r"others can read the key.*chmod 600"):
        fresh.save("k", SMALL, **ABOUT)

    assert "chmod 600" in caplog.text
    (store.folder / "key").chmod(0o600)
    assert fresh.lookup("k").value == SMALL


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_key_of_another_user_is_not_used(results, store):
    results.save("k", SMALL, **ABOUT)
    os.chown(store.folder / "key", 12345, -1)

    with pytest.raises(ResultUnreadable, match="belongs to another user"):
        Results(store).save("k", SMALL, **ABOUT)
    assert Results(store).lookup("k") is None


def test_folder_that_everybody_can_write_to_is_not_trusted(results, store):
    results.save("k", SMALL, **ABOUT)
    store.folder.chmod(0o777)

    assert Results(store).lookup("k") is None
    with pytest.raises(ResultUnreadable, match="chmod o-w"):
        Results(store).save("k", SMALL, **ABOUT)


@pytest.mark.parametrize("key", [b"", b"x", b"x" * 65], ids=["empty", "short", "long"])
def test_damaged_key_signs_nothing(results, store, key):
    """With an empty one anybody could sign."""
    results.save("k", SMALL, **ABOUT)
    (store.folder / "key").write_bytes(key)

    fresh = Results(store)
    assert fresh.lookup("k") is None
    with pytest.raises(ResultUnreadable, match="damaged; delete it"):
        fresh.save("k", SMALL, **ABOUT)


def test_processes_that_start_at_once_agree_on_the_key(home):
    code = """
        import os
        from pathlib import Path
        from nbflow.results.signing import Signer
        home = Path(os.environ["NBFLOW_HOME"])
        home.mkdir(exist_ok=True)
        print("ready", flush=True)
        input()
        print(Signer(home).mac("p", b"x").hex())
    """
    children = [Child(code, home) for _ in range(8)]
    for child in children:
        assert child.line() == "ready"
    for child in children:
        child.tell()

    assert len({tuple(child.end()) for child in children}) == 1
    assert os.listdir(home) == ["key"]


# --- other processes ----------------------------------------------------------------------------


def test_writers_of_one_key_leave_one_of_their_values(home):
    code = """
        import os, sys
        from pathlib import Path
        from nbflow.results.results import Results
        from nbflow.store.store import Store
        results = Results(Store(Path(os.environ["NBFLOW_HOME"])))
        for n in range(15):
            results.save("k", [sys.argv[1]] * 20_000, task_name="t", run_id="r", seconds=0)
            hit = results.lookup("k")
            assert hit is None or len(set(hit.value)) == 1
    """
    children = [Child(code, home, n) for n in range(8)]
    for child in children:
        child.end()
        assert child.stderr == ""

    results = Results(Store(home))
    assert set(results.lookup("k").value) <= set("01234567")
    assert len(list(results.folder.glob("*.result"))) == 1
    assert is_intact(home)

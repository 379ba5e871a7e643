"""Kept results: whole and of this user, or not used at all."""

from __future__ import annotations

import json
import logging
import os
import pickle
import random
import secrets
import stat
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from children import Child, is_intact, run_child

from nbflow.errors import ResultUnreadable
from nbflow.results.results import Results
from nbflow.results.serializers import (
    NAMED,
    CompressedSerializer,
    JSONSerializer,
    PickleSerializer,
)
from nbflow.results.signing import Signer
from nbflow.store.store import Store

SMALL = {"a": [1, 2.5, None, "é"]}
LARGE = list(range(50_000))
ABOUT = {"task_name": "t", "run_id": "r", "seconds": 1.5}


@pytest.fixture
def store(home):
    opened = Store(home, may_fall_back=False)
    yield opened
    opened.close()


@pytest.fixture
def results(store):
    return Results(store)


class Canary:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def entry_of(store: Store, key: str) -> bytes:
    row = store.get_result(key)
    return row.entry or (store.folder / "results" / row.file).read_bytes()


def plant(store: Store, key: str, entry: bytes) -> None:
    """Put an entry in place of the one that is kept."""
    row = store.get_result(key)
    if row.file is None:
        store.put_result(replace(row, entry=entry))
    else:
        (store.folder / "results" / row.file).write_bytes(entry)


# --- keeping ------------------------------------------------------------------------------------


@pytest.mark.parametrize("serializer", [None, *NAMED.values()], ids=lambda s: s and s.name)
@pytest.mark.parametrize("value", [SMALL, LARGE, None, ""], ids=["small", "large", "none", "empty"])
def test_roundtrip(results, value, serializer):
    results.save("k", value, **ABOUT, serializer=serializer)

    hit = results.lookup("k", serializer)

    assert (hit.value, hit.seconds) == (value, 1.5)
    assert abs(hit.created_at - time.time()) < 60


def test_small_values_are_in_the_row_and_large_ones_in_a_file(results, store):
    results.save("small", SMALL, **ABOUT)
    results.save("large", LARGE, **ABOUT)

    assert store.get_result("small").file is None
    row = store.get_result("large")
    assert row.entry is None
    file = store.folder / "results" / row.file
    assert file.stat().st_size == row.size_bytes
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_kept_value_is_replaced(results):
    for value in (SMALL, LARGE, SMALL):
        results.save("k", value, **ABOUT)
        assert results.lookup("k").value == value


def test_missing_key_is_a_miss(results):
    assert results.lookup("absent") is None


def test_kept_value_is_found_by_another_process(home):
    run_child(
        """
        from nbflow.results.results import Results
        from nbflow.store.store import Store
        from pathlib import Path
        import os
        store = Store(Path(os.environ["NBFLOW_HOME"]))
        Results(store).save("k", [1, 2], task_name="t", run_id="r", seconds=0)
        """,
        home,
    )
    assert Results(Store(home)).lookup("k").value == [1, 2]


def test_expired_value_is_not_used(results):
    results.save("k", SMALL, **ABOUT, expiration_seconds=0)
    results.save("later", SMALL, **ABOUT, expiration_seconds=3600)

    assert results.lookup("k") is None
    assert results.lookup("later").value == SMALL


def test_value_of_another_serializer_is_a_miss(results):
    results.save("k", SMALL, **ABOUT, serializer=JSONSerializer())

    assert results.lookup("k", PickleSerializer()) is None
    assert results.lookup("k").value == SMALL


def test_json_is_json_and_compressed_is_smaller(results, store):
    results.save("json", SMALL, **ABOUT, serializer=JSONSerializer())
    results.save("plain", LARGE, **ABOUT)
    results.save("packed", LARGE, **ABOUT, serializer=CompressedSerializer())

    assert json.loads(entry_of(store, "json").partition(b"json\n")[2]) == SMALL
    assert len(entry_of(store, "packed")) < len(entry_of(store, "plain")) / 1.2


def test_value_that_cannot_be_serialized_is_told_and_leaves_nothing(results, store):
    with pytest.raises(TypeError, match="not JSON serializable"):
        results.save("k", {1, 2}, **ABOUT, serializer=JSONSerializer())
    with pytest.raises(TypeError, match="cannot pickle"):
        results.save("k", threading.Lock(), **ABOUT)

    assert store.get_result("k") is None


# --- damage and malice --------------------------------------------------------------------------

MAGIC = b"NBFR1\n"


def bit_flipped(entry: bytes) -> bytes:
    n = random.randrange(len(entry) * 8)
    flipped = bytearray(entry)
    flipped[n // 8] ^= 1 << n % 8
    return bytes(flipped)


def evil(path: Path) -> bytes:
    return b"pickle\n" + pickle.dumps(Canary(path))


FORGED = {
    "bare pickle": lambda entry, path: pickle.dumps(Canary(path)),
    "unsigned": lambda entry, path: evil(path),
    "zero digest": lambda entry, path: MAGIC + bytes(32) + evil(path),
    "random digest": lambda entry, path: MAGIC + secrets.token_bytes(32) + evil(path),
    "digest of another": lambda entry, path: entry[:38] + evil(path),
    "appended": lambda entry, path: entry + evil(path),
    "truncated": lambda entry, path: entry[: len(entry) // 2],
    "without its last byte": lambda entry, path: entry[:-1],
    "empty": lambda entry, path: b"",
    "only the digest": lambda entry, path: entry[:38],
    "bit flipped": lambda entry, path: bit_flipped(entry),
    "other magic": lambda entry, path: b"NBFR2\n" + entry[6:],
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("value", [SMALL, LARGE], ids=["row", "file"])
def test_entry_that_is_not_ours_is_never_unpickled(results, store, tmp_path, caplog, value, forge):
    canary = tmp_path / "canary"
    results.save("k", value, **ABOUT)
    plant(store, "k", forge(entry_of(store, "k"), canary))

    assert results.lookup("k") is None
    assert results.lookup("k") is None

    assert not canary.exists()
    assert store.get_result("k") is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "the kept result of task 't' is not used" in record.getMessage()


def test_canary_works(tmp_path):
    pickle.loads(evil(tmp_path / "canary").partition(b"\n")[2])

    assert (tmp_path / "canary").exists()


def test_entry_of_another_key_is_not_used(results, store, tmp_path):
    """Swapping two good entries of the same user would give a wrong value."""
    results.save("one", 1, **ABOUT)
    results.save("two", 2, **ABOUT)
    plant(store, "one", entry_of(store, "two"))

    assert results.lookup("one") is None
    assert results.lookup("two").value == 2


def test_entry_of_another_home_is_not_used(results, store, tmp_path):
    canary = tmp_path / "canary"
    results.save("k", SMALL, **ABOUT)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    plant(store, "k", Signer(foreign).seal("k", evil(canary)))

    assert results.lookup("k") is None
    assert not canary.exists()


@pytest.mark.parametrize("value", [SMALL, LARGE], ids=["row", "file"])
def test_no_flipped_bit_gives_a_value(results, store, value):
    random.seed(1)
    results.save("k", value, **ABOUT)
    good = entry_of(store, "k")
    signer = Signer(store.folder)

    for _ in range(500):
        with pytest.raises(ResultUnreadable):
            signer.open("k", bit_flipped(good))
    for _ in range(200):
        with pytest.raises(ResultUnreadable):
            signer.open("k", good[: random.randrange(len(good))])
    assert signer.open("k", good)


def test_missing_file_is_a_miss(results, store):
    results.save("k", LARGE, **ABOUT)
    (store.folder / "results" / store.get_result("k").file).unlink()

    assert results.lookup("k") is None


def test_file_outside_of_the_folder_is_not_unpickled(results, store, tmp_path):
    canary = tmp_path / "canary"
    results.save("k", LARGE, **ABOUT)
    (tmp_path / "planted").write_bytes(evil(canary))
    store.put_result(replace(store.get_result("k"), file="../../planted"))

    assert results.lookup("k") is None
    assert not canary.exists()


def test_value_whose_class_is_gone_is_dropped(results, store, monkeypatch):
    module = type(sys)("vanishing")
    exec("class C: pass", vars(module))
    module.C.__module__ = "vanishing"
    monkeypatch.setitem(sys.modules, "vanishing", module)
    results.save("k", module.C(), **ABOUT)
    monkeypatch.delitem(sys.modules, "vanishing")

    assert results.lookup("k") is None
    assert store.get_result("k") is None


def test_deferred_value_that_is_gone_says_so(results, store):
    results.save("k", SMALL, **ABOUT)
    load = results.loader("k", None)
    assert load() == SMALL

    store.drop_result("k")

    with pytest.raises(ResultUnreadable, match="no longer there"):
        load()


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
        print(Signer(home).seal("p", b"x").hex())
    """
    children = [Child(code, home) for _ in range(8)]
    for child in children:
        assert child.line() == "ready"
    for child in children:
        child.tell()

    assert len({tuple(child.end()) for child in children}) == 1
    assert os.listdir(home) == ["key"]


# --- kill -9 ------------------------------------------------------------------------------------


def test_killed_while_writing_leaves_a_whole_value_or_none(home):
    code = """
        import os
        from pathlib import Path
        from nbflow.results.results import Results
        from nbflow.store.store import Store
        results = Results(Store(Path(os.environ["NBFLOW_HOME"])))
        n = 0
        while True:
            value = [n] * (5 if n % 2 else 20_000)
            results.save(f"k{n % 7}", value, task_name="t", run_id=str(n), seconds=0)
            print(n, flush=True)
            n += 1
    """
    rng = random.Random(3)
    for _ in range(8):
        child = Child(code, home)
        child.line()
        threading.Event().wait(rng.uniform(0, 0.15))
        child.kill()

        store = Store(home, may_fall_back=False)
        results = Results(store)
        for n in range(7):
            hit = results.lookup(f"k{n}")
            assert hit is None or len(hit.value) in (5, 20_000)
            assert hit is None or set(hit.value) == {hit.value[0]}
        store.close()
    assert is_intact(home)


def test_writers_of_one_key_leave_one_of_their_values(home):
    code = """
        import os, sys
        from pathlib import Path
        from nbflow.results.results import Results
        from nbflow.store.store import Store
        results = Results(Store(Path(os.environ["NBFLOW_HOME"])))
        for n in range(15):
            results.save("k", [sys.argv[1]] * 20_000, task_name="t", run_id="r", seconds=0)
            assert len(set(results.lookup("k").value)) == 1
    """
    children = [Child(code, home, n) for n in range(4)]
    for child in children:
        child.end()
        assert child.stderr == ""

    assert set(Results(Store(home)).lookup("k").value) <= set("0123")


def test_only_one_place_loads_pickles():
    """Every other would be a way around the signature."""
    package = Path(sys.modules["nbflow"].__file__).parent
    loading = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if "pickle.loads(" in path.read_text() or "pickle.load(" in path.read_text()
    }

    # Processes of a pool speak with their parent over a pipe that only they hold.
    assert loading <= {"results/serializers.py", "engine/processes.py", "engine/remote.py"}

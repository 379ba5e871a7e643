"""Kept results: found again, listed, forgotten; see the other modules for damage and eviction."""

from __future__ import annotations

import json
import logging
import pickle
import stat
import sys
import threading
import time
from pathlib import Path

import pytest
from children import run_child
from planting import entry_of

from nbflow.errors import ResultUnreadable
from nbflow.results.results import Results
from nbflow.results.serializers import (
    NAMED,
    CompressedSerializer,
    JSONSerializer,
    PickleSerializer,
)
from nbflow.store.store import Store

SMALL = {"a": [1, 2.5, None, "é"]}
LARGE = list(range(50_000))
ABOUT = {"task_name": "t", "run_id": "r", "seconds": 1.5}


# --- keeping ------------------------------------------------------------------------------------


@pytest.mark.parametrize("serializer", [None, *NAMED.values()], ids=lambda s: s and s.name)
@pytest.mark.parametrize("value", [SMALL, LARGE, None, ""], ids=["small", "large", "none", "empty"])
def test_roundtrip(results, value, serializer):
    size_bytes = results.save("k", value, **ABOUT, serializer=serializer)

    hit = results.lookup("k", serializer)

    assert (hit.value, hit.seconds, hit.size_bytes) == (value, 1.5, size_bytes)
    assert abs(hit.created_at - time.time()) < 60


@pytest.mark.parametrize("key", ["", "a/../b", "\udcff", "ключ", "x" * 10_000, "a\0b"])
def test_any_text_is_a_key(results, key):
    try:
        results.save(key, LARGE, **ABOUT)
    except UnicodeEncodeError:
        assert key == "\udcff"  # SQLite takes UTF-8 only; the task then runs without its cache
        assert not list(results.folder.glob("*.result"))
    else:
        assert results.lookup(key).value == LARGE
    assert results.lookup(key + "x") is None


def test_small_values_are_in_the_row_and_large_ones_in_a_file(results, store):
    results.save("small", SMALL, **ABOUT)
    results.save("large", LARGE, **ABOUT)

    assert store.get_result("small").file is None
    row = store.get_result("large")
    assert row.entry is None
    file = store.folder / "results" / row.file
    assert file.stat().st_size == row.size_bytes
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_kept_value_is_replaced(results):
    for value in (SMALL, LARGE, SMALL, LARGE[1:], LARGE):
        results.save("k", value, **ABOUT)
        assert results.lookup("k").value == value
    assert len(list(results.folder.glob("*.result"))) == 1


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


def test_value_over_age_is_not_used(results, store):
    results.save("k", SMALL, **ABOUT)

    assert Results(store, max_age_seconds=0).lookup("k") is None
    assert Results(store, max_age_seconds=60).lookup("k").value == SMALL


def test_value_of_another_serializer_is_a_miss(results):
    results.save("k", SMALL, **ABOUT, serializer=JSONSerializer())

    assert results.lookup("k", PickleSerializer()) is None
    assert results.lookup("k").value == SMALL


def test_json_is_json_and_compressed_is_smaller(results, store):
    results.save("json", SMALL, **ABOUT, serializer=JSONSerializer())
    results.save("plain", LARGE, **ABOUT)
    results.save("packed", LARGE, **ABOUT, serializer=CompressedSerializer())

    assert entry_of(store, "json").endswith(json.dumps(SMALL).encode())
    assert len(entry_of(store, "packed")) < len(entry_of(store, "plain")) / 1.2


class Reversed:
    """A serializer of somebody else's, with buffers beside its data."""

    name = "reversed"

    def dump(self, value):
        return b"|".join(str(len(one)).encode() for one in value), [one[::-1] for one in value]

    def load(self, data, buffers):
        assert [int(n) for n in bytes(data).split(b"|")] == [len(one) for one in buffers]
        assert not any(one.readonly for one in buffers)
        return [bytes(one)[::-1] for one in buffers]


@pytest.mark.parametrize("size", [0, 1, 100, 5_000, 70_000, 3_000_000])
def test_serializer_with_buffers_of_its_own(results, size):
    value = [b"x" * size, b"", b"yz" * size]

    results.save("k", value, **ABOUT, serializer=Reversed())

    assert results.lookup("k", Reversed()).value == value
    assert results.lookup("k", PickleSerializer()) is None


def test_value_that_cannot_be_serialized_is_told_and_leaves_nothing(results, store):
    with pytest.raises(TypeError, match="not JSON serializable"):
        results.save("k", {1, 2}, **ABOUT, serializer=JSONSerializer())
    with pytest.raises(TypeError, match="cannot pickle"):
        results.save("k", threading.Lock(), **ABOUT)

    assert store.get_result("k") is None


def test_value_whose_class_is_gone_is_dropped(results, store, monkeypatch):
    module = type(sys)("vanishing")
    exec("class C: pass", vars(module))
    module.C.__module__ = "vanishing"
    monkeypatch.setitem(sys.modules, "vanishing", module)
    results.save("k", module.C(), **ABOUT)
    monkeypatch.delitem(sys.modules, "vanishing")

    assert results.lookup("k") is None
    assert store.get_result("k") is None


def test_deferred_value_that_is_gone_says_so(results):
    results.save("k", SMALL, **ABOUT)
    load = results.loader("k", None)
    assert load() == SMALL

    results.forget(key="k")

    with pytest.raises(ResultUnreadable, match="no longer there"):
        load()


# --- listing and forgetting ---------------------------------------------------------------------


def test_entries_are_listed_newest_first(results):
    results.save("one", SMALL, task_name="a", run_id="r1", seconds=2, group="g")
    results.save("two", LARGE, task_name="b", run_id="r2", seconds=3, expiration_seconds=60)
    results.save("three", SMALL, task_name="a", run_id="r3", seconds=4, group="h")

    listed = results.entries()

    assert [one.key for one in listed] == ["three", "two", "one"]
    assert [one.key for one in results.entries("a")] == ["three", "one"]
    assert [one.key for one in results.entries(group="g")] == ["one"]
    assert results.entries("absent") == []
    two = listed[1]
    assert (two.task_name, two.run_id, two.seconds, two.group) == ("b", "r2", 3, None)
    assert (two.hits, two.seconds_saved, two.used_at) == (0, 0, two.created_at)
    assert two.expires_at == pytest.approx(two.created_at + 60)
    assert two.size_bytes > 100_000 > listed[0].size_bytes > 20


def test_hits_are_counted(results):
    results.save("k", SMALL, **ABOUT)
    for _ in range(3):
        results.lookup("k")
    results.lookup("absent")

    (entry,) = results.entries()

    assert (entry.hits, entry.seconds_saved) == (3, 4.5)
    assert entry.used_at >= entry.created_at


def test_what_was_saved_is_not_forgotten_with_a_new_value(results):
    results.save("k", SMALL, **ABOUT)
    results.lookup("k")
    results.save("k", LARGE, task_name="t", run_id="r", seconds=10)
    results.lookup("k")

    (entry,) = results.entries()

    assert (entry.hits, entry.seconds_saved, entry.seconds) == (2, 11.5, 10)


@pytest.mark.parametrize(
    ("which", "left"),
    [
        ({"key": "one"}, {"two", "three"}),
        ({"task_name": "a"}, {"two"}),
        ({"run_id": "r2"}, {"one", "three"}),
        ({"task_name": "a", "run_id": "r1"}, {"two", "three"}),
        ({"key": "absent"}, {"one", "two", "three"}),
        ({"all": True}, set()),
    ],
)
def test_forgetting(results, which, left):
    results.save("one", LARGE, task_name="a", run_id="r1", seconds=0)
    results.save("two", LARGE, task_name="b", run_id="r2", seconds=0)
    results.save("three", SMALL, task_name="a", run_id="r3", seconds=0)
    sizes = {entry.key: entry.size_bytes for entry in results.entries()}

    n, n_bytes = results.forget(**which)

    assert {entry.key for entry in results.entries()} == left
    assert {key for key in sizes if results.lookup(key) is not None} == left
    gone = set(sizes) - left
    assert (n, n_bytes) == (len(gone), sum(sizes[key] for key in gone))
    assert len(list(results.folder.glob("*.result"))) == len(left & {"one", "two"})


def test_forgetting_nothing_in_particular_is_refused(results):
    with pytest.raises(ValueError, match="say which"):
        results.forget()


def test_counting_a_hit_does_not_wait_for_the_writer(results, store):
    """A commit may take as long as another process' transaction."""
    results.save("k", SMALL, **ABOUT)
    free = threading.Event()
    blocked = store._writer.call(lambda _: free.wait(30))

    assert results.lookup("k").value == SMALL

    free.set()
    blocked.result()
    assert results.entries()[0].hits == 1


def test_store_that_is_closed_is_a_miss(home, caplog):
    store = Store(home, may_fall_back=False)
    results = Results(store)
    results.save("k", SMALL, **ABOUT)
    store.close()

    assert results.lookup("k").value == SMALL  # only counting it is not possible
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


# --- the pickles ---------------------------------------------------------------------------------


def test_only_one_place_loads_pickles():
    """Every other would be a way around the signature."""
    package = Path(sys.modules["nbflow"].__file__).parent
    loading = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if any(word in path.read_text() for word in ("pickle.loads(", "pickle.load(", "Unpickler("))
    }

    # Processes of a pool speak with their parent over a pipe that only they hold. The serializer
    # of cells is given its data by `Results`, as all serializers are.
    others = {"engine/processes.py", "engine/remote.py", "memo/pickling.py"}
    assert loading - others == {"results/serializers.py"}


def test_canary_works(tmp_path):
    from planting import evil

    pickle.loads(evil(tmp_path / "canary"))

    assert (tmp_path / "canary").exists()

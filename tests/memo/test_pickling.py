"""What an outcome shares with the notebook stays shared; what cannot come back is refused."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

from nbflow.errors import Unstorable
from nbflow.memo.pickling import CellSerializer
from nbflow.results.fingerprint import read_names


def serializer(namespace: dict, *names: str, roots: frozenset[int] = frozenset()) -> CellSerializer:
    reading = read_names(names, namespace)
    return CellSerializer(
        namespace, reading.node_ids(), reading.nodes, reading.unordered, roots, "<cell>"
    )


def round_trip(value, namespace: dict, *names: str, roots: frozenset[int] = frozenset()):
    cell = serializer(namespace, *names, roots=roots)
    data, buffers = cell.dump(value)
    return cell.load(data, [bytearray(one) for one in buffers])


def test_an_object_of_the_notebook_comes_back_as_itself():
    namespace = {"x": [1], "__name__": "__main__"}

    again = round_trip({"y": namespace["x"], "z": [namespace["x"]]}, namespace, "x")

    assert again["y"] is namespace["x"]
    assert again["z"][0] is namespace["x"]


@pytest.mark.parametrize("text", ["x", "place", "namespace", "module", "numpy", "nan"])
def test_a_text_equal_to_a_name_is_no_trap(text):
    namespace = {text: text}
    cell = CellSerializer(namespace, {id(text): (text, -1)}, {}, {}, frozenset(), "<cell>")

    assert cell.load(*cell.dump([text, np]))[0] is text


def test_a_view_of_an_array_of_the_notebook_is_a_view_again():
    namespace = {"a": np.arange(10.0)}

    again = round_trip(namespace["a"][2:8:2], namespace, "a")
    again[0] = -1

    assert namespace["a"][2] == -1
    assert again.tolist() == [-1, 4, 6]


@pytest.mark.parametrize(
    "view",
    [lambda a: a[::-1], lambda a: a.T, lambda a: a[1:, ::2], lambda a: a.reshape(-1)[3:]],
)
def test_views_keep_their_shape_and_values(view):
    namespace = {"a": np.arange(12.0).reshape(3, 4)}
    wanted = view(namespace["a"])

    try:
        again = round_trip(wanted, namespace, "a")
    except Unstorable:
        return  # refused is right as well

    assert np.array_equal(again, wanted)
    assert np.shares_memory(again, namespace["a"])


def test_functions_have_the_globals_of_the_notebook_and_share_their_variables():
    namespace = {"__name__": "__main__", "scale": 2}
    exec(
        "def counter():\n    n = 0\n    def add(k):\n        nonlocal n\n        n += k * scale\n"
        "    def get():\n        return n\n    return add, get\nadd, get = counter()",
        namespace,
    )

    add, get = round_trip((namespace["add"], namespace["get"]), namespace)
    namespace["scale"] = 10
    add(1)

    assert get() == 10
    assert namespace["get"]() == 0
    assert add.__globals__ is namespace


def test_recursive_functions_come_back():
    namespace = {"__name__": "__main__"}
    exec(
        "def outer():\n    def fact(n):\n        return 1 if n < 2 else n * fact(n - 1)\n"
        "    return fact\nfact = outer()",
        namespace,
    )

    again = round_trip(namespace["fact"], namespace)

    assert again(5) == 120
    assert again.__closure__[0].cell_contents is again


def test_nan_keeps_its_identity():
    nan = float("nan")

    again = round_trip([nan, nan, math.nan, np.nan], {})

    assert again[0] is again[1]
    assert again[2] is math.nan
    assert again[3] is np.nan


def test_small_arrays_own_their_memory_when_they_are_back():
    again = round_trip([np.arange(3), np.arange(4.0)], {})

    before = read_names(["a"], {"a": [np.arange(3), np.arange(4.0)]}).digests
    assert read_names(["a"], {"a": again}).digests == before


class OfNotebook:
    __module__ = "__main__"


@pytest.mark.parametrize(
    "value",
    [
        memoryview(b"abc"),
        (i for i in [1]),
        functools.lru_cache(maxsize=None)(lambda: 1),
        OfNotebook,
        OfNotebook(),
        open,
    ],
    ids=["memoryview", "generator", "lru_cache", "class", "instance", "builtin"],
)
def test_what_would_not_come_back_as_itself_is_refused(value):
    if value is open:  # a function of a library does come back
        assert round_trip(value, {}) is open
        return
    with pytest.raises(Unstorable):
        round_trip(value, {})


def test_memory_in_a_file_is_refused(tmp_path):
    array = np.memmap(tmp_path / "a.bin", mode="w+", shape=4, dtype="u1")

    with pytest.raises(Unstorable):
        round_trip(array, {})
    with pytest.raises(Unstorable):
        round_trip(np.asarray(array)[1:], {})

"""The cache gives the value that was kept or none: long versions of tests/results."""

from __future__ import annotations

import logging
import random

import numpy as np
import pytest
from planting import bit_flipped, entry_of, evil, kill_while_writing, plant, truncated

from nbflow.results.results import Results
from nbflow.store.store import Store

VALUES = {
    "row": {"a": [1, 2.5, None, "é"]},
    "file": list(range(20_000)),
    "buffers": [np.arange(3_000.0), np.arange(20_000)],
    "words": np.array([f"word {n}" for n in range(3_000)], dtype=object),
}
ABOUT = {"task_name": "t", "run_id": "r", "seconds": 1.5}
pytestmark = [pytest.mark.reliability, pytest.mark.timeout(1800)]


@pytest.fixture
def store(home):
    opened = Store(home, may_fall_back=False)
    yield opened
    opened.close()


@pytest.fixture
def rng():
    seed = random.randrange(10**6)
    print("seed", seed)  # to run it again
    return random.Random(seed)


@pytest.fixture(autouse=True)
def quiet():
    """It warns of each damaged entry, rightly."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def same(one, other):
    if isinstance(one, list) and isinstance(one[0], np.ndarray):
        return all(map(np.array_equal, one, other))
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


@pytest.mark.parametrize("damage", [bit_flipped, truncated])
def test_ten_thousand_damages_give_no_wrong_value(store, rng, damage):
    results = Results(store)
    good = {}
    for key, value in VALUES.items():
        results.save(key, value, **ABOUT)
        good[key] = entry_of(store, key)
    n_harmless = 0
    for n in range(10_000):
        key = list(VALUES)[n % len(VALUES)]
        plant(store, key, damage(good[key], rng))
        hit = results.lookup(key)
        if hit is not None:
            assert same(hit.value, VALUES[key])
            n_harmless += 1
        else:
            results.save(key, VALUES[key], **ABOUT)
            good[key] = entry_of(store, key)
    # Bits between two buffers mean nothing.
    assert n_harmless < (500 if damage is bit_flipped else 1)


def test_two_thousand_swaps_give_no_wrong_value(store, rng):
    results = Results(store)
    keys = [f"k{n}" for n in range(40)]
    for n, key in enumerate(keys):
        results.save(key, np.full(3_000, n), **ABOUT)
    entries = {key: entry_of(store, key) for key in keys}
    for _ in range(2_000):
        one, other = rng.sample(keys, 2)
        plant(store, one, entries[other])
        assert results.lookup(one) is None
        results.save(one, np.full(3_000, int(one[1:])), **ABOUT)
        entries[one] = entry_of(store, one)


def test_fifty_planted_pickles_are_never_loaded(store, rng, tmp_path):
    results = Results(store)
    canary = tmp_path / "canary"
    for n in range(50):
        key = list(VALUES)[n % len(VALUES)]
        results.save(key, VALUES[key], **ABOUT)
        entry = entry_of(store, key)
        at = rng.randrange(len(entry))
        payload = evil(canary)
        planted = entry[:at] + payload + entry[at + n % 2 * len(payload) :]
        plant(store, key, planted)

        hit = results.lookup(key)

        assert hit is None or same(hit.value, VALUES[key])
        assert not canary.exists()


def test_two_hundred_kills_while_writing(home, rng):
    assert kill_while_writing(home, 200, rng) == (0, 0)

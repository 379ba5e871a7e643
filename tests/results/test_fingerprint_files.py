"""`File`: what is in a file counts, not its path or its times."""

from __future__ import annotations

import os
import pathlib
import pickle
import time

import pandas as pd
import pytest

from nbflow.errors import Unfingerprintable
from nbflow.results import file_inputs, fingerprint_bulk
from nbflow.results.file_inputs import File
from nbflow.results.fingerprint import fingerprint, read_names


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("a,b\n1,2\n")
    return path


def aged(path, seconds=100.0):
    """The file's time stamp as if it had not been touched for long."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_content_counts_and_path_and_time_do_not(data, tmp_path):
    first = fingerprint(File(data))
    elsewhere = tmp_path / "folder" / "data.csv"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(data.read_bytes())
    aged(data)

    assert fingerprint(File(data)) == fingerprint(File(elsewhere)) == first
    data.write_text("a,b\n1,3\n")
    assert fingerprint(File(data)) != first


def test_name_counts(data, tmp_path):
    other = tmp_path / "data.tsv"
    other.write_bytes(data.read_bytes())

    assert fingerprint(File(data)) != fingerprint(File(other))


def test_missing_file_is_a_state_of_its_own(data):
    there = fingerprint(File(data))
    data.unlink()
    gone = fingerprint(File(data))
    data.write_text("")

    assert len({there, gone, fingerprint(File(data))}) == 3


def test_file_is_used_like_its_path(data):
    assert os.fspath(File(data)) == str(data)
    assert pathlib.Path(File(data)) == data
    assert pd.read_csv(File(data)).shape == (1, 2)
    assert pickle.loads(pickle.dumps(File(data))) == File(str(data))


def test_file_is_a_value_of_a_notebook(data):
    reading = read_names("a", {"a": [File(data)]})

    assert not reading.refused
    assert [type(one) for one in reading.nodes["a"]] == [list]


def test_change_of_the_same_size_and_time_is_seen_while_the_file_is_young(data):
    digests = set()
    for n in range(20):
        data.write_text(f"{n:04}")
        os.utime(data, ns=(10**18, 10**18))
        digests.add(fingerprint(File(data)))

    assert len(digests) == 20


def test_settled_file_is_read_once(data, monkeypatch):
    reads = []
    real = file_inputs._read_digest
    monkeypatch.setattr(file_inputs, "_read_digest", lambda path: reads.append(path) or real(path))
    monkeypatch.setattr(file_inputs, "_SETTLED_SECONDS", 0.0)
    for _ in range(3):
        fingerprint(File(data))

    assert len(reads) == 1
    data.write_text("other")
    fingerprint(File(data))
    assert len(reads) == 2


@pytest.mark.parametrize("n_bytes", [0, 4095, 4096, 4097, 50_000])
def test_large_files_are_read_in_leaves(tmp_path, monkeypatch, n_bytes):
    monkeypatch.setattr(fingerprint_bulk, "_PARALLEL_BYTES", 8192)
    monkeypatch.setattr(file_inputs, "LEAF_BYTES", 4096)
    path = tmp_path / "large"
    content = bytearray(os.urandom(n_bytes))
    path.write_bytes(content)
    first = fingerprint(File(path))

    assert fingerprint(File(path)) == first
    for at in {0, n_bytes // 2, n_bytes - 1} if n_bytes else ():
        changed = bytearray(content)
        changed[at] ^= 1
        path.write_bytes(changed)
        assert fingerprint(File(path)) != first


def test_folder_is_refused(tmp_path):
    with pytest.raises(Unfingerprintable, match="no regular file"):
        fingerprint(File(tmp_path))

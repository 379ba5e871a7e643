"""What a cell does outside Python is seen while it runs, and told from what libraries do."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import threading

import numpy as np

from nbflow.memo.dependencies import dependency
from nbflow.memo.watching import observed


def test_a_file_that_is_read_is_an_input(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("x")

    with observed() as seen:
        path.read_text()

    assert list(seen.files) == [str(path)]
    assert not seen.reasons


def test_a_file_that_is_written_is_a_reason(tmp_path):
    with observed() as seen:
        (tmp_path / "b.txt").write_text("x")

    assert list(seen.reasons) == ["it writes b.txt"]


def test_folders_programs_and_entropy_are_seen(tmp_path):
    with observed() as seen:
        os.listdir(tmp_path)
        subprocess.run([sys.executable, "-c", ""], check=True)
        secrets.token_hex()
        np.random.default_rng()

    assert str(tmp_path) in seen.folders
    assert set(seen.reasons) >= {"it starts another program", "it draws fresh randomness"}


def test_the_network_is_seen():
    with socket.create_server(("127.0.0.1", 0)) as server, observed() as seen:
        socket.create_connection(server.getsockname()[:2]).close()

    assert "it uses the network" in seen.reasons


def test_threads_count_as_the_cells_and_may_not_stay(tmp_path):
    path, stop = tmp_path / "a.txt", threading.Event()
    path.write_text("x")

    with observed() as seen:
        reader = threading.Thread(target=path.read_text)
        reader.start()
        reader.join()
        stays = threading.Thread(target=stop.wait, name="stays")
        stays.start()
    stop.set()
    stays.join()

    assert str(path) in seen.files
    assert any("stays" in reason for reason in seen.reasons)


def test_nothing_is_seen_outside_of_the_block(tmp_path):
    with observed() as seen:
        pass
    (tmp_path / "c.txt").write_text("x")

    assert not seen.reasons
    assert not seen.files


def test_a_file_is_told_by_its_content(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one")
    noted = dependency("file", str(path))

    path.write_text("two")
    assert noted.state_now() != noted.state
    path.write_text("one")
    assert noted.state_now() == noted.state
    path.unlink()
    assert noted.state_now() != noted.state


def test_a_settled_file_is_not_read_again(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one")
    os.utime(path, (1, 1))
    noted = dependency("file", str(path))
    assert noted.facts is not None

    with observed() as seen:
        assert noted.state_now() == noted.state

    assert not seen.files


def test_a_folder_is_told_by_its_names(tmp_path):
    noted = dependency("folder", str(tmp_path))

    (tmp_path / "new").write_text("")

    assert noted.state_now() != noted.state

"""Why code may not be replaced by what it did, as tables of cases."""

from __future__ import annotations

import builtins
import datetime as dt
import json
import logging
import os
import pathlib
import random
import time

import numpy as np
import pandas as pd
import pytest

from nbflow.memo.effects import code_effects, module_values, opens_only_named

NAMESPACE = {
    "datetime": dt, "json": json, "logging": logging, "np": np, "os": os, "pd": pd,
    "pathlib": pathlib, "random": random, "time": time, "x": [1], "path": "a.parquet",
    "__builtins__": builtins,
}  # fmt: skip


def effects(source: str):
    return code_effects([compile(source, "cell", "exec")], NAMESPACE)


@pytest.mark.parametrize(
    "source",
    [
        "x.append(1)", "y = np.mean(x)", "print(x)", "random.seed(1)", "np.random.seed(0)",
        "y = np.random.default_rng(3)", "y = pd.DataFrame({'a': x})", "y = json.dumps(x)",
        "pd.set_option('display.width', 80)", "np.set_printoptions(precision=3)", "time.sleep(0)",
        "y = os.path.join('a', 'b')", "y = pd.to_datetime('2020-01-01')", "x[0] = 1",
        "def f(self):\n    self.a = 1", "y = datetime.date(2020, 1, 1)", "y = sorted(x)",
    ],
)  # fmt: skip
def test_nothing_speaks_against_plain_work(source):
    assert effects(source).reasons == ()


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("time.time()", "clock"),
        ("from time import time\ny = time()", "clock"),
        ("y = datetime.datetime.now()", "clock"),
        ("y = pd.Timestamp.now()", "clock"),
        ("y = pd.to_datetime('now')", "clock"),
        ("y = datetime.date.today()", "clock"),
        ("def f():\n    import time\n    return time.perf_counter()", "clock"),
        ("y = np.random.default_rng()", "randomness"),
        ("random.seed()", "randomness"),
        ("y = os.urandom(3)", "randomness"),
        ("y = os.getpid()", "machine"),
        ("y = os.path.exists('a')", "files"),
        ("y = pathlib.Path('a').exists()", "files"),
        ("y = input()", "input"),
        ("y = eval('x')", "any name"),
        ("exec('x = 1')", "any name"),
        ("globals()['x'] = 1", "any name"),
        ("y = vars()", "any name"),
        ("np.mean = 3", "sets"),
        ("json.flag = [1]", "sets"),
        ("setattr(np, 'mean', 3)", "by name"),
        ("y = getattr(time, 'ti' + 'me')()", "by name"),
        ("import threading\ny = threading.Lock()", "threading"),
        ("import importlib\nimportlib.reload(json)", "importlib"),
        ("logging.basicConfig(level=10)", "effect"),
        ("logging.getLogger('a').setLevel(10)", "effect"),
        ("x = 1\nprint(f.__doc__)", "about code"),
        ("import inspect\ny = inspect.getsource(f)", "about code"),
        ("pd.api.extensions.register_dataframe_accessor('a')(f)", "changes a library"),
        ("y.to_parquet('a')", "writes files"),
    ],
)
def test_what_speaks_against_it_is_told(source, word):
    assert any(word in reason for reason in effects(source).reasons), effects(source).reasons


def test_what_changes_the_process_is_told_from_what_only_asks():
    assert effects("np.mean = 3").changes_process
    assert not effects("time.time()").changes_process


def test_reading_the_environment_is_seen():
    assert effects("y = os.environ['HOME']").reads_environment
    assert effects("y = os.getenv('HOME')").reads_environment
    assert not effects("y = os.path.join('a')").reads_environment


def test_plain_values_of_libraries_are_part_of_the_key():
    import sys

    code = compile("import sys\ny = sys.argv", "cell", "exec")
    before = module_values([code], NAMESPACE)
    sys.argv.append("--more")
    try:
        assert module_values([code], NAMESPACE) != before
    finally:
        sys.argv.pop()


@pytest.mark.parametrize(
    ("source", "is_named"),
    [
        ("pd.read_parquet('a.parquet')", True),
        ("pd.read_parquet(path)", True),
        ("pd.read_parquet(path + 'x')", False),
        ("pd.read_parquet(f'{path}')", False),
    ],
)
def test_files_that_compiled_code_reads_have_to_be_in_sight(source, is_named):
    assert opens_only_named(source, NAMESPACE) is is_named

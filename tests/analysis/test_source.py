"""Which edits of a cell make a difference."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nbflow.analysis.source import normal_source, source_diff, source_digest

SAME = [
    ("x = 1", "x=1  # a comment"),
    ("x = 1", "\n\nx = 1\n\n"),
    ("x = (1, 2)", "x = 1, 2"),
    ("x = 'a'", 'x = "a"'),
    ("f(a, b)", "f(\n    a,\n    b,\n)"),
    ("x = 1; y = 2", "x = 1\ny = 2"),
    ("x = 1;", "x = 1"),
    ("if a: b = 1", "if a:\n\n    # why\n    b = 1"),
    ("def f(): return 1", "def f():\n    '''What it does.'''\n    return 1"),
    ("def f(): pass", "def f():\n    '''What it does.'''"),
    ("async def f(): return 1", "async def f():\n    'Doc.'\n    return 1"),
    ("class A:\n x = 1", "class A:\n 'Doc.'\n x = 1"),
    ("class A:\n def m(self): return 1", "class A:\n def m(self):\n  'Doc.'\n  return 1"),
    ("x = 1", "'''What this cell does.'''\nx = 1"),
    ("def f():\n def g(): pass", "def f():\n def g():\n  'Doc.'"),
    ("x = 0x10", "x = 16"),
    ("x = 'a' 'b'", "x = 'ab'"),
    ("x", "x # shown"),
    ("x;", "x;  # hidden"),
    ("x;", "x  ;\n"),
    ("", "# only a comment"),
]
DIFFERENT = [
    ("x = 1", "x = 2"),
    ("x = 1", "x = 1.0"),
    ("x = 1", "x = True"),
    ("x", "x;"),
    ("f(x)", "f(x);"),
    ("x = 'a'", "x = 'b'"),
    ("'a'", "'b'"),
    ("x = 1\n'a'", "x = 1\n'b'"),
    ("'a'", ""),
    ("def f(): 'Doc.'", "def f(): return 'Doc.'"),
    ("a - b", "b - a"),
    ("(a - b) - c", "a - (b - c)"),
    ("f'{x}'", "f'{x!r}'"),
    ("f'{x:.2f}'", "f'{x:.3f}'"),
    ("x = -0.0", "x = 0.0"),
    ("x = b'a'", "x = 'a'"),
    ("def f(a=1): pass", "def f(a=2): pass"),
    ("@d\ndef f(): pass", "def f(): pass"),
    ("def f(a: int): pass", "def f(a: str): pass"),
    ("if a:\n b()\nc()", "if a:\n b()\n c()"),
    ("x = 1\ny = 2", "y = 2\nx = 1"),
    ("x = '# no comment'", "x = ''"),
    ("x = '''a\n b'''", "x = '''a\n  b'''"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_looks_make_no_difference(one: str, other: str):
    assert normal_source(one) == normal_source(other)
    assert source_digest(one) == source_digest(other)
    assert not source_diff(one, other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_changes_behaviour_makes_a_difference(one: str, other: str):
    assert normal_source(one) != normal_source(other)
    assert source_digest(one) != source_digest(other)
    assert source_diff(one, other)


@pytest.mark.parametrize("source", sorted({text for pair in (*SAME, *DIFFERENT) for text in pair}))
def test_normal_source_is_its_own_normal_source(source: str):
    normal = normal_source(source)

    assert normal_source(normal) == normal


def test_docstrings_that_matter_are_kept():
    source = "def f():\n    'Doc.'\ndef g():\n    'Doc.'"

    assert normal_source(source, keep=["f"]) == 'def f():\n    """Doc."""\n\ndef g():\n    pass'


def test_digest_is_the_same_in_another_process():
    source = "x = {'a', 'b'}\ndef f(): return x"
    program = f"from nbflow.analysis.source import source_digest\nprint(source_digest({source!r}))"
    given = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    digest = source_digest(source)

    assert given.stdout.strip() == digest
    assert len(digest) == 32
    assert int(digest, 16)


def test_diff_shows_what_an_edit_changed():
    diff = source_diff("x = 1  # one\ny = 2", "x = 1\ny = 3")

    assert diff.splitlines()[-3:] == [" x = 1", "-y = 2", "+y = 3"]


def test_diff_of_what_is_not_python_is_of_the_text():
    assert "-x = = 1" in source_diff("x = = 1", "x = 1").splitlines()


@pytest.mark.parametrize("source", ["x = = 1", "def f(:", "'open", "(1"])
def test_what_is_not_python_is_a_syntax_error(source: str):
    with pytest.raises(SyntaxError):
        normal_source(source)

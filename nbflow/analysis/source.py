"""A cell's source reduced to what it does: equal texts behave alike, whatever they look like."""

from __future__ import annotations

import ast
import difflib
import hashlib
import io
import sys
import tokenize
from collections.abc import Collection

_DOCUMENTED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_SKIPPED = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def normal_source(source: str, keep: Collection[str] = ()) -> str:
    """The source without comments, formatting and docstrings.

    A string that ends the cell is the value it shows, so it stays. A semicolon after a last
    expression hides its value in IPython, so it stays too.

    Args:
        source: A cell whose magics have been turned into Python already, or a function's source.
        keep: Functions and classes, by their names, whose docstrings matter and stay.

    Raises:
        SyntaxError: It is not Python.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and node.name not in keep and _is_text(node.body[0]):
            node.body = node.body[1:] or [ast.Pass()]
    is_shown = tree.body and isinstance(tree.body[-1], ast.Expr)
    silenced = ";" if is_shown and ends_with_semicolon(source) else ""
    if len(tree.body) > 1 and _is_text(tree.body[0]):
        tree.body = tree.body[1:]
    return ast.unparse(tree) + silenced


def source_digest(source: str, keep: Collection[str] = ()) -> str:
    """32 hex digits that are the same for sources that do the same on this Python.

    The minor version counts: one source may mean different things in two of them.

    Raises:
        SyntaxError: It is not Python.
    """
    text = f"{sys.version_info[0]}.{sys.version_info[1]}\n{normal_source(source, keep)}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def source_diff(old: str, new: str) -> str:
    """What an edit changed, as a unified diff of the normal sources; empty: nothing that counts.

    A text that is not Python is compared as it is.
    """
    lines = difflib.unified_diff(_lines(old), _lines(new), "before", "now", n=1, lineterm="")
    return "\n".join(lines)


def ends_with_semicolon(source: str) -> bool:
    """Whether IPython would hide the value of the last expression.

    Raises:
        SyntaxError: It is not Python.
    """
    last = ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type not in _SKIPPED:
                last = token.string
    except tokenize.TokenError as error:
        raise SyntaxError(str(error)) from error
    return last == ";"


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _lines(source: str) -> list[str]:
    try:
        return normal_source(source).splitlines()
    except SyntaxError:
        return source.splitlines()

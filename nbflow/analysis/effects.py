"""What a cell does besides computing: magics, the shell, questions, looks into the namespace.

Only what the source itself shows: what the functions it calls do is found out by running them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from nbflow.analysis.names import cell_names


class EffectKind(StrEnum):
    SHELL = "shell"  #: runs commands of the operating system
    MAGIC = "magic"  #: runs an IPython magic
    INPUT = "input"  #: asks the user
    NAMESPACE = "namespace"  #: may read or bind any name
    HISTORY = "history"  #: reads what earlier cells showed: `_`, `Out[3]`
    STAR = "star"  #: binds names that only running it tells
    AWAIT = "await"  #: awaits at top level


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing a cell does that its names do not show.

    Attributes:
        told: What to call it to the user: `%timeit`, `!ls`, `input()`.
        line: In the transformed source, from 1.
    """

    kind: EffectKind
    told: str
    line: int


_MAGICS = {"run_line_magic": "%", "run_cell_magic": "%%"}
_SHELLS = {"system", "getoutput"}
_LOOKS = {"eval", "exec", "globals", "locals"}
_LOOKS_WITHOUT_ARGUMENTS = {"vars", "dir"}
_FRAMES = {"_getframe", "currentframe"}
_HISTORY = re.compile(r"_{1,3}|_\d+|_i{1,3}|_i\d+|In|Out|_ih|_oh|_dh")
_WORD = re.compile(r"[^\W\d]\w*")
_PATH = re.compile(r"[^\n\r\t\0]{1,1024}")
_SUFFIX = re.compile(r".*\.[A-Za-z][A-Za-z0-9]{0,7}")
_SHOWN_LENGTH = 40  # characters of a shell command


def cell_effects(transformed_source: str) -> tuple[Effect, ...]:
    """The effects of a cell whose magics have been turned into Python, in order of lines.

    Raises:
        SyntaxError: It is not Python.
    """
    tree = ast.parse(transformed_source)
    names = cell_names(transformed_source)
    found = list[Effect]()
    shells = set[int]()  # nodes `get_ipython` whose use is told already
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython") as shell)):
                shells.add(id(shell))
        found += _effects_of(node, own=names.writes)
    found += [
        Effect(EffectKind.NAMESPACE, "get_ipython()", node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == "get_ipython" and id(node) not in shells
    ]
    history = {name for name in (*names.reads, *names.deferred) if _HISTORY.fullmatch(name)}
    names_read = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id in history and isinstance(node.ctx, ast.Load)
    ]
    names_read.sort(key=lambda node: (node.lineno, node.col_offset))
    found += [Effect(EffectKind.HISTORY, node.id, node.lineno) for node in names_read]
    found += [Effect(EffectKind.AWAIT, "await", line) for line in _top_level_awaits(tree)]
    return tuple(sorted(dict.fromkeys(found), key=lambda effect: effect.line))


def mentioned_words(source: str) -> frozenset[str]:
    """Identifiers in the cell's strings: `df.query("@x > 1")` and `eval("x")` read names so.

    Docstrings do not count.

    Raises:
        SyntaxError: It is not Python.
    """
    texts = (text for text, _ in _texts(ast.parse(source)))
    return frozenset(word for text in texts for word in _WORD.findall(text))


def literal_paths(source: str) -> tuple[str, ...]:
    """The cell's strings that look like paths: they hold a `/` or end in a suffix like `.csv`.

    Each once, in order. Some are no paths (`text/plain`); the one who asks looks for the file.

    Raises:
        SyntaxError: It is not Python.
    """
    found = (text for text, is_whole in _texts(ast.parse(source)) if is_whole)
    return tuple(dict.fromkeys(text for text in found if _looks_like_path(text)))


def is_definitions_only(source: str) -> bool:
    """Whether the cell only imports, defines and binds constants: cheaper to run than to keep.

    Raises:
        SyntaxError: It is not Python.
    """
    return all(_defines(statement) for statement in ast.parse(source).body)


def _effects_of(node: ast.AST, own: Collection[str]) -> Iterator[Effect]:
    """The effects of one node, without those of the nodes below it."""
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=method)
        ) if method in _SHELLS or method in _MAGICS:
            yield _shell_call(node, method)
        case ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=method):
            if method not in _SHELLS and method not in _MAGICS:
                yield Effect(EffectKind.NAMESPACE, f"get_ipython().{method}", node.lineno)
        case ast.Name(id="input", ctx=ast.Load()) if "input" not in own:
            yield Effect(EffectKind.INPUT, "input()", node.lineno)
        case ast.Call(func=ast.Name(id="getpass") | ast.Attribute(attr="getpass")):
            yield Effect(EffectKind.INPUT, "getpass()", node.lineno)
        case ast.Attribute(value=ast.Name(id="builtins"), attr="input"):
            yield Effect(EffectKind.INPUT, "input()", node.lineno)
        case ast.Attribute(value=ast.Name(id="sys"), attr="stdin"):
            yield Effect(EffectKind.INPUT, "sys.stdin", node.lineno)
        case ast.Name(id=name, ctx=ast.Load()) if name in _LOOKS and name not in own:
            yield Effect(EffectKind.NAMESPACE, f"{name}()", node.lineno)
        case ast.Attribute(value=ast.Name(id="builtins"), attr=name) if name in _LOOKS:
            yield Effect(EffectKind.NAMESPACE, f"{name}()", node.lineno)
        case ast.Call(func=ast.Name(id=name), args=[], keywords=[]) if (
            name in _LOOKS_WITHOUT_ARGUMENTS and name not in own
        ):
            yield Effect(EffectKind.NAMESPACE, f"{name}()", node.lineno)
        case ast.Call(
            func=ast.Name(id="__import__" | "import_module" as name)
            | ast.Attribute(attr="import_module" as name),
            args=[ast.Constant(value="__main__"), *_],
        ):
            yield Effect(EffectKind.NAMESPACE, f"{name}('__main__')", node.lineno)
        case ast.Subscript(slice=ast.Constant(value="__main__")):
            yield Effect(EffectKind.NAMESPACE, "sys.modules['__main__']", node.lineno)
        case ast.Attribute(attr=name) if name in _FRAMES:
            yield Effect(EffectKind.NAMESPACE, f"{name}()", node.lineno)
        case ast.Import(names=aliases) if any(alias.name == "__main__" for alias in aliases):
            yield Effect(EffectKind.NAMESPACE, "import __main__", node.lineno)
        case ast.ImportFrom(module="__main__"):
            yield Effect(EffectKind.NAMESPACE, "from __main__ import", node.lineno)
        case ast.ImportFrom(module=module, names=[ast.alias(name="*")]):
            told = f"from {'.' * node.level}{module or ''} import *"
            yield Effect(EffectKind.STAR, told, node.lineno)
        case _:
            pass


def _shell_call(node: ast.Call, method: str) -> Effect:
    """What IPython's transforms make of `!command` and `%magic`."""
    match node.args:
        case [ast.Constant(value=str(text)), *_]:
            first = text.strip()
        case _:  # composed by the user's own code
            first = "..."
    if method in _MAGICS:
        return Effect(EffectKind.MAGIC, f"{_MAGICS[method]}{first}", node.lineno)
    shown = first if len(first) <= _SHOWN_LENGTH else first[: _SHOWN_LENGTH - 3] + "..."
    return Effect(EffectKind.SHELL, f"!{shown}", node.lineno)


def _top_level_awaits(node: ast.AST) -> Iterator[int]:
    """Lines outside functions that await."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            return
        case ast.Await() | ast.AsyncFor() | ast.AsyncWith():
            yield node.lineno
        case ast.comprehension(is_async=1):
            yield node.target.lineno
        case _:
            pass
    for child in ast.iter_child_nodes(node):
        yield from _top_level_awaits(child)


def _texts(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Every string but the docstrings, in order, and whether it is no part of an f-string."""
    skipped = set[int]()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            match node.body[0]:
                case ast.Expr(value=ast.Constant() as text):
                    skipped.add(id(text))
    yield from _texts_below(tree, skipped, is_whole=True)


def _texts_below(node: ast.AST, skipped: set[int], *, is_whole: bool) -> Iterator[tuple[str, bool]]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
        yield node.value, is_whole
    is_whole = not isinstance(node, ast.JoinedStr)
    for child in ast.iter_child_nodes(node):
        yield from _texts_below(child, skipped, is_whole=is_whole)


def _looks_like_path(text: str) -> bool:
    if not _PATH.fullmatch(text) or "://" in text:
        return False
    return "/" in text or _SUFFIX.fullmatch(text) is not None


def _defines(statement: ast.stmt) -> bool:
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Pass():
            return True
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.FunctionDef(args=args) | ast.AsyncFunctionDef(args=args):
            values = [*args.defaults, *(one for one in args.kw_defaults if one is not None)]
            return all(map(_is_plain, values)) and all(map(_is_decorator, statement.decorator_list))
        case ast.ClassDef():
            outside = [*statement.bases, *(keyword.value for keyword in statement.keywords)]
            return (
                all(map(_is_plain, outside))
                and all(map(_is_decorator, statement.decorator_list))
                and all(map(_defines_in_class, statement.body))
            )
        case ast.Assign(targets=targets, value=value):
            return all(isinstance(one, ast.Name) for one in targets) and _is_literal(value)
        case ast.AnnAssign(target=ast.Name(), value=value):
            return value is None or _is_literal(value)
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
            return all(map(_defines, [*statement.body, *statement.orelse]))
        case ast.Try():
            below = [*statement.body, *statement.orelse, *statement.finalbody]
            below += [one for handler in statement.handlers for one in handler.body]
            return all(map(_defines, below))
        case _:
            return False


def _defines_in_class(statement: ast.stmt) -> bool:
    """Fields of dataclasses and models are part of what is defined: `x: list = field(...)`."""
    match statement:
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            fields = isinstance(value, ast.Call) and _is_decorator(value)
            return fields or _is_plain(value) or _is_literal(value)
        case _:
            return _defines(statement)


def _is_decorator(node: ast.expr) -> bool:
    """A name, or the call of one with nothing that takes time to work out."""
    if isinstance(node, ast.Call):
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        return _is_plain(node.func) and all(map(_is_plain, arguments))
    return _is_plain(node)


def _is_plain(node: ast.expr) -> bool:
    if isinstance(node, ast.Name) or _is_literal(node):
        return True
    if isinstance(node, ast.Subscript):  # Generic[T]
        return _is_plain(node.value) and all(
            isinstance(one, ast.Name | ast.Attribute | ast.Constant | ast.Tuple | ast.expr_context)
            for one in ast.walk(node.slice)
        )
    return isinstance(node, ast.Attribute) and _is_plain(node.value)


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError):
        return False
    return True

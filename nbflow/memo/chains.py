"""What compiled code reaches by dotted names, and what it does with it.

Byte code rather than source: it is what runs, and functions whose text is gone have it too.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import CodeType

_ROOTS = {
    "LOAD_NAME",
    "LOAD_GLOBAL",
    "LOAD_FAST",
    "LOAD_DEREF",
    "LOAD_CLASSDEREF",
    "LOAD_FAST_CHECK",
}
_STEPS = {"LOAD_ATTR", "LOAD_METHOD"}
_STORES = {"STORE_NAME", "STORE_GLOBAL", "STORE_FAST", "STORE_DEREF"}
_SILENT = {"CACHE", "EXTENDED_ARG", "PUSH_NULL", "PRECALL", "NOP", "RESUME", "NOT_TAKEN"}
_LOCAL = {"LOAD_FAST", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FAST_CHECK"}


@dataclass(frozen=True, slots=True)
class Chain:
    """`a.b.c` in code.

    Attributes:
        parts: ("a", "b", "c"); ("", "c") of what a call or an item gave. Imports inside the code
            are resolved: `d.now` after `from datetime import datetime as d` is
            ("datetime", "datetime", "now").
        imported: Whether the first part is a module that this code imports.
        is_local: Whether the first part is a variable of a function.
        is_called: Whether it begins an expression that is called.
        no_arguments: Called, with none.
        is_discarded: Begins an expression that is called and whose value is thrown away.
        is_changed: An attribute or item of it is set or deleted.
    """

    parts: tuple[str, ...]
    imported: bool
    is_local: bool
    is_called: bool
    no_arguments: bool
    is_discarded: bool
    is_changed: bool

    def __str__(self) -> str:
        return ".".join(self.parts)


@dataclass(slots=True)
class _Found:
    parts: list[str]
    place: tuple[int | None, int | None]
    imported: bool
    is_local: bool
    no_arguments: bool = False
    is_set: bool = False
    marks: set[str] = field(default_factory=set)


def chains(code: CodeType) -> Iterator[Chain]:
    """Every dotted name of the code and of the functions and classes inside it."""
    found: list[_Found] = []
    aliases: dict[str, tuple[str, ...]] = {}
    thrown: set[tuple[int | None, int | None]] = set()
    changed: set[tuple[int | None, int | None]] = set()
    called: set[tuple[int | None, int | None]] = set()
    current: _Found | None = None
    module: tuple[str, ...] | None = None  # what an import statement has put on the stack
    member: tuple[str, ...] | None = None
    is_from = False
    before: dis.Instruction | None = None
    for step in dis.get_instructions(code):
        name = step.opname
        if name in _SILENT:
            continue
        positions = step.positions
        place = (positions.lineno, positions.col_offset) if positions else (None, None)
        if name == "IMPORT_NAME":
            module, member = tuple(str(step.argval).split(".")), None
            is_from = before is not None and before.argval is not None
        elif name == "IMPORT_FROM" and module is not None:
            # `import a.b as c` steps through the parts of a.b as well.
            member = (*module, str(step.argval)) if is_from else module
        elif name in _STORES and (module or member):
            # `import a.b` binds a; `import a.b as c` and `from a import b` bind what they name.
            aliases[str(step.argval)] = member or (module or ())[:1]
            module, member = (module if is_from else None), None
        elif name == "POP_TOP":
            if before is not None and before.opname.startswith("CALL"):
                where = before.positions
                if where is not None:
                    thrown.add((where.lineno, where.col_offset))
            elif is_from:
                module = None
        elif name in {"STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE"}:
            changed.add(place)
        if name in _ROOTS or (name == "LOAD_FAST_LOAD_FAST"):
            argval = step.argval[1] if isinstance(step.argval, tuple) else step.argval
            root = str(argval)
            known = aliases.get(root)
            current = _Found(
                list(known or (root,)), place, known is not None, name in _LOCAL and known is None
            )
            found.append(current)
        elif name in _STEPS:
            if current is None:  # of what a call or an item gave
                current = _Found([""], place, False, True)
                found.append(current)
            current.parts.append(str(step.argval))
        elif name.startswith("CALL"):
            # A call begins where what is called begins.
            called.add(place)
            is_direct = before is not None and before.opname in _ROOTS | _STEPS
            if current is not None and is_direct and current.place == place:
                current.no_arguments = step.arg == 0
            current = None
        elif name in {"STORE_ATTR", "DELETE_ATTR"}:
            if current is None:
                current = _Found(["", str(step.argval)], place, False, True)
                found.append(current)
            current.is_set = True
            current = None
        else:
            current = None
        before = step
    for one in found:
        yield Chain(
            tuple(one.parts),
            one.imported,
            one.is_local,
            one.place in called and one.place != (None, None),
            one.no_arguments,
            one.place in thrown and one.place != (None, None),
            one.is_set or (one.place in changed and one.place != (None, None)),
        )
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from chains(constant)


def globals_bound(code: CodeType) -> set[str]:
    """Names that functions inside the code declare `global` and bind or unbind."""
    found = {
        str(step.argval)
        for step in dis.get_instructions(code)
        if step.opname in {"STORE_GLOBAL", "DELETE_GLOBAL"}
    }
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= globals_bound(constant)
    return found


def constants(code: CodeType) -> Iterator[object]:
    """Every constant of the code and of the code inside it."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from constants(constant)
        elif isinstance(constant, tuple | frozenset):
            yield from constant
        else:
            yield constant

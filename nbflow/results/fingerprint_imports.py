"""The user's modules that code imports when it runs, by the content of their files.

A function may import inside of its body: what is in such a module belongs to the function as much
as its own text. The files are read and not imported, which may print or be slow.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import os
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import resolve_name
from types import CodeType

from nbflow.results.fingerprint_code import is_library_file

_MOST_MODULES = 500


def imported_files(code: CodeType, package: str = "") -> dict[str, str]:
    """Digests of the files of the user's modules that code imports, by module name.

    Those that these modules import are among them, and so on. Modules of Python, of installed
    packages and such as cannot be found are not.

    Args:
        package: Which relative imports are relative to.
    """
    found: dict[str, str] = {}
    todo = [(name, package) for name in sorted(_imports(code))]
    while todo and len(found) < _MOST_MODULES:
        name, home = todo.pop()
        try:
            full = resolve_name(name, home)
        except ImportError:  # beyond the top: the code will say so
            continue
        for spec in _specs(full):
            if spec.name in found or spec.origin is None:
                continue
            read = _read(spec.origin)
            if read is not None:
                found[spec.name], inner = read
                is_package = spec.submodule_search_locations is not None
                own = spec.name if is_package else spec.name.rpartition(".")[0]
                todo += [(one, own) for one in inner]
    return found


@functools.lru_cache(maxsize=4096)
def _imports(code: CodeType) -> frozenset[str]:
    """Names of modules, relative ones with their dots; of `from a import b` also `a.b`."""
    found, module = set[str](), ""
    steps = list(dis.get_instructions(code))
    for n, step in enumerate(steps):
        if step.opname == "IMPORT_NAME":
            level = steps[n - 2].argval if n > 1 else 0
            module = "." * (level if isinstance(level, int) else 0) + step.argval
            found.add(module)
        elif step.opname == "IMPORT_FROM":
            found.add(f"{module}{'' if module.endswith('.') else '.'}{step.argval}")
    for one in code.co_consts:
        if isinstance(one, CodeType):
            found |= _imports(one)
    return frozenset(found)


def _specs(name: str) -> list[ModuleSpec]:
    """Where a module is found, and the packages around it; without importing these."""
    specs: list[ModuleSpec] = []
    path: list[str] | None = None
    parts = name.split(".")
    for n in range(len(parts)):
        spec = PathFinder.find_spec(".".join(parts[: n + 1]), path)
        if spec is None:
            break
        if spec.origin is not None and is_library_file(spec.origin):
            break
        specs.append(spec)
        if spec.submodule_search_locations is None:
            break
        path = list(spec.submodule_search_locations)
    return specs


def _read(path: str) -> tuple[str, frozenset[str]] | None:
    """Digest and imports of a file; None: it is no Python, or cannot be read."""
    try:
        about = os.stat(path)
        return _read_once(path, about.st_mtime_ns, about.st_size)
    except OSError:
        return None


@functools.lru_cache(maxsize=1024)
def _read_once(path: str, mtime_ns: int, size: int) -> tuple[str, frozenset[str]] | None:
    with open(path, "rb") as file:
        content = file.read()
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    if not path.endswith(".py"):
        return digest, frozenset()
    try:
        code = compile(content, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return digest, frozenset()
    return digest, _imports(code)

"""Why running some code may not be replaced by remembering what it did, as far as the code tells.

What it does through library objects is watched while it runs (`watching`, `hidden`); here is what
leaves no trace there: clocks, entropy, questions to the machine, changes to library modules.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from types import CodeType, FunctionType, ModuleType
from typing import Any

from nbflow.errors import Unfingerprintable
from nbflow.memo.chains import Chain, chains, constants
from nbflow.results.fingerprint import fingerprint
from nbflow.results.fingerprint_code import is_library_module

_ANY_NAME = {"eval", "exec", "globals", "locals", "__import__", "breakpoint", "compile"}
_STDIN = {"input", "getpass.getpass"}
_CLOCK = {
    *(f"time.{name}" for name in (
        "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns",
        "process_time", "process_time_ns", "thread_time", "localtime", "gmtime", "ctime",
        "asctime", "strftime",
    )),
    "timeit.timeit", "timeit.repeat", "timeit.default_timer",
}  # fmt: skip
_CLOCK_WORDS = {"now", "utcnow", "today", "perf_counter", "monotonic"}
_ENTROPY = {"os.urandom", "posix.urandom", "uuid.uuid1", "uuid.uuid4", "random.SystemRandom"}
_SEEDED = {"random.Random", "random.seed", "numpy.random.seed", "numpy.random.default_rng",
           "numpy.random.RandomState", "numpy.random.SeedSequence"}  # fmt: skip
_MACHINE = {"os.getpid", "posix.getpid", "os.cpu_count", "posix.cpu_count", "socket.gethostname",
            "getpass.getuser", "os.getlogin", "os.uname", "posix.uname", "os.times",
            "posix.times", "shutil.disk_usage"}  # fmt: skip
_FRAMES = {"sys._getframe", "sys.modules", "sys.settrace", "sys.setprofile", "inspect.currentframe",
           "inspect.stack", "inspect.trace", "sys.setrecursionlimit", "sys.exc_info"}  # fmt: skip
_FILE_WORDS = {"exists", "lexists", "is_file", "is_dir", "isfile", "isdir", "stat", "lstat",
               "getsize", "getmtime", "getctime", "getatime", "samefile", "access"}  # fmt: skip
#: Modules whose use reaches beyond what a cell's outcome could hold.
_BEYOND = ("threading", "_thread", "multiprocessing", "concurrent", "asyncio", "subprocess",
           "signal", "atexit", "gc", "ctypes", "importlib", "runpy", "secrets", "tempfile",
           "platform", "psutil", "unittest.mock", "faulthandler", "tracemalloc", "resource",
           "weakref", "contextvars", "sched", "select", "queue", "nbflow")  # fmt: skip
#: Libraries whose functions, called for their effect, act on their arguments, on files, on what is
#: displayed or on settings, all of which are watched.
_WATCHED = {
    "builtins", "numpy", "pandas", "matplotlib", "mpl_toolkits", "seaborn", "IPython", "random",
    "warnings", "math", "copy", "heapq", "bisect", "pprint", "json", "os", "posix", "posixpath",
    "shutil", "pathlib", "time", "itertools", "textwrap", "operator", "string", "re", "decimal",
    "datetime", "tqdm", "tabulate", "_io", "io",
}  # fmt: skip
#: Ways to read what does not decide what code does, and so is in no digest.
_TEXT_WORDS = {"__doc__", "getdoc", "getsource", "getsourcelines", "getcomments", "findsource",
               "getsourcefile", "getfile", "__annotations__", "get_type_hints", "get_annotations",
               "signature", "getfullargspec", "__code__", "co_filename", "co_firstlineno",
               "__firstlineno__", "__globals__", "help", "__closure__", "getmembers"}  # fmt: skip
#: Names of functions that are called to change something for all that follows.
_SETTER = re.compile(
    r"(un)?register|set_|set[A-Z]|seterr|install|enable_|disable_|field_size_limit|use$|add_type"
)
#: Those whose changes are seen by looking.
_WATCHED_SETTERS = {"set_printoptions", "set_option", "reset_option", "set_state", "seterr",
                    "set_cmap", "use"}  # fmt: skip
#: Methods that read or write files in compiled code, where nothing tells of it.
_COMPILED_READS = {"read_parquet", "read_feather", "read_orc", "read_hdf", "read_ipc", "read_avro",
                   "read_table", "read_delta", "scan_csv", "scan_parquet", "scan_ipc",
                   "scan_ndjson", "read_ndjson", "open_dataset", "ParquetFile", "imread",
                   "memory_map", "OSFile", "HDFStore"}  # fmt: skip
_COMPILED = {"pyarrow", "polars", "duckdb", "h5py", "tables", "fastparquet", "netCDF4", "xarray",
             "rasterio", "PIL", "cv2", "imageio", "geopandas", "fiona"}  # fmt: skip
_READS = ("read", "scan", "open", "File", "load", "connect", "sql", "dataset")
_COMPILED_WRITES = {"to_parquet", "to_feather", "to_orc", "to_hdf", "write_table", "write_parquet",
                    "write_feather", "write_ipc", "write_csv", "write_json", "write_ndjson",
                    "write_avro", "write_delta", "write_dataset", "write_to_dataset", "sink_csv",
                    "sink_parquet", "sink_ipc", "sink_ndjson", "imwrite", "save_model"}  # fmt: skip
_PLACE_WORDS = {"getcwd", "getcwdb", "cwd", "abspath", "realpath", "resolve", "absolute",
                "relpath", "expanduser", "home"}  # fmt: skip
_MISSING = object()
_BUILTINS = frozenset(vars(builtins))


@dataclass(frozen=True, slots=True)
class CodeEffects:
    """What code does beyond computing values.

    Attributes:
        reasons: Why it may not be cached, in words for the user; empty: nothing found.
        changes_process: Whether it may change what later code does, in a way that cannot be seen
            in the values of names.
        reads_environment: Whether it reads environment variables.
        compiled_reads: Whether it calls functions that may read files unseen, in compiled code.
        reads_place: Whether it asks for the working directory.
    """

    reasons: tuple[str, ...]
    changes_process: bool
    reads_environment: bool
    reads_place: bool
    compiled_reads: bool


@dataclass(slots=True)
class _Notes:
    reasons: dict[str, None]
    changes_process: bool = False
    reads_environment: bool = False
    reads_place: bool = False
    compiled_reads: bool = False

    def because(self, reason: str, *, process: bool = False) -> None:
        self.reasons[reason] = None
        self.changes_process |= process


def code_effects(codes: Iterable[CodeType], namespace: Mapping[str, Any]) -> CodeEffects:
    """What the code of a cell and of the functions it reaches does beyond computing values."""
    notes = _Notes({})
    sets_unknown, named = False, None
    for code in codes:
        scope = _scope(code, namespace)
        every = list(chains(code))
        for chain in every:
            _look_at(chain, scope, notes)
        _look_at_reflection(every, scope, notes)
        _look_at_constants(code, every, notes)
        sets_unknown |= any(one.is_changed and one.parts[0] != "self" and (
            one.is_local or not one.parts[0]) for one in every)  # fmt: skip
        if named is None:
            named = next(_named_libraries(every, scope), "")
    if named and sets_unknown:  # `patch(np)`, where `patch` sets an attribute of what it is given
        notes.because(f"it may set something of {named}", process=True)
    return CodeEffects(
        tuple(notes.reasons),
        notes.changes_process,
        notes.reads_environment,
        notes.reads_place,
        notes.compiled_reads,
    )


def packages_used(codes: Iterable[CodeType], namespace: Mapping[str, Any]) -> set[str]:
    """The top packages of all modules, functions and classes that code reaches by name."""
    found: set[str] = set()
    for code in codes:
        scope = _scope(code, namespace)
        for chain in chains(code):
            if chain.imported:
                found.add(chain.parts[0])
            elif chain.parts[0] in scope:
                thing = scope[chain.parts[0]]
                name = thing.__name__ if isinstance(thing, ModuleType) else type(thing).__module__
                if isinstance(thing, type | FunctionType):
                    name = thing.__module__ or ""
                found.add(str(name).partition(".")[0])
    return found


_VALUES = (list, dict, set, tuple, str, bytes, int, float, bool)


def module_values(codes: Iterable[CodeType], namespace: Mapping[str, Any]) -> dict[str, str]:
    """Digests of the plain values that code reads from modules of libraries, such as `sys.argv`."""
    found: dict[str, str] = {}
    for code in codes:
        scope = _scope(code, namespace)
        for chain in chains(code):
            reached = _reach(chain, scope)
            if reached is None or not reached.through_module or reached.name in found:
                continue
            if isinstance(reached.thing, _VALUES) and reached.name not in _SEEN_OTHERWISE:
                with contextlib.suppress(Unfingerprintable):
                    found[reached.name] = fingerprint(reached.thing)
    return found


#: Values with too much in them that does not matter, which are looked at in other ways.
_SEEN_OTHERWISE = {"sys.modules", "os.environ", "sys.path_importer_cache", "matplotlib.rcParams",
                   "matplotlib.pyplot.rcParams"}  # fmt: skip


def _scope(code: CodeType, namespace: Mapping[str, Any]) -> Mapping[str, Any]:
    """The globals of the code: the notebook's, or those of the module whose file it is from."""
    for module in tuple(sys.modules.values()):
        if getattr(module, "__file__", None) == code.co_filename:
            return vars(module)
    return namespace


@dataclass(frozen=True, slots=True)
class _Reached:
    """Where a chain leads: the object, its name in full, and the parts beyond what is static."""

    thing: Any
    name: str
    rest: tuple[str, ...]
    through_module: bool


def _reach(chain: Chain, scope: Mapping[str, Any]) -> _Reached | None:
    """Follow a chain through modules and classes; None: it starts at a variable or is unbound."""
    root, *rest = chain.parts
    if chain.imported:
        thing: Any = sys.modules.get(root, _MISSING)
        if thing is _MISSING:
            return _Reached(_MISSING, str(chain), (), through_module=True)
    elif chain.is_local:
        return None
    elif root in scope:
        thing = scope[root]
    elif root in _BUILTINS:  # by name: nbflow itself stands in for `print`
        thing = getattr(builtins, root)
        return _Reached(thing, root, tuple(rest), through_module=False)
    else:
        return None
    through = isinstance(thing, ModuleType)
    while rest and isinstance(thing, ModuleType | type):
        step = (
            vars(thing).get(rest[0], _MISSING)
            if isinstance(thing, ModuleType)
            else inspect.getattr_static(thing, rest[0], _MISSING)
        )
        if step is _MISSING:
            name = f"{_full_name(thing)}.{'.'.join(rest)}"
            return _Reached(_MISSING, name, (), through)
        owner, thing = thing, step
        if not isinstance(thing, ModuleType | type | FunctionType):
            name = f"{_full_name(owner)}.{rest[0]}"
            return _Reached(thing, name, tuple(rest[1:]), through)
        del rest[0]
    return _Reached(thing, _full_name(thing), tuple(rest), through)


def _full_name(thing: Any) -> str:
    if isinstance(thing, ModuleType):
        return thing.__name__
    qualname = getattr(thing, "__qualname__", None)
    if qualname is None:
        return type(thing).__name__
    module = getattr(thing, "__module__", None)
    return f"{module}.{qualname}" if module not in (None, "builtins") else str(qualname)


def _look_at(chain: Chain, scope: Mapping[str, Any], notes: _Notes) -> None:
    reached = _reach(chain, scope)
    words = chain.parts[1:]
    if _TEXT_WORDS.intersection(chain.parts):
        notes.because(f"it reads about code ({_told(chain)})")
    if written := _COMPILED_WRITES.intersection(words):
        notes.because(f"it writes files ({min(written)})")
    notes.compiled_reads |= bool(_COMPILED_READS.intersection(words))
    if reached is not None and reached.name.partition(".")[0] in _COMPILED:
        notes.compiled_reads |= any(word.startswith(_READS) for word in words)
    notes.reads_place |= not _PLACE_WORDS.isdisjoint(chain.parts)
    is_direct = chain.is_called or chain.imported or reached is None or reached.through_module
    if is_direct and _CLOCK_WORDS.intersection(words):
        notes.because(f"it reads the clock ({_told(chain)})")
    if "__dict__" in words and reached is not None and reached.through_module:
        notes.because(f"it looks inside a module ({_told(chain)})", process=True)
    is_unknown = reached is None or reached.thing is _MISSING
    is_method = chain.is_called or not chain.parts[0]
    if is_unknown and is_method and _FILE_WORDS.intersection(words):
        notes.because(f"it asks about files ({_told(chain)})")
    if reached is None:
        return
    name, whole = reached.name, ".".join((reached.name, *reached.rest))
    top = name.partition(".")[0]
    if name in _ANY_NAME or (name in ("vars", "dir") and chain.no_arguments):
        notes.because(f"{name}() can read and change any name", process=True)
    elif name in _STDIN:
        notes.because(f"it waits for input ({name})")
    elif name in _CLOCK or whole in _CLOCK:
        notes.because(f"it reads the clock ({name})")
    elif name in _ENTROPY or (_public(chain, name) in _SEEDED and chain.no_arguments):
        notes.because(f"it draws fresh randomness ({_told(chain)})")
    elif name in _MACHINE:
        notes.because(f"it asks about this machine ({name})")
    elif name in _FRAMES or whole in _FRAMES:
        notes.because(f"it looks inside the interpreter ({whole})", process=True)
    elif name.rpartition(".")[2] in _FILE_WORDS and top in (
        "os",
        "posix",
        "posixpath",
        "genericpath",
        "pathlib",
    ):
        notes.because(f"it asks about files ({_told(chain)})")
    elif any(name == one or name.startswith(f"{one}.") for one in _BEYOND) and reached.rest + words:
        notes.because(f"it uses {_told(chain)}", process=True)
    if whole.startswith(("os.environ", "os.getenv", "os.path.expandvars", "posixpath.expandvars")):
        notes.reads_environment = True
    _look_at_changes(chain, reached, top, notes)


def _public(chain: Chain, name: str) -> str:
    """Numpy names its functions by the file they are in; `seed` is a method of a hidden object."""
    last = chain.parts[-1]
    if name.startswith("numpy.random"):
        return f"numpy.random.{last}"
    return f"random.{last}" if name.startswith("random.") else name


def _look_at_changes(chain: Chain, reached: _Reached, top: str, notes: _Notes) -> None:
    is_of_library = reached.through_module or _is_of_library(reached.thing)
    last = chain.parts[-1]
    if (
        reached.through_module
        and _SETTER.match(last)
        and last not in _WATCHED_SETTERS
        and not _is_of_user(reached.thing)
    ):
        notes.because(f"it calls {_told(chain)}, which changes a library", process=True)
    elif chain.is_changed and (is_of_library or _leads_to_library(reached)):
        notes.because(f"it sets {_told(chain)}", process=True)
    elif (
        chain.is_discarded
        and is_of_library
        and reached.name not in _BUILTINS
        and (top not in _WATCHED or _is_module_state(reached))
        and not _is_of_user(reached.thing)
    ):
        notes.because(f"it calls {_told(chain)} for its effect", process=True)


def _leads_to_library(reached: _Reached) -> bool:
    """`holder.m.x = 1`, where `holder.m` is a module."""
    thing = reached.thing
    for part in reached.rest:
        thing = inspect.getattr_static(thing, part, _MISSING)
        if isinstance(thing, ModuleType) or _is_of_library(thing):
            return True
    return False


def _is_module_state(reached: _Reached) -> bool:
    """`sys.path.append`: a method of something that a module holds."""
    if not reached.rest or not reached.through_module:
        return False
    return type(reached.thing).__module__.partition(".")[0] == "builtins" and not callable(
        reached.thing
    )


def _is_of_library(thing: Any) -> bool:
    if not isinstance(thing, type | FunctionType) and not inspect.isbuiltin(thing):
        return False
    module = getattr(thing, "__module__", None)
    return module is not None and is_library_module(module)


def _is_of_user(thing: Any) -> bool:
    module = getattr(thing, "__module__", None)
    is_code = isinstance(thing, type | FunctionType)
    return is_code and module is not None and not is_library_module(module)


def opens_only_named(source: str, namespace: Mapping[str, Any]) -> bool:
    """Whether what a cell gives to functions that read files unseen are names of files in sight.

    Texts in the source, and variables that hold a text or path: those are looked at anyway.
    """
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        last = node.func.attr if isinstance(node.func, ast.Attribute) else None
        last = node.func.id if isinstance(node.func, ast.Name) else last
        if last is not None and (last in _COMPILED_READS or last.startswith(_READS)):
            match node.args[:1]:
                case [ast.Constant(value=str())]:
                    pass
                case [ast.Name(id=name)] if isinstance(namespace.get(name), str | PurePath):
                    pass
                case _:
                    return False
    return True


def _look_at_reflection(every: list[Chain], scope: Mapping[str, Any], notes: _Notes) -> None:
    """`setattr(np, "mean", f)`: told apart from harmless uses by a module in plain sight."""
    last = {chain.parts[-1] for chain in every}
    if not last & {"setattr", "delattr", "getattr", "vars", "__setattr__", "__delattr__"}:
        return
    if named := next(_named_libraries(every, scope), ""):
        notes.because(f"it reaches into {named} by name", process=True)


def _named_libraries(every: list[Chain], scope: Mapping[str, Any]) -> Iterator[str]:
    """Modules and library classes that code gives to something, rather than calls."""
    for chain in every:
        reached = _reach(chain, scope)
        if reached is None or reached.rest or chain.is_called:
            continue
        if isinstance(reached.thing, ModuleType) or (
            isinstance(reached.thing, type)
            and reached.thing.__module__ != "builtins"
            and _is_of_library(reached.thing)
        ):
            yield _told(chain)


def _look_at_constants(code: CodeType, every: list[Chain], notes: _Notes) -> None:
    dates = {"Timestamp", "to_datetime", "datetime64", "Period", "date_range"}
    if any(dates.intersection(chain.parts) for chain in every):
        texts = {one.lower() for one in constants(code) if isinstance(one, str)}
        if texts & {"now", "today"}:
            notes.because("it reads the clock ('now' or 'today' as a date)")


def _told(chain: Chain) -> str:
    return ".".join(part for part in chain.parts if part)

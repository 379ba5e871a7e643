"""Which objects one piece of source changes in place, by the names they are reached from.

A guess on the safe side: a method is known to change its object, known not to, or, where its
result is not used, taken to. Types are not known here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

#: Methods that change their object, in the standard library, numpy, pandas and the like.
IN_PLACE_METHODS = frozenset(
    """append appendleft extend extendleft insert remove pop popleft popitem clear update setdefault
    add discard sort reverse rotate intersection_update difference_update
    symmetric_difference_update subtract move_to_end
    fill resize itemset put partition setflags setfield byteswap
    fit fit_transform fit_predict partial_fit set_params load_state_dict zero_grad backward step
    seek write writelines read readline readlines readinto truncate close send throw aclose asend
    __setitem__ __delitem__ __setattr__ __delattr__ __iadd__ __next__ __init__ __setstate__
    set_index_inplace add_ mul_ sub_ div_ zero_ fill_ copy_ put_nowait get_nowait
    execute executemany executescript commit rollback fetchone fetchmany fetchall
    seed set_state setstate shuffle""".split()
)
#: Methods that only look: a cell often ends with one, to show what it gives.
_LOOKING_METHODS = frozenset(
    """head tail describe info mean median std var sum min max count nunique unique value_counts
    quantile corr cov mode abs round groupby agg aggregate apply applymap map transform pipe assign
    dropna fillna drop drop_duplicates rename reset_index set_index sort_values sort_index reindex
    astype copy merge join concat pivot pivot_table melt stack unstack explode query eval filter
    sample nlargest nsmallest isna isnull notna notnull isin between clip cumsum cumprod cummax
    cummin diff shift rolling expanding ewm resample rank where mask idxmin idxmax argmin argmax
    argsort plot hist boxplot to_string to_html to_markdown to_dict to_list to_numpy tolist
    to_frame to_csv to_parquet to_json to_excel items keys values memory_usage equals compare
    select_dtypes duplicated any all prod dot ravel reshape flatten squeeze view nonzero
    predict predict_proba transform_only score decision_function get_params summary
    format join split rsplit splitlines strip lstrip rstrip replace upper lower title startswith
    endswith encode decode index find rfind get isdigit total_seconds isoformat strftime hex
    most_common elements union intersection difference issubset issuperset
    exists is_file is_dir read_text read_bytes glob iterdir resolve
    show_versions collect select with_columns limit lazy schema""".split()
)
#: Functions that only look, called for what they show.
_LOOKING_FUNCTIONS = frozenset(
    """print display len repr str help type id hash min max sum any all sorted isinstance issubclass
    callable int float bool complex abs round format ascii bin hex oct ord chr dir vars hasattr
    getattr list tuple set dict frozenset range slice assert_frame_equal assert_array_equal
    assert_allclose assert_series_equal pprint pp""".split()
)
#: Functions that change their first argument, by the last word of what they are called by.
_CHANGING_FUNCTIONS = frozenset(
    """next anext shuffle heappush heappop heapify heapreplace heappushpop insort insort_left
    insort_right setattr delattr setitem delitem put place putmask copyto fill_diagonal
    put_along_axis iadd iand iconcat ifloordiv ilshift imatmul imod imul ior ipow irshift isub
    itruediv ixor""".split()
)
_COPYING_INDEX = ast.Compare | ast.BoolOp | ast.List | ast.ListComp
#: Methods whose result shares memory or elements with their object.
_SHARING_METHODS = frozenset(
    """view reshape ravel squeeze transpose swapaxes diagonal get setdefault items values keys
    to_numpy __getitem__ cast detach numpy pop popitem popleft most_common __enter__ __iter__
    itertuples iterrows""".split()
)
_SHARING_FUNCTIONS = frozenset(
    """iter zip map filter enumerate reversed list tuple dict set sorted partial asarray
    asanyarray memoryview frombuffer from_numpy vars cast chain islice cycle next getattr
    atleast_1d atleast_2d ravel reshape squeeze transpose broadcast_to""".split()
)
#: Classes whose objects keep nothing of what they are made of; other classes may.
_COPYING_CLASSES = frozenset(
    "Counter Path PurePath Decimal Fraction Timestamp Timedelta DatetimeIndex Period File".split()
)
#: What gives an object that is used up, or moves on, when it is only read.
_USED_UP = frozenset(
    """iter zip map filter enumerate reversed open reader DictReader chain islice cycle count repeat
    starmap takewhile dropwhile tee pairwise batched accumulate scandir iglob finditer
    default_rng RandomState Random Generator StringIO BytesIO urlopen fdopen NamedTemporaryFile
    TemporaryFile iterrows itertuples iter_rows""".split()
)


def roots_changed(node: ast.AST) -> Iterator[str]:
    """Names of the objects that this node itself changes, without the nodes below it.

    Calls of functions that are not known say nothing; see `passed_on`.
    """
    match node:
        case (
            ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del())
        ):
            yield from _named(node.value)
        case ast.AugAssign(target=ast.Name(id=name)):
            yield name
        case ast.Call():
            yield from _by_call(node)
        case ast.Expr(value=value) if (call := _call_of(value)) is not None:
            yield from _by_statement(call)
        case _:
            pass


def passed_on(node: ast.Call) -> Iterator[tuple[int | str | None, str]]:
    """Places of a call's arguments, and the names they are reached from.

    None for a place: after a star, so any.
    """
    is_certain = True
    for place, argument in enumerate(node.args):
        if isinstance(argument, ast.Starred):
            is_certain = False
            argument = argument.value  # noqa: PLW2901
        for name in shared_roots(argument):
            yield place if is_certain else None, name
    for keyword in node.keywords:
        for name in shared_roots(keyword.value):
            yield keyword.arg, name


def shared_roots(value: ast.expr) -> Iterator[str]:
    """Names of objects that a value is, is a part of, or holds.

    `x`, `x.y`, `x[1:]`, `x.reshape(2)`, `[x, 1]`, `list(x)`; but not `x[x > 1]`, `x + y`, `f(x)`.
    """
    match value:
        case ast.Name(id=name):
            yield name
        case ast.Attribute(value=owner) | ast.Starred(value=owner) | ast.Await(value=owner):
            yield from shared_roots(owner)
        case ast.NamedExpr(target=target, value=inner):
            yield target.id
            yield from shared_roots(inner)
        case ast.Subscript(value=owner, slice=index) if not _copies(index):
            yield from shared_roots(owner)
        case ast.IfExp(body=body, orelse=orelse):
            yield from shared_roots(body)
            yield from shared_roots(orelse)
        case ast.BoolOp(values=values) | ast.List(elts=values) | ast.Tuple(elts=values):
            for one in values:
                yield from shared_roots(one)
        case ast.Set(elts=values):
            for one in values:
                yield from shared_roots(one)
        case ast.Dict(values=values):
            for one in values:
                yield from shared_roots(one)
        case ast.Call(func=ast.Attribute(value=owner, attr=name)) if name in _SHARING_METHODS:
            yield from shared_roots(owner)
            for argument in value.args:  # np.reshape(x, ...)
                yield from shared_roots(argument)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if (
            name in _SHARING_FUNCTIONS or (name[:1].isupper() and name not in _COPYING_CLASSES)
        ):
            # An object may keep what it is made of.
            for argument in (*value.args, *(keyword.value for keyword in value.keywords)):
                yield from shared_roots(argument)
        case _:
            pass


def is_used_up(value: ast.expr) -> bool:
    """Whether a value changes when it is only read: an iterator, an open file, a generator."""
    match value:
        case ast.GeneratorExp():
            return True
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in _USED_UP
        case ast.NamedExpr(value=inner) | ast.Await(value=inner):
            return is_used_up(inner)
        case _:
            return False


def statement_call(node: ast.Expr) -> ast.Call | None:
    """The call `f(x)` of a function by its name that is a statement of its own."""
    call = _call_of(node.value)
    if call is None or not isinstance(call.func, ast.Name):
        return None
    name = call.func.id
    return None if name in _LOOKING_FUNCTIONS or name in _CHANGING_FUNCTIONS else call


def _call_of(value: ast.expr) -> ast.Call | None:
    if isinstance(value, ast.Await):
        value = value.value
    return value if isinstance(value, ast.Call) else None


def _by_call(node: ast.Call) -> Iterator[str]:
    """What a call changes whose result may be used."""
    last = ""
    match node.func:
        case ast.Attribute(value=owner, attr=last):
            if last in IN_PLACE_METHODS or _is_random(node.func):
                yield from _named(owner)
            elif last == "at" and node.args:  # numpy.add.at(x, ...)
                yield from _named(node.args[0])
        case ast.Name(id=last):
            pass
        case _:
            pass
    if last in _CHANGING_FUNCTIONS and node.args:
        yield from _named(node.args[0])
    for keyword in node.keywords:
        if keyword.arg == "out":
            yield from _named(keyword.value)
        elif keyword.arg == "inplace" and isinstance(node.func, ast.Attribute):
            is_off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            yield from () if is_off else _named(node.func.value)


def _by_statement(call: ast.Call) -> Iterator[str]:
    """What the methods of a chain change when nothing is done with the result."""
    function = call.func
    while isinstance(function, ast.Attribute):
        if function.attr not in _LOOKING_METHODS:
            yield from _named(function.value)
        inner: ast.expr = function.value
        while isinstance(inner, ast.Attribute | ast.Subscript):
            inner = inner.value
        if not isinstance(inner, ast.Call):
            return
        function = inner.func


def _named(value: ast.expr) -> Iterator[str]:
    """The name of a changed object, through parts and methods that give parts."""
    while True:
        match value:
            case ast.Name(id=name):
                yield name
                return
            case ast.Attribute(value=inner) | ast.Subscript(value=inner):
                value = inner
            case ast.Starred(value=inner) | ast.Await(value=inner):
                value = inner
            case ast.Call(func=ast.Attribute(value=inner, attr=name)) if (
                name not in _LOOKING_METHODS or name in _SHARING_METHODS
            ):
                value = inner
            case _:
                yield from shared_roots(value)
                return


def _is_random(function: ast.Attribute) -> bool:
    """`np.random.normal`, `random.random`: a draw moves the module's generator on."""
    owner = function.value
    name = owner.attr if isinstance(owner, ast.Attribute) else None
    name = owner.id if isinstance(owner, ast.Name) else name
    return name == "random" and not function.attr[:1].isupper() and function.attr != "default_rng"


def _copies(index: ast.expr) -> bool:
    """Whether such an index makes a new object: a mask, or a list of positions or columns."""
    match index:
        case ast.BinOp(op=ast.BitAnd() | ast.BitOr()) | ast.UnaryOp(op=ast.Invert()):
            return True
        case ast.Tuple(elts=parts):
            return any(map(_copies, parts))
        case _:
            return isinstance(index, _COPYING_INDEX)

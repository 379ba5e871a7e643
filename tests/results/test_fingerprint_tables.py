"""Arrays, frames and tables: what they hold counts, not how it lies in memory."""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from nbflow.errors import Unfingerprintable
from nbflow.results import fingerprint_arrays, fingerprint_bulk
from nbflow.results.fingerprint import fingerprint, read_names

DAYS = pd.date_range("2024-01-01", periods=3)

# Three values of each dtype; the last differs from the second, the first may be missing.
COLUMNS: dict[str, Any] = {
    "int": pd.Series([1, 2, 3]),
    "small int": pd.Series([1, 2, 3], dtype="int8"),
    "unsigned": pd.Series([1, 2, 3], dtype="uint64"),
    "float": pd.Series([np.nan, 2.0, 3.0]),
    "single float": pd.Series([np.nan, 2.0, 3.0], dtype="float32"),
    "complex": pd.Series([1j, 2j, 3j]),
    "bool": pd.Series([True, True, False]),
    "objects": pd.Series([None, "a", 1.5], dtype=object),
    "lists": pd.Series([[1], [2], {"a": 3}], dtype=object),
    "text": pd.Series([None, "a", "b"], dtype="str"),
    "text, python": pd.Series([None, "a", "b"], dtype=pd.StringDtype("python")),
    "text, arrow": pd.Series([None, "a", "b"], dtype=pd.StringDtype("pyarrow")),
    "text, nan": pd.Series([None, "a", "b"], dtype=pd.StringDtype("python", na_value=np.nan)),
    "category": pd.Series(pd.Categorical([None, "a", "b"])),
    "ordered category": pd.Series(pd.Categorical([None, "a", "b"], ordered=True)),
    "category of numbers": pd.Series(pd.Categorical([None, 1, 2])),
    "nullable int": pd.Series([None, 2, 3], dtype="Int64"),
    "nullable float": pd.Series([None, 2, 3], dtype="Float64"),
    "nullable bool": pd.Series([None, True, False], dtype="boolean"),
    "datetime": pd.Series([pd.NaT, *DAYS[:2]]),
    "datetime in seconds": pd.Series([pd.NaT, *DAYS[:2]], dtype="datetime64[s]"),
    "datetime with zone": pd.Series([pd.NaT, *DAYS[:2]]).dt.tz_localize("UTC"),
    "datetime elsewhere": pd.Series([pd.NaT, *DAYS[:2]]).dt.tz_localize("Europe/Paris"),
    "timedelta": pd.Series(DAYS - DAYS[0]),
    "period": pd.Series(pd.period_range("2024-01", periods=3, freq="M")),
    "period of days": pd.Series(pd.period_range("2024-01", periods=3, freq="D")),
    "interval": pd.Series(pd.interval_range(0, 3)),
    "closed interval": pd.Series(pd.interval_range(0, 3, closed="left")),
    "sparse": pd.Series([0, 2, 3], dtype=pd.SparseDtype("int64", 0)),
    "sparse float": pd.Series([0, 2, 3], dtype=pd.SparseDtype("float64", np.nan)),
    "arrow int": pd.Series([None, 2, 3], dtype="int64[pyarrow]"),
    "arrow bool": pd.Series([None, True, False], dtype="bool[pyarrow]"),
    "arrow text": pd.Series([None, "a", "b"], dtype="string[pyarrow]").astype(
        pd.ArrowDtype(pa.large_string())
    ),
    "arrow time": pd.Series([None, *DAYS[:2]], dtype=pd.ArrowDtype(pa.timestamp("us"))),
    "arrow decimal": pd.Series(
        [None, decimal.Decimal("1.5"), decimal.Decimal("2.5")],
        dtype=pd.ArrowDtype(pa.decimal128(5, 2)),
    ),
    "arrow list": pd.Series([None, [1], [2]], dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
    "arrow struct": pd.Series(
        [None, {"a": 1}, {"a": 2}], dtype=pd.ArrowDtype(pa.struct([("a", pa.int64())]))
    ),
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_every_dtype_counts_by_content(column):
    frame = pd.DataFrame({"x": column, "n": range(3)})
    again = pd.concat([frame[:1], frame[1:]])
    again.insert(0, "first", 0)
    again = again.drop(columns="first")
    again.index = frame.index
    forms = [column, column.copy(), frame["x"].rename(None), again["x"].rename(None)]

    assert (again.dtypes == frame.dtypes).all()
    assert len({fingerprint(form) for form in forms}) == 1
    assert len({fingerprint(form) for form in (frame, frame.copy(), again)}) == 1
    order = [[0, 1, 2], [0, 2, 1], [2, 1, 2], [0, 1], [0, 1, 1], []]
    parts = [fingerprint(column.iloc[rows].reset_index(drop=True)) for rows in order]
    assert len(set(parts)) == len(order)
    assert fingerprint(column.array) != fingerprint(column)
    assert read_names("a", {"a": frame}).digests == read_names("a", {"a": again}).digests


def test_no_dtype_is_like_another():
    empty = [fingerprint(column[:0]) for column in COLUMNS.values()]
    full = [fingerprint(column) for column in COLUMNS.values()]
    known_equal = {"text", "text, python", "text, nan"}  # one of them is the default
    n_extra = len(known_equal) - 1

    assert len(set(full)) >= len(full) - n_extra
    assert len(set(empty)) >= len(empty) - n_extra - 1


INDEXES: dict[str, Any] = {
    "range": pd.RangeIndex(3),
    "range from one": pd.RangeIndex(1, 4),
    "range with name": pd.RangeIndex(3, name="x"),
    "numbers": pd.Index([0, 1, 2]),
    "floats": pd.Index([0.0, 1.0, 2.0]),
    "text": pd.Index(["0", "1", "2"]),
    "objects": pd.Index([0, "1", None], dtype=object),
    "dates": DAYS,
    "dates without frequency": pd.DatetimeIndex(list(DAYS)),
    "dates with zone": DAYS.tz_localize("UTC"),
    "durations": DAYS - DAYS[0],
    "periods": DAYS.to_period("D"),
    "intervals": pd.interval_range(0, 3),
    "categories": pd.CategoricalIndex(["a", "b", "a"]),
    "levels": pd.MultiIndex.from_tuples([(1, "a"), (1, "b"), (2, "a")]),
    "named levels": pd.MultiIndex.from_tuples([(1, "a"), (1, "b"), (2, "a")], names=["x", "y"]),
}


def test_every_index_counts():
    forms = [
        [fingerprint(index) for index in INDEXES.values()],
        [fingerprint(pd.Series([1, 2, 3], index=index)) for index in INDEXES.values()],
        [fingerprint(pd.DataFrame({"a": [1, 2, 3]}, index=index)) for index in INDEXES.values()],
        [fingerprint(pd.DataFrame([[1, 2, 3]], columns=index)) for index in INDEXES.values()],
    ]
    again = [fingerprint(index.copy()) for index in INDEXES.values()]

    assert again == forms[0]
    digests = list(itertools.chain(*forms))
    assert len(set(digests)) == len(digests)


FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0], "t": ["x", "y"]})


def flagged(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.copy().set_flags(allows_duplicate_labels=False)


def test_frames_of_one_content_are_equal_however_built():
    rows = pd.DataFrame([[1.0, 3.0, "x"], [2.0, 4.0, "y"]], columns=["a", "b", "t"])
    block = pd.DataFrame(np.array([[1.0, 3.0], [2.0, 4.0]]), columns=["a", "b"])
    block["t"] = ["x", "y"]
    long = pd.concat([FRAME, FRAME]).iloc[2:].reset_index(drop=True)
    frames = [FRAME, rows.astype(FRAME.dtypes), block, long, FRAME[::-1][::-1], FRAME.T.T]
    frames[-1] = frames[-1].astype(FRAME.dtypes)

    assert len({fingerprint(frame.reset_index(drop=True)) for frame in frames}) == 1


def test_large_frames_of_one_content_are_equal_however_built(monkeypatch):
    """Large columns are read side by side, in leaves: these borders may not show."""
    monkeypatch.setattr(fingerprint_bulk, "LEAF_BYTES", 4096)
    monkeypatch.setattr(fingerprint_arrays, "LEAF_BYTES", 4096)
    monkeypatch.setattr(fingerprint_bulk, "_PARALLEL_BYTES", 8192)
    monkeypatch.setattr(fingerprint_arrays, "_WINDOW_BYTES", 1000)
    for n_rows in (511, 512, 513, 5000):
        numbers = np.arange(n_rows * 6.0).reshape(n_rows, 6)
        by_rows = pd.DataFrame(numbers, copy=False)
        by_columns = pd.DataFrame({n: numbers[:, n].copy() for n in range(6)}, columns=range(6))
        by_columns.columns = by_rows.columns
        reverse = by_columns[::-1].copy()[::-1]

        assert fingerprint(by_rows) == fingerprint(by_columns) == fingerprint(reverse)
        assert fingerprint(numbers[:, 2]) == fingerprint(numbers[:, 2].copy())
        assert fingerprint(numbers[::2, 1:4]) == fingerprint(numbers[::2, 1:4].copy())
        changed = by_columns.copy()
        changed.iloc[n_rows - 1, 3] += 1
        assert fingerprint(changed) != fingerprint(by_columns)


def test_facts_about_a_frame_count():
    attrs = FRAME.copy()
    attrs.attrs["a"] = 1
    named = FRAME.rename_axis("r")
    named_columns = FRAME.rename_axis("c", axis=1)
    frames = [FRAME, attrs, named, named_columns, flagged(FRAME), FRAME[["b", "a", "t"]]]

    assert len({fingerprint(frame) for frame in frames}) == len(frames)


def test_single_values_of_pandas_count():
    values = [
        pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-01", tz="UTC"),
        pd.Timestamp("2024-01-02"),
        pd.Timestamp("2024-01-01").as_unit("ns"), dt.datetime(2024, 1, 1), pd.Timedelta(1, "s"),
        pd.Timedelta(2, "s"), dt.timedelta(seconds=1), pd.Period("2024-01", "M"),
        pd.Period("2024-01-01", "D"), pd.Interval(0, 1), pd.Interval(0, 1, closed="both"), pd.NaT,
        pd.NA, np.nan, None, pd.CategoricalDtype(["a"]), pd.CategoricalDtype(["a"], ordered=True),
        pd.Int64Dtype(), pd.DatetimeTZDtype(tz="UTC"), pd.offsets.Day(1), pd.offsets.Day(2),
    ]  # fmt: skip

    assert len({fingerprint(value) for value in values}) == len(values)
    assert [fingerprint(value) for value in values] == [fingerprint(value) for value in values]


# --- numpy ------------------------------------------------------------------------------------

WIDE = np.arange(24.0).reshape(2, 3, 4)
PADDED = np.dtype({"names": ["a", "b"], "formats": ["i1", "i8"]}, align=True)


def padded(junk: int) -> Any:
    made = np.full(PADDED.itemsize * 2, junk, "u1").view(PADDED)
    made["a"], made["b"] = 1, 2
    return made


ARRAYS = {
    "strides": (WIDE[:, ::2], WIDE[:, ::2].copy()),
    "negative strides": (WIDE[::-1, :, ::-1], WIDE[::-1, :, ::-1].copy()),
    "axes moved": (WIDE.transpose(1, 0, 2), WIDE.transpose(1, 0, 2).copy("K")),
    "column order with gaps": (WIDE[0, :, ::2].T, WIDE[0, :, ::2].T.copy("K")),
    "fields with gaps": (padded(0), padded(255)),
    "field of a record": (np.zeros(3, [("a", "i4"), ("b", "i8")])["b"], np.zeros(3, "i8")),
    "one long float": (np.longdouble("1.5"), np.longdouble("1.5")),
    "broadcast": (np.broadcast_to(np.float64(1), (3, 3)), np.ones((3, 3))),
    "masked junk": (np.ma.array([1, 7], mask=[0, 1]), np.ma.array([1, 8], mask=[0, 1])),
    "objects": (np.array(["a", 1], dtype=object), np.array(["ba"[1:], 1], dtype=object)),
    "texts of numpy": (
        np.array(["a", "b" * 99], dtype=np.dtypes.StringDType()),
        np.array(["a", "b" * 99], dtype=np.dtypes.StringDType()),
    ),
}


@pytest.mark.parametrize(("one", "other"), ARRAYS.values(), ids=ARRAYS)
def test_arrays_of_one_content_are_equal(one, other):
    assert fingerprint(one) == fingerprint(other)


def test_arrays_that_differ_in_anything_visible_differ():
    fields = [("a", "i4"), ("b", "i8")]
    arrays = [
        *(np.zeros(2, kind) for kind in "?bhiqBHIQefdgFDG"),
        *(np.zeros(2, unit) for unit in ("M8[s]", "M8[D]", "m8[s]", "m8[2s]", "S3", "U3", "V3")),
        np.zeros(2, ">i4"), np.zeros(2, fields), np.zeros(2, fields[::-1]), np.zeros(2, object),
        np.zeros((2, 1)), np.zeros((1, 2)), np.zeros((0, 2)), np.zeros((2, 0)), np.zeros(()),
        np.array([0.0, -0.0]), np.array(["a", "b"], object), np.array([["a"], ["b"]], object),
        np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.ma.zeros(2), np.ma.array([0.0, 0], mask=[0, 1]), np.ma.array([0.0, 0], fill_value=7),
        np.zeros(2, np.dtypes.StringDType()), np.zeros(2, np.dtype("f8", metadata={"a": 1})),
        np.float64(0), np.zeros(2, [("a", "f8")]).view(np.recarray),
    ]  # fmt: skip

    assert len({fingerprint(array) for array in arrays}) == len(arrays)


@pytest.mark.parametrize("n_bytes", [0, 1, 4095, 4096, 4097, 20_000])
def test_number_of_threads_does_not_show(monkeypatch, n_bytes):
    monkeypatch.setattr(fingerprint_bulk, "LEAF_BYTES", 4096)
    memory = np.arange(n_bytes, dtype="u1")
    alone = fingerprint_bulk.memory_digest(memory, alone=True)

    monkeypatch.setattr(fingerprint_bulk, "_PARALLEL_BYTES", 1)

    assert fingerprint_bulk.memory_digest(memory) == alone


def test_error_in_a_thread_reaches_the_caller():
    def fail(item: int) -> None:
        raise LookupError(item)

    with pytest.raises(LookupError):
        fingerprint_bulk.in_threads(fail, range(10), 1 << 30)


# --- arrow and polars -----------------------------------------------------------------------

ARROW = {
    "int": pa.array([None, 1, 2]),
    "small int": pa.array([None, 1, 2], pa.int8()),
    "float": pa.array([None, 1.0, 2.0]),
    "bool": pa.array([None, True, False]),
    "text": pa.array([None, "a", "bc"]),
    "large text": pa.array([None, "a", "bc"], pa.large_string()),
    "text view": pa.array([None, "a", "bc"], pa.string_view()),
    "bytes": pa.array([None, b"a", b"bc"]),
    "large bytes": pa.array([None, b"a", b"bc"], pa.large_binary()),
    "fixed bytes": pa.array([None, b"aa", b"bc"], pa.binary(2)),
    "time": pa.array([None, 1, 2], pa.timestamp("us")),
    "time with zone": pa.array([None, 1, 2], pa.timestamp("us", "UTC")),
    "date": pa.array([None, 1, 2], pa.date32()),
    "duration": pa.array([None, 1, 2], pa.duration("ms")),
    "decimal": pa.array([None, decimal.Decimal(1), decimal.Decimal(2)]),
    "dictionary": pa.array([None, "a", "b"]).dictionary_encode(),
    "list": pa.array([None, [1], [2, None]]),
    "struct": pa.array([None, {"a": 1}, {"a": 2}]),
}


@pytest.mark.parametrize("array", ARROW.values(), ids=ARROW)
def test_chunks_and_slices_of_arrow_do_not_show(array):
    chunked = pa.chunked_array([array[:1], array[1:]], array.type)
    longer = pa.concat_arrays([array, array, array])
    forms = [array, array[0:3], chunked, longer[3:6], pa.chunked_array([longer])[3:6]]
    swapped = pa.concat_arrays([array[:1], array[2:], array[1:2]])
    parts = [array, array[:2], array[1:], swapped]

    assert len({fingerprint(form) for form in forms}) == 1
    assert len({fingerprint(pa.table({"x": form})) for form in forms}) == 1
    assert len({fingerprint(part) for part in parts}) == len(parts)
    assert len({fingerprint(part[:0]) for part in parts}) == 1


def test_kinds_of_arrow_differ():
    arrays = [*ARROW.values(), pa.nulls(3), pa.array([0, 1, 2]), pa.array(["", "a", "bc"])]
    tables = [
        pa.table({"x": ARROW["int"]}), pa.table({"y": ARROW["int"]}),
        pa.table({"x": ARROW["int"]}).replace_schema_metadata({"a": "b"}),
        pa.table({"x": ARROW["int"], "y": ARROW["int"]}),
    ]  # fmt: skip
    others = [pa.schema([("x", pa.int64())]), pa.int64(), pa.int32(), pa.scalar(1), pa.scalar(2)]
    digests = [fingerprint(value) for value in [*arrays, *tables, *others]]

    assert len(set(digests)) == len(digests)


POLARS = {
    "int": pl.Series("x", [None, 1, 2]),
    "small int": pl.Series("x", [None, 1, 2], pl.Int8),
    "float": pl.Series("x", [None, 1.0, 2.0]),
    "bool": pl.Series("x", [None, True, False]),
    "text": pl.Series("x", [None, "a", "bc" * 20]),
    "category": pl.Series("x", [None, "a", "b"], pl.Categorical),
    "enum": pl.Series("x", [None, "a", "b"], pl.Enum(["a", "b"])),
    "date": pl.Series("x", [None, dt.date(2024, 1, 1), dt.date(2024, 1, 2)]),
    "time": pl.Series("x", [None, dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 2)]),
    "list": pl.Series("x", [None, [1], [2, None]]),
    "struct": pl.Series("x", [None, {"a": 1}, {"a": 2}]),
    "objects": pl.Series("x", [None, {1}, {2}], pl.Object),
}


@pytest.mark.parametrize("series", POLARS.values(), ids=POLARS)
def test_chunks_and_slices_of_polars_do_not_show(series):
    forms = [series, series.clone(), series[:]]
    if series.dtype != pl.Object:
        forms += [pl.concat([series[:1], series[1:]], rechunk=False), pl.concat([series] * 2)[3:]]
    frames = [form.to_frame() for form in forms]

    assert len({fingerprint(form) for form in forms}) == 1
    assert len({fingerprint(form) for form in frames}) == 1
    assert fingerprint(series) != fingerprint(series.rename("y")) != fingerprint(series[:2])
    assert fingerprint(series) != fingerprint(series.to_frame())


def test_kinds_of_polars_differ():
    assert len({fingerprint(series) for series in POLARS.values()}) == len(POLARS)


def test_query_that_did_not_run_is_refused():
    with pytest.raises(Unfingerprintable, match="LazyFrame"):
        fingerprint(pl.DataFrame({"x": [1]}).lazy())

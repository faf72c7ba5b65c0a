"""Tables: reading, refusals, and preprocessing there and back."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal

from augan.data.dataset import from_arrays
from augan.data.duplicates import find_near_duplicates
from augan.data.loading import load_dataset
from augan.data.modalities import tables
from augan.data.modalities.registry import restore_preprocessing
from augan.data.modalities.tables import Table, read_table
from augan.data.modalities.tabular import MAX_NORMALIZED, TabularPreprocessing
from augan.data.splits import Split
from augan.detect.inputs import TableSource
from augan.exceptions import DataError

FINITE = st.floats(-1e300, 1e300)


@pytest.fixture
def mixed() -> pd.DataFrame:
    """A column of every kind, one of them constant, in an order that is none of ours."""
    return pd.DataFrame(
        {
            "colour": ["red", "blue", "red", "green"],
            "length": [0.25, 1.5, 3.0, 2.75],
            "count": np.array([3, 0, 7, 7], np.int16),
            "unit": ["mm"] * 4,
            "sharp": [True, False, False, True],
            "grade": pd.Categorical(["b", "a", "b", "c"], categories=["c", "b", "a"]),
            "flat": [2] * 4,
        }
    )


def fitted(frame: pd.DataFrame) -> TabularPreprocessing:
    return TabularPreprocessing.fit_table(Table(frame))


class TestReading:
    @pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
    def test_read_table_with_any_separator(self, tmp_path, separator):
        path = tmp_path / "t.csv"
        text = separator.join(("name", "x")) + "\n" + separator.join(("a", "0.1")) + "\n"
        path.write_text("\ufeff" + text, encoding="utf-8")
        assert read_table(path).to_dict("list") == {"name": ["a"], "x": [0.1]}

    def test_read_table_reads_numbers_exactly(self, tmp_path):
        values = np.random.default_rng(0).standard_normal(200) * 10.0 ** np.arange(-100, 100)
        path = tmp_path / "t.csv"
        pd.DataFrame({"x": values}).to_csv(path, index=False)
        assert_array_equal(read_table(path)["x"], values)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty"),
            (b"a,b\n", "no rows"),
            (b"a,a\n1,2\n", "two columns 'a'"),
            (b",a\n0,1\n", "column 1 of the table has no name"),
            (b"a,b\n1,2\n1,2,3\n", "cannot be read as a table"),
            (b"a,b\n\xff\xfe\n", "cannot be read as a table"),
        ],
    )
    def test_read_table_refuses_other_content(self, tmp_path, content, message):
        path = tmp_path / "t.csv"
        path.write_bytes(content)
        with pytest.raises(DataError, match=message) as caught:
            load_dataset(path)
        assert str(path) in str(caught.value)

    def test_parquet_without_pyarrow_says_what_to_install(self, tmp_path, monkeypatch):
        path = tmp_path / "t.parquet"
        path.write_bytes(b"PAR1")
        monkeypatch.setattr(tables.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(DataError, match=r"pip install 'augan\[parquet\]'"):
            load_dataset(path)

    def test_read_table_reads_parquet(self, tmp_path, mixed):
        mixed.to_parquet(tmp_path / "t.parquet")
        assert_frame_equal(load_dataset(tmp_path / "t.parquet").images.frame, mixed)
        (tmp_path / "bad.parquet").write_bytes(b"PAR1 but no more")
        with pytest.raises(DataError, match="cannot be read as Parquet"):
            load_dataset(tmp_path / "bad.parquet")


class TestTarget:
    @pytest.mark.parametrize(
        ("values", "names", "labels"),
        [
            (["b", "a", "b", "a"], ("a", "b"), [1, 0, 1, 0]),
            ([10, 9, 9, 10], ("9", "10"), [1, 0, 0, 1]),
            ([True, False, True, True], ("False", "True"), [1, 0, 1, 1]),
            ([1.0, 2.0, 2.0, 1.0], ("1", "2"), [0, 1, 1, 0]),
        ],
    )
    def test_split_target_returns_labels_and_names(self, tmp_path, values, names, labels):
        path = tmp_path / "t.csv"
        pd.DataFrame({"x": range(4), "kind": values, "z": range(4)}).to_csv(path, index=False)
        dataset = load_dataset(path, target="kind")
        assert dataset.class_names == names
        assert dataset.labels.tolist() == labels
        assert list(dataset.images.frame) == ["x", "z"]
        # What is generated for these classes has the column again, in its place and type.
        again = TabularPreprocessing.fit_table(dataset.images).to_frame(
            TabularPreprocessing.fit_table(dataset.images).prepare_all(dataset.images),
            [names[i] for i in labels],
        )
        assert_frame_equal(again, read_table(path))

    def test_without_a_target_there_are_no_classes(self, tmp_path):
        path = tmp_path / "t.csv"
        path.write_text("x,y\n1,2\n3,4\n")
        dataset = load_dataset(path)
        assert (dataset.num_classes, dataset.sample_type, len(dataset)) == (0, "row", 2)

    @pytest.mark.parametrize(
        ("values", "target", "message"),
        [
            ([0, 0, 1, 1], "kinf", "no column 'kinf'.*did you mean 'kind'"),
            ([0, 0, 0, 0], "kind", "one value 0"),
            ([0, 1, 2, 3], "kind", "4 different values in 4 rows"),
            ([0, None, 1, 1], "kind", "missing in 1 of 4 rows"),
            ([0.5, 0.5, 1.5, 1.5], "kind", "'kind' cannot be used: .*fractions"),
        ],
    )
    def test_split_target_refuses_impossible_classes(self, tmp_path, values, target, message):
        path = tmp_path / "t.csv"
        pd.DataFrame({"x": range(4), "kind": values}).to_csv(path, index=False)
        with pytest.raises(DataError, match=message):
            load_dataset(path, target=target)

    def test_target_of_images_is_refused(self):
        with pytest.raises(DataError, match="digits is not a table"):
            load_dataset("digits", target="y")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1.0, np.nan, 3.0, np.nan], r"missing in bad \(2\) of 4 rows"),
        (["a", None, "b", "a"], r"missing in bad \(1\) of 4 rows"),
        ([1.0, np.inf, 3.0, 4.0], "'bad' is infinite in 1 of 4 rows"),
        (["1", "2", "n/a?", "4"], "'bad' holds numbers, but 1 of 4 .*'n/a\\?' in row 2"),
        (pd.date_range("2020-01-01", periods=4), "'bad' is of type datetime64"),
        ([1j, 2j, 3j, 4j], "complex"),
        ([-1.5e308, 1.5e308, 0, 0], "too far"),
        ([[1], [2], [3], [4]], "neither numbers nor text"),
    ],
)
def test_fit_refuses_columns_of_unsupported_values(column, message):
    with pytest.raises(DataError, match=message):
        fitted(pd.DataFrame({"good": range(4), "bad": column}))


def test_fit_refuses_more_than_fifty_categories():
    names = [f"part-{i}" for i in range(51)]
    with pytest.raises(DataError, match=r"'id' holds 51 different texts in 51 rows.*remove it"):
        fitted(pd.DataFrame({"id": names, "x": range(51)}))
    assert fitted(pd.DataFrame({"id": names[:50]})).groups == (50,)


def test_constant_columns_are_left_out_with_a_warning(mixed):
    (warning,) = fitted(mixed).warnings
    assert warning.endswith(": unit, flat")
    with pytest.raises(DataError, match=r"one value only \(unit, flat\)"):
        fitted(mixed[["unit", "flat"]])


def test_to_frame_restores_the_table(mixed):
    columns = fitted(mixed)
    stored = columns.prepare_all(Table(mixed))
    assert columns.sample_shape == (2 + 3 + 2 + 3,) == stored.shape[1:]
    x = columns.normalize(stored)
    assert x.dtype == np.float32
    assert_array_equal(x[:, 2:].sum(axis=1), [3.0] * 4)
    assert_frame_equal(columns.to_frame(columns.denormalize(x)), mixed)
    again = restore_preprocessing(json.loads(json.dumps(columns.to_dict())))
    assert again == columns


@settings(deadline=None)
@given(st.lists(FINITE, min_size=2, max_size=150).filter(lambda v: min(v) < max(v)))
@example([-1.0, -1.0, -2.0, -2.0, -2.0, -1.801439850948199e16, -1.801439850948199e16])
def test_normalize_is_monotone_bounded_and_invertible(values):
    columns = fitted(pd.DataFrame({"x": values}))
    if not columns.numbers:
        return
    ordered = np.unique(values)[:, None]
    x = columns.normalize(ordered)
    assert (x[0], x[-1]) == (-1.0, 1.0)
    assert (np.diff(x[:, 0]) >= 0).all()
    back = columns.denormalize(x)[:, 0]
    (column,) = columns.numbers
    assert back.min() >= ordered[0] - abs(ordered[0]) * 1e-9
    assert back.max() <= ordered[-1] + abs(ordered[-1]) * 1e-9
    # float32 keeps seven digits of a place, and a place stands for its stretch between knots.
    stretch = np.max(np.diff(column.quantiles) / np.diff(column.quantile_positions))
    assert_allclose(back, ordered[:, 0], rtol=1e-9, atol=stretch * 2e-7)


def test_normalize_keeps_outliers_outside_and_finite():
    columns = fitted(pd.DataFrame({"x": np.random.default_rng(0).exponential(size=500)}))
    high = columns.numbers[0].quantiles[-1]
    x = columns.normalize(np.array([[high], [2 * high], [3 * high], [1e300], [-1e300]]))[:, 0]
    assert (np.diff(x[:4]) > 0).all()
    assert_array_equal(x[3:], [MAX_NORMALIZED, -MAX_NORMALIZED])


def test_normalize_spreads_skewed_columns_like_normal_ones():
    # Between minimum and maximum most of these would lie below -0.9, where tanh hardly moves, and
    # generated columns would lose what they have to do with each other.
    values = np.random.default_rng(0).lognormal(sigma=2, size=1000)
    x = fitted(pd.DataFrame({"x": values})).normalize(values[:, None])
    assert abs(np.median(x)) < 0.02
    assert 0.25 < x.std() < 0.45


def test_object_column_of_numbers_is_numeric():
    columns = fitted(pd.DataFrame({"a": pd.Series([1, 2.5, 3] * 20, dtype=object)}))
    assert [column.kind for column in columns.columns] == ["number"]
    again = columns.to_frame(columns.denormalize(np.zeros((2, 1))))
    assert again["a"].dtype == object


def test_constant_arrow_column_is_left_out():
    frame = pd.DataFrame({"a": pd.array([7] * 9, dtype="int64[pyarrow]"), "b": np.arange(9.0)})
    assert [column.kind for column in fitted(frame).columns] == ["constant", "number"]


@pytest.mark.parametrize(
    ("trained", "new"),
    [([True, False], [1, 0]), ([True, False], ["True", "False"]), ([0, 1], [0.0, 1.0])],
)
def test_category_is_recognized_in_every_spelling(trained, new):
    train = pd.DataFrame({"a": pd.Series(trained * 9, dtype="category"), "b": np.arange(18.0)})
    stored, _ = fitted(train).prepare_rows(pd.DataFrame({"a": new, "b": [1.0, 2.0]}))
    known, _ = fitted(train).prepare_rows(train[:2])
    assert_array_equal(stored[:, 1:], known[:, 1:])


def test_text_that_looks_like_a_number_stays_text(tmp_path):
    codes = ["007", "010", "A12", "B3"] * 9
    trained = tmp_path / "trained.csv"
    pd.DataFrame({"code": codes, "x": np.arange(36.0)}).to_csv(trained, index=False)
    columns = fitted(read_table(trained))
    assert columns.text_columns == ["code"]
    for rows, wanted in (("007,1\n010,2", [0, 1]), ("7,1\n010,2\n,3", [None, 1, None])):
        (tmp_path / "new.csv").write_text(f"code,x\n{rows}\n")
        source = TableSource(tmp_path / "new.csv", columns)
        stored = columns.prepare_rows(source.frame)[0][:, 1:]
        expected = [np.eye(4)[w] if w is not None else np.zeros(4) for w in wanted]
        assert_array_equal(stored, expected)


def test_boolean_labels_of_arrays_come_back():
    x = pd.DataFrame({"x": np.arange(4.0)})
    dataset = from_arrays(x, np.array([True, False, True, True]))
    columns = TabularPreprocessing.fit_table(dataset.images)
    names = [dataset.class_names[label] for label in dataset.labels]
    made = columns.to_frame(columns.prepare_all(dataset.images), names)
    assert made["y"].tolist() == [True, False, True, True]


def test_largest_integers_come_back():
    most = np.iinfo(np.int64).max
    columns = fitted(pd.DataFrame({"a": np.array([0, most] * 9)}))
    made = columns.to_frame(columns.denormalize(np.array([[-1.0], [1.0]])))
    assert made["a"].dtype == np.int64
    assert made["a"].iloc[0] == 0
    assert made["a"].iloc[1] > most - 2048


@pytest.mark.parametrize("separator", [";", "\t"])
def test_read_table_reads_decimal_commas(tmp_path, separator):
    rows = [f"{i},5{separator}{i}{separator}x" for i in range(9)]
    text = "\n".join([separator.join("abc"), *rows])
    (tmp_path / "t.csv").write_text(text)
    frame = read_table(tmp_path / "t.csv")
    assert frame["a"].tolist() == [i + 0.5 for i in range(9)]
    assert frame["b"].tolist() == list(range(9))
    assert frame["c"].tolist() == ["x"] * 9


def test_rows_outside_the_fitted_rows_may_exceed_the_range():
    frame = pd.DataFrame({"a": [0.0, 1, 2, 100], "b": ["x", "y", "x", "z"]})
    columns = TabularPreprocessing.fit_table(Table(frame), np.arange(3))
    stored = columns.prepare_all(Table(frame))
    assert columns.normalize(stored)[3, 0] > 90
    assert stored[3, 1:].tolist() == [0, 0]  # a category that was never seen
    with pytest.raises(DataError, match="infinite"):
        TabularPreprocessing.fit_table(Table(frame.assign(a=[0, 1, 2, np.inf])), np.arange(3))


def test_generated_numbers_have_as_many_decimals():
    frame = pd.DataFrame({"price": [0.99, 5.25, 7.5], "exact": [1 / 3, 2 / 3, 0.123]})
    columns = fitted(frame)
    made = columns.to_frame(columns.denormalize(np.random.default_rng(0).uniform(-1, 1, (50, 2))))
    assert_array_equal(made["price"], made["price"].round(2))
    assert (made["exact"] != made["exact"].round(9)).all()


def test_prepare_rows_of_another_table(mixed):
    columns = fitted(mixed)
    other = mixed[mixed.columns[::-1]].assign(more=1)
    other["colour"] = ["red", "pink", None, "blue"]
    other["length"] = ["1.5", "2.0", "3.0", "long"]
    assert columns.unknown_columns(other) == ["more"]
    stored, reasons = columns.prepare_rows(other)
    assert reasons == {2: "colour is missing", 3: "length is 'long', not a number"}
    # Categories are sorted: blue, green, red; the unknown one is none of them.
    assert_array_equal(stored[:2, 2:5], [[0, 0, 1], [0, 0, 0]])
    with pytest.raises(DataError, match="lacks length, sharp, which"):
        columns.prepare_rows(mixed.drop(columns=["sharp", "length"]))
    # A constant column was not learned, so it may be missing.
    assert len(columns.prepare_rows(mixed.drop(columns="flat"))[0]) == 4


def test_arrays_with_two_axes_are_tables_of_numbers():
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    dataset = from_arrays(x, ["a", "b", "a", "b"])
    assert list(dataset.images.frame) == ["x0", "x1", "x2"]
    columns = TabularPreprocessing.fit_table(dataset.images)
    assert columns.target.name == "y"
    assert_array_equal(columns.prepare_all(dataset.images), x)
    half = dataset.subset(np.array([3, 0]))
    assert_array_equal(columns.prepare_all(half.images), x[[3, 0]])
    assert half.names == ("3", "0")
    with pytest.raises(DataError, match="images are needed"):
        dataset.headers()
    with pytest.raises(DataError, match="DataFrame for columns of text"):
        from_arrays(np.array([["a", "b"]]))


def test_find_near_duplicates_among_rows():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((40, 3))
    rows[31] = rows[2]
    split = Split(np.arange(25), np.arange(25, 30), np.arange(30, 40))
    assert find_near_duplicates(rows, split) == [(2, 31, 1.0)]
    # Where few values are possible, equal rows are chance.
    assert find_near_duplicates(rng.integers(0, 2, (40, 3)).astype(float), split) == []
    # Every row twice: then no value is alone, and yet nothing of it is chance.
    assert (
        len(find_near_duplicates(np.repeat(rows[:20], 2, axis=0)[rng.permutation(40)], split)) > 2
    )

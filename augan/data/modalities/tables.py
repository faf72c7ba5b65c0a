"""Tables of samples: reading of CSV and Parquet files, checks, and the target column."""

import csv
import difflib
import importlib.util
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from augan.data.validation import check_labels
from augan.exceptions import DataError
from augan.io.csv_safety import unescape_frame

if TYPE_CHECKING:
    import pandas as pd

TEXT_SUFFIXES = (".csv", ".tsv")
PARQUET_SUFFIXES = (".parquet", ".pq")
TABLE_SUFFIXES = TEXT_SUFFIXES + PARQUET_SUFFIXES
SEPARATORS = ",;\t|"


@dataclass(frozen=True)
class Target:
    """The column of a table with the class of each row.

    Attributes
    ----------
    name : str
        The name of the column.
    position : int
        The position among all columns of the table, from 0.
    dtype : str
        The pandas type of the column, also in generated tables.
    """

    name: str
    position: int
    dtype: str


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of named feature columns, and the description of the target column if there is one.

    Attributes
    ----------
    frame : pandas.DataFrame
        `[N, columns]` without the target, its index 0 to N - 1.
    target : Target or None
        The target column, whose values are the labels of the dataset; None (default): no target.
    """

    frame: "pd.DataFrame"
    target: Target | None = None

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, indices: np.ndarray) -> "Table":
        """Return a table of the rows at integer `indices`, in that order, numbered from 0."""
        return replace(self, frame=self.frame.take(indices).reset_index(drop=True))


def is_table_file(path: str | Path) -> bool:
    """Whether a path has the suffix of a table: .csv, .tsv, .parquet or .pq, in any case."""
    return Path(path).suffix.lower() in TABLE_SUFFIXES


def is_frame(x: Any) -> bool:
    """Whether an object is a pandas DataFrame; tested by name, without importing pandas."""
    return type(x).__name__ == "DataFrame" and hasattr(x, "iloc")


def is_tabular(x: Any) -> bool:
    """Whether input of the user is a table: a DataFrame, or an array-like with two axes."""
    try:
        return is_frame(x) or np.ndim(x) == 2
    except ValueError:  # a list of arrays of different shapes
        return False


def as_frame(x: Any) -> "pd.DataFrame":
    """Return a table of the user as a DataFrame with unique text names and index 0 to N - 1.

    The columns of an array are called `x0`, `x1`, and so on.

    Parameters
    ----------
    x : DataFrame or array-like
        A table; an array must be `[N, F]` of numbers or booleans.

    Raises
    ------
    DataError
        The array has other values than numbers; or the table has no row, no column, or columns
        without a unique name.
    """
    import pandas as pd

    if not is_frame(x):
        array = np.asarray(x)
        if array.ndim != 2 or array.dtype.kind not in "biuf":
            raise DataError(
                f"a table must be a DataFrame or an array [N, F] of numbers, got an array "
                f"{list(array.shape)} of {array.dtype}; give a DataFrame for columns of text"
            )
        x = pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])
    frame: pd.DataFrame = x.reset_index(drop=True)
    check_names([str(name) for name in frame.columns])
    frame.columns = [str(name) for name in frame.columns]
    if not len(frame):
        raise DataError("the table has no rows; give at least some hundred")
    if not len(frame.columns):
        raise DataError("the table has no columns; give at least one to learn from")
    return frame


def check_names(names: Iterable[str]) -> None:
    """Raise DataError if a column of a table has no name, or two columns have the same name."""
    seen: set[str] = set()
    for position, name in enumerate(names):
        if not name.strip():
            raise DataError(
                f"column {position + 1} of the table has no name (perhaps the index that pandas "
                "writes); name it, or write the table with index=False"
            )
        if name in seen:
            raise DataError(f"the table has two columns '{name}'; rename or remove one")
        seen.add(name)


def read_table(path: str | Path, text_columns: Sequence[str] = ()) -> "pd.DataFrame":
    """Read a CSV, TSV or Parquet file as a checked DataFrame, see `as_frame`.

    A CSV file is UTF-8 and begins with a row of names. The separator is the most frequent of comma,
    semicolon, tab and bar in that row; decimal commas are recognized if the separator is no comma.
    Escaped formulas are restored, see `augan.io.csv_safety`.

    Parameters
    ----------
    path : path-like
        The file; its suffix tells Parquet from text.
    text_columns : sequence of str
        Columns of a text file to read as text, so that 007 stays 007. pandas infers the types of
        the other columns. Default: none.

    Raises
    ------
    DataError
        The file cannot be read, the table has no rows or no proper names, or pyarrow is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no table {path}; give a {', '.join(TABLE_SUFFIXES)} file")
    frame = (
        _read_parquet(path)
        if path.suffix.lower() in PARQUET_SUFFIXES
        else _read_text(path, text_columns)
    )
    try:
        return as_frame(frame)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _read_text(path: Path, text_columns: Sequence[str]) -> "pd.DataFrame":
    """Read a CSV or TSV file as a DataFrame; see `read_table`, which also checks the result."""
    import pandas as pd

    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            separator = max(SEPARATORS, key=first.count)
            file.seek(0)
            names = next(csv.reader(file, delimiter=separator), [])
        if not names:
            raise DataError(f"{path} is empty; its first row must name the columns")
        # Checked before pandas reads them, because pandas renames the second of two equal names.
        check_names(names)
        # From version 3 on, pandas always reads numbers exactly, and warns of this option.
        exact: Any = {} if pd.__version__ >= "3" else {"float_precision": "round_trip"}
        with warnings.catch_warnings():
            # pandas only warns of values after the last column, and drops them.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            options: Any = {"sep": separator, "encoding": "utf-8-sig", "index_col": False}
            options |= {"on_bad_lines": "error", **exact}
            options["dtype"] = {name: str for name in text_columns if name in names}
            frame = pd.read_csv(path, **options)
            if separator != "," and _has_decimal_commas(frame):
                frame = pd.read_csv(path, decimal=",", **options)
        return unescape_frame(frame)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except (OSError, UnicodeError, ValueError, csv.Error, pd.errors.ParserWarning) as error:
        # The errors of pandas are ValueErrors.
        raise DataError(
            f"{path} cannot be read as a table: {' '.join(str(error).split())}; expected text in "
            "UTF-8 with a row of column names and as many values in every other row"
        ) from error


def _has_decimal_commas(frame: "pd.DataFrame") -> bool:
    """Whether a text column consists of numbers of which some have decimal commas, such as 1,5."""
    texts = frame.select_dtypes(exclude="number")
    columns = (texts[name].dropna().astype(str).str.strip() for name in texts)
    return any(
        len(text) > 0
        and bool(text.str.fullmatch(r"[-+]?\d+(,\d+)?").all())
        and bool(text.str.contains(",").any())
        for text in columns
    )


def _read_parquet(path: Path) -> "pd.DataFrame":
    """Read a Parquet file as a DataFrame; DataError if damaged, or if pyarrow is missing."""
    import pandas as pd

    if importlib.util.find_spec("pyarrow") is None:
        raise DataError(
            f"reading {path} needs pyarrow; install it with: pip install 'augan[parquet]'"
        )
    try:
        return pd.read_parquet(path)
    except Exception as error:  # pyarrow has many exception classes
        raise DataError(
            f"{path} cannot be read as Parquet: {' '.join(str(error).split())}; write it again"
        ) from error


def split_target(frame: "pd.DataFrame", target: str) -> tuple[Table, np.ndarray, tuple[str, ...]]:
    """Split the column of classes off a table, for training with labels.

    Parameters
    ----------
    frame : pandas.DataFrame
        The whole table.
    target : str
        The name of the column with the class of each row.

    Returns
    -------
    table : Table
        All other columns.
    labels : ndarray
        int64 `[N]`, positions in the class names.
    class_names : tuple of str
        The distinct values as text, in numerical or alphabetical order.

    Raises
    ------
    DataError
        The column does not exist or is the only column, or its values cannot be classes.
    """
    names = list(frame.columns)
    if target not in names:
        raise DataError(
            f"the table has no column '{target}' to be the target{_did_you_mean(target, names)}; "
            f"its columns are {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"
        )
    features = frame.drop(columns=target)
    if not len(features.columns):
        raise DataError(f"the table has the target '{target}' and no other column to learn from")
    labels, class_names = class_labels(frame[target], target)
    column = Target(target, names.index(target), str(frame[target].dtype))
    return Table(features, column), labels, class_names


def class_labels(values: Any, target: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Convert the values of a target column to class numbers and class names.

    Parameters
    ----------
    values : array-like or pandas.Series
        One value per row, numbers or text.
    target : str
        The name of the column in messages.

    Returns
    -------
    labels : ndarray
        int64 `[N]`, positions in the class names.
    class_names : tuple of str
        The distinct values as text, in numerical or alphabetical order.

    Raises
    ------
    DataError
        Values are missing or cannot be labels, there is one value only, or there are more
        than half as many distinct values as rows.
    """
    import pandas as pd

    series = pd.Series(values).reset_index(drop=True)
    missing = int(series.isna().sum())
    if missing:
        raise DataError(
            f"the target '{target}' is missing in {missing} of {len(series)} rows; fill it in or "
            "remove these rows (empty cells, NA and None count as missing)"
        )
    if not pd.api.types.is_numeric_dtype(series) or pd.api.types.is_bool_dtype(series):
        series = series.astype(str)
    try:
        labels, names = check_labels(series.to_numpy(), len(series))
    except DataError as error:
        raise DataError(f"the target '{target}' cannot be used: {error}") from None
    if len(names) < 2:
        raise DataError(
            f"the target '{target}' has the one value {names[0]}; classes need two or more: choose "
            "another target, or train without one"
        )
    if len(names) > max(2, len(series) // 2):
        raise DataError(
            f"the target '{target}' has {len(names)} different values in {len(series)} rows; a "
            "class needs several rows: choose another target, or group its values"
        )
    return labels, names


def _did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return the end of a message that suggests the most similar of `names`, or ""."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""

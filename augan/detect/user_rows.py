"""Rows of the user in memory: the kinds of table rows that a predictor takes.

Types are checked before anything is scored. A list is checked as a whole, an iterator item by item.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from augan.data.modalities.tables import as_frame, is_frame, is_table_file, read_table
from augan.data.modalities.tabular import TabularPreprocessing, list_names
from augan.data.user_images import ImageBytes, as_array, describe_value, is_array
from augan.exceptions import DataError

if TYPE_CHECKING:
    import pandas as pd

EXPECTED_ROWS = (
    "a DataFrame, an array [N, F] or the path of a table was expected, or one row as a Series, a "
    "dict or an array [F], or a list or an iterator of these"
)


def iterate_rows(
    rows: Any, preprocessing: TabularPreprocessing, chunk_size: int
) -> Iterator["pd.DataFrame"]:
    """Return an iterator over the rows of the user, as tables of at most `chunk_size` rows.

    The argument is checked by this call; the items of an iterator are checked when they are read.

    Parameters
    ----------
    rows : path, DataFrame, Series, mapping, array, or an iterable of these
        A Series, a mapping of column to value and an array `[F]` are one row. Arrays `[N, F]` have
        the columns of the training table, in order.
    preprocessing : TabularPreprocessing
    chunk_size : int

    Raises
    ------
    DataError
        The type or shape of the argument, or of an item, is none of these, a column is missing, or
        there is no row.
    """
    if isinstance(rows, str | os.PathLike):
        path = Path(os.fsdecode(rows))
        if not is_table_file(path):
            raise DataError(
                f"{path} is not a table, but the model was trained on one; give a .csv, .tsv or "
                ".parquet file, or load the detector of images"
            )
        frame = read_table(path, preprocessing.text_columns)
        return _slices(_checked(frame, preprocessing), chunk_size)
    if is_frame(rows) or _is_row(rows) or is_array(rows):
        return _slices(_as_rows(rows, preprocessing), chunk_size)
    if isinstance(rows, ImageBytes | Image.Image | set | frozenset) or not isinstance(
        rows, Iterable
    ):
        raise DataError(
            f"got {describe_value(rows)}, but the model is one of rows of a table: {EXPECTED_ROWS}"
        )
    if isinstance(rows, list | tuple):
        if not rows:
            raise DataError("the list of rows is empty; give at least one row")
        if all(np.isscalar(value) for value in rows):  # one row as a plain list
            return _slices(_as_rows(np.asarray(rows), preprocessing), chunk_size)
        rows = iter([_as_rows(row, preprocessing) for row in rows])
    return _joined((_as_rows(row, preprocessing) for row in rows), chunk_size)


def _is_row(value: Any) -> bool:
    """Whether a value is one row with named columns: a Series of pandas, or a mapping."""
    return isinstance(value, Mapping) or (
        type(value).__name__ == "Series" and hasattr(value, "iloc")
    )


def _as_rows(value: Any, preprocessing: TabularPreprocessing) -> "pd.DataFrame":
    """Return one or several rows of the user as a table with the columns of the training table.

    The index is that of a DataFrame, the name of a Series, and None for rows without a label.

    Raises
    ------
    DataError
        The value is no row or table, or lacks a column.
    """
    import pandas as pd

    if is_frame(value):
        if not len(value):
            raise DataError("the table has no rows; give at least one")
        frame = as_frame(value)
        missing = {column.name for column in preprocessing.columns} - set(frame.columns)
        in_index = [str(name) for name in value.index.names if str(name) in missing]
        if in_index:
            raise DataError(
                f"the table has {list_names(in_index)} in its index, not as a column; use "
                "reset_index()"
            )
        return _checked(frame.set_index(value.index), preprocessing)
    if _is_row(value):
        _check_row(value, preprocessing)
        frame = as_frame(pd.DataFrame([dict(value)])).set_index(_no_labels(1))
        if getattr(value, "name", None) is not None:
            frame.index = pd.Index([value.name])
        return _checked(frame, preprocessing)
    is_list = isinstance(value, list | tuple) and all(np.isscalar(one) for one in value)
    if not (is_list or is_array(value)):
        raise DataError(f"a row is {describe_value(value)}: {EXPECTED_ROWS}")
    array = as_array(value)
    names = [column.name for column in preprocessing.columns]
    if array.ndim not in (1, 2) or array.shape[-1] != len(names):
        raise DataError(
            f"rows of an array must have the {len(names)} columns of the training table "
            f"({', '.join(names[:5])}{', ...' if len(names) > 5 else ''}), but the array is "
            f"{list(array.shape)}; give a DataFrame with named columns, or all columns in order"
        )
    frame = pd.DataFrame(np.atleast_2d(array), columns=names)
    return _checked(as_frame(frame).set_index(_no_labels(len(frame))), preprocessing)


def _check_row(value: Any, preprocessing: TabularPreprocessing) -> None:
    """Raise DataError if a Series or mapping is a column or a table in place of one row."""
    if isinstance(value, Mapping):
        for name, cell in value.items():
            if not np.isscalar(cell) and hasattr(cell, "__len__"):
                raise DataError(
                    f"a dict is one row, but {name!r} holds {describe_value(cell)}; give "
                    "pd.DataFrame(...) for several rows"
                )
        return
    present = {str(name) for name in value.index}
    columns = preprocessing.numbers + preprocessing.categories
    missing = [column.name for column in columns if column.name not in present]
    if missing:
        raise DataError(
            f"a Series is one row, but this one lacks {list_names(missing)}; give a DataFrame for "
            "several rows"
        )


def _no_labels(count: int) -> "pd.Index":
    """Return the index of rows without labels, which are named by their positions."""
    import pandas as pd

    return pd.Index([None] * count, dtype=object)


def _checked(frame: "pd.DataFrame", preprocessing: TabularPreprocessing) -> "pd.DataFrame":
    """Return a table; DataError if it lacks a column of the training table."""
    preprocessing.prepare_rows(frame[:1])  # raises an error if a column is missing
    return frame


def _slices(frame: "pd.DataFrame", chunk_size: int) -> Iterator["pd.DataFrame"]:
    """Return an iterator over a table in parts of at most `chunk_size` rows."""
    starts = range(0, len(frame), chunk_size)
    return (frame.iloc[start : start + chunk_size] for start in starts)


def _joined(frames: Iterator["pd.DataFrame"], chunk_size: int) -> Iterator["pd.DataFrame"]:
    """Join small tables to parts of about `chunk_size` rows, and cut large ones."""
    import pandas as pd

    waiting: list[pd.DataFrame] = []
    for frame in frames:
        waiting.append(frame)
        if sum(map(len, waiting)) >= chunk_size:
            yield from _slices(pd.concat(waiting), chunk_size)
            waiting = []
    if waiting:
        yield from _slices(pd.concat(waiting), chunk_size)

"""Columns of a training table: type, scaling and categories, with conversion there and back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from augan.exceptions import DataError

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES = 50
MAX_DECIMALS = 9
MAX_QUANTILES = 100
MIN_NUMERIC_FRACTION = 0.5  # a text column with more numbers is taken for a column of numbers
_TUPLE_FIELDS = ("values", "quantiles", "quantile_positions")


@dataclass(frozen=True)
class ColumnSpec:
    """The type, range and categories of one column of the training table, and its scaling.

    Attributes
    ----------
    name : str
        The name of the column in the table.
    kind : str
        "number", "category", or "constant" (one value only: left out of training, and filled in
        again in generated tables).
    dtype : str
        The pandas type of the column, also in generated tables.
    values : tuple
        The categories in order, or the one value of a constant; empty for numbers.
    quantiles, quantile_positions : tuple of float
        Of a number: the distinct quantiles from the smallest to the largest value, and their
        normalized positions from -1 to 1, spaced like the quantiles of a normal distribution.
    decimals : int or None
        The number of decimals of all numbers, to which generated numbers are rounded; None
        (default): more than `MAX_DECIMALS`, so they are not rounded.
    """

    name: str
    kind: str
    dtype: str
    values: tuple[Any, ...] = ()
    quantiles: tuple[float, ...] = ()
    quantile_positions: tuple[float, ...] = ()
    decimals: int | None = None

    def normalize(self, values: np.ndarray) -> np.ndarray:
        """Map numbers of the training range to -1..1, linearly between the quantiles.

        Numbers outside the range are extrapolated with the slope of the whole range, so that
        outliers stay outliers. Far outside a tiny range the result is infinite.

        Parameters
        ----------
        values : ndarray of float
            Numbers of this column, of any shape.
        """
        low, high = self.quantiles[0], self.quantiles[-1]
        inside = np.interp(values, self.quantiles, self.quantile_positions)
        beyond = np.minimum(values - low, 0) + np.maximum(values - high, 0)
        with np.errstate(over="ignore"):  # far outside a tiny range, the result is infinite
            return np.asarray(inside + 2 * beyond / (high - low))

    def denormalize(self, positions: np.ndarray) -> np.ndarray:
        """Map positions in -1..1 to numbers of the training range, rounded to `decimals`.

        Positions outside -1..1 become the smallest or the largest training value.
        """
        values: np.ndarray = np.interp(positions, self.quantile_positions, self.quantiles)
        # Between -1.8e16 and -2, interpolation may round to 0, outside the range.
        values = np.clip(values, self.quantiles[0], self.quantiles[-1])
        return values if self.decimals is None else np.round(values, self.decimals)

    @property
    def width(self) -> int:
        """The number of values of this column in a prepared row: 0 for a constant."""
        return {"number": 1, "category": len(self.values), "constant": 0}[self.kind]

    def encode(self, series: "pd.Series") -> tuple[np.ndarray, np.ndarray]:
        """Convert the cells of a column to values of prepared rows.

        Parameters
        ----------
        series : pandas.Series
            N cells of a number or of a category.

        Returns
        -------
        values : ndarray
            float64 `[N, width]`: the number, or 1 for the category and 0 for the others; an unknown
            category is all zeros.
        is_unusable : ndarray of bool
            `[N]`: the cell is missing, infinite or not a number, see `failure_reason`.

        Raises
        ------
        DataError
            The cells are dates, durations or complex numbers.
        """
        import pandas as pd

        if series.dtype.kind in "mMc":
            raise DataError(
                f"column '{self.name}' is of type {series.dtype}, but the model learned "
                f"{'categories' if self.kind == 'category' else 'real numbers'}; convert it as the "
                "training table was converted"
            )
        if self.kind == "category":
            return _one_hot(series, self), series.isna().to_numpy()
        numbers = pd.to_numeric(series, errors="coerce")
        values = numbers.to_numpy(np.float64, na_value=np.nan)
        return values[:, None], ~np.isfinite(values)

    def failure_reason(self, value: Any) -> str:
        """Return the reason why the value of a cell cannot be used, for messages."""
        import pandas as pd

        if pd.isna(value) or self.kind == "category":
            return f"{self.name} is missing"
        if isinstance(value, str):
            return f"{self.name} is {value!r}, not a number"
        return f"{self.name} is {value}"

    def decode(self, values: np.ndarray) -> Any:
        """Convert values `[N, width]` of prepared rows to a pandas column of the type `dtype`."""
        if self.kind == "number":
            return _to_numbers(values[:, 0], self.dtype)
        is_constant = self.kind == "constant"
        indices = np.zeros(len(values), int) if is_constant else values.argmax(axis=1)
        return _to_categories(self.values, indices, self.dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as JSON-able values, tuples as lists."""
        return {**asdict(self), **{name: list(getattr(self, name)) for name in _TUPLE_FIELDS}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ColumnSpec":
        """Rebuild a column from the values of `to_dict`.

        Raises
        ------
        LookupError, TypeError or ValueError
            A field is missing, unknown, or of the wrong type or value.
        """
        column = cls(**{**values, **{name: tuple(values[name]) for name in _TUPLE_FIELDS}})
        if not isinstance(column.name, str) or not isinstance(column.dtype, str):
            raise TypeError("a column's name and type must be texts")
        if column.kind not in ("number", "category", "constant"):
            raise ValueError(f"there is no kind {column.kind!r} of a column")
        if column.kind == "number":
            _check_quantiles(column)
        elif not column.values or (column.kind == "constant" and len(column.values) > 1):
            raise ValueError(f"the values of {column.name} are {len(column.values)}")
        return column


def _check_quantiles(column: ColumnSpec) -> None:
    """Raise ValueError unless the quantiles of a column of numbers are finite and ascend."""
    fields = (column.quantiles, column.quantile_positions)
    quantiles, positions = (np.asarray(values, np.float64) for values in fields)
    fits = quantiles.shape == positions.shape and quantiles.ndim == 1 and len(quantiles) > 1
    if not fits or not (np.isfinite(quantiles).all() and np.isfinite(positions).all()):
        raise ValueError(f"the quantiles of {column.name} are not finite, or lack positions")
    if np.any(np.diff(quantiles) <= 0):
        raise ValueError(f"the quantiles of {column.name} do not ascend")


def fit_column(name: str, series: "pd.Series") -> ColumnSpec:
    """Derive type, range and categories of one column from its values.

    Parameters
    ----------
    name : str
        The name of the column.
    series : pandas.Series
        The values, none of them missing.

    Raises
    ------
    DataError
        The values are of an unsupported type, infinite or mixed, or there are more than 50
        categories.
    """
    import pandas as pd

    pandas_type: Any = series.dtype
    is_sparse = isinstance(pandas_type, pd.SparseDtype)
    dtype = str(pandas_type.subtype if is_sparse else pandas_type)
    if isinstance(series.dtype, pd.CategoricalDtype) or pd.api.types.is_bool_dtype(series):
        return _fit_categories(name, series, dtype)
    if pd.api.types.is_numeric_dtype(series):
        if pd.api.types.is_complex_dtype(series):
            raise DataError(f"column '{name}' holds complex numbers; give real ones")
        return _fit_numbers(name, series, dtype)
    if dtype == "object" and all(_is_number(value) for value in series):
        return _fit_numbers(name, series, dtype)
    if dtype in ("object", "str") or dtype.startswith("string"):
        _check_not_mixed(name, series)
        return _fit_categories(name, series, dtype)
    raise DataError(
        f"column '{name}' is of type {dtype}, and augan learns numbers, booleans and text; convert "
        "it, for example a date to a number of days"
    )


def _is_number(value: Any) -> bool:
    """Whether a value is a real number; booleans are not."""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _fit_numbers(name: str, series: "pd.Series", dtype: str) -> ColumnSpec:
    """Derive the quantiles and decimals of a column of numbers; one value only gives a constant."""
    values = series.to_numpy(np.float64)
    infinite = int((~np.isfinite(values)).sum())
    if infinite:
        raise DataError(
            f"column '{name}' is infinite in {infinite} of {len(values)} rows; replace these "
            "values or remove these rows"
        )
    low, high = float(values.min()), float(values.max())
    if low == high:
        first = series.iloc[0]
        return ColumnSpec(
            name, "constant", dtype, values=(getattr(first, "item", lambda: first)(),)
        )
    if not np.isfinite(high - low):
        raise DataError(f"column '{name}' reaches from {low} to {high}, too far to be scaled")
    quantiles, positions = _fit_quantiles(values)
    return ColumnSpec(
        name,
        "number",
        dtype,
        quantiles=quantiles,
        quantile_positions=positions,
        decimals=_count_decimals(values),
    )


def _fit_quantiles(values: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return up to 100 distinct quantiles of a column of numbers, and their positions in -1..1.

    Linear scaling from minimum to maximum would map most rows of a skewed column to one end of the
    generator's tanh. On synthetic tables with such columns, generated tables then kept less than
    half of the rank correlation (`docs/research-log.md`, tables).
    """
    from scipy.special import ndtri  # loading a bundle does not need SciPy, which takes a second

    fractions = np.linspace(0, 1, min(MAX_QUANTILES, len(values)))
    min_fraction = 0.5 / len(values)
    normal = ndtri(np.clip(fractions, min_fraction, 1 - min_fraction))  # quantiles of the normal
    quantiles, inverse = np.unique(np.quantile(values, fractions), return_inverse=True)
    # Several quantiles of one value get the mean of their positions.
    positions = np.bincount(inverse, normal / normal[-1]) / np.bincount(inverse)
    positions[0], positions[-1] = -1.0, 1.0
    return tuple(quantiles.tolist()), tuple(positions.tolist())


def _count_decimals(values: np.ndarray) -> int | None:
    """Return the smallest number of decimals, 0 to 9, that represents all values; None if more."""
    with np.errstate(over="ignore"):  # values for which rounding overflows have no decimals
        for digits in range(MAX_DECIMALS + 1):
            if np.array_equal(np.round(values, digits), values):
                return digits
    return None


def _check_not_mixed(name: str, series: "pd.Series") -> None:
    """Raise DataError for a text column that is mostly numbers, which is probably a mistake."""
    import pandas as pd

    numeric = pd.to_numeric(series, errors="coerce").notna()
    if numeric.mean() > MIN_NUMERIC_FRACTION and not numeric.all():
        row = int(np.flatnonzero(~numeric.to_numpy())[0])
        raise DataError(
            f"column '{name}' holds numbers, but {int((~numeric).sum())} of {len(series)} rows "
            f"hold text, the first {series.iloc[row]!r} in row {row}; correct or remove these rows"
        )


def _fit_categories(name: str, series: "pd.Series", dtype: str) -> ColumnSpec:
    """Derive the categories of a column of texts or truth values; one value gives a constant."""
    import pandas as pd

    if not all(isinstance(value, str | bool | int | float) for value in series.tolist()):
        raise DataError(f"column '{name}' holds values that are neither numbers nor text")
    if isinstance(series.dtype, pd.CategoricalDtype):
        present = series.cat.remove_unused_categories().cat.categories.tolist()
    else:
        present = sorted(set(series.tolist()), key=str)
    if len(present) == 1:
        return ColumnSpec(name, "constant", dtype, values=tuple(present))
    if len(present) > MAX_CATEGORIES:
        raise DataError(
            f"column '{name}' holds {len(present)} different texts in {len(series)} rows, more "
            f"than {MAX_CATEGORIES}: remove it if it identifies rows, else group its values"
        )
    return ColumnSpec(name, "category", dtype, values=tuple(present))


def _one_hot(series: "pd.Series", column: ColumnSpec) -> np.ndarray:
    """Return the categories of a column as rows `[N, categories]` of 0 and 1.

    A value that is no category of the training table gives a row of zeros.
    """
    # Compared as texts, because in a CSV file 1 may be a number, a name or a truth value.
    index_of = {str(value): index for index, value in enumerate(column.values)}
    for index, value in enumerate(column.values):
        for text in _spellings(value):
            index_of.setdefault(text, index)
    indices = np.array([index_of.get(str(value), -1) for value in series.tolist()], np.int64)
    rows = np.zeros((len(indices), len(column.values)))
    is_known = np.flatnonzero(indices >= 0)
    rows[is_known, indices[is_known]] = 1.0
    return rows


def _spellings(value: Any) -> tuple[str, ...]:
    """Return other spellings of a category that is a whole number or a truth value, else none."""
    if isinstance(value, bool | int | float) and float(value).is_integer():
        as_bool = (str(bool(value)),) if value in (0, 1) and isinstance(value, bool) else ()
        return str(int(value)), str(float(value)), *as_bool
    return ()


def _to_categories(values: tuple[Any, ...], indices: np.ndarray, dtype: Any) -> Any:
    """Return the categories at `indices` as a pandas column of the type `dtype`."""
    import pandas as pd

    if dtype == "category":
        return pd.Categorical.from_codes(indices.tolist(), categories=pd.Index(values))
    return pd.Series([values[index] for index in indices]).astype(dtype)


def _to_numbers(values: np.ndarray, dtype: Any) -> Any:
    """Return numbers as a pandas column of the type `dtype`, clipped to the range of integers."""
    import pandas as pd

    pandas_type = pd.api.types.pandas_dtype(dtype)
    if pd.api.types.is_integer_dtype(pandas_type):
        bounds = np.iinfo(np.dtype(str(pandas_type).lower().partition("[")[0]))
        # The largest integers of 64 bits are not representable as floats; the nearest is too large.
        highest = min(float(bounds.max), np.nextafter(2.0 ** (bounds.bits - (bounds.min < 0)), 0))
        values = np.clip(values, float(bounds.min), highest)
    return pd.Series(values).astype(dtype)

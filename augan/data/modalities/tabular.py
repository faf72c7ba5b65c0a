"""Preprocessing of tables: quantile scaling of numbers, one-hot encoding of categories."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.stats import norm

from augan.data.dataset import Dataset, Modality, SampleType
from augan.data.modalities.base import Preprocessing, TrainingDefaults
from augan.data.modalities.images import MAX_NORMALIZED
from augan.data.modalities.tables import Table, Target
from augan.exceptions import DataError

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES = 50
MAX_DECIMALS = 9
MAX_QUANTILES = 100
MIN_NUMERIC_FRACTION = 0.5  # a text column with more numbers is taken for a column of numbers


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
        return values if self.decimals is None else np.round(values, self.decimals)


def require_complete(frame: "pd.DataFrame") -> None:
    """Raise DataError, which names columns and counts, if a table has missing values."""
    missing = frame.isna().sum()
    counts = [f"{name} ({int(count)})" for name, count in missing.items() if count]
    if counts:
        raise DataError(
            f"values are missing in {', '.join(counts)} of {len(frame)} rows; fill them in or "
            "remove these rows (empty cells, NA and None count as missing)"
        )


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
    fractions = np.linspace(0, 1, min(MAX_QUANTILES, len(values)))
    min_fraction = 0.5 / len(values)
    normal = norm.ppf(np.clip(fractions, min_fraction, 1 - min_fraction))
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


_TUPLE_FIELDS = ("values", "quantiles", "quantile_positions")


@dataclass(frozen=True)
class TabularPreprocessing(Preprocessing):
    """Conversion of table rows to arrays of numbers and one-hot categories, and back.

    A prepared row has the numbers first, then the one-hot categories of each column of categories.

    Attributes
    ----------
    columns : tuple of ColumnSpec
        The columns without the target, in the order of the training table.
    target : Target or None
        The column of classes; None (default): the training table had none.

    The class attributes are those of `Preprocessing`.

    Raises
    ------
    DataError
        Every column is constant.
    """

    columns: tuple[ColumnSpec, ...]
    target: Target | None = None

    sample_type: ClassVar[SampleType] = "row"
    modality: ClassVar[Modality] = "rows"
    has_pixels: ClassVar[bool] = False
    supports_maps: ClassVar[bool] = False
    supports_residuals: ClassVar[bool] = False
    fits_values: ClassVar[bool] = True
    has_files: ClassVar[bool] = False
    file_formats: ClassVar[tuple[str, ...]] = ("csv",)
    training_defaults: ClassVar[TrainingDefaults] = TrainingDefaults(
        # With batch statistics most trainings on a few hundred rows diverge; without, none did.
        norm="none",
        # With momentum the generator overshoots and fills regions without data.
        betas=(0.0, 0.99),
        # R1 costs little on rows, and without R1 the GAN of a table oscillates.
        regularizer="r1",
        has_transformations=False,
        needs_learned_features=False,
    )
    classes_remedy: ClassVar[str] = "name the column of classes with --target"
    duplicates_remedy: ClassVar[str] = "remove repeated rows"

    def __post_init__(self) -> None:
        if not (self.numbers or self.categories):
            names = ", ".join(column.name for column in self.columns)
            raise DataError(
                f"every column has one value only ({names}); nothing can be learned from constants"
            )

    @classmethod
    def fit(
        cls, dataset: Dataset, size: int | None = None, rows: np.ndarray | None = None
    ) -> "TabularPreprocessing":
        """Derive the columns from the table of a dataset, see `fit_table`; `size` is ignored."""
        return cls.fit_table(dataset.require_table(), rows)

    @classmethod
    def fit_table(cls, table: Table, rows: np.ndarray | None = None) -> "TabularPreprocessing":
        """Derive the columns from a training table.

        Parameters
        ----------
        table : Table
            The training table; all of its rows are checked.
        rows : ndarray or None
            Indices of the rows that ranges and categories are taken from; None (default): all rows.

        Raises
        ------
        DataError
            Values are missing or infinite; a column mixes numbers and text, has too many different
            texts, or another type; or all columns are constant.
        """
        if not len(table):
            raise DataError("the table has no rows; give at least some hundred")
        require_complete(table.frame)
        columns = tuple(fit_column(name, table.frame[name]) for name in table.frame.columns)
        if rows is not None:
            selected = table.frame.iloc[rows]
            columns = tuple(fit_column(name, selected[name]) for name in selected.columns)
        return cls(columns, table.target)

    @cached_property
    def numbers(self) -> tuple[ColumnSpec, ...]:
        """The numeric columns in the order of the table, which come first in prepared rows."""
        return tuple(column for column in self.columns if column.kind == "number")

    @cached_property
    def categories(self) -> tuple[ColumnSpec, ...]:
        """The columns of categories in the order of the table, last in prepared rows."""
        return tuple(column for column in self.columns if column.kind == "category")

    @property
    def text_columns(self) -> list[str]:
        """Names of columns with text categories, which `read_table` must not parse as numbers."""
        of_text = (c for c in self.categories if any(isinstance(v, str) for v in c.values))
        return [column.name for column in of_text]

    @property
    def groups(self) -> tuple[int, ...]:
        """Sizes of the one-hot groups in a prepared row: the categories of each column."""
        return tuple(len(column.values) for column in self.categories)

    @property
    def sample_shape(self) -> tuple[int]:
        """The shape (F,) of one prepared row: one value per number and one per category."""
        return (len(self.numbers) + sum(self.groups),)

    @property
    def warnings(self) -> list[str]:
        """Warnings for the user: the constant columns, which are left out of training."""
        constant = [column.name for column in self.columns if column.kind == "constant"]
        if not constant:
            return []
        return [f"left out, because they have one value only: {', '.join(constant)}"]

    def describe(self) -> str:
        """Return the counts of columns for reports, such as "3 numbers and 2 categories"."""
        parts = [(len(self.numbers), "numbers"), (len(self.categories), "categories")]
        return " and ".join(f"{count} {name}" for count, name in parts if count)

    @property
    def target_name(self) -> str | None:
        """Name of the column of classes; None if the training table had none."""
        return None if self.target is None else self.target.name

    def prepare_all(self, samples: Table) -> np.ndarray:
        """Convert all rows of a table to prepared rows, float64 `[N, F]`.

        Raises
        ------
        DataError
            A column is missing, or a row cannot be used.
        """
        prepared, reasons = self.prepare_rows(samples.frame)
        if reasons:
            row, reason = next(iter(reasons.items()))
            raise DataError(
                f"{len(reasons)} of {len(samples)} rows cannot be used (row {row}: {reason}); "
                "correct or remove them"
            )
        return prepared

    def prepare_rows(self, frame: "pd.DataFrame") -> tuple[np.ndarray, dict[int, str]]:
        """Convert rows of a table to prepared rows, and report the rows that cannot be used.

        Parameters
        ----------
        frame : pandas.DataFrame
            A table with the columns of the training table in any order; other columns are ignored.

        Returns
        -------
        prepared : ndarray
            float64 `[N, F]`, also of unusable rows, whose values do not count. An unknown category
            is all zeros, which is usable.
        reasons : dict of int to str
            Number of each unusable row -> the reason: a value is missing, infinite or not a number.

        Raises
        ------
        DataError
            A column is missing.
        """
        import pandas as pd

        columns = [*self.numbers, *self.categories]
        missing = [column.name for column in columns if column.name not in frame.columns]
        if missing:
            raise DataError(
                f"the table lacks {', '.join(missing)}, which the model was trained on; it has "
                f"{', '.join(map(str, frame.columns))}"
            )
        reasons: dict[int, str] = {}
        parts = [np.empty((len(frame), 0))]
        for column in columns:
            series = frame[column.name]
            if column.kind == "number":
                values = pd.to_numeric(series, errors="coerce").to_numpy(
                    np.float64, na_value=np.nan
                )
                bad = ~np.isfinite(values)
                parts.append(values[:, None])
            else:
                bad = series.isna().to_numpy()
                parts.append(_one_hot(series, column))
            for row in np.flatnonzero(bad):
                reasons.setdefault(int(row), _failure_reason(series.iloc[row], column))
        return np.concatenate(parts, axis=1), dict(sorted(reasons.items()))

    def unknown_columns(self, frame: "pd.DataFrame") -> list[str]:
        """Return the names of columns that the training table had neither as feature nor target."""
        known = {column.name for column in self.columns}
        known |= {self.target.name} if self.target else set()
        return [str(name) for name in frame.columns if name not in known]

    def normalize(self, prepared: np.ndarray) -> np.ndarray:
        """Scale the numbers of prepared rows `[..., F]` to -1..1, in float32, for the networks.

        Categories stay 0 and 1. Numbers outside the training range lie outside -1..1, and are
        clipped only beyond -1000 and 1000.
        """
        x = np.array(prepared, np.float64)
        for index, column in enumerate(self.numbers):
            x[..., index] = column.normalize(x[..., index])
        return np.clip(x, -MAX_NORMALIZED, MAX_NORMALIZED).astype(np.float32)

    def denormalize(self, x: np.ndarray) -> np.ndarray:
        """Convert rows `[..., F]` of the generator to prepared rows: undo `normalize`.

        Numbers are clipped to the training range and rounded; of each one-hot group the largest
        value becomes 1, the others 0.
        """
        x = np.array(x, np.float64)
        for index, column in enumerate(self.numbers):
            x[..., index] = column.denormalize(x[..., index])
        start = len(self.numbers)
        for size in self.groups:
            category = x[..., start : start + size].argmax(axis=-1)
            x[..., start : start + size] = np.eye(size)[category]
            start += size
        return x

    def to_original_size(self, prepared: np.ndarray) -> np.ndarray:
        """Return prepared rows unchanged: unlike images, rows have no size to restore."""
        return prepared

    def whole_samples(self, dataset: Dataset) -> "TabularPreprocessing":
        """Return this object, whose samples are whole rows."""
        return self

    def require_rows(self, message: str = "") -> "TabularPreprocessing":
        """Return this object."""
        return self

    def identifying_values(self) -> dict[str, Any]:
        """Return `to_dict`, because equal numbers in columns of other names are other data."""
        return self.to_dict()

    def to_frame(self, prepared: np.ndarray, classes: list[str] | None = None) -> "pd.DataFrame":
        """Convert prepared rows `[N, F]` to a table with the columns of the training table.

        Parameters
        ----------
        prepared : ndarray
            Prepared rows, for example of `denormalize`.
        classes : list of str or None
            The class name of each row, for the target column; None (default): no target column.

        Returns
        -------
        pandas.DataFrame
            Columns in the order and of the types of the training table, constants included.
        """
        import pandas as pd

        values: dict[str, Any] = {}
        for index, column in enumerate(self.numbers):
            values[column.name] = _to_numbers(prepared[:, index], column.dtype)
        start = len(self.numbers)
        for column, size in zip(self.categories, self.groups):
            category = prepared[:, start : start + size].argmax(axis=1)
            values[column.name] = _to_categories(column.values, category, column.dtype)
            start += size
        for column in self.columns:
            if column.kind == "constant":
                values[column.name] = _to_categories(
                    column.values, np.zeros(len(prepared), int), column.dtype
                )
        frame = pd.DataFrame({column.name: values[column.name] for column in self.columns})
        if self.target is not None and classes is not None:
            frame.insert(
                self.target.position, self.target.name, _to_target(classes, self.target.dtype)
            )
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Return columns and target as JSON-able values, for `preprocessing.json` of a bundle."""
        return {
            "modality": self.modality,
            "columns": [_column_to_dict(column) for column in self.columns],
            "target": None if self.target is None else asdict(self.target),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TabularPreprocessing":
        """Rebuild the preprocessing of a bundle from the values that `to_dict` returned.

        Raises
        ------
        DataError
            A field is missing, unknown, or of the wrong type.
        """
        try:
            unknown = sorted(set(values) - {"modality", "columns", "target"})
            if unknown:
                raise ValueError(f"unknown fields {', '.join(unknown)}")
            columns = [_column_from_dict(column) for column in values["columns"]]
            target = None if values["target"] is None else Target(**values["target"])
            if target is not None:
                _check_target(target, len(columns))
            result = cls(tuple(columns), target)
            # Converting an empty table there and back finds damaged values.
            classes: list[str] | None = None if target is None else []
            result.to_frame(
                result.denormalize(result.normalize(np.zeros((0, *result.sample_shape)))), classes
            )
        except DataError:
            raise
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise DataError(f"the description of the table's columns is damaged: {error}") from None
        return result


def _check_target(target: Target, count: int) -> None:
    """Raise ValueError or TypeError if the target of a bundle has an invalid field.

    `count` is the number of feature columns, which is the largest possible position of the target.
    """
    if not isinstance(target.position, int) or not 0 <= target.position <= count:
        raise ValueError(f"the target stands at {target.position} of {count} columns")
    if not isinstance(target.name, str) or not isinstance(target.dtype, str):
        raise TypeError("the target's name and type must be texts")


def _column_to_dict(column: ColumnSpec) -> dict[str, Any]:
    """Return the fields of a column as JSON-able values, tuples as lists."""
    return {**asdict(column), **{name: list(getattr(column, name)) for name in _TUPLE_FIELDS}}


def _column_from_dict(values: Mapping[str, Any]) -> ColumnSpec:
    """Rebuild a column from the values of `_column_to_dict`.

    Raises
    ------
    LookupError, TypeError or ValueError
        A field is missing, unknown, or of the wrong type or value.
    """
    column = ColumnSpec(**{**values, **{name: tuple(values[name]) for name in _TUPLE_FIELDS}})
    if not isinstance(column.name, str) or not isinstance(column.dtype, str):
        raise TypeError("a column's name and type must be texts")
    if column.kind not in ("number", "category", "constant"):
        raise ValueError(f"there is no kind {column.kind!r} of a column")
    if column.kind == "number":
        fields = (column.quantiles, column.quantile_positions)
        quantiles, positions = (np.asarray(values, np.float64) for values in fields)
        fits = quantiles.shape == positions.shape and quantiles.ndim == 1 and len(quantiles) > 1
        if not fits or not (np.isfinite(quantiles).all() and np.isfinite(positions).all()):
            raise ValueError(f"the quantiles of {column.name} are not finite, or lack positions")
        if np.any(np.diff(quantiles) <= 0):
            raise ValueError(f"the quantiles of {column.name} do not ascend")
    elif not column.values or (column.kind == "constant" and len(column.values) > 1):
        raise ValueError(f"the values of {column.name} are {len(column.values)}")
    return column


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


def _failure_reason(value: Any, column: ColumnSpec) -> str:
    """Return the reason why a value of a column cannot be used, for messages."""
    if value is None or value != value or column.kind == "category":
        return f"{column.name} is missing"
    if isinstance(value, str):
        return f"{column.name} is {value!r}, not a number"
    return f"{column.name} is {value}"


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


def _to_target(classes: list[str], dtype: Any) -> Any:
    """Return class names as a target column of the pandas type `dtype`."""
    import pandas as pd

    names = pd.Series(classes, dtype="str")
    if dtype.lower().startswith("bool"):
        return names.isin(("True", "1")).astype(dtype)  # labels of arrays are called 0 and 1
    if dtype.lower().startswith(("int", "uint", "float")):
        return pd.to_numeric(names).astype(dtype)
    return names.astype(dtype)

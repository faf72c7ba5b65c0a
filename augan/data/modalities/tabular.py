"""What is learned about one column of a table: its kind, its range, its categories."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.stats import norm

from augan.data.dataset import Modality, SampleType
from augan.data.modalities.tables import Table, Target
from augan.exceptions import DataError

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES = 50
MAX_DECIMALS = 9
MAX_KNOTS = 100
NUMERIC_SHARE = 0.5  # a text column of which more are numbers was meant to be one of numbers


@dataclass(frozen=True)
class ColumnSpec:
    """What was learned about one column.

    Attributes
    ----------
    name
        Its name in the table.
    kind
        "number", "category", or "constant" (one value only: not learned, and filled in again).
    dtype
        Its pandas type, which generated tables have too.
    values
        The categories in order, or the one value of a constant.
    knots, places
        Of a number: quantiles from the smallest to the largest, and what they become: -1, ..., 1,
        spaced like the quantiles of a normal distribution.
    decimals
        Digits after the point that all numbers had, to which generated ones are rounded; None:
        too many to count.
    """

    name: str
    kind: str
    dtype: str
    values: tuple[Any, ...] = ()
    knots: tuple[float, ...] = ()
    places: tuple[float, ...] = ()
    decimals: int | None = None

    def normalize(self, values: np.ndarray) -> np.ndarray:
        """Map numbers to -1..1 in training, linearly between knots.

        Beyond them they go on with the slope of the whole range, so that what is far out stays so.
        """
        low, high = self.knots[0], self.knots[-1]
        inside = np.interp(values, self.knots, self.places)
        beyond = np.minimum(values - low, 0) + np.maximum(values - high, 0)
        with np.errstate(over="ignore"):  # far beyond a range close to nothing: infinitely far
            return np.asarray(inside + 2 * beyond / (high - low))

    def denormalize(self, places: np.ndarray) -> np.ndarray:
        """Map -1..1 back to numbers of the training range, rounded like those of training."""
        values: np.ndarray = np.interp(places, self.places, self.knots)
        return values if self.decimals is None else np.round(values, self.decimals)


def require_complete(frame: "pd.DataFrame") -> None:
    """Raise DataError, naming columns and counts, if values are missing."""
    missing = frame.isna().sum()
    found = [f"{name} ({int(count)})" for name, count in missing.items() if count]
    if found:
        raise DataError(
            f"values are missing in {', '.join(found)} of {len(frame)} rows; fill them in or "
            "remove these rows (empty cells, NA and None count as missing)"
        )


def fit_column(name: str, series: "pd.Series") -> ColumnSpec:
    """Learn from the complete values of one column.

    Raises
    ------
    DataError
        They are of no type that can be learned, infinite, mixed, or too many categories.
    """
    import pandas as pd

    own: Any = series.dtype
    dtype = str(own.subtype if isinstance(own, pd.SparseDtype) else own)
    if isinstance(series.dtype, pd.CategoricalDtype) or pd.api.types.is_bool_dtype(series):
        return _learn_categories(name, series, dtype)
    if pd.api.types.is_numeric_dtype(series):
        if pd.api.types.is_complex_dtype(series):
            raise DataError(f"column '{name}' holds complex numbers; give real ones")
        return _learn_numbers(name, series, dtype)
    if dtype == "object" and all(_is_number(value) for value in series):
        return _learn_numbers(name, series, dtype)
    if dtype in ("object", "str") or dtype.startswith("string"):
        _refuse_mixture(name, series)
        return _learn_categories(name, series, dtype)
    raise DataError(
        f"column '{name}' is of type {dtype}, and augan learns numbers, booleans and text; convert "
        "it, for example a date to a number of days"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _learn_numbers(name: str, series: "pd.Series", dtype: str) -> ColumnSpec:
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
    knots, places = _knots(values)
    return ColumnSpec(name, "number", dtype, knots=knots, places=places, decimals=_decimals(values))


def _knots(values: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return quantiles, each once, and their places.

    A straight line from minimum to maximum would leave most rows of a skewed column at one end of
    the generator's tanh. On made-up tables with such columns, generated ones then kept less than
    half of their rank correlation (`docs/research-log.md`, tables).
    """
    shares = np.linspace(0, 1, min(MAX_KNOTS, len(values)))
    least = 0.5 / len(values)
    normal = norm.ppf(np.clip(shares, least, 1 - least))
    knots, which = np.unique(np.quantile(values, shares), return_inverse=True)
    # A value that several quantiles share gets the middle of their places.
    places = np.bincount(which, normal / normal[-1]) / np.bincount(which)
    places[0], places[-1] = -1.0, 1.0
    return tuple(knots.tolist()), tuple(places.tolist())


def _decimals(values: np.ndarray) -> int | None:
    with np.errstate(over="ignore"):  # where rounding overflows, there is nothing to round
        for digits in range(MAX_DECIMALS + 1):
            if np.array_equal(np.round(values, digits), values):
                return digits
    return None


def _refuse_mixture(name: str, series: "pd.Series") -> None:
    """A column of numbers with a few words in it is a mistake, not a column of categories."""
    import pandas as pd

    numeric = pd.to_numeric(series, errors="coerce").notna()
    if numeric.mean() > NUMERIC_SHARE and not numeric.all():
        row = int(np.flatnonzero(~numeric.to_numpy())[0])
        raise DataError(
            f"column '{name}' holds numbers, but {int((~numeric).sum())} of {len(series)} rows "
            f"hold text, the first {series.iloc[row]!r} in row {row}; correct or remove these rows"
        )


def _learn_categories(name: str, series: "pd.Series", dtype: str) -> ColumnSpec:
    import pandas as pd

    if not all(isinstance(value, str | bool | int | float) for value in series.tolist()):
        raise DataError(f"column '{name}' holds things that are neither numbers nor text")
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


_TUPLES = ("values", "knots", "places")
FARTHEST = 1000.0  # scaled values end here: their squares must stay finite as float32


@dataclass(frozen=True)
class TabularPreprocessing:
    """What was learned from the training table about its columns.

    Attributes
    ----------
    columns
        All but the target, in the order of the table.
    target
        The column of classes, or None.
    """

    columns: tuple[ColumnSpec, ...]
    target: Target | None = None

    sample_type: ClassVar[SampleType] = "row"
    modality: ClassVar[Modality] = "rows"

    def __post_init__(self) -> None:
        if not (self.numbers or self.categories):
            names = ", ".join(column.name for column in self.columns)
            raise DataError(
                f"every column has one value only ({names}); nothing can be learned from constants"
            )

    @classmethod
    def fit(cls, table: Table, rows: np.ndarray | None = None) -> "TabularPreprocessing":
        """Learn from a table, or from some of its rows; all must be such as can be learned from.

        Raises
        ------
        DataError
            Values are missing or infinite, a column mixes numbers and text, holds too many
            different texts, or is of a type that is neither; or all columns are constant.
        """
        require_complete(table.frame)
        columns = tuple(fit_column(name, table.frame[name]) for name in table.frame.columns)
        if rows is not None:
            some = table.frame.iloc[rows]
            columns = tuple(fit_column(name, some[name]) for name in some.columns)
        return cls(columns, table.target)

    @cached_property
    def numbers(self) -> tuple[ColumnSpec, ...]:
        """The numeric columns, which stored rows begin with."""
        return tuple(column for column in self.columns if column.kind == "number")

    @cached_property
    def categories(self) -> tuple[ColumnSpec, ...]:
        """The columns of categories, which follow."""
        return tuple(column for column in self.columns if column.kind == "category")

    @property
    def texts(self) -> list[str]:
        """The names of columns whose categories are texts, though some may look like numbers."""
        of_text = (c for c in self.categories if any(isinstance(v, str) for v in c.values))
        return [column.name for column in of_text]

    @property
    def groups(self) -> tuple[int, ...]:
        """How many categories each of them has."""
        return tuple(len(column.values) for column in self.categories)

    @property
    def sample_shape(self) -> tuple[int]:
        """The shape of one stored row."""
        return (len(self.numbers) + sum(self.groups),)

    @property
    def warnings(self) -> list[str]:
        """What the user should know about the columns."""
        constant = [column.name for column in self.columns if column.kind == "constant"]
        if not constant:
            return []
        return [f"left out, because they have one value only: {', '.join(constant)}"]

    def describe(self) -> str:
        """Say in a few words what the network sees."""
        parts = [(len(self.numbers), "numbers"), (len(self.categories), "categories")]
        return " and ".join(f"{count} {what}" for count, what in parts if count)

    def prepare_all(self, table: Table) -> np.ndarray:
        """Return all rows as stored, float64 `[N, F]`.

        Raises
        ------
        DataError
            A column is missing, or a row cannot be used.
        """
        stored, reasons = self.read_rows(table.frame)
        if reasons:
            row, reason = next(iter(reasons.items()))
            raise DataError(
                f"{len(reasons)} of {len(table)} rows cannot be used (row {row}: {reason}); "
                "correct or remove them"
            )
        return stored

    def read_rows(self, frame: "pd.DataFrame") -> tuple[np.ndarray, dict[int, str]]:
        """Return the stored rows `[N, F]`, and the reason why a row cannot be used by its number.

        Columns may come in any order; those that the model does not know are ignored.

        Raises
        ------
        DataError
            A column is missing.
        """
        import pandas as pd

        learned = [*self.numbers, *self.categories]
        missing = [column.name for column in learned if column.name not in frame.columns]
        if missing:
            raise DataError(
                f"the table lacks {', '.join(missing)}, which the model was trained on; it has "
                f"{', '.join(map(str, frame.columns))}"
            )
        reasons: dict[int, str] = {}
        parts = [np.empty((len(frame), 0))]
        for column in learned:
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
                reasons.setdefault(int(row), _why(series.iloc[row], column))
        return np.concatenate(parts, axis=1), dict(sorted(reasons.items()))

    def unknown(self, frame: "pd.DataFrame") -> list[str]:
        """Return the columns of a table that were not there in training."""
        known = {column.name for column in self.columns}
        known |= {self.target.name} if self.target else set()
        return [str(name) for name in frame.columns if name not in known]

    def normalize(self, stored: np.ndarray) -> np.ndarray:
        """Map stored rows to float32: numbers to -1..1 in training, categories stay 0 and 1.

        What lies outside of the training range is not clipped, unless it is 1000 times as far.
        """
        x = np.array(stored, np.float64)
        for place, column in enumerate(self.numbers):
            x[..., place] = column.normalize(x[..., place])
        return np.clip(x, -FARTHEST, FARTHEST).astype(np.float32)

    def denormalize(self, x: np.ndarray) -> np.ndarray:
        """Map a network's rows back to stored ones: possible numbers, and one category each."""
        x = np.array(x, np.float64)
        for place, column in enumerate(self.numbers):
            x[..., place] = column.denormalize(x[..., place])
        start = len(self.numbers)
        for size in self.groups:
            chosen = x[..., start : start + size].argmax(axis=-1)
            x[..., start : start + size] = np.eye(size)[chosen]
            start += size
        return x

    def to_original_size(self, stored: np.ndarray) -> np.ndarray:
        """Return stored rows as they are: a table has no geometry to undo."""
        return stored

    def to_frame(self, stored: np.ndarray, classes: list[str] | None = None) -> "pd.DataFrame":
        """Return stored rows `[N, F]` as a table like the training table.

        Parameters
        ----------
        classes
            The class name of each row, for the target column; None leaves that column out.
        """
        import pandas as pd

        values: dict[str, Any] = {}
        for place, column in enumerate(self.numbers):
            values[column.name] = _restored(stored[:, place], column.dtype)
        start = len(self.numbers)
        for column, size in zip(self.categories, self.groups):
            chosen = stored[:, start : start + size].argmax(axis=1)
            values[column.name] = _named(column.values, chosen, column.dtype)
            start += size
        for column in self.columns:
            if column.kind == "constant":
                values[column.name] = _named(
                    column.values, np.zeros(len(stored), int), column.dtype
                )
        frame = pd.DataFrame({column.name: values[column.name] for column in self.columns})
        if self.target is not None and classes is not None:
            frame.insert(
                self.target.position, self.target.name, _target_values(classes, self.target.dtype)
            )
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values."""
        return {
            "modality": self.modality,
            "columns": [_described(column) for column in self.columns],
            "target": None if self.target is None else asdict(self.target),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TabularPreprocessing":
        """Rebuild what `to_dict` returned.

        Raises
        ------
        DataError
            A field is missing, unknown, or of the wrong type.
        """
        try:
            columns = [_rebuilt(column) for column in values["columns"]]
            target = None if values["target"] is None else Target(**values["target"])
            if target is not None:
                _check_target(target, len(columns))
            found = cls(tuple(columns), target)
            # What is learned is what comes out of it: rows of nothing, and a table of them.
            classes: list[str] | None = None if target is None else []
            found.to_frame(
                found.denormalize(found.normalize(np.zeros((0, *found.sample_shape)))), classes
            )
        except DataError:
            raise
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise DataError(f"the description of the table's columns is damaged: {error}") from None
        return found


def _check_target(target: Target, count: int) -> None:
    if not isinstance(target.position, int) or not 0 <= target.position <= count:
        raise ValueError(f"the target stands at {target.position} of {count} columns")
    if not isinstance(target.name, str) or not isinstance(target.dtype, str):
        raise TypeError("the target's name and type must be texts")


def _described(column: ColumnSpec) -> dict[str, Any]:
    return {**asdict(column), **{name: list(getattr(column, name)) for name in _TUPLES}}


def _rebuilt(values: Mapping[str, Any]) -> ColumnSpec:
    column = ColumnSpec(**{**values, **{name: tuple(values[name]) for name in _TUPLES}})
    if not isinstance(column.name, str) or not isinstance(column.dtype, str):
        raise TypeError("a column's name and type must be texts")
    if column.kind not in ("number", "category", "constant"):
        raise ValueError(f"there is no kind {column.kind!r} of a column")
    if column.kind == "number":
        knots, places = (np.asarray(x, np.float64) for x in (column.knots, column.places))
        is_whole = knots.shape == places.shape and knots.ndim == 1 and len(knots) > 1
        if not is_whole or not (np.isfinite(knots).all() and np.isfinite(places).all()):
            raise ValueError(f"the knots of {column.name} are not finite numbers with their places")
        if np.any(np.diff(knots) <= 0):
            raise ValueError(f"the knots of {column.name} do not ascend")
    elif not column.values or (column.kind == "constant" and len(column.values) > 1):
        raise ValueError(f"the values of {column.name} are {len(column.values)}")
    return column


def _one_hot(series: "pd.Series", column: ColumnSpec) -> np.ndarray:
    # By their text: a CSV file does not say whether 1 is a number, a name, or a yes.
    position = {str(value): place for place, value in enumerate(column.values)}
    for place, value in enumerate(column.values):
        for text in _also(value):
            position.setdefault(text, place)
    places = np.array([position.get(str(value), -1) for value in series.tolist()], np.int64)
    rows = np.zeros((len(places), len(column.values)))
    known = np.flatnonzero(places >= 0)
    rows[known, places[known]] = 1.0
    return rows


def _also(value: Any) -> tuple[str, ...]:
    """Return how else a category that is a number, or a truth, may be written."""
    if isinstance(value, bool | int | float) and float(value).is_integer():
        as_bool = (str(bool(value)),) if value in (0, 1) and isinstance(value, bool) else ()
        return str(int(value)), str(float(value)), *as_bool
    return ()


def _why(value: Any, column: ColumnSpec) -> str:
    if value is None or value != value or column.kind == "category":
        return f"{column.name} is missing"
    if isinstance(value, str):
        return f"{column.name} is {value!r}, not a number"
    return f"{column.name} is {value}"


def _named(values: tuple[Any, ...], chosen: np.ndarray, dtype: Any) -> Any:
    import pandas as pd

    if dtype == "category":
        return pd.Categorical.from_codes(chosen.tolist(), categories=pd.Index(values))
    return pd.Series([values[place] for place in chosen]).astype(dtype)


def _restored(values: np.ndarray, dtype: Any) -> Any:
    import pandas as pd

    whole = pd.api.types.pandas_dtype(dtype)
    if pd.api.types.is_integer_dtype(whole):
        bounds = np.iinfo(np.dtype(str(whole).lower().partition("[")[0]))
        # The largest integers of 64 bits are no floating-point numbers: those are one beyond.
        most = min(float(bounds.max), np.nextafter(2.0 ** (bounds.bits - (bounds.min < 0)), 0))
        values = np.clip(values, float(bounds.min), most)
    return pd.Series(values).astype(dtype)


def _target_values(classes: list[str], dtype: Any) -> Any:
    """Class names as values of the target's own type."""
    import pandas as pd

    names = pd.Series(classes, dtype="str")
    if dtype.lower().startswith("bool"):
        return names.isin(("True", "1")).astype(dtype)  # labels of arrays are called 0 and 1
    if dtype.lower().startswith(("int", "uint", "float")):
        return pd.to_numeric(names).astype(dtype)
    return names.astype(dtype)

"""What is learned about one column of a table: its kind, its range, its categories."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import norm

from augan.exceptions import DataError

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES = 50
MAX_DECIMALS = 9
MAX_KNOTS = 100
NUMERIC_SHARE = 0.5  # a text column of which more are numbers was meant to be one of numbers


@dataclass(frozen=True)
class Column:
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

    def scale(self, values: np.ndarray) -> np.ndarray:
        """Map numbers to -1..1 in training, linearly between knots.

        Beyond them they go on with the slope of the whole range, so that what is far out stays so.
        """
        low, high = self.knots[0], self.knots[-1]
        inside = np.interp(values, self.knots, self.places)
        beyond = np.minimum(values - low, 0) + np.maximum(values - high, 0)
        with np.errstate(over="ignore"):  # far beyond a range close to nothing: infinitely far
            return np.asarray(inside + 2 * beyond / (high - low))

    def unscale(self, places: np.ndarray) -> np.ndarray:
        """Map -1..1 back to numbers of the training range, rounded like those of training."""
        values: np.ndarray = np.interp(places, self.places, self.knots)
        return values if self.decimals is None else np.round(values, self.decimals)


def check_complete(frame: "pd.DataFrame") -> None:
    """Raise DataError, naming columns and counts, if values are missing."""
    missing = frame.isna().sum()
    found = [f"{name} ({int(count)})" for name, count in missing.items() if count]
    if found:
        raise DataError(
            f"values are missing in {', '.join(found)} of {len(frame)} rows; fill them in or "
            "remove these rows (empty cells, NA and None count as missing)"
        )


def learn_column(name: str, series: "pd.Series") -> Column:
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


def _learn_numbers(name: str, series: "pd.Series", dtype: str) -> Column:
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
        return Column(name, "constant", dtype, values=(getattr(first, "item", lambda: first)(),))
    if not np.isfinite(high - low):
        raise DataError(f"column '{name}' reaches from {low} to {high}, too far to be scaled")
    knots, places = _knots(values)
    return Column(name, "number", dtype, knots=knots, places=places, decimals=_decimals(values))


def _knots(values: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return quantiles, each once, and their places.

    A straight line from minimum to maximum would leave most rows of a skewed column at one end of
    the generator's tanh. On made-up tables with such columns, generated ones then kept less than
    half of their rank correlation (`benchmarks/NOTES.md`).
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


def _learn_categories(name: str, series: "pd.Series", dtype: str) -> Column:
    import pandas as pd

    if not all(isinstance(value, str | bool | int | float) for value in series.tolist()):
        raise DataError(f"column '{name}' holds things that are neither numbers nor text")
    if isinstance(series.dtype, pd.CategoricalDtype):
        present = series.cat.remove_unused_categories().cat.categories.tolist()
    else:
        present = sorted(set(series.tolist()), key=str)
    if len(present) == 1:
        return Column(name, "constant", dtype, values=tuple(present))
    if len(present) > MAX_CATEGORIES:
        raise DataError(
            f"column '{name}' holds {len(present)} different texts in {len(series)} rows, more "
            f"than {MAX_CATEGORIES}: remove it if it identifies rows, else group its values"
        )
    return Column(name, "category", dtype, values=tuple(present))

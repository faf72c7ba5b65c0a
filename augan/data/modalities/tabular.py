"""Preprocessing of tables: quantile scaling of numbers, one-hot encoding of categories."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from augan.data.dataset import Dataset, Modality, SampleType
from augan.data.modalities.base import Preprocessing, TrainingDefaults
from augan.data.modalities.columns import ColumnSpec, fit_column
from augan.data.modalities.images import MAX_NORMALIZED
from augan.data.modalities.tables import Table, Target
from augan.exceptions import DataError

if TYPE_CHECKING:
    import pandas as pd


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
        return tuple(column.width for column in self.categories)

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
        columns = [*self.numbers, *self.categories]
        missing = [column.name for column in columns if column.name not in frame.columns]
        if missing:
            raise DataError(
                f"the table lacks {list_names(missing)}, which the model was trained on; it has "
                f"{list_names([str(name) for name in frame.columns])}"
            )
        reasons: dict[int, str] = {}
        parts = [np.empty((len(frame), 0))]
        for column in columns:
            series = frame[column.name]
            values, is_unusable = column.encode(series)
            parts.append(values)
            for row in np.flatnonzero(is_unusable):
                reasons.setdefault(int(row), column.failure_reason(series.iloc[row]))
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

        constants = [column for column in self.columns if not column.width]
        values, start = {}, 0
        for column in (*self.numbers, *self.categories, *constants):
            values[column.name] = column.decode(prepared[:, start : start + column.width])
            start += column.width
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
            "columns": [column.to_dict() for column in self.columns],
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
            columns = [ColumnSpec.from_dict(column) for column in values["columns"]]
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


def list_names(names: Sequence[str]) -> str:
    """Return at most ten names, separated by commas, and the number of the others."""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more


def require_complete(frame: "pd.DataFrame") -> None:
    """Raise DataError, which names columns and counts, if a table has missing values."""
    missing = frame.isna().sum()
    counts = [f"{name} ({int(count)})" for name, count in missing.items() if count]
    if counts:
        raise DataError(
            f"values are missing in {', '.join(counts)} of {len(frame)} rows; fill them in or "
            "remove these rows (empty cells, NA and None count as missing)"
        )


def _check_target(target: Target, count: int) -> None:
    """Raise ValueError or TypeError if the target of a bundle has an invalid field.

    `count` is the number of feature columns, which is the largest possible position of the target.
    """
    if not isinstance(target.position, int) or not 0 <= target.position <= count:
        raise ValueError(f"the target stands at {target.position} of {count} columns")
    if not isinstance(target.name, str) or not isinstance(target.dtype, str):
        raise TypeError("the target's name and type must be texts")


def _to_target(classes: list[str], dtype: Any) -> Any:
    """Return class names as a target column of the pandas type `dtype`."""
    import pandas as pd

    names = pd.Series(classes, dtype="str")
    if dtype.lower().startswith("bool"):
        return names.isin(("True", "1")).astype(dtype)  # labels of arrays are called 0 and 1
    if dtype.lower().startswith(("int", "uint", "float")):
        return pd.to_numeric(names).astype(dtype)
    return names.astype(dtype)

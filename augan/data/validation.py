"""Checks of arrays that users pass: images, labels, groups and seeds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from augan.exceptions import ConfigError, DataError
from augan.io.unicode_forms import compose, unify

MAX_FLOAT_LABEL = 2**31  # the largest label of a floating-point array


def check_images(x: Any) -> np.ndarray:
    """Return images from the user as an array `[N, H, W, C]` of uint8, uint16 or float32.

    Integers of other types are converted to the smaller of uint8 and uint16 that holds them;
    booleans become 0 and 255; every floating-point type becomes float32.

    Parameters
    ----------
    x : array-like
        `[N, H, W]` or `[N, H, W, C]`, C is 1 or 3.

    Raises
    ------
    DataError
        The array has another shape or type, no image, values out of range, NaN or infinity.
    """
    try:
        x = np.asarray(x)
    except ValueError as error:
        raise DataError(
            "the images have different shapes; give one array [N, H, W, C], or a folder of files"
        ) from error
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4 or x.shape[-1] not in (1, 3) or 0 in x.shape[1:]:
        raise DataError(
            f"images must be [N, H, W] or [N, H, W, C] with C 1 or 3, but the array is "
            f"{list(x.shape)}{_shape_hint(x)}"
        )
    if len(x) == 0:
        raise DataError("the array holds no image (N = 0); give at least one")
    return _convert_pixels(x)


def _shape_hint(x: np.ndarray) -> str:
    """Return the remedy for images of a wrong shape, as the end of an error message."""
    if x.ndim == 4 and x.shape[1] in (1, 3):
        return "; channels come last; in Python use x.transpose(0, 2, 3, 1)"
    if x.ndim == 4 and x.shape[-1] == 4:
        return "; drop the fourth channel, transparency; in Python use x[..., :3]"
    return "; reshape it"


def _convert_pixels(x: np.ndarray) -> np.ndarray:
    """Convert pixels of any shape to uint8, uint16 or float32, see `check_images`."""
    if x.dtype in (np.uint8, np.uint16):
        # In native byte order; an array from a file may have another.
        return x.astype(x.dtype.newbyteorder("="), copy=False)
    if x.dtype == np.bool_:
        return x.astype(np.uint8) * np.uint8(255)
    if np.issubdtype(x.dtype, np.integer):
        low, high = int(x.min()), int(x.max())
        if low < 0 or high > 65535:
            raise DataError(
                f"integer images must lie in 0..65535, but these {x.dtype} values reach from "
                f"{low} to {high}; shift them, or convert them to float32"
            )
        return x.astype(np.uint8 if high <= 255 else np.uint16)
    if np.issubdtype(x.dtype, np.floating):
        with np.errstate(over="ignore"):
            x = x.astype(np.float32, copy=False)
        bad = int(x.size - np.isfinite(x).sum())
        if bad:
            raise DataError(
                f"the images hold {bad} values that are NaN or infinite as float32; "
                "replace or remove them"
            )
        return x
    raise DataError(
        f"images must be uint8, uint16 or floating point, but the array is {x.dtype}; convert it"
    )


def check_labels(
    y: Any, n: int, class_names: Sequence[str] | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Convert labels from the user to class numbers and class names.

    Parameters
    ----------
    y : array-like
        One label per sample, integers or text. Without `class_names` the distinct values become the
        classes, in numerical or alphabetical order.
    n : int
        Number of samples.
    class_names : sequence of str or None
        The classes; `y` then holds positions in this list, or names. None (default): see `y`.

    Returns
    -------
    labels : ndarray
        int64 `[n]`, positions in the class names.
    class_names : tuple of str
        The names of the classes.

    Raises
    ------
    DataError
        The labels have another shape, are missing or fractions, or are not in `class_names`.
    """
    values = _check_column(y, n, "label")
    if np.issubdtype(values.dtype, np.floating):
        with np.errstate(over="ignore"):
            values = values.astype(np.float64)
        if np.any(values != np.rint(values)) or np.any(np.abs(values) > MAX_FLOAT_LABEL):
            raise DataError(
                "labels must be integers or text, but y holds fractions or numbers beyond "
                f"{MAX_FLOAT_LABEL}; encode them"
            )
        values = values.astype(np.int64)
    if class_names is None:
        distinct, labels = np.unique(values, return_inverse=True)
        return labels.astype(np.int64), tuple(str(value) for value in distinct)
    names = tuple(str(name) for name in class_names)
    if values.dtype.kind == "U":
        position = {compose(name): index for index, name in enumerate(names)}
        labels = np.array([position.get(compose(str(value)), -1) for value in values], np.int64)
    else:
        labels = values.astype(np.int64)
    outside = (labels < 0) | (labels >= len(names))
    if outside.any():
        raise DataError(
            f"label {values[outside][0]!s} is none of the {len(names)} class names; "
            "give a name for every class, or leave class_names out"
        )
    return labels, names


def check_groups(groups: Any, n: int) -> np.ndarray:
    """Return group names from the user as text `[n]`; samples of one group stay in one split.

    Parameters
    ----------
    groups : array-like
        One name or number per sample.
    n : int
        Number of samples.

    Raises
    ------
    DataError
        The groups have another shape, or a group is missing or empty.
    """
    names = _check_column(groups, n, "group").astype(np.str_)
    if np.any(names == ""):
        raise DataError("a group name is empty; give every image the name of its group")
    return names


def _check_column(values: Any, n: int, name: str) -> np.ndarray:
    """Return values of the user as an array `[n]` of numbers or text, none of them missing.

    `name` says in messages what a value is: "label" or "group". Booleans become 0 and 1.

    Raises
    ------
    DataError
        The values have another shape or type, mix text and numbers, or are missing or infinite.
    """
    # NumPy would silently convert a list of text and NaN to text.
    values = np.array(values, object) if isinstance(values, (list, tuple)) else np.asarray(values)
    if values.shape != (n,):
        raise DataError(
            f"there must be one {name} per image, shape [{n}], but the {name}s have shape "
            f"{list(values.shape)}"
        )
    if values.dtype == object:
        # Text columns of pandas have this type too, and may contain None and NaN.
        values = np.array(_check_objects(values.tolist(), name))
    column: np.ndarray = values.astype(np.int64) if values.dtype == np.bool_ else values
    if column.dtype.kind not in "iufU":
        raise DataError(f"{name}s must be integers or text, but they are {column.dtype}")
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        raise DataError(f"a {name} is NaN or infinite; give every image its {name}")
    if column.dtype.kind == "U" and column.size:
        forms = unify(dict.fromkeys(column.tolist()))
        if any(name != form for name, form in forms.items()):
            column = np.array([forms[str(value)] for value in column.tolist()])
    return column


def _check_objects(values: list[Any], name: str) -> list[Any]:
    """Return the values of an object array; DataError for missing values or a mix of types."""
    missing = [value is None or value != value for value in values]
    if any(missing):
        hint = "; in Python, or give them to from_arrays as unlabeled=..." * (name == "label")
        raise DataError(
            f"{sum(missing)} of {len(values)} {name}s are missing (None or NaN), the first in row "
            f"{missing.index(True)}; fill them in or leave these images out{hint}"
        )
    if len({isinstance(value, str) for value in values}) > 1:
        raise DataError(f"the {name}s mix text and numbers; use one kind")
    if not all(np.isscalar(value) for value in values):
        raise DataError(f"{name}s must be integers or text, but some are neither")
    return values


def ndim_of(x: Any) -> int:
    """Return the number of axes of an array-like, converted to NumPy first.

    `np.ndim` would instead call the object's own implementation, which array wrappers may lack.
    """
    return np.asarray(x).ndim


def check_image_array(x: Any, image_shape: tuple[int, ...] | None) -> np.ndarray:
    """Return images for a scikit-learn estimator as `[N, H, W, C]` of uint8, uint16 or float32.

    Parameters
    ----------
    x : array-like or DataFrame
        Images `[N, H, W, C]` or `[N, H, W]`, or flattened images as rows `[N, F]`.
    image_shape : tuple of int or None
        `(H, W)` or `(H, W, C)` of a flattened image; None: unknown, rows are then refused.

    Raises
    ------
    DataError
        Rows are given without `image_shape` or do not fit it, `image_shape` is invalid, or the
        values cannot be pixels.
    """
    if image_shape is not None:
        image_shape = _check_shape(image_shape)
    array = np.asarray(_require_dense(x))
    if array.ndim != 2:
        return check_images(array)
    if image_shape is None:
        raise DataError(
            f"got rows of {array.shape[1]} values, but their image shape is unknown; set "
            "image_shape=(H, W) or (H, W, C), or pass an array [N, H, W, C]"
        )
    if array.shape[1] != int(np.prod(image_shape)):
        raise DataError(
            f"rows have {array.shape[1]} values, but image_shape={tuple(image_shape)} has "
            f"{int(np.prod(image_shape))}"
        )
    return check_images(array.reshape((len(array), *image_shape)))


def _require_dense(x: Any) -> Any:
    """Return `x`; DataError if it is None, a path or a sparse matrix in place of images."""
    if x is None or isinstance(x, str | Path):
        raise DataError(
            f"got {'None' if x is None else repr(str(x))} in place of images; give an array "
            "[N, H, W, C], of a folder load_dataset(folder).images"
        )
    if hasattr(x, "toarray"):
        raise DataError("got a sparse matrix, but images are dense; give x.toarray()")
    return x


def _check_shape(image_shape: Any) -> tuple[int, ...]:
    """Return an image shape as a tuple; DataError unless it is 2 or 3 positive integers."""
    has_axes = isinstance(image_shape, tuple | list) and len(image_shape) in (2, 3)
    if has_axes and all(isinstance(n, int | np.integer) and n > 0 for n in image_shape):
        return tuple(map(int, image_shape))
    raise DataError(f"image_shape must be (H, W) or (H, W, C), got {image_shape!r}")


def check_seed(random_state: int | np.random.RandomState | None) -> int:
    """Convert the `random_state` of a scikit-learn estimator to a seed from 0 to 2**31 - 1.

    Parameters
    ----------
    random_state : int, RandomState or None
        An integer is taken modulo 2**31; a RandomState advances by one number; None takes NumPy's
        global random state.

    Raises
    ------
    ConfigError
        `random_state` is of another type.
    """
    if isinstance(random_state, int | np.integer):
        return int(random_state) % 2**31
    try:
        from sklearn.utils import check_random_state  # takes a second to import

        return int(check_random_state(random_state).randint(2**31 - 1))
    except ValueError:
        raise ConfigError(
            f"random_state must be a whole number, a RandomState or None, got {random_state!r}"
        ) from None

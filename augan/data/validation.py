"""What a user may hand over as arrays, brought to one form or refused with the reason."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from augan.exceptions import ConfigError, DataError

LARGEST_LABEL = 2**31  # as a floating-point number


def as_images(x: Any) -> np.ndarray:
    """Return images `[N, H, W, C]` as uint8, uint16 or float32.

    Integers of other types shrink to the smallest of uint8 and uint16 that holds them; booleans
    become 0 and 255.

    Parameters
    ----------
    x
        `[N, H, W]` or `[N, H, W, C]`, C is 1 or 3.

    Raises
    ------
    DataError
        Another shape or type, no image at all, values out of range, NaN or infinity.
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
    return _as_pixels(x)


def _shape_hint(x: np.ndarray) -> str:
    if x.ndim == 4 and x.shape[1] in (1, 3):
        return "; channels come last: use x.transpose(0, 2, 3, 1)"
    if x.ndim == 4 and x.shape[-1] == 4:
        return "; drop the transparency: use x[..., :3]"
    return "; reshape it"


def _as_pixels(x: np.ndarray) -> np.ndarray:
    if x.dtype in (np.uint8, np.uint16):
        # Native byte order, whatever file or machine the array came from.
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


def as_labels(
    y: Any, n: int, class_names: Sequence[str] | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return labels as int64 `[N]` that index the returned class names.

    Parameters
    ----------
    y
        One label per image, integers or text. Without `class_names` the distinct values become
        the classes, in numerical or alphabetical order.
    n
        How many images there are.
    class_names
        The classes; `y` then holds their positions or their names.

    Raises
    ------
    DataError
        Another shape, a missing label, fractions, or a label outside `class_names`.
    """
    values = _one_per_image(y, n, "label")
    if np.issubdtype(values.dtype, np.floating):
        with np.errstate(over="ignore"):
            values = values.astype(np.float64)
        if np.any(values != np.rint(values)) or np.any(np.abs(values) > LARGEST_LABEL):
            raise DataError(
                "labels must be integers or text, but y holds fractions or numbers beyond "
                f"{LARGEST_LABEL}; encode them"
            )
        values = values.astype(np.int64)
    if class_names is None:
        distinct, labels = np.unique(values, return_inverse=True)
        return labels.astype(np.int64), tuple(str(value) for value in distinct)
    names = tuple(str(name) for name in class_names)
    if values.dtype.kind == "U":
        position = {name: index for index, name in enumerate(names)}
        labels = np.array([position.get(str(value), -1) for value in values], np.int64)
    else:
        labels = values.astype(np.int64)
    outside = (labels < 0) | (labels >= len(names))
    if outside.any():
        raise DataError(
            f"label {values[outside][0]!s} is none of the {len(names)} class names; "
            "give a name for every class, or leave class_names out"
        )
    return labels, names


def as_groups(groups: Any, n: int) -> np.ndarray:
    """Return group names as text `[N]`; images of one group stay together in every split.

    Raises
    ------
    DataError
        Another shape, or a group that is missing or empty.
    """
    names = _one_per_image(groups, n, "group").astype(np.str_)
    if np.any(names == ""):
        raise DataError("a group name is empty; give every image the name of its group")
    return names


def _one_per_image(values: Any, n: int, what: str) -> np.ndarray:
    """Return `values` as an array of numbers or text, one per image and none missing."""
    # NumPy would silently turn a list of text and NaN into text throughout.
    values = np.array(values, object) if isinstance(values, (list, tuple)) else np.asarray(values)
    if values.shape != (n,):
        raise DataError(
            f"there must be one {what} per image, shape [{n}], but the {what}s have shape "
            f"{list(values.shape)}"
        )
    if values.dtype == object:
        # Text columns of pandas arrive like this too; None and NaN hide among them.
        values = np.array(_plain(values.tolist(), what))
    found: np.ndarray = values.astype(np.int64) if values.dtype == np.bool_ else values
    if found.dtype.kind not in "iufU":
        raise DataError(f"{what}s must be integers or text, but they are {found.dtype}")
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise DataError(f"a {what} is NaN or infinite; give every image its {what}")
    return found


def _plain(values: list[Any], what: str) -> list[Any]:
    missing = [value is None or value != value for value in values]
    if any(missing):
        hint = ", or give them as from_arrays(..., unlabeled=...)" if what == "label" else ""
        raise DataError(
            f"{sum(missing)} of {len(values)} {what}s are missing (None or NaN), the first in row "
            f"{missing.index(True)}; fill them in or leave these images out{hint}"
        )
    if len({isinstance(value, str) for value in values}) > 1:
        raise DataError(f"the {what}s mix text and numbers; use one kind")
    if not all(np.isscalar(value) for value in values):
        raise DataError(f"{what}s must be integers or text, but some are neither")
    return values


def num_axes(x: Any) -> int:
    """Return how many axes an array-like has; not by `numpy.ndim`, which asks it to dispatch."""
    return np.asarray(x).ndim


def as_image_array(x: Any, image_shape: tuple[int, ...] | None) -> np.ndarray:
    """Return images `[N, H, W, C]` of uint8, uint16 or float32.

    Parameters
    ----------
    x
        `[N, H, W, C]`, `[N, H, W]`, or rows `[N, F]` (an array or a DataFrame).
    image_shape
        `(H, W)` or `(H, W, C)` of a row; only rows need it.

    Raises
    ------
    DataError
        Rows came without a shape or do not fit it, `image_shape` is none, or the values cannot be
        pixels.
    """
    if image_shape is not None:
        image_shape = _checked_shape(image_shape)
    array = np.asarray(_dense(x))
    if array.ndim != 2:
        return as_images(array)
    if image_shape is None:
        raise DataError(
            f"rows of {array.shape[1]} values came, and nothing says how they form an image; set "
            "image_shape=(H, W) or (H, W, C), or pass an array [N, H, W, C]"
        )
    if array.shape[1] != int(np.prod(image_shape)):
        raise DataError(
            f"rows have {array.shape[1]} values, but image_shape={tuple(image_shape)} has "
            f"{int(np.prod(image_shape))}"
        )
    return as_images(array.reshape((len(array), *image_shape)))


def _dense(x: Any) -> Any:
    """Refuse what is no array, in the words of who expected one to come of it."""
    if x is None or isinstance(x, str | Path):
        raise DataError(
            f"{'None' if x is None else repr(str(x))} came in place of images; give an array "
            "[N, H, W, C], of a folder load_dataset(folder).images"
        )
    if hasattr(x, "toarray"):
        raise DataError("a sparse matrix came, but images are dense; give x.toarray()")
    return x


def _checked_shape(image_shape: Any) -> tuple[int, ...]:
    is_some = isinstance(image_shape, tuple | list) and len(image_shape) in (2, 3)
    if is_some and all(isinstance(n, int | np.integer) and n > 0 for n in image_shape):
        return tuple(map(int, image_shape))
    raise DataError(f"image_shape must be (H, W) or (H, W, C), got {image_shape!r}")


def seed_from(random_state: int | np.random.RandomState | None) -> int:
    """Return a seed below 2**31 from what scikit-learn accepts as `random_state`."""
    if isinstance(random_state, int | np.integer):
        return int(random_state) % 2**31
    try:
        return int(check_random_state(random_state).randint(2**31 - 1))
    except ValueError:
        raise ConfigError(
            f"random_state must be a whole number, a RandomState or None, got {random_state!r}"
        ) from None

"""Images as scikit-learn passes them: arrays of any order, flat rows, seeds of several kinds."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from augan.data.arrays import as_images
from augan.exceptions import ConfigError, DataError


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

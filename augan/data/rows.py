"""Images as scikit-learn passes them: arrays of any order, flat rows, seeds of several kinds."""

from typing import Any

import numpy as np

from augan.data.arrays import as_images
from augan.exceptions import DataError


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
        Rows came without a shape or do not fit it, or the values cannot be pixels.
    """
    array = np.asarray(x)
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


def seed_from(random_state: int | np.random.RandomState | None) -> int:
    """Return a seed below 2**31 from what scikit-learn accepts as `random_state`."""
    if isinstance(random_state, int | np.integer):
        return int(random_state) % 2**31
    generator = np.random.mtrand._rand if random_state is None else random_state
    return int(generator.randint(2**31 - 1))

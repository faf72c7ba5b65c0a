"""From a dataset to its squares: every image decoded, and what cannot be read left out."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from augan.data.dataset import Dataset, check_skipped
from augan.data.preprocessing import Preprocessing
from augan.exceptions import DataError
from augan.io.images import UnreadableImage


def prepare(dataset: Dataset, preprocessing: Preprocessing) -> tuple[Dataset, np.ndarray]:
    """Decode every image of a dataset into squares.

    Returns
    -------
    dataset
        The images that could be decoded; the others are added to `skipped`.
    pixels
        `[N, S, S, channels]` in the stored type, in the order of the dataset.

    Raises
    ------
    DataError
        More than a tenth of all files cannot be read, or an image does not fit the model.
    """
    if isinstance(dataset.images, np.ndarray):
        return dataset, preprocessing.materialise(dataset.images)
    side, n = preprocessing.size, len(dataset)
    squares = np.empty((n, side, side, preprocessing.channels), preprocessing.stored_dtype)
    failures: dict[int, str] = {}
    count = 0
    for square in decoded_squares(dataset, preprocessing, failures):
        squares[count] = square
        count += 1
    return leave_out(dataset, failures), squares[:count]


def decoded_squares(
    dataset: Dataset, preprocessing: Preprocessing, failures: dict[int, str]
) -> Iterator[np.ndarray]:
    """Yield the square of every image that can be read, in order.

    The rows of the others and the reasons are added to `failures`, for `leave_out`.

    Raises
    ------
    DataError
        An image does not fit the model; the message names it.
    """
    for row, name in enumerate(dataset.names):
        try:
            square = preprocessing.to_square(dataset.pictures[row])
        except UnreadableImage as error:
            failures[row] = error.reason
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
        else:
            yield square


def leave_out(dataset: Dataset, failures: Mapping[int, str]) -> Dataset:
    """Return a dataset without the rows in `failures`, which are added to `skipped`.

    Raises
    ------
    DataError
        They are too many.
    """
    found = ((dataset.names[row], reason) for row, reason in failures.items())
    skipped = (*dataset.skipped, *found)
    check_skipped(skipped, len(dataset) + len(dataset.skipped))
    if not failures:
        return dataset
    kept = [row for row in range(len(dataset)) if row not in failures]
    return replace(dataset.subset(kept), skipped=skipped)

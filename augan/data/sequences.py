"""Two arrays of images read as one, so that neither need be copied or held in memory."""

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np


class ConcatRows:
    """The rows of `first`, then those of `second`; perhaps memory maps.

    Parameters
    ----------
    first, second : ndarray or ConcatRows, [N, S, S, C], [M, S, S, C]
        Squares of one shape and type.

    Examples
    --------
    >>> rows = ConcatRows(np.zeros((2, 1, 1, 1)), np.ones((3, 1, 1, 1)))
    >>> rows[np.array([4, 0])].ravel().tolist(), rows.shape
    ([1.0, 0.0], (5, 1, 1, 1))
    """

    def __init__(self, first: "np.ndarray | ConcatRows", second: "np.ndarray | ConcatRows") -> None:
        self.first, self.second = first, second
        self.shape: tuple[int, ...] = (len(first) + len(second), *first.shape[1:])
        self.dtype: np.dtype = first.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray | int) -> np.ndarray:
        """Return the image of one row, or a copy of the images of several."""
        wanted, border = np.asarray(rows), len(self.first)
        if wanted.ndim == 0:
            row = int(wanted)
            return np.asarray(self.first[row] if row < border else self.second[row - border])
        images = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        later = wanted >= border
        images[~later] = self.first[wanted[~later]]
        images[later] = self.second[wanted[later] - border]
        return images


MIRRORS = ((1, 1), (-1, 1), (1, -1), (-1, -1))  # steps down and across


class RaggedImages:
    """A sequence of arrays `[H, W, C]` of one type, indexed as the rows of an array are.

    Parameters
    ----------
    images : sequence of ndarray [H, W, C]
        Perhaps views of a memory map.

    Examples
    --------
    >>> some = RaggedImages([np.zeros((2, 3, 1)), np.ones((4, 4, 1))])
    >>> len(some), some[np.array([1])][0].shape
    (2, (4, 4, 1))
    """

    def __init__(self, images: Sequence[np.ndarray]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.images)

    def __getitem__(self, rows: Any) -> Any:
        """Return the picture of one row, or the pictures of several."""
        if isinstance(rows, slice):
            return type(self)(self.images[rows])
        if np.ndim(rows) == 0:
            return self.images[int(rows)]
        return type(self)([self.images[int(row)] for row in rows])

    @classmethod
    def from_padded(cls, canvas: np.ndarray, extents: np.ndarray) -> Self:
        """Cut pictures of heights and widths `extents` `[N, 2]` from `canvas` `[N, S, S, C]`."""
        return cls([canvas[row, :height, :width] for row, (height, width) in enumerate(extents)])


class SlidingWindows:
    """Square windows on pictures and on their mirror images; none is copied before it is asked for.

    Parameters
    ----------
    pictures : RaggedImages
        None smaller than a window.
    side, step : int
        Of the window, and from one to the next at most; the outermost touch the edges.

    Attributes
    ----------
    shape : tuple
        `[4 W, side, side, C]` of all windows: W as they are, then upside down, then both mirrored
        left to right.
    owners : ndarray [W] of int
        The row of each window's picture.
    corners : ndarray [W, 2] of int
        The row and column of its upper left pixel.
    """

    def __init__(self, pictures: RaggedImages, side: int, step: int) -> None:
        self.pictures, self.side = pictures, side
        corners = [window_corners(p.shape[0], p.shape[1], side, step) for p in pictures]
        self.corners = np.concatenate(corners).astype(np.int32)
        counts = [len(found) for found in corners]
        self.owners = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        first = pictures[0]
        self.shape = (len(MIRRORS) * len(self.owners), side, side, first.shape[-1])
        self.dtype = first.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Return one window, or a copy of several."""
        if np.ndim(rows) == 0:
            mirror, row = divmod(int(rows), len(self.owners))
            top, left = self.corners[row]
            picture = self.pictures[self.owners[row]]
            window = np.asarray(picture[top : top + self.side, left : left + self.side])
            down, across = MIRRORS[mirror]
            return window[::down, ::across]
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for place, row in enumerate(rows):
            found[place] = self[row]
        return found

    def rows_of(self, pictures: np.ndarray) -> np.ndarray:
        """Return the rows of the windows on some pictures, given by their rows."""
        found = np.flatnonzero(np.isin(self.owners, pictures))
        return np.concatenate([found + i * len(self.owners) for i in range(len(MIRRORS))])


def window_corners(height: int, width: int, side: int, step: int) -> np.ndarray:
    """Return the upper left pixels of windows that cover a picture, int `[N, 2]`.

    Examples
    --------
    >>> window_corners(4, 7, 4, 2).tolist()
    [[0, 0], [0, 2], [0, 3]]
    """
    down, across = (_starts(length, side, step) for length in (height, width))
    return np.stack(np.meshgrid(down, across, indexing="ij"), axis=-1).reshape(-1, 2)


def _starts(length: int, side: int, step: int) -> np.ndarray:
    count = -(-(length - side) // step) + 1
    return np.linspace(0, length - side, count).round().astype(np.int64)

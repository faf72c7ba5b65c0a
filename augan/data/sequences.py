"""Sequences of images: files, concatenated arrays, images of different sizes, sliding windows.

The sequences are indexed like the rows of an array. Reading decodes or copies only the requested
rows, so the images may be more than the memory holds.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, overload

import numpy as np

from augan.io.images import ImageHeader, read_header, read_image

# Vertical and horizontal step of an image and of its three mirror images.
MIRRORS = ((1, 1), (-1, 1), (1, -1), (-1, -1))


class ImageFiles(Sequence[np.ndarray]):
    """A sequence of images in files, each decoded anew at every access.

    Indexing with an integer gives an image `[H, W, C]`, see `read_image`; a slice gives
    `ImageFiles`. An access raises `UnreadableImage` if the file cannot be decoded.

    Parameters
    ----------
    root : Path
        The folder that `names` are relative to.
    names : sequence of str
        POSIX paths relative to `root`.
    headers : sequence of ImageHeader or None
        The headers of the files if they have been read; None (default): read when needed.
    """

    def __init__(
        self, root: Path, names: Sequence[str], headers: Sequence[ImageHeader] | None = None
    ) -> None:
        self.root = root
        self.names = tuple(names)
        self._headers = None if headers is None else tuple(headers)

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> "ImageFiles": ...
    def __getitem__(self, index: int | slice) -> "np.ndarray | ImageFiles":
        if isinstance(index, slice):
            return self.at(range(len(self))[index])
        return read_image(self.root / self.names[index])

    def headers(self) -> list[ImageHeader]:
        """Return size, channels and type of every image; the first call reads the file headers.

        Raises
        ------
        UnreadableImage
            A file cannot be read (first call only).
        """
        if self._headers is None:
            self._headers = tuple(read_header(self.root / name) for name in self.names)
        return list(self._headers)

    def at(self, rows: Iterable[int]) -> "ImageFiles":
        """Return a sequence of the files at the positions `rows`, in that order, not decoded."""
        rows = list(rows)
        headers = None if self._headers is None else [self._headers[row] for row in rows]
        return ImageFiles(self.root, [self.names[row] for row in rows], headers)


class ConcatRows:
    """Two arrays of samples as one, the rows of `first` followed by the rows of `second`.

    Unlike `np.concatenate`, neither array is copied. Has `shape`, `dtype`, `len()` and indexing by
    one row or by an array of rows.

    Parameters
    ----------
    first, second : ndarray or ConcatRows, [N, S, S, C], [M, S, S, C]
        Samples of one shape and type; prepared rows of tables `[N, F]` work too.

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
        """Return the sample at an integer, or a copy `[R, ...]` of the samples at R integers.

        Rows count from 0 to N + M - 1; negative rows are not supported.
        """
        indices, border = np.asarray(rows), len(self.first)
        if indices.ndim == 0:
            row = int(indices)
            return np.asarray(self.first[row] if row < border else self.second[row - border])
        samples = np.empty((len(indices), *self.shape[1:]), self.dtype)
        in_second = indices >= border
        samples[~in_second] = self.first[indices[~in_second]]
        samples[in_second] = self.second[indices[in_second] - border]
        return samples


class RaggedImages:
    """A sequence of images `[H, W, C]` of one type and channel count, and of different sizes.

    Parameters
    ----------
    images : sequence of ndarray [H, W, C]
        May be views of a memory map.

    Examples
    --------
    >>> images = RaggedImages([np.zeros((2, 3, 1)), np.ones((4, 4, 1))])
    >>> len(images), images[np.array([1])][0].shape
    (2, (4, 4, 1))
    """

    def __init__(self, images: Sequence[np.ndarray]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.images)

    def __getitem__(self, rows: Any) -> Any:
        """Return the image at an integer, or `RaggedImages` at a slice or an array of integers."""
        if isinstance(rows, slice):
            return type(self)(self.images[rows])
        if np.ndim(rows) == 0:
            return self.images[int(rows)]
        return type(self)([self.images[int(row)] for row in rows])

    @classmethod
    def from_padded(cls, padded: np.ndarray, shapes: np.ndarray) -> Self:
        """Cut images of different sizes out of padded square images; the result holds views.

        Parameters
        ----------
        padded : ndarray
            `[N, S, S, C]`, each image in the upper left corner of its square.
        shapes : ndarray of int
            `[N, 2]`, height and width of each image.
        """
        return cls([padded[row, :height, :width] for row, (height, width) in enumerate(shapes)])


def join_like(
    samples: "np.ndarray | ConcatRows | RaggedImages", parts: Sequence[Any]
) -> "np.ndarray | RaggedImages":
    """Join results for parts of some samples, in the form of the samples.

    Parameters
    ----------
    samples : ndarray, ConcatRows or RaggedImages
        The samples of all parts.
    parts : sequence of ndarray or RaggedImages
        Results for consecutive parts of the samples, such as anomaly maps, one for each sample.

    Returns
    -------
    ndarray or RaggedImages
        `RaggedImages` if the samples are.
    """
    if isinstance(samples, RaggedImages):
        return RaggedImages([one for part in parts for one in part])
    return np.concatenate(parts)


class SlidingWindows:
    """Square windows of images and of their mirror images, as one sequence of training samples.

    Windows are cut when they are read. Indexing takes an integer or an array of integers.

    Parameters
    ----------
    images : RaggedImages
        Images, each at least as high and wide as a window.
    side : int
        Side of a window in pixels.
    step : int
        Largest distance between neighboring windows in pixels; the outermost windows touch the
        edges of the image.

    Attributes
    ----------
    shape : tuple
        `[4 W, side, side, C]` of all windows: W windows as they are, then upside down, then
        mirrored left to right, then mirrored both ways.
    owners : ndarray [W] of int
        Index of the image that each window is cut from.
    corners : ndarray [W, 2] of int
        Row and column of the upper left pixel of each window.
    """

    def __init__(self, images: RaggedImages, side: int, step: int) -> None:
        self.images, self.side = images, side
        corners = [window_corners(image.shape[0], image.shape[1], side, step) for image in images]
        self.corners = np.concatenate(corners).astype(np.int32)
        counts = [len(of_image) for of_image in corners]
        self.owners = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        first = images[0]
        self.shape = (len(MIRRORS) * len(self.owners), side, side, first.shape[-1])
        self.dtype = first.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Return the window `[side, side, C]` at an integer, or a copy of several windows.

        Several windows, at an array of R integers, have the shape `[R, side, side, C]`.
        """
        if np.ndim(rows) == 0:
            mirror, index = divmod(int(rows), len(self.owners))
            top, left = self.corners[index]
            image = self.images[self.owners[index]]
            window = np.asarray(image[top : top + self.side, left : left + self.side])
            vertical, horizontal = MIRRORS[mirror]
            return window[::vertical, ::horizontal]
        windows = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for position, row in enumerate(rows):
            windows[position] = self[row]
        return windows

    def rows_of(self, images: np.ndarray) -> np.ndarray:
        """Return the indices of all windows of the given images, mirrored windows included.

        Parameters
        ----------
        images : ndarray of int
            Indices of images.

        Returns
        -------
        ndarray of int
            Indices of windows in this sequence, four for each unmirrored window.
        """
        windows = np.flatnonzero(np.isin(self.owners, images))
        return np.concatenate([windows + i * len(self.owners) for i in range(len(MIRRORS))])


def window_corners(height: int, width: int, side: int, step: int) -> np.ndarray:
    """Return the upper left pixels of the square windows that cover an image.

    Parameters
    ----------
    height, width : int
        Size of the image in pixels, at least `side`.
    side : int
        Side of a window in pixels.
    step : int
        Largest distance between neighboring windows in pixels.

    Returns
    -------
    ndarray of int
        `[N, 2]`, row and column of each window, from top to bottom and left to right.

    Examples
    --------
    >>> window_corners(4, 7, 4, 2).tolist()
    [[0, 0], [0, 2], [0, 3]]
    """
    tops, lefts = (_starts(length, side, step) for length in (height, width))
    return np.stack(np.meshgrid(tops, lefts, indexing="ij"), axis=-1).reshape(-1, 2)


def _starts(length: int, side: int, step: int) -> np.ndarray:
    """Return the positions of windows along one axis of `length` pixels, evenly spaced, int64."""
    count = -(-(length - side) // step) + 1
    return np.linspace(0, length - side, count).round().astype(np.int64)

"""Tiles of an image that is larger than the samples of a network, and the blending of tiles.

Squares overlap by half. The blended value of a pixel is the weighted mean of the squares that cover
the pixel; the weight of a square falls linearly to its edges.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from augan.data.modalities.images import ImagePreprocessing, letterbox_shape


def scaled_shape(height: int, width: int, preprocessing: ImagePreprocessing) -> tuple[int, int]:
    """Return the height and width at which an image has the scale of the training images.

    If all training images had one size, every image is scaled by the factor of that size.
    Otherwise each training image was scaled by its own factor, so an image is scaled as a training
    image of its size.

    Parameters
    ----------
    height, width : int
        Size of the image in pixels.
    preprocessing : ImagePreprocessing
        Preprocessing of the training images.
    """
    original = preprocessing.original_shape
    if original is None or original == (height, width):
        return letterbox_shape(height, width, preprocessing.side)
    factor = max(letterbox_shape(*original, preprocessing.side)) / max(original)
    return max(1, round(height * factor)), max(1, round(width * factor))


@dataclass(frozen=True)
class TileGrid:
    """Grid of overlapping squares that cover an image.

    The image is centered on a canvas that a whole number of squares covers, and its edge pixels are
    repeated outward, as `ImagePreprocessing` does for images that are smaller than a square.

    Attributes
    ----------
    height, width : int
        Size of the image in pixels.
    size : int
        Side of a square in pixels, even.

    Examples
    --------
    >>> TileGrid(20, 32, 32).canvas, TileGrid(33, 64, 32).canvas
    ((32, 32), (48, 64))
    >>> TileGrid(33, 64, 32).corners
    ((0, 0), (0, 16), (0, 32), (16, 0), (16, 16), (16, 32))
    """

    height: int
    width: int
    size: int

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of the canvas in pixels."""
        return self._canvas_side(self.height), self._canvas_side(self.width)

    def _canvas_side(self, side: int) -> int:
        """Return the smallest side that squares cover without rest."""
        stride = self.size // 2
        return self.size + stride * max(0, -(-(side - self.size) // stride))

    @cached_property
    def corners(self) -> tuple[tuple[int, int], ...]:
        """Row and column of the upper left pixel of each square on the canvas, row by row."""
        stride = self.size // 2
        rows, columns = (range(0, side - self.size + 1, stride) for side in self.canvas)
        return tuple((row, column) for row in rows for column in columns)

    @property
    def _start(self) -> tuple[int, int]:
        """Row and column of the upper left pixel of the image on the canvas."""
        height, width = self.canvas
        return (height - self.height) // 2, (width - self.width) // 2

    def to_canvas(self, image: np.ndarray) -> np.ndarray:
        """Return an image `[H, W, C]` on the canvas; its edge pixels are repeated outward."""
        if image.shape[:2] == self.canvas:
            return image
        (top, left), (height, width) = self._start, self.canvas
        rows = (top, height - self.height - top)
        columns = (left, width - self.width - left)
        return np.pad(image, (rows, columns, (0, 0)), mode="edge")

    def from_canvas(self, canvas: np.ndarray) -> np.ndarray:
        """Return the image `[H, W, C]` of a canvas."""
        top, left = self._start
        return canvas[top : top + self.height, left : left + self.width]

    def cut(self, canvas: np.ndarray, tiles: slice = slice(None)) -> np.ndarray:
        """Return some squares of a canvas, `[T, size, size, C]`, in the order of `corners`."""
        side = self.size
        return np.stack([canvas[r : r + side, c : c + side] for r, c in self.corners[tiles]])

    def blender(self, channels: int) -> "Blender":
        """Return an accumulator of the squares, for images of some number of channels."""
        return Blender(self, channels)


class Blender:
    """Weighted mean of overlapping squares.

    Parameters
    ----------
    grid : TileGrid
    channels : int
        Channels of the squares.
    """

    def __init__(self, grid: TileGrid, channels: int) -> None:
        self._grid = grid
        self._sum = np.zeros((*grid.canvas, channels), np.float32)
        self._weight = np.zeros((*grid.canvas, 1), np.float32)
        distance = np.arange(grid.size, dtype=np.float32) + 0.5
        ramp = np.minimum(distance, distance[::-1])
        self._ramp = (ramp[:, None] * ramp[None, :])[..., None]
        self._count = 0

    def add(self, squares: np.ndarray) -> None:
        """Add the next squares `[T, size, size, C]`, in the order of the corners of the grid."""
        side = self._grid.size
        corners = self._grid.corners[self._count : self._count + len(squares)]
        for (row, column), square in zip(corners, squares):
            where = (slice(row, row + side), slice(column, column + side))
            self._sum[where] += square * self._ramp
            self._weight[where] += self._ramp
        self._count += len(squares)

    def image(self) -> np.ndarray:
        """Return the blended image `[H, W, C]`, after all squares were added."""
        return self._grid.from_canvas(self._sum / self._weight)

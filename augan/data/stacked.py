"""Two arrays of images read as one, so that neither need be copied or held in memory."""

import numpy as np


class Stacked:
    """The rows of `first`, then those of `second`; perhaps memory maps.

    Parameters
    ----------
    first, second : ndarray or Stacked, [N, S, S, C], [M, S, S, C]
        Squares of one shape and type.

    Examples
    --------
    >>> rows = Stacked(np.zeros((2, 1, 1, 1)), np.ones((3, 1, 1, 1)))
    >>> rows[np.array([4, 0])].ravel().tolist(), rows.shape
    ([1.0, 0.0], (5, 1, 1, 1))
    """

    def __init__(self, first: "np.ndarray | Stacked", second: "np.ndarray | Stacked") -> None:
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

"""The first images of each class, for a picture to look at: a row a class."""

import numpy as np

COLUMNS = 10  # images in a row
CLASSES = 12  # that have a row
ALONE = 40  # images of a class that is the only one


class FirstImages:
    """Keeps the first images of the first classes that come.

    Examples
    --------
    >>> first = FirstImages()
    >>> first.add(np.zeros((50, 8, 8, 1), np.uint8), np.repeat([3, 1], 25))
    >>> first.rows().shape
    (2, 10, 8, 8, 1)
    """

    def __init__(self) -> None:
        self._kept: dict[int, list[np.ndarray]] = {}

    def add(self, images: np.ndarray, classes: np.ndarray) -> None:
        """Keep those of images `[N, H, W, C]`, of classes `[N]`, that there is room for."""
        for index in dict.fromkeys(classes.tolist()):
            kept = self._kept.get(index, [])
            room = self._most(index) - len(kept)
            if room > 0:
                self._kept[index] = [*kept, *images[classes == index][:room]]

    def is_full(self, index: int) -> bool:
        """Return whether no more images of class `index` are wanted."""
        return len(self._kept.get(index, ())) >= self._most(index)

    def _most(self, index: int) -> int:
        order = list(self._kept)
        if index not in order:
            order.append(index)
        place = order.index(index)
        return 0 if place >= CLASSES else COLUMNS if place else ALONE

    def classes(self) -> list[int]:
        """Return the numbers of the classes that have images, in order."""
        return sorted(self._kept)

    def rows(self) -> np.ndarray:
        """Return `[R, COLUMNS or fewer, H, W, C]`, in the order of class numbers.

        Of one class all images, row by row. Where there are too few, the rest of a row is black.
        """
        parts = [self._kept[index] for index in self.classes()]
        if len(parts) == 1:
            parts = [parts[0][start : start + COLUMNS] for start in range(0, ALONE, COLUMNS)]
            parts = [part for part in parts if part]
        columns = min(COLUMNS, max(map(len, parts)))
        blank = np.zeros_like(parts[0][0])
        return np.stack([np.stack([*part, *[blank] * columns][:columns]) for part in parts])

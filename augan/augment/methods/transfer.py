"""How images of one class differ, applied to the few images of another.

A class of twenty images does not show how its images may vary, but other classes do: slimmer, with
longer sleeves, darker. The difference of the codes of two images of one class is added to the code
of an image of another (Hariharan and Girshick 2017, "Low-shot visual recognition by shrinking and
hallucinating features"; Schwartz et al. 2018, "Delta-encoder").
"""

import numpy as np

from augan.augment.methods.codes import Codes, Drawn
from augan.exceptions import DataError
from augan.seeding import child_rng

SHARE = 0.6  # of a difference; all of it often changes the class


class Transfer:
    """Draws codes of a class: one of its own, moved as another class varies.

    Parameters
    ----------
    codes : Codes
        Of the training images.
    """

    def __init__(self, codes: Codes) -> None:
        self.noise, self.labels, self.names = codes.noise, np.asarray(codes.labels), codes.names
        sizes = np.bincount(self.labels)
        # The largest classes, because few images would lend the same differences again and again.
        self._lenders = np.flatnonzero(sizes >= max(2, sizes.max() / 2))

    def draw(self, index: int, count: int, seed: int, number: int) -> Drawn:
        """Return `count` codes of class `index`; equal seed and number give equal codes.

        Raises
        ------
        DataError
            The class has no image, or there is none to learn differences from.
        """
        members = np.flatnonzero(self.labels == index)
        lenders = self._lenders[self._lenders != index]
        if not len(members) or not len(lenders):
            raise DataError(
                f"class number {index} has {len(members)} images, and {len(lenders)} other classes "
                "have enough to vary it by; add images, or choose the method sample"
            )
        rng = child_rng(seed, "transfer", index, "chunk", number)
        own = members[rng.integers(len(members), size=count)]
        lent = rng.choice(lenders, size=count)
        pairs = np.empty((2, count), np.int64)
        for lender in lenders:
            places, rows = np.flatnonzero(lent == lender), np.flatnonzero(self.labels == lender)
            pairs[:, places] = rows[rng.integers(len(rows), size=(2, len(places)))]
        moved = self.noise[own] + SHARE * (self.noise[pairs[0]] - self.noise[pairs[1]])
        sources = [[self.names[i] for i in made_of] for made_of in zip(own, *pairs)]
        return Drawn(moved.astype(np.float32), own, sources)

"""Test images that the arms have seen: equal ones, and ones that look the same.

A generator that learned a test image by heart would be rewarded for it, and so would every arm that
was trained on the image itself.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from augan.data.duplicates import near_duplicates
from augan.data.sequences import Stacked
from augan.data.splits import Split

MOST_SEEN = 100_000  # images that test images are compared with, evenly spaced ones of more


@dataclass(frozen=True)
class Leakage:
    """What test images have in common with seen ones.

    Attributes
    ----------
    equal : list of (int, int)
        Test image, and a seen image of the same pixels.
    near : list of (int, int, float)
        Test image, the seen image that it resembles most, and their correlation; best first, and
        without those that are equal.
    """

    equal: list[tuple[int, int]]
    near: list[tuple[int, int, float]]


def find_leakage(seen: np.ndarray | Stacked, rows: np.ndarray, test: np.ndarray) -> Leakage:
    """Compare test images with those that were seen.

    Parameters
    ----------
    seen : ndarray or Stacked [N, S, S, C]
        Stored squares.
    rows : ndarray of int
        Those of them that an arm is given; results name them by their place in `seen`.
    test : ndarray [m, S, S, C]
        Stored squares of the same kind.
    """
    equal = equal_images(seen, rows, test)
    others = np.setdiff1d(np.arange(len(test)), [place for place, _ in equal])
    first = len(seen)
    pairs = near_duplicates(
        Stacked(seen, test),
        Split(rows, np.empty(0, np.int64), first + others),
        most_calibrate=len(test),
        most_others=MOST_SEEN,
    )
    near = [(held - first, row, correlation) for row, held, correlation in pairs]
    return Leakage(equal, near)


def equal_images(
    seen: np.ndarray | Stacked, rows: np.ndarray, test: np.ndarray
) -> list[tuple[int, int]]:
    """Return `Leakage.equal` alone, which takes a fraction of the time; see `find_leakage`."""
    wanted = set(map(digest, test))
    places: dict[bytes, int] = {}
    for row in rows.tolist():
        key = digest(np.asarray(seen[row]))
        if key in wanted:
            places.setdefault(key, row)
    found = ((place, places.get(digest(image))) for place, image in enumerate(test))
    return [(place, row) for place, row in found if row is not None]


def digest(image: np.ndarray) -> bytes:
    """Return what tells the pixels of an image from all others."""
    return hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=16).digest()

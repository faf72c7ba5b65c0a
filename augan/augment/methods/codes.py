"""The codes of real images, which other codes are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True, eq=False)
class Codes:
    """What the encoder made of training images.

    Attributes
    ----------
    noise
        `[N, Z]`.
    labels
        The class of each, `[N]`.
    names
        What each image is called.
    """

    noise: np.ndarray
    labels: np.ndarray
    names: Sequence[str]


@dataclass(frozen=True, eq=False)
class Drawn:
    """New codes.

    Attributes
    ----------
    noise
        `[N, Z]`.
    own
        Which of the real images each began as, `[N]`.
    sources
        The names of all images that each is made of, that one first.
    """

    noise: np.ndarray
    own: np.ndarray
    sources: list[list[str]]


class CodeLaw(Protocol):
    """Draws new codes of a class."""

    def draw(self, index: int, count: int, seed: int, number: int) -> Drawn:
        """Return `count` codes of class `index`; equal seed and number give equal codes."""

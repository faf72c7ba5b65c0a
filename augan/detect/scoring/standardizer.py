"""Terms of a score on one scale, learned from normal samples that were held out from training."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np

from augan.exceptions import DataError

MIN_SPREAD = 1e-12


class ScoreStandardizer:
    """Centre and spread of each term: what is added up weighs alike, whatever its units."""

    def __init__(self) -> None:
        self._center, self._spread = np.zeros(0), np.ones(0)

    def fit(self, components: np.ndarray) -> Self:
        """Learn from the raw terms `[N, T]` of held-out normal samples.

        Raises
        ------
        DataError
            If any is not finite.
        """
        if not np.isfinite(components).all():
            raise DataError(
                "the scores of the validation samples are not finite: the networks have diverged; "
                "train again with a lower learning rate"
            )
        values = components.astype(np.float64)
        self._center = values.mean(axis=0)
        self._spread = np.maximum(values.std(axis=0), MIN_SPREAD)
        return self

    def __call__(self, components: Any) -> Any:
        """Return raw terms `[N, T]` with mean 0 and deviation 1 on what was fitted, float64.

        They are an array of floats, or a tensor of float64.
        """
        return (components - self._center) / self._spread

    def get_state(self) -> dict[str, np.ndarray]:
        """Return what `fit` learned, for the bundle."""
        return {"center": self._center, "spread": self._spread}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Take back what `get_state` returned; more than that is left alone."""
        self._center, self._spread = np.asarray(state["center"]), np.asarray(state["spread"])
        return self


NEAR = 6  # places from a border that are told apart; all others are the inside
PSEUDO = 20.0  # places of the overall statistics that are added to those of each distance
MIN_BORDER_SPREAD = 1e-9


class BorderNormalizer:
    """Mean and spread of maps at each distance from the borders."""

    def __init__(self) -> None:
        self._mean, self._spread = np.zeros(0), np.ones(0)

    def fit(self, maps: Iterable[np.ndarray]) -> Self:
        """Learn from maps of normal images, each `[H, W, T]` of T kinds of value."""
        count, total, squares = np.zeros(0), np.zeros(0), np.zeros(0)
        for heat in maps:
            cells, values = _cells(*heat.shape[:2]).ravel(), heat.reshape(-1, heat.shape[-1])
            size = (2 * NEAR + 1) ** 2
            found = [_sums(cells, powers, size) for powers in (values**0, values, values**2)]
            if not len(count):
                count, total, squares = found
            else:
                count, total, squares = count + found[0], total + found[1], squares + found[2]
        mean = total.sum(axis=0) / count.sum(axis=0)
        variance = squares.sum(axis=0) / count.sum(axis=0) - mean**2
        self._mean = (total + PSEUDO * mean) / (count + PSEUDO)
        within = squares - 2 * self._mean * total + count * self._mean**2
        self._spread = np.sqrt(
            np.maximum((within + PSEUDO * variance) / (count + PSEUDO), MIN_BORDER_SPREAD**2)
        )
        return self

    def __call__(self, heat: np.ndarray) -> np.ndarray:
        """Return a map `[H, W, T]` in deviations from what is usual at each place."""
        cells = _cells(*heat.shape[:2])
        return (heat - self._mean[cells]) / self._spread[cells]

    def get_state(self) -> dict[str, np.ndarray]:
        """Return what `fit` learned, for the bundle."""
        return {"border_mean": self._mean, "border_spread": self._spread}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Take back what `get_state` returned; more than that is left alone."""
        self._mean = np.asarray(state["border_mean"])
        self._spread = np.asarray(state["border_spread"])
        return self


def _cells(height: int, width: int) -> np.ndarray:
    """Return for each place a number that says how far it lies from each border, int `[H, W]`."""
    down, across = (_distances(length) for length in (height, width))
    return down[:, None] * (2 * NEAR + 1) + across


def _distances(length: int) -> np.ndarray:
    first = np.arange(length)
    last = first[::-1]
    return np.where(first <= last, np.minimum(first, NEAR), 2 * NEAR - np.minimum(last, NEAR))


def _sums(cells: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    """Sum values `[L, T]` over the places of each cell, `[size, T]`."""
    return np.stack([np.bincount(cells, column, size) for column in values.T], axis=1)

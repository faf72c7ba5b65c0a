"""Terms of a score on one scale, learned from normal samples that were held out from training."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from augan.exceptions import DataError

LEAST_SPREAD = 1e-12


class Standardised:
    """Centre and spread of each term: what is added up weighs alike, whatever its units."""

    def __init__(self) -> None:
        self._center, self._spread = np.zeros(0), np.ones(0)

    def fit(self, terms: np.ndarray) -> Self:
        """Learn from the raw terms `[N, T]` of held-out normal samples.

        Raises
        ------
        DataError
            If any is not finite.
        """
        if not np.isfinite(terms).all():
            raise DataError(
                "the scores of the tune samples are not finite: the networks have diverged; "
                "train again with a lower learning rate"
            )
        values = terms.astype(np.float64)
        self._center = values.mean(axis=0)
        self._spread = np.maximum(values.std(axis=0), LEAST_SPREAD)
        return self

    def __call__(self, terms: Any) -> Any:
        """Return raw terms `[N, T]` with mean 0 and deviation 1 on what was fitted, float64.

        They are an array of floats, or a tensor of float64.
        """
        return (terms - self._center) / self._spread

    def state(self) -> dict[str, np.ndarray]:
        """Return what `fit` learned, for the bundle."""
        return {"center": self._center, "spread": self._spread}

    def restore(self, state: Mapping[str, np.ndarray]) -> Self:
        """Take back what `state` returned; more than that is left alone."""
        self._center, self._spread = np.asarray(state["center"]), np.asarray(state["spread"])
        return self

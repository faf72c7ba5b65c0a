"""Cross-conformal ensemble: the fitted methods of all folds as one scorer.

`augan.detect.conformal.cross_conformal` explains the calibration and the pooling of scores.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from augan.data.sequences import RaggedImages
from augan.detect.conformal.cross_conformal import CrossConformalPool
from augan.detect.methods.base import Scorer
from augan.detect.scoring.component import ScoreComponent
from augan.gan import Tensor, tf

RANK_CORRECTION = ScoreComponent(
    "rank_correction", "correction of the mean of all folds to the rank of their joint p-value"
)
SCORE_STEP = 2.0**-30  # scores are rounded to multiples of this
MAX_SCORE = 2.0**20  # standard deviations; larger scores are clipped
# Tolerance for the scores of an exported graph: calibration scores that are lower by less than this
# count as equal, so that exported p-values are never too small.
TIE_TOLERANCE = 1e-4


class CrossConformalEnsemble:
    """Fitted methods of all folds as one scorer.

    The scores of each fold are centered and scaled by its calibration scores, so that all folds
    have equal weight. A component is the mean of that component over the folds. Without calibration
    scores, the score is the mean too.

    Parameters
    ----------
    members : sequence of Scorer
        One fitted method for each fold, all of the same class.
    """

    def __init__(self, members: Sequence[Scorer]) -> None:
        self._members = tuple(members)
        self.name = members[0].name
        self._scales = np.tile([0.0, 1.0, 1.0], (len(members), 1))
        self._set((), ())

    def __len__(self) -> int:
        return len(self._members)

    def calibrate(self, scores: Sequence[np.ndarray], max_map_scores: Sequence[np.ndarray]) -> Self:
        """Fit the scale of each fold, and the ranks among all folds.

        Parameters
        ----------
        scores, max_map_scores : sequence of ndarray [n_k]
            The calibration scores of each fold and, for images, the maximum of each calibration
            image's map, both as the members return them.
        """
        self._scales[:, 0] = [values.mean() for values in scores]
        self._scales[:, 1] = [values.std() or 1.0 for values in scores]
        self._scales[: len(max_map_scores), 2] = [max(m.mean(), 0) or 1.0 for m in max_map_scores]
        self._set(scores, max_map_scores)
        return self

    def _set(self, scores: Sequence[np.ndarray], max_map_scores: Sequence[np.ndarray]) -> None:
        self._raw = {"scores": tuple(scores), "max_map_scores": tuple(max_map_scores)}
        correction = (RANK_CORRECTION,) if scores else ()
        self.components = (*self._members[0].components, *correction)
        self._pool = CrossConformalPool(self.fold_scores) if scores else None
        self._map_pool = CrossConformalPool(self.max_map_scores) if max_map_scores else None

    @property
    def fold_scores(self) -> list[np.ndarray]:
        """The calibration scores of each fold, in the scale of the ensemble's score."""
        scaled = zip(self._raw["scores"], self._scales)
        return [_rounded((values - center) / spread) for values, (center, spread, _) in scaled]

    @property
    def max_map_scores(self) -> list[np.ndarray]:
        """The map maxima of each fold's calibration images, in the scale of the ensemble's maps."""
        scaled = zip(self._raw["max_map_scores"], self._scales[:, 2])
        return [(values / scale).astype(np.float32) for values, scale in scaled]

    def score_components(self, samples: Any) -> np.ndarray:
        """Return the mean of each component and the rank correction, float64 `[N, T]`."""
        values = np.stack([member.score_components(samples) for member in self._members], axis=-1)
        center, spread, _ = self._scales.T
        values = (values - center / values.shape[1]) / spread
        if self._pool is None:
            return values.mean(axis=-1)
        # Rounding makes the sum of components exact, so that no error crosses the threshold.
        components = _rounded(values.mean(axis=-1))
        scores = _rounded(self._pool(_rounded(values.sum(axis=1))))
        return np.column_stack([components, scores - components.sum(axis=1)])

    def reconstruct(self, samples: Any) -> np.ndarray | None:
        """Return the reconstructions of the first fold; a mean would be blurred."""
        return self._members[0].reconstruct(samples)

    def maps(self, images: Any) -> Any:
        """Return maps: the mean over the folds at each pixel, moved to its pooled rank.

        The unit is the mean map maximum of calibration images.
        """
        by_image = zip(*(member.maps(images) for member in self._members))
        maps = [self._pooled_map(np.stack(maps, axis=-1)) for maps in by_image]
        return RaggedImages(maps) if isinstance(images, RaggedImages) else np.stack(maps)

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the arrays, scales and calibration scores of all folds, for the bundle."""
        arrays: dict[str, np.ndarray] = {}
        for k, member in enumerate(self._members):
            state = {**member.get_state(), "scale": self._scales[k]}
            state |= {key: values[k] for key, values in self._raw.items() if values}
            arrays |= {f"fold{k + 1}.{key}": value for key, value in state.items()}
        return arrays

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore what `get_state` returned."""
        states: list[dict[str, np.ndarray]] = []
        for k, member in enumerate(self._members):
            prefix = f"fold{k + 1}."
            fold = {
                key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)
            }
            member.set_state(fold)
            self._scales[k] = fold["scale"]
            states.append(fold)
        self._set(*([fold[key] for fold in states if key in fold] for key in self._raw))
        return self

    def call(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the ensemble score as a tensor, float64 `[B, 1]`, and no maps.

        Maps would need thousands of comparisons for each pixel. See `OnnxExportable`.
        """
        members: Any = self._members
        scores = [tf.reduce_sum(member.call(images)[0], axis=1) for member in members]
        center, spread, _ = self._scales.T
        values = (tf.stack(scores, axis=-1) - center) / spread
        if self._pool is None:
            return tf.reduce_mean(values, axis=-1, keepdims=True), None
        values = tf.clip_by_value(values, -MAX_SCORE, MAX_SCORE)
        return _pool_tensors(self._pool, values)[:, None], None

    def without_pooling(self) -> "CrossConformalEnsemble":
        """Return the same ensemble without calibration scores: the score is the mean of folds."""
        ensemble = CrossConformalEnsemble(self._members)
        ensemble._scales = self._scales.copy()
        return ensemble

    def _pooled_map(self, maps: np.ndarray) -> np.ndarray:
        values = (maps / self._scales[:, 2]).astype(np.float32)
        pooled = values.mean(axis=-1) if self._map_pool is None else self._map_pool(values)
        return pooled.astype(np.float32)


def _pool_tensors(pool: CrossConformalPool, values: Tensor) -> Tensor:
    """Return what `pool` returns for scores `[B, K]`, as a tensor `[B]`.

    Scores within `TIE_TOLERANCE` count as equal.
    """
    scores, n = tf.constant(pool.all_scores), pool.all_scores.size
    lowest, highest = pool.all_scores[0], pool.all_scores[-1]
    at_least = [
        tf.cast(fold >= values[:, k, None] - TIE_TOLERANCE, tf.int32)
        for k, fold in enumerate(pool.fold_scores)
    ]
    count: Any = sum(tf.reduce_sum(fold, axis=1) for fold in at_least)
    mean = tf.reduce_mean(values, axis=1)
    lower, upper = (tf.gather(scores, tf.clip_by_value(n - count - i, 0, n - 1)) for i in (1, 0))
    offset = mean - (lower + upper) / 2
    between = lower + (upper - lower) * (1 + offset / (1 + tf.abs(offset))) / 2
    above = highest + _softplus_like(mean - highest)
    below = lowest - _softplus_like(lowest - mean)
    return tf.where(count == 0, above, tf.where(count == n, below, between))


def _softplus_like(values: Tensor) -> Tensor:
    """Return what the function of this name in `conformal.cross_conformal` returns."""
    return (values + tf.sqrt(values**2 + 1)) / 2


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, -MAX_SCORE, MAX_SCORE) / SCORE_STEP) * SCORE_STEP

"""Cross-conformal ensemble: the detection methods fitted in all folds, combined into one scorer.

`augan.detect.conformal.cross_conformal` explains the calibration and the pooling of scores.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from augan.data.sequences import join_like
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
    """Scorer that averages the fitted methods of K folds and pools their calibrated ranks.

    The scores of each fold are centered and scaled by the mean and standard deviation of the fold's
    calibration scores, so that all folds have equal weight. Each component of the ensemble is the
    mean of that component over the folds. After `calibrate`, the additional component
    `rank_correction` moves the sum of the components to the pooled score (`CrossConformalPool`);
    before, the score is the mean of the folds.

    Parameters
    ----------
    members : sequence of Scorer
        One fitted method for each fold, all of the same class.

    Attributes
    ----------
    name : str
        Name of the detection method.
    components : tuple of ScoreComponent
        Components of the method and, after `calibrate`, `RANK_CORRECTION`.
    """

    def __init__(self, members: Sequence[Scorer]) -> None:
        self._members = tuple(members)
        self.name, self.map_stride = members[0].name, members[0].map_stride
        self._scales = np.tile([0.0, 1.0, 1.0], (len(members), 1))
        self._set((), ())

    def __len__(self) -> int:
        """Return the number of folds."""
        return len(self._members)

    def calibrate(self, scores: Sequence[np.ndarray], max_map_scores: Sequence[np.ndarray]) -> Self:
        """Fit each fold's scale and the pooled ranks on calibration scores of all folds.

        Parameters
        ----------
        scores : sequence of ndarray [n_k]
            Anomaly scores of each fold's calibration samples by the fold's own method.
        max_map_scores : sequence of ndarray [n_k]
            Maximum of the anomaly map of each calibration image of each fold; empty for rows.

        Returns
        -------
        CrossConformalEnsemble
            This ensemble.
        """
        self._scales[:, 0] = [values.mean() for values in scores]
        self._scales[:, 1] = [values.std() or 1.0 for values in scores]
        self._scales[: len(max_map_scores), 2] = [max(m.mean(), 0) or 1.0 for m in max_map_scores]
        self._set(scores, max_map_scores)
        return self

    def _set(self, scores: Sequence[np.ndarray], max_map_scores: Sequence[np.ndarray]) -> None:
        """Set the raw calibration scores and map maxima, and derive components and pools."""
        self._raw = {"scores": tuple(scores), "max_map_scores": tuple(max_map_scores)}
        correction = (RANK_CORRECTION,) if scores else ()
        self.components = (*self._members[0].components, *correction)
        self._pool = CrossConformalPool(self.fold_scores) if scores else None
        self._map_pool = CrossConformalPool(self.max_map_scores) if max_map_scores else None

    @property
    def fold_scores(self) -> list[np.ndarray]:
        """Calibration scores of each fold, centered and scaled like the scores of the ensemble."""
        scaled = zip(self._raw["scores"], self._scales)
        return [_rounded((values - center) / spread) for values, (center, spread, _) in scaled]

    @property
    def max_map_scores(self) -> list[np.ndarray]:
        """Map maxima of each fold's calibration images, divided by their mean, float32."""
        scaled = zip(self._raw["max_map_scores"], self._scales[:, 2])
        return [(values / scale).astype(np.float32) for values, scale in scaled]

    def score_components(self, samples: Any, *, small_batches: bool = False) -> np.ndarray:
        """Return score components of samples, float64 `[N, T]`; higher = more anomalous.

        The columns are the fold means of the method's components and, after `calibrate`, the rank
        correction. `small_batches` is that of `Scorer`.
        """
        return self._combined(
            [m.score_components(samples, small_batches=small_batches) for m in self._members]
        )

    def reconstruct(self, samples: Any) -> np.ndarray | None:
        """Return the reconstructions by the first fold's GAN; a mean over folds would be blurred.

        None if the method computes no reconstructions.
        """
        return self._members[0].reconstruct(samples)

    def maps(self, images: Any, *, small_batches: bool = False) -> Any:
        """Return anomaly maps of images: the mean over the folds at each pixel, at its pooled rank.

        Without map calibration, the maps are the mean over the folds only. The unit is the mean map
        maximum of the calibration images.

        Parameters
        ----------
        images : ndarray [N, S, S, C] or RaggedImages
            Images in [-1, 1].
        small_batches : bool
            As in `Scorer`.

        Returns
        -------
        ndarray of float32 [N, S, S, 1] or RaggedImages [H, W, 1]
            `RaggedImages` if the images are.
        """
        return self._combined_maps(
            [member.maps(images, small_batches=small_batches) for member in self._members]
        )

    def score_and_maps(self, images: Any, *, small_batches: bool = False) -> tuple[np.ndarray, Any]:
        """Return the results of `score_components` and `maps`, computed together."""
        components, maps = zip(
            *(m.score_and_maps(images, small_batches=small_batches) for m in self._members)
        )
        return self._combined(components), self._combined_maps(maps)

    def _combined(self, components: Sequence[np.ndarray]) -> np.ndarray:
        """Return the components of the ensemble from those of all folds, `[N, T]` each."""
        values = np.stack(components, axis=-1)
        center, spread, _ = self._scales.T
        values = (values - center / values.shape[1]) / spread
        if self._pool is None:
            return values.mean(axis=-1)
        # Rounding makes the sum of components exact, so that no error crosses the threshold.
        combined = _rounded(values.mean(axis=-1))
        scores = _rounded(self._pool(_rounded(values.sum(axis=1))))
        return np.column_stack([combined, scores - combined.sum(axis=1)])

    def _combined_maps(self, by_fold: Sequence[Any]) -> Any:
        """Return the maps of the ensemble from the maps of all folds."""
        maps = [self._pooled_map(np.stack(maps, axis=-1)) for maps in zip(*by_fold)]
        return join_like(by_fold[0], [one[None] for one in maps])

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays, scale and calibration scores of every fold, for the bundle.

        The keys begin with "fold1.", "fold2." and so on.
        """
        arrays: dict[str, np.ndarray] = {}
        for k, member in enumerate(self._members):
            state = {**member.get_state(), "scale": self._scales[k]}
            state |= {key: values[k] for key, values in self._raw.items() if values}
            arrays |= {f"fold{k + 1}.{key}": value for key, value in state.items()}
        return arrays

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the arrays of `get_state` into members of the same class, and return self."""
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

    def call(self, samples: Tensor) -> tuple[Tensor, None]:
        """Compute the ensemble's score of samples as a tensor, for an exported graph.

        Anomaly maps are not exported, because they would need thousands of comparisons for each
        pixel. See `Scorer.call` for the input.

        Returns
        -------
        score : Tensor of float64 [B, 1]
            The pooled score, or the mean of the folds without calibration.
        maps : None
        """
        scores = [tf.reduce_sum(member.call(samples)[0], axis=1) for member in self._members]
        center, spread, _ = self._scales.T
        values = (tf.stack(scores, axis=-1) - center) / spread
        if self._pool is None:
            return tf.reduce_mean(values, axis=-1, keepdims=True), None
        values = tf.clip_by_value(values, -MAX_SCORE, MAX_SCORE)
        return _pool_tensors(self._pool, values)[:, None], None

    def without_pooling(self) -> "CrossConformalEnsemble":
        """Return an uncalibrated ensemble of the same folds, which scores by the folds' mean."""
        ensemble = CrossConformalEnsemble(self._members)
        ensemble._scales = self._scales.copy()
        return ensemble

    def _pooled_map(self, maps: np.ndarray) -> np.ndarray:
        """Scale, average and pool the maps `[..., K]` of one image by all folds."""
        values = (maps / self._scales[:, 2]).astype(np.float32)
        pooled = values.mean(axis=-1) if self._map_pool is None else self._map_pool(values)
        return pooled.astype(np.float32)


def _pool_tensors(pool: CrossConformalPool, values: Tensor) -> Tensor:
    """Compute `CrossConformalPool` on a tensor of scores, float64 `[B, K]` to `[B]`.

    Scores that differ by less than `TIE_TOLERANCE` count as equal.
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
    """Tensor version of `augan.detect.conformal.cross_conformal._softplus_like`."""
    return (values + tf.sqrt(values**2 + 1)) / 2


def _rounded(values: np.ndarray) -> np.ndarray:
    """Return values clipped to +-`MAX_SCORE` and rounded to multiples of `SCORE_STEP`."""
    return np.rint(np.clip(values, -MAX_SCORE, MAX_SCORE) / SCORE_STEP) * SCORE_STEP

"""One method fitted in several folds, which scores by all of them together.

Its calibration, and why its scores are placed as they are, is explained in
`augan.detect.conformal.cross_conformal`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from augan.data.sequences import RaggedImages
from augan.detect.conformal.cross_conformal import CrossConformalPool
from augan.detect.methods.base import Scorer
from augan.gan import tf

Tensor = Any

RANK_CORRECTION = (
    "agreement"  # the term that moves the mean to where the folds together place an image
)
FINE = 2.0**-30  # scores are multiples of it
LARGEST = 2.0**20  # deviations: what is larger counts as this
# Deviations by which a graph's scores may differ from ours: calibration scores that are so little
# lower count as equal, so that p-values are never smaller than ours by that.
NEARLY = 1e-4


class CrossConformalEnsemble:
    """The fitted methods of all folds as one.

    Scores of each fold are centred and scaled by its calibration scores, so that all folds weigh
    alike. A term is the mean of that term over the folds. Without lines, the score is the mean too.

    Parameters
    ----------
    members : sequence of Scorer
        One of each fold, all of one kind.
    """

    def __init__(self, members: Sequence[Scorer]) -> None:
        self._members = tuple(members)
        self.name = members[0].name
        self._scales = np.tile([0.0, 1.0, 1.0], (len(members), 1))
        self._set((), ())

    def __len__(self) -> int:
        return len(self._members)

    def calibrate(self, lines: Sequence[np.ndarray], heights: Sequence[np.ndarray]) -> Self:
        """Learn the units of each fold, and where images rank among all folds.

        Parameters
        ----------
        lines, heights : sequence of ndarray [n_k]
            The calibration scores of each fold, and, unless they are rows, the highest places of
            the same images' maps, as the members give them.
        """
        self._scales[:, 0] = [line.mean() for line in lines]
        self._scales[:, 1] = [line.std() or 1.0 for line in lines]
        self._scales[: len(heights), 2] = [max(h.mean(), 0) or 1.0 for h in heights]
        self._set(lines, heights)
        return self

    def _set(self, lines: Sequence[np.ndarray], heights: Sequence[np.ndarray]) -> None:
        self._raw = {"line": tuple(lines), "map_line": tuple(heights)}
        self.components = (*self._members[0].components, *((RANK_CORRECTION,) if lines else ()))
        self._pool = CrossConformalPool(self.lines) if lines else None
        self._map_pool = CrossConformalPool(self.heights) if heights else None

    @property
    def lines(self) -> list[np.ndarray]:
        """The calibration scores of each fold, in units of this score."""
        own = zip(self._raw["line"], self._scales)
        return [_rounded((line - center) / spread) for line, (center, spread, _) in own]

    @property
    def heights(self) -> list[np.ndarray]:
        """The highest places of calibration images' maps of each fold, in units of these maps."""
        own = zip(self._raw["map_line"], self._scales[:, 2])
        return [(heights / usual).astype(np.float32) for heights, usual in own]

    def score_components(self, images: Any) -> np.ndarray:
        """Return the mean of each term, float64 `[N, T]`, and what moves their sum to its rank."""
        parts = np.stack([member.score_components(images) for member in self._members], axis=-1)
        center, spread, _ = self._scales.T
        parts = (parts - center / parts.shape[1]) / spread
        if self._pool is None:
            return parts.mean(axis=-1)
        # Rounded, so that terms add up without an error that might carry a score over a line.
        components = _rounded(parts.mean(axis=-1))
        scores = _rounded(self._pool(_rounded(parts.sum(axis=1))))
        return np.column_stack([components, scores - components.sum(axis=1)])

    def reconstruct(self, images: Any) -> np.ndarray | None:
        """Return what the first fold draws: a mean would be blurred."""
        return self._members[0].reconstruct(images)

    def maps(self, images: Any) -> Any:
        """Return maps that are, at each place, the mean of all folds moved to its rank.

        Their unit is the highest place of a usual calibration image.
        """
        of_each = zip(*(member.maps(images) for member in self._members))
        maps = [self._together(np.stack(same, axis=-1)) for same in of_each]
        return RaggedImages(maps) if isinstance(images, RaggedImages) else np.stack(maps)

    def get_state(self) -> dict[str, np.ndarray]:
        """Return what the folds learned, and their units and lines, for the bundle."""
        found: dict[str, np.ndarray] = {}
        for k, member in enumerate(self._members):
            own = {**member.get_state(), "scale": self._scales[k]}
            own |= {kind: lines[k] for kind, lines in self._raw.items() if lines}
            found |= {f"fold{k + 1}.{key}": value for key, value in own.items()}
        return found

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Take back what `get_state` returned."""
        owned: list[dict[str, np.ndarray]] = []
        for k, member in enumerate(self._members):
            start = f"fold{k + 1}."
            own = {key.removeprefix(start): v for key, v in state.items() if key.startswith(start)}
            member.set_state(own)
            self._scales[k] = own["scale"]
            owned.append(own)
        self._set(*([own[kind] for own in owned if kind in own] for kind in self._raw))
        return self

    def call(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the score of all folds, float64 `[B, 1]`, and no maps; see `OnnxExportable`.

        Ranks among all calibration maps would be thousands of comparisons for each place.
        """
        members: Any = self._members
        of_each = tf.stack([tf.reduce_sum(m.call(images)[0], axis=1) for m in members], axis=-1)
        center, spread, _ = self._scales.T
        values = (of_each - center) / spread
        if self._pool is None:
            return tf.reduce_mean(values, axis=-1, keepdims=True), None
        values = tf.clip_by_value(values, -LARGEST, LARGEST)
        return _pooled(self._pool, values)[:, None], None

    def without_pooling(self) -> "CrossConformalEnsemble":
        """Return the same without lines, for new ones: it scores by the mean alone."""
        other = CrossConformalEnsemble(self._members)
        other._scales = self._scales.copy()
        return other

    def _together(self, maps: np.ndarray) -> np.ndarray:
        values = (maps / self._scales[:, 2]).astype(np.float32)
        pooled = values.mean(axis=-1) if self._map_pool is None else self._map_pool(values)
        return pooled.astype(np.float32)


def _pooled(pool: CrossConformalPool, values: Tensor) -> Tensor:
    """Do what a pool does to scores, `[B, K]` to `[B]`; ties are `NEARLY` ties."""
    every, n = tf.constant(pool.all_scores), pool.all_scores.size
    lowest, highest = pool.all_scores[0], pool.all_scores[-1]
    reached = [
        tf.cast(line >= values[:, k, None] - NEARLY, tf.int32)
        for k, line in enumerate(pool.fold_scores)
    ]
    count: Any = sum(tf.reduce_sum(of_line, axis=1) for of_line in reached)
    mean = tf.reduce_mean(values, axis=1)
    below, above = (tf.gather(every, tf.clip_by_value(n - count - i, 0, n - 1)) for i in (1, 0))
    off = mean - (below + above) / 2
    between = below + (above - below) * (1 + off / (1 + tf.abs(off))) / 2
    beyond = highest + _positive(mean - highest)
    beneath = lowest - _positive(lowest - mean)
    return tf.where(count == 0, beyond, tf.where(count == n, beneath, between))


def _positive(values: Tensor) -> Tensor:
    """As in `augan.detect.conformal.cross_conformal`: numbers above 0, in the same order."""
    return (values + tf.sqrt(values**2 + 1)) / 2


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, -LARGEST, LARGEST) / FINE) * FINE

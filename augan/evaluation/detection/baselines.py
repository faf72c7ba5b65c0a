"""Simple rivals of a detector, on raw pixels.

They are always worth a run: on small or aligned images they are hard to beat, and a GAN that loses
to them is not needed.

References
----------
Ramaswamy, Rastogi, Shim (2000), Efficient algorithms for mining outliers from large data sets
(nearest neighbours). Shyu, Chen, Sarinnapakorn, Chang (2003), A novel anomaly detection scheme
based on principal component classifier. Liu, Ting, Zhou (2008), Isolation forest.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from augan.bundle import Bundle, bundle_errors
from augan.data.cache import load_prepared
from augan.data.modalities.images import ImagePreprocessing, resize
from augan.data.modalities.registry import AnyPreprocessing
from augan.data.modalities.tiles import TiledPreprocessing
from augan.data.sequences import RaggedImages
from augan.data.splits import evenly_spaced
from augan.detect.inputs import ImageFolderSource, InputSource
from augan.exceptions import DataError
from augan.io.hashing import array_digest
from augan.training.training_data import recorded_data

_ROWS = 512  # images compared with all training images at once


class OutlierDetector(Protocol):
    """What is needed of a detector; every outlier detector of scikit-learn has it."""

    def fit(self, X: Any, y: Any = None) -> Any:
        """Learn from normal images."""

    def score_samples(self, X: Any) -> np.ndarray:
        """Return one score per image, higher = more normal."""


class NearestNeighborsDetector(BaseEstimator):
    """Normal is what lies near training images.

    Parameters
    ----------
    n_neighbors : int
        The score is minus the mean distance to that many training images; to all of them where
        there are fewer.
    """

    def __init__(self, n_neighbors: int = 2) -> None:
        self.n_neighbors = n_neighbors

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Keep the normal rows, shape [N, D]."""
        self.index_ = NearestNeighbors(n_neighbors=min(self.n_neighbors, len(X))).fit(X)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return one score per row, higher = more normal."""
        check_is_fitted(self)
        distances, _ = self.index_.kneighbors(X)
        return -distances.mean(axis=1)


class PCADetector(BaseEstimator):
    """Normal is what lies near the plane of the first principal components.

    Parameters
    ----------
    max_components : int
        Fewer are kept where there are few images or pixels, at most a quarter of the pixels: with
        nearly as many components as pixels every image would lie nearly in the plane.
    random_state : int or None
        For scikit-learn's randomised solver.
    """

    def __init__(self, max_components: int = 64, random_state: int | None = None) -> None:
        self.max_components = max_components
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Find the plane of the normal rows, shape [N, D], N >= 2."""
        if len(X) < 2:
            raise DataError(f"PCA was given {len(X)} image: it needs 2 or more normal images.")
        width = X.shape[1]
        components = min(self.max_components, len(X) - 1, max(1, width // 4), width - 1)
        self.pca_ = PCA(components, random_state=self.random_state).fit(X)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return one score per row, minus its distance to the plane."""
        check_is_fitted(self)
        # Not PCA.inverse_transform: that refuses the plane of no components (1 pixel).
        centred, axes = X - self.pca_.mean_, self.pca_.components_
        return -np.linalg.norm(centred - centred @ axes.T @ axes, axis=1)


def _flat(images: ArrayLike) -> np.ndarray:
    """[N, H, W, C] or [N, D] to floating point [N, D]."""
    array = np.asarray(images)
    if array.ndim < 2 or array.size == 0:
        raise DataError(
            f"The images have shape {array.shape}, [N, H, W, C] or [N, D] with N of 1 or more "
            "was expected."
        )
    if array.dtype.kind != "f":
        array = array.astype(np.float32)
    array = array.reshape(len(array), -1)
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        raise DataError(
            f"{int(bad.sum())} of {bad.size} images hold NaN or infinite pixels, the first at "
            f"index {int(np.argmax(bad))}: leave them out or repair them."
        )
    return array


class ThumbnailDetector(BaseEstimator):
    """Normal is what correlates with a training image, both seen as small gray thumbnails.

    Brightness and contrast do not count. Images of one value everywhere have no correlation: they
    resemble each other fully and anything else not at all.

    Parameters
    ----------
    size : int
        Side of the thumbnails in pixels. Flat rows are taken for gray or colour squares where
        their number of values allows it, and are compared as they are otherwise.
    """

    def __init__(self, size: int = 24) -> None:
        self.size = size

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Keep the thumbnails of the normal images, [N, H, W, C] or [N, D]."""
        self.thumbnails_ = self._thumbnails(X)
        return self

    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """Return one score per image, the highest correlation minus 1: higher = more normal."""
        check_is_fitted(self)
        thumbnails = self._thumbnails(X)
        parts = np.array_split(thumbnails, range(_ROWS, len(thumbnails), _ROWS))
        return np.concatenate([(part @ self.thumbnails_.T).max(axis=1) - 1 for part in parts])

    def _thumbnails(self, X: ArrayLike) -> np.ndarray:
        """Vectors of unit norm whose products are correlations; the last value marks flat ones."""
        images, rows = np.asarray(X), _flat(X)
        images = rows.reshape(len(rows), *_picture_shape(images.shape))
        gray = images.mean(axis=-1, keepdims=True, dtype=np.float64)
        if gray.shape[1] > 1:
            gray = np.stack([resize(image, self.size, self.size) for image in gray])
        values = gray.reshape(len(gray), -1)
        largest = np.abs(values).max(axis=1)
        values = values - values.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(values, axis=1)
        # Below this, contrast is only rounding, of which any two could correlate.
        flat = norm <= 1e-4 * largest
        values = np.divide(values, norm[:, None], out=np.zeros_like(values), where=~flat[:, None])
        return np.column_stack([values, flat]).astype(np.float32)


def _picture_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Height, width and channels of each row of an array [N, H, W, C], [N, H, W] or [N, D]."""
    if len(shape) == 4:
        return shape[1], shape[2], shape[3]
    if len(shape) == 3:
        return shape[1], shape[2], 1
    width = math.prod(shape[1:])
    for channels in (1, 3):
        side = math.isqrt(width // channels)
        if side * side * channels == width:
            return side, side, channels
    return 1, width, 1


def _on_pixels(detector: Any) -> Pipeline:
    return make_pipeline(FunctionTransformer(_flat), detector)


BASELINES: dict[str, Callable[[int], OutlierDetector]] = {
    "nearest-neighbours": lambda seed: _on_pixels(NearestNeighborsDetector()),
    "pca": lambda seed: _on_pixels(PCADetector(random_state=seed)),
    "isolation-forest": lambda seed: _on_pixels(
        IsolationForest(n_estimators=200, random_state=seed)
    ),
    "thumbnails": lambda seed: make_pipeline(ThumbnailDetector()),
}
"""Name -> function of a seed that returns an unfitted detector on [N, D] or [N, H, W, C]."""


MAX_TRAINING = 10_000  # evenly spaced ones of more, so that neighbours are found in minutes
FOR_IMAGES_ONLY = ("thumbnails",)


@dataclass(frozen=True)
class FittedBaselines:
    """Fitted baselines, or why there are none.

    Attributes
    ----------
    detectors : dict of str to OutlierDetector
        Fitted on samples as the network sees them, scaled to [-1, 1].
    num_training : int
        How many samples they were fitted on.
    skipped : str or None
        Why there are none.
    preprocessing : ImagePreprocessing or TabularPreprocessing
        What makes the samples that they score: the bundle's, or one that shrinks large images.
    """

    detectors: dict[str, OutlierDetector] = field(default_factory=dict)
    num_training: int = 0
    skipped: str | None = None
    preprocessing: AnyPreprocessing | None = None
    _known: frozenset[bytes] = frozenset()

    def read(
        self, source: InputSource, names: list[str], stored: np.ndarray | RaggedImages
    ) -> np.ndarray:
        """Return the readable samples `names` as the baselines take them; `stored` as the model."""
        if not isinstance(stored, RaggedImages):
            return stored
        if not isinstance(source, ImageFolderSource) or not isinstance(
            self.preprocessing, ImagePreprocessing
        ):
            return np.empty(0)
        return source.squares(names, self.preprocessing)

    def scores(self, stored: np.ndarray) -> dict[str, np.ndarray]:
        """Return the anomaly scores `[N]` of stored samples, higher = more anomalous."""
        if self.preprocessing is None:
            return {}
        samples = self.preprocessing.normalize(stored)
        return {name: -one.score_samples(samples) for name, one in self.detectors.items()}

    def num_trained_on(self, stored: np.ndarray) -> int:
        """Return how many stored samples equal one that the model was trained or calibrated on."""
        return sum(array_digest(sample) in self._known for sample in stored) if self._known else 0


def fit_baselines(
    bundle: Bundle, preprocessing: AnyPreprocessing, data: str | Path | None = None
) -> FittedBaselines:
    """Fit every baseline on the bundle's training and validation splits.

    Parameters
    ----------
    bundle : Bundle
    preprocessing : ImagePreprocessing or TabularPreprocessing
        That of the bundle.
    data : str, path or None
        What the bundle was trained on, as `augan.load_dataset` takes it; None: the place that the
        bundle remembers. If that is not the same data any more there are no baselines.

    Raises
    ------
    DataError
        `data` cannot be read, or is not what the bundle was trained on.
    """
    try:
        squares = recorded_data(bundle, preprocessing, data).squares
    except DataError as error:
        if data is not None:
            raise
        return FittedBaselines(skipped=str(error))
    split = bundle.tables["split"]
    with bundle_errors(bundle, "split"):
        rows = evenly_spaced(np.union1d(split["train"], split["val"]), MAX_TRAINING)
        np.arange(len(squares.pixels))[rows]  # an IndexError if there are no such rows
    if isinstance(preprocessing, TiledPreprocessing):
        # Baselines compare images with images, which must then be of one size.
        preprocessing = ImagePreprocessing.fit(squares.dataset, preprocessing.window)
        squares = load_prepared(squares.dataset, preprocessing)
    samples = preprocessing.normalize(squares.pixels[rows])
    detectors = {}
    for name, make in BASELINES.items():
        if preprocessing.sample_type == "image" or name not in FOR_IMAGES_ONLY:
            detectors[name] = make(int(bundle.config.get("seed", 0))).fit(samples)
    known = frozenset(array_digest(sample) for sample in squares.pixels)
    return FittedBaselines(detectors, len(rows), None, preprocessing, known)

"""Baselines of anomaly detection on raw pixels or columns.

Baselines are hard to beat on small or aligned images. A GAN that does not beat the baselines is not
needed.

References
----------
Ramaswamy, Rastogi, Shim (2000), Efficient algorithms for mining outliers from large data sets
(nearest neighbors). Shyu, Chen, Sarinnapakorn, Chang (2003), A novel anomaly detection scheme
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

from augan.bundle import Bundle
from augan.data.cache import load_prepared
from augan.data.modalities.base import Preprocessing
from augan.data.modalities.images import resize
from augan.data.sequences import RaggedImages
from augan.data.splits import evenly_spaced
from augan.detect.inputs import ImageFolderSource, InputSource
from augan.exceptions import DataError
from augan.io.hashing import array_digest
from augan.training.training_data import load_training_data

_MAX_TRAINING_SAMPLES = 10_000  # evenly spaced; limits the search for neighbors to minutes
_CHUNK_SIZE = 512  # images that are compared with all training images at once


class OutlierDetector(Protocol):
    """Interface of a baseline: an outlier detector of scikit-learn."""

    def fit(self, X: Any, y: Any = None) -> Any:
        """Fit the baseline to normal samples `[N, D]` or `[N, H, W, C]`, and return the baseline.

        `y` is ignored.
        """

    def score_samples(self, X: Any) -> np.ndarray:
        """Return the normality score of each sample, float `[N]`, higher = more normal."""


class NearestNeighborsDetector(BaseEstimator):
    """Baseline that scores a sample by its mean distance to the nearest training samples.

    Parameters
    ----------
    n_neighbors : int
        Number of neighbors; reduced to the number of training samples.

    Attributes
    ----------
    index_ : sklearn.neighbors.NearestNeighbors
        The training samples.
    """

    def __init__(self, n_neighbors: int = 2) -> None:
        self.n_neighbors = n_neighbors

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Store normal rows `[N, D]` for the search of neighbors; `y` is ignored."""
        self.index_ = NearestNeighbors(n_neighbors=min(self.n_neighbors, len(X))).fit(X)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return the negative mean distance of rows to their neighbors, higher = more normal.

        `X` `[N, D]` -> float `[N]`.
        """
        check_is_fitted(self)
        distances, _ = self.index_.kneighbors(X)
        return -distances.mean(axis=1)


class PCADetector(BaseEstimator):
    """Baseline that scores a sample by its distance to the hyperplane of principal components.

    Parameters
    ----------
    max_components : int
        Maximum number of components. The number is also limited by the number of samples and to a
        quarter of the values: with nearly as many components as values, every sample would lie
        close to the hyperplane.
    random_state : int or None
        Seed of scikit-learn's randomized solver.

    Attributes
    ----------
    pca_ : sklearn.decomposition.PCA
        The hyperplane.
    """

    def __init__(self, max_components: int = 64, random_state: int | None = None) -> None:
        self.max_components = max_components
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Fit the hyperplane to normal rows `[N, D]`; `y` is ignored.

        Raises
        ------
        DataError
            There are fewer than 2 rows.
        """
        if len(X) < 2:
            raise DataError(f"PCA needs 2 or more normal images, but got {len(X)}")
        width = X.shape[1]
        components = min(self.max_components, len(X) - 1, max(1, width // 4), width - 1)
        self.pca_ = PCA(components, random_state=self.random_state).fit(X)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return the negative distance of rows to the hyperplane, higher = more normal.

        `X` `[N, D]` -> float `[N]`.
        """
        check_is_fitted(self)
        # PCA.inverse_transform refuses a hyperplane of 0 components (images of 1 pixel).
        centered, axes = X - self.pca_.mean_, self.pca_.components_
        return -np.linalg.norm(centered - centered @ axes.T @ axes, axis=1)


class ThumbnailDetector(BaseEstimator):
    """Baseline that correlates small gray thumbnails of images with those of the training images.

    Brightness and contrast have no influence. A constant image has no correlation: two constant
    images count as fully similar, a constant image and any other image as not similar.

    Parameters
    ----------
    size : int
        Side of the thumbnails in pixels. A flat row is reshaped to a square gray or color image if
        its number of values allows, and is compared without resizing otherwise.

    Attributes
    ----------
    thumbnails_ : ndarray of float32 [N, F]
        Normalized thumbnails of the training images.
    """

    def __init__(self, size: int = 24) -> None:
        self.size = size

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Store the thumbnails of normal images `[N, H, W, C]` or rows `[N, D]`; `y` is ignored.

        Raises
        ------
        DataError
            There is no image, or an image holds NaN or infinite pixels.
        """
        self.thumbnails_ = self._thumbnails(X)
        return self

    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """Return the highest correlation of each image with a training image, minus 1.

        Parameters
        ----------
        X : array-like [N, H, W, C] or [N, D]

        Returns
        -------
        ndarray [N]
            From -2 to 0, higher = more normal; 0: equal up to brightness and contrast.

        Raises
        ------
        DataError
            There is no image, or an image holds NaN or infinite pixels.
        """
        check_is_fitted(self)
        thumbnails = self._thumbnails(X)
        chunks = np.array_split(thumbnails, range(_CHUNK_SIZE, len(thumbnails), _CHUNK_SIZE))
        return np.concatenate([(chunk @ self.thumbnails_.T).max(axis=1) - 1 for chunk in chunks])

    def _thumbnails(self, X: ArrayLike) -> np.ndarray:
        """Return thumbnails as float32 unit vectors `[N, F]`, whose products are correlations.

        The last value of a vector is 1 for a constant image and 0 otherwise.
        """
        images, rows = np.asarray(X), _to_rows(X)
        images = rows.reshape(len(rows), *_image_shape(images.shape))
        gray = images.mean(axis=-1, keepdims=True, dtype=np.float64)
        if gray.shape[1] > 1:
            gray = np.stack([resize(image, self.size, self.size) for image in gray])
        values = gray.reshape(len(gray), -1)
        largest = np.abs(values).max(axis=1)
        values = values - values.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(values, axis=1)
        # A smaller contrast is only rounding error, which would give random correlations.
        is_constant = norm <= 1e-4 * largest
        values = np.divide(
            values, norm[:, None], out=np.zeros_like(values), where=~is_constant[:, None]
        )
        return np.column_stack([values, is_constant]).astype(np.float32)


def _to_rows(images: ArrayLike) -> np.ndarray:
    """Return images `[N, H, W, C]` or rows `[N, D]` as floating-point rows `[N, D]`.

    Raises
    ------
    DataError
        There is no image, or an image holds NaN or infinite pixels.
    """
    array = np.asarray(images)
    if array.ndim < 2 or array.size == 0:
        raise DataError(
            f"the images have shape {array.shape}, but [N, H, W, C] or [N, D] with N >= 1 is needed"
        )
    if array.dtype.kind != "f":
        array = array.astype(np.float32)
    array = array.reshape(len(array), -1)
    is_broken = ~np.isfinite(array).all(axis=1)
    if is_broken.any():
        raise DataError(
            f"{int(is_broken.sum())} of {is_broken.size} images hold NaN or infinite pixels, the "
            f"first at index {int(np.argmax(is_broken))}; leave these images out or repair them"
        )
    return array


def _image_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return height, width and channels of each image in an array of a shape.

    Parameters
    ----------
    shape : tuple of int
        `[N, H, W, C]`, `[N, H, W]` or `[N, D]`. D values are a square gray image, or else a square
        color image of 3 channels, or else one row of D gray pixels.
    """
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


def _on_rows(detector: Any) -> Pipeline:
    """Return a pipeline that flattens images to rows before the outlier detector."""
    return make_pipeline(FunctionTransformer(_to_rows), detector)


BASELINES: dict[str, Callable[[int], OutlierDetector]] = {
    "nearest-neighbors": lambda seed: _on_rows(NearestNeighborsDetector()),
    "pca": lambda seed: _on_rows(PCADetector(random_state=seed)),
    "isolation-forest": lambda seed: _on_rows(IsolationForest(n_estimators=200, random_state=seed)),
    "thumbnails": lambda seed: make_pipeline(ThumbnailDetector()),
}
"""Name -> function of a seed that returns an unfitted detector on [N, D] or [N, H, W, C]."""

IMAGE_BASELINES = ("thumbnails",)
"""Baselines for images only, not for table rows."""


@dataclass(frozen=True)
class FittedBaselines:
    """Baselines fitted to the training data of a bundle, or the reason for their absence.

    Attributes
    ----------
    detectors : dict of str to OutlierDetector
        Name -> baseline, fitted to samples in the network's scale, [-1, 1]. Empty without
        baselines.
    num_training : int
        Number of training samples.
    skip_reason : str or None
        Reason for the absence of baselines; None if there are baselines.
    preprocessing : Preprocessing or None
        Preprocessing of the baselines: that of the bundle, or one that shrinks large images. None
        without baselines.
    reads_again : bool
        Whether `preprocessing` is not that of the bundle, so that test samples are read again.
    """

    detectors: dict[str, OutlierDetector] = field(default_factory=dict)
    num_training: int = 0
    skip_reason: str | None = None
    preprocessing: Preprocessing | None = None
    reads_again: bool = False
    _training_digests: frozenset[bytes] = frozenset()

    def prepare(
        self, source: InputSource, names: list[str], samples: np.ndarray | RaggedImages
    ) -> np.ndarray:
        """Return test samples in the form that the baselines score.

        Parameters
        ----------
        source : InputSource
            Test samples, from which large images are read again at the size of the baselines.
        names : list of str
            Names of readable samples.
        samples : ndarray or RaggedImages
            The same samples as prepared for the detector.

        Returns
        -------
        ndarray
            Prepared images `[N, S, S, C]` or rows `[N, F]`; empty without baselines.
        """
        if self.preprocessing is None:
            return np.empty(0)
        if self.reads_again and isinstance(source, ImageFolderSource):
            return source.read_squares(names, self.preprocessing.require_images())
        return np.asarray(samples)

    def scores(self, samples: np.ndarray) -> dict[str, np.ndarray]:
        """Return the anomaly scores of every baseline for prepared samples.

        Parameters
        ----------
        samples : ndarray
            Result of `prepare`.

        Returns
        -------
        dict of str to ndarray [N]
            Name of the baseline -> scores, higher = more anomalous. Empty without baselines.
        """
        if self.preprocessing is None:
            return {}
        scaled = self.preprocessing.normalize(samples)
        return {name: -detector.score_samples(scaled) for name, detector in self.detectors.items()}

    def count_training_samples(self, samples: np.ndarray) -> int:
        """Return how many prepared test samples equal a sample of training or calibration.

        0 without baselines, because the training data is then unknown.
        """
        if not self._training_digests:
            return 0
        return sum(array_digest(sample) in self._training_digests for sample in samples)


def fit_baselines(
    bundle: Bundle,
    preprocessing: Preprocessing,
    training_data: str | Path | None = None,
) -> FittedBaselines:
    """Fit every baseline to the training and the validation split of a bundle.

    At most 10,000 samples are used, evenly spaced.

    Parameters
    ----------
    bundle : Bundle
    preprocessing : Preprocessing
        Preprocessing of the bundle.
    training_data : str, path or None
        Training data of the bundle, as `augan.load_dataset` takes it. None: the path recorded in
        the bundle; there are no baselines if it does not hold the same data anymore.

    Returns
    -------
    FittedBaselines
        Without baselines and with a `skip_reason` if the recorded path cannot be used.

    Raises
    ------
    DataError
        `training_data` cannot be read, or is not the training data of the bundle.
    """
    try:
        found = load_training_data(bundle, preprocessing, training_data)
    except DataError as error:
        if training_data is not None:
            raise
        return FittedBaselines(skip_reason=str(error))
    prepared, splits = found.samples, found.splits
    rows = evenly_spaced(np.union1d(splits.train, splits.val), _MAX_TRAINING_SAMPLES)
    # The baselines compare whole samples, which must have the same shape.
    whole = preprocessing.whole_samples(prepared.dataset)
    reads_again = not preprocessing.has_fixed_size
    if reads_again:
        prepared = load_prepared(prepared.dataset, whole)
    scaled = whole.normalize(prepared.pixels[rows])
    detectors = {}
    for name, build in BASELINES.items():
        if whole.has_pixels or name not in IMAGE_BASELINES:
            detectors[name] = build(bundle.config.seed).fit(scaled)
    digests = frozenset(map(array_digest, prepared.pixels))
    return FittedBaselines(detectors, len(rows), None, whole, reads_again, digests)

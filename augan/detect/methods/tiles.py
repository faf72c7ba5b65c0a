"""Detection methods of large images: discriminator features scored at each location.

The convolutions of the discriminator run over the whole image at its working scale
(`TiledPreprocessing.to_working_scale`). Each location of the feature map is scored in three ways:
the distance to the most similar other location of the same image, the Mahalanobis distance to the
locations of normal images, and the head that was trained to find synthetic defects. Each map is
standardized by its distance from the borders (`augan.detect.scoring.standardizer`), and the score
of the image is the mean over its most anomalous locations.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from augan.data.modalities.images import resize
from augan.data.sequences import RaggedImages
from augan.data.splits import evenly_spaced
from augan.detect.scoring import tensor_ops
from augan.detect.scoring.component import ScoreComponent
from augan.detect.scoring.standardizer import BORDER_WIDTH, BorderNormalizer
from augan.gan import Tensor, keras, tf
from augan.gan.networks.heads import concat_blocks, concat_channels, fully_convolutional

SELF_DISSIMILARITY = ScoreComponent(
    "self_dissimilarity", "a part of the image differs from the rest of the same image"
)
MAHALANOBIS = ScoreComponent("mahalanobis", "a part of the image is far from normal images")
_SYNTHETIC_DEFECTS = ScoreComponent(
    "synthetic_defects", "a part of the image resembles the synthetic defects of training"
)
MAPS = (SELF_DISSIMILARITY, MAHALANOBIS, _SYNTHETIC_DEFECTS)  # in the order of computation

STRIDE = 4  # pixels between two locations of a map
TOP_FRACTION = 0.002  # share of an image's locations, the highest, whose mean is the score
_SHRINKAGE = 0.01  # weight of the mean variance in the variance of each axis
# Training shows far more corrupted locations than real images have; the logit is lowered by this.
PRIOR_LOGIT = 4.0
NUM_BLOCKS = 2  # blocks whose features are compared; deeper blocks localize too coarsely
NUM_AXES = 48  # principal axes in which the locations of one image are compared
_MIN_DISTANCE = 8  # locations nearer than this are always similar and are not compared
MAX_COMPARED = 1500  # locations of an image with which each location is compared
MAX_TRAINING_IMAGES, LOCATIONS_PER_IMAGE = 120, 300  # for mean and covariance
MAX_MAP_IMAGES = 200  # training images for the statistics of `BorderNormalizer`
_STATE = ("scales", "mean", "axes", "variances")


class PatchFeatures:
    """Detection method "features" for large images: all available maps of feature anomalies.

    The maps are self-dissimilarity, Mahalanobis distance and, with a localization head, synthetic
    defects. There is one location for each 4 x 4 pixels.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "discriminator" and optionally "localization_head"; their weights are not changed.

    Attributes
    ----------
    maps_used : tuple of ScoreComponent
        Maps that this class adds up, if the networks for them were trained.
    components : tuple of ScoreComponent
        Maps that this detector adds up; each is one component of the score.
    """

    name = "features"
    maps_used: tuple[ScoreComponent, ...] = MAPS

    def __init__(self, models: Mapping[str, keras.Model]) -> None:
        self._blocks = fully_convolutional(models["discriminator"])
        self._localization = models.get("localization_head")
        available = MAPS if self._localization is not None else MAPS[:-1]
        self.components = tuple(one for one in available if one in self.maps_used)
        self._channels = concat_channels(self._blocks)[:NUM_BLOCKS]
        shape = (1, None, None, self._blocks.input_shape[-1])
        self._extract = tf.function(
            self._features, input_signature=[tf.TensorSpec(shape, tf.float32)]
        )
        self._multiple = 2 ** len(self._blocks.outputs)
        self._borders = BorderNormalizer()
        self._state: dict[str, np.ndarray] = {}
        self._compare: Any = None

    def fit(self, train: RaggedImages, val: RaggedImages) -> Self:
        """Fit the feature covariance and the statistics of the maps on normal images; return self.

        Parameters
        ----------
        train, val : RaggedImages [H, W, C] in [-1, 1]
            Normal images on whose tiles the networks were trained, and images of the validation
            split.
        """
        self._fit_covariance(train)
        some = evenly_spaced(train, MAX_MAP_IMAGES)
        self._borders.fit(values for images in (some, val) for values in self._raw_maps(images))
        return self

    def score_components(self, images: RaggedImages) -> np.ndarray:
        """Return each map's contribution to the score, float64 `[N, T]`; higher = more anomalous.

        A contribution is the mean of the map over the 0.2 % of the locations where the sum of all
        maps is highest.
        """
        scores = [top_fraction_mean(values) for values in self._maps(images)]
        return np.stack(scores).astype(np.float64)

    def reconstruct(self, images: RaggedImages) -> None:
        """Return None: this method computes no reconstructions."""

    def maps(self, images: RaggedImages) -> RaggedImages:
        """Return anomaly maps: the sum of all maps in standard deviations, float32 `[H, W, 1]`."""
        maps = []
        for image, values in zip(images, self._maps(images)):
            total = values.sum(axis=-1, keepdims=True).astype(np.float32)
            height, width = (side * STRIDE for side in total.shape[:2])
            maps.append(resize(total, height, width)[: image.shape[0], : image.shape[1]])
        return RaggedImages(maps)

    def call(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return components `[1, T]` and map of one image `[1, H, W, C]` as tensors, for export.

        See `OnnxExportable`.
        """
        features, *defects = self._features(tensor_ops.pad_symmetric(images, self._multiple))
        shape = tf.shape(features)
        grid = tensor_ops.tensor_comparison_grid(shape[0], shape[1], MAX_COMPARED, _MIN_DISTANCE)
        maps = tf.concat([self._distances(features, *grid), *defects], axis=-1)
        height, width = (tensor_ops.ceil_div(tf.shape(images)[axis], STRIDE) for axis in (1, 2))
        used = tf.gather(maps, [MAPS.index(one) for one in self.components], axis=-1)
        state = self._borders.get_state()
        borders = (state["border_mean"], state["border_spread"], BORDER_WIDTH)
        values = tensor_ops.normalize_borders(used[:height, :width], *borders)
        total = tf.cast(tf.reduce_sum(values, axis=-1, keepdims=True), tf.float32)
        return tensor_ops.tensor_top_fraction_mean(values, TOP_FRACTION)[None], total[None]

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays by name, for the bundle."""
        return {**self._state, **self._borders.get_state()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the fitted arrays that `get_state` returned, and return self."""
        self._set({name: np.asarray(state[name]) for name in _STATE})
        self._borders.set_state(state)
        return self

    def _fit_covariance(self, train: RaggedImages) -> None:
        """Fit mean and covariance of the features at random locations of normal images.

        At most `MAX_TRAINING_IMAGES` images with `LOCATIONS_PER_IMAGE` locations each are used.
        """
        samples = []
        for row, image in enumerate(evenly_spaced(train, MAX_TRAINING_IMAGES)):
            features = self._extract(self._padded(image))[0].numpy()
            features = features.reshape(-1, features.shape[-1])
            rng = np.random.default_rng(row)
            samples.append(features[rng.integers(0, len(features), LOCATIONS_PER_IMAGE)])
        values = np.concatenate(samples).astype(np.float64)
        scales = self._scales(values)
        values *= scales
        variances, axes = np.linalg.eigh(np.cov(values.T))
        order = np.argsort(-variances)
        variances = np.maximum(variances[order], 0)
        variances = (1 - _SHRINKAGE) * variances + _SHRINKAGE * max(variances.mean(), 1e-12)
        axes, mean = axes[:, order], values.mean(axis=0)
        self._set({"scales": scales, "mean": mean, "axes": axes, "variances": variances})

    def _scales(self, values: np.ndarray) -> np.ndarray:
        """Return a factor for each feature, `[F]`, that equalizes the blocks' total variances."""
        blocks = np.split(values.var(axis=0), np.cumsum(self._channels)[:-1])
        totals = [max(float(block.sum()), 1e-12) for block in blocks]
        return np.repeat(1 / np.sqrt(totals), self._channels)

    def _set(self, state: dict[str, np.ndarray]) -> None:
        """Set the fitted arrays, and compile the distances that depend on them."""
        self._state = {name: value.astype(np.float32) for name, value in state.items()}
        self._compare = tf.function(self._distances, reduce_retracing=True)

    def _maps(self, images: RaggedImages) -> Iterator[np.ndarray]:
        """Return an iterator of each image's maps, `[H / 4, W / 4, T]`, in standard deviations."""
        return (self._borders(values) for values in self._raw_maps(images))

    def _raw_maps(self, images: RaggedImages) -> Iterator[np.ndarray]:
        """Yield the maps of each image, `[H / 4, W / 4, T]`, before standardization."""
        for image in images:
            features, *defects = self._extract(self._padded(image))
            maps = [self._compare(features, *comparison_grid(*features.shape[:2])), *defects]
            by_component = dict(zip(MAPS, np.moveaxis(np.concatenate(maps, axis=-1), -1, 0)))
            height, width = (-(-side // STRIDE) for side in image.shape[:2])
            yield np.stack([by_component[one][:height, :width] for one in self.components], axis=-1)

    def _padded(self, image: np.ndarray) -> np.ndarray:
        """Return one image as a batch, padded to sides that every block can halve, `[1, H, W, C]`.

        Pixels are mirrored below and right.
        """
        widths = [(0, -side % self._multiple) for side in image.shape[:2]]
        return np.pad(image, (*widths, (0, 0)), mode="symmetric")[None]

    def _features(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the smoothed features of one image and, with a localization head, defect scores.

        Parameters
        ----------
        image : Tensor [1, H, W, C]
            Sides must be multiples of `_multiple`.

        Returns
        -------
        features : Tensor [H / 4, W / 4, F]
            Means over 3 x 3 locations.
        defects : Tensor [H / 4, W / 4, 1]
            Probabilities of a synthetic defect; only with a localization head.
        """
        features = concat_blocks(self._blocks(image, training=False))
        compared = features[..., : sum(self._channels)]
        smooth = tf.nn.avg_pool2d(compared, 3, 1, "SAME")[0]
        if self._localization is None:
            return (smooth,)
        logits = self._localization(features, training=False)[0]
        return smooth, tf.sigmoid(-logits - PRIOR_LOGIT)

    def _distances(
        self, features: Tensor, others: Tensor, near_rows: Tensor, near_columns: Tensor
    ) -> Tensor:
        """Return each location's distances to similar locations and to the mean, `[h, w, 2]`.

        The first distance is that to the most similar other location of the same image, the second
        the Mahalanobis distance to the locations of normal images.

        Parameters
        ----------
        features : Tensor [h, w, F]
            Features of one image.
        others, near_rows, near_columns
            Result of `comparison_grid` for (h, w).
        """
        shape = tf.shape(features)
        values = tf.reshape(features, (-1, features.shape[-1])) * self._state["scales"]
        coordinates = tf.matmul(values - self._state["mean"], self._state["axes"])
        mahalanobis = tf.sqrt(tf.reduce_sum(coordinates**2 / self._state["variances"], axis=1))
        coordinates = coordinates[:, :NUM_AXES]
        compared = tf.gather(coordinates, others)
        squares = tf.reduce_sum(compared**2, axis=1) - 2 * tf.matmul(
            coordinates, compared, transpose_b=True
        )
        near = tf.reshape(near_rows[:, None] & near_columns, tf.shape(squares))
        nearest = tf.reduce_min(tf.where(near, np.float32(np.inf), squares), axis=1)
        nearest += tf.reduce_sum(coordinates**2, axis=1)
        dissimilarity = tf.sqrt(tf.nn.relu(nearest))
        return tf.reshape(tf.stack([dissimilarity, mahalanobis], axis=1), (shape[0], shape[1], 2))


class PatchAuto(PatchFeatures):
    """Default detection method for large images: self-dissimilarity and synthetic defects.

    These two maps found most synthetic defects of kinds not used in training.
    """

    name = "auto"
    maps_used = (SELF_DISSIMILARITY, _SYNTHETIC_DEFECTS)


def comparison_grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the locations with which each location is compared, and which are too near.

    Parameters
    ----------
    height, width : int
        Number of locations of the feature map, H and W.

    Returns
    -------
    others : ndarray of int32 [M]
        Evenly spaced locations, as flat indices; M is about `MAX_COMPARED` at most.
    near_rows : ndarray of bool [H, M]
    near_columns : ndarray of bool [W, M]
        True if rows or columns are less than `_MIN_DISTANCE` (in small images, less) apart; a
        location is too near if both are.
    """
    step = max(2, math.ceil(math.sqrt(height * width / MAX_COMPARED)))
    grid_rows, grid_columns = np.arange(0, height, step), np.arange(0, width, step)
    rows, columns = (axis.ravel() for axis in np.meshgrid(grid_rows, grid_columns, indexing="ij"))
    # In a small image, even the central location needs locations that are not too near.
    distance = min(_MIN_DISTANCE, (max(grid_rows[-1], grid_columns[-1]) + 1) // 2)
    near = [
        np.abs(np.arange(length)[:, None] - positions) < distance
        for length, positions in ((height, rows), (width, columns))
    ]
    return (rows * width + columns).astype(np.int32), *near


def top_fraction_mean(values: np.ndarray) -> np.ndarray:
    """Return the mean of each map over the locations with the highest sum of all maps, `[T]`.

    `values` are the T maps of one image, `[H, W, T]`; the share of locations is `TOP_FRACTION`, at
    least one location.
    """
    flat = values.reshape(-1, values.shape[-1])
    count = max(1, round(TOP_FRACTION * len(flat)))
    return flat[np.argsort(flat.sum(axis=1))[-count:]].mean(axis=0)

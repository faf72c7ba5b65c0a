"""Scorer of large images: discriminator features scored at each location.

The convolutions of the discriminator run over the whole image at its working scale
(`TiledPreprocessing.to_working_scale`). Each location of the feature map is scored in three ways:
the distance to the most similar other location of the same image, the Mahalanobis distance to the
locations of normal images, and the head that was trained to find synthetic defects. Each map is
standardized by its distance from the borders (`augan.detect.scoring.standardizer`), and the score
of the image is the mean over its most anomalous locations.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from augan.data.sequences import RaggedImages
from augan.data.splits import evenly_spaced
from augan.detect.methods.base import TensorScorer
from augan.detect.scoring.component import ScoreComponent
from augan.detect.scoring.locations import (
    LocationDistances,
    ceil_div,
    pad_symmetric,
    top_fraction_mean,
)
from augan.detect.scoring.standardizer import BorderNormalizer
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

TOP_FRACTION = 0.002  # share of an image's locations, the highest, whose mean is the score
# Training shows far more corrupted locations than real images have; the logit is lowered by this.
PRIOR_LOGIT = 4.0
NUM_BLOCKS = 2  # blocks whose features are compared; deeper blocks localize too coarsely
MAX_TRAINING_IMAGES, LOCATIONS_PER_IMAGE = 120, 300  # for mean and covariance
MAX_MAP_IMAGES = 200  # training images for the statistics of `BorderNormalizer`


class PatchFeatures(TensorScorer):
    """Scorer of large images by all available maps of feature anomalies.

    The maps are self-dissimilarity, Mahalanobis distance and, with a localization head, synthetic
    defects. There is one location for each 4 x 4 pixels. A component of the score is the mean of
    its map over the 0.2 % of the locations where the sum of all maps is highest; the anomaly map is
    that sum, in standard deviations.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "discriminator" and optionally "localization_head"; their weights are not changed.

    Attributes
    ----------
    unused_maps : tuple of ScoreComponent
        Maps that a subclass leaves out.
    components : tuple of ScoreComponent
        Maps that this detector adds up; each is one component of the score.
    """

    unused_maps: tuple[ScoreComponent, ...] = ()
    map_stride = 4
    takes_large_images = True

    def __init__(self, models: Mapping[str, keras.Model]) -> None:
        super().__init__(models)
        self._blocks = fully_convolutional(models["discriminator"])
        self._localization = models.get("localization_head")
        available = MAPS if self._localization is not None else MAPS[:-1]
        self.components = tuple(one for one in available if one not in self.unused_maps)
        self._channels = concat_channels(self._blocks)[:NUM_BLOCKS]
        self._multiple = 2 ** len(self._blocks.outputs)
        self._distances, self._borders = LocationDistances(self._channels), BorderNormalizer()
        self.parts = {"distances": self._distances, "borders": self._borders}

    def _fit(self, train: RaggedImages, val: RaggedImages) -> None:
        """Fit the feature covariance and the statistics of the maps on normal images.

        At most `MAX_TRAINING_IMAGES` images with `LOCATIONS_PER_IMAGE` random locations each
        give the covariance, at most `MAX_MAP_IMAGES` images and `val` the statistics.
        """
        shape = (1, None, None, self.sample_shape[-1])
        extract = tf.function(
            self._features, input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False
        )
        locations = []
        for row, image in enumerate(evenly_spaced(train, MAX_TRAINING_IMAGES)):
            features = extract(image[None])[0].numpy()
            features = features.reshape(-1, features.shape[-1])
            rng = np.random.default_rng(row)
            locations.append(features[rng.integers(0, len(features), LOCATIONS_PER_IMAGE)])
        self._distances.fit(np.concatenate(locations))
        some = evenly_spaced(train, MAX_MAP_IMAGES)
        self._borders.fit(self._raw_maps(extract, (*some, *val)))

    def call(self, samples: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return components `[1, T]` and map `[1, H / 4, W / 4, 1]` of an image `[1, H, W, C]`."""
        maps = self._maps(*self._features(samples))
        height, width = (ceil_div(tf.shape(samples)[axis], self.map_stride) for axis in (1, 2))
        values = self._borders(maps[:height, :width])
        total = tf.cast(tf.reduce_sum(values, axis=-1, keepdims=True), tf.float32)
        return top_fraction_mean(values, TOP_FRACTION)[None], total[None]

    def _raw_maps(self, extract: Any, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the maps of each image, `[H / 4, W / 4, T]`, before standardization.

        `extract` is the compiled `_features`.
        """
        compute = tf.function(self._maps, reduce_retracing=True, autograph=False)
        for image in images:
            height, width = (-(-side // self.map_stride) for side in image.shape[:2])
            yield compute(*extract(image[None])).numpy()[:height, :width]

    def _features(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the smoothed features of one image and, with a localization head, defect scores.

        The image is padded to sides that every block can halve, by mirrored pixels.

        Parameters
        ----------
        image : Tensor [1, H, W, C]

        Returns
        -------
        features : Tensor [H / 4, W / 4, F]
            Means over 3 x 3 locations.
        defects : Tensor [H / 4, W / 4, 1]
            Probabilities of a synthetic defect; only with a localization head.
        """
        padded = pad_symmetric(image, self._multiple)
        features = concat_blocks(self._blocks(padded, training=False))
        compared = features[..., : sum(self._channels)]
        smooth = tf.nn.avg_pool2d(compared, 3, 1, "SAME")[0]
        if self._localization is None:
            return (smooth,)
        logits = self._localization(features, training=False)[0]
        return smooth, tf.sigmoid(-logits - PRIOR_LOGIT)

    def _maps(self, features: Tensor, *defects: Tensor) -> Tensor:
        """Return the maps of one image, `[h, w, T]`, from the outputs of `_features`."""
        maps = tf.concat([self._distances(features), *defects], axis=-1)
        return tf.gather(maps, [MAPS.index(one) for one in self.components], axis=-1)

"""The discriminator as judge of large images: each place by itself, at the images' own scale.

Its convolutions run over the whole image, and each place of the map is looked at in three ways: is
there another place in the same image that looks like it, does it lie far from the places of normal
images (Mahalanobis distance), and does the head that learned to find painted defects see one. Each
map is compared with what is usual that far from the borders (`augan.detect.scoring.standardizer`),
and the few highest places make the score of the image.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from augan.data.modalities.images import resize
from augan.data.sequences import RaggedImages
from augan.data.splits import evenly_spaced
from augan.detect.scoring import tensor_ops
from augan.detect.scoring.standardizer import NEAR, BorderNormalizer
from augan.gan import keras, tf
from augan.gan.networks.heads import concat_blocks, concat_channels, fully_convolutional

Tensor = Any

MAPS = ("own_neighbours", "mahalanobis", "painted_defects")
STRIDE = 4  # pixels from one place of a map to the next
TOP = 0.002  # share of an image's places, the highest, whose mean is its score
SHRINKAGE = 0.01  # of the mean variance, added to each component's
PRIOR = 4.0  # training shows far more spoilt places than there will be; so much less likely is one
COMPARED = 2  # joined blocks in which places are compared; deeper ones know too little of where
CODE = 48  # principal components by which places of one image are compared
APART = 8  # places; what lies nearer to a place always looks like it
MOST_OTHERS = 1500  # places of an image that each place is compared with
PICTURES, PLACES = 120, 300  # normal images, and places of each, that covariance is learned from
_STATE = ("scales", "mean", "axes", "variances")
MAPPED = 200  # normal images of training whose maps say what is usual


class PatchFeatures:
    """Scores large images by what the discriminator sees at each place.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "discriminator" and perhaps "places"; they are read, never changed.
    """

    name = "features"
    input_types: tuple[str, ...] = ("tiles",)
    required_networks: tuple[str, ...] = ("discriminator",)
    optional_networks: tuple[str, ...] = ("places",)
    is_iterative: bool = False
    maps_used: tuple[str, ...] = ("own_neighbours", "mahalanobis", "painted_defects")

    def __init__(self, models: Mapping[str, keras.Model]) -> None:
        self._blocks, self._places = (
            fully_convolutional(models["discriminator"]),
            models.get("places"),
        )
        known = MAPS if self._places is not None else MAPS[:-1]
        self.components = tuple(term for term in known if term in self.maps_used)
        self._sizes = concat_channels(self._blocks)[:COMPARED]
        shape = (1, None, None, self._blocks.input_shape[-1])
        self._see = tf.function(self._seen, input_signature=[tf.TensorSpec(shape, tf.float32)])
        self._multiple = 2 ** len(self._blocks.outputs)
        self._borders = BorderNormalizer()
        self._state: dict[str, np.ndarray] = {}
        self._weigh: Any = None

    def fit(self, reference: RaggedImages, val: RaggedImages) -> Self:
        """Learn what normal images look like, and how much each term varies on others.

        Parameters
        ----------
        reference, tune : RaggedImages [H, W, C] in [-1, 1]
            Normal images whose windows the networks were trained on, and others.
        """
        self._learn(reference)
        known = evenly_spaced(reference, MAPPED)
        self._borders.fit(heat for part in (known, val) for heat in self._raw(part))
        return self

    def score_components(self, images: RaggedImages) -> np.ndarray:
        """Return each map's part of the score, float64 `[N, T]`, higher = more anomalous.

        It is the map's mean over the places where all maps together are highest.
        """
        return np.stack([top_fraction_mean(heat) for heat in self._maps(images)]).astype(np.float64)

    def reconstruct(self, images: RaggedImages) -> None:
        """Return None: this method compares and draws nothing."""

    def maps(self, images: RaggedImages) -> RaggedImages:
        """Return the sum of all maps for each image, float32 `[H, W, 1]`, in deviations."""
        maps = []
        for image, heat in zip(images, self._maps(images)):
            total = heat.sum(axis=-1, keepdims=True).astype(np.float32)
            height, width = (side * STRIDE for side in total.shape[:2])
            maps.append(resize(total, height, width)[: image.shape[0], : image.shape[1]])
        return RaggedImages(maps)

    def call(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return terms and map of one image `[1, H, W, C]`; see `OnnxExportable`."""
        features, *painted = self._seen(tensor_ops.mirrored(images, self._multiple))
        shape = tf.shape(features)
        places = tensor_ops.others(shape[0], shape[1], MOST_OTHERS, APART)
        maps = tf.concat([self._weighed(features, *places), *painted], axis=-1)
        height, width = (tensor_ops.shares(tf.shape(images)[axis], STRIDE) for axis in (1, 2))
        own = tf.gather(maps, [MAPS.index(term) for term in self.components], axis=-1)
        state = self._borders.get_state()
        borders = (state["border_mean"], state["border_spread"], NEAR)
        heat = tensor_ops.by_borders(own[:height, :width], *borders)
        total = tf.cast(tf.reduce_sum(heat, axis=-1, keepdims=True), tf.float32)
        return tensor_ops.top_fraction_mean(heat, TOP)[None], total[None]

    def get_state(self) -> dict[str, np.ndarray]:
        """Return what `fit` learned, for the bundle."""
        return {**self._state, **self._borders.get_state()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Take back what `get_state` returned."""
        self._set({name: np.asarray(state[name]) for name in _STATE})
        self._borders.set_state(state)
        return self

    def _learn(self, reference: RaggedImages) -> None:
        """Find mean and covariance of what is seen at places of normal images."""
        some = evenly_spaced(reference, PICTURES)
        seen = []
        for row, image in enumerate(some):
            features = self._see(self._padded(image))[0].numpy()
            features = features.reshape(-1, features.shape[-1])
            rng = np.random.default_rng(row)
            seen.append(features[rng.integers(0, len(features), PLACES)])
        values = np.concatenate(seen).astype(np.float64)
        scales = self._scales(values)
        values *= scales
        variances, axes = np.linalg.eigh(np.cov(values.T))
        order = np.argsort(-variances)
        variances = np.maximum(variances[order], 0)
        variances = (1 - SHRINKAGE) * variances + SHRINKAGE * max(variances.mean(), 1e-12)
        axes, mean = axes[:, order], values.mean(axis=0)
        self._set({"scales": scales, "mean": mean, "axes": axes, "variances": variances})

    def _scales(self, values: np.ndarray) -> np.ndarray:
        """One factor for each feature, by which both blocks have the same total variance."""
        parts = np.split(values.var(axis=0), np.cumsum(self._sizes)[:-1])
        totals = [max(float(part.sum()), 1e-12) for part in parts]
        return np.repeat(1 / np.sqrt(totals), self._sizes)

    def _set(self, state: dict[str, np.ndarray]) -> None:
        self._state = {name: value.astype(np.float32) for name, value in state.items()}
        self._weigh = tf.function(self._weighed, reduce_retracing=True)

    def _maps(self, images: RaggedImages) -> Iterator[np.ndarray]:
        return (self._borders(heat) for heat in self._raw(images))

    def _raw(self, images: RaggedImages) -> Iterator[np.ndarray]:
        """Yield the maps of each image, `[H / 4, W / 4, T]`, in units of their own."""
        for image in images:
            features, *painted = self._see(self._padded(image))
            maps = [self._weigh(features, *comparison_grid(*features.shape[:2])), *painted]
            every = dict(zip(MAPS, np.moveaxis(np.concatenate(maps, axis=-1), -1, 0)))
            height, width = (-(-side // STRIDE) for side in image.shape[:2])
            yield np.stack([every[term][:height, :width] for term in self.components], axis=-1)

    def _padded(self, image: np.ndarray) -> np.ndarray:
        """Return one image as a batch whose sides all blocks can halve."""
        around = [(0, -side % self._multiple) for side in image.shape[:2]]
        return np.pad(image, (*around, (0, 0)), mode="symmetric")[None]

    def _seen(self, image: Tensor) -> tuple[Tensor, ...]:
        """Features `[H / 4, W / 4, F]`, averaged over 3 x 3 places, and painted defects."""
        features = concat_blocks(self._blocks(image, training=False))
        compared = features[..., : sum(self._sizes)]
        smooth = tf.nn.avg_pool2d(compared, 3, 1, "SAME")[0]
        if self._places is None:
            return (smooth,)
        return smooth, tf.sigmoid(-self._places(features, training=False)[0] - PRIOR)

    def _weighed(
        self, features: Tensor, others: Tensor, near_down: Tensor, near_across: Tensor
    ) -> Tensor:
        """Distance to the most alike other place, and to the mean: `[H / 4, W / 4, 2]`."""
        shape = tf.shape(features)
        values = tf.reshape(features, (-1, features.shape[-1])) * self._state["scales"]
        codes = tf.matmul(values - self._state["mean"], self._state["axes"])
        far = tf.sqrt(tf.reduce_sum(codes**2 / self._state["variances"], axis=1))
        codes = codes[:, :CODE]
        found = tf.gather(codes, others)
        squares = tf.reduce_sum(found**2, axis=1) - 2 * tf.matmul(codes, found, transpose_b=True)
        near = tf.reshape(near_down[:, None] & near_across, tf.shape(squares))
        least = tf.reduce_min(tf.where(near, np.float32(np.inf), squares), axis=1)
        least += tf.reduce_sum(codes**2, axis=1)
        alone = tf.sqrt(tf.nn.relu(least))
        return tf.reshape(tf.stack([alone, far], axis=1), (shape[0], shape[1], 2))


class PatchAuto(PatchFeatures):
    """The two looks that found most painted defects of kinds that training had not shown."""

    name = "auto"
    maps_used = ("own_neighbours", "painted_defects")


def comparison_grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return places that each place of an image is compared with, and which are too near to it.

    Returns
    -------
    others : ndarray [M] of int
        Evenly spaced places, in rows.
    near_down : ndarray [H, M] of bool
    near_across : ndarray [W, M] of bool
        Where rows and columns are less than `APART` places apart; both: too near.
    """
    step = max(2, math.ceil(math.sqrt(height * width / MOST_OTHERS)))
    rows, columns = np.arange(0, height, step), np.arange(0, width, step)
    down, across = (part.ravel() for part in np.meshgrid(rows, columns, indexing="ij"))
    # In a small image even the place in the middle must have some that are not too near.
    apart = min(APART, (max(rows[-1], columns[-1]) + 1) // 2)
    near = [
        np.abs(np.arange(length)[:, None] - places) < apart
        for length, places in ((height, down), (width, across))
    ]
    return (down * width + across).astype(np.int32), *near


def top_fraction_mean(heat: np.ndarray) -> np.ndarray:
    """Return the means of maps `[H, W, T]` over the places where their sum is highest, `[T]`."""
    values = heat.reshape(-1, heat.shape[-1])
    count = max(1, round(TOP * len(values)))
    return values[np.argsort(values.sum(axis=1))[-count:]].mean(axis=0)

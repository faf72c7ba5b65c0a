"""Translator of images in memory, and its training on arrays."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from augan.config import Config, validate_config
from augan.data.dataset import from_arrays
from augan.data.modalities.images import ImagePreprocessing
from augan.exceptions import ConfigError, DataError
from augan.gan import keras
from augan.gan.inference import BatchInference
from augan.gan.translation import translation_noise
from augan.seeding import child_rng
from augan.training.budget import TrainingBudget
from augan.training.defaults import TRANSLATION_BATCH_SIZE, TRANSLATION_STEPS, native_dtype
from augan.training.trainer import TrainingData, train_stages

Direction = Literal["old-to-new", "new-to-old"]
_CHUNK_SIZE = 512  # images that are float32 at once


class Translator:
    """Trained translators between the looks of two cameras.

    Parameters
    ----------
    translator : keras.Model
        Normalized images of the old camera and noise -> normalized images of the new camera.
    back_translator : keras.Model or None
        Normalized images of the new camera -> images of the old camera; None: the translation back
        is refused.
    old, new : ImagePreprocessing
        Preprocessing of the images of each camera.
    """

    def __init__(
        self,
        translator: keras.Model,
        back_translator: keras.Model | None,
        *,
        old: ImagePreprocessing,
        new: ImagePreprocessing,
    ) -> None:
        self.old, self.new = old, new
        self._networks = {"old-to-new": translator, "new-to-old": back_translator}
        self._compiled: dict[str, BatchInference] = {}

    @classmethod
    def from_networks(
        cls,
        models: Mapping[str, keras.Model],
        *,
        old: ImagePreprocessing,
        new: ImagePreprocessing,
    ) -> "Translator":
        """Return the translator of trained networks by name, such as `TrainedNetworks.models`."""
        return cls(models["translator"], models.get("back_translator"), old=old, new=new)

    def translate(
        self, images: np.ndarray, *, direction: Direction = "old-to-new", seed: int = 0
    ) -> np.ndarray:
        """Translate images to the look of the other camera.

        The noise of an image is a function of `seed` and of the index of the image. Another seed
        gives another translation.

        Parameters
        ----------
        images : ndarray [N, S, S, C]
            Images of the size of the training images.
        direction : {"old-to-new", "new-to-old"}
            From the old to the new camera (default), or back. The translation back has no noise.
        seed : int
            Seed of the noise.

        Returns
        -------
        ndarray [N, S, S, C]
            Images in the pixel type, the range and the channels of the other camera.

        Raises
        ------
        DataError
            The images have another size or type, or no translation back was trained.
        """
        infer = self._inference(direction)
        before, after = (self.old, self.new)[:: 1 if direction == "old-to-new" else -1]
        translated = np.empty((len(images), *after.sample_shape), after.prepared_dtype)
        for start in range(0, len(images), _CHUNK_SIZE):
            rows = range(start, min(start + _CHUNK_SIZE, len(images)))
            inputs = [before.normalize(before.prepare_all(images[rows.start : rows.stop]))]
            if direction == "old-to-new":
                inputs.append(self._noise(rows, seed))
            (outputs,) = infer(*inputs)
            translated[rows.start : rows.stop] = after.denormalize(outputs)
        return translated

    def _noise(self, rows: range, seed: int) -> np.ndarray:
        """Return the noise of some images, float32 `[N, S, S, 4]`."""
        size = self.old.side
        rngs = (child_rng(seed, "translate", index) for index in rows)
        return np.concatenate([translation_noise(rng, 1, size, size) for rng in rngs])

    def _inference(self, direction: str) -> BatchInference:
        """Return the compiled network of a direction."""
        network = self._networks.get(direction)
        if network is None:
            raise DataError(
                f"the translator has no direction {direction!r}: expected 'old-to-new', or "
                "'new-to-old' of a translator that was trained with a cycle; train with "
                "translation.cycle=one-sided"
            )
        if direction not in self._compiled:
            self._compiled[direction] = _fixed_size_inference(network, self.old.side)
        return self._compiled[direction]


def _fixed_size_inference(network: keras.Model, size: int) -> BatchInference:
    """Return the compiled inference of a translator for squares of `size` pixels a side."""
    has_noise = len(network.inputs) > 1

    def call(*inputs: Any) -> Any:
        return network(list(inputs) if has_noise else inputs[0], training=False)

    return BatchInference(call, *((size, size, value.shape[-1]) for value in network.inputs))


def train_translator(
    old_images: np.ndarray,
    old_classes: np.ndarray | None,
    new_images: np.ndarray,
    new_classes: np.ndarray | None,
    num_classes: int,
    *,
    config: Config | None = None,
    seed: int = 0,
) -> Translator:
    """Train a translator from the old to the new camera on arrays in memory.

    Parameters
    ----------
    old_images, new_images : ndarray [N, S, S, C]
        Images of each camera, with the same size; C is 1 or 3 and may differ.
    old_classes, new_classes : ndarray [N] of int, or None
        Class indices below `num_classes`, which mean the same on both cameras; -1 for an unlabeled
        image. None: no image is labeled. Images of a class that only one camera labels are not
        used, unless there are unlabeled images; see
        `augan.training.stages.translation.joint_batches`.
    num_classes : int
        0 without labels.
    config : Config or None
        Settings; `translation` and `training` are used. None: the defaults, with 1,500 updates of
        32 images of each camera, in bfloat16 where the machine multiplies it.
    seed : int
        Seed of the training, which replaces that of `config`.

    Returns
    -------
    Translator
        Equal arguments give equal weights on one machine.

    Raises
    ------
    ConfigError
        The images have different sizes, or a setting is not possible.
    DataError
        The images cannot be used.
    """
    config = Config() if config is None else validate_config(config)
    config = config.replace(
        seed=seed,
        training__batch_size=config.training.batch_size or TRANSLATION_BATCH_SIZE,
        training__dtype=config.training.dtype or native_dtype(),
    )
    new = _camera(new_images, new_classes, num_classes)
    data = replace(_camera(old_images, old_classes, num_classes), new=new)
    sides = [camera.samples.shape[1] for camera in (data, new)]
    if sides[0] != sides[1]:
        raise ConfigError(
            f"the images of both cameras must have one size, got {sides[0]} pixels (old) and "
            f"{sides[1]} pixels (new); resize one of them"
        )
    budget = TrainingBudget(config.training.steps or TRANSLATION_STEPS)
    stages = ["classifier"] * bool(config.translation.class_weight and num_classes)
    networks = train_stages(config, data, [*stages, "translation"], budget)
    of_old, of_new = (camera.preprocessing.require_images() for camera in (data, new))
    return Translator.from_networks(networks.models, old=of_old, new=of_new)


def _camera(images: np.ndarray, classes: np.ndarray | None, num_classes: int) -> TrainingData:
    """Return the images of one camera as training data; all labeled images are trained on."""
    preprocessing = ImagePreprocessing.fit(from_arrays(images), max(images.shape[1:3]))
    samples = preprocessing.prepare_all(images)
    labels = np.full(len(images), -1) if classes is None else np.asarray(classes, np.int64)
    return TrainingData(
        samples,
        labels,
        num_classes,
        preprocessing,
        train=np.flatnonzero(labels >= 0),
        unlabeled=np.flatnonzero(labels < 0),
    )

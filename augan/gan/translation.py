"""Translation of images to the look of a new camera: noise, networks and training step.

The translator learns from unpaired images (Zhu et al. 2017, CycleGAN). Its discriminator sees the
class of an image where both cameras have labels, so that a translation cannot change the class when
the cameras have other shares of the classes (Cohen et al. 2018, "Distribution Matching Losses Can
Hallucinate Features in Medical Image Translation").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from augan.choices import LOSSES
from augan.config import TranslationSection
from augan.exceptions import ConfigError
from augan.gan import distribution
from augan.gan.contrastive import PatchContrast, image_and_features
from augan.gan.tensorflow import Tensor
from augan.seeding import child_seed

# Sides in pixels of the blocks in which a channel of the noise is constant.
NOISE_BLOCKS = (16, 4, 1, 1)
NOISE_CHANNELS = len(NOISE_BLOCKS)
_NUM_NOISES = 3  # calls of the translator in a step with noise of their own


def translation_noise(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    """Return random noise for the translator, float32 `[count, height, width, 4]`.

    The values are standard normal. A channel is constant in blocks of 16, 4, 1 and 1 pixels a side.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the random numbers.
    count, height, width : int
        Number of images, and their size in pixels.
    """
    channels = []
    for block in NOISE_BLOCKS:
        shape = (count, -(-height // block), -(-width // block))
        values = rng.standard_normal(shape, np.float32)
        values = values.repeat(block, axis=1).repeat(block, axis=2)
        channels.append(values[:, :height, :width])
    return np.stack(channels, axis=-1)


def graph_noise(count: Any, height: int, width: int, seed: Tensor) -> Tensor:
    """Return the noise of `translation_noise` for this replica's rows, in a training step.

    `seed` is an int32 tensor `[2]`; channel i uses `seed + [i, 0]`.
    """
    channels = []
    for i, block in enumerate(NOISE_BLOCKS):
        shape = (count, -(-height // block), -(-width // block), 1)
        values = distribution.normal(shape, seed + tf.constant([i, 0]))
        if block > 1:
            values = tf.repeat(tf.repeat(values, block, axis=1), block, axis=2)
        channels.append(values[:, :height, :width])
    return tf.concat(channels, axis=-1)


@dataclass(frozen=True)
class TranslationNetworks:
    """Networks of a translation.

    Attributes
    ----------
    translator : keras.Model
        Images of the old camera and noise -> images of the new camera.
    patch_discriminator : keras.Model
        Images of the new camera (and classes) -> logits.
    back_translator : keras.Model or None
        Images of the new camera -> images of the old camera; None without a cycle.
    old_patch_discriminator : keras.Model or None
        Images of the old camera (and classes) -> logits; None unless the cycle is two-sided.
    """

    translator: keras.Model
    patch_discriminator: keras.Model
    back_translator: keras.Model | None = None
    old_patch_discriminator: keras.Model | None = None

    @property
    def translators(self) -> list[keras.Model]:
        """The translators of both directions, as far as they exist."""
        return [m for m in (self.translator, self.back_translator) if m is not None]

    @property
    def discriminators(self) -> list[keras.Model]:
        """The discriminators of both cameras, as far as they exist."""
        models = (self.patch_discriminator, self.old_patch_discriminator)
        return [m for m in models if m is not None]


class ImageHistory:
    """Earlier translations that a discriminator sees again (Shrivastava et al. 2017).

    "Learning from Simulated and Unsupervised Images through Adversarial Training": half of the
    images of a batch are exchanged with earlier ones, so that the discriminator does not forget
    what the translator did before.

    Parameters
    ----------
    size : int
        Number of images that are kept.
    image_shape : tuple of int
        `(H, W, C)`.
    num_classes : int
        Number of classes; may be 0.
    """

    def __init__(self, size: int, image_shape: tuple[int, ...], num_classes: int) -> None:
        self.size = size
        self.images = tf.Variable(tf.zeros((size, *image_shape)), trainable=False)
        self.classes = tf.Variable(tf.zeros((size, num_classes)), trainable=False)

    @property
    def state(self) -> list[Any]:
        """The kept images and their classes."""
        return [self.images, self.classes]

    def exchange(
        self, images: Tensor, classes: Tensor, step: Tensor, seed: int
    ) -> tuple[Tensor, Tensor]:
        """Return a batch of images and classes, half of them earlier ones once enough are kept.

        Parameters
        ----------
        images, classes : Tensor [N, ...]
            Images of this step and their classes.
        step : Tensor
            Number of the step from 0, int32. The first steps fill the history.
        seed : int
            Seed of the choice, together with the step.
        """
        count = images.shape[0]
        half = max(1, min(count // 2, self.size))
        rows = tf.argsort(tf.random.stateless_uniform((count,), tf.stack([seed, step])))
        filling = (step * half + tf.range(half)) % self.size
        chosen = tf.argsort(tf.random.stateless_uniform((self.size,), tf.stack([seed + 1, step])))
        is_full = step * half >= self.size
        places = tf.where(is_full, chosen[:half], filling)
        mixed = []
        for kept, current in ((self.images, images), (self.classes, classes)):
            current = tf.gather(current, rows)
            earlier = tf.gather(kept, places)
            kept.scatter_nd_update(places[:, None], current[:half])
            mixed.append(tf.concat([tf.where(is_full, earlier, current[:half]), current[half:]], 0))
        return mixed[0], mixed[1]


class TranslationModel:
    """Training step of the translators and their discriminators.

    The adversarial loss is the hinge loss on patches. The other losses have weights in the
    settings:

    - cycle: mean absolute difference of an image and its translation back;
    - identity: mean absolute difference of an image of the new camera and its translation as if
      the image were of the old camera, and the reverse (Zhu et al. 2017, section 5.2);
    - class: cross-entropy of a frozen classifier of the old camera on translated images of the old
      camera, which is Hoffman et al.'s semantic consistency (2018, CyCADA) after the translation
      back, where the classifier is reliable;
    - contrastive: see `augan.gan.contrastive`.

    Parameters
    ----------
    networks : TranslationNetworks
        Networks to train.
    averages : sequence of keras.Model
        One network for each of `networks.translators`. They hold the moving averages of the
        weights, which translate images after the training.
    settings : TranslationSection
        Settings `translation` of the configuration.
    size : int
        Side of the training images in pixels.
    steps : int or None
        Steps after which the learning rate of the translators reaches 0, as a cosine; None: it is
        constant.
    seed : int
        Seed of the noise. All random numbers are functions of the seed and the step.
    classifier : keras.Model or None
        Images of the old camera -> logits of their classes, for the class loss.

    Raises
    ------
    ConfigError
        The settings have the class loss without a classifier or without a translation back, or the
        history with several workers.
    """

    def __init__(
        self,
        networks: TranslationNetworks,
        averages: Sequence[keras.Model],
        settings: TranslationSection,
        *,
        size: int,
        steps: int | None,
        seed: int,
        classifier: keras.Model | None = None,
    ) -> None:
        _check_settings(settings, networks, classifier)
        self.networks, self.averages, self.settings = networks, averages, settings
        self.classifier: Any = classifier
        self.adversarial_loss = LOSSES.load("hinge")
        self.seed = child_seed(seed, "translation") // 2
        self._weights = {"cycle": settings.cycle_weight if networks.back_translator else 0.0}
        self._weights |= {
            "identity": settings.identity_weight,
            "class": settings.class_weight,
            "contrastive": settings.contrastive_weight,
        }
        self.metric_names: tuple[str, ...] = (
            "discriminator_loss",
            "translator_loss",
            *(f"{name}_loss" for name, weight in self._weights.items() if weight),
        )
        self._translator_variables = [
            v for network in networks.translators for v in network.trainable_variables
        ]
        self._discriminator_variables = [
            v for network in networks.discriminators for v in network.trainable_variables
        ]
        self._image_and_features: Any = None
        self._contrast: PatchContrast | None = None
        if settings.contrastive_weight:
            self._image_and_features = image_and_features(networks.translator)
            channels = [x.shape[-1] for x in self._image_and_features.outputs[1:]]
            self._contrast = PatchContrast(channels, child_seed(seed, "contrastive"))
            self._translator_variables += self._contrast.variables
        self._histories = [
            ImageHistory(
                settings.history,
                (size, size, network.inputs[0].shape[-1]),
                network.inputs[1].shape[-1] if len(network.inputs) > 1 else 0,
            )
            for network in networks.discriminators
            if settings.history
        ]
        rate: Any = settings.learning_rate
        if steps is not None:
            rate = keras.optimizers.schedules.CosineDecay(rate, steps)
        self.optimizer = keras.optimizers.Adam(rate, *settings.betas)
        self.optimizer.build(self._translator_variables)
        self.discriminator_optimizer = keras.optimizers.Adam(
            settings.discriminator_learning_rate, *settings.betas
        )
        self.discriminator_optimizer.build(self._discriminator_variables)
        for average, network in zip(averages, networks.translators):
            average.set_weights(network.get_weights())

    @property
    def state(self) -> list[Any]:
        """All variables that the next training step depends on, in a fixed order."""
        networks = (*self.networks.translators, *self.networks.discriminators, *self.averages)
        owners = (*networks, self.optimizer, self.discriminator_optimizer)
        return [
            *(variable for owner in owners for variable in owner.variables),
            *(self._contrast.variables if self._contrast else ()),
            *(variable for history in self._histories for variable in history.state),
        ]

    @distribution.per_replica
    def train_step(self, data: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Update discriminators and translators on one batch of each camera.

        Parameters
        ----------
        data : (old, old_classes, new, new_classes)
            Images `[N, H, W, C]` in [-1, 1] of each camera; classes `[N, K]`, one-hot, or all 0 for
            an image that the unconditional part of the discriminator sees.

        Returns
        -------
        dict of scalar tensors
            The losses of `metric_names`; `translator_loss` is the adversarial loss.
        """
        old, old_classes, new, new_classes = (distribution.local_rows(values) for values in data)
        networks = self.networks
        with tf.GradientTape() as tape:
            to_new, old_features = self._translate(old, 0)
            pairs = [(new, new_classes, to_new, old_classes)]
            to_old = None
            if networks.old_patch_discriminator is not None and networks.back_translator:
                to_old = networks.back_translator(new, training=True)
                pairs.append((old, old_classes, to_old, new_classes))
        discriminator_loss = self._update_discriminators(pairs)
        with tape:
            adversarial = tf.add_n(
                [
                    tf.reduce_mean(
                        self.adversarial_loss.generator(_logits(network, fake, fake_classes))
                    )
                    for network, (_, _, fake, fake_classes) in zip(networks.discriminators, pairs)
                ]
            )
            local = (old, old_classes, new, new_classes)
            losses = self._consistency_losses(data=local, to_new=to_new, to_old=to_old)
            if self._contrast is not None:
                as_old = _with_channels(to_new, old.shape[-1])
                _, features = self._translate(as_old, 0)
                seed = self._seed(_NUM_NOISES * NOISE_CHANNELS)
                losses["contrastive"] = self._contrast.loss(features, old_features, seed)
            total = adversarial + sum(self._weights[name] * loss for name, loss in losses.items())
            total = distribution.local_loss(total)
        variables = self._translator_variables
        self.optimizer.apply(tape.gradient(total, variables), variables)
        self._update_averages()
        losses = {"discriminator": discriminator_loss, "translator": adversarial, **losses}
        return {f"{name}_loss": losses[name] for name in losses}

    def _consistency_losses(
        self, *, data: tuple[Tensor, ...], to_new: Tensor, to_old: Tensor | None
    ) -> dict[str, Tensor]:
        """Return the losses of cycle, identity and class that have a weight, as scalars.

        `data` are this replica's rows of the batch.
        """
        old, old_classes, new, new_classes = data
        back_translator, losses = self.networks.back_translator, {}
        restored = None if back_translator is None else back_translator(to_new, training=True)
        if self._weights["cycle"]:
            losses["cycle"] = tf.reduce_mean(tf.abs(restored - old))
            if to_old is not None:
                losses["cycle"] += tf.reduce_mean(tf.abs(self._translate(to_old, 1)[0] - new))
        if self._weights["identity"]:
            same, _ = self._translate(_with_channels(new, old.shape[-1]), 2)
            losses["identity"] = tf.reduce_mean(tf.abs(same - new))
            if back_translator is not None:
                same = back_translator(_with_channels(old, new.shape[-1]), training=True)
                losses["identity"] += tf.reduce_mean(tf.abs(same - old))
        if self._weights["class"]:
            pairs = [(restored, old_classes)]
            if to_old is not None:
                pairs.append((to_old, new_classes))
            losses["class"] = tf.add_n([self._class_loss(*pair) for pair in pairs])
        return losses

    def _class_loss(self, images: Tensor, classes: Tensor) -> Tensor:
        """Return the classifier's mean cross-entropy on images; those without a class cost 0."""
        logits = self.classifier(images, training=False)
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(classes, logits))

    def _seed(self, offset: int) -> Tensor:
        """Return the stateless seed, int32 `[2]`, of one purpose in this step."""
        step = tf.cast(self.optimizer.iterations, tf.int32)
        return tf.stack([self.seed + offset, step])

    def _translate(self, images: Tensor, use: int) -> tuple[Tensor, list[Tensor]]:
        """Translate images of the old camera; return the images, and features for the contrast.

        `use` separates the noise of calls in one step.
        """
        height, width = images.shape[1:3]
        seed = self._seed(use * NOISE_CHANNELS)
        inputs = [images, graph_noise(images.shape[0], height, width, seed)]
        if self._image_and_features is None:
            return self.networks.translator(inputs, training=True), []
        translated, *features = self._image_and_features(inputs, training=True)
        return translated, features

    def _update_discriminators(self, pairs: list[tuple[Tensor, ...]]) -> Tensor:
        """Update all discriminators once and return the sum of their losses, a scalar.

        `pairs` are, for each discriminator, real images and their classes, and translated images
        and their classes.
        """
        batches = []
        for i, (real, real_classes, fake, fake_classes) in enumerate(pairs):
            fake = tf.stop_gradient(fake)
            if self._histories:
                step = tf.cast(self.optimizer.iterations, tf.int32)
                seed = self.seed + (_NUM_NOISES + 1 + i) * NOISE_CHANNELS
                fake, fake_classes = self._histories[i].exchange(fake, fake_classes, step, seed)
            images = tf.concat([real, fake], axis=0)
            batches.append((images, tf.concat([real_classes, fake_classes], axis=0)))
        with tf.GradientTape() as tape:
            losses = []
            for network, batch in zip(self.networks.discriminators, batches):
                logits = tf.split(_logits(network, *batch), 2)
                losses.append(self.adversarial_loss.discriminator(*logits))
            loss = tf.add_n(losses)
            local_loss = distribution.local_loss(loss)
        variables = self._discriminator_variables
        self.discriminator_optimizer.apply(tape.gradient(local_loss, variables), variables)
        return loss

    def _update_averages(self) -> None:
        """Move the averaged translators toward the translators, faster in the first steps."""
        step = tf.cast(self.optimizer.iterations, tf.float32)
        change = 1.0 - tf.minimum(self.settings.ema, step / (9.0 + step))
        for average, network in zip(self.averages, self.networks.translators):
            for mean, value in zip(average.variables, network.variables):
                mean.assign_sub(change * (mean - value))


def _check_settings(
    settings: TranslationSection, networks: TranslationNetworks, classifier: keras.Model | None
) -> None:
    """Raise ConfigError for settings that the networks or the workers do not support."""
    if settings.class_weight and networks.back_translator is None:
        raise ConfigError(
            "translation.class_weight requires a translation back to the old camera, got "
            "translation.cycle=none; set translation.cycle=one-sided or class_weight=0"
        )
    if settings.class_weight and classifier is None:
        raise ConfigError(
            "translation.class_weight requires a classifier of the old camera, got images without "
            "classes; label images of the old camera, or set translation.class_weight=0"
        )
    if settings.history and distribution.num_replicas() > 1:
        raise ConfigError(
            "translation.history keeps the images of one worker, got several workers; set "
            "translation.history=0, or train with one worker"
        )


def _with_channels(images: Tensor, channels: int) -> Tensor:
    """Return images in another number of channels: gray is the mean of colors, or repeated."""
    if images.shape[-1] == channels:
        return images
    gray = tf.reduce_mean(images, axis=-1, keepdims=True)
    return tf.repeat(gray, channels, axis=-1)


def _logits(discriminator: keras.Model, images: Tensor, classes: Tensor) -> Tensor:
    """Return the logits of patches; classes are left out if the discriminator takes none."""
    is_conditional = len(discriminator.inputs) > 1
    return discriminator([images, classes] if is_conditional else images, training=True)

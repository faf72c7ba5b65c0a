"""Translation of images to the look of a new camera: noise, networks and training step.

The translator learns from unpaired images (Zhu et al. 2017, CycleGAN). Its discriminator sees the
class of an image where both cameras have labels, so that a translation cannot change the class when
the cameras have other shares of the classes (Cohen et al. 2018, "Distribution Matching Losses Can
Hallucinate Features in Medical Image Translation").
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from augan.choices import LOSSES
from augan.config import TranslationSection
from augan.gan import distribution
from augan.gan.tensorflow import Tensor
from augan.seeding import child_seed

# Sides in pixels of the blocks in which a channel of the noise is constant.
NOISE_BLOCKS = (16, 4, 1, 1)
NOISE_CHANNELS = len(NOISE_BLOCKS)


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


class TranslationModel:
    """Training step of the translators and their discriminators.

    The adversarial loss is the hinge loss on patches. The cycle loss is the mean absolute
    difference of an image and its translation back.

    Parameters
    ----------
    networks : TranslationNetworks
        Networks to train.
    averages : sequence of keras.Model
        One network for each of `networks.translators`. They hold the moving averages of the
        weights, which translate images after the training.
    settings : TranslationSection
        Settings `translation` of the configuration.
    steps : int or None
        Steps after which the learning rate of the translators reaches 0, as a cosine; None: it is
        constant.
    seed : int
        Seed of the noise. All random numbers are functions of the seed and the step.
    """

    metric_names: tuple[str, ...] = ("discriminator_loss", "translator_loss", "cycle_loss")

    def __init__(
        self,
        networks: TranslationNetworks,
        averages: list[keras.Model],
        settings: TranslationSection,
        *,
        steps: int | None,
        seed: int,
    ) -> None:
        self.networks, self.averages, self.settings = networks, averages, settings
        self.adversarial_loss = LOSSES.load("hinge")
        self.seed = child_seed(seed, "translation") // 2
        self._translator_variables = [
            v for network in networks.translators for v in network.trainable_variables
        ]
        self._discriminator_variables = [
            v for network in networks.discriminators for v in network.trainable_variables
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
        return [variable for owner in owners for variable in owner.variables]

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
            `discriminator_loss`, `translator_loss` (adversarial) and `cycle_loss`.
        """
        old, old_classes, new, new_classes = (distribution.local_rows(values) for values in data)
        with tf.GradientTape() as tape:
            translated = self._translate(old, 0)
        discriminator_loss = self._update_discriminators(new, new_classes, translated, old_classes)
        with tape:
            logits = _logits(self.networks.patch_discriminator, translated, old_classes)
            adversarial = tf.reduce_mean(self.adversarial_loss.generator(logits))
            cycle = tf.zeros(())
            if self.networks.back_translator is not None:
                restored = self.networks.back_translator(translated, training=True)
                cycle = tf.reduce_mean(tf.abs(restored - old))
            total = distribution.local_loss(adversarial + self.settings.cycle_weight * cycle)
        variables = self._translator_variables
        self.optimizer.apply(tape.gradient(total, variables), variables)
        self._update_averages()
        return {
            "discriminator_loss": discriminator_loss,
            "translator_loss": adversarial,
            "cycle_loss": cycle,
        }

    def _translate(self, images: Tensor, use: int) -> Tensor:
        """Translate images of the old camera; `use` separates the noise of calls in one step."""
        step = tf.cast(self.optimizer.iterations, tf.int32)
        height, width = images.shape[1:3]
        seed = tf.stack([self.seed + use * NOISE_CHANNELS, step])
        noise = graph_noise(tf.shape(images)[0], height, width, seed)
        return self.networks.translator([images, noise], training=True)

    def _update_discriminators(
        self, real: Tensor, real_classes: Tensor, fake: Tensor, fake_classes: Tensor
    ) -> Tensor:
        """Update the discriminator of the new camera once and return its loss, a scalar."""
        discriminator = self.networks.patch_discriminator
        with tf.GradientTape() as tape:
            images = tf.concat([real, tf.stop_gradient(fake)], axis=0)
            classes = tf.concat([real_classes, fake_classes], axis=0)
            logits = tf.split(_logits(discriminator, images, classes), 2)
            loss = self.adversarial_loss.discriminator(*logits)
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


def _logits(discriminator: keras.Model, images: Tensor, classes: Tensor) -> Tensor:
    """Return the logits of patches; classes are left out if the discriminator takes none."""
    is_conditional = len(discriminator.inputs) > 1
    return discriminator([images, classes] if is_conditional else images, training=True)

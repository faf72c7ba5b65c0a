"""The GAN: two networks, their optimisers, and one training step. Nothing else of a run is here."""

from typing import Any

import keras
import tensorflow as tf

from augan.gan.diffaug import augment
from augan.gan.losses import LOSSES
from augan.seeding import child_seed

Tensor = Any

# Each step draws from its own block of the stateless generator's counter, one slot a purpose.
_SLOTS = 256
_NOISE_D, _NOISE_G, _AUGMENT_REAL, _AUGMENT_FAKE, _AUGMENT_G = 0, 1, 32, 64, 96


class GAN(keras.Model):
    """A generator and a discriminator that train against each other.

    Parameters
    ----------
    generator, discriminator, average : keras.Model
        `average` has the generator's shape; it holds the exponential moving average of its weights,
        batch statistics included, and is what samples are drawn from.
    loss : str
        A name in `augan.gan.losses.LOSSES`.
    diffaug : sequence of str
        Names in `augan.gan.diffaug.POLICIES`.
    generator_rate, discriminator_rate : float
        Adam's step sizes (betas 0.5 and 0.999, as in DCGAN).
    ema : float
        Decay of the average; it ramps up as (1 + step) / (10 + step).
    seed : int
        All noise is a function of it and of the step alone, so a resumed run repeats.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        average: keras.Model,
        *,
        loss: str = "nonsaturating",
        diffaug: tuple[str, ...] = ("translation",),
        generator_rate: float = 2e-4,
        discriminator_rate: float = 2e-4,
        ema: float = 0.999,
        seed: int = 0,
    ) -> None:
        super().__init__(name="gan")
        self.generator, self.discriminator, self.average = generator, discriminator, average
        self.adversarial_loss = LOSSES[loss]
        self.diffaug, self.ema = tuple(diffaug), ema
        self.latent_dim = generator.inputs[0].shape[-1]
        self.conditional = len(generator.inputs) > 1
        self.noise_seed = child_seed(seed, "noise")
        self.steps_done = self.add_weight(
            shape=(), dtype="int64", initializer="zeros", trainable=False, name="steps_done"
        )
        self.generator_optimizer = keras.optimizers.Adam(generator_rate, 0.5, 0.999)
        self.discriminator_optimizer = keras.optimizers.Adam(discriminator_rate, 0.5, 0.999)
        self.generator_optimizer.build(generator.trainable_variables)
        self.discriminator_optimizer.build(discriminator.trainable_variables)
        self.average.set_weights(generator.get_weights())
        self.compile()  # so that `fit` works too: the losses and optimisers above are used
        self.built = True

    def train_step(self, data: tuple[Tensor, Tensor] | Tensor) -> dict[str, Tensor]:
        """Update the discriminator, then the generator, then its average, on one batch.

        Parameters
        ----------
        data : (images, classes) or images
            Images float32 `[N, H, W, C]` in [-1, 1]; classes float32 `[N, K]`, one-hot. The
            generated batch has the real batch's classes: both follow one joint distribution.

        Returns
        -------
        dict of scalar tensors
            `d_loss`, `g_loss`, and `d_accuracy`, the share of the batch judged right.
        """
        real, classes = data if self.conditional else (_first(data), None)
        d_loss, accuracy = self._update_discriminator(real, classes)
        g_loss = self._update_generator(tf.shape(real)[0], classes)
        self._update_average()
        self.steps_done.assign_add(1)
        return {"d_loss": d_loss, "g_loss": g_loss, "d_accuracy": accuracy}

    def _seed(self, slot: int) -> Tensor:
        counter = tf.cast(self.steps_done, tf.int32) * _SLOTS + slot
        return tf.stack([tf.constant(self.noise_seed, tf.int32), counter])

    def _noise(self, count: Tensor, slot: int) -> Tensor:
        return tf.random.stateless_normal((count, self.latent_dim), self._seed(slot))

    def _generate(self, noise: Tensor, classes: Tensor | None) -> Tensor:
        return self.generator([noise, classes] if self.conditional else noise, training=True)

    def _judge(self, images: Tensor, classes: Tensor | None, slot: int) -> Tensor:
        seen = augment(images, self.diffaug, self._seed(slot))
        return self.discriminator([seen, classes] if self.conditional else seen, training=True)

    def _update_discriminator(self, real: Tensor, classes: Tensor | None) -> tuple[Tensor, Tensor]:
        fake = self._generate(self._noise(tf.shape(real)[0], _NOISE_D), classes)
        with tf.GradientTape() as tape:
            real_logits = self._judge(real, classes, _AUGMENT_REAL)
            fake_logits = self._judge(fake, classes, _AUGMENT_FAKE)
            loss = self.adversarial_loss.discriminator(real_logits, fake_logits)
        _apply(tape, loss, self.discriminator, self.discriminator_optimizer)
        right = tf.concat([real_logits > 0, fake_logits < 0], axis=0)
        return loss, tf.reduce_mean(tf.cast(right, tf.float32))

    def _update_generator(self, count: Tensor, classes: Tensor | None) -> Tensor:
        with tf.GradientTape() as tape:
            fake = self._generate(self._noise(count, _NOISE_G), classes)
            loss = self.adversarial_loss.generator(self._judge(fake, classes, _AUGMENT_G))
        _apply(tape, loss, self.generator, self.generator_optimizer)
        return loss

    def _update_average(self) -> None:
        step = tf.cast(self.steps_done, tf.float32)
        keep = tf.minimum(self.ema, (1.0 + step) / (10.0 + step))
        for mean, value in zip(self.average.variables, self.generator.variables):
            mean.assign(keep * mean + (1.0 - keep) * value)


def _first(data: Any) -> Tensor:
    return data[0] if isinstance(data, tuple | list) else data


def _apply(tape: tf.GradientTape, loss: Tensor, network: keras.Model, optimizer: Any) -> None:
    variables = network.trainable_variables
    optimizer.apply(tape.gradient(loss, variables), variables)

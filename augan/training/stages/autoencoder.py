"""Autoencoder stage: trains encoder and generator together, with a discriminator as critic."""

from typing import Any

from augan.config import require_resolved
from augan.gan import Tensor, distribution, keras, tf
from augan.gan.networks.build import build_network, logits_and_blocks
from augan.seeding import child_seed
from augan.training.batches import balanced_indices
from augan.training.budget import BudgetShare
from augan.training.stages.base import STAGES, Stage
from augan.training.trainer import Trainer

# Weights of the losses of encoder and generator.
IMAGE_WEIGHT, FEATURE_WEIGHT, ADVERSARIAL_WEIGHT, LATENT_WEIGHT = 10.0, 1.0, 0.02, 1e-3
# Learning rate of the discriminator relative to that of encoder and generator: reconstructions that
# satisfy a stronger discriminator transfer worse.
DISCRIMINATOR_RATE = 0.25
# Standard deviation of the noise on latent codes, so that neighboring codes give similar images.
LATENT_NOISE = 0.05


class AutoencoderTrainStep:
    """Joint training step of an encoder and a generator, and of a discriminator against them.

    The generator reconstructs each image from its latent code. It also generates an image from a
    random point between the latent codes of two images of a class. The reconstruction loss is the
    mean absolute difference in pixels and in the discriminator's last two blocks (Larsen et al.
    2016, "Autoencoding beyond pixels using a learned similarity metric"). The adversarial loss is
    on all generated images, the interpolated ones too (Berthelot et al. 2019, "Understanding and
    improving interpolation in autoencoders"). A small loss pulls latent codes towards 0. The
    discriminator has the hinge loss and does not see the classes.

    Parameters
    ----------
    encoder, generator, discriminator : keras.Model
        Networks without classes.
    learning_rate : float
        Learning rate of Adam for encoder and generator; the discriminator's is a quarter of it.
    seed : int
        Seed of the noise on latent codes and of the interpolation.
    """

    metric_names: tuple[str, ...] = ("image_loss", "feature_loss", "discriminator_loss")

    def __init__(
        self,
        encoder: keras.Model,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        learning_rate: float,
        seed: int,
    ) -> None:
        self.encoder, self.generator, self.discriminator = encoder, generator, discriminator
        self._discriminate = logits_and_blocks(discriminator, 2)
        self._autoencoder_variables = [
            *encoder.trainable_variables,
            *generator.trainable_variables,
        ]
        self.seed = child_seed(seed, "autoencoder") // 2
        self.optimizer = keras.optimizers.Adam(learning_rate, 0.5, 0.99)
        self.optimizer.build(self._autoencoder_variables)
        self.discriminator_optimizer = keras.optimizers.Adam(
            DISCRIMINATOR_RATE * learning_rate, 0.5, 0.99
        )
        self.discriminator_optimizer.build(discriminator.trainable_variables)

    @property
    def state(self) -> list[Any]:
        """All variables that the next training step depends on, in a fixed order."""
        networks = (self.encoder, self.generator, self.discriminator)
        owners = (*networks, self.optimizer, self.discriminator_optimizer)
        return [variable for owner in owners for variable in owner.variables]

    @distribution.per_replica
    def train_step(self, data: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Update encoder, generator and discriminator on one batch.

        Each of several replicas pairs the images of its own rows, so the pairs differ from those of
        a single replica.

        Parameters
        ----------
        data : (images, classes)
            Images `[N, H, W, C]` in [-1, 1]; classes `[N, K]`, one-hot. An image of unknown class,
            all 0, is a class of its own.

        Returns
        -------
        dict of scalar tensors
            `image_loss`, `feature_loss` and `discriminator_loss`.
        """
        images, classes = (distribution.local_rows(values) for values in data)
        step = tf.cast(self.optimizer.iterations, tf.int32)
        partner = _class_partners(classes)
        count = tf.shape(images)[0]
        fraction = distribution.uniform((count, 1), [self.seed, step])
        with tf.GradientTape() as autoencoder_tape, tf.GradientTape() as discriminator_tape:
            latents = tf.cast(self.encoder(images, training=True), tf.float32)
            noise = distribution.normal((count, latents.shape[1]), [self.seed + 1, step])
            latents += LATENT_NOISE * noise
            between = latents + fraction * (tf.gather(latents, partner) - latents)
            generated = self.generator(tf.concat([latents, between], axis=0), training=True)
            real_outputs, fake_outputs = (
                [tf.cast(output, tf.float32) for output in self._discriminate(batch, training=True)]
                for batch in (images, generated)
            )
            image_loss = tf.reduce_mean(tf.abs(generated[:count] - images))
            feature_loss = tf.add_n(
                [
                    tf.reduce_mean(tf.abs(tf.stop_gradient(real) - fake[:count]))
                    for real, fake in zip(real_outputs[1:], fake_outputs[1:])
                ]
            )
            real_logits, fake_logits = real_outputs[0], fake_outputs[0]
            loss = IMAGE_WEIGHT * image_loss + FEATURE_WEIGHT * feature_loss
            loss += LATENT_WEIGHT * tf.reduce_mean(
                tf.square(latents)
            ) - ADVERSARIAL_WEIGHT * tf.reduce_mean(fake_logits)
            discriminator_loss = tf.reduce_mean(tf.nn.relu(1 - real_logits)) + tf.reduce_mean(
                tf.nn.relu(1 + fake_logits)
            )
            local_loss = distribution.local_loss(loss)
            local_discriminator_loss = distribution.local_loss(discriminator_loss)
        variables = self._autoencoder_variables
        self.optimizer.apply(autoencoder_tape.gradient(local_loss, variables), variables)
        variables = self.discriminator.trainable_variables
        gradients = discriminator_tape.gradient(local_discriminator_loss, variables)
        self.discriminator_optimizer.apply(gradients, variables)
        return {
            "image_loss": image_loss,
            "feature_loss": feature_loss,
            "discriminator_loss": discriminator_loss,
        }


def _class_partners(classes: Tensor) -> Tensor:
    """Return for each image the index of another image of its class in the batch, int32 `[N]`.

    An image without such a partner is its own partner. Without classes (K = 0), the partner is the
    previous image.
    """
    count = tf.shape(classes)[0]
    if not classes.shape[-1]:
        return tf.roll(tf.range(count), 1, axis=0)
    is_labeled = tf.reduce_max(classes, axis=1) > 0
    label = tf.argmax(classes, axis=1, output_type=tf.int32)
    label = tf.where(is_labeled, label, -1 - tf.range(count))
    order = tf.argsort(label, stable=True)
    following = tf.roll(order, -1, axis=0)
    is_same_class = tf.equal(tf.gather(label, order), tf.gather(label, following))
    return tf.scatter_nd(order[:, None], tf.where(is_same_class, following, order), (count,))


@STAGES.register(
    Stage(
        "autoencoder",
        description="encoder and generator that reconstruct images and blend their latent codes",
        makes=("encoder", "generator", "discriminator"),
        share=BudgetShare(steps=1.0, time=0.66),
    )
)
def train_autoencoder(trainer: Trainer) -> None:
    """Run the autoencoder stage: build and train `encoder`, `generator` and `discriminator`.

    All classes are used about equally often.
    """
    config, data, roles = trainer.config, trainer.data, ("encoder", "generator", "discriminator")
    kept = [trainer.build(role, num_classes=0) for role in roles]
    # The trained networks compute in the configured type; the kept networks are float32.
    trained, dtype = kept, require_resolved(config.training.dtype)
    if dtype != "float32":
        trained = [build_network(trainer.networks.specs[role], dtype) for role in roles]
    encoder, generator, discriminator = trained
    train_step = AutoencoderTrainStep(
        encoder,
        generator,
        discriminator,
        learning_rate=require_resolved(config.discriminator.learning_rate),
        seed=config.seed,
    )
    trainer.run(
        train_step, indices=balanced_indices(data.classes, data.train_and_unlabeled_indices())
    )
    if trained is not kept:
        for network, other in zip(kept, trained):
            network.set_weights(other.get_weights())

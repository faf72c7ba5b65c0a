"""Encoder stage: the encoder of f-AnoGAN (Schlegl et al. 2019), trained against a frozen GAN."""

from collections.abc import Callable
from typing import Any

import numpy as np

from augan.bundle import Latents
from augan.gan import Tensor, distribution, keras, tf
from augan.gan.inference import BatchInference
from augan.gan.networks.build import feature_blocks
from augan.training.budget import BudgetShare
from augan.training.stages.base import STAGES, Stage
from augan.training.trainer import Trainer

_CHUNK_SIZE = 1024  # samples that are float32 at once while they are encoded
CLASS_WEIGHT = 0.1  # weight of the cross-entropy of the predicted class


class EncoderTrainStep:
    """Training step of f-AnoGAN's encoder, variant `izi_f`: image -> latent code -> image.

    The loss is |x - G(E(x))|^2 + k |f(x) - f(G(E(x)))|^2, means over elements, with f the
    discriminator's last block. Generator and discriminator are frozen, in inference mode. With
    classes, a cross-entropy on the predicted class is added, so that a latent code is decoded into
    the class of its image. An image of unknown class (all 0) does not contribute to the
    cross-entropy.

    Parameters
    ----------
    encoder, generator, discriminator : keras.Model
        The encoder is trained, the others are frozen.
    feature_weight : float
        The weight k of the feature loss.
    learning_rate : float
        Learning rate of Adam.
    """

    metric_names: tuple[str, ...] = ("image_loss", "feature_loss")

    def __init__(
        self,
        encoder: keras.Model,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        feature_weight: float,
        learning_rate: float,
    ) -> None:
        self.encoder, self.generator = encoder, generator
        self.features = feature_blocks(discriminator)
        self.feature_weight = feature_weight
        self.conditional = len(encoder.outputs) > 1
        self.optimizer = keras.optimizers.Adam(learning_rate, 0.5, 0.999)
        self.optimizer.build(encoder.trainable_variables)

    @property
    def state(self) -> list[Any]:
        """All variables that the next training step depends on, in a fixed order."""
        return [*self.encoder.variables, *self.optimizer.variables]

    @distribution.per_replica
    def train_step(self, data: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Update the encoder on one batch; return `image_loss` and `feature_loss`, scalar tensors.

        `data` are images `[N, H, W, C]` in [-1, 1] and one-hot classes `[N, K]`, all 0 if unknown.
        """
        images, classes = (distribution.local_rows(values) for values in data)
        with tf.GradientTape() as tape:
            latents = self.encoder(images, training=True)
            reconstruction = self.generator(latents, training=False)
            image_loss = tf.reduce_mean(tf.square(images - reconstruction))
            feature_loss = tf.reduce_mean(
                tf.square(
                    self.features(images, training=False)[-1]
                    - self.features(reconstruction, training=False)[-1]
                )
            )
            loss = image_loss + self.feature_weight * feature_loss
            if self.conditional:
                loss += CLASS_WEIGHT * class_loss(classes, latents[1])
            loss = distribution.local_loss(loss)
        variables = self.encoder.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return {"image_loss": image_loss, "feature_loss": feature_loss}


def class_loss(classes: Tensor, probabilities: Tensor) -> Tensor:
    """Return the mean cross-entropy of predicted classes, a scalar; 0 without labeled images.

    Parameters
    ----------
    classes : Tensor [N, K]
        One-hot; all 0 for an image of unknown class, which does not count.
    probabilities : Tensor [N, K]
        Class probabilities that the encoder predicts.
    """
    losses = keras.losses.categorical_crossentropy(classes, probabilities)
    # The count is that of the whole batch: all labeled images may be in the rows of one replica.
    num_labeled = distribution.mean(tf.reduce_sum(classes))
    return tf.reduce_sum(losses) / tf.maximum(num_labeled, 1.0 / distribution.num_replicas())


def encode(
    encoder: keras.Model,
    samples: np.ndarray,
    indices: np.ndarray,
    normalize: Callable[[np.ndarray], np.ndarray],
) -> Latents:
    """Compute the latent codes of training samples, which a bundle stores for augmentation.

    Parameters
    ----------
    encoder : keras.Model
        Trained encoder.
    samples : ndarray [N, ...]
        All prepared samples, perhaps a memory map.
    indices : ndarray of int
        Indices of the samples to encode; at least one.
    normalize : callable
        Prepared samples -> inputs of the encoder.

    Returns
    -------
    Latents
        With classes also `class_probabilities`; without `labels`.
    """
    infer = BatchInference.from_model(encoder)
    starts = range(0, len(indices), _CHUNK_SIZE)
    chunks = (infer(normalize(samples[indices[i : i + _CHUNK_SIZE]])) for i in starts)
    outputs = [np.concatenate(output) for output in zip(*chunks)]
    return Latents(indices, *outputs)


@STAGES.register(
    Stage(
        "encoder",
        description="predicts the latent code of a sample (f-AnoGAN)",
        makes=("encoder",),
        share=BudgetShare(steps=0.5, time=0.26),
        applies=lambda plan: (
            "encoder" in plan.required_networks
            or (plan.config.task in ("generate", "both") and plan.config.training.store_latents)
        ),
        needs=("generator", "discriminator"),
        section="encoder",
    )
)
def train_encoder(trainer: Trainer) -> None:
    """Run the encoder stage: train `encoder` against the frozen GAN.

    The encoder trains on the training split and the unlabeled samples.
    """
    settings = trainer.config.encoder
    train_step = EncoderTrainStep(
        trainer.build("encoder"),
        trainer.networks.models["generator"],
        trainer.networks.models["discriminator"],
        feature_weight=settings.feature_weight,
        learning_rate=settings.learning_rate,
    )
    trainer.run(train_step, indices=trainer.data.train_and_unlabeled_indices())

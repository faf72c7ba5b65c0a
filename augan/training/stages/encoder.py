"""The encoder of f-AnoGAN (Schlegl et al. 2019), trained against a frozen GAN."""

from collections.abc import Callable
from typing import Any

import numpy as np

from augan.gan import distribution, keras, tf
from augan.gan.inference import BatchInference
from augan.gan.networks.registry import feature_blocks

Tensor = Any
CHUNK = 1024  # images that are float32 at once while they are encoded


class EncoderUpdate:
    """One step of the `izi_f` training: image -> code -> image, compared in pixels and features.

    The loss is |x - G(E(x))|^2 + k |f(x) - f(G(E(x)))|^2, means over elements, with f the
    discriminator's last block. Generator and discriminator stay as they are, in inference mode.
    Where images have classes, the encoder's guess of the class is also held to the truth (cross
    entropy), so that a code can be decoded into the class it came from. Classes that are all 0 are
    unknown: such an image adds nothing to that term.
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
        """All variables that the next step depends on."""
        return [*self.encoder.variables, *self.optimizer.variables]

    @distribution.per_replica
    def train_step(self, data: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Take one step on (images, classes)."""
        images, classes = (distribution.local_rows(whole) for whole in data)
        with tf.GradientTape() as tape:
            code = self.encoder(images, training=True)
            again = self.generator(code, training=False)
            image_loss = tf.reduce_mean(tf.square(images - again))
            feature_loss = tf.reduce_mean(
                tf.square(
                    self.features(images, training=False)[-1]
                    - self.features(again, training=False)[-1]
                )
            )
            loss = image_loss + self.feature_weight * feature_loss
            if self.conditional:
                loss += 0.1 * class_loss(classes, code[1])
            loss = distribution.local_loss(loss)
        variables = self.encoder.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return {"image_loss": image_loss, "feature_loss": feature_loss}


def class_loss(classes: Tensor, guessed: Tensor) -> Tensor:
    """Return the cross entropy, mean over the images whose class is known (0 if none is)."""
    losses = keras.losses.categorical_crossentropy(classes, guessed)
    # Of the whole batch, whose known images may all lie in the rows of one replica.
    known = distribution.mean(tf.reduce_sum(classes))
    return tf.reduce_sum(losses) / tf.maximum(known, 1.0 / distribution.num_replicas())


def encode(
    encoder: keras.Model,
    pixels: np.ndarray,
    rows: np.ndarray,
    scale: Callable[[np.ndarray], np.ndarray],
) -> dict[str, np.ndarray]:
    """Return the codes of some stored samples: `indices`, `latents`, and where there
    are classes `class_probabilities`.

    Parameters
    ----------
    pixels : ndarray [N, ...]
        All stored samples, perhaps a memory map.
    scale : callable
        Stored samples -> what networks take.
    """
    infer = BatchInference.from_model(encoder)
    chunks = (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))
    outputs = [np.concatenate(output) for output in zip(*(infer(scale(pixels[c])) for c in chunks))]
    return {"indices": rows, **dict(zip(("latents", "class_probabilities"), outputs))}

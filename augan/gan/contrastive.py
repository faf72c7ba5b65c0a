"""Patchwise contrastive loss of an image and its translation (Park et al. 2020, CUT).

"Contrastive Learning for Unpaired Image-to-Image Translation": features of a place in the
translation must be closer to those of the same place in the original than to those of its other
places. The features are those of the translator's first half, after a small network for each layer.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from augan.gan.networks.layers import he_normal
from augan.gan.tensorflow import Tensor

PLACES = 64  # of an image that are compared with each other, at each layer
UNITS = 64  # length of the compared vectors
TEMPERATURE = 0.07  # of the softmax over places, as in the paper


def image_and_features(translator: keras.Model) -> keras.Model:
    """Return a model of a translator's image and features, with shared weights.

    The outputs are the image, the activations before each strided convolution, and those of the
    last residual block.
    """
    names = [layer.name for layer in translator.layers]
    last = max(i for i, name in enumerate(names) if name.startswith(("down_", "residual_")))
    halvings = sum(name.startswith("down_") for name in names)
    before_halving = [translator.get_layer(f"active_{i}").output for i in range(halvings)]
    outputs = [translator.output, *before_halving, translator.layers[last].output]
    return keras.Model(translator.inputs, outputs)


class PatchContrast:
    """Contrastive loss of places, with one small trained network for each layer of features.

    Parameters
    ----------
    channels : sequence of int
        Number of channels of each layer of features.
    seed : int
        Seed of the initial weights.
    """

    def __init__(self, channels: Sequence[int], seed: int) -> None:
        self.heads = [_head(count, f"contrast_{i}", seed) for i, count in enumerate(channels)]

    @property
    def variables(self) -> list[Any]:
        """Trainable variables of the networks."""
        return [variable for head in self.heads for variable in head.trainable_variables]

    def loss(self, queries: Sequence[Tensor], keys: Sequence[Tensor], seed: Tensor) -> Tensor:
        """Return the mean cross-entropy of finding the place of a query among the keys, a scalar.

        Parameters
        ----------
        queries, keys : sequence of Tensor [N, h, w, F]
            Features of the translated and of the original images, by layer. No gradient passes
            through the keys.
        seed : Tensor [2]
            Int32 seed of the choice of places.
        """
        losses = []
        for i, (head, query, key) in enumerate(zip(self.heads, queries, keys)):
            count = query.shape[1] * query.shape[2]
            order = tf.random.stateless_uniform((count,), seed + tf.constant([i, 0]))
            places = tf.argsort(order)[: min(PLACES, count)]
            query, key = (
                tf.math.l2_normalize(head(_at_places(x, places), training=True), axis=-1)
                for x in (query, tf.stop_gradient(key))
            )
            similarity = tf.matmul(query, tf.stop_gradient(key), transpose_b=True) / TEMPERATURE
            labels = tf.broadcast_to(tf.range(tf.shape(places)[0]), tf.shape(similarity)[:2])
            losses.append(
                tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=similarity)
                )
            )
        return tf.add_n(losses) / len(losses)


def _at_places(features: Tensor, places: Tensor) -> Tensor:
    """Return the features `[N, P, F]` at some places of maps `[N, h, w, F]`, in float32."""
    flat = tf.reshape(features, (-1, features.shape[1] * features.shape[2], features.shape[3]))
    return tf.cast(tf.gather(flat, places, axis=1), tf.float32)


def _head(channels: int, name: str, seed: int) -> keras.Model:
    """Build the network of one layer: features `[N, P, F]` -> vectors `[N, P, UNITS]`."""
    features = keras.Input((None, channels), name=name)
    x = features
    for i, activation in enumerate(("relu", None)):
        x = layers.Dense(
            UNITS,
            activation=activation,
            name=f"{name}_{i}",
            kernel_initializer=he_normal(seed, f"{name}_{i}"),
            dtype="float32",
        )(x)
    return keras.Model(features, x, name=name)

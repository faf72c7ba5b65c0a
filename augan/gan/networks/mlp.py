"""The original GAN's networks (Goodfellow et al. 2014): fully connected, for small images and rows.

Two hidden layers each. The class joins the noise as a learned embedding, and the discriminator by
projection, as in `augan.gan.networks.dcgan`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
from keras import layers

from augan.gan.networks.layers import (
    activated,
    discriminator,
    encoder,
    generator_inputs,
    he,
    layer,
    normalised,
)


def generator(
    sample_shape: tuple[int, ...],
    *,
    latent_dim: int,
    num_classes: int,
    width: int,
    seed: int,
    conditioning: str = "norm",
    groups: Sequence[int] = (),
) -> keras.Model:
    """Build noise `[N, latent_dim]` (and classes `[N, num_classes]`) -> samples in [-1, 1].

    Parameters
    ----------
    sample_shape : tuple
        `(H, W, C)` of an image or `(F,)` of a row.
    groups : sequence of int
        Sizes of the one-hot groups that a row ends with: each is a softmax, in [0, 1].
    """
    inputs, x, modulation = generator_inputs(latent_dim, num_classes, conditioning, seed)
    for i in range(2):
        x = _hidden(x, 8 * width, f"hidden_{i}", seed)
        x = normalised(x, modulation, str(i))
    end = _row if len(sample_shape) == 1 else _image
    return keras.Model(inputs, end(x, sample_shape, groups, seed), name="generator")


def _image(x: Any, shape: tuple[int, ...], groups: Sequence[int], seed: int) -> Any:
    if groups:
        raise ValueError(f"groups {list(groups)} are of rows, and images {list(shape)} have none")
    height, across, channels = shape
    x = _hidden(x, height * across * channels, "pixels", seed)
    x = layers.Reshape(shape, name="grid")(x)
    return layers.Activation("tanh", name="image", dtype="float32")(x)


def _row(x: Any, shape: tuple[int, ...], groups: Sequence[int], seed: int) -> Any:
    count = shape[0] - sum(groups)
    if count < 0:
        raise ValueError(f"groups {list(groups)} are more than the {shape[0]} values of a row")
    parts = []
    if count:
        numbers = _hidden(x, count, "numbers", seed)
        parts.append(layers.Activation("tanh", name="tanh", dtype="float32")(numbers))
    for i, size in enumerate(groups):
        logits = _hidden(x, size, f"group_{i}", seed)
        parts.append(layers.Softmax(name=f"softmax_{i}", dtype="float32")(logits))
    return layers.Concatenate(name="row", dtype="float32")(parts) if len(parts) > 1 else parts[0]


def classifier(
    sample_shape: tuple[int, ...], *, num_classes: int, width: int, seed: int
) -> keras.Model:
    """Build samples -> logits `[N, num_classes]`; the layer `hidden` holds the features."""
    samples = keras.Input(sample_shape, name="images")
    x = layers.Flatten(name="pixels")(samples)
    for i in range(2):
        x = layers.ReLU(name="hidden" if i else "first")(_hidden(x, 4 * width, f"dense_{i}", seed))
    return keras.Model(samples, _hidden(x, num_classes, "logits", seed), name="classifier")


def _trunk(images: Any, *, width: int, norm: str, dropout: float, seed: int) -> Any:
    x = layers.Flatten(name="pixels")(images)
    for i in range(2):
        dense = layer(layers.Dense, norm, seed)
        x = dense(8 * width, name=f"hidden_{i}", kernel_initializer=he(seed, f"hidden_{i}"))(x)
        x = activated(x, norm, i, dropout, seed)
    return x


def _hidden(x: Any, units: int, name: str, seed: int) -> Any:
    return layers.Dense(units, name=name, kernel_initializer=he(seed, name))(x)


discriminator = partial(discriminator, _trunk)
encoder = partial(encoder, _trunk)

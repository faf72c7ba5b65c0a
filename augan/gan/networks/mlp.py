"""Multilayer perceptrons for small images and table rows (Goodfellow et al. 2014).

Each network has two hidden layers. The class enters the generator through a learned embedding that
is concatenated to the noise or through conditional batch normalization, and the discriminator
through projection, as in `augan.gan.networks.dcgan`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
from keras import layers

from augan.choices import ARCHITECTURES, Architecture
from augan.gan.networks.layers import (
    build_discriminator,
    build_encoder,
    conditional_batch_norm,
    generator_inputs,
    he_normal,
    norm_act_dropout,
    normalized_layer,
)


def mlp_generator(
    sample_shape: tuple[int, ...],
    *,
    latent_dim: int,
    num_classes: int,
    width: int,
    seed: int,
    conditioning: str = "norm",
    groups: Sequence[int] = (),
) -> keras.Model:
    """Build a generator of small images or table rows with two hidden dense layers.

    Noise `[N, latent_dim]` (and classes `[N, num_classes]`) -> samples `[N, *sample_shape]` in [-1,
    1].

    Parameters
    ----------
    sample_shape : tuple
        `(H, W, C)` of an image or `(F,)` of a row.
    latent_dim, num_classes : int
        Length of the noise; number of classes, 0 for an unconditional generator.
    width : int
        The hidden layers have 8 times as many units.
    seed : int
        Seed of the initial weights.
    conditioning : {"norm", "embedding"}
        Entry of the class, see `augan.gan.networks.layers.generator_inputs`.
    groups : sequence of int
        Sizes of the one-hot groups at the end of a row; each group is a softmax in [0, 1].

    Raises
    ------
    ValueError
        Groups for images, or groups that are together longer than a row.
    """
    inputs, x, classes = generator_inputs(latent_dim, num_classes, conditioning, seed)
    for i in range(2):
        x = _dense(x, 8 * width, f"hidden_{i}", seed)
        x = conditional_batch_norm(x, classes, str(i))
    output_layers = _row if len(sample_shape) == 1 else _image
    return keras.Model(inputs, output_layers(x, sample_shape, groups, seed), name="generator")


def _image(x: Any, shape: tuple[int, ...], groups: Sequence[int], seed: int) -> Any:
    """Build the output layers of an image generator: pixels of shape `(H, W, C)` in [-1, 1]."""
    if groups:
        raise ValueError(
            f"groups {list(groups)} are one-hot groups of rows, but the samples are images of "
            f"shape {list(shape)}"
        )
    height, width, channels = shape
    x = _dense(x, height * width * channels, "pixels", seed)
    x = layers.Reshape(shape, name="grid")(x)
    return layers.Activation("tanh", name="image", dtype="float32")(x)


def _row(x: Any, shape: tuple[int, ...], groups: Sequence[int], seed: int) -> Any:
    """Build the output layers of a row generator: numbers in [-1, 1] and one softmax per group."""
    num_numeric = shape[0] - sum(groups)
    if num_numeric < 0:
        raise ValueError(
            f"groups {list(groups)} have {sum(groups)} values together, and a row has only "
            f"{shape[0]}"
        )
    parts = []
    if num_numeric:
        numbers = _dense(x, num_numeric, "numbers", seed)
        parts.append(layers.Activation("tanh", name="tanh", dtype="float32")(numbers))
    for i, size in enumerate(groups):
        logits = _dense(x, size, f"group_{i}", seed)
        parts.append(layers.Softmax(name=f"softmax_{i}", dtype="float32")(logits))
    return layers.Concatenate(name="row", dtype="float32")(parts) if len(parts) > 1 else parts[0]


def mlp_classifier(
    sample_shape: tuple[int, ...], *, num_classes: int, width: int, seed: int
) -> keras.Model:
    """Build a classifier of small images or table rows with two hidden dense layers.

    Samples `[N, *sample_shape]` -> logits `[N, num_classes]`. The layer `hidden` holds the features
    `[N, 4 * width]`.
    """
    samples = keras.Input(sample_shape, name="images")
    x = layers.Flatten(name="pixels")(samples)
    for i in range(2):
        x = layers.ReLU(name="hidden" if i else "first")(_dense(x, 4 * width, f"dense_{i}", seed))
    return keras.Model(samples, _dense(x, num_classes, "logits", seed), name="classifier")


def _backbone(samples: Any, *, width: int, norm: str, dropout: float, seed: int) -> Any:
    """Apply two dense layers of `8 * width` units to samples; return features `[N, F]`."""
    x = layers.Flatten(name="pixels")(samples)
    for i in range(2):
        dense = normalized_layer(layers.Dense, norm, seed)
        name = f"hidden_{i}"
        x = dense(8 * width, name=name, kernel_initializer=he_normal(seed, name))(x)
        x = norm_act_dropout(x, norm, i, dropout, seed)
    return x


def _dense(x: Any, units: int, name: str, seed: int) -> Any:
    """Apply a dense layer of `units` units with He initialization, without activation."""
    return layers.Dense(units, name=name, kernel_initializer=he_normal(seed, name))(x)


mlp_discriminator = partial(build_discriminator, _backbone)
mlp_encoder = partial(build_encoder, _backbone)

ARCHITECTURES.register(
    Architecture(
        "mlp",
        description="two dense layers, for rows of tables and very small images",
        paper="Goodfellow et al. 2014",
        roles=("generator", "discriminator", "encoder", "classifier"),
        sample_types=("row", "image"),
        default_for=("row",),
        arguments=("conditioning", "groups", "norm", "dropout"),
    ),
    {
        "generator": mlp_generator,
        "discriminator": mlp_discriminator,
        "encoder": mlp_encoder,
        "classifier": mlp_classifier,
    },
)

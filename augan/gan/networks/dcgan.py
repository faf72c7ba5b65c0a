"""DCGAN (Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional GANs").

Batch normalisation and ReLU in the generator, strided convolutions with LeakyReLU 0.2 in the
discriminator, N(0, 0.02) weights, tanh output. The generator grows by transposed convolutions, as
in the paper, or by nearest-neighbour upsampling and a convolution (Odena et al. 2016,
"Deconvolution and Checkerboard Artifacts"), which is slower and smoother.

The class enters the generator through conditional batch normalisation or an embedding beside the
noise, and the discriminator through projection. Because a class is a vector and not an index, a
mixture of classes is a legal input: the encoder's guess of an unlabeled image goes straight into
the generator.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
from keras import layers

from augan.gan.networks.fast_conv import KERNEL, Conv2D, Conv2DTranspose
from augan.gan.networks.layers import (
    activated,
    discriminator,
    encoder,
    generator_inputs,
    he,
    layer,
    normal,
    normalised,
)

_MOST_DOUBLINGS = 3  # of the width from block to block: 64 pixels take three, 128 no more


def num_scales(size: int) -> int:
    """Return how often a side of `size` pixels is halved: down to 4, or 2 for 8 pixels."""
    return max(2, (size // 4).bit_length() - 1)


def _filters(width: int, doublings: int) -> int:
    """Return the channels of a block that many blocks away from the image."""
    return width << min(doublings, _MOST_DOUBLINGS)


def _checked_size(image_shape: tuple[int, int, int]) -> int:
    size, across, _ = image_shape
    if size != across or size < 8 or size % (1 << num_scales(size)):
        raise ValueError(f"images must be squares of 8, 16, 32, ... pixels, got {size}x{across}")
    return size


def _transposed(x: Any, filters: int, name: str, seed: int, **arguments: Any) -> Any:
    return Conv2DTranspose(
        filters,
        KERNEL,
        strides=2,
        padding="same",
        name=name,
        kernel_initializer=normal(seed, name),
        **arguments,
    )(x)


def _upsampled(x: Any, filters: int, name: str, seed: int, **arguments: Any) -> Any:
    x = layers.UpSampling2D(name=f"{name}_twice")(x)
    return layers.Conv2D(
        filters,
        3,
        padding="same",
        name=name,
        kernel_initializer=normal(seed, name),
        **arguments,
    )(x)


def _generator(
    image_shape: tuple[int, int, int],
    *,
    grow: Callable[..., Any],
    latent_dim: int,
    num_classes: int,
    width: int,
    seed: int,
    conditioning: str = "norm",
) -> keras.Model:
    """Build noise `[N, latent_dim]` (and classes `[N, num_classes]`) -> images `[N, H, W, C]`.

    Images are in [-1, 1]. `width` counts the channels of the last hidden block; `conditioning` is
    "norm" or "embedding".
    """
    size, channels = _checked_size(image_shape), image_shape[2]
    scales = num_scales(size)
    start, filters = size >> scales, _filters(width, scales - 1)
    inputs, x, modulation = generator_inputs(latent_dim, num_classes, conditioning, seed)
    x = layers.Dense(
        start * start * filters,
        use_bias=False,
        name="project",
        kernel_initializer=normal(seed, "project"),
    )(x)
    x = layers.Reshape((start, start, filters), name="seed_map")(x)
    x = normalised(x, modulation, "0")
    for i in range(1, scales):
        x = grow(x, _filters(width, scales - 1 - i), f"up_{i}", seed, use_bias=False)
        x = normalised(x, modulation, str(i))
    image = grow(x, channels, "image", seed, activation="tanh", dtype="float32")
    return keras.Model(inputs, image, name="generator")


generator = partial(_generator, grow=_transposed)
upsampling_generator = partial(_generator, grow=_upsampled)


def _trunk(
    images: Any, *, width: int, norm: str, dropout: float, seed: int, weights: str = "normal"
) -> Any:
    """Strided convolutions that halve the side at each block, flattened.

    `weights` are "normal", DCGAN's, or "he", which learns faster where nothing is normalised.
    """
    x, initial = images, {"normal": normal, "he": he}[weights]
    for i in range(num_scales(_checked_size(images.shape[1:]))):
        name = f"down_{i}"
        convolution = layer(Conv2D, norm, seed)
        x = convolution(
            _filters(width, i),
            KERNEL,
            strides=2,
            padding="same",
            name=name,
            kernel_initializer=initial(seed, name),
        )(x)
        x = activated(x, norm, i, dropout, seed)
    return layers.Flatten(name="flatten")(x)


discriminator = partial(discriminator, _trunk)
encoder = partial(encoder, _trunk)

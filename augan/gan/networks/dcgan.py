"""DCGAN (Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional GANs").

Transposed convolutions with batch normalisation and ReLU in the generator, strided convolutions
with LeakyReLU 0.2 in the discriminator, N(0, 0.02) weights, tanh output. The class enters the
generator through conditional batch normalisation and the discriminator through projection (Miyato
and Koyama 2018, "cGANs with Projection Discriminator", eq. 3). Because a class is a vector and not
an index, a mixture of classes is a legal input: the encoder's guess of an unlabelled image goes
straight into the generator.
"""

from functools import partial
from typing import Any

import keras
from keras import layers

from augan.gan.networks.naming import initializer
from augan.gan.networks.spectral import SpectralConv2D

NORMS = ("none", "batch", "layer", "spectral")
KERNEL = 4  # with stride 2 it covers each pixel equally often: no checkerboard


def num_scales(size: int) -> int:
    """Return how often a side of `size` pixels is halved: down to 4, or 2 for 8 pixels."""
    return max(2, (size // 4).bit_length() - 1)


def _checked_size(image_shape: tuple[int, int, int]) -> int:
    size, across, _ = image_shape
    if size != across or size < 8 or size % (1 << num_scales(size)):
        raise ValueError(f"images must be squares of 8, 16, 32, ... pixels, got {size}x{across}")
    return size


def generator(
    image_shape: tuple[int, int, int],
    *,
    latent_dim: int,
    num_classes: int,
    width: int,
    seed: int,
) -> keras.Model:
    """Build noise `[N, latent_dim]` (and classes `[N, num_classes]`) -> images `[N, H, W, C]`.

    Images are in [-1, 1]. `width` counts the channels of the last hidden block.
    """
    size, channels = _checked_size(image_shape), image_shape[2]
    scales = num_scales(size)
    start, filters = size >> scales, width << (scales - 1)
    noise = keras.Input((latent_dim,), name="noise")
    classes = keras.Input((num_classes,), name="classes") if num_classes else None
    x = layers.Dense(
        start * start * filters,
        use_bias=False,
        name="project",
        kernel_initializer=initializer(seed, "project"),
    )(noise)
    x = layers.Reshape((start, start, filters), name="seed_map")(x)
    x = _normalised(x, classes, "0")
    for i in range(1, scales):
        x = layers.Conv2DTranspose(
            filters >> i,
            KERNEL,
            strides=2,
            padding="same",
            use_bias=False,
            name=f"up_{i}",
            kernel_initializer=initializer(seed, f"up_{i}"),
        )(x)
        x = _normalised(x, classes, str(i))
    image = layers.Conv2DTranspose(
        channels,
        KERNEL,
        strides=2,
        padding="same",
        activation="tanh",
        name="image",
        kernel_initializer=initializer(seed, "image"),
    )(x)
    return keras.Model(noise if classes is None else [noise, classes], image, name="generator")


def _normalised(x: Any, classes: Any, name: str) -> Any:
    """Batch normalisation and ReLU; with classes, each has its own scale and shift.

    Conditional batch normalisation (Dumoulin et al. 2017; Miyato and Koyama 2018): what the class
    does not change comes from the noise alone, so the noise cannot be ignored.
    """
    plain = classes is None
    x = layers.BatchNormalization(center=plain, scale=plain, name=f"norm_{name}")(x)
    if not plain:
        filters = x.shape[-1]
        scale, shift = (
            layers.Reshape((1, 1, filters), name=f"{part}_map_{name}")(
                layers.Dense(
                    filters,
                    use_bias=False,
                    name=f"{part}_{name}",
                    kernel_initializer=keras.initializers.Constant(value),
                )(classes)
            )
            for part, value in (("scale", 1.0), ("shift", 0.0))
        )
        x = layers.Add(name=f"shifted_{name}")(
            [layers.Multiply(name=f"scaled_{name}")([x, scale]), shift]
        )
    return layers.ReLU(name=f"relu_{name}")(x)


def _downsampling_blocks(images: Any, *, width: int, norm: str, seed: int) -> list:
    """Strided convolutions that halve the side at each block; all blocks' activations."""
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}, got {norm!r}")
    x, blocks = images, []
    for i in range(num_scales(_checked_size(images.shape[1:]))):
        name = f"down_{i}"
        convolution = layers.Conv2D
        if norm == "spectral":
            convolution = partial(SpectralConv2D, seed=seed)
        x = convolution(
            width << i,
            KERNEL,
            strides=2,
            padding="same",
            name=name,
            kernel_initializer=initializer(seed, name),
        )(x)
        if norm == "batch" and i:  # the paper leaves the first block without
            x = layers.BatchNormalization(name=f"norm_{i}")(x)
        elif norm == "layer" and i:
            x = layers.LayerNormalization(axis=(1, 2, 3), name=f"norm_{i}")(x)
        x = layers.LeakyReLU(0.2, name=f"block_{i}")(x)
        blocks.append(x)
    return blocks


def discriminator(
    image_shape: tuple[int, int, int],
    *,
    num_classes: int,
    width: int,
    norm: str,
    seed: int,
) -> keras.Model:
    """Build images `[N, H, W, C]` (and class weights `[N, num_classes]`) -> logits `[N, 1]`.

    A logit above 0 says "real". The layers `block_0`, `block_1`, ... are the features that
    detectors compare; they do not depend on the class.
    """
    images = keras.Input(image_shape, name="images")
    x = _downsampling_blocks(images, width=width, norm=norm, seed=seed)[-1]
    flat = layers.Flatten(name="flatten")(x)
    logit = layers.Dense(1, name="logit", kernel_initializer=initializer(seed, "logit"))(flat)
    if num_classes:
        classes = keras.Input((num_classes,), name="classes")
        embedding = layers.Dense(
            flat.shape[-1],
            use_bias=False,
            name="embed",
            kernel_initializer=initializer(seed, "embed"),
        )(classes)
        projection = layers.Dot(axes=1, name="projection")([embedding, flat])
        logit = layers.Add(name="conditional_logit")([logit, projection])
        return keras.Model([images, classes], logit, name="discriminator")
    return keras.Model(images, logit, name="discriminator")


def encoder(
    image_shape: tuple[int, int, int],
    *,
    latent_dim: int,
    num_classes: int,
    width: int,
    seed: int,
) -> keras.Model:
    """Build images `[N, H, W, C]` -> noise `[N, latent_dim]` (and classes `[N, num_classes]`).

    The discriminator's shape with batch normalisation, as in f-AnoGAN (Schlegl et al. 2019). The
    outputs feed the generator as they are.
    """
    images = keras.Input(image_shape, name="images")
    x = _downsampling_blocks(images, width=width, norm="batch", seed=seed)[-1]
    flat = layers.Flatten(name="flatten")(x)
    noise = layers.Dense(latent_dim, name="noise", kernel_initializer=initializer(seed, "noise"))(
        flat
    )
    if not num_classes:
        return keras.Model(images, noise, name="encoder")
    classes = layers.Dense(
        num_classes,
        activation="softmax",
        name="classes",
        kernel_initializer=initializer(seed, "classes"),
    )(flat)
    return keras.Model(images, [noise, classes], name="encoder")

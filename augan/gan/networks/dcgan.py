"""DCGAN (Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional GANs").

The generator has batch normalization, ReLU and a tanh output; the discriminator has strided
convolutions and LeakyReLU 0.2; weights start from N(0, 0.02). The generator upsamples by transposed
convolutions, as in the paper, or by nearest-neighbor upsampling and a convolution (Odena et al.
2016, "Deconvolution and Checkerboard Artifacts"), which is slower and smoother.

The class enters the generator through conditional batch normalization or through an embedding that
is concatenated to the noise, and the discriminator through projection. A class is a vector
`[K]` and not an index: one-hot, or the probabilities of a mixture of classes. The class
probabilities that the encoder predicts for an unlabeled image go straight into the generator.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
from keras import layers

from augan.choices import ARCHITECTURES, Architecture
from augan.gan.networks.fast_conv import KERNEL_SIZE, Conv2D, Conv2DTranspose
from augan.gan.networks.layers import (
    build_discriminator,
    build_encoder,
    conditional_batch_norm,
    generator_inputs,
    he_normal,
    norm_act_dropout,
    normalized_layer,
    random_normal,
)

# The width doubles at most this often from block to block: images of 64 pixels reach the limit.
_MAX_DOUBLINGS = 3


def num_scales(size: int) -> int:
    """Return the number of times that DCGAN halves a side of `size` pixels.

    The smallest feature map has a side of 4 to 7 pixels, or of 2 or 3 for images below 16 pixels.
    """
    return max(2, (size // 4).bit_length() - 1)


def _filters(width: int, depth: int) -> int:
    """Return the number of channels of the block `depth` blocks away from the image.

    The number is `width` next to the image and doubles with each block, up to 8 times `width`.
    """
    return width << min(depth, _MAX_DOUBLINGS)


def _checked_size(image_shape: tuple[int, int, int]) -> int:
    """Return the side of images `(H, W, C)`; ValueError unless DCGAN can halve the side."""
    height, width, _ = image_shape
    if height != width or height < 8 or height % (1 << num_scales(height)):
        raise ValueError(f"images must be squares of 8, 16, 32, ... pixels, got {height}x{width}")
    return height


def _transposed(x: Any, filters: int, name: str, seed: int, **arguments: Any) -> Any:
    """Double the side of feature maps by a transposed convolution to `filters` channels."""
    return Conv2DTranspose(
        filters,
        KERNEL_SIZE,
        strides=2,
        padding="same",
        name=name,
        kernel_initializer=random_normal(seed, name),
        **arguments,
    )(x)


def _upsampled(x: Any, filters: int, name: str, seed: int, **arguments: Any) -> Any:
    """Double the side of feature maps by nearest-neighbor upsampling and a 3 x 3 convolution."""
    x = layers.UpSampling2D(name=f"{name}_twice")(x)
    return layers.Conv2D(
        filters,
        3,
        padding="same",
        name=name,
        kernel_initializer=random_normal(seed, name),
        **arguments,
    )(x)


def _generator(
    image_shape: tuple[int, int, int],
    *,
    upsample: Callable[..., Any],
    latent_dim: int,
    num_classes: int,
    width: int,
    seed: int,
    conditioning: str = "norm",
) -> keras.Model:
    """Build a DCGAN generator: noise `[N, latent_dim]` (and classes) -> images `[N, H, W, C]`.

    Parameters
    ----------
    image_shape : (int, int, int)
        Height, width and channels. Images are squares with a side of at least 8 pixels, divisible
        by 2 to the power of `num_scales(side)`, such as 8, 16, 32 or 64.
    upsample : callable
        (x, filters, name, seed, ...) -> feature maps of twice the side.
    latent_dim, num_classes : int
        Length of the noise; number of classes, 0 for an unconditional generator. Classes are a
        second input `[N, num_classes]`.
    width : int
        Number of channels of the last hidden block; doubles towards the noise, up to 8 times.
    seed : int
        Seed of the initial weights.
    conditioning : {"norm", "embedding"}
        Entry of the class, see `augan.gan.networks.layers.generator_inputs`.

    Raises
    ------
    ValueError
        `image_shape` or `conditioning` is not valid.
    """
    size, channels = _checked_size(image_shape), image_shape[2]
    scales = num_scales(size)
    start, filters = size >> scales, _filters(width, scales - 1)
    inputs, x, classes = generator_inputs(latent_dim, num_classes, conditioning, seed)
    x = layers.Dense(
        start * start * filters,
        use_bias=False,
        name="project",
        kernel_initializer=random_normal(seed, "project"),
    )(x)
    x = layers.Reshape((start, start, filters), name="seed_map")(x)
    x = conditional_batch_norm(x, classes, "0")
    for i in range(1, scales):
        x = upsample(x, _filters(width, scales - 1 - i), f"up_{i}", seed, use_bias=False)
        x = conditional_batch_norm(x, classes, str(i))
    image = upsample(x, channels, "image", seed, activation="tanh", dtype="float32")
    return keras.Model(inputs, image, name="generator")


def _backbone(
    images: Any, *, width: int, norm: str, dropout: float, seed: int, weights: str = "normal"
) -> Any:
    """Apply the discriminator's strided convolutions, each of which halves the side; flatten.

    `weights` is "normal" (DCGAN's initialization) or "he", which trains faster without
    normalization. `width` is the number of channels of the first block. Returns features `[N, F]`.
    """
    x, initializer = images, {"normal": random_normal, "he": he_normal}[weights]
    for i in range(num_scales(_checked_size(images.shape[1:]))):
        name = f"down_{i}"
        convolution = normalized_layer(Conv2D, norm, seed)
        x = convolution(
            _filters(width, i),
            KERNEL_SIZE,
            strides=2,
            padding="same",
            name=name,
            kernel_initializer=initializer(seed, name),
        )(x)
        x = norm_act_dropout(x, norm, i, dropout, seed)
    return layers.Flatten(name="flatten")(x)


dcgan_generator = partial(_generator, upsample=_transposed)
dcgan_upsampling_generator = partial(_generator, upsample=_upsampled)
dcgan_discriminator = partial(build_discriminator, _backbone)
dcgan_encoder = partial(build_encoder, _backbone)

ARCHITECTURES.register(
    Architecture(
        "dcgan",
        description="strided and transposed convolutions",
        paper="Radford et al. 2016",
        roles=("generator", "discriminator", "encoder"),
        default_for=("image",),
        arguments=("conditioning", "norm", "dropout", "weights"),
        min_size=8,
        has_feature_maps=True,
    ),
    {
        "generator": dcgan_generator,
        "discriminator": dcgan_discriminator,
        "encoder": dcgan_encoder,
    },
)
ARCHITECTURES.register(
    Architecture(
        "dcgan-upsampling",
        description="DCGAN with upsampling instead of transposed convolutions: slower and smoother",
        paper="Odena et al. 2016",
        roles=("generator", "discriminator", "encoder"),
        arguments=("conditioning", "norm", "dropout", "weights"),
        min_size=8,
        has_feature_maps=True,
    ),
    {
        "generator": dcgan_upsampling_generator,
        "discriminator": dcgan_discriminator,
        "encoder": dcgan_encoder,
    },
)

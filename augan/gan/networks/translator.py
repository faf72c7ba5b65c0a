"""Translator of images to another look, and the patch discriminator that it is trained against.

The translator is a small residual network between a strided convolution and nearest-neighbor
upsampling, with a skip connection at full size (Zhu et al. 2017, "Unpaired Image-to-Image
Translation using Cycle-Consistent Adversarial Networks"; Ronneberger et al. 2015, "U-Net"). Noise
beside the image makes the translation random. The output is linear: a saturated output would stop
the gradient of the cycle loss. The discriminator classifies overlapping patches (Isola et al. 2017)
with the class projected at each place (Miyato and Koyama 2018). Both networks take images of any
size that is divisible by their strides.
"""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from augan.choices import ARCHITECTURES, Architecture
from augan.gan.networks.fast_conv import KERNEL_SIZE, Conv2D, UpsampledConv2D
from augan.gan.networks.layers import SpectralConv2D, class_input, he_normal, random_normal
from augan.gan.tensorflow import Tensor


def num_halvings(size: int) -> int:
    """Return how often a translator that was trained on images of `size` pixels halves a side.

    Once up to 32 pixels, twice above: the residual blocks must see enough of the image.
    """
    return 1 if size <= 32 else 2


def num_patch_layers(size: int) -> int:
    """Return the number of strided layers of a patch discriminator for images of `size` pixels.

    Three layers see patches of 22 pixels, four 46 and five 94; a map has 2 to 8 patches a side.
    """
    return min(5, max(3, size.bit_length() - 3))


def _convolution(x: Any, filters: int, name: str, seed: int, size: int = 3, **options: Any) -> Any:
    """Apply a convolution with padding "same" and He's initialization."""
    return Conv2D(
        filters,
        size,
        padding="same",
        name=name,
        kernel_initializer=he_normal(seed, name),
        **options,
    )(x)


def _residual_block(x: Any, name: str, seed: int) -> Any:
    """Add two 3 x 3 convolutions of an activation to the activation."""
    y = layers.LeakyReLU(0.2, name=f"{name}_active_0")(x)
    y = _convolution(y, x.shape[-1], f"{name}_0", seed)
    y = layers.LeakyReLU(0.2, name=f"{name}_active_1")(y)
    # A small second convolution: each block starts close to the identity.
    y = Conv2D(
        x.shape[-1],
        3,
        padding="same",
        name=f"{name}_1",
        kernel_initializer=random_normal(seed, f"{name}_1"),
    )(y)
    return layers.Add(name=name)([x, y])


def translator(
    image_shape: tuple[int, int, int],
    *,
    out_channels: int,
    noise_channels: int,
    width: int,
    blocks: int,
    seed: int,
) -> keras.Model:
    """Build a translator: images `[N, H, W, C]` (and noise `[N, H, W, K]`) -> images of a new look.

    The output `[N, H, W, out_channels]` is linear, about -1 to 1.

    Parameters
    ----------
    image_shape : (int, int, int)
        Height, width and channels of the training images. The network takes images of any height
        and width that `2 ** num_halvings(height)` divides.
    out_channels : int
        Channels of the translated images.
    noise_channels : int
        Channels K of the noise, a second input; 0: no such input.
    width : int
        Channels of the first layer, which double each time the side is halved.
    blocks : int
        Number of residual blocks at the smallest size.
    seed : int
        Seed of the initial weights.
    """
    images = keras.Input((None, None, image_shape[2]), name="images")
    inputs, x = images, images
    if noise_channels:
        noise = keras.Input((None, None, noise_channels), name="noise")
        inputs = [images, noise]
        x = layers.Concatenate(name="image_and_noise")(inputs)
    skips = []
    x = _convolution(x, width, "first", seed)
    for i in range(num_halvings(image_shape[0])):
        x = layers.LeakyReLU(0.2, name=f"active_{i}")(x)
        skips.append(x)
        x = _convolution(x, width << (i + 1), f"down_{i}", seed, KERNEL_SIZE, strides=2)
    for block in range(blocks):
        x = _residual_block(x, f"residual_{block}", seed)
    for i in reversed(range(len(skips))):
        x = layers.LeakyReLU(0.2, name=f"active_up_{i}")(x)
        # Two convolutions and their sum are one convolution of the concatenated maps.
        x = UpsampledConv2D(
            width << i,
            3,
            padding="same",
            use_bias=False,
            name=f"up_{i}",
            kernel_initializer=he_normal(seed, f"up_{i}"),
        )(x)
        x = layers.Add(name=f"up_and_skip_{i}")(
            [x, _convolution(skips[i], width << i, f"skip_{i}", seed)]
        )
    x = layers.LeakyReLU(0.2, name="active_last")(x)
    x = Conv2D(
        out_channels,
        3,
        padding="same",
        name="image",
        kernel_initializer=random_normal(seed, "image"),
    )(x)
    image = layers.Activation("linear", name="linear", dtype="float32")(x)
    return keras.Model(inputs, image, name="translator")


class PlaceProjection(layers.Layer):
    """Inner product of the embedded class and the features at each place, `[N, h, w, 1]`.

    The inputs are features `[N, h, w, F]` and embedded classes `[N, F]`.
    """

    def call(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        features, embedded = inputs
        return tf.einsum("nhwf,nf->nhw", features, embedded)[..., None]


def patch_discriminator(
    image_shape: tuple[int, int, int], *, num_classes: int, width: int, seed: int
) -> keras.Model:
    """Build a patch discriminator: images (and classes) -> logits of patches `[N, h, w, 1]`.

    Every convolution is spectrally normalized. Classes are a second input `[N, num_classes]`: a
    one-hot row, or a row of zeros for an image without a class, which gives the logits of the
    unconditional part.

    Parameters
    ----------
    image_shape : (int, int, int)
        Height, width and channels of the training images; the network takes images of any size.
    num_classes : int
        0: no second input.
    width : int
        Channels of the first layer; layer i has i + 1 times as many.
    seed : int
        Seed of the initial weights and singular vectors.
    """
    images = keras.Input((None, None, image_shape[2]), name="images")
    x = images
    for i in range(num_patch_layers(image_shape[0])):
        x = SpectralConv2D(
            width * (i + 1),
            KERNEL_SIZE,
            strides=2,
            padding="same",
            name=f"down_{i}",
            kernel_initializer=he_normal(seed, f"down_{i}"),
            seed=seed,
        )(x)
        x = layers.LeakyReLU(0.2, name=f"block_{i}")(x)
    logits = SpectralConv2D(
        1,
        1,
        padding="same",
        name="logit",
        kernel_initializer=he_normal(seed, "logit"),
        seed=seed,
        dtype="float32",
    )(x)
    classes = class_input(num_classes)
    if classes is None:
        return keras.Model(images, logits, name="patch_discriminator")
    embed = layers.Dense(
        x.shape[-1],
        use_bias=False,
        name="embed",
        kernel_initializer=random_normal(seed, "embed"),
        dtype="float32",
    )
    projection = PlaceProjection(name="projection", dtype="float32")([x, embed(classes)])
    logits = layers.Add(name="conditional_logit", dtype="float32")([logits, projection])
    return keras.Model([images, classes], logits, name="patch_discriminator")


ARCHITECTURES.register(
    Architecture(
        "translator",
        description="translation of images to another look, against a discriminator of patches",
        paper="Zhu et al. 2017",
        roles=("translator", "patch_discriminator"),
        default_for=("image",),
        min_size=8,
    ),
    {"translator": translator, "patch_discriminator": patch_discriminator},
)

"""Auxiliary heads on the discriminator's blocks.

The localization head classifies each location of an image as intact or corrupted, as in a U-Net
discriminator (Schonfeld et al. 2020), but at the resolution of the blocks. The transformation head
predicts which transformation was applied to an image, see `augan.gan.self_supervision`.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from augan.choices import ARCHITECTURES, Architecture
from augan.gan.networks.layers import he_normal, random_normal
from augan.gan.self_supervision import HEAD_SIZES

HIDDEN_UNITS = 128
# Blocks whose resolution is a quarter to a sixteenth of the image's side.
_FIRST_BLOCK, _LAST_BLOCK = 1, 3


def localization_head(features: tuple[int], *, seed: int) -> keras.Model:
    """Build the head that classifies each location of an image as intact or corrupted.

    Concatenated blocks `[N, H, W, F]` -> logits `[N, H, W, 1]`; above 0 means intact. `features` is
    `(F,)`; `seed` sets the initial weights.
    """
    blocks = keras.Input((None, None, *features), name="features")
    x = layers.Conv2D(HIDDEN_UNITS, 1, name="hidden", kernel_initializer=he_normal(seed, "hidden"))(
        blocks
    )
    x = layers.LeakyReLU(0.2, name="active")(x)
    logits = layers.Conv2D(1, 1, name="places", kernel_initializer=random_normal(seed, "places"))(x)
    return keras.Model(blocks, logits, name="places")


def transformation_head(features: tuple[int], *, seed: int) -> keras.Model:
    """Build the head that predicts the transformation of an image.

    Features of the discriminator's last block `[N, F]` -> logits `[N, 13]`, the four heads of
    `augan.gan.self_supervision` side by side. `features` is `(F,)`; `seed` sets the initial
    weights.
    """
    last_block = keras.Input(features, name="features")
    logits = layers.Dense(
        sum(HEAD_SIZES), name="heads", kernel_initializer=random_normal(seed, "heads")
    )(last_block)
    return keras.Model(last_block, logits, name="heads")


def concat_blocks(blocks: Sequence[Any]) -> Any:
    """Concatenate the discriminator's middle blocks as the input of the localization head.

    `blocks` are the activations `[N, h, w, f]` of all blocks, first block first. Blocks 1 to 3 are
    upsampled to the size of block 1. Returns `[N, H / 4, W / 4, F]` for images of H x W pixels.
    """
    upsampled = [blocks[_FIRST_BLOCK]]
    for i, block in enumerate(blocks[_FIRST_BLOCK + 1 : _LAST_BLOCK + 1], 1):
        upsampled.append(tf.repeat(tf.repeat(block, 2**i, axis=1), 2**i, axis=2))
    return tf.concat(upsampled, axis=-1)


def concat_channels(blocks: keras.Model) -> list[int]:
    """Return the number of channels of each block that `concat_blocks` concatenates.

    `blocks` is a model whose outputs are all blocks, see `feature_blocks`.
    """
    return [block.shape[-1] for block in blocks.outputs[_FIRST_BLOCK : _LAST_BLOCK + 1]]


def fully_convolutional(discriminator: keras.Model) -> keras.Model:
    """Build a copy of the discriminator's blocks for images of any size, with shared weights.

    Images `[N, H, W, C]` -> list of the activations of `block_0`, `block_1`, ... Away from the
    edges, the activations at a location are those of a tile around the location.

    Raises
    ------
    ValueError
        A layer of the backbone depends on the size of its input.
    """
    names = [layer.name for layer in discriminator.layers]
    last = max(i for i, name in enumerate(names) if name.startswith("block_"))
    x = images = keras.Input((None, None, discriminator.inputs[0].shape[-1]), name="images")
    blocks = []
    for layer in discriminator.layers[1 : last + 1]:
        if isinstance(layer, layers.LayerNormalization | layers.Flatten):
            raise ValueError(f"the layer {layer.name} of the discriminator depends on the size")
        x = layer(x)
        if layer.name.startswith("block_"):
            blocks.append(x)
    return keras.Model(images, blocks, name="dense_blocks")


ARCHITECTURES.register(
    Architecture(
        "linear",
        description="one dense layer on the features of the discriminator",
        roles=("transformation_head",),
        default_for=("image",),
    ),
    {"transformation_head": transformation_head},
)
ARCHITECTURES.register(
    Architecture(
        "convolutional",
        description="two 1 x 1 convolutions on the feature maps of the discriminator",
        roles=("localization_head",),
        default_for=("image",),
    ),
    {"localization_head": localization_head},
)

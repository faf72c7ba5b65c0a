"""A head that judges each place of an image, and the discriminator's blocks over any size.

The discriminator says of a whole image whether it is real; this head says it of each place, as in
a U-Net discriminator (Schonfeld et al. 2020), but at the resolution of the blocks.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from augan.gan.networks.layers import he, normal
from augan.gan.self_supervision import HEADS

HIDDEN = 128
_FIRST, _LAST = 1, 3  # blocks whose places are a quarter to a sixteenth of the image's side


def places(features: tuple[int], *, seed: int) -> keras.Model:
    """Build joined blocks `[N, H, W, F]` -> logits `[N, H, W, 1]`, above 0 where all is well."""
    seen = keras.Input((None, None, *features), name="features")
    x = layers.Conv2D(HIDDEN, 1, name="hidden", kernel_initializer=he(seed, "hidden"))(seen)
    x = layers.LeakyReLU(0.2, name="active")(x)
    logits = layers.Conv2D(1, 1, name="places", kernel_initializer=normal(seed, "places"))(x)
    return keras.Model(seen, logits, name="places")


def joined(blocks: Sequence[Any]) -> Any:
    """Return the middle blocks side by side at the places of the finest, `[N, H / 4, W / 4, F]`."""
    parts = [blocks[_FIRST]]
    for i, block in enumerate(blocks[_FIRST + 1 : _LAST + 1], 1):
        parts.append(tf.repeat(tf.repeat(block, 2**i, axis=1), 2**i, axis=2))
    return tf.concat(parts, axis=-1)


def joined_sizes(blocks: keras.Model) -> list[int]:
    """Return the channels of each of the blocks that are joined."""
    return [shape[-1] for shape in blocks.output_shape[_FIRST : _LAST + 1]]


def dense_blocks(discriminator: keras.Model) -> keras.Model:
    """Return images `[N, H, W, C]` of any size -> the activations of `block_0`, `block_1`, ...

    Weights are shared. Apart from the edges, each place is seen as in a window around it.

    Raises
    ------
    ValueError
        A layer of the trunk depends on the size of its input.
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


def heads(features: tuple[int], *, seed: int) -> keras.Model:
    """Build features of the discriminator's last block `[N, F]` -> logits `[N, 13]`."""
    deep = keras.Input(features, name="features")
    logits = layers.Dense(sum(HEADS), name="heads", kernel_initializer=normal(seed, "heads"))(deep)
    return keras.Model(deep, logits, name="heads")

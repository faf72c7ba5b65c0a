"""Negatives: real images spoilt at random, which the discriminator learns to reject beside the
generator's (Sinha et al. 2021, "Negative Data Augmentation").

The generator's images come ever closer to the real ones and teach little about defects; these do.
Each kind takes images `[N, S, S, C]` in [-1, 1] and a seed, an int32 tensor `[2]`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from augan.gan.defects import DEFECTS

Tensor = Any


def cut_paste(images: Tensor, seed: Tensor) -> Tensor:
    """Paste a piece of another image, from another place (Li et al. 2021, "CutPaste")."""
    mask = _rectangle(images, seed, 0.15, 0.6)
    return images * (1 - mask) + _elsewhere(images, seed) * mask


def jigsaw(images: Tensor, seed: Tensor) -> Tensor:
    """Swap the halves of each image, upper with lower or left with right."""
    half = images.shape[1] // 2
    flat = tf.roll(images, half, axis=1)
    upright = tf.roll(images, half, axis=2)
    return tf.where(_uniform(images, seed, 0) < 0.5, flat, upright)


def perlin(images: Tensor, seed: Tensor) -> Tensor:
    """Blend another place of another image into blobs of smooth noise.

    Zavrtanik et al. 2021, "DRAEM", with noise of two octaves in place of Perlin's.
    """
    count, side = tf.shape(images)[0], images.shape[1]
    noise = sum(
        tf.image.resize(
            tf.random.stateless_normal((count, cells, cells, 1), seed + tf.constant([cells, 0])),
            (side, side),
            method="bicubic",
        )
        for cells in (4, 8)
    )
    level = 1.0 + 0.8 * _uniform(images, seed, 1)
    blobs = tf.cast(noise > level, images.dtype)
    strength = 0.4 + 0.6 * _uniform(images, seed, 2)
    return images + blobs * strength * (_elsewhere(images, seed) - images)


def scar(images: Tensor, seed: Tensor) -> Tensor:
    """Draw a thin line of any direction, darker or lighter than what lies there."""
    side = images.shape[1]
    axis = (tf.range(side, dtype=images.dtype) + 0.5) / side
    down, across = axis[None, :, None, None], axis[None, None, :, None]
    angle = 3.14159 * _uniform(images, seed, 3)
    y = down - (0.2 + 0.6 * _uniform(images, seed, 4))
    x = across - (0.2 + 0.6 * _uniform(images, seed, 5))
    along = x * tf.cos(angle) + y * tf.sin(angle)
    off = -x * tf.sin(angle) + y * tf.cos(angle)
    length = 0.1 + 0.25 * _uniform(images, seed, 6)
    width = (0.6 + 1.4 * _uniform(images, seed, 7)) / side
    line = tf.cast((tf.abs(along) < length) & (tf.abs(off) < width), images.dtype)
    change = tf.where(_uniform(images, seed, 8) < 0.5, -1.0, 1.0)
    change *= 0.2 + 0.8 * _uniform(images, seed, 9)
    return tf.clip_by_value(images + line * change, -1.0, 1.0)


NEGATIVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cut_paste": cut_paste,
    "jigsaw": jigsaw,
    "perlin": perlin,
    "scar": scar,
    **DEFECTS,
}
VISIBLE = 0.05  # the least change of a pixel that counts as one


def spoil(images: Tensor, kinds: Sequence[str], seed: Tensor) -> Tensor:
    """Return the images with one of `kinds` each, in equal parts; N is known beforehand."""
    count = images.shape[0]
    ends = [count * (i + 1) // len(kinds) for i in range(len(kinds))]
    parts = tf.split(images, [end - start for start, end in zip([0, *ends], ends)])
    spoilt = [
        NEGATIVES[kind](part, seed + tf.constant([16 * (i + 1), 0]))
        for i, (kind, part) in enumerate(zip(kinds, parts))
    ]
    return tf.concat(spoilt, axis=0)


def spoilt_places(images: Tensor, spoilt: Tensor, stride: int) -> Tensor:
    """Return 1 for each place of `stride` x `stride` pixels that was changed, `[N, H, W, 1]`."""
    change = tf.reduce_max(tf.abs(spoilt - images), axis=-1, keepdims=True)
    return tf.nn.max_pool2d(tf.cast(change > VISIBLE, images.dtype), stride, stride, "SAME")


def _uniform(images: Tensor, seed: Tensor, slot: int) -> Tensor:
    """One number in [0, 1) for each image, `[N, 1, 1, 1]`."""
    shape = (tf.shape(images)[0], 1, 1, 1)
    return tf.random.stateless_uniform(shape, seed + tf.constant([100 + slot, 0]))


def _rectangle(images: Tensor, seed: Tensor, least: float, most: float) -> Tensor:
    """1 inside a random rectangle of each image, `[N, S, S, 1]`; its sides are shares of S."""
    side = images.shape[1]
    centres = (tf.range(side, dtype=images.dtype) + 0.5) / side
    inside = []
    for slot, places in ((10, centres[None, :, None, None]), (12, centres[None, None, :, None])):
        length = least + (most - least) * _uniform(images, seed, slot)
        start = (1 - length) * _uniform(images, seed, slot + 1)
        inside.append((places >= start) & (places < start + length))
    return tf.cast(inside[0] & inside[1], images.dtype)


def _elsewhere(images: Tensor, seed: Tensor) -> Tensor:
    """The batch's neighbour of each image, rolled by a random way."""
    side = images.shape[1]
    way = tf.random.stateless_uniform((2,), seed, side // 8, side - side // 8, dtype=tf.int32)
    return tf.roll(tf.roll(images, 1, axis=0), way, axis=(1, 2))

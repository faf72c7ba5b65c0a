"""Differentiable augmentation of the discriminator's inputs.

Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training": the same random
policy changes real and generated images, and the generator's gradient passes through the policy.

Each policy takes images `[N, H, W, C]` in [-1, 1] and a seed, an int32 tensor `[2]`.
"""

from collections.abc import Sequence

import tensorflow as tf

from augan.choices import DIFFAUGMENT_POLICIES, DiffAugmentPolicy
from augan.gan import distribution
from augan.gan.tensorflow import Tensor


@DIFFAUGMENT_POLICIES.register(
    DiffAugmentPolicy("translation", description="shifts images by up to an eighth of their side")
)
def translation(images: Tensor, seed: Tensor, ratio: float = 0.125) -> Tensor:
    """Shift each image by up to `ratio` of its side and fill the border with 0 (mid gray).

    Each image has a random shift in both directions. The shift is a product with one-hot matrices.
    On a CPU it is faster than a gather, and its gradient is the transposed product, which is the
    same to the bit in every run.
    """
    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    rows = _shift_matrices(count, height, ratio, seed)
    columns = _shift_matrices(count, width, ratio, seed + tf.constant([1, 0]))
    shifted = tf.einsum("nij,njwc->niwc", rows, images)
    return tf.einsum("nvw,niwc->nivc", columns, shifted)


@DIFFAUGMENT_POLICIES.register(
    DiffAugmentPolicy("color", description="changes brightness, saturation and contrast")
)
def color(images: Tensor, seed: Tensor) -> Tensor:
    """Change brightness, saturation and contrast of each image at random.

    Brightness changes by up to 0.5, saturation by a factor from 0 to 2, contrast by a factor from
    0.5 to 1.5.
    """
    brightness, saturation, contrast = (_one_per_image(images, seed, i) for i in range(3))
    images = images + (brightness - 0.5)
    gray = tf.reduce_mean(images, axis=3, keepdims=True)
    images = (images - gray) * (2 * saturation) + gray
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    return (images - mean) * (contrast + 0.5) + mean


@DIFFAUGMENT_POLICIES.register(
    DiffAugmentPolicy("cutout", description="erases a square of half the side")
)
def cutout(images: Tensor, seed: Tensor, ratio: float = 0.5) -> Tensor:
    """Erase a square at a random position of each image: set its pixels to 0 (mid gray).

    The side of the square is `ratio` times the side of the image; the image's border may cut the
    square.
    """
    rows = _outside_stripe(images, 1, seed, ratio)
    columns = _outside_stripe(images, 2, seed + tf.constant([1, 0]), ratio)
    keep = tf.maximum(rows[:, :, None], columns[:, None, :])  # 0 only inside both stripes
    return images * keep[..., None]


def _one_per_image(images: Tensor, seed: Tensor, slot: int) -> Tensor:
    """Return one uniform random number in [0, 1) for each image, `[N, 1, 1, 1]`."""
    shape = (tf.shape(images)[0], 1, 1, 1)
    return distribution.uniform(shape, seed + tf.constant([slot, 0]))


def _outside_stripe(images: Tensor, axis: int, seed: Tensor, ratio: float) -> Tensor:
    """Return a mask `[N, side]`, 0 inside a random stripe across each image and 1 outside.

    `axis` is 1 for rows or 2 for columns; the stripe has `ratio` times the side, less at the
    border.
    """
    count, side = tf.shape(images)[0], images.shape[axis]
    length = max(1, round(side * ratio))
    center = distribution.uniform((count, 1), seed, 0, side, dtype=tf.int32)
    offset = tf.range(side)[None, :] - (center - length // 2)
    return tf.cast((offset < 0) | (offset >= length), images.dtype)


def _shift_matrices(count: Tensor, side: int, ratio: float, seed: Tensor) -> Tensor:
    """Return one-hot matrices `[count, side, side]` for shifts of up to `ratio` times the side."""
    limit = max(1, round(side * ratio))
    shift = distribution.uniform((count, 1), seed, -limit, limit + 1, dtype=tf.int32)
    return tf.one_hot(tf.range(side)[None, :] - shift, side)  # [N, side, side]; outside: zeros


def augment(images: Tensor, policies: Sequence[str], seed: Tensor) -> Tensor:
    """Return images changed by several augmentation policies, one after another.

    Parameters
    ----------
    images : Tensor [N, H, W, C]
        Real or generated images in [-1, 1].
    policies : sequence of str
        Names in `DIFFAUGMENT_POLICIES`, in the order of application; empty: the images stay
        unchanged.
    seed : Tensor [2]
        Int32 seed; each policy derives a different seed from it.
    """
    for position, name in enumerate(policies):
        images = DIFFAUGMENT_POLICIES.load(name)(
            images, seed + tf.constant([8 * (position + 1), 0])
        )
    return images

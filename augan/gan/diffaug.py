"""Differentiable augmentation (Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient
GAN Training"): what the discriminator sees, real or generated, is moved by the same random policy,
and the generator's gradient passes through it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

Tensor = Any


def translation(images: Tensor, seed: Tensor, ratio: float = 0.125) -> Tensor:
    """Shift each image `[N, H, W, C]` by up to `ratio` of its side; what enters is 0 (mid gray).

    The shift is a product with one-hot matrices: on a processor this is faster than a gather, and
    its gradient is the transposed product, the same to the bit in every run.
    """
    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    rows = _shift_matrices(count, height, ratio, seed)
    columns = _shift_matrices(count, width, ratio, seed + tf.constant([0, 1]))
    moved = tf.einsum("nij,njwc->niwc", rows, images)
    return tf.einsum("nvw,niwc->nivc", columns, moved)


def _shift_matrices(count: Tensor, side: int, ratio: float, seed: Tensor) -> Tensor:
    reach = max(1, round(side * ratio))
    shift = tf.random.stateless_uniform((count, 1), seed, -reach, reach + 1, dtype=tf.int32)
    return tf.one_hot(tf.range(side)[None, :] - shift, side)  # [N, side, side]; outside: zeros


POLICIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"translation": translation}


def augment(images: Tensor, policies: Sequence[str], seed: Tensor) -> Tensor:
    """Apply `policies` in turn to images `[N, H, W, C]`; `seed` is an int32 tensor `[2]`."""
    for position, name in enumerate(policies):
        images = POLICIES[name](images, seed + tf.constant([0, 16 * (position + 1)]))
    return images

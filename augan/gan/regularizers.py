"""Penalties on the discriminator's gradient, functions of what it judges.

`judge` maps images `[N, H, W, C]` to logits `[N, 1]`; each penalty returns the batch mean, to be
multiplied by a weight. A new penalty is one entry in `PENALTIES` and one row in its test.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from augan.gan import distribution

Tensor = Any
Judge = Callable[[Tensor], Tensor]


class Penalty(NamedTuple):
    """A penalty with the weight and the interval that its paper gives."""

    function: Callable[[Judge, Tensor, Tensor, Tensor], Tensor]  # judge, real, fake, seed
    weight: float
    every: int  # steps of the discriminator between two applications (lazy regularisation)


def _squared_gradient(judge: Judge, images: Tensor) -> Tensor:
    """Squared norm of the gradient of each logit by its image, `[N]`."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(judge(images))
    gradient = tape.gradient(total, images)
    return tf.reduce_sum(tf.square(gradient), axis=range(1, len(images.shape)))


def r1(judge: Judge, real: Tensor, fake: Tensor, seed: Tensor) -> Tensor:
    """Half the squared gradient at real images (Mescheder et al. 2018, eq. 9)."""
    del fake, seed
    return 0.5 * tf.reduce_mean(_squared_gradient(judge, real))


def gradient_penalty(judge: Judge, real: Tensor, fake: Tensor, seed: Tensor) -> Tensor:
    """Squared distance of the gradient's norm from 1 (Gulrajani et al. 2017, eq. 3).

    The gradient is taken between real and generated images, at a place drawn for each pair.
    """
    shape = (tf.shape(real)[0],) + (1,) * (len(real.shape) - 1)
    share = distribution.uniform(shape, seed)
    between = real + share * (fake - real)
    norm = tf.sqrt(_squared_gradient(judge, between) + 1e-12)
    return tf.reduce_mean(tf.square(norm - 1.0))


PENALTIES: dict[str, Penalty] = {
    "r1": Penalty(r1, weight=0.1, every=16),
    "wgan_gp": Penalty(gradient_penalty, weight=10.0, every=1),
}

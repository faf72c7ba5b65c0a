"""Adversarial losses: pairs of functions on logits `[N, 1]`, each returning the batch mean.

A new loss is one entry in `LOSSES` and one row of constants in its test.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

Tensor = Any


class AdversarialLoss(NamedTuple):
    """What the two players minimise."""

    discriminator: Callable[[Tensor, Tensor], Tensor]  # (logits of real, logits of fake) -> scalar
    generator: Callable[[Tensor], Tensor]  # logits of fake -> scalar


def _nonsaturating_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake))


def _nonsaturating_generator(fake: Tensor) -> Tensor:
    return tf.reduce_mean(tf.nn.softplus(-fake))


def _hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return tf.reduce_mean(tf.nn.relu(1.0 - real)) + tf.reduce_mean(tf.nn.relu(1.0 + fake))


def _hinge_generator(fake: Tensor) -> Tensor:
    return -tf.reduce_mean(fake)


LOSSES: dict[str, AdversarialLoss] = {
    # Goodfellow et al. 2014, section 3: maximise log D(G(z)) instead of minimising log(1 - D(G(z)))
    "nonsaturating": AdversarialLoss(_nonsaturating_discriminator, _nonsaturating_generator),
    # Lim and Ye 2017, "Geometric GAN", eqs. 17 and 18
    "hinge": AdversarialLoss(_hinge_discriminator, _hinge_generator),
}

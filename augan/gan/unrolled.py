"""Unrolled GANs (Metz et al. 2017, section 2.2): the generator looks k discriminator steps ahead.

The inner steps are plain gradient descent on copies of the weights, which stay tensors throughout:
Keras' optimisers assign variables, and nothing can be differentiated through an assignment.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from augan.gan import distribution

Tensor = Any


def look_ahead(
    weights: list[Tensor],
    loss: Callable[[list[Tensor], int], Tensor],
    *,
    steps: int,
    rate: float,
) -> list[Tensor]:
    """Return `weights` after `steps` of gradient descent, differentiable by all that `loss` uses.

    Parameters
    ----------
    weights : list of tensor
        Where descent starts.
    loss : callable
        (weights, number of the inner step) -> scalar.
    """
    for step in range(steps):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            value = loss(weights, step)
        gradients = tape.gradient(value, weights)
        weights = [
            weight if gradient is None else weight - rate * distribution.mean(gradient)
            for weight, gradient in zip(weights, gradients)
        ]
    return weights

"""Unrolled discriminator steps (Metz et al. 2017, "Unrolled GANs", section 2.2).

The generator trains against the discriminator after k further steps. The inner steps are plain
gradient descent on copies of the weights. The copies stay tensors, because Keras' optimizers assign
variables, and no gradient passes through an assignment.
"""

from collections.abc import Callable

import tensorflow as tf

from augan.gan import distribution
from augan.gan.tensorflow import Tensor


def unroll(
    weights: list[Tensor],
    loss: Callable[[list[Tensor], int], Tensor],
    *,
    steps: int,
    rate: float,
) -> list[Tensor]:
    """Return discriminator weights after a few steps of differentiable gradient descent.

    Gradients pass through the result to everything that `loss` depends on, such as generated
    images.

    Parameters
    ----------
    weights : list of tensor
        Start of the descent.
    loss : callable
        (weights, number of the inner step) -> scalar.
    steps : int
        Number of inner steps.
    rate : float
        Learning rate of the inner steps.
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

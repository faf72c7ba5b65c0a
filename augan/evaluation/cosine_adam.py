"""Adam with cosine decay of the learning rate, for the small networks of evaluations.

References
----------
Kingma, Ba (2015), Adam: a method for stochastic optimization. Loshchilov, Hutter (2017), SGDR.
"""

import math
from typing import Any

from augan.gan import tf

_BETAS = (0.9, 0.999)  # decay of the moments
_EPSILON = 1e-7


class CosineAdam:
    """Adam with cosine decay of the learning rate; one operation updates a variable.

    Keras' optimizer composes a dozen operations, which take 7 % of the time of a step.

    Parameters
    ----------
    variables : list of tf.Variable
        Weights, which are changed in place.
    steps : int
        Number of steps, after which the learning rate is 0.
    learning_rate : float
        Learning rate of the first step.
    """

    def __init__(self, variables: list[Any], steps: int, learning_rate: float) -> None:
        self.variables, self._steps, self._learning_rate = variables, steps, learning_rate
        self._moments = [
            (tf.Variable(tf.zeros_like(v)), tf.Variable(tf.zeros_like(v))) for v in variables
        ]
        self._finished = tf.Variable(0.0)  # number of finished steps

    @property
    def progress(self) -> Any:
        """Share of the finished steps, a float32 tensor from 0 to 1."""
        return self._finished / self._steps

    def reset(self) -> None:
        """Forget all former steps."""
        for variable in (self._finished, *(v for pair in self._moments for v in pair)):
            variable.assign(tf.zeros_like(variable))

    def apply(self, gradients: list[Any]) -> None:
        """Update all variables by their gradients."""
        decay = 0.5 * (1.0 + tf.cos(math.pi * self._finished / self._steps))
        step = self._finished.assign_add(1.0)
        beta_1, beta_2 = _BETAS
        for variable, moments, gradient in zip(self.variables, self._moments, gradients):
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=moments[0].handle,
                v=moments[1].handle,
                beta1_power=tf.pow(beta_1, step),
                beta2_power=tf.pow(beta_2, step),
                lr=self._learning_rate * decay,
                beta1=beta_1,
                beta2=beta_2,
                epsilon=_EPSILON,
                grad=gradient,
            )

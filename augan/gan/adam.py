"""Adam as one operation for each variable, where Keras composes it of a dozen."""

from typing import Any

import keras
import tensorflow as tf

Tensor = Any


class Adam(keras.optimizers.Adam):
    """Adam (Kingma and Ba 2015, the formula before section 2.1) with Keras' state and settings."""

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        """Update a variable and its two moments."""
        place = self._get_variable_index(variable)
        mean, square = self._momentums[place].value, self._velocities[place].value
        step = tf.cast(tf.convert_to_tensor(self.iterations) + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,  # Keras hands over what its own variable holds
            m=mean.handle,
            v=square.handle,
            beta1_power=tf.pow(tf.constant(self.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.constant(self.beta_2, variable.dtype), step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )

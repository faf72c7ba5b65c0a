"""Batch normalisation, as processors like it, of one batch or of several that are kept apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import tensorflow as tf

from augan.gan import replicas

Tensor = Any

_APART: ContextVar[int] = ContextVar("batches one behind another", default=1)


@contextmanager
def apart(batches: int) -> Iterator[None]:
    """Inside of this block what networks are given is as many batches, one behind another."""
    token = _APART.set(batches)
    try:
        yield
    finally:
        _APART.reset(token)


class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation; of images in training by TensorFlow's one operation for it.

    What Keras composes of a dozen takes twice as long. The variance that is kept for inference is
    the unbiased one, as in the paper (Ioffe and Szegedy 2015, algorithm 2).

    The statistics are those of the whole batch, also where several replicas share it: a replica's
    rows may be few, and then the network would be another than that of one replica. Batches that
    are kept `apart` have statistics of their own.
    """

    def call(self, inputs: Tensor, training: bool | None = None, mask: Any = None) -> Tensor:
        if not training or _APART.get() == 1:
            return self._alone(inputs, training, mask)
        batches = tf.split(inputs, _APART.get())
        return tf.concat([self._alone(batch, training, mask) for batch in batches], axis=0)

    def _alone(self, inputs: Tensor, training: bool | None, mask: Any) -> Tensor:
        several = replicas.count() > 1
        if not training or (len(inputs.shape) != 4 and not several):
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        scale = tf.ones(channels) if self.gamma is None else tf.convert_to_tensor(self.gamma)
        shift = tf.zeros(channels) if self.beta is None else tf.convert_to_tensor(self.beta)
        if several:
            outputs, mean, variance = self._over_replicas(inputs, scale, shift)
        else:
            outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                inputs, scale, shift, epsilon=self.epsilon, is_training=True
            )
        for kept, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            kept.assign(kept * self.momentum + now * (1.0 - self.momentum))
        return outputs

    def _over_replicas(
        self, inputs: Tensor, scale: Tensor, shift: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Do what one replica does with the whole batch; of rows it keeps the biased variance."""
        values, axes = tf.cast(inputs, tf.float32), list(range(len(inputs.shape) - 1))
        moments = tf.stack([tf.reduce_mean(x, axes) for x in (values, tf.square(values))])
        mean, square = tf.unstack(replicas.mean(moments))
        variance = tf.maximum(square - tf.square(mean), 0.0)
        outputs = tf.nn.batch_normalization(values, mean, variance, shift, scale, self.epsilon)
        if len(inputs.shape) == 4:
            size = tf.cast(tf.size(inputs) // inputs.shape[-1] * replicas.count(), tf.float32)
            return tf.cast(outputs, inputs.dtype), mean, variance * size / (size - 1.0)
        return tf.cast(outputs, inputs.dtype), mean, variance

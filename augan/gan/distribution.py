"""Data parallelism of one training step: local rows, shared random numbers, reduced losses.

Every replica receives the whole batch, prepares the inputs of the networks from it, and passes its
own rows through the networks: replica r of R has rows r B / R to (r + 1) B / R. Random numbers are
generated for the whole batch. Therefore a step gives the same result for every R, up to the
rounding of sums. With one replica, each function returns its input.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import tensorflow as tf

from augan.gan.tensorflow import Tensor


def num_replicas() -> int:
    """Return the number of replicas that share a batch."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def local_rows(values: Tensor, axis: int = 0) -> Tensor:
    """Return this replica's rows of `values`."""
    if num_replicas() == 1:
        return values
    rows = values.shape[axis]
    rows = (tf.shape(values)[axis] if rows is None else rows) // num_replicas()
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    begin, size = [0] * len(values.shape), [-1] * len(values.shape)
    begin[axis], size[axis] = replica * rows, rows
    return tf.slice(values, begin, size)


def uniform(shape: tuple[Any, ...], seed: Tensor, *limits: Any, dtype: Any = tf.float32) -> Tensor:
    """Return this replica's rows of `tf.random.stateless_uniform`; `shape` is that of its rows."""
    batch_shape = (shape[0] * num_replicas(), *shape[1:])
    return local_rows(tf.random.stateless_uniform(batch_shape, seed, *limits, dtype=dtype))


def normal(shape: tuple[Any, ...], seed: Tensor) -> Tensor:
    """Return this replica's rows of `tf.random.stateless_normal`; `shape` is that of its rows."""
    batch_shape = (shape[0] * num_replicas(), *shape[1:])
    return local_rows(tf.random.stateless_normal(batch_shape, seed))


def mean(value: Tensor) -> Tensor:
    """Return the mean over replicas; a gradient passes through it."""
    if num_replicas() == 1:
        return value
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, value)


def local_loss(loss: Tensor) -> Tensor:
    """Return this replica's share of a loss that is a mean over the batch.

    An optimizer adds the gradients of all replicas.
    """
    return loss if num_replicas() == 1 else loss / num_replicas()


def per_replica(step: Callable[..., dict[str, Tensor]]) -> Callable[..., dict[str, Tensor]]:
    """Decorate a method that returns scalars: run it on each replica and return the means."""

    @wraps(step)
    def run(self: Any, *data: Any) -> dict[str, Tensor]:
        if not tf.distribute.in_cross_replica_context():
            return step(self, *data)  # already on a replica, or there is only one
        names: list[str] = []

        def stacked_step(*data: Any) -> Tensor:
            values = step(self, *data)
            names[:] = values
            return tf.stack(list(values.values()))

        strategy = tf.distribute.get_strategy()
        # All scalars are in one tensor, because each reduction over machines takes time.
        values = strategy.run(stacked_step, args=data)
        return dict(zip(names, tf.unstack(strategy.reduce("MEAN", values, axis=None), len(names))))

    return run

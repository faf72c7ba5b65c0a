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
    """Return the number of replicas (copies of the networks, one a device) that share a batch."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def local_rows(values: Tensor, axis: int = 0) -> Tensor:
    """Return the part of a batch that this replica processes.

    Parameters
    ----------
    values : Tensor
        The same on every replica; the length of `axis` must be divisible by the number of replicas.
    axis : int
        Axis of the rows, default 0.
    """
    if num_replicas() == 1:
        return values
    rows = values.shape[axis]
    rows = (tf.shape(values)[axis] if rows is None else rows) // num_replicas()
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    begin, size = [0] * len(values.shape), [-1] * len(values.shape)
    begin[axis], size[axis] = replica * rows, rows
    return tf.slice(values, begin, size)


def uniform(shape: tuple[Any, ...], seed: Tensor, *limits: Any, dtype: Any = tf.float32) -> Tensor:
    """Return uniform random numbers for this replica's rows, the same for any number of replicas.

    Parameters
    ----------
    shape : tuple
        Shape of this replica's rows; the first axis is the rows.
    seed : Tensor [2]
        Int32 seed, the same on every replica.
    *limits : number
        Lower and upper limit, default [0, 1); required for an integer `dtype`.
    dtype : tf.DType
        Default float32.
    """
    batch_shape = (shape[0] * num_replicas(), *shape[1:])
    return local_rows(tf.random.stateless_uniform(batch_shape, seed, *limits, dtype=dtype))


def normal(shape: tuple[Any, ...], seed: Tensor) -> Tensor:
    """Return standard normal numbers for this replica's rows, the same for any number of replicas.

    `shape` is the shape of this replica's rows; `seed` is an int32 tensor `[2]`.
    """
    batch_shape = (shape[0] * num_replicas(), *shape[1:])
    return local_rows(tf.random.stateless_normal(batch_shape, seed))


def mean(value: Tensor) -> Tensor:
    """Return the mean of a tensor over all replicas; gradients pass through the mean."""
    if num_replicas() == 1:
        return value
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, value)


def local_loss(loss: Tensor) -> Tensor:
    """Return the share of a replica in a loss that is a mean over the batch.

    The mean of a replica's rows is divided by the number of replicas, because an optimizer adds the
    gradients of all replicas.
    """
    return loss if num_replicas() == 1 else loss / num_replicas()


def per_replica(step: Callable[..., dict[str, Tensor]]) -> Callable[..., dict[str, Tensor]]:
    """Decorate a training step, a method that returns scalars, to run on every replica.

    The decorated method returns the mean of each scalar over the replicas. On a replica, or without
    a distribution strategy, the method runs directly.
    """

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

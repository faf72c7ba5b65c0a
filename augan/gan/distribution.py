"""One step of training on several replicas as if it were one: own rows, common draws, sums of all.

Every replica is given the whole batch, prepares from it what the networks are to see, and puts its
own rows of that through the networks: replica r of R has rows r B / R to (r + 1) B / R. What is
drawn at random is drawn for the whole batch. So a step is the same whatever R, up to the rounding
of sums. Where there is one replica, each function here returns what it was given.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import tensorflow as tf

Tensor = Any


def count() -> int:
    """Return how many replicas share a batch."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def share(values: Tensor, axis: int = 0) -> Tensor:
    """Return the rows of this replica."""
    if count() == 1:
        return values
    rows = values.shape[axis]
    rows = (tf.shape(values)[axis] if rows is None else rows) // count()
    number = tf.distribute.get_replica_context().replica_id_in_sync_group
    begin, size = [0] * len(values.shape), [-1] * len(values.shape)
    begin[axis], size[axis] = number * rows, rows
    return tf.slice(values, begin, size)


def uniform(shape: tuple[Any, ...], seed: Tensor, *limits: Any, dtype: Any = tf.float32) -> Tensor:
    """Return this replica's rows of `tf.random.stateless_uniform`; `shape` is that of its rows."""
    whole = (shape[0] * count(), *shape[1:])
    return share(tf.random.stateless_uniform(whole, seed, *limits, dtype=dtype))


def normal(shape: tuple[Any, ...], seed: Tensor) -> Tensor:
    """Return this replica's rows of `tf.random.stateless_normal`; `shape` is that of its rows."""
    return share(tf.random.stateless_normal((shape[0] * count(), *shape[1:]), seed))


def mean(value: Tensor) -> Tensor:
    """Return the mean over replicas; a gradient passes through it."""
    if count() == 1:
        return value
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, value)


def part(loss: Tensor) -> Tensor:
    """Return this replica's part of a loss that is a mean over the batch.

    An optimiser adds the gradients of all replicas.
    """
    return loss if count() == 1 else loss / count()


def on_each(step: Callable[..., dict[str, Tensor]]) -> Callable[..., dict[str, Tensor]]:
    """Let a method that returns scalars run on each replica, and return their means."""

    @wraps(step)
    def run(self: Any, *data: Any) -> dict[str, Tensor]:
        if not tf.distribute.in_cross_replica_context():
            return step(self, *data)  # on one of them already, or there is but one
        names: list[str] = []

        def stacked(*data: Any) -> Tensor:
            values = step(self, *data)
            names[:] = values
            return tf.stack(list(values.values()))

        strategy = tf.distribute.get_strategy()
        values = strategy.run(stacked, args=data)  # in one tensor: a sum over machines takes time
        return dict(zip(names, tf.unstack(strategy.reduce("MEAN", values, axis=None), len(names))))

    return run

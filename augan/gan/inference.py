"""Inference in padded batches of fixed size and sampling of latent noise.

The result for a row depends neither on the other rows of its batch nor on the order of the rows.
"""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

BATCH_SIZE = 64


class BatchInference:
    """Compiled function of arrays of any length; runs in batches of exactly `BATCH_SIZE` rows.

    Parameters
    ----------
    function : callable
        One tensor `[BATCH_SIZE, ...]` per input -> a tensor or a tuple of tensors `[BATCH_SIZE,
        ...]`.
    shapes : sequence of tuple
        Shape of one row of each input; inputs are float32.
    autograph : bool
        Set for a function with Python loops over tensors, which AutoGraph must convert. AutoGraph
        takes as long as compilation.
    """

    def __init__(
        self, function: Callable[..., Any], *shapes: tuple[int, ...], autograph: bool = False
    ) -> None:
        self._compiled = tf.function(
            function,
            input_signature=[tf.TensorSpec((BATCH_SIZE, *s), tf.float32) for s in shapes],
            autograph=autograph,
        )

    @classmethod
    def from_model(cls, network: keras.Model) -> "BatchInference":
        """Return the compiled inference of a network: its inputs become the arguments, in order.

        The network runs without dropout and with the moving statistics of batch normalization.
        """

        def call(*inputs: Any) -> Any:
            return network(list(inputs) if len(inputs) > 1 else inputs[0], training=False)

        return cls(call, *(x.shape[1:] for x in network.inputs))

    def batches(self, *inputs: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield the outputs of the function batch by batch, without the padding of the last batch.

        Parameters
        ----------
        *inputs : ndarray [N, ...]
            One array per input of the function, all of the same length; converted to float32.

        Yields
        ------
        tuple of ndarray
            One array per output, with at most `BATCH_SIZE` rows.
        """
        for start in range(0, len(inputs[0]), BATCH_SIZE):
            batch = [np.asarray(x[start : start + BATCH_SIZE], np.float32) for x in inputs]
            count = len(batch[0])
            if count < BATCH_SIZE:
                padding = BATCH_SIZE - count
                batch = [np.concatenate([x, np.repeat(x[:1], padding, axis=0)]) for x in batch]
            outputs = self._compiled(*(tf.constant(x) for x in batch))
            outputs = outputs if isinstance(outputs, tuple | list) else (outputs,)
            yield tuple(output.numpy()[:count] for output in outputs)

    def __call__(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return every output of the function for all rows, one array `[N, ...]` per output.

        `inputs` are arrays of equal length as in `batches`, with at least one row.
        """
        return tuple(np.concatenate(outputs) for outputs in zip(*self.batches(*inputs)))


def latent_noise(
    rng: np.random.Generator, count: int, latent_dim: int, kind: str = "normal"
) -> np.ndarray:
    """Return random latent vectors for the generator, float32 `[count, latent_dim]`.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the random numbers.
    count, latent_dim : int
        Number of vectors and length of one vector.
    kind : {"normal", "uniform"}
        Standard normal, or uniform from -1 to 1: the setting `gan.latent_prior`.
    """
    if kind == "uniform":
        return rng.random((count, latent_dim), np.float32) * 2 - 1
    return rng.standard_normal((count, latent_dim), np.float32)

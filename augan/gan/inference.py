"""Inference in padded batches of fixed sizes and sampling of latent noise.

The result for a row depends neither on the other rows of its batch nor on the order of the rows. It
does depend on the size of the batch, by rounding.
"""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

BATCH_SIZE = 64  # of everything that is compared with a calibration or stored
SMALL_BATCH_SIZES = (8, 1)  # for a few samples in memory
MIN_FILLED = 0.75  # share of a small batch, or of 64, that must be filled, unless the batch is of 1
MIN_EXACT = int(MIN_FILLED * BATCH_SIZE)  # rows of a call that always run in batches of 64


class BatchInference:
    """Compiled function of arrays of any length; runs in batches of fixed sizes.

    By default every batch has `batch_size` rows, the last one padded, so that the result of a row
    is the same to the last bit whatever rows come with it, and in every order and number. With
    `small_batches`, fewer than 48 rows run in batches of 8 or 1, in a fraction of the time of 64
    rows. Results are equal to the last bit among batches of one size; between two sizes they differ
    by rounding, as the results of an exported graph do. The graph of a size is compiled when the
    size is first used. Several threads may call one instance.

    Parameters
    ----------
    function : callable
        One tensor `[B, ...]` per input -> a tensor or a tuple of tensors `[B, ...]`, where B is the
        size of a batch.
    shapes : sequence of tuple
        Shape of one row of each input; inputs are float32.
    batch_size : int
        Rows of a batch; default: `BATCH_SIZE`. Fewer where 64 rows take too much memory.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *shapes: tuple[int, ...],
        batch_size: int = BATCH_SIZE,
    ) -> None:
        self._function, self._shapes, self._batch_size = function, shapes, batch_size
        self._compiled: dict[int, Any] = {}

    @classmethod
    def from_model(cls, network: keras.Model) -> "BatchInference":
        """Return the compiled inference of a network: its inputs become the arguments, in order.

        The network runs without dropout and with the moving statistics of batch normalization.
        """

        def call(*inputs: Any) -> Any:
            return network(list(inputs) if len(inputs) > 1 else inputs[0], training=False)

        return cls(call, *(x.shape[1:] for x in network.inputs))

    def batches(
        self, *inputs: np.ndarray, small_batches: bool = False
    ) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield the outputs of the function batch by batch, without the padding of a batch.

        Parameters
        ----------
        *inputs : ndarray [N, ...]
            One array per input of the function, all of the same length; converted to float32.
        small_batches : bool
            Whether fewer than `MIN_EXACT` rows run in batches of 8 or 1 rows instead of 64: for
            requests in memory, where time matters. False for whatever must not depend on the number
            of rows (default).

        Yields
        ------
        tuple of ndarray
            One array per output, with at most `batch_size` rows.
        """
        start, total = 0, len(inputs[0])
        is_small = small_batches and total < MIN_EXACT
        while start < total:
            size = _small_batch_size(total - start) if is_small else self._batch_size
            batch = [np.asarray(x[start : start + size], np.float32) for x in inputs]
            start, count = start + size, len(batch[0])
            if count < size:
                batch = [np.concatenate([x, np.repeat(x[:1], size - count, axis=0)]) for x in batch]
            outputs = self._of_size(size)(*(tf.constant(x) for x in batch))
            outputs = outputs if isinstance(outputs, tuple | list) else (outputs,)
            yield tuple(output.numpy()[:count] for output in outputs)

    def __call__(self, *inputs: np.ndarray, small_batches: bool = False) -> tuple[np.ndarray, ...]:
        """Return every output of the function for all rows, one array `[N, ...]` per output.

        `inputs` are arrays of equal length, with at least one row; they and `small_batches` are
        those of `batches`.
        """
        outputs = zip(*self.batches(*inputs, small_batches=small_batches))
        return tuple(np.concatenate(parts) for parts in outputs)

    def _of_size(self, size: int) -> Any:
        """Return the compiled function of batches of `size` rows."""
        if size not in self._compiled:
            specs = [tf.TensorSpec((size, *shape), tf.float32) for shape in self._shapes]
            # AutoGraph takes as long as compilation; loops over tensors are `tf.while_loop`.
            self._compiled[size] = tf.function(
                self._function, input_signature=specs, autograph=False
            )
        return self._compiled[size]


def _small_batch_size(count: int) -> int:
    """Return the size of the next batch of few remaining rows, with little padding."""
    return next(size for size in SMALL_BATCH_SIZES if size == 1 or count >= MIN_FILLED * size)


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

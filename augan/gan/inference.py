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
    """A function of arrays that is compiled once, for batches of exactly `BATCH_SIZE` rows.

    Parameters
    ----------
    function : callable
        One tensor `[BATCH_SIZE, ...]` per input -> a tensor or a tuple of tensors
        `[BATCH_SIZE, ...]`.
    shapes : sequence of tuple
        Shape of one row of each input; inputs are float32.
    autograph : bool
        Whether the function has Python loops over tensors, which AutoGraph must convert. AutoGraph
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
        """Return the inference function of a network, in inference mode."""

        def call(*inputs: Any) -> Any:
            return network(list(inputs) if len(inputs) > 1 else inputs[0], training=False)

        return cls(call, *(x.shape[1:] for x in network.inputs))

    def batches(self, *inputs: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield the outputs of one batch after another, without the padding."""
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
        """Return each output for all rows, `[N, ...]`; `inputs` must hold at least one row."""
        return tuple(np.concatenate(outputs) for outputs in zip(*self.batches(*inputs)))


def latent_noise(
    rng: np.random.Generator, count: int, latent_dim: int, kind: str = "normal"
) -> np.ndarray:
    """Return noise `[count, latent_dim]`, float32.

    Parameters
    ----------
    kind : {"normal", "uniform"}
        Standard normal, or uniform from -1 to 1: the setting `gan.latent_prior`.
    """
    if kind == "uniform":
        return rng.random((count, latent_dim), np.float32) * 2 - 1
    return rng.standard_normal((count, latent_dim), np.float32)

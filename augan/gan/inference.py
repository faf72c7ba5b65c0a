"""Inference in fixed-size padded batches: a row's result depends on neither batch nor order."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

BATCH = 64


class Inference:
    """A frozen function of arrays, compiled once for batches of exactly `BATCH` rows.

    Parameters
    ----------
    function : callable
        One tensor `[BATCH, ...]` per input -> a tensor or tuple of tensors `[BATCH, ...]`.
    shapes : sequence of tuple
        Shape of one row of each input; inputs are float32.
    loops : bool
        Whether the function has a loop over tensors; looking for one takes as long as compiling.
    """

    def __init__(
        self, function: Callable[..., Any], *shapes: tuple[int, ...], loops: bool = False
    ) -> None:
        self._compiled = tf.function(
            function,
            input_signature=[tf.TensorSpec((BATCH, *s), tf.float32) for s in shapes],
            autograph=loops,
        )

    @classmethod
    def of(cls, network: keras.Model) -> "Inference":
        """Return what a network computes when it does not train."""

        def call(*inputs: Any) -> Any:
            return network(list(inputs) if len(inputs) > 1 else inputs[0], training=False)

        return cls(call, *(x.shape[1:] for x in network.inputs))

    def batches(self, *inputs: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield the outputs of one batch after another, the padding cut off."""
        count = len(inputs[0])
        for start in range(0, count, BATCH):
            rows = [np.asarray(x[start : start + BATCH], np.float32) for x in inputs]
            kept = len(rows[0])
            if kept < BATCH:
                rows = [np.concatenate([r, np.repeat(r[:1], BATCH - kept, axis=0)]) for r in rows]
            outputs = self._compiled(*(tf.constant(r) for r in rows))
            outputs = outputs if isinstance(outputs, tuple | list) else (outputs,)
            yield tuple(output.numpy()[:kept] for output in outputs)

    def __call__(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return each output for all rows, `[N, ...]`; `inputs` hold at least one row."""
        return tuple(np.concatenate(parts) for parts in zip(*self.batches(*inputs)))


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

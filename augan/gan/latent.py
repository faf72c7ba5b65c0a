"""Latent noise outside of training: of the kind that the generator was trained with."""

import numpy as np


def latent_noise(
    rng: np.random.Generator, count: int, latent_dim: int, kind: str = "normal"
) -> np.ndarray:
    """Return noise `[count, latent_dim]`, float32.

    Parameters
    ----------
    kind : {"normal", "uniform"}
        Standard normal, or uniform from -1 to 1: the setting `gan.noise`.
    """
    if kind == "uniform":
        return rng.random((count, latent_dim), np.float32) * 2 - 1
    return rng.standard_normal((count, latent_dim), np.float32)

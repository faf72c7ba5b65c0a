"""Child seeds: independent random streams of one run, derived from its seed by name.

Every source of randomness of a run gets its own child seed. Global seeds are never set, so two
trainings in one process, or the random numbers of a user, do not affect each other. A child seed
depends on the seed and its name only, so a new source of randomness does not change the others.
"""

import hashlib

import numpy as np


def _entropy(seed: int, names: tuple[str | int, ...]) -> list[int]:
    """Return two integers that identify a seed and the names of a child seed."""
    digest = hashlib.sha256("\x1f".join(str(name) for name in names).encode()).digest()
    return [seed % 2**63, int.from_bytes(digest[:8], "little")]


def child_seed(seed: int, *names: str | int) -> int:
    """Derive an independent seed from the seed of a run, for libraries that take an integer.

    Parameters
    ----------
    seed : int
        The seed of the run.
    *names : str or int
        The name of the source of randomness, such as "batches", and numbers such as a repeat.

    Returns
    -------
    int
        From 0 to 2**31 - 1; equal for equal arguments, in every process.

    Examples
    --------
    >>> child_seed(0, "generator") == child_seed(0, "generator")
    True
    >>> child_seed(0, "generator") == child_seed(0, "encoder")
    False
    """
    state = np.random.SeedSequence(_entropy(seed, names)).generate_state(1, np.uint32)
    return int(state[0] >> 1)


def child_rng(seed: int, *names: str | int) -> np.random.Generator:
    """Return a new NumPy generator for one source of randomness of a run.

    Parameters
    ----------
    seed : int
        The seed of the run.
    *names : str or int
        The name of the source, as for `child_seed`. Equal arguments give equal random numbers.
    """
    return np.random.default_rng(np.random.SeedSequence(_entropy(seed, names)))

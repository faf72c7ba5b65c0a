"""Named child seeds of one seed.

Every source of randomness of a run gets its own child seed. Global seeds are never set, so two
trainings in one process, or the random numbers of a user, do not affect each other. A child seed
depends on the seed and its name only, so a new source of randomness does not change the others.
"""

import hashlib

import numpy as np


def _entropy(seed: int, names: tuple[str | int, ...]) -> list[int]:
    digest = hashlib.sha256("\x1f".join(str(name) for name in names).encode()).digest()
    return [seed % 2**63, int.from_bytes(digest[:8], "little")]


def child_seed(seed: int, *names: str | int) -> int:
    """Return the 31-bit child seed called `names`.

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
    """Return the NumPy generator of the child seed called `names`."""
    return np.random.default_rng(np.random.SeedSequence(_entropy(seed, names)))

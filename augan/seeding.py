"""One seed gives every part of a run its own named child seed.

Global seeds are never touched: two trainings in one process, or a user's own random numbers,
do not disturb each other. A child depends on the seed and its name only, so that adding a new
source of randomness leaves all others as they were.
"""

import hashlib

import numpy as np


def _entropy(seed: int, names: tuple[str | int, ...]) -> list[int]:
    digest = hashlib.sha256("\x1f".join(str(name) for name in names).encode()).digest()
    return [seed % 2**63, int.from_bytes(digest[:8], "little")]


def child_seed(seed: int, *names: str | int) -> int:
    """Return a 31-bit integer seed for the part called `names`.

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
    """Return a NumPy generator for the part called `names`."""
    return np.random.default_rng(np.random.SeedSequence(_entropy(seed, names)))

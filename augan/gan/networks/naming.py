"""Every layer has a name of its own; its first weights depend on that name and the seed only."""

import keras

from augan.seeding import child_seed


def initializer(seed: int, name: str, stddev: float = 0.02) -> keras.initializers.Initializer:
    """Return N(0, stddev) weights, DCGAN's 0.02 unless told, for the layer called `name`."""
    return keras.initializers.RandomNormal(0.0, stddev, seed=child_seed(seed, "weights", name))

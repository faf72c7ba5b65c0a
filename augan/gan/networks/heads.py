"""Heads beside the discriminator's logit: which transformation was applied to an image."""

import keras
from keras import layers

from augan.gan.networks.blocks import normal
from augan.gan.transformations import HEADS


def heads(features: tuple[int], *, seed: int) -> keras.Model:
    """Build features of the discriminator's last block `[N, F]` -> logits `[N, 13]`."""
    deep = keras.Input(features, name="features")
    logits = layers.Dense(sum(HEADS), name="heads", kernel_initializer=normal(seed, "heads"))(deep)
    return keras.Model(deep, logits, name="heads")

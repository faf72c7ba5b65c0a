"""Tests of Adam with cosine decay, compared with Keras' optimizer."""

import numpy as np
import pytest

from augan.evaluation.cosine_adam import CosineAdam
from augan.gan import keras, tf

RATE = 1e-3


def test_update_is_that_of_adam_with_cosine_decay():
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    other = keras.models.clone_model(network)
    other.set_weights(network.get_weights())
    adam = CosineAdam([variable.value for variable in network.trainable_variables], 4, RATE)
    schedule = keras.optimizers.schedules.CosineDecay(RATE, 4)
    optimizer, rng = keras.optimizers.Adam(schedule), np.random.default_rng(0)
    for step in range(8):
        if step == 4:
            adam.reset()
            optimizer = keras.optimizers.Adam(schedule)
        gradients = [tf.constant(rng.normal(size=v.shape), tf.float32) for v in adam.variables]
        adam.apply(gradients)
        optimizer.apply(gradients, other.trainable_variables)
    for one, wanted in zip(network.get_weights(), other.get_weights()):
        assert one == pytest.approx(wanted, abs=1e-6)

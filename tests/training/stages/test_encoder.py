"""Tests of `augan.training.stages.encoder`."""

import numpy as np

from augan.gan import tf
from augan.training.stages.encoder import class_loss


def test_class_loss_ignores_unknown_classes():
    probabilities = tf.constant([[0.25, 0.75], [0.5, 0.5], [0.9, 0.1]])
    classes = tf.constant([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    expected = -(np.log(0.75) + np.log(0.5)) / 2
    np.testing.assert_allclose(class_loss(classes, probabilities), expected, rtol=1e-6)
    np.testing.assert_allclose(class_loss(classes[:2], probabilities[:2]), expected, rtol=1e-6)
    assert float(class_loss(tf.zeros((3, 2)), probabilities)) == 0.0

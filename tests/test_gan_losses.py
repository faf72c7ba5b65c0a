"""Adversarial losses against constants worked out by hand.

log 2 = 0.6931472, log(1 + e) = 1.3132617, log(1 + 1/e) = 0.3132617, log(1 + e^-2) = 0.1269280.
"""

import numpy as np
import pytest

from augan.gan import tf
from augan.gan.losses import LOSSES

# Loss, logits of real, logits of fake, the discriminator's loss, the generator's loss.
ROWS = [
    ("nonsaturating", [0.0], [0.0], 2 * 0.6931472, 0.6931472),
    ("nonsaturating", [2.0, -1.0], [0.0, 1.0], 0.7200949 + 1.0032044, 0.5032044),
    ("nonsaturating", [1.0], [-1.0], 2 * 0.3132617, 1.3132617),
    ("nonsaturating", [200.0], [-200.0], 0.0, 200.0),
    ("nonsaturating", [-200.0], [200.0], 400.0, 0.0),
    ("hinge", [0.0], [0.0], 2.0, 0.0),
    ("hinge", [2.0, -1.0], [0.0, 1.0], 1.0 + 1.5, -0.5),
    ("hinge", [1.0], [-1.0], 0.0, 1.0),
    ("hinge", [5.0, 0.5], [-7.0, -0.5, -3.0], 0.25 + 0.5 / 3, 3.5),
]


def logits(values):
    return tf.constant(np.reshape(values, (-1, 1)), tf.float32)


@pytest.mark.parametrize(("name", "real", "fake", "discriminator", "generator"), ROWS)
def test_values(name, real, fake, discriminator, generator):
    loss = LOSSES[name]
    d_loss = loss.discriminator(logits(real), logits(fake))
    g_loss = loss.generator(logits(fake))
    assert d_loss.shape == g_loss.shape == ()
    assert float(d_loss) == pytest.approx(discriminator, abs=2e-6)
    assert float(g_loss) == pytest.approx(generator, abs=2e-6)


def test_every_loss_has_its_row():
    assert {row[0] for row in ROWS} == set(LOSSES)


# Loss, and the gradients at real 0.5, fake 0.5: of D in real and in fake, of G in fake.
# The logistic function at 0.5 is 0.6224593.
GRADIENTS = [
    ("nonsaturating", -0.3775407, 0.6224593, -0.3775407),
    ("hinge", -1.0, 1.0, -1.0),
]


@pytest.mark.parametrize(("name", "of_real", "of_fake", "of_generator"), GRADIENTS)
def test_gradients(name, of_real, of_fake, of_generator):
    real, fake = tf.Variable([[0.5]]), tf.Variable([[0.5]])
    with tf.GradientTape(persistent=True) as tape:
        d_loss = LOSSES[name].discriminator(real, fake)
        g_loss = LOSSES[name].generator(fake)
    gradients = [*tape.gradient(d_loss, [real, fake]), tape.gradient(g_loss, fake)]
    np.testing.assert_allclose(np.ravel(gradients), [of_real, of_fake, of_generator], atol=1e-6)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_loss_is_a_mean_over_the_batch(name):
    real, fake = logits([0.3, -2.0, 1.4]), logits([0.1, 0.9, -0.4])
    doubled = [tf.concat([x, x], axis=0) for x in (real, fake)]
    loss = LOSSES[name]
    one, two = loss.discriminator(real, fake), loss.discriminator(*doubled)
    assert float(one) == pytest.approx(float(two), rel=1e-6)
    assert float(loss.generator(fake)) == pytest.approx(float(loss.generator(doubled[1])), rel=1e-6)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_gradients_stay_finite_where_logits_are_extreme(name):
    values = tf.Variable([[-1e4], [1e4], [0.0]])
    with tf.GradientTape(persistent=True) as tape:
        losses = [LOSSES[name].discriminator(values, values), LOSSES[name].generator(values)]
    for loss in losses:
        assert np.isfinite(float(loss))
        assert np.isfinite(tape.gradient(loss, values).numpy()).all()

"""Adversarial losses against constants worked out by hand.

log 2 = 0.6931472, log(1 + e) = 1.3132617, log(1 + 1/e) = 0.3132617, log(1 + e^-2) = 0.1269280.
"""

import numpy as np
import pytest

from augan.choices import LOSSES
from augan.gan import tf

# Loss, logits of real, logits of fake, the discriminator's loss, the generator's loss.
ROWS = [
    ("nonsaturating", [0.0], [0.0], 2 * 0.6931472, 0.6931472),
    ("nonsaturating", [2.0, -1.0], [0.0, 1.0], 0.7200949 + 1.0032044, 0.5032044),
    ("nonsaturating", [1.0], [-1.0], 2 * 0.3132617, 1.3132617),
    ("nonsaturating", [200.0], [-200.0], 0.0, 200.0),
    ("nonsaturating", [-200.0], [200.0], 400.0, 0.0),
    # The same discriminator; the generator's loss is log(1 - D), without a lower bound.
    ("minimax", [0.0], [0.0], 2 * 0.6931472, -0.6931472),
    ("minimax", [2.0, -1.0], [0.0, 1.0], 0.7200949 + 1.0032044, -1.0032044),
    ("minimax", [-200.0], [200.0], 400.0, -200.0),
    # (x - 1)^2 / 2 of real, x^2 / 2 of generated; of the generator (x - 1)^2 / 2.
    ("least_squares", [0.0], [0.0], 0.5, 0.5),
    ("least_squares", [2.0, -1.0], [0.0, 1.0], 1.25 + 0.25, 0.25),
    ("least_squares", [1.0], [0.0, 0.0], 0.0, 0.5),
    ("least_squares", [-3.0], [3.0], 8.0 + 4.5, 2.0),
    ("wasserstein", [0.0], [0.0], 0.0, 0.0),
    ("wasserstein", [2.0, -1.0], [0.0, 1.0], -0.5 + 0.5, -0.5),
    ("wasserstein", [5.0], [-7.0, -1.0], -5.0 - 4.0, 4.0),
    ("hinge", [0.0], [0.0], 2.0, 0.0),
    ("hinge", [2.0, -1.0], [0.0, 1.0], 1.0 + 1.5, -0.5),
    ("hinge", [1.0], [-1.0], 0.0, 1.0),
    ("hinge", [5.0, 0.5], [-7.0, -0.5, -3.0], 0.25 + 0.5 / 3, 3.5),
]


def logits(values):
    return tf.constant(np.reshape(values, (-1, 1)), tf.float32)


@pytest.mark.parametrize(("name", "real", "fake", "discriminator", "generator"), ROWS)
def test_values(name, real, fake, discriminator, generator):
    loss = LOSSES.load(name)
    d_loss = loss.discriminator(logits(real), logits(fake))
    each = loss.generator(logits(fake))
    assert d_loss.shape == ()
    assert each.shape == (len(fake), 1)
    assert float(d_loss) == pytest.approx(discriminator, abs=2e-6)
    assert np.mean(each) == pytest.approx(generator, abs=2e-6)


def test_every_loss_has_a_row_of_constants():
    assert {row[0] for row in ROWS} == set(LOSSES.names())


# Loss, and the gradients at real 0.5, fake 0.5: of D in real and in fake, of G in fake.
# The logistic function at 0.5 is 0.6224593.
GRADIENTS = [
    ("nonsaturating", -0.3775407, 0.6224593, -0.3775407),
    ("minimax", -0.3775407, 0.6224593, -0.6224593),
    ("least_squares", -0.5, 0.5, -0.5),
    ("hinge", -1.0, 1.0, -1.0),
    ("wasserstein", -1.0, 1.0, -1.0),
]


@pytest.mark.parametrize(("name", "of_real", "of_fake", "of_generator"), GRADIENTS)
def test_gradients(name, of_real, of_fake, of_generator):
    real, fake = tf.Variable([[0.5]]), tf.Variable([[0.5]])
    with tf.GradientTape(persistent=True) as tape:
        d_loss = LOSSES.load(name).discriminator(real, fake)
        g_loss = LOSSES.load(name).generator(fake)
    gradients = [*tape.gradient(d_loss, [real, fake]), tape.gradient(g_loss, fake)]
    np.testing.assert_allclose(np.ravel(gradients), [of_real, of_fake, of_generator], atol=1e-6)


@pytest.mark.parametrize("name", LOSSES.names())
def test_the_discriminators_loss_is_a_mean_over_the_batch(name):
    real, fake = logits([0.3, -2.0, 1.4]), logits([0.1, 0.9, -0.4])
    doubled = [tf.concat([x, x], axis=0) for x in (real, fake)]
    loss = LOSSES.load(name)
    one, two = loss.discriminator(real, fake), loss.discriminator(*doubled)
    assert float(one) == pytest.approx(float(two), rel=1e-6)
    # The generator's loss is not: each logit has its own.
    np.testing.assert_array_equal(
        loss.generator(doubled[1]), np.tile(loss.generator(fake).numpy(), (2, 1))
    )


@pytest.mark.parametrize("name", LOSSES.names())
def test_gradients_are_finite_for_extreme_logits(name):
    values = tf.Variable([[-1e4], [1e4], [0.0]])
    with tf.GradientTape(persistent=True) as tape:
        losses = [
            LOSSES.load(name).discriminator(values, values),
            LOSSES.load(name).generator(values),
        ]
    for loss in losses:
        assert np.isfinite(loss).all()
        assert np.isfinite(tape.gradient(loss, values).numpy()).all()


# Loss, share of real of the real sample and of the generated one, logits 2 and -1, the loss.
# softplus(2) = 2.1269280, softplus(-2) = 0.1269280; softplus(1), softplus(-1) as above.
SHARES = [
    ("nonsaturating", 0.9, 0.0, 0.9 * 0.1269280 + 0.1 * 2.1269280 + 0.3132617),
    ("nonsaturating", 1.0, 0.25, 0.1269280 + 0.25 * 1.3132617 + 0.75 * 0.3132617),
    ("minimax", 0.9, 0.0, 0.9 * 0.1269280 + 0.1 * 2.1269280 + 0.3132617),
    ("least_squares", 0.75, 0.0, 0.75 * 0.5 + 0.25 * 2.0 + 0.5),
    ("least_squares", 0.75, 0.5, 0.75 * 0.5 + 0.25 * 2.0 + 0.5 * 2.0 + 0.5 * 0.5),
    ("hinge", 0.75, 0.5, 0.25 * 3.0 + 0.5 * 2.0),
    ("wasserstein", 0.75, 0.5, -0.75 * 2.0 + 0.25 * 2.0 + 0.5 * 1.0 - 0.5 * 1.0),
]


@pytest.mark.parametrize(("name", "real_targets", "fake_targets", "expected"), SHARES)
def test_soft_labels(name, real_targets, fake_targets, expected):
    d_loss = LOSSES.load(name).discriminator(
        logits([2.0]), logits([-1.0]), real_targets=real_targets, fake_targets=fake_targets
    )
    assert float(d_loss) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("name", ["minimax", "nonsaturating"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_label_smoothing_is_cross_entropy_with_soft_labels(name, smoothing):
    real, fake = logits([2.0, -0.5, 0.1]), logits([0.3, -1.0])
    d_loss = LOSSES.load(name).discriminator(real, fake, real_targets=1 - smoothing)
    chance = 1 / (1 + np.exp(-np.float64(real)))
    on_real = -(1 - smoothing) * np.log(chance) - smoothing * np.log(1 - chance)
    on_fake = -np.log(1 - 1 / (1 + np.exp(-np.float64(fake))))
    assert float(d_loss) == pytest.approx(on_real.mean() + on_fake.mean(), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES.names())
def test_swapped_targets_swap_the_samples(name):
    real, fake = logits([2.0, -0.5, 0.1]), logits([0.3, -1.0, 0.7])
    loss = LOSSES.load(name)
    swapped = loss.discriminator(real, fake, real_targets=0.0, fake_targets=1.0)
    assert float(swapped) == pytest.approx(float(loss.discriminator(fake, real)), rel=1e-6)
    # One of the three only: its loss alone is that of a generated image.
    share = np.float32([[1], [0], [1]])
    one = loss.discriminator(real, fake, real_targets=share)
    by_hand = [
        float(loss.real(real[0, 0])),
        float(loss.fake(real[1, 0])),
        float(loss.real(real[2, 0])),
    ]
    rest = float(tf.reduce_mean(loss.fake(fake)))
    assert float(one) == pytest.approx(np.mean(by_hand) + rest, rel=1e-6)


def test_loss_is_larger_for_wrong_logits():
    # The sign of each loss: D gains by parting the two, G by raising its own logit.
    for name in LOSSES.names():
        loss = LOSSES.load(name)
        right = float(loss.discriminator(logits([0.9]), logits([-0.9])))
        wrong = float(loss.discriminator(logits([-0.9]), logits([0.9])))
        assert right < wrong, name
        assert float(loss.generator(logits([0.9]))[0, 0]) < float(
            loss.generator(logits([-0.9]))[0, 0]
        )


@pytest.mark.parametrize(
    ("loss", "middle"),
    [
        ("minimax", 0.0),
        ("nonsaturating", 0.0),
        ("hinge", 0.0),
        ("least_squares", 0.5),  # 1 is real, 0 is not
        ("wasserstein", 7.0),  # a critic may add any number to all logits
    ],
)
def test_boundary_logit(loss, middle):
    real, fake = tf.constant([[9.0], [8.0]]), tf.constant([[4.0], [7.0]])
    assert float(LOSSES.load(loss).boundary_logit(real, fake)) == middle

"""Adversarial losses against constants worked out by hand.

log 2 = 0.6931472, log(1 + e) = 1.3132617, log(1 + 1/e) = 0.3132617, log(1 + e^-2) = 0.1269280.
"""

import numpy as np
import pytest

from augan.choices import LOSSES
from augan.config import Config
from augan.data.dataset import from_arrays
from augan.exceptions import ConfigError
from augan.gan import tf
from augan.training.budget import TrainingBudget
from augan.training.config_rules import check_rules
from augan.training.defaults import resolve_defaults
from augan.training.trainer import TrainingData, train_stages
from tests._docs import run_worked_example

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


# ---------------------------------------------------------------- contract of every loss


def check_the_discriminators_loss_is_a_mean_over_the_batch(loss):
    real, fake = logits([0.3, -2.0, 1.4]), logits([0.1, 0.9, -0.4])
    doubled = [tf.concat([x, x], axis=0) for x in (real, fake)]
    one, two = loss.discriminator(real, fake), loss.discriminator(*doubled)
    assert one.shape == ()
    assert float(one) == pytest.approx(float(two), rel=1e-6)
    # The generator's loss is not: each logit has its own.
    np.testing.assert_array_equal(
        loss.generator(doubled[1]), np.tile(loss.generator(fake).numpy(), (2, 1))
    )


def check_values_and_gradients_are_finite_for_extreme_logits(loss):
    values = tf.Variable([[-1e4], [1e4], [0.0]])
    with tf.GradientTape(persistent=True) as tape:
        losses = [loss.discriminator(values, values), loss.generator(values)]
    for value in losses:
        assert np.isfinite(value).all()
        assert np.isfinite(tape.gradient(value, values).numpy()).all()


def check_signs_of_the_gradients(loss):
    """The discriminator parts real from generated logits; the generator raises its logits."""
    real, fake = tf.Variable([[0.5]]), tf.Variable([[0.5]])
    with tf.GradientTape(persistent=True) as tape:
        d_loss, g_loss = loss.discriminator(real, fake), loss.generator(fake)
    assert tape.gradient(d_loss, real)[0, 0] < 0 < tape.gradient(d_loss, fake)[0, 0]
    assert tape.gradient(g_loss, fake)[0, 0] < 0
    right = float(loss.discriminator(logits([0.9]), logits([-0.9])))
    wrong = float(loss.discriminator(logits([-0.9]), logits([0.9])))
    assert right < wrong
    assert np.all(loss.generator(logits([0.9])) < loss.generator(logits([-0.9])))


def check_the_boundary_is_the_best_logit_of_an_undecided_discriminator(loss):
    """Equal logits for real and generated samples cost least at the decision boundary."""
    values = np.linspace(-3, 3, 25)
    costs = [float(loss.discriminator(logits([x]), logits([x]))) for x in values]
    boundary = loss.boundary_logit(logits([0.0]), logits([0.0]))
    at_boundary = float(loss.discriminator(logits([boundary]), logits([boundary])))
    assert at_boundary <= min(costs) + 1e-6


def check_swapped_targets_swap_the_samples(loss):
    real, fake = logits([2.0, -0.5, 0.1]), logits([0.3, -1.0, 0.7])
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


CHECKS = (
    check_the_discriminators_loss_is_a_mean_over_the_batch,
    check_values_and_gradients_are_finite_for_extreme_logits,
    check_signs_of_the_gradients,
    check_the_boundary_is_the_best_logit_of_an_undecided_discriminator,
    check_swapped_targets_swap_the_samples,
)


@pytest.mark.parametrize("name", LOSSES.names())
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__[6:])
def test_contract(check, name):
    check(LOSSES.load(name))


def test_the_worked_example_passes_and_trains():
    """The loss of CONTRIBUTING: the battery, then a training that names it in the settings."""
    with LOSSES.temporary():
        (name,) = run_worked_example("... a loss", LOSSES)
        for check in CHECKS:
            check(LOSSES.load(name))
        images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8)
        settings = [f"gan.loss={name}", "gan.architecture=mlp", "training.batch_size=8"]
        config, preprocessing = resolve_defaults(Config().override(settings), from_arrays(images))
        data = TrainingData(images, None, 0, preprocessing)
        assert train_stages(config, data, ["gan"], TrainingBudget(2)).steps == {"gan": 2}
        with pytest.raises(ConfigError, match=f"label smoothing or noise with .*{name}"):
            check_rules(config.override("gan.label_noise=0.1"))
    with pytest.raises(ConfigError, match=r"gan\.loss: input should be"):
        Config().override(settings)


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

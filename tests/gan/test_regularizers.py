"""Tests of gradient penalties against known gradients, and of their use in the GAN.

The linear discriminator is w . x, with gradient w. The quadratic one is a |x|^2 / 2, with gradient
a x.
"""

import numpy as np
import pytest

from augan.choices import REGULARIZERS
from augan.config import Config
from augan.exceptions import ConfigError
from augan.gan import tf
from augan.gan.model import GAN
from augan.gan.networks.build import build_network, network_spec
from augan.gan.regularizers import gradient_penalty, r1
from augan.training.config_rules import check_rules
from tests._docs import run_worked_example

SEED = tf.constant([1, 2])
SHAPE = (2, 2, 1)


def images(n, start=0):
    rng = np.random.default_rng(start)
    return tf.constant(rng.uniform(-1, 1, (n, *SHAPE)).astype(np.float32))


def linear(weights):
    return lambda x: tf.reduce_sum(weights * x, axis=(1, 2, 3))[:, None]


def quadratic(a):
    return lambda x: 0.5 * a * tf.reduce_sum(tf.square(x), axis=(1, 2, 3))[:, None]


W = np.float32([[[1.0], [-2.0]], [[0.5], [4.0]]])
SQUARE = 1.0 + 4.0 + 0.25 + 16.0  # 21.25


def test_every_regularizer_has_a_row_of_constants():
    assert {p.name: (REGULARIZERS.load(p.name), p.weight, p.interval) for p in REGULARIZERS} == {
        "r1": (r1, 0.1, 16),
        "wgan_gp": (gradient_penalty, 10.0, 1),
    }


# ---------------------------------------------------------------- contract of every regularizer


def check_a_penalty_is_a_finite_scalar_and_a_function_of_its_seed(penalty, entry):
    real, fake = images(5), images(5, 1)
    for discriminator in (linear(tf.constant(W)), quadratic(3.0), linear(tf.constant(0 * W))):
        value, again = (penalty(discriminator, real, fake, SEED) for _ in range(2))
        assert value.shape == ()
        assert 0 <= float(value) < np.inf
        assert float(value) == float(again)


def check_a_penalty_is_a_mean_over_the_batch(penalty, entry):
    real, fake = images(5), images(5, 1)
    doubled = [tf.concat([batch, batch], axis=0) for batch in (real, fake)]
    slope = linear(tf.constant(W))
    one, two = penalty(slope, real, fake, SEED), penalty(slope, *doubled, SEED)
    assert float(one) == pytest.approx(float(two), rel=1e-5)


def check_the_minimum_of_a_penalty(penalty, entry):
    """The best slope is 1 for a penalty that bounds the slope, else 0; steeper costs more."""
    real, fake, unit = images(5), images(5, 1), tf.constant(W) / SQUARE**0.5
    slopes = np.arange(0, 3.25, 0.25)
    costs = [float(penalty(linear(slope * unit), real, fake, SEED)) for slope in slopes]
    assert slopes[int(np.argmin(costs))] == (1.0 if entry.is_lipschitz else 0.0)
    assert min(costs) == pytest.approx(0, abs=1e-6)
    assert np.all(np.diff(costs[4:]) > 0)


def check_the_gradient_of_a_penalty_flattens_a_steep_discriminator(penalty, entry):
    weights = tf.Variable(W)
    for steepness in (1.0, 1e-12):  # also where the slope vanishes, the gradient is finite
        with tf.GradientTape() as tape:
            value = penalty(linear(steepness * weights), images(5), images(5, 1), SEED)
        gradient = tape.gradient(value, weights).numpy()
        assert np.isfinite(gradient).all()
        assert steepness < 1 or np.sum(gradient * W) > 0


CHECKS = (
    check_a_penalty_is_a_finite_scalar_and_a_function_of_its_seed,
    check_a_penalty_is_a_mean_over_the_batch,
    check_the_minimum_of_a_penalty,
    check_the_gradient_of_a_penalty_flattens_a_steep_discriminator,
)


@pytest.mark.parametrize("name", REGULARIZERS.names())
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__[6:])
def test_contract(check, name):
    check(REGULARIZERS.load(name), REGULARIZERS.get(name))


def test_the_worked_example_passes_and_trains():
    """The regularizer of CONTRIBUTING: the battery, then a training that names it in settings."""
    with REGULARIZERS.temporary():
        (name,) = run_worked_example("... a regularizer", REGULARIZERS)
        for check in CHECKS:
            check(REGULARIZERS.load(name), REGULARIZERS.get(name))
        weights, plain = judge_after(0, gan__regularizer=name), judge_after(0)
        assert np.isfinite(weights).all()
        assert not np.array_equal(weights, plain)
        config = Config().replace(gan__regularizer=name, discriminator__norm="batch")
        with pytest.raises(ConfigError, match=f"gan.regularizer={name} with discriminator.norm"):
            check_rules(config)
    with pytest.raises(ConfigError, match=r"gan\.regularizer: input should be"):
        Config().replace(gan__regularizer=name)


def test_penalties_of_a_linear_discriminator():
    discriminator = linear(tf.constant(W))
    assert float(r1(discriminator, images(5), images(5, 1), SEED)) == pytest.approx(
        SQUARE / 2, rel=1e-6
    )
    value = gradient_penalty(discriminator, images(5), images(5, 1), SEED)
    assert value.shape == ()
    assert float(value) == pytest.approx((SQUARE**0.5 - 1) ** 2, rel=1e-5)
    # A slope of exactly 1 costs nothing.
    unit = linear(tf.constant(W) / SQUARE**0.5)
    assert float(gradient_penalty(unit, images(5), images(5, 1), SEED)) < 1e-10


def test_penalties_of_a_quadratic_discriminator():
    real, a = images(7), 3.0
    squares = np.square(real.numpy()).sum(axis=(1, 2, 3))
    expected = 0.5 * a * a * squares.mean()
    assert float(r1(quadratic(a), real, images(7, 1), SEED)) == pytest.approx(expected, rel=1e-5)
    # Where both batches are the same there is but one place between them.
    expected = np.square(a * np.sqrt(squares) - 1).mean()
    value = gradient_penalty(quadratic(a), real, real, SEED)
    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_r1_uses_real_images_only():
    discriminator, real = quadratic(2.0), images(4)
    one, other = (r1(discriminator, real, images(4, start), SEED) for start in (1, 2))
    assert float(one) == float(other)
    assert float(r1(discriminator, images(4, 3), real, SEED)) != float(one)


def places(seed, n=300):
    """Return the position between real and generated image of each gradient."""
    points = []

    def discriminator(x):
        points.append(x.numpy())
        return quadratic(1.0)(x)

    real, fake = tf.zeros((n, *SHAPE)), tf.ones((n, *SHAPE))
    gradient_penalty(discriminator, real, fake, tf.constant(seed))
    (between,) = points
    share = between[:, 0, 0, 0]
    # One place for the whole image: all its pixels have gone as far.
    np.testing.assert_array_equal(
        between, np.broadcast_to(share[:, None, None, None], between.shape)
    )
    return share


def test_gradient_penalty_is_taken_between_pairs():
    share = places([1, 2])
    assert 0 <= share.min() < 0.05
    assert 0.95 < share.max() <= 1
    assert share.mean() == pytest.approx(0.5, abs=0.06)
    np.testing.assert_array_equal(share, places([1, 2]))
    assert not np.array_equal(share, places([1, 3]))


def test_constant_discriminator_gives_no_nan():
    weights = tf.Variable(np.zeros_like(W))
    with tf.GradientTape() as tape:
        value = gradient_penalty(linear(weights), images(3), images(3, 1), SEED)
    assert float(value) == pytest.approx(1, abs=1e-5)
    assert np.isfinite(tape.gradient(value, weights)).all()


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [(r1, W), (gradient_penalty, 2 * (SQUARE**0.5 - 1) * W / SQUARE**0.5)],
)
def test_penalty_has_a_gradient_for_the_weights(penalty, expected):
    weights = tf.Variable(W)
    with tf.GradientTape() as tape:
        value = penalty(linear(weights), images(5), images(5, 1), SEED)
    np.testing.assert_allclose(tape.gradient(value, weights), expected, rtol=1e-5)


# ---------------------------------------------------------------- in a GAN


def make_gan(**changes):
    def build(role, **more):
        spec = network_spec("mlp", role, image_shape=[8, 8, 1], num_classes=0, width=1, **more)
        return build_network(spec)

    config = Config(seed=5).replace(
        **{
            "gan__loss": "nonsaturating",
            "gan__betas": (0.5, 0.999),
            "gan__diffaug": [],
            "generator__learning_rate": 1e-3,
            "discriminator__learning_rate": 1e-3,
            **changes,
        }
    )
    return GAN(
        build("generator", latent_dim=3, conditioning="norm", seed=1),
        build("discriminator", norm="none", dropout=0.0, seed=1),
        build("generator", latent_dim=3, conditioning="norm", seed=1),
        config,
    )


def judge_after(step, graph=False, **changes):
    """Return the discriminator's weights after one training step with the number `step`."""
    gan = make_gan(**changes)
    gan.iterations.assign(step)
    rng = np.random.default_rng(step)
    batch = tf.constant(rng.uniform(-1, 1, (6, 8, 8, 1)).astype(np.float32))
    (tf.function(gan.train_step) if graph else gan.train_step)((batch,))
    return np.concatenate([v.numpy().ravel() for v in gan.discriminator.trainable_variables])


@pytest.mark.parametrize("name", REGULARIZERS.names())
def test_lazy_regularization_scales_with_the_interval(name):
    lazy = {
        "gan__regularizer": name,
        "gan__regularizer_interval": 2,
        "gan__regularizer_weight": 5.0,
    }
    always = {
        "gan__regularizer": name,
        "gan__regularizer_interval": 1,
        "gan__regularizer_weight": 10.0,
    }
    np.testing.assert_array_equal(judge_after(0, **lazy), judge_after(0, **always))
    np.testing.assert_array_equal(judge_after(2, **lazy), judge_after(2, **always))
    assert not np.array_equal(judge_after(0, **lazy), judge_after(0))
    weaker = {**always, "gan__regularizer_weight": 5.0}
    assert not np.array_equal(judge_after(0, **lazy), judge_after(0, **weaker))
    # In the steps between, it is as if there were none.
    np.testing.assert_array_equal(judge_after(1, **lazy), judge_after(1))
    assert not np.array_equal(judge_after(1, **always), judge_after(1))


@pytest.mark.slow
def test_lazy_regularization_in_a_graph():
    lazy = {
        "gan__regularizer": "r1",
        "gan__regularizer_interval": 2,
        "gan__regularizer_weight": 50.0,
    }
    for step, same in ((1, True), (2, False)):
        one, other = judge_after(step, True, **lazy), judge_after(step, True)
        assert np.allclose(one, other, atol=1e-6) == same
        np.testing.assert_allclose(one, judge_after(step, **lazy), atol=1e-5)


@pytest.mark.parametrize(("name", "weight", "every"), [("r1", 0.1, 16), ("wgan_gp", 10.0, 1)])
def test_default_weight_and_interval_are_those_of_the_paper(name, weight, every):
    loss = {"gan__regularizer_weight": weight, "gan__regularizer_interval": every}
    one, other = (
        judge_after(0, gan__regularizer=name),
        judge_after(0, gan__regularizer=name, **loss),
    )
    np.testing.assert_array_equal(one, other)


def test_reported_loss_excludes_the_penalty():
    rng = np.random.default_rng(0)
    batch = tf.constant(rng.uniform(-1, 1, (6, 8, 8, 1)).astype(np.float32))
    plain, heavy = make_gan(), make_gan(gan__regularizer="r1", gan__regularizer_weight=1e3)
    one, other = (float(gan.train_step((batch,))["d_loss"]) for gan in (plain, heavy))
    assert one == other

"""Looking ahead: descent worked out by hand, its derivatives, and what a GAN makes of it.

On c w^2 / 2 - u w, gradient descent with rate r multiplies the distance to u / c by q = 1 - r c:
after k steps w = q^k w0 + (1 - q^k) u / c.
"""

import numpy as np
import pytest

from augan.config import Config
from augan.gan import tf
from augan.gan.model import GAN
from augan.gan.networks.build import build_network, network_spec
from augan.gan.unrolled import unroll

C, RATE = 2.0, 0.1
Q = 1 - RATE * C


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_unroll_on_a_parabola(steps):
    outer = tf.Variable(3.0)
    start = tf.constant([1.0, -2.0])
    seen = []

    def loss(weights, step):
        seen.append(step)
        return tf.reduce_sum(C * tf.square(weights[0]) / 2 - outer * weights[0])

    with tf.GradientTape() as tape:
        tape.watch(start)
        (ahead,) = unroll([start], loss, steps=steps, rate=RATE)
        total = tf.reduce_sum(ahead)
    power = Q**steps
    expected = power * np.float32([1, -2]) + (1 - power) * 3.0 / C
    np.testing.assert_allclose(ahead, expected, rtol=1e-6)
    assert seen == list(range(steps))
    # The derivatives by what the loss uses, and by where it began.
    of_outer, of_start = tape.gradient(total, [outer, start])
    np.testing.assert_allclose(of_start, [power, power], rtol=1e-6)
    by_hand = 2 * (1 - power) / C
    assert (0.0 if of_outer is None else float(of_outer)) == pytest.approx(by_hand, abs=1e-6)
    np.testing.assert_array_equal(start, [1, -2])


def test_unroll_passes_second_derivatives():
    # One step on u w^2 / 2: w1 = w0 (1 - r u). Without them, d w1 / du would be 0.
    outer, start = tf.Variable(4.0), tf.constant(1.5)
    with tf.GradientTape() as tape:
        (ahead,) = unroll([start], lambda w, step: outer * w[0] ** 2 / 2, steps=2, rate=RATE)
    assert float(ahead) == pytest.approx(1.5 * 0.6**2, rel=1e-6)
    assert float(tape.gradient(ahead, outer)) == pytest.approx(-2 * 1.5 * 0.6 * RATE, rel=1e-6)


def test_unroll_passes_the_step_to_the_loss():
    # The gradient is the number of the step: 0 + 1 + 2.
    (ahead,) = unroll([tf.constant(0.0)], lambda w, step: step * w[0] * 1.0, steps=3, rate=1.0)
    assert float(ahead) == -3


def test_unroll_keeps_weights_without_gradient():
    used, unused = tf.constant([1.0]), tf.constant([7.0])
    ahead = unroll([used, unused], lambda w, step: tf.reduce_sum(w[0]), steps=2, rate=0.5)
    assert [float(value[0]) for value in ahead] == [0.0, 7.0]


# ---------------------------------------------------------------- in a GAN


def one_step(architecture="mlp", norm="none", graph=False, classes=0, **changes):
    """Return the weights of both networks and the metrics after one step."""

    def build(role, **more):
        spec = network_spec(
            architecture, role, image_shape=[8, 8, 1], num_classes=classes, width=2, seed=1, **more
        )
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
    gan = GAN(
        build("generator", latent_dim=3, conditioning="norm"),
        build("discriminator", norm=norm, dropout=0.0),
        build("generator", latent_dim=3, conditioning="norm"),
        config,
    )
    rng = np.random.default_rng(0)
    real = tf.constant(rng.uniform(-1, 1, (6, 8, 8, 1)).astype(np.float32))
    labels = [tf.one_hot(np.arange(6) % classes, classes)] if classes else []
    metrics = (tf.function(gan.train_step) if graph else gan.train_step)((real, *labels))
    weights = [
        np.concatenate([v.numpy().ravel() for v in network.variables])
        for network in (gan.discriminator, gan.generator)
    ]
    return *weights, {name: float(value) for name, value in metrics.items()}


@pytest.mark.parametrize(("architecture", "norm"), [("mlp", "none"), ("dcgan", "layer")])
def test_unrolled_steps_change_the_generator_only(architecture, norm):
    discriminator, generator, metrics = one_step(architecture, norm)
    discriminator_1, generator_1, metrics_1 = one_step(architecture, norm, gan__unrolled_steps=1)
    np.testing.assert_array_equal(discriminator_1, discriminator)
    assert metrics_1["d_loss"] == metrics["d_loss"]
    assert metrics_1["g_loss"] != metrics["g_loss"]
    assert not np.array_equal(generator_1, generator)
    # A discriminator with more steps separates real from generated images better.
    if architecture == "mlp":
        *_, metrics_5 = one_step(architecture, norm, gan__unrolled_steps=5)
        assert metrics_5["g_loss"] > metrics_1["g_loss"] > metrics["g_loss"]


def test_unrolled_step_with_rate_near_0_changes_nothing():
    _, generator, metrics = one_step()
    _, other, unrolled_metrics = one_step(gan__unrolled_steps=3, gan__unrolled_learning_rate=1e-30)
    assert unrolled_metrics["g_loss"] == pytest.approx(metrics["g_loss"], rel=1e-6)
    np.testing.assert_allclose(other, generator, atol=1e-5)


def test_unrolled_steps_in_a_graph_with_classes_and_policies():
    case = {"classes": 2, "gan__unrolled_steps": 2, "gan__diffaug": ["translation", "color"]}
    one, other = one_step(**case), one_step(graph=True, **case)
    for actual, expected in zip(one[:2], other[:2]):
        assert np.isfinite(actual).all()
        np.testing.assert_allclose(actual, expected, atol=3e-4)
    assert one[2]["g_loss"] == pytest.approx(other[2]["g_loss"], rel=1e-4)

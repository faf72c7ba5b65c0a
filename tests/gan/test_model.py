"""Tests of the training step of the GAN."""

import numpy as np
import pytest

from augan.bundle import read_weights
from augan.config import Config
from augan.exceptions import ConfigError
from augan.gan import keras, tf
from augan.gan.inference import BatchInference
from augan.gan.model import GAN
from augan.gan.networks.build import build_network, feature_blocks, network_spec

N, LATENT, WIDTH = 8, 4, 4


def build(role, classes=0, **more):
    own = {"generator": {"conditioning": "norm"}, "discriminator": {"dropout": 0.0}}[role]
    arguments = {"width": WIDTH, "num_classes": classes, "seed": 1, **own, **more}
    return build_network(network_spec("dcgan", role, image_shape=[8, 8, 1], **arguments))


def settings(**changes):
    """Return resolved settings with the default learning rates."""
    return Config(seed=5).replace(
        **{
            "gan__loss": "nonsaturating",
            "gan__betas": (0.5, 0.999),
            "gan__diffaug": ["translation"],
            "generator__learning_rate": 2e-4,
            "discriminator__learning_rate": 2e-4,
            **changes,
        }
    )


def make_gan(classes=0, norm="batch", dropout=0.0, **changes):
    return GAN(
        build("generator", classes, latent_dim=LATENT),
        build("discriminator", classes, norm=norm, dropout=dropout),
        # Other first weights than the generator's, which it must take over.
        build("generator", classes, latent_dim=LATENT, seed=2),
        settings(discriminator__norm=norm, **changes),
    )


def batch(classes=0, step=0):
    rng = np.random.default_rng(step)
    images = tf.constant(rng.uniform(-1, 1, (N, 8, 8, 1)).astype(np.float32))
    one_hot = np.zeros((N, classes), np.float32)
    if classes:
        one_hot[np.arange(N), np.arange(N) % classes] = 1
    return images, tf.constant(one_hot)


def weights_of(gan):
    parts = {
        "generator": gan.generator,
        "discriminator": gan.discriminator,
        "average": gan.ema_generator,
    }
    return {f"{name}:{p}": w for name, m in parts.items() for p, w in read_weights(m).items()}


def assert_equal_weights(one, other):
    assert one.keys() == other.keys()
    for path, value in one.items():
        np.testing.assert_array_equal(other[path], value, err_msg=path)


def run_steps(gan, classes=0, steps=3, graph=False):
    step = tf.function(gan.train_step) if graph else gan.train_step
    for number in range(steps):
        step(batch(classes, number))
    return weights_of(gan)


def test_ema_generator_starts_with_the_generators_weights():
    gan = make_gan(classes=2)
    assert_equal_weights(read_weights(gan.ema_generator), read_weights(gan.generator))


@pytest.mark.parametrize("classes", [0, 3])
def test_train_step_changes_every_network(classes):
    gan = make_gan(classes)
    before = weights_of(gan)
    gan.train_step(batch(classes))
    after = weights_of(gan)
    unchanged = [path for path in before if np.array_equal(before[path], after[path])]
    assert unchanged == []
    assert all(np.isfinite(value).all() for value in after.values())
    assert gan.iterations.numpy() == 1


def test_each_network_has_its_learning_rate():
    # Adam's first step moves every weight with a gradient by the rate.
    gan = make_gan(classes=2, generator__learning_rate=3e-3, discriminator__learning_rate=5e-4)
    networks = {"generator": (gan.generator, 3e-3), "discriminator": (gan.discriminator, 5e-4)}
    before = {n: [v.numpy() for v in m.trainable_variables] for n, (m, _) in networks.items()}
    gan.train_step(batch(2))
    for name, (model, rate) in networks.items():
        moved = [
            np.abs(v.numpy() - old).max() for v, old in zip(model.trainable_variables, before[name])
        ]
        assert max(moved) == pytest.approx(rate, rel=0.01), name


@pytest.mark.parametrize("ema", [0.999, 0.15])
def test_moving_average_follows_its_formula(ema):
    gan = make_gan(gan__ema=ema, generator__learning_rate=1e-2)
    for step in range(3):
        before = read_weights(gan.ema_generator)
        gan.train_step(batch(0, step))
        keep = min(ema, (1 + step) / (10 + step))
        now, average = read_weights(gan.generator), read_weights(gan.ema_generator)
        for path, value in before.items():
            expected = keep * value.astype(np.float64) + (1 - keep) * now[path]
            np.testing.assert_allclose(average[path], expected, rtol=1e-5, atol=1e-7, err_msg=path)
            assert not np.array_equal(average[path], now[path]), path


@pytest.mark.parametrize(
    ("loss", "d_loss", "g_loss"), [("nonsaturating", 100.0, 0.0), ("hinge", 101.0, -100.0)]
)
def test_train_step_returns_its_metrics(loss, d_loss, g_loss):
    gan = make_gan(gan__loss=loss)
    bias = gan.discriminator.get_layer("logit").bias
    bias.assign([100.0])  # calls everything real
    metrics = gan.train_step(batch())
    assert set(metrics) == {"d_loss", "g_loss", "d_accuracy"}
    assert all(value.shape == () for value in metrics.values())
    assert float(metrics["d_accuracy"]) == 0.5
    assert float(metrics["d_loss"]) == pytest.approx(d_loss, abs=0.5)
    assert float(metrics["g_loss"]) == pytest.approx(g_loss, abs=0.5)


def test_networks_optimize_opposite_objectives():
    # Only the logit's bias tells: D lowers it where it calls all fakes real, and G does not.
    gan = make_gan(discriminator__learning_rate=1e-2, generator__learning_rate=1e-2)
    bias = gan.discriminator.get_layer("logit").bias
    bias.assign([3.0])
    gan.train_step(batch())
    assert bias.numpy()[0] == pytest.approx(3.0 - 1e-2, rel=1e-4)


def test_trained_discriminator_separates_real_from_generated():
    gan = make_gan(
        discriminator__learning_rate=1e-2, generator__learning_rate=1e-7, gan__diffaug=[]
    )
    step = tf.function(gan.train_step)
    images = tf.ones((N, 8, 8, 1)) * 0.9
    metrics = [step((images,)) for _ in range(60)]
    losses = [float(t["d_loss"]) for t in metrics]
    assert losses[-1] < 0.1 * losses[0]
    assert float(metrics[-1]["d_accuracy"]) == 1.0
    assert float(metrics[-1]["g_loss"]) > float(metrics[0]["g_loss"])


def test_trained_generator_approaches_the_data():
    gan = make_gan(
        discriminator__learning_rate=2e-3,
        generator__learning_rate=1e-2,
        gan__diffaug=[],
        gan__ema=0.5,
    )
    step = tf.function(gan.train_step)
    noise = np.random.default_rng(0).normal(size=(64, LATENT)).astype(np.float32)

    def distance():
        return float(np.abs(gan.ema_generator(noise, training=False).numpy() - 0.8).mean())

    before = distance()
    images = tf.ones((N, 8, 8, 1)) * 0.8
    for _ in range(150):
        step((images,))
    assert before > 0.7
    assert distance() < 0.5 * before


def test_classes_outside_the_batch_are_not_trained():
    gan = make_gan(classes=3)
    images, _ = batch()
    only_second = tf.constant(np.tile(np.float32([0, 1, 0]), (N, 1)))
    before = weights_of(gan)
    gan.train_step((images, only_second))
    after = weights_of(gan)
    paths = [p for p in before if before[p].ndim == 2 and before[p].shape[0] == 3]
    paths = [p for p in paths if not p.startswith("average")]
    assert len(paths) == 5  # scale and shift of two blocks, and the discriminator's embedding
    for path in paths:
        np.testing.assert_array_equal(after[path][[0, 2]], before[path][[0, 2]], err_msg=path)
        assert (after[path][1] != before[path][1]).all(), path


@pytest.mark.parametrize(("classes", "norm"), [(0, "batch"), (2, "spectral")])
def test_same_seed_and_data_give_equal_weights(classes, norm):
    one = run_steps(make_gan(classes, norm), classes, graph=True)
    np.random.default_rng().normal(size=3)
    keras.utils.set_random_seed(99)
    other = run_steps(make_gan(classes, norm), classes, graph=True)
    assert_equal_weights(one, other)


def test_different_seeds_give_different_weights():
    one, other = (run_steps(make_gan(seed=seed), steps=1) for seed in (5, 6))
    kernels = [path for path in one if path.endswith("kernel")]
    assert all(not np.array_equal(one[path], other[path]) for path in kernels)


def test_diffaug_policy_changes_the_training():
    one, other = (run_steps(make_gan(gan__diffaug=d), steps=1) for d in ([], ["translation"]))
    assert not np.array_equal(
        one["discriminator:down_0/kernel"], other["discriminator:down_0/kernel"]
    )


def test_noise_is_a_function_of_the_step():
    # A run that goes on from step 2 with the same weights draws what the first run drew.
    gan, resumed = make_gan(), make_gan()
    run_steps(gan, steps=2)
    for mine, theirs in zip(resumed.state, gan.state, strict=True):
        mine.assign(theirs)
    assert resumed.iterations.numpy() == 2
    for model in (gan, resumed):
        model.train_step(batch(0, 2))
    assert_equal_weights(weights_of(gan), weights_of(resumed))


@pytest.mark.parametrize("norm", ["batch", "spectral"])
def test_inference_does_not_change_weights(norm):
    gan = make_gan(norm=norm)
    run_steps(gan, steps=1)
    before = weights_of(gan)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(70, LATENT)).astype(np.float32)
    generator, discriminator = gan.ema_generator, gan.discriminator
    features = feature_blocks(discriminator)
    (images,) = BatchInference(lambda z: generator(z, training=False), (LATENT,))(noise)
    BatchInference(lambda x: discriminator(x, training=False), (8, 8, 1))(images)
    BatchInference(lambda x: features(x, training=False), (8, 8, 1))(images)
    assert_equal_weights(weights_of(gan), before)
    # With training=True they would have changed.
    discriminator(images, training=True)
    assert any(not np.array_equal(v, before[p]) for p, v in weights_of(gan).items())


@pytest.mark.filterwarnings("ignore:The structure of `inputs`")
@pytest.mark.parametrize("classes", [0, 2])
def test_fit_runs_train_step(classes):
    gan, by_hand = make_gan(classes), make_gan(classes)
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (3 * N, 8, 8, 1)).astype(np.float32)
    one_hot = np.eye(2, dtype=np.float32)[np.arange(3 * N) % 2]
    data = (images, one_hot) if classes else (images,)
    history = gan.fit(*data, batch_size=N, epochs=2, shuffle=False, verbose=0).history
    assert {"d_loss", "g_loss", "d_accuracy"} <= set(history)
    assert len(history["d_loss"]) == 2
    assert gan.iterations.numpy() == 6
    for _ in range(2):
        for start in range(0, 3 * N, N):
            by_hand.train_step(tuple(tf.constant(x[start : start + N]) for x in data))
    # Keras may compile with XLA, which rounds differently; Adam divides by small numbers.
    other = weights_of(by_hand)
    for path, value in weights_of(gan).items():
        np.testing.assert_allclose(value, other[path], rtol=0.02, atol=2e-4, err_msg=path)


@pytest.mark.slow
def test_fit_accepts_a_dataset():
    gan = make_gan(2)
    dataset = tf.data.Dataset.from_tensors(batch(2)).repeat(4)
    gan.fit(dataset, shuffle=False, verbose=0)
    assert gan.iterations.numpy() == 4


def test_unresolved_settings_raise():
    with pytest.raises(ConfigError, match="resolve the configuration first"):
        make_gan(gan__diffaug=None)
    with pytest.raises(ConfigError, match="resolve the configuration first"):
        make_gan(generator__learning_rate=None)


# ---------------------------------------------------------------- several updates, labels, noise


class Watched(keras.layers.Layer):
    """Identity layer that keeps a copy of its input."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.outputs = []

    def call(self, inputs):
        if hasattr(inputs, "numpy"):
            self.outputs.append(inputs.numpy())
        return inputs


def watch(network):
    """Return `network` after a layer that keeps its input, and that layer."""
    layer = Watched()
    inputs = keras.Input(network.inputs[0].shape[1:])
    return keras.Model(inputs, network(layer(inputs))), layer


def watched_gan(**changes):
    """Return a GAN and the layers that keep the inputs of its two networks."""
    generator, noise = watch(build("generator", latent_dim=LATENT))
    discriminator, images = watch(build("discriminator", norm="none"))
    average, _ = watch(build("generator", latent_dim=LATENT))
    changes = {"gan__diffaug": [], **changes}
    return (
        GAN(generator, discriminator, average, settings(**changes)),
        noise.outputs,
        images.outputs,
    )


def test_discriminator_updates_split_the_batch():
    gan, noise, outputs = watched_gan(discriminator__steps=2)
    real = batch()[0].numpy()
    gan.train_step((tf.constant(real),))
    # Real and generated of the first half, of the second, and what the generator is judged by.
    assert [x.shape[0] for x in outputs] == [N, N, N // 2]
    np.testing.assert_array_equal(outputs[0][: N // 2], real[: N // 2])
    np.testing.assert_array_equal(outputs[1][: N // 2], real[N // 2 :])
    # The generator learns by the images that the discriminator judged last: they are drawn once.
    np.testing.assert_array_equal(outputs[2], outputs[1][N // 2 :])
    assert len(noise) == 2
    assert len({x.tobytes() for x in noise}) == 2
    optimizers = (gan.discriminator_optimizer, gan.generator_optimizer)
    assert [int(optimizer.iterations) for optimizer in optimizers] == [2, 1]
    assert int(gan.iterations) == 1


def test_generator_steps_are_configurable():
    gan, noise, outputs = watched_gan(generator__steps=2)
    gan.train_step(batch()[:1])
    assert [x.shape[0] for x in outputs] == [2 * N, N, N]
    np.testing.assert_array_equal(outputs[1], outputs[0][N:])
    assert len({x.tobytes() for x in noise}) == len(noise) == 2
    optimizers = (gan.discriminator_optimizer, gan.generator_optimizer)
    assert [int(optimizer.iterations) for optimizer in optimizers] == [1, 2]


def test_batch_norm_has_separate_statistics_for_real_and_generated():
    gan = make_gan(norm="batch", gan__diffaug=[])
    real, other = batch(0, 0)[0], 3 * batch(0, 1)[0]
    outputs = gan._batched_outputs(None, 0, real=real, fake=other)
    for name, images in (("real", real), ("fake", other)):
        alone = gan.discriminator(images, training=True)
        np.testing.assert_allclose(outputs[name].logits, alone, atol=1e-5)


def test_each_step_has_different_noise():
    gan, noise, _ = watched_gan(discriminator__steps=4)
    for step in range(3):
        gan.train_step(batch(0, step)[:1])
    assert len({x.tobytes() for x in noise}) == len(noise) == 12


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_latent_prior_sets_the_distribution_of_the_noise(kind):
    gan, noise, _ = watched_gan(gan__latent_prior=kind)
    for step in range(10):
        gan.train_step(batch(0, step)[:1])
    values = np.concatenate(noise).ravel()
    assert values.size == 10 * N * LATENT
    assert abs(values.mean()) < 0.15
    if kind == "uniform":
        assert -1 <= values.min() < -0.97
        assert 0.97 < values.max() <= 1
        assert values.std() == pytest.approx(3**-0.5, rel=0.1)
    else:
        assert np.abs(values).max() > 2
        assert values.std() == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_weight_clip_bounds_every_weight(norm):
    gan = make_gan(
        norm=norm, gan__loss="wasserstein", discriminator__weight_clip=0.01, discriminator__steps=2
    )
    assert max(np.abs(v.numpy()).max() for v in gan.discriminator.trainable_variables) > 0.01
    gan.train_step(batch())
    clip = np.float32(0.01)
    largest = [np.abs(v.numpy()).max() for v in gan.discriminator.trainable_variables]
    assert max(largest) == clip
    # The generator is not clipped.
    assert max(np.abs(v.numpy()).max() for v in gan.generator.trainable_variables) > clip


def certain_gan(**changes):
    """Return a GAN whose discriminator always returns the logit 4."""
    gan = make_gan(norm="none", discriminator__learning_rate=1e-12, **changes)
    logit = gan.discriminator.get_layer("logit")
    logit.kernel.assign(tf.zeros_like(logit.kernel))
    logit.bias.assign([4.0])
    return gan


CERTAIN = np.log1p(np.exp(4.0)) + np.log1p(np.exp(-4.0))  # softplus(4) + softplus(-4)


def test_label_smoothing_penalizes_large_logits():
    # A share s of "fake" for real images costs s (softplus(4) - softplus(-4)) = 4 s more.
    for smoothing in (0.0, 0.1, 0.3):
        gan = certain_gan(gan__label_smoothing=smoothing)
        metrics = float(gan.train_step(batch())["d_loss"])
        assert metrics == pytest.approx(CERTAIN + 4 * smoothing, abs=1e-5)


def test_label_noise_flips_labels_by_step():
    # A real image that is called fake costs 4 more, a generated one that is called real 4 less.
    gan = certain_gan(gan__label_noise=0.3)
    step = tf.function(gan.train_step)
    losses = np.asarray([float(step(batch(0, number))["d_loss"]) for number in range(25)])
    swaps = (losses - CERTAIN) * N / 4
    np.testing.assert_allclose(swaps, np.round(swaps), atol=1e-3)
    # The difference of two binomials of 8 and 0.3: mean 0, standard deviation 1.83.
    assert len(set(np.round(swaps))) >= 4
    assert abs(swaps.mean()) < 1.2
    assert 1.2 < swaps.std() < 2.6
    again = certain_gan(gan__label_noise=0.3)
    for number in (1, 7):
        again.iterations.assign(number)
        metrics = float(again.train_step(batch(0, number))["d_loss"])
        assert metrics == pytest.approx(losses[number], abs=1e-5)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_fit_with_label_noise_accepts_a_smaller_last_batch():
    # The batch size is unknown when the graph is made.
    gan = make_gan(norm="none", gan__label_noise=0.2)
    images = np.random.default_rng(0).uniform(-1, 1, (N + 3, 8, 8, 1)).astype(np.float32)
    gan.fit(tf.data.Dataset.from_tensor_slices(images).batch(N), verbose=0)
    assert int(gan.iterations) == 2


@pytest.mark.parametrize("betas", [[0.5, 0.999], [0.0, 0.9]])
def test_both_optimizers_are_adam_with_the_betas(betas):
    gan = make_gan(gan__betas=betas)
    for optimizer in (gan.generator_optimizer, gan.discriminator_optimizer):
        assert [optimizer.beta_1, optimizer.beta_2] == betas


def test_state_contains_all_variables_that_change():
    gan = make_gan(classes=2, norm="batch", dropout=0.3)
    mine = {id(variable) for variable in gan.state}
    assert len(mine) == len(gan.state)
    everything = [*gan.variables, *gan.generator_optimizer.variables]
    everything += gan.discriminator_optimizer.variables
    before = [variable.numpy() for variable in everything]
    gan.train_step(batch(2))
    for variable, value in zip(everything, before):
        if not np.array_equal(variable.numpy(), value):
            assert id(variable) in mine, variable.path


@pytest.mark.parametrize("case", [{"dropout": 0.4, "norm": "none"}, {"norm": "spectral"}])
def test_resumed_state_repeats_noise_inside_the_networks(case):
    gan, resumed = make_gan(**case), make_gan(**case)
    run_steps(gan, steps=2)
    for mine, theirs in zip(resumed.state, gan.state, strict=True):
        mine.assign(theirs)
    for model in (gan, resumed):
        model.train_step(batch(0, 2))
    assert_equal_weights(weights_of(gan), weights_of(resumed))

"""Tests of `augan.gan.translation`."""

import numpy as np
import pytest

from augan.config import TranslationSection
from augan.gan import tf
from augan.gan.networks.build import build_network, network_spec
from augan.gan.translation import (
    NOISE_BLOCKS,
    NOISE_CHANNELS,
    TranslationModel,
    TranslationNetworks,
    graph_noise,
    translation_noise,
)

N, K = 6, 3


def network(role, channels, **arguments):
    spec = network_spec(
        "translator", role, image_shape=[16, 16, channels], width=4, seed=0, **arguments
    )
    return build_network(spec)


def networks(old: int = 1, new: int = 3, **more) -> TranslationNetworks:
    there = {"out_channels": new, "noise_channels": NOISE_CHANNELS, "blocks": 1}
    back = {"out_channels": old, "noise_channels": 0, "blocks": 1}
    return TranslationNetworks(
        network("translator", old, **there),
        network("patch_discriminator", new, num_classes=K),
        network("translator", new, **back),
        **more,
    )


def model(settings: TranslationSection | None = None, **more) -> TranslationModel:
    trained, kept = networks(**more), networks(**more)
    settings = settings or TranslationSection()
    return TranslationModel(trained, kept.translators, settings, steps=10, seed=1)


def batch(old: int = 1, new: int = 3) -> tuple[tf.Tensor, ...]:
    rng = np.random.default_rng(0)
    classes = np.eye(K, dtype=np.float32)[np.arange(N) % K]
    classes[-1] = 0
    images = (rng.uniform(-1, 1, (N, 16, 16, c)).astype(np.float32) for c in (old, new))
    old_images, new_images = images
    return tuple(map(tf.constant, (old_images, classes, new_images, classes)))


@pytest.mark.parametrize("make", ["array", "graph"])
def test_noise_is_constant_in_blocks_and_cut_at_the_edge(make):
    if make == "array":
        noise = translation_noise(np.random.default_rng(0), 500, 24, 20)
    else:
        noise = graph_noise(500, 24, 20, tf.constant([1, 2])).numpy()
    assert noise.dtype == np.float32
    assert noise.shape == (500, 24, 20, NOISE_CHANNELS)
    for channel, block in enumerate(NOISE_BLOCKS):
        values = noise[..., channel]
        distinct = values[:, ::block, ::block]
        repeated = distinct.repeat(block, axis=1).repeat(block, axis=2)
        np.testing.assert_array_equal(values, repeated[:, :24, :20])
        assert len(np.unique(values[0])) == distinct[0].size
        assert abs(distinct.mean()) < 0.1
        assert abs(distinct.std() - 1) < 0.1
    assert not np.array_equal(noise[..., 2], noise[..., 3])


def test_a_step_trains_every_network_and_moves_the_averages():
    one = model()
    before = [value.numpy() for value in one.state]
    losses = one.train_step(batch())
    assert set(losses) == set(one.metric_names)
    assert all(np.isfinite(value) for value in losses.values())
    owners = (*one.networks.translators, *one.networks.discriminators, *one.averages)
    for owner in owners:
        for variable in owner.trainable_variables:
            old = next(b for v, b in zip(one.state, before, strict=True) if v is variable)
            assert not np.array_equal(old, variable.numpy()), variable.path


def test_the_state_determines_the_next_step():
    one, other = model(), model()
    one.train_step(batch())
    for mine, theirs in zip(other.state, one.state, strict=True):
        mine.assign(theirs)
    expected, found = one.train_step(batch()), other.train_step(batch())
    for name in expected:
        assert float(expected[name]) == float(found[name])


def test_the_discriminator_sees_the_class_of_an_image():
    discriminator = network("patch_discriminator", 3, num_classes=K)
    _, _, images, _ = batch()
    for variable in discriminator.trainable_variables:
        variable.assign(tf.random.stateless_normal(variable.shape, (0, 1)))
    classes = tf.eye(K)
    unconditional = discriminator([images[:K], tf.zeros((K, K))], training=False)
    conditional = discriminator([images[:K], classes], training=False)
    assert (np.abs(conditional - unconditional) > 1e-3).all()
    both = discriminator([images[:K], 2 * classes], training=False)
    np.testing.assert_allclose(both - conditional, conditional - unconditional, rtol=1e-3)

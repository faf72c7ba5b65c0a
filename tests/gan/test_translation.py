"""Tests of `augan.gan.translation`."""

import functools
from dataclasses import replace

import numpy as np
import pytest

from augan.config import TranslationSection
from augan.exceptions import ConfigError
from augan.gan import distribution, keras, tf
from augan.gan.contrastive import PatchContrast
from augan.gan.networks.build import build_network, network_spec
from augan.gan.translation import (
    NOISE_BLOCKS,
    NOISE_CHANNELS,
    ImageHistory,
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


def old_patch_discriminator(channels: int = 1) -> keras.Model:
    return network("patch_discriminator", channels, num_classes=K)


@functools.cache
def classifier() -> keras.Model:
    arguments = {"image_shape": [16, 16, 1], "num_classes": K, "width": 2, "seed": 3}
    return build_network(network_spec("cnn", "classifier", **arguments))


def model(**settings) -> TranslationModel:
    section = TranslationSection(**settings)
    more = {}
    if section.cycle == "two-sided":
        more["old_patch_discriminator"] = old_patch_discriminator()
    trained, kept = networks(**more), networks(**more)
    if section.cycle == "none":
        trained, kept = (replace(some, back_translator=None) for some in (trained, kept))
    return TranslationModel(
        trained,
        kept.translators,
        section,
        size=16,
        steps=10,
        seed=1,
        classifier=classifier(),
    )


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


VARIANTS = {
    "one-sided": {},
    "CycleGAN": {"cycle": "two-sided", "history": 4, "identity_weight": 5.0},
    "CUT": {"cycle": "none", "contrastive_weight": 1.0},
    "class": {"class_weight": 1.0, "identity_weight": 1.0, "contrastive_weight": 0.5},
}


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_a_step_trains_every_network_and_the_state_determines_the_next(settings):
    one, other = model(**settings), model(**settings)
    before = [value.numpy() for value in one.state]
    losses = one.train_step(batch())
    assert list(losses) == list(one.metric_names)
    assert all(np.isfinite(value) for value in losses.values())
    for variable, old in zip(one.state, before, strict=True):
        if getattr(variable, "trainable", True) and variable.path.count("adam") == 0:
            assert not np.array_equal(old, variable.numpy()), variable.path
    for mine, theirs in zip(other.state, one.state, strict=True):
        mine.assign(theirs)
    expected, found = one.train_step(batch()), other.train_step(batch())
    assert {n: float(v) for n, v in expected.items()} == {n: float(v) for n, v in found.items()}
    for mine, theirs in zip(other.state, one.state, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_losses_that_lack_a_network_are_refused():
    with pytest.raises(ConfigError, match=r"class_weight requires a translation back"):
        model(cycle="none", class_weight=1.0)
    section, averages = TranslationSection(class_weight=1.0), networks().translators
    with pytest.raises(ConfigError, match=r"class_weight requires a classifier"):
        TranslationModel(networks(), averages, section, size=16, steps=1, seed=0)


def test_a_history_of_several_workers_is_refused(monkeypatch):
    monkeypatch.setattr(distribution, "num_replicas", lambda: 2)
    with pytest.raises(ConfigError, match=r"history keeps the images of one worker"):
        model(history=4)


def test_the_history_fills_and_then_returns_earlier_images_with_their_classes():
    history = ImageHistory(4, (2, 2, 1), 3)
    for step in range(40):
        numbers = 10.0 * step + np.arange(6, dtype=np.float32)
        images = tf.constant(np.broadcast_to(numbers[:, None, None, None], (6, 2, 2, 1)))
        classes = tf.constant(np.stack([numbers, numbers, numbers], axis=1))
        mixed, mixed_classes = history.exchange(images, classes, tf.constant(step), 5)
        found = mixed.numpy()[:, 0, 0, 0]
        np.testing.assert_array_equal(found, mixed_classes.numpy()[:, 0])
        assert len(set(found)) == 6
        is_earlier = ~np.isin(found, numbers)
        assert is_earlier.sum() == (0 if step < 2 else 3)
    assert (history.images.numpy() > 0).all()


def test_the_contrast_is_smaller_for_equal_places():
    rng = np.random.default_rng(0)
    features = [tf.constant(rng.normal(size=(2, 8, 8, 5)).astype(np.float32))]
    mirrored = [tf.reverse(features[0], [1])]
    contrast, seed = PatchContrast([5], seed=0), tf.constant([1, 2])
    assert contrast.loss(features, features, seed) + 1 < contrast.loss(mirrored, features, seed)


def test_the_discriminator_sees_the_class_of_an_image():
    discriminator = old_patch_discriminator(3)
    _, _, images, _ = batch()
    for variable in discriminator.trainable_variables:
        variable.assign(tf.random.stateless_normal(variable.shape, (0, 1)))
    classes = tf.eye(K)
    unconditional = discriminator([images[:K], tf.zeros((K, K))], training=False)
    conditional = discriminator([images[:K], classes], training=False)
    assert (np.abs(conditional - unconditional) > 1e-3).all()
    both = discriminator([images[:K], 2 * classes], training=False)
    np.testing.assert_allclose(both - conditional, conditional - unconditional, rtol=1e-3)

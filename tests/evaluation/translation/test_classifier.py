"""Tests of the classifier for a new camera: one graph for all arms, AdaBN, adaptations."""

from dataclasses import replace

import numpy as np
import pytest

from augan.evaluation.translation import classifier
from augan.evaluation.translation.augmentation import AUGMENTATIONS, augment
from augan.evaluation.translation.camera_shift import CameraTrainingSet
from augan.evaluation.translation.classifier import CameraClassifier


@pytest.fixture(scope="module")
def training_set():
    """Bright squares on the left or on the right; the new camera inverts them."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 60, (80, 16, 16, 3), np.uint8), np.arange(80) % 2
    images[labels == 0, 4:12, 1:7] += 180
    images[labels == 1, 4:12, 9:15] += 180
    is_new = np.arange(80) >= 40
    images[is_new] = 255 - images[is_new]
    return CameraTrainingSet(images, labels, is_new, np.full(80, 1 / 80))


def short(**options):
    return CameraClassifier((16, 16, 3), 2, steps=options.pop("steps", 3), **options)


def adapting(training_set, adaptation):
    return replace(training_set, adaptation=adaptation, unlabeled=training_set.images[40:])


def test_trainings_share_a_graph_and_no_state(training_set):
    shared = short()
    first = shared.train(training_set, 1)
    values = [value.copy() for value in first._values]
    shared.train(replace(training_set, augmentation="strong"), 2)
    again = shared.train(training_set, 1)
    for one, other, kept in zip(values, again._values, first._values):
        assert np.array_equal(one, other)
        assert np.array_equal(one, kept)
    assert len(shared._graphs) == 1
    assert not np.array_equal(shared.train(training_set, 2)._values[0], values[0])


def test_the_classifier_learns_and_keeps_its_predictions(training_set):
    shared = short(steps=60, flips=False)
    trained = shared.train(training_set, 0)
    adapted = trained.adapted(training_set.images[40:])
    before = trained.predict(training_set.images)
    shared.train(training_set, 5)
    assert np.array_equal(trained.predict(training_set.images), before)
    new = training_set.images[40:], training_set.labels[40:]
    assert (adapted.predict(new[0]) == new[1]).mean() > 0.9


def test_adaptation_uses_the_statistics_of_the_pool(training_set, monkeypatch):
    """The first statistics are those of the first convolution, whatever the parts of the pool."""
    trained, pool = short().train(training_set, 0), training_set.images
    whole = trained.adapted(pool)
    monkeypatch.setattr(classifier, "_CHUNK_SIZE", 30)
    parts = trained.adapted(pool)
    assert parts._values[3] == pytest.approx(whole._values[3], abs=1e-5)
    assert parts._values[4] == pytest.approx(whole._values[4], rel=1e-3)
    assert not np.array_equal(whole._values[3], trained._values[3])
    assert np.array_equal(whole._values[0], trained._values[0])


@pytest.mark.parametrize(
    "adaptation", ["coral", "adversarial", "self-training", "adversarial-self-training"]
)
def test_adaptations_train_on_the_unlabeled_images(training_set, adaptation):
    shared = short(steps=4)
    given = adapting(training_set, adaptation)
    one = shared.train(given, 0)._values
    again = shared.train(given, 0)._values
    other = shared.train(replace(given, unlabeled=255 - given.unlabeled), 0)._values
    assert all(np.array_equal(a, b) for a, b in zip(one, again))
    assert not np.array_equal(one[0], other[0])
    assert all(np.isfinite(value).all() for value in one)


def test_combined_adaptation_has_both_losses(training_set):
    """The training differs from that by each loss alone."""
    shared = short(steps=4)
    first_kernels = [
        shared.train(adapting(training_set, adaptation), 0)._values[0]
        for adaptation in ("adversarial", "self-training", "adversarial-self-training")
    ]
    for alone in first_kernels[:2]:
        assert not np.allclose(alone, first_kernels[2], atol=1e-6)


def test_an_adaptation_requires_unlabeled_images(training_set):
    with pytest.raises(ValueError, match="coral"):
        short().train(replace(training_set, adaptation="coral"), 0)


@pytest.mark.parametrize("kind", AUGMENTATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_augmented_images_are_inputs_of_a_network(kind, channels):
    images = np.random.default_rng(0).integers(0, 256, (9, 16, 20, channels), np.uint8)
    kept = images.copy()
    first = augment(images, kind, np.random.default_rng(1))
    assert first.shape == images.shape
    assert first.dtype == np.float32
    assert first.min() >= -1
    assert first.max() <= 1
    assert np.array_equal(first, augment(images, kind, np.random.default_rng(1)))
    assert not np.array_equal(first, augment(images, kind, np.random.default_rng(2)))
    assert np.array_equal(images, kept)


def test_images_are_mirrored_only_if_they_may_be():
    """A bright left half stays on the left without flips."""
    images = np.zeros((40, 16, 16, 1), np.uint8)
    images[:, :, :8] = 255
    for flips in (False, True):
        changed = augment(images, "classic", np.random.default_rng(0), flips=flips)
        is_left = changed[:, :, :4].mean((1, 2, 3)) > changed[:, :, -4:].mean((1, 2, 3))
        assert is_left.all() != flips
        assert is_left.any()

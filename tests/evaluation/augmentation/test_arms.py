"""Tests of the arms without a GAN."""

from dataclasses import replace

import numpy as np
import pytest

from augan.choices import ARMS
from augan.evaluation.augmentation.arms import add_synthetic
from augan.evaluation.augmentation.classifiers import logistic
from augan.evaluation.augmentation.subsets import SubsetSpec, sample_subset
from augan.evaluation.augmentation.synthetic import DEFAULT_PER_CLASS
from tests.evaluation.augmentation._helpers import scale


def by_class(training_set, values):
    return np.bincount(training_set.labels, values, minlength=3)


def test_arms_sample_each_class_with_its_probability(subset):
    classifier = logistic(scale)
    training_sets = {name: ARMS.load(name)(subset, "shift", classifier) for name in ARMS.names()}
    for training_set in training_sets.values():
        assert training_set.probabilities.sum() == pytest.approx(1)
        num = len(training_set.images)
        assert len(training_set.labels) == len(training_set.probabilities) == num
        assert training_set.num_real == 27
    counts = np.array([12, 12, 3]) / 27
    uneven = ("real", "classic", "class-weights")
    for name in uneven:
        training_set = training_sets[name]
        assert by_class(training_set, training_set.probabilities) == pytest.approx(counts)
    for name in set(training_sets) - set(uneven):
        training_set = training_sets[name]
        assert by_class(training_set, training_set.probabilities) == pytest.approx([1 / 3] * 3)
    weighted = training_sets["class-weights"]
    assert by_class(weighted, weighted.probabilities * weighted.weights) == pytest.approx(
        [1 / 3] * 3
    )
    assert [
        name for name, training_set in training_sets.items() if training_set.transform == "none"
    ] == ["real"]
    assert [name for name, training_set in training_sets.items() if training_set.mixup] == ["mixup"]


def test_smote_adds_images_between_real_images(subset):
    training_set = ARMS.load("smote")(subset, "shift", logistic(scale))
    assert np.bincount(training_set.labels).tolist() == [12, 12, 12]
    assert np.array_equal(training_set.images[:27], subset.images)
    generated, real = training_set.images[27:], subset.images[subset.labels == 2]
    assert training_set.images.dtype == np.uint8
    assert (generated >= real.min(axis=0)).all()
    assert (generated <= real.max(axis=0)).all()


def test_pixel_transfer_takes_the_variance_of_other_classes(subset):
    training_set = ARMS.load("pixel-transfer")(subset, "shift", logistic(scale))
    assert np.bincount(training_set.labels).tolist() == [12, 12, 12]
    generated, real = (
        images[:].astype(float) for images in (training_set.images[27:], subset.images)
    )
    own, other = real[subset.labels == 2], real[subset.labels < 2]
    assert len(np.unique(generated, axis=0)) == 9
    # 0.6 times a difference of two images of another class adds 0.72 of its variance.
    assert generated.var(axis=0).mean() > own.var(axis=0).mean()
    assert np.abs(generated.mean() - own.mean()) < 0.2 * np.abs(other.mean() - own.mean())


def test_pixel_transfer_of_a_balanced_subset_adds_to_every_class(pool):
    balanced = sample_subset(pool, SubsetSpec(labels_per_class=6, rest_unlabeled=True), 0, 0)
    for name in ("pixel-transfer", "consistency-transfer"):
        training_set = ARMS.load(name)(balanced, "shift", logistic(scale))
        assert np.bincount(training_set.labels[18:]).tolist() == [DEFAULT_PER_CLASS] * 3
        assert training_set.probabilities[18:].sum() == pytest.approx(0.5)
        assert (training_set.unlabeled is None) == (name == "pixel-transfer")


def test_self_training_adds_confident_pseudo_labels(pool):
    subset = sample_subset(pool, SubsetSpec(labels_per_class=6, rest_unlabeled=True), 0, 0)
    training_set = ARMS.load("self-training")(subset, "none", logistic(scale))
    pseudo_labels = training_set.labels[18:]
    assert len(pseudo_labels) > 40
    true_labels = {bytes(image): label for image, label in zip(pool.images, pool.labels)}
    is_correct = [
        true_labels[bytes(image)] == label
        for image, label in zip(training_set.images[18:], pseudo_labels)
    ]
    assert np.mean(is_correct) > 0.95
    assert training_set.probabilities[:18].sum() == pytest.approx(0.5)


def test_self_training_limits_unlabeled_images_evenly(pool, monkeypatch):
    monkeypatch.setattr("augan.evaluation.augmentation.arms.MAX_PSEUDO_LABELED", 24)
    subset = sample_subset(pool, SubsetSpec(labels_per_class=6), 0, 0)
    sorted_by_class = replace(subset, unlabeled=pool.images[np.argsort(pool.labels, kind="stable")])
    training_set = ARMS.load("self-training")(sorted_by_class, "none", logistic(scale))
    assert set(training_set.labels[18:]) == {0, 1, 2}


def test_consistency_passes_on_the_unlabeled_images(pool):
    subset = sample_subset(pool, SubsetSpec(labels_per_class=6, rest_unlabeled=True), 0, 0)
    training_set = ARMS.load("consistency")(subset, "none", logistic(scale))
    assert training_set.unlabeled is subset.unlabeled
    assert len(training_set.labels) == 18


def test_add_synthetic_changes_only_the_classes_of_the_images(subset):
    base = ARMS.load("oversampling")(subset, "shift", logistic(scale))
    images, labels = np.zeros((50, 8, 8, 1), np.uint8), np.full(50, 2)
    training_set = add_synthetic(base, images, labels, 0.25)
    assert by_class(training_set, training_set.probabilities) == pytest.approx([1 / 3] * 3)
    assert training_set.probabilities[27:].sum() == pytest.approx(0.25 / 3)
    assert training_set.probabilities[:27][subset.labels != 2] == pytest.approx(
        base.probabilities[subset.labels != 2]
    )
    assert add_synthetic(base, images, labels, 0.0) is base
    assert add_synthetic(base, images[:0], labels[:0], 0.5) is base


def test_add_synthetic_keeps_the_weight_of_each_class(subset):
    base = ARMS.load("class-weights")(subset, "shift", logistic(scale))
    training_set = add_synthetic(base, subset.images, subset.labels, 0.5)
    effective = training_set.probabilities * training_set.weights
    assert by_class(training_set, effective) == pytest.approx([1 / 3] * 3)

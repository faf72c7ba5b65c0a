"""Contract of the arms without a GAN, checked for every registered arm."""

import re
from dataclasses import replace

import numpy as np
import pytest

from augan.choices import ARMS
from augan.evaluation.augmentation.arms import select_arms
from augan.evaluation.augmentation.classifiers import logistic
from augan.evaluation.augmentation.subsets import LabelPool, SubsetSpec, sample_subset
from tests._docs import run_worked_example
from tests.evaluation.augmentation._helpers import scale

MAX_VALUE = {"uint8": 255, "uint16": 65535, "float32": 1}
PARTS = ("images", "labels", "probabilities", "weights")


def make_subset(pool, dtype="uint8", counts=(12, 12, 5)):
    """Return a subset with unlabeled images, and pool images that are in no part of the subset."""
    images = (pool.images / 255 * MAX_VALUE[dtype]).astype(dtype)
    is_used = np.arange(len(images)) % 5 > 0
    used = LabelPool(images[is_used], pool.labels[is_used], pool.class_names)
    spec = SubsetSpec(rare=dict(zip(pool.class_names, counts)), rest_unlabeled=True)
    return sample_subset(used, spec, seed=3, repeat=0), images[~is_used]


def build(name, subset, transform="shift"):
    return ARMS.load(name)(subset, transform, logistic(scale))


def check_declaration(name):
    arm = ARMS.get(name)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
    for text in (arm.label, arm.description):
        assert text
        assert not text.endswith(".")
    assert [other.label for other in ARMS].count(arm.label) == 1
    assert arm.uses_unlabeled or not arm.needs_consistency
    assert name in select_arms(None, True, True)
    assert (name in select_arms(None, False, True)) == (not arm.uses_unlabeled)
    assert (name in select_arms(None, True, False)) == (not arm.needs_consistency)


def check_training_set(name, pool, dtype):
    """The training set begins with the labeled images and is valid in every part."""
    subset, unused = make_subset(pool, dtype)
    training_set, num = build(name, subset), len(subset.labels)
    assert (training_set.num_real, training_set.num_classes) == (num, 3)
    assert np.array_equal(training_set.images[:num], subset.images)
    assert np.array_equal(training_set.labels[:num], subset.labels)
    assert training_set.images.dtype == subset.images.dtype
    assert training_set.images.shape[1:] == subset.images.shape[1:]
    assert training_set.images.min() >= 0
    assert training_set.images.max() <= MAX_VALUE[dtype]
    sizes = {len(getattr(training_set, part)) for part in PARTS}
    assert sizes == {len(training_set.images)}
    assert np.issubdtype(training_set.labels.dtype, np.integer)
    assert set(training_set.labels) == {0, 1, 2}
    assert training_set.probabilities.sum() == pytest.approx(1)
    assert training_set.probabilities.min() >= 0
    assert np.isfinite(training_set.weights).all()
    assert training_set.weights.min() > 0
    assert training_set.transform in ("none", "shift")
    assert build(name, subset, "none").transform == "none"
    assert not {bytes(image) for image in training_set.images} & {bytes(one) for one in unused}


def check_determinism(name, pool):
    """The result depends on the subset alone, which stays unchanged, and not on its order."""
    subset, _ = make_subset(pool)
    before = [part.copy() for part in (subset.images, subset.labels, subset.unlabeled)]
    one, again = build(name, subset), build(name, subset)
    for part in PARTS:
        assert np.array_equal(getattr(one, part), getattr(again, part))
    for part, copy in zip((subset.images, subset.labels, subset.unlabeled), before):
        assert np.array_equal(part, copy)
    order = np.random.default_rng(0).permutation(len(subset.labels))
    images, labels = subset.images[order], subset.labels[order]
    shuffled = build(name, replace(subset, images=images, labels=labels))
    for part in ("images", "labels", "weights", "probabilities"):
        labeled = getattr(one, part)[: len(order)][order]
        assert getattr(shuffled, part)[: len(order)] == pytest.approx(labeled)


def check_unlabeled_images(name, pool):
    """An arm trains on unlabeled images if, and only if, its declaration says so."""
    subset, _ = make_subset(pool)
    training_set, arm = build(name, subset), ARMS.get(name)
    assert (training_set.unlabeled is not None) == arm.needs_consistency
    if not arm.uses_unlabeled:
        alone = build(name, replace(subset, unlabeled=None))
        for part in PARTS:
            assert np.array_equal(getattr(training_set, part), getattr(alone, part))


def check_redundancy(name, pool):
    """An arm that is declared redundant equals oversampling where no class is rare."""
    balanced, _ = make_subset(pool, counts=(6, 6, 6))
    training_set, oversampled = build(name, balanced), build("oversampling", balanced)
    is_equal = not training_set.mixup and training_set.unlabeled is None
    for part in (*PARTS, "transform"):
        one, other = getattr(training_set, part), getattr(oversampled, part)
        is_equal &= np.shape(one) == np.shape(other) and np.all(one == other)
    assert is_equal == (ARMS.get(name).is_redundant_if_balanced or name == "oversampling")


def check_classifier(name, pool):
    """A classifier trains on the arm and separates classes of different brightness."""
    subset, unused = make_subset(pool)
    predicted = logistic(scale).train(build(name, subset), 0)(unused)
    assert predicted.shape == (len(unused), 3)
    assert predicted.sum(axis=1) == pytest.approx(1)
    assert (predicted.argmax(axis=1) == pool.labels[np.arange(90) % 5 == 0]).mean() > 0.8


def check_arm(name, pool):
    check_declaration(name)
    for dtype in MAX_VALUE:
        check_training_set(name, pool, dtype)
    check_determinism(name, pool)
    check_unlabeled_images(name, pool)
    check_redundancy(name, pool)
    check_classifier(name, pool)


@pytest.mark.parametrize("name", ARMS.names())
def test_arm_keeps_the_contract(name, pool):
    check_arm(name, pool)


def test_arm_of_the_contributing_guide_keeps_the_contract(pool):
    known = ARMS.names()
    with ARMS.temporary():
        (name,) = run_worked_example("... an arm of the evaluation of augmentation", ARMS)
        assert name in select_arms([name], False, False)
        check_arm(name, pool)
    assert ARMS.names() == known

"""Tests of the convolutional classifier: one graph for all arms, shared copies, number types."""

import numpy as np
import pytest

from augan.choices import ARMS
from augan.evaluation.augmentation import cnn
from augan.evaluation.augmentation.cnn import CnnClassifier
from augan.evaluation.augmentation.subsets import SubsetSpec, sample_subset
from augan.training.defaults import native_dtype
from tests.evaluation.augmentation._helpers import scale


def training_set(pool, arm, **spec):
    subset = sample_subset(pool, SubsetSpec(labels_per_class=6, **spec), 0, 0)
    return ARMS.load(arm)(subset, "shift", CnnClassifier(scale, steps=6))


def test_arms_share_the_graph_and_no_state(pool):
    """An arm gets the same result after other arms as alone; former results stay valid."""
    oversampled, mixed = (training_set(pool, arm) for arm in ("oversampling", "mixup"))
    shared = CnnClassifier(scale, steps=6)
    first = shared.train(oversampled, 1)
    before = first(pool.images)
    other = shared.train(mixed, 1)(pool.images)
    again = shared.train(oversampled, 1)(pool.images)
    assert len(shared._graphs) == 1
    assert np.array_equal(again, before)
    assert np.array_equal(first(pool.images), before)
    assert not np.array_equal(other, before)
    alone = CnnClassifier(scale, steps=6).train(mixed, 1)(pool.images)
    assert np.array_equal(alone, other)
    assert not np.array_equal(shared.train(oversampled, 2)(pool.images), before)


def test_consistency_arms_share_the_augmented_unlabeled_images(pool, monkeypatch):
    names = []

    def counted(name, seed):
        names.append(name)
        return get_transform(name, seed)

    get_transform = cnn.get_transform
    monkeypatch.setattr(cnn, "get_transform", counted)
    shared, results = CnnClassifier(scale, steps=3), []
    for arm in ("consistency", "consistency-transfer", "oversampling"):
        given = training_set(pool, arm, rest_unlabeled=True)
        results.append(shared.train(given, 1)(pool.images))
    # labeled, weak and strong; the labeled images of the second arm differ; those of the third do
    # not
    assert names == ["shift", "shift", "strong", "shift"]
    monkeypatch.setattr(cnn, "_MAX_KEPT_BYTES", 0)
    without = CnnClassifier(scale, steps=3).train(
        training_set(pool, "consistency-transfer", rest_unlabeled=True), 1
    )(pool.images)
    assert np.array_equal(without, results[1])


@pytest.mark.skipif(native_dtype() == "float32", reason="the machine does not multiply bfloat16")
def test_bfloat16_gives_nearly_the_same_probabilities(pool):
    given = training_set(pool, "oversampling")
    one, other = (
        CnnClassifier(scale, steps=30, dtype=dtype).train(given, 1)(pool.images)
        for dtype in ("float32", "bfloat16")
    )
    assert other.dtype == np.float32
    assert other == pytest.approx(one, abs=0.1)
    assert not np.array_equal(one, other)

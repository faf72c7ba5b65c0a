"""Tests of the evaluator of arms."""

import numpy as np
import pytest

from augan.evaluation.augmentation.classifiers import logistic
from augan.evaluation.augmentation.evaluator import ArmEvaluator, classification_metrics
from augan.exceptions import ConfigError
from tests.evaluation.augmentation._helpers import CopySampler, gan_arm_of, scale


def test_ablation_equals_the_base_arm(pool, subset):
    evaluator = ArmEvaluator(logistic(scale), "shift", gan_arm_of(CopySampler()), pool.images)
    training_sets = {
        arm: evaluator.training_set(arm, subset) for arm in ("oversampling", "ablation", "gan")
    }
    assert len(training_sets["gan"][0].labels) == 3 * 27
    assert len(training_sets["gan"][1][1]) == 54
    for field in ("images", "labels", "probabilities", "weights"):
        one, other = (getattr(training_sets[arm][0], field) for arm in ("oversampling", "ablation"))
        assert np.array_equal(one, other)
    with pytest.raises(ConfigError, match="unknown arm 'dagan'; choose one of real"):
        evaluator.training_set("dagan", subset)


def test_classification_metrics_by_hand():
    metrics = classification_metrics(np.array([0, 0, 1, 0]), np.array([0, 0, 1, 1]), 2)
    assert metrics["recall"] == [1.0, 0.5]
    assert metrics["balanced_accuracy"] == metrics["accuracy"] == 0.75
    assert metrics["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)

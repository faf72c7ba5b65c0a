"""Tests of the selection within a repeat."""

import numpy as np

from augan.evaluation.augmentation.classifiers import logistic
from augan.evaluation.augmentation.evaluator import ArmEvaluator
from augan.evaluation.augmentation.experiment import select_synthetic_fraction
from augan.evaluation.augmentation.subsets import SubsetSpec, sample_subset
from tests.evaluation.augmentation._helpers import CopySampler, gan_arm_of, scale


def test_select_synthetic_fraction_of_useless_images_is_zero(pool):
    """Images of the wrong class do not help, and copies help no more than no images."""
    subset = sample_subset(pool, SubsetSpec(labels_per_class=8), 0, 0)
    wrong = CopySampler(
        change=lambda X, y: (X, np.concatenate([y[: len(y) // 3], 2 - y[len(y) // 3 :]]))
    )
    evaluator = ArmEvaluator(logistic(scale), "none", gan_arm_of(wrong), pool.images[:0])
    candidates = (gan_arm_of(wrong), gan_arm_of(CopySampler()))
    assert select_synthetic_fraction(evaluator, candidates, subset).synthetic_fraction == 0.0

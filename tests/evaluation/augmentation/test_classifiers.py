"""Tests of the pixel classifiers."""

import numpy as np
import pytest

from augan.choices import ARMS
from augan.evaluation.augmentation.classifiers import logistic
from tests.evaluation.augmentation._helpers import scale


def test_mixup_keeps_the_class_balance_of_oversampling(subset):
    classifier, fractions = logistic(scale), []
    for seed in range(40):  # the partners are random
        _, labels, weights = classifier._weighted_rows(
            ARMS.load("mixup")(subset, "none", classifier), seed
        )
        fractions.append(np.bincount(labels, weights, minlength=3) / weights.sum())
    assert np.mean(fractions, axis=0) == pytest.approx([1 / 3] * 3, abs=0.02)

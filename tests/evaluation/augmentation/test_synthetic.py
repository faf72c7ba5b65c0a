"""Tests of the checks on samplers."""

import numpy as np
import pytest

from augan.evaluation.augmentation.synthetic import generate_synthetic
from augan.exceptions import DataError
from tests.evaluation.augmentation._helpers import CopySampler, gan_arm_of


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda X, y: (X[::-1], y), "changed or moved"),
        (lambda X, y: (X.astype(np.float32), y), "of the same type and size"),
        (lambda X, y: (X, y[:-1]), "of the same type and size"),
        (lambda X, y: (X, np.concatenate([y[:-1], [7]])), "classes 0 to 7"),
    ],
)
def test_generate_synthetic_of_an_invalid_sampler_raises(subset, change, words):
    with pytest.raises(DataError, match=words):
        generate_synthetic(gan_arm_of(CopySampler(change=change)), subset)

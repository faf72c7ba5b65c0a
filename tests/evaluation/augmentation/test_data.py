"""Tests of the search for leakage."""

import numpy as np

from augan.data.datasets import digits
from augan.evaluation.augmentation.data import find_leakage


def test_find_leakage_returns_duplicates_and_near_duplicates():
    images = np.asarray(digits().images)
    train, test = images[:200], images[300:340].copy()
    test[3], test[7] = train[11], train[150]
    near = train[20].astype(np.int64)
    near[2, 2] += 1 if near[2, 2].max() < 255 else -1
    test[9] = near.astype(np.uint8)
    rows = np.setdiff1d(np.arange(200), [150])  # image 150 is not in the training set
    leakage = find_leakage(train, rows, test)
    assert leakage.duplicates == [(3, 11)]
    assert [(test_index, index) for test_index, index, _ in leakage.near_duplicates] == [(9, 20)]
    assert leakage.near_duplicates[0][2] > 0.999

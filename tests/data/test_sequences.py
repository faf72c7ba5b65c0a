"""Tests of `augan.data.sequences`."""

import numpy as np

from augan.data.sequences import ConcatRows


def test_concat_rows_equal_the_concatenated_array():
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 256, (n, 2, 2, 1), np.uint8) for n in (3, 4))
    stacked, whole = ConcatRows(first, second), np.concatenate([first, second])
    assert (stacked.shape, stacked.dtype, len(stacked)) == (whole.shape, whole.dtype, 7)
    for rows in (np.array([6, 0, 3, 3, 2]), np.arange(3), np.array([5]), np.empty(0, int)):
        np.testing.assert_array_equal(stacked[rows], whole[rows])
    for row in (0, 2, 3, 6):
        np.testing.assert_array_equal(stacked[row], whole[row])

"""Rejection criteria on candidates whose faults are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augan.augment.filters import criteria
from augan.augment.filters.criteria import AcceptedIndex, NearestRealIndex


def points(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


class TestCriteria:
    def test_class_probability_and_label_mismatch(self) -> None:
        logits = np.log([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
        np.testing.assert_allclose(criteria.class_probability(logits, 1), [0.2, 0.3])
        assert criteria.label_mismatch(logits, 0).tolist() == [False, True]
        assert criteria.class_probability(np.array([[900.0, 0.0]]), 0).tolist() == [
            1.0
        ]  # no overflow

    def test_min_realness_is_twice_as_far_below_the_median_as_the_first_percentile(self) -> None:
        logits = np.random.default_rng(0).permutation(1001) / 1000
        assert criteria.min_realness(logits) == pytest.approx(0.5 - 2 * 0.49)
        assert criteria.min_realness(logits[:99]) == -np.inf  # too few for a first percentile

    def test_to_feature_vectors_averages_blocks_of_large_images(self) -> None:
        scaled = np.zeros((1, 64, 64, 1), np.float32)
        scaled[0, :2, :2, 0] = [[0, 1], [1, 0]]
        vector = criteria.to_feature_vectors(scaled)
        assert vector.shape == (1, 32 * 32)
        assert vector[0, 0] == 0.5
        assert vector[0, 1:].max() == 0
        assert criteria.to_feature_vectors(np.zeros((2, 8, 8, 3), np.float32)).shape == (2, 192)


class TestNearestRealIndex:
    def test_query_returns_distance_and_row(self) -> None:
        real = np.array([[0, 0], [3, 4], [-1, 0]], np.float32)
        distance, row = NearestRealIndex(real).query(np.array([[0.6, 0.8], [-1, 0]], np.float32))
        assert row.tolist() == [0, 2]
        np.testing.assert_allclose(distance, [np.sqrt(0.5), 0])

    def test_memorization_threshold_is_the_first_percentile_of_distances(self) -> None:
        # Gaps of 1, 2, 3, ... between neighbors: the nearest of point i is i away.
        real = points(*np.cumsum(np.arange(61)))
        distances = np.r_[1, np.arange(1, 61)]
        assert NearestRealIndex(real).memorization_threshold() == pytest.approx(
            np.quantile(distances, 0.01)
        )

    def test_memorization_threshold_ignores_copies(self) -> None:
        real = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
        with_copies = NearestRealIndex(np.repeat(real, 3, axis=0)).memorization_threshold()
        assert with_copies > 0
        assert with_copies == pytest.approx(
            NearestRealIndex(real).memorization_threshold(), rel=1e-5
        )

    def test_memorization_threshold_of_one_distinct_sample_is_zero(self) -> None:
        assert NearestRealIndex(points(1, 1, 1)).memorization_threshold() == 0

    def test_query_is_exact_for_small_distances_far_from_the_origin(self) -> None:
        rng = np.random.default_rng(0)
        real = (1 + rng.normal(size=(300, 500)) / 100).astype(np.float32)
        distance, row = NearestRealIndex(real).query(real[::7] + np.float32(1e-3))
        assert row.tolist() == list(range(0, 300, 7))
        np.testing.assert_allclose(distance, 1e-3, rtol=1e-3)


class TestAcceptedIndex:
    def test_find_duplicates_keeps_the_first_of_similar_candidates(self) -> None:
        index = AcceptedIndex(0.5)
        first = points(0.0, 0.4, 0.8, 5.0)
        # 0.8 is near 0.4 only, which is a duplicate itself.
        assert index.find_duplicates(first, np.ones(4, bool)).tolist() == [
            False,
            True,
            False,
            False,
        ]
        index.add(first[[0, 2, 3]])
        duplicates = index.find_duplicates(points(5.3, 7.0, -0.4), np.ones(3, bool))
        assert duplicates.tolist() == [True, False, True]

    def test_find_duplicates_ignores_candidates_that_are_not_eligible(self) -> None:
        index = AcceptedIndex(0.5)
        assert index.find_duplicates(points(0, 0, 0), np.array([False, True, True])).tolist() == [
            False,
            False,
            True,
        ]

    @given(
        values=st.lists(st.integers(0, 60), min_size=1, max_size=60),
        cut=st.integers(0, 60),
    )
    def test_find_duplicates_does_not_depend_on_chunks(self, values: list[int], cut: int) -> None:
        x = points(*values) / 10
        whole, parts = AcceptedIndex(0.25), AcceptedIndex(0.25)
        expected = whole.find_duplicates(x, np.ones(len(x), bool))
        found = []
        for part in (x[:cut], x[cut:]):
            duplicates = parts.find_duplicates(part, np.ones(len(part), bool))
            parts.add(part[~duplicates])
            found += duplicates.tolist()
        assert found == expected.tolist()
        accepted = np.sort(x[~expected, 0])
        assert (np.diff(accepted) > 0.25).all()

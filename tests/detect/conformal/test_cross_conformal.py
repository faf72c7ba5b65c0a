"""Cross-conformal calibration: the formula by hand, its bound, violations, the ensemble."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from augan.data.splits import make_folds
from augan.detect.conformal.calibration import Calibration
from augan.detect.conformal.cross_conformal import CrossConformalPool, max_false_alarm_rate
from augan.detect.conformal.drift import LEVEL, detect_drift
from augan.detect.conformal.fdr import discovery_guarantee
from augan.detect.cross_conformal_ensemble import RANK_CORRECTION, CrossConformalEnsemble
from augan.detect.visualization.anomaly_map import MapScale
from augan.exceptions import DataError


def by_formula(fold_scores: list[np.ndarray], values: np.ndarray) -> np.ndarray:
    """p = (1 + #{i : s_i >= S_k(i)(x)}) / (n + 1), computed directly."""
    above = [[np.sum(scores >= value) for scores, value in zip(fold_scores, row)] for row in values]
    return (1 + np.sum(above, axis=1)) / (1 + sum(map(len, fold_scores)))


def calibrated(fold_scores: list[np.ndarray]) -> tuple[CrossConformalPool, Calibration]:
    return CrossConformalPool(fold_scores), Calibration.from_folds(
        fold_scores, sum(map(len, fold_scores))
    )


def test_p_values_by_hand() -> None:
    # The scores of the second fold are higher by ten; each fold has its own ranks.
    fold_scores = [np.array([1.0, 3.0]), np.array([12.0, 14.0]), np.array([2.0])]
    pool, calibration = calibrated(fold_scores)
    values = np.array([[0, 10, 0], [1, 10, 0], [2, 13, 3], [3, 13, 3], [4, 15, 3], [4, 14.5, 0.0]])
    p = calibration.p_values(pool(values))
    np.testing.assert_array_equal(p, np.array([6, 6, 3, 3, 1, 2]) / 6)


@given(
    st.lists(st.integers(1, 6), min_size=2, max_size=6),
    st.sampled_from([0.0, 5.0, 1e6]),
    st.integers(0, 2**31),
)
def test_p_values_are_those_of_the_formula(sizes: list[int], apart: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    fold_scores = [rng.normal(apart * k, 1 + k, size) for k, size in enumerate(sizes)]
    # Some scores equal a calibration score of their fold; ties count.
    values = np.stack(
        [rng.choice([*line, *rng.normal(0, 3, 20)], 30) for line in fold_scores], axis=1
    )
    pool, calibration = calibrated(fold_scores)
    np.testing.assert_array_equal(
        calibration.p_values(pool(values)), by_formula(fold_scores, values)
    )


@given(st.integers(0, 2**31))
def test_equal_scores_of_several_folds_only_raise_p_values(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fold_scores = [rng.integers(0, 4, 5).astype(float) for _ in range(5)]
    values = rng.integers(-1, 6, (40, 5)).astype(float)
    pool, calibration = calibrated(fold_scores)
    p, formula = calibration.p_values(pool(values)), by_formula(fold_scores, values)
    assert (p >= formula).all()
    highest = values.min(axis=1) > 3  # above all calibration scores
    np.testing.assert_array_equal(p[highest], formula[highest])


def test_images_are_ordered_by_p_value_and_then_by_their_mean() -> None:
    rng = np.random.default_rng(0)
    fold_scores = [rng.normal(size=8) for _ in range(5)]
    values = rng.normal(0, 3, (500, 1)) + rng.normal(size=(500, 5))
    pool = CrossConformalPool(fold_scores)
    scores = pool(values)
    order = np.lexsort((values.mean(axis=1), -by_formula(fold_scores, values)))
    assert (np.diff(scores[order]) > 0).all()
    assert np.isfinite(pool(np.array([[np.inf] * 5, [-np.inf] * 5, [1e300] * 5]))).all()
    assert np.isnan(pool(np.full((1, 5), np.nan))).all()


# Guarantee -------------------------------------------------------------------------------


def worst_case(rank: int, sizes: tuple[int, ...]) -> float:
    """The largest P(p <= rank/(n+1)) over all joint distributions, by linear programming."""
    cells = np.array(list(itertools.product(*(range(size + 1) for size in sizes))))
    wanted = cells.sum(axis=1) <= rank - 1
    laws = [cells[:, k] == i for k, size in enumerate(sizes) for i in range(size + 1)]
    chances = [1 / (size + 1) for size in sizes for _ in range(size + 1)]
    found = linprog(-wanted.astype(float), A_eq=np.array(laws, float), b_eq=chances)
    return float(-found.fun)


@pytest.mark.parametrize("sizes", [(3, 3), (2, 5), (3, 3, 3), (2, 3, 4), (2, 2, 2, 2, 2)])
def test_no_dependence_between_folds_breaks_the_bound(sizes: tuple[int, ...]) -> None:
    for rank in range(1, sum(sizes) + 1):
        assert worst_case(rank, sizes) <= max_false_alarm_rate(rank, sizes) + 1e-9


def test_the_bound_is_reached_and_is_about_twice_the_rate() -> None:
    assert worst_case(1, (3, 3, 3)) == pytest.approx(max_false_alarm_rate(1, (3, 3, 3)))
    assert worst_case(3, (2,) * 5) == pytest.approx(max_false_alarm_rate(3, (2,) * 5))
    for fold in (30, 300, 3000):
        n, rank = 5 * fold, int(0.05 * (5 * fold + 1))
        bound, published = max_false_alarm_rate(rank, [fold] * 5), 0.1 + 2 * 0.95 * 4 / (n + 5)
        assert 2 * rank / (n + 1) <= bound <= published
    assert max_false_alarm_rate(750, [3000] * 5) == pytest.approx(0.1, abs=0.001)


def test_sentence_and_numbers_of_the_guarantee() -> None:
    calibration = Calibration.from_folds(list(np.arange(150.0).reshape(5, 30)), 150)
    guarantee = calibration.guarantee(0.05)
    assert (
        guarantee.expected == max_false_alarm_rate(7, [30] * 5) == pytest.approx(0.10753, abs=1e-5)
    )
    assert (guarantee.exact, guarantee.rate_upper_95) == (True, None)
    assert guarantee.sentence == (
        "On average at most 10.8 % of normal images like the 150 calibration images are flagged "
        "(twice the chosen rate of 5.0 %, plus 0.76 % because folds are small): each of 5 "
        "detectors is calibrated on the images that it was not trained on."
    )
    assert calibration.false_alarm_range(0.05, 100)[0] == 0
    assert not discovery_guarantee(calibration, 0.1, 50).exact
    of_parts = Calibration.from_folds(list(np.arange(150.0).reshape(5, 30)), 50).guarantee(0.05)
    assert not of_parts.exact
    assert "approximate: 150 images of 50 groups" in of_parts.sentence
    assert of_parts.sentence.endswith("higher; folds guarantee only 10.8 % even without groups.")


def test_section_of_a_bundle_round_trips_and_fold_sizes_are_checked() -> None:
    calibration = Calibration.from_folds([np.array([2.0, 1.0]), np.array([0.5])], 3)
    again = Calibration.from_section(calibration.to_section())
    assert (again.fold_sizes, again.scores.tolist()) == ((2, 1), [0.5, 1.0, 2.0])
    assert Calibration.fit([1.0, 2.0]).to_section().fold_sizes == ()
    for damage in ((1, 1), (3, 0)):
        with pytest.raises(DataError, match="calibrate the detector again"):
            Calibration(calibration.scores, 3, damage)


# By simulation ----------------------------------------------------------------------------------


class Distance:
    """Mahalanobis' distance from what it is fitted on, as two terms: a real scorer, and a fast one.

    Of 20 features and 48 samples: those that it has seen lie much nearer than others.
    """

    name, components, map_stride = "distance", ("first", "second"), 1

    def __init__(self) -> None:
        self._mean, self._axes = np.zeros(0), np.zeros((0, 0))

    def fit(self, reference: np.ndarray) -> Self:
        self._mean = reference.mean(axis=0)
        covariance = np.cov(reference.T) + 0.05 * np.eye(reference.shape[1])
        self._axes = np.linalg.cholesky(np.linalg.inv(covariance))
        return self

    def score_components(self, images: np.ndarray, *, small_batches: bool = False) -> np.ndarray:
        squares = ((images - self._mean) @ self._axes) ** 2
        return np.stack([part.sum(axis=1) for part in np.array_split(squares, 2, axis=1)], axis=1)

    def reconstruct(self, images: Any) -> None:
        return None

    def maps(self, images: np.ndarray, *, small_batches: bool = False) -> np.ndarray:
        squares = ((images - self._mean) @ self._axes) ** 2
        return squares.astype(np.float32).reshape(len(images), 4, -1, 1)

    def score_and_maps(
        self, images: np.ndarray, *, small_batches: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        return self.score_components(images), self.maps(images)

    def get_state(self) -> dict[str, np.ndarray]:
        return {"mean": self._mean, "axes": self._axes}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        self._mean, self._axes = np.asarray(state["mean"]), np.asarray(state["axes"])
        return self


def fitted(
    samples: np.ndarray, seed: int, *, leak: bool = False
) -> tuple[CrossConformalEnsemble, np.ndarray]:
    """The ensemble of `samples`; with `leak`, detectors are trained on their calibration fold."""
    members, fold_scores, map_maxima = [], [], []
    for split in make_folds(len(samples), seed=seed):
        rows = np.arange(len(samples)) if leak else np.concatenate([split.train, split.val])
        members.append(Distance().fit(samples[rows]))
        held = samples[split.calibration]
        fold_scores.append(members[-1].score_components(held).sum(axis=1))
        map_maxima.append(members[-1].maps(held).max(axis=(1, 2, 3)).astype(np.float64))
    return CrossConformalEnsemble(members).calibrate(fold_scores, map_maxima), np.array(fold_scores)


def simulate(
    draws: int, judge: Callable[[CrossConformalEnsemble, np.ndarray], float], leak: bool = False
) -> float:
    found = []
    for seed in range(draws):
        samples = np.random.default_rng(seed).standard_t(4, size=(60 + 200, 20))
        found.append(judge(fitted(samples[:60], seed, leak=leak)[0], samples[60:]))
    return float(np.mean(found))


def flagged(folds: CrossConformalEnsemble, new: np.ndarray) -> float:
    calibration = Calibration.from_folds(folds.fold_scores, 60)
    return float(calibration.flags(folds.score_components(new).sum(axis=1), 0.1).mean())


def with_significant_pixels(folds: CrossConformalEnsemble, new: np.ndarray) -> float:
    scale = MapScale(Calibration.from_folds(folds.max_map_scores, 60), 0.1)
    return float((scale(folds.maps(new)) > 0).any(axis=(1, 2, 3)).mean())


def test_good_images_are_flagged_at_about_the_requested_rate() -> None:
    rate = simulate(150, flagged)
    assert 0.05 < rate < 0.11 < max_false_alarm_rate(6, [12] * 5)


def test_maps_of_good_images_keep_to_the_rate() -> None:
    assert 0.03 < simulate(100, with_significant_pixels) < 0.11


def test_calibrating_on_training_images_breaks_the_bound() -> None:
    """Must fail: samples that a detector was fitted on score systematically lower."""
    assert simulate(30, flagged, leak=True) > 1.5 * max_false_alarm_rate(6, [12] * 5)


def test_drift_is_detected_only_if_there_is_drift() -> None:
    """Means of folds spread less than single scores; the plain test would report drift."""

    def alarm(by: float) -> Callable[[CrossConformalEnsemble, np.ndarray], float]:
        def judge(folds: CrossConformalEnsemble, new: np.ndarray) -> float:
            scores = folds.score_components(by * new).sum(axis=1)
            return float(detect_drift(Calibration.from_folds(folds.fold_scores, 60), scores).alarm)

        return judge

    assert simulate(100, alarm(1.0)) <= LEVEL
    assert simulate(10, alarm(1.6)) > 0.7
    assert simulate(10, alarm(0.5)) > 0.7


# The ensemble -------------------------------------------------------------------------------------


def test_scores_of_folds_have_the_p_values_of_the_formula() -> None:
    samples = np.random.default_rng(0).normal(size=(360, 20))
    folds, fold_scores = fitted(samples[:60], 0)
    scores = folds.score_components(samples[60:]).sum(axis=1)
    every = [member.score_components(samples[60:]).sum(axis=1) for member in folds._members]
    p = Calibration.from_folds(folds.fold_scores, 60).p_values(scores)
    np.testing.assert_array_equal(p, by_formula(list(fold_scores), np.stack(every, axis=1)))
    backwards = folds.score_components(samples[60:])[:, ::-1].sum(axis=1)
    np.testing.assert_array_equal(scores, backwards)  # the order of summation does not matter


def test_folds_with_other_scales_have_equal_weight() -> None:
    samples = np.random.default_rng(1).normal(size=(100, 20))
    folds, fold_scores = fitted(samples[:60], 0)
    scores = folds.score_components(samples[60:])
    scaled = 1e5 * folds._members[2]._axes  # its scores are 1e10 times as large
    folds._members[2].set_state({**folds._members[2].get_state(), "axes": scaled})
    fold_scores[2] *= 1e10
    map_maxima = [np.ones(12)] * 5
    again = (
        CrossConformalEnsemble(folds._members)
        .calibrate(list(fold_scores), map_maxima)
        .score_components(samples[60:])
    )
    np.testing.assert_allclose(again, scores, atol=1e-6)


def test_extreme_scores_are_no_error() -> None:
    samples = np.random.default_rng(2).normal(size=(64, 20))
    folds, _ = fitted(samples[:60], 0)
    calibration = Calibration.from_folds(folds.fold_scores, 60)
    huge = np.array([np.full(20, 1e9), np.full(20, 1e150)])
    assert (calibration.p_values(folds.score_components(huge).sum(axis=1)) == 1 / 61).all()
    equal = CrossConformalEnsemble(folds._members).calibrate([np.ones(12)] * 5, [np.zeros(12)] * 5)
    assert np.isfinite(equal.score_components(samples[60:])).all()


def test_state_restores_the_ensemble() -> None:
    samples = np.random.default_rng(3).normal(size=(90, 20))
    folds, _ = fitted(samples[:60], 0)
    again = CrossConformalEnsemble([Distance() for _ in range(5)]).set_state(folds.get_state())
    assert again.components == folds.components == ("first", "second", RANK_CORRECTION)
    np.testing.assert_array_equal(again.score_components(samples), folds.score_components(samples))
    np.testing.assert_array_equal(again.maps(samples), folds.maps(samples))
    assert folds.maps(samples).shape == (90, 4, 5, 1)
    components, maps = folds.score_and_maps(samples)
    np.testing.assert_array_equal(components, folds.score_components(samples))
    np.testing.assert_array_equal(maps, folds.maps(samples))
    # Without pooling, components are means of the scaled folds; the state restores this too.
    mean = again.without_pooling()
    assert mean.components == ("first", "second")
    parts = mean.score_components(samples)
    np.testing.assert_allclose(parts, again.score_components(samples)[:, :2], atol=1e-8)
    later = CrossConformalEnsemble([Distance() for _ in range(5)]).set_state(mean.get_state())
    np.testing.assert_array_equal(later.score_components(samples), parts)
    np.testing.assert_array_equal(later.maps(samples), mean.maps(samples))

"""Split-conformal calibration: small cases by hand, the bound by simulation, violations."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augan.detect.conformal.calibration import Calibration, min_calibration_size
from augan.exceptions import ConfigError, DataError

# Few distinct values, so that most scores are tied.
TIED_SCORES = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=60)
RATES = st.one_of(
    st.floats(1e-3, 0.999),
    st.tuples(st.integers(1, 60), st.integers(2, 61)).map(lambda t: min(t) / (max(t) + 1)),
)


def uniform(n: int, seed: int = 0) -> Calibration:
    return Calibration.fit(np.random.default_rng(seed).random(n))


def test_p_values_by_hand_with_ties() -> None:
    calibration = Calibration.fit([3.0, 1.0, 2.0, 2.0])
    p = calibration.p_values([0.0, 1.0, 2.0, 2.5, 3.0, 4.0, np.inf, -np.inf])
    np.testing.assert_array_equal(p, np.array([5, 5, 4, 2, 2, 1, 1, 5]) / 5)


def test_threshold_and_flags_by_hand() -> None:
    calibration = Calibration.fit(np.arange(1, 20))  # n = 19: far 0.05 -> k = 1, 0.1 -> k = 2
    assert calibration.threshold(0.05) == 19
    assert calibration.threshold(0.099) == 19
    assert calibration.threshold(0.1) == 18
    assert calibration.flags([18, 19, 19.5], 0.05).tolist() == [False, False, True]
    assert calibration.flags([18, 19, 19.5], 0.1).tolist() == [False, True, True]


def test_no_image_is_flagged_when_all_scores_are_equal() -> None:
    calibration = Calibration.fit(np.ones(50))
    assert not calibration.flags(np.ones(1000), 0.5).any()
    assert (calibration.p_values(np.ones(3)) == 1).all()


@given(TIED_SCORES, TIED_SCORES, RATES)
def test_flags_are_exactly_the_small_p_values(
    calibration_scores: list[float], scores: list[float], far: float
) -> None:
    calibration = Calibration.fit(calibration_scores)
    if not calibration.supports(far):
        with pytest.raises(ConfigError):
            calibration.flags(scores, far)
        assert not (calibration.p_values(scores) <= far).any()
        return
    np.testing.assert_array_equal(
        calibration.flags(scores, far), calibration.p_values(scores) <= far
    )


@given(TIED_SCORES, st.lists(RATES, min_size=2, max_size=5))
def test_a_larger_rate_never_flags_less(scores: list[float], rates: list[float]) -> None:
    calibration = Calibration.fit(scores)
    thresholds = [calibration.threshold(r) for r in sorted(rates) if calibration.supports(r)]
    assert thresholds == sorted(thresholds, reverse=True)


@pytest.mark.parametrize("n", [1, 2, 9, 19, 99, 100, 299, 999])
def test_every_rank_is_hit_by_its_own_rate(n: int) -> None:
    """0.29 * 100 < 29 in floating point: the k-th rate must still give the k-th score."""
    calibration = Calibration.fit(np.arange(1, n + 1))
    for k in range(1, n + 1):
        assert calibration.threshold(k / (n + 1)) == n + 1 - k


def test_float32_rates_are_compared_as_they_are() -> None:
    calibration = uniform(99)
    assert calibration.supports(np.float32(0.05))
    assert not calibration.supports(np.float32(0.01))  # 0.0099999998 < 1/100
    with pytest.raises(ConfigError, match="needs 100 calibration images"):
        calibration.threshold(np.float32(0.01))


@pytest.mark.parametrize(("far", "expected"), [(0.01, 99), (0.05, 19), (0.1, 9), (0.001, 999)])
def test_min_calibration_size_by_hand(far: float, expected: int) -> None:
    assert min_calibration_size(far) == expected


def test_min_calibration_size_against_brute_force() -> None:
    random_rates = np.random.default_rng(0).uniform(0.002, 0.999, 300).tolist()
    typed = [i / 1000 for i in range(2, 1000)]
    inverse = [1 / m for m in range(2, 400)]
    beside = [float(np.nextafter(rate, side)) for rate in inverse for side in (0, 1)]
    for far in random_rates + typed + inverse + beside:
        brute = next(n for n in itertools.count(1) if 1 / (n + 1) <= far)
        assert min_calibration_size(far) == brute, far
    assert min_calibration_size(1e-8) == 99_999_999
    assert min_calibration_size(5e-324) > 10**300


@pytest.mark.parametrize("far", [0, 1, -0.1, 5, float("nan"), "0.05", None, True])
def test_impossible_rates_are_refused(far: object) -> None:
    for method in (uniform(99).supports, uniform(99).threshold, min_calibration_size):
        with pytest.raises(ConfigError, match="between 0 and 1"):
            method(far)  # type: ignore[operator]


def test_an_unsupported_rate_says_what_to_do() -> None:
    calibration = uniform(99)
    message = (
        r"a false-alarm rate of 0\.001 needs 999 calibration images, this model has 99: .*"
        r"choose `far=0\.01` or more, or train with more normal images"
    )
    for method in (
        calibration.threshold,
        calibration.choose_rate,
        calibration.guarantee,
        lambda far: calibration.flags([1.0], far),
        lambda far: calibration.false_alarm_range(far, 10),
    ):
        with pytest.raises(ConfigError, match=message):
            method(0.001)


@pytest.mark.parametrize("n", [1, 2, 6, 12, 18, 98, 298, 665, 1234])
def test_the_rate_that_the_error_suggests_is_supported(n: int) -> None:
    with pytest.raises(ConfigError) as caught:
        uniform(n).threshold(1e-6)
    suggested = float(str(caught.value).split("`far=")[1].split("`")[0])
    assert uniform(n).supports(suggested)
    assert suggested == pytest.approx(1 / (n + 1), rel=0.01)


def test_choose_rate() -> None:
    assert uniform(99).choose_rate(0.02) == (0.02, None)
    assert uniform(19).choose_rate(None) == (0.05, None)
    rate, warning = uniform(18).choose_rate(None)
    assert rate == 1 / 19
    assert uniform(18).supports(rate)
    assert warning is not None
    assert "needs 19 calibration images, this model has 18" in warning


def realized_rates(n: int, far: float, repeats: int, seed: int) -> np.ndarray:
    """The exact realized rate of each of many calibrations: uniform scores pass t with 1 - t."""
    rng = np.random.default_rng(seed)
    return np.array([1 - Calibration.fit(rng.random(n)).threshold(far) for _ in range(repeats)])


@pytest.mark.parametrize(("n", "far"), [(9, 0.1), (30, 0.2), (60, 0.05), (99, 0.01)])
def test_realized_rate_follows_the_guarantee(n: int, far: float) -> None:
    """An independent brute force: no beta distribution, only sorted uniform numbers."""
    rates = realized_rates(n, far, repeats=4000, seed=n)
    guarantee = uniform(n).guarantee(far)
    four_sigma = 4 * rates.std() / np.sqrt(rates.size)
    assert guarantee.expected <= far
    assert abs(rates.mean() - guarantee.expected) < four_sigma
    assert abs((rates <= guarantee.rate_upper_95).mean() - 0.95) < 4 * np.sqrt(
        0.95 * 0.05 / rates.size
    )


@pytest.mark.parametrize("decimals", [None, 1], ids=["continuous", "tied"])
def test_average_false_alarms_keep_to_the_rate(decimals: int | None) -> None:
    """Marginal validity with nothing but exchangeability: skewed scores, with and without ties."""
    rng, n, far = np.random.default_rng(3), 39, 0.1
    scores = rng.gamma(2.0, size=(3000, n + 20))
    scores = scores if decimals is None else scores.round(decimals)
    rates = np.array([Calibration.fit(row[:n]).flags(row[n:], far).mean() for row in scores])
    margin = 4 * rates.std() / np.sqrt(len(rates))
    assert rates.mean() < far + margin
    if decimals is None:
        assert rates.mean() > far - margin  # k/(n+1) = far here: not only valid but tight


def test_calibrating_on_training_scores_breaks_the_bound() -> None:
    """Must fail: scores of training images are systematically lower."""
    rng, n, far = np.random.default_rng(4), 39, 0.1
    fresh = rng.gamma(2.0, size=(1000, n + 20))
    rates = [Calibration.fit(0.8 * row[:n]).flags(row[n:], far).mean() for row in fresh]
    assert np.mean(rates) > 1.5 * far


def test_sentence_and_numbers_of_the_guarantee() -> None:
    guarantee = uniform(299).guarantee(0.05)
    assert guarantee.exact
    assert guarantee.expected == 15 / 300
    assert guarantee.rate_upper_95 == pytest.approx(0.07223, abs=1e-5)
    assert guarantee.sentence == (
        "On average at most 5.0 % of normal images like the 299 calibration images are flagged; "
        "with 95 % confidence at most 7.3 %."
    )
    assert json.loads(json.dumps(guarantee.to_dict())) == guarantee.to_dict()


def test_the_largest_of_299_bounds_the_rate_by_one_percent() -> None:
    """The textbook tolerance limit: 0.99^299 < 5 % <= 0.99^298, no beta distribution needed."""
    assert uniform(299).guarantee(1 / 300).rate_upper_95 == pytest.approx(1 - 0.05 ** (1 / 299))
    assert (
        uniform(299).guarantee(1 / 300).rate_upper_95
        <= 0.01
        < uniform(298).guarantee(1 / 299).rate_upper_95
    )
    assert "at most 0.34 %" in uniform(299).guarantee(1 / 300).sentence


def test_groups_void_the_guarantee() -> None:
    scores = np.arange(40.0)
    guarantee = Calibration.fit(scores, [f"part-{i // 4}" for i in range(40)]).guarantee(0.05)
    assert (guarantee.exact, guarantee.num_groups) == (False, 10)
    assert "approximate: 40 images of 10 groups" in guarantee.sentence
    assert "confidence" not in guarantee.sentence
    assert Calibration.fit(scores, list(range(40))).guarantee(0.05).exact


@pytest.mark.parametrize(("n", "far", "num_test"), [(19, 0.1, 30), (99, 0.05, 200), (9, 0.5, 1)])
def test_false_alarm_range_covers_simulated_counts(n: int, far: float, num_test: int) -> None:
    low, high = uniform(n).false_alarm_range(far, num_test)
    counts = np.random.default_rng(n).binomial(num_test, realized_rates(n, far, 4000, seed=n + 1))
    assert ((low <= counts) & (counts <= high)).mean() > 0.94
    # Central and no wider than needed: each end is the 2.5 % quantile of its side.
    assert (counts < low).mean() < 0.035
    assert (counts > high).mean() < 0.035
    assert (counts <= low).mean() > 0.015
    assert (counts >= high).mean() > 0.015


def test_false_alarm_range_refuses_impossible_numbers() -> None:
    for arguments in ((0.1, 0), (0.1, 2.5), (0.1, 10, 1.0)):
        with pytest.raises(ConfigError):
            uniform(19).false_alarm_range(*arguments)


@pytest.mark.parametrize(
    "scores", [[], [1.0, np.nan], [np.inf, 1.0], [[1.0, 2.0]], ["a", "b"], 3.0]
)
def test_fit_refuses_what_cannot_be_scores(scores: object) -> None:
    with pytest.raises(DataError):
        Calibration.fit(scores)  # type: ignore[arg-type]


def test_nan_scores_and_wrong_groups_are_refused() -> None:
    for method in (uniform(9).p_values, lambda scores: uniform(9).flags(scores, 0.1)):
        with pytest.raises(DataError, match="1 of 2 scores are NaN, the first at index 1"):
            method([0.5, np.nan])
    with pytest.raises(DataError, match="2 entries for 3 calibration scores"):
        Calibration.fit([1.0, 2.0, 3.0], ["a", "b"])


def test_empty_input_is_no_error() -> None:
    assert uniform(9).p_values([]).shape == (0,)
    assert uniform(9).flags([], 0.1).shape == (0,)


def test_section_of_a_bundle_round_trips_and_values_are_checked() -> None:
    calibration = Calibration.fit([2.0, 1.0, 3.0], ["a", "a", "b"])
    again = Calibration.from_section(calibration.to_section())
    np.testing.assert_array_equal(again.scores, [1.0, 2.0, 3.0])
    assert again.to_dict() == {"n": 3, "num_groups": 2, "min_rate": 0.25}
    for scores, num_groups in (
        ([2.0, 1.0, 3.0], 2),
        ([1.0, np.nan, 3.0], 2),
        ([], 1),
        ([1.0, 2.0, 3.0], 4),
        ([1.0, 2.0, 3.0], 0),
    ):
        with pytest.raises(DataError):
            Calibration(np.array(scores), num_groups)


def test_a_calibration_cannot_be_changed_from_outside() -> None:
    scores = np.array([1.0, 2.0, 3.0])
    calibration = Calibration.fit(scores)
    scores[:] = 0
    assert calibration.threshold(0.25) == 3
    with pytest.raises(ValueError, match="read-only"):
        calibration.scores[0] = 9

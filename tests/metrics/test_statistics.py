"""Tests of bootstrap comparisons: coverage without an effect, and power with an effect."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from augan.metrics.statistics import BootstrapComparison

CLASSES = 5


def simulate(rng, repeats, n, arms, effect=0.0):
    """Return correct classifications [R, n] of each arm, and the labels.

    Repeats, images, and their interaction differ by arm; `effect` raises arm 0.
    """
    labels = np.repeat(np.arange(CLASSES), n // CLASSES)
    latent = rng.normal(1.0, 1.0, (1, n, 1)) + rng.normal(0, 0.2, (repeats, 1, arms))
    latent = latent + rng.normal(0, 0.3, (1, n, arms)) + rng.normal(0, 0.5, (repeats, n, arms))
    latent[:, :, 0] += effect
    return {str(arm): latent[:, :, arm] > 0 for arm in range(arms)}, labels


def claim_rate(repeats, arms, effect=0.0, runs=300):
    """Return the fraction of runs in which arm 0 is significantly better."""
    rng = np.random.default_rng(repeats)
    claims = 0
    for _ in range(runs):
        correct, labels = simulate(rng, repeats, 200, arms, effect)
        bootstrap = BootstrapComparison(correct, labels, rng, 300)
        claims += bootstrap.compare("0", list(correct)[1:]).is_significant
    return claims / runs


@pytest.mark.parametrize("repeats", [5, 20])
def test_compare_without_effect_claims_rarely(repeats):
    # 2.5 % is guaranteed; 300 runs may show a little more.
    assert claim_rate(repeats, arms=2) <= 0.045


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [2, 3, 5, 10, 20])
@pytest.mark.parametrize("arms", [2, 6])
def test_compare_without_effect_claims_rarely_with_many_baselines(repeats, arms):
    assert claim_rate(repeats, arms, runs=1000) <= 0.04


def test_compare_detects_a_large_effect():
    assert claim_rate(5, arms=3, effect=1.0, runs=40) > 0.9


def test_interval_equals_student_interval_if_only_repeats_differ():
    rng = np.random.default_rng(0)
    repeats, n = 6, 4000  # so many images that their variance is negligible
    labels = np.arange(n) % 2
    effects = np.array([0.02, 0.05, 0.03, 0.06, 0.01, 0.04])
    order = np.arange(n) // 2 / (n / 2)
    correct = {
        "one": np.stack([order < 0.5 + effect for effect in effects]),
        "other": np.stack([order < 0.5] * repeats),
    }
    interval = BootstrapComparison(correct, labels, rng, 4000).difference("one", "other")
    half = t.ppf(0.975, repeats - 1) * effects.std(ddof=1) / math.sqrt(repeats)
    assert interval.value == pytest.approx(effects.mean(), abs=5e-4)
    assert interval.high - interval.value == pytest.approx(half, rel=0.12)
    assert interval.value - interval.low == pytest.approx(half, rel=0.12)


def test_images_of_one_group_count_as_one_image():
    rng = np.random.default_rng(0)
    labels, times = np.arange(120) % 3, 4
    correct = {name: rng.random((5, 120)) < rate for name, rate in (("a", 0.8), ("b", 0.7))}
    copies = {name: np.repeat(array, times, axis=1) for name, array in correct.items()}

    def difference(correct, labels, groups):
        rng = np.random.default_rng(1)
        return BootstrapComparison(correct, labels, rng, 4000, groups).difference("a", "b")

    def width(correct, labels, groups):
        interval = difference(correct, labels, groups)
        assert interval.value == pytest.approx(without_groups.value)
        return interval.high - interval.low

    without_groups = difference(correct, labels, None)
    alone = width(correct, labels, np.arange(120))
    together = width(copies, np.repeat(labels, times), np.repeat(np.arange(120), times))
    assert alone == pytest.approx(without_groups.high - without_groups.low, rel=0.1)
    assert together == pytest.approx(alone, rel=0.1)
    assert width(copies, np.repeat(labels, times), None) < 0.9 * alone


def test_bounds_lie_within_the_range_of_a_difference():
    labels = np.arange(8) % 2
    correct = {"a": np.array([labels < 2, labels > 2]), "b": np.array([labels > 2, labels < 2])}
    bootstrap = BootstrapComparison(correct, labels, np.random.default_rng(0), 200)
    interval = bootstrap.difference("a", "b")
    assert (interval.low, interval.high) == (-1, 1)


def test_values_are_mean_recalls_of_the_classes():
    labels = np.array([0, 0, 0, 1])
    correct = np.array([[True, True, False, True], [False, False, False, True]])
    both = {"a": correct, "b": ~correct}
    bootstrap = BootstrapComparison(both, labels, np.random.default_rng(0), 10)
    assert bootstrap.values == pytest.approx([(5 / 6 + 1 / 2) / 2, (1 / 6 + 1 / 2) / 2])


def test_compare_takes_the_lowest_bound_over_all_baselines():
    correct, labels = simulate(np.random.default_rng(3), 5, 200, 4)
    bootstrap = BootstrapComparison(correct, labels, np.random.default_rng(0), 300)
    comparison = bootstrap.compare("0", ["1", "2", "3"])
    differences = comparison.differences
    assert comparison.interval.low == min(one.low for one in differences.values())
    assert comparison.interval.value == min(one.value for one in differences.values())
    assert differences[comparison.best_baseline].value == comparison.interval.value


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), repeats=st.integers(2, 8), arms=st.integers(2, 4))
def test_difference_is_antisymmetric_and_independent_of_names(seed, repeats, arms):
    correct, labels = simulate(np.random.default_rng(seed), repeats, 40, arms)
    bootstrap = BootstrapComparison(correct, labels, np.random.default_rng(1), 200)
    forth, back = bootstrap.difference("0", "1"), bootstrap.difference("1", "0")
    assert forth.low <= forth.value <= forth.high
    assert forth.value == pytest.approx(-back.value)
    assert forth.low == pytest.approx(-back.high)
    renamed = {f"arm {name}": array for name, array in correct.items()}
    again = BootstrapComparison(renamed, labels * 7 + 3, np.random.default_rng(1), 200)
    assert again.difference("arm 0", "arm 1") == forth
    equal = {"a": correct["0"], "b": correct["0"]}
    same = BootstrapComparison(equal, labels, np.random.default_rng(1), 50)
    assert same.difference("a", "b").high == same.difference("a", "b").low == 0.0

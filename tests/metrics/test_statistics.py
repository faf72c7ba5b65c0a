"""A lift is claimed as seldom as promised where there is none, and found where there is one."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from augan.metrics.statistics import BootstrapComparison

CLASSES = 5


def drawn(rng, draws, n, arms, ahead=0.0):
    """Return whether images are recognised: draws, images, and both at once differ by arm."""
    labels = np.repeat(np.arange(CLASSES), n // CLASSES)
    latent = rng.normal(1.0, 1.0, (1, n, 1)) + rng.normal(0, 0.2, (draws, 1, arms))
    latent = latent + rng.normal(0, 0.3, (1, n, arms)) + rng.normal(0, 0.5, (draws, n, arms))
    latent[:, :, 0] += ahead
    return {str(arm): latent[:, :, arm] > 0 for arm in range(arms)}, labels


def claims(draws, arms, ahead=0.0, runs=300):
    """Return the share of runs that claim a lead of arm 0."""
    rng = np.random.default_rng(draws)
    found = 0
    for _ in range(runs):
        right, labels = drawn(rng, draws, 200, arms, ahead)
        found += BootstrapComparison(right, labels, rng, 300).lead("0", list(right)[1:]).is_real
    return found / runs


@pytest.mark.parametrize("draws", [5, 20])
def test_without_an_effect_a_lift_is_claimed_seldom(draws):
    # 2.5 % is promised, and 300 runs may show a little more.
    assert claims(draws, arms=2) <= 0.045


@pytest.mark.slow
@pytest.mark.parametrize("draws", [2, 3, 5, 10, 20])
@pytest.mark.parametrize("arms", [2, 6])
def test_without_an_effect_a_lift_is_claimed_seldom_however_many_rivals(draws, arms):
    assert claims(draws, arms, runs=1000) <= 0.04


def test_a_large_effect_is_found():
    assert claims(5, arms=3, ahead=1.0, runs=40) > 0.9


def test_where_only_draws_differ_the_interval_is_that_of_student():
    rng = np.random.default_rng(0)
    draws, n = 6, 4000  # so many images that they add nothing
    labels = np.arange(n) % 2
    ahead = np.array([0.02, 0.05, 0.03, 0.06, 0.01, 0.04])
    order = np.arange(n) // 2 / (n / 2)
    right = {
        "one": np.stack([order < 0.5 + by for by in ahead]),
        "other": np.stack([order < 0.5] * draws),
    }
    found = BootstrapComparison(right, labels, rng, 4000).difference("one", "other")
    half = t.ppf(0.975, draws - 1) * ahead.std(ddof=1) / math.sqrt(draws)
    assert found.value == pytest.approx(ahead.mean(), abs=5e-4)
    assert found.high - found.value == pytest.approx(half, rel=0.12)
    assert found.value - found.low == pytest.approx(half, rel=0.12)


def test_images_of_one_group_count_as_one():
    rng = np.random.default_rng(0)
    labels, times = np.arange(120) % 3, 4
    right = {name: rng.random((5, 120)) < share for name, share in (("a", 0.8), ("b", 0.7))}
    copies = {name: np.repeat(one, times, axis=1) for name, one in right.items()}

    def width(right, labels, groups):
        found = BootstrapComparison(right, labels, np.random.default_rng(1), 4000, groups)
        interval = found.difference("a", "b")
        assert interval.value == pytest.approx(plain.value)
        return interval.high - interval.low

    plain = BootstrapComparison(right, labels, np.random.default_rng(1), 4000).difference("a", "b")
    alone = width(right, labels, np.arange(120))
    together = width(copies, np.repeat(labels, times), np.repeat(np.arange(120), times))
    assert alone == pytest.approx(plain.high - plain.low, rel=0.1)
    assert together == pytest.approx(alone, rel=0.1)
    assert width(copies, np.repeat(labels, times), None) < 0.9 * alone


def test_no_bound_is_beyond_what_shares_can_differ_by():
    labels = np.arange(8) % 2
    right = {"a": np.array([labels < 2, labels > 2]), "b": np.array([labels > 2, labels < 2])}
    found = BootstrapComparison(right, labels, np.random.default_rng(0), 200).difference("a", "b")
    assert (found.low, found.high) == (-1, 1)


def test_the_figure_is_the_mean_recall_of_classes():
    labels = np.array([0, 0, 0, 1])
    right = np.array([[True, True, False, True], [False, False, False, True]])
    found = BootstrapComparison({"a": right, "b": ~right}, labels, np.random.default_rng(0), 10)
    assert found.values == pytest.approx([(5 / 6 + 1 / 2) / 2, (1 / 6 + 1 / 2) / 2])


def test_the_interval_reaches_down_to_the_lowest_bound_of_all_rivals():
    right, labels = drawn(np.random.default_rng(3), 5, 200, 4)
    found = BootstrapComparison(right, labels, np.random.default_rng(0), 300)
    lead = found.lead("0", ["1", "2", "3"])
    assert lead.interval.low == min(one.low for one in lead.over.values())
    assert lead.interval.value == min(one.value for one in lead.over.values())
    assert lead.over[lead.rival].value == lead.interval.value


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), draws=st.integers(2, 8), arms=st.integers(2, 4))
def test_what_cannot_matter_does_not(seed, draws, arms):
    right, labels = drawn(np.random.default_rng(seed), draws, 40, arms)
    found = BootstrapComparison(right, labels, np.random.default_rng(1), 200)
    forth, back = found.difference("0", "1"), found.difference("1", "0")
    assert forth.low <= forth.value <= forth.high
    assert forth.value == pytest.approx(-back.value)
    assert forth.low == pytest.approx(-back.high)
    # The names of classes and of arms are only names.
    renamed = {f"arm {name}": one for name, one in right.items()}
    again = BootstrapComparison(renamed, labels * 7 + 3, np.random.default_rng(1), 200)
    assert again.difference("arm 0", "arm 1") == forth
    # An arm beside another of equal answers is neither ahead nor behind, and certain of it.
    same = BootstrapComparison(
        {"a": right["0"], "b": right["0"]}, labels, np.random.default_rng(1), 50
    )
    assert same.difference("a", "b").high == same.difference("a", "b").low == 0.0

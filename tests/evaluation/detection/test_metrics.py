"""Tests of the detection metrics against values by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augan.evaluation.detection import metrics
from augan.evaluation.detection.metrics import (
    auroc,
    average_precision,
    best_f1,
    bootstrap_auroc,
    estimate_rate,
)
from augan.exceptions import DataError


def test_auroc_by_hand() -> None:
    # Pairs: 1<2, 1<3, 2=2 (half), 2<3, 3>2 (none), 3=3 (half): 4 of 6.
    assert auroc([1, 2, 3], [2, 3]) == pytest.approx(4 / 6)
    assert auroc([0, 1], [2, 3]) == 1
    assert auroc([2, 3], [0, 1]) == 0
    assert auroc([5, 5, 5], [5]) == 0.5


@pytest.mark.parametrize(
    ("normal", "anomaly"),
    [([], [1.0]), ([1.0], []), ([1.0, np.nan], [1.0]), ([1.0], [np.inf]), ([[1.0]], [1.0])],
)
def test_auroc_of_invalid_scores_raises(normal: list[float], anomaly: list[float]) -> None:
    with pytest.raises(DataError):
        auroc(normal, anomaly)


def test_estimate_rate_by_hand() -> None:
    none = estimate_rate(np.zeros(20, bool))
    assert (none.rate, none.low, none.count, none.n) == (0, 0, 0, 20)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 20))
    every = estimate_rate(np.ones(20, bool))
    assert (every.low, every.high) == (pytest.approx(0.025 ** (1 / 20)), 1)
    # 5 of 100: (0.0164, 0.1128) in every table of the interval.
    some = estimate_rate(np.arange(100) < 5)
    assert (some.low, some.high) == (pytest.approx(0.01643, abs=1e-5), pytest.approx(0.11284, 1e-4))
    assert some.to_dict() == {
        "rate": 0.05, "low": some.low, "high": some.high, "count": 5, "n": 100
    }  # fmt: skip


def test_estimate_rate_covers_the_true_rate() -> None:
    rng = np.random.default_rng(0)
    for rate in (0.02, 0.1, 0.5):
        estimates = [estimate_rate(rng.random(60) < rate) for _ in range(500)]
        covered = np.mean([e.low <= rate <= e.high for e in estimates])
        assert covered > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 500)


@pytest.mark.parametrize("flags", [[], [0, 1], [[True]], ["yes"]])
def test_estimate_rate_of_invalid_flags_raises(flags: list[object]) -> None:
    with pytest.raises(DataError, match="True or False"):
        estimate_rate(flags)  # type: ignore[arg-type]


def test_best_f1_and_average_precision_by_hand() -> None:
    normal, anomaly = np.array([1.0, 2, 4]), np.array([3.0, 5])
    # At 3 or more: 3, 4 and 5 are flagged, precision 2/3 and recall 1; at 5 it would be 1 and 1/2.
    assert best_f1(normal, anomaly) == (pytest.approx(0.8), 3.0)
    assert average_precision(normal, anomaly) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert best_f1(normal, anomaly + 9) == (1.0, 12.0)


@given(seed=st.integers(0, 2**31), values=st.integers(1, 9))
def test_bootstrap_auroc_equals_auroc_of_the_resample(seed: int, values: int) -> None:
    """Ties included: a single resample's interval is the AUROC of the images that it draws."""
    rng = np.random.default_rng(seed)
    normal, anomaly = rng.integers(values, size=7) / 1.0, rng.integers(values, size=4) + 0.0
    groups = ["a", "a", "b", "c", "c", "c", "d"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "_NUM_RESAMPLES", 1)
        interval = bootstrap_auroc(normal, anomaly, np.random.default_rng(seed), groups)
    again = np.random.default_rng(seed)
    of_group = np.array([0, 0, 1, 2, 2, 2, 3])
    times = np.bincount(again.integers(4, size=4), minlength=4)[of_group]
    drawn = anomaly[again.integers(4, size=4)]
    assert interval.value == auroc(normal, anomaly)
    assert interval.low == interval.high == pytest.approx(auroc(np.repeat(normal, times), drawn))


def test_bootstrap_auroc_resamples_whole_groups() -> None:
    rng = np.random.default_rng(0)
    part = np.repeat(rng.normal(size=10), 10)  # ten views of each of ten parts, all alike
    anomaly, groups = rng.normal(1, 1, 50), np.repeat(np.arange(10), 10).tolist()
    alone = bootstrap_auroc(part, anomaly, np.random.default_rng(1))
    together = bootstrap_auroc(part, anomaly, np.random.default_rng(1), groups)
    assert alone.low < alone.value < alone.high
    assert together.high - together.low > 1.5 * (alone.high - alone.low)
    one = bootstrap_auroc(part, anomaly, np.random.default_rng(1), ["x"] * 100, ["y"] * 50)
    assert one.low == pytest.approx(one.value) == one.high

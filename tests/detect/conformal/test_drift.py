"""Drift test: no alarm without drift or for anomalies, an alarm if all scores shift."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from augan.detect.conformal.calibration import Calibration
from augan.detect.conformal.drift import LEVEL, detect_drift

Draw = Callable[[np.random.Generator, int], np.ndarray]


def good(rng: np.random.Generator, size: int) -> np.ndarray:
    return rng.normal(size=size)


def tied(rng: np.random.Generator, size: int) -> np.ndarray:
    return rng.gamma(2.0, size=size).round()


def moved(by: float) -> Draw:
    return lambda rng, size: rng.normal(by, 1, size)


def with_anomalies(share: float, height: float) -> Draw:
    return lambda rng, size: rng.normal(size=size) + height * (np.arange(size) < share * size)


def alarms(n: int, m: int, old: Draw, new: Draw, draws: int) -> int:
    rng = np.random.default_rng([n, m])
    return sum(detect_drift(Calibration.fit(old(rng, n)), new(rng, m)).alarm for _ in range(draws))


def limit(draws: int) -> int:
    """More alarms than this would come by chance once in ten thousand tests at the level."""
    return int(binom.ppf(1 - 1e-4, draws, LEVEL))


@pytest.mark.parametrize("draw", [good, tied])
@pytest.mark.parametrize(("n", "m"), [(2, 30), (19, 12), (99, 3), (99, 60), (300, 200)])
def test_level(draw: Draw, n: int, m: int) -> None:
    assert alarms(n, m, draw, draw, 500) <= limit(500)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), [(9, 9), (19, 300), (99, 60), (1000, 1000)])
def test_level_in_many_repeats(n: int, m: int) -> None:
    assert alarms(n, m, good, good, 5000) <= limit(5000)


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_clear_anomalies_cause_no_alarm(share: float) -> None:
    assert alarms(300, 200, good, with_anomalies(share, 5), 500) <= limit(500)


@pytest.mark.parametrize("sign", [1, -1])
def test_shift_by_half_a_standard_deviation_alarms(sign: int) -> None:
    assert alarms(300, 200, good, moved(0.5 * sign), 100) >= 80
    assert alarms(300, 200, good, moved(sign), 100) == 100


def test_shift_downward_with_anomalies_alarms() -> None:
    def darker(rng: np.random.Generator, size: int) -> np.ndarray:
        return with_anomalies(0.3, 5)(rng, size) - 0.7

    assert alarms(300, 200, good, darker, 100) >= 90


@pytest.mark.parametrize("height", [0.0, 0.5, 1.0, 2.0, 3.0])
def test_anomalies_never_count_as_a_shift_downward(height: float) -> None:
    rng, lower = np.random.default_rng(7), 0
    for _ in range(300):
        new = with_anomalies(0.3, height)(rng, 100)
        lower += detect_drift(Calibration.fit(good(rng, 100)), new).direction == "lower"
    assert lower <= limit(300)


def test_shift_that_leaves_nothing_below_the_cut_alarms() -> None:
    calibration = Calibration.fit(np.arange(99.0))
    drift = detect_drift(calibration, np.full(30, 200.0))
    assert drift.alarm
    assert "100% of these images score above the median of the 99 calibration" in drift.sentence
    assert "most are anomalies, or all have changed" in drift.sentence
    assert not detect_drift(calibration, np.full(2, 200.0)).alarm  # too few to tell
    assert not detect_drift(calibration, np.r_[np.full(40, 200.0), np.arange(0, 98, 2.4)]).alarm


def test_scores_below_all_calibration_scores_are_lower() -> None:
    drift = detect_drift(Calibration.fit(np.arange(99.0)), np.full(30, -5.0))
    assert (drift.alarm, drift.direction) == (True, "lower")
    assert not detect_drift(Calibration.fit(np.arange(99.0)), [-5.0]).alarm  # too few to tell


def test_equal_scores_cause_no_alarm() -> None:
    assert detect_drift(Calibration.fit(np.ones(50)), np.ones(50)).p_value == 1
    assert detect_drift(Calibration.fit([1.0]), [2.0]).p_value == 1
    assert detect_drift(Calibration.fit([1.0]), [0.0]).p_value == 1


def test_copies_in_groups_do_not_increase_the_number_of_alarms() -> None:
    """Each image four times: without the groups, chance would alarm far too often."""
    rng, with_groups, without = np.random.default_rng(5), 0, 0
    for _ in range(300):
        old, new = np.repeat(rng.normal(size=30), 4), np.repeat(rng.normal(size=20), 4)
        with_groups += detect_drift(Calibration.fit(old, np.arange(120) // 4), new).alarm
        without += detect_drift(Calibration.fit(old), new).alarm
    assert with_groups <= limit(300)
    assert without > 3 * limit(300)


@pytest.mark.parametrize(
    ("by", "direction", "consequence"),
    [
        (0.7, "higher", "if they are normal, more of them are flagged than the rate says"),
        (-0.7, "lower", "the threshold is too high for them, and defects may be missed"),
    ],
)
def test_sentence_states_the_shift_and_the_advice(
    by: float, direction: str, consequence: str
) -> None:
    rng = np.random.default_rng(0)
    drift = detect_drift(Calibration.fit(good(rng, 300)), good(rng, 200) + by)
    for fragment in (
        f"{direction} as a whole than the 300 calibration images",
        "at most 1% of calls alarm",
        "Look at the images",
        consequence,
        "augan calibrate RUN NORMALS",
    ):
        assert fragment in drift.sentence
    assert drift.direction == direction
    assert json.loads(json.dumps(drift.to_dict())) == drift.to_dict()
    silent = detect_drift(Calibration.fit(good(rng, 300)), good(rng, 200))
    assert (silent.alarm, silent.direction, silent.sentence) == (False, "", "")

"""Failures that the monitor detects, as pure functions of a few metrics."""

import dataclasses
import math

import numpy as np
import pytest

from augan.gan import keras
from augan.training.monitor import (
    MAX_HISTORY,
    MAX_LOSS,
    PATIENCE,
    WARM_UP,
    GanMetrics,
    GanMonitor,
    check_failures,
    divergence,
    max_magnitude,
)

HEALTHY = {
    "kernel_distance": 0.01,
    "diversity": 0.9,
    "coverage": 0.9,
    "r_t": 0.3,
    "r_v": 0.4,
}
COLLAPSED = {"diversity": 0.1}
UNCOVERED = {"coverage": 0.01}
OVERFITTED = {"r_t": 1.0, "r_v": 1.2}


def history(*changes, begun=WARM_UP):
    """Evaluations every 100 steps, each healthy but for its changes."""
    return [
        GanMetrics(step=100 * (i + 1), progress=begun + i / 100, **{**HEALTHY, **change})
        for i, change in enumerate(changes)
    ]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ([], None),
        ([COLLAPSED], None),
        ([COLLAPSED, {}], None),
        ([COLLAPSED, {}, COLLAPSED], None),
        ([{}, COLLAPSED, COLLAPSED], "collapse"),
        ([COLLAPSED, UNCOVERED], "collapse"),
        ([OVERFITTED, OVERFITTED], "overfitting"),
        ([{"r_t": 1.0}, {"r_t": 1.0}], None),
        ([{"r_v": 1.2}, {"r_v": 1.2}], None),
        ([OVERFITTED, COLLAPSED], None),
    ],
)
def test_a_failure_needs_two_bad_evaluations_in_a_row(changes, kind):
    failure = check_failures(history(*changes))
    assert (failure.kind if failure else None) == kind
    if failure:
        assert failure.step == 100 * len(changes)
        assert f"at step {failure.step}" in failure.message


def test_low_diversity_before_the_warm_up_is_no_failure():
    assert PATIENCE == 2
    early = history(COLLAPSED, COLLAPSED, begun=WARM_UP / 2)
    assert check_failures(early) is None
    assert check_failures([early[0], *history(COLLAPSED)]) is None


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([], 0.0),
        ([0.5, -3.0], 3.0),
        ([0.5, math.nan], math.inf),
        ([-math.inf, 2.0], math.inf),
    ],
)
def test_what_is_not_finite_counts_as_infinite(losses, expected):
    assert max_magnitude(losses) == expected


def test_the_message_of_a_divergence_says_what_was_kept():
    grown = divergence(40, 2 * MAX_LOSS, evaluated=True)
    assert (grown.kind, grown.step) == ("divergence", 40)
    assert "a loss had grown to 2.0e+04 at step 40; the best weights so far" in grown.message
    broken = divergence(20, math.inf, evaluated=False)
    assert "a loss was no longer finite at step 20; no weights had been" in broken.message


def best_of_many(distances):
    monitor = GanMonitor.__new__(GanMonitor)  # its memory alone
    columns = len(dataclasses.fields(GanMetrics))
    monitor._table = keras.Variable(np.full((MAX_HISTORY, columns), np.nan), dtype="float64")
    monitor._count = keras.Variable(0, dtype="int64")
    for step, distance in enumerate(distances):
        monitor._append(GanMetrics(step, 0.0, distance, 1.0, 1.0, 0.0, 0.0))
    return monitor.history


def test_monitor_history_drops_old_evaluations_but_keeps_the_best():
    rest = [1.0] * (MAX_HISTORY + 20)
    for place in (0, 5):
        distances = [*rest[:place], 0.1, *rest]
        kept = best_of_many(distances)
        assert len(kept) == MAX_HISTORY
        assert min(metrics.kernel_distance for metrics in kept) == 0.1
        assert [metrics.step for metrics in kept][-1] == len(distances) - 1
        assert [metrics.step for metrics in kept] == sorted(metrics.step for metrics in kept)

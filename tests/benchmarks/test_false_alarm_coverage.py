"""Tests of the benchmark of false-alarm coverage."""

import pytest

from benchmarks.detection import false_alarm_coverage


def test_summarize_separates_calibrated_rates_from_the_control():
    kept = {"n": 99, "n_test": 200, "ours": {"0.01": 2, "0.05": 11, "0.1": 19}}
    rows = [{**kept, "control": {"0.01": 30, "0.05": 60, "0.1": 90}}] * 20
    summary = false_alarm_coverage.summarize(rows)
    assert summary["ours_keeps"]
    assert summary["control_fails"]
    assert summary["ours"]["0.05"] == {"observed": pytest.approx(0.055), "outside": 0}
    assert summary["control"]["0.1"]["outside"] == 20
    assert summary["outside_at_most"] == 3  # 95 % of Binomial(20, 5 %)
    broken = [{**row, "ours": row["control"]} for row in rows]
    assert not false_alarm_coverage.summarize(broken)["ours_keeps"]

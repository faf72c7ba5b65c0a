"""Tests of the benchmark of failure alarms."""

import json

import pytest

from benchmarks.gan import failure_alarms


def test_largest_loss_by_hand(tmp_path):
    lines = [
        {"stage": "classifier", "step": 20, "loss": 99.0},
        {"stage": "gan", "step": 20, "d_loss": -7.0, "g_loss": 2.0},
        {"stage": "gan", "step": 40, "d_loss": 1.0, "g_loss": 3.0},
    ]
    log = tmp_path / "metrics.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert failure_alarms.largest_loss(tmp_path) == {"steps_done": 40, "largest_loss": 7.0}
    lines[-1]["g_loss"] = None
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert failure_alarms.largest_loss(tmp_path)["largest_loss"] is None


def test_cases_differ_in_names_and_settings():
    for field in ("method", "settings"):
        values = [task.key[field] for task in failure_alarms.tasks(failure_alarms.CASES, "default")]
        assert len(set(values)) == len(values)
    kinds = {case.expected for case in failure_alarms.CASES}
    assert kinds == {"", "collapse", "overfitting", "divergence"}


def test_passes_compares_the_alarm_with_the_expected_alarm():
    good = {"alarm": "", "expected": "", "holds_best": True, "finite": True, "method": "a"}
    assert failure_alarms.passes(good)
    for change in ({"alarm": "collapse"}, {"expected": "collapse"}, {"holds_best": False}):
        assert not failure_alarms.passes({**good, **change})
    summary = failure_alarms.summarize([good, {**good, "alarm": "collapse", "method": "b"}])
    assert summary["false_alarms"] == summary["failed"] == ["b"]
    assert not summary["passed"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "kind", "holds_last"), [("1e-3", "", True), ("1e12", "divergence", False)]
)
def test_measure_returns_alarm_and_metrics(rate, kind, holds_last):
    small = [f"{part}.width=2" for part in ("generator", "discriminator", "classifier")]
    settings = (*small, "gan.architecture=mlp", "gan.loss=least_squares", "discriminator.norm=none")
    case = failure_alarms.Case(
        "tiny", kind, (*settings, f"discriminator.learning_rate={rate}"), images=320, steps=20
    )
    (task,) = failure_alarms.tasks([case], "default")
    row = {**task.key, **task.measure()}
    assert failure_alarms.passes(row)
    assert row["holds_last"] == holds_last
    assert (row["last"] is None) == (row["largest_loss"] is None) == (kind == "divergence")
    json.dumps(row, allow_nan=False)

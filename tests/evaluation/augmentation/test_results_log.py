"""Tests of the prediction log."""

import json

import numpy as np
import pytest

from augan.evaluation.augmentation.results_log import PredictionLog
from augan.exceptions import ConfigError, DataError


def test_prediction_log_continues_after_an_incomplete_line(tmp_path):
    predicted = np.array([3, 0, 65535])
    log = PredictionLog(tmp_path / "out", {"seed": 0})
    log.add(0, "real", predicted, {"accuracy": 0.5})
    log.add(0, "gan", predicted, {})
    log.close()
    path = tmp_path / "out" / "predictions.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    log = PredictionLog(tmp_path / "out", {"seed": 0})
    assert np.array_equal(log.get(0, "real"), predicted)
    assert log.metadata(0, "real") == {"accuracy": 0.5}
    assert log.get(0, "gan") is None
    log.add(0, "gan", predicted, {})
    log.close()
    assert all(json.loads(line) for line in path.read_text().splitlines())
    assert len(PredictionLog(tmp_path / "out", {"seed": 0})) == 2


def test_prediction_log_of_another_evaluation_raises(tmp_path):
    out = tmp_path / "out"
    log = PredictionLog(out, {"seed": 0, "data": "a"})
    with pytest.raises(DataError, match="another evaluation is writing"):
        PredictionLog(out, {"seed": 0, "data": "a"})
    log.close()
    with pytest.raises(ConfigError, match="seed: 0 then, 1 now"):
        PredictionLog(out, {"seed": 1, "data": "a"})
    with pytest.raises(DataError, match="the data has changed"):
        PredictionLog(out, {"seed": 0, "data": "b"})
    with pytest.raises(DataError, match="holds other files"):
        PredictionLog(tmp_path, {"seed": 0})
    (out / "predictions.jsonl").write_text('{"identity": 3}\n')
    with pytest.raises(DataError, match="is damaged"):
        PredictionLog(out, {"seed": 0})

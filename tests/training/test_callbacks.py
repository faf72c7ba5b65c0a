"""Tests of the TensorBoard log and of the callbacks of folds."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from augan.config import Config
from augan.data.dataset import Dataset
from augan.data.datasets import digits
from augan.training.callbacks import TENSORBOARD_METRICS
from augan.training.folds import Fold
from augan.training.monitor import GanMetrics
from augan.workflow.train import train
from augan_cli.main import app


def curves(folder: Path) -> dict[str, dict[int, float]]:
    """Return the curves of the event files: name -> step -> value."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(folder)).Reload()
    return {
        name: {
            event.step: float(make_ndarray(event.tensor_proto)) for event in events.Tensors(name)
        }
        for name in events.Tags()["tensors"]
    }


def logged(run: Path) -> Iterator[tuple[str, int, float]]:
    for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        stage, step = entry.pop("stage"), entry.pop("step")
        for name, value in entry.items():
            yield f"{stage}/{name}", step, value


def test_tensorboard_curves_equal_the_log_and_do_not_change_the_bundle(
    tiny_config: Config, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard", reason="the extra augan[tensorboard] is not installed")
    # Without calibration enough is held out for the monitor.
    config, data = tiny_config.replace(task="generate"), digits().subset(np.arange(600))
    without = train(config, data, out=tmp_path / "without")
    bundle = train(config, data, out=tmp_path / "run", tensorboard=True)
    assert bundle.sha256 == without.sha256
    assert bundle.metrics.gan_metrics
    found = curves(tmp_path / "run" / "tensorboard")
    losses = list(logged(tmp_path / "run"))
    assert {name.split("/")[0] for name, _, _ in losses} == {"gan", "encoder", "classifier"}
    for name, step, value in losses:
        assert found[name][step] == pytest.approx(value)
    for metrics in bundle.metrics.gan_metrics:
        for name in TENSORBOARD_METRICS:
            point = found[f"gan metrics/{name}"][metrics.step]
            assert point == pytest.approx(getattr(metrics, name))
    names = {f"gan metrics/{name}" for name in TENSORBOARD_METRICS}
    assert found.keys() == {name for name, _, _ in losses} | names


def test_resumed_run_may_omit_tensorboard(
    tiny_config: Config, tiny_digits: Dataset, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard", reason="the extra augan[tensorboard] is not installed")
    run = tmp_path / "run"
    train(tiny_config, tiny_digits, out=run, tensorboard=True)
    (run / "bundle.augan").unlink()
    assert train(tiny_config, tiny_digits, out=run, resume=True).path == run / "bundle.augan"


def test_fold_callbacks_pass_evaluations_on_with_the_name_of_the_fold() -> None:
    notified = []

    class Listener:
        def on_progress(self, *about: object) -> None:
            notified.append(about)

        def on_evaluation(self, *about: object) -> None:
            notified.append(about)

    metrics = GanMetrics(20, 1.0, 0.1, 0.9, 0.9, 0.5, 0.5)
    (named,) = Fold(2, 5).callbacks([Listener()])
    named.on_evaluation("gan", metrics)  # type: ignore[attr-defined]
    assert notified == [("fold 2 of 5 gan", metrics)]


def test_tensorboard_without_the_extra_raises_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    done = CliRunner().invoke(app, ["train", "digits", "--tensorboard", "--out", "run"])
    assert done.exit_code == 2
    assert "python -m pip install 'augan[tensorboard]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()

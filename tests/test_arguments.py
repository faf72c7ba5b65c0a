"""Bundles, requests and folders as arguments of the public functions."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import augan
from augan import AugmentRequest, DetectionRequest, EvaluationProtocol
from augan.augment.sharded import augment_shard
from augan.bundle import Bundle, as_bundle, save_bundle
from augan.detect.api import detect_shard
from augan.exceptions import AuganError, ConfigError
from augan.parallel.executor import open_executor
from augan.parallel.sharding import Shard

DETECTION, AUGMENTATION = DetectionRequest("good"), AugmentRequest("0", 1)
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "detect_folder": lambda bundle, out: augan.detect_folder(bundle, DETECTION, out),
    "detect_shard": lambda bundle, out: detect_shard(bundle, DETECTION, out, Shard(0, 2)),
    "augment_folder": lambda bundle, out: augan.augment_folder(bundle, AUGMENTATION, out),
    "augment_shard": lambda bundle, out: augment_shard(bundle, AUGMENTATION, Shard(0, 2), out),
    "generate_folder": lambda bundle, out: augan.generate_folder(bundle, 1, out),
    "export_onnx": lambda bundle, out: augan.export_onnx(bundle, "detector", out),
    "recalibrate": lambda bundle, out: augan.recalibrate(bundle, out),
    "evaluate_detection": lambda bundle, out: augan.evaluate_detection(
        bundle, DETECTION, "labels.csv", out=out
    ),
}


def test_a_bundle_may_be_a_path(digits_bundle: Bundle, tmp_path: Path) -> None:
    save_bundle(replace(digits_bundle), tmp_path / "run" / "bundle.augan")
    loaded = [as_bundle(tmp_path / "run"), as_bundle(str(tmp_path / "run" / "bundle.augan"))]
    assert [bundle.sha256 for bundle in loaded] == [digits_bundle.sha256] * 2
    assert as_bundle(digits_bundle) is digits_bundle


def test_functions_take_a_run_folder(digits_bundle: Bundle, tmp_path: Path) -> None:
    save_bundle(replace(digits_bundle), tmp_path / "run" / "bundle.augan")
    result = augan.generate_folder(str(tmp_path / "run"), 1, verbose=0)
    assert result.out.parent == tmp_path / "run"


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
class TestFunctions:
    def test_path_without_a_bundle(self, function: Any, tmp_path: Path) -> None:
        with pytest.raises(AuganError, match=r"there is no file or folder .*none"):
            function(tmp_path / "none", tmp_path / "out")

    def test_value_in_place_of_a_bundle(self, function: Any, tmp_path: Path) -> None:
        with pytest.raises(AuganError, match="got int in place of a model; give a run folder"):
            function(3, tmp_path / "out")

    def test_value_in_place_of_a_folder(self, function: Any, digits_bundle: Bundle) -> None:
        with pytest.raises(AuganError, match="must be the path of a file or folder, but is int"):
            function(digits_bundle, 3)


@pytest.mark.parametrize(
    ("call", "example"),
    [
        (lambda bundle: augan.detect_folder(bundle, "good"), 'DetectionRequest("good")'),
        (lambda bundle: detect_shard(bundle, "good", "o", Shard(0, 2)), 'DetectionRequest("good")'),
        (lambda bundle: augan.evaluate_detection(bundle, "good", "l"), 'DetectionRequest("good")'),
        (lambda bundle: augan.augment_folder(bundle, "3"), 'AugmentRequest("cat", n=500)'),
        (lambda bundle: augan.augment_folder(bundle, DETECTION), 'AugmentRequest("cat", n=500)'),
        (lambda bundle: augment_shard(bundle, "3", Shard(0, 2)), 'AugmentRequest("cat", n=500)'),
        (lambda bundle: augment_shard(bundle, AUGMENTATION, 0), "Shard(0, 8)"),
        (lambda bundle: augan.evaluate_augmentation("digits", {}), "EvaluationProtocol("),
    ],
)
def test_other_types_of_a_request_are_refused(
    call: Any, example: str, digits_bundle: Bundle
) -> None:
    with pytest.raises(ConfigError) as caught:
        call(digits_bundle)
    assert f"give {example}" in str(caught.value)


@pytest.mark.parametrize(
    ("workers", "scheduler", "message"),
    [
        ("x", None, "`workers` must be a whole number, but is 'x'"),
        (2.5, None, "`workers` must be a whole number, but is 2.5"),
        (None, 3, "`scheduler` must be the address of a Dask scheduler, but is 3"),
    ],
)
def test_workers_of_other_types_are_refused(workers: Any, scheduler: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_executor(workers, scheduler)


@pytest.mark.parametrize("verbose", ["x", None, 1.5, -1])
def test_verbose_of_other_types_is_refused(
    verbose: Any, digits_bundle: Bundle, tmp_path: Path
) -> None:
    x = np.zeros((8, 8, 8, 1), np.uint8)
    with pytest.raises(ConfigError, match="`verbose` must be"):
        augan.GANDetector(verbose=verbose).fit(x)
    with pytest.raises(ConfigError, match="`verbose` must be"):
        augan.train(augan.Config(), augan.from_arrays(x), out=tmp_path / "run", verbose=verbose)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("verbose", [0, False, 1, True])
def test_train_shows_each_warning_once(
    verbose: int,
    digits_bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    warnings = ("the folder more is odd", "2 files could not be read")
    metrics = replace(digits_bundle.metrics, warnings=warnings)
    trained = replace(digits_bundle, metrics=metrics)
    monkeypatch.setattr("augan.workflow.train.run_training", lambda resolved, **rest: trained)
    dataset = replace(augan.load_dataset("digits"), warnings=warnings[:1])
    assert augan.train(augan.Config(), dataset, verbose=verbose) is trained
    told = capsys.readouterr()
    expected = [f"warning: {text}" for text in warnings] if verbose else []
    assert told.err.splitlines() == expected
    assert told.out == ""


def test_defaults_of_a_protocol_are_legal() -> None:
    assert EvaluationProtocol() == EvaluationProtocol(seed=0, rare={}, repeats=20)

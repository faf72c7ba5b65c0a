"""Tests of the option `--model`, which several commands share."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from augan.bundle import Bundle, BundleMetrics
from tests.cli._helpers import (
    Augan,
    add_run,
    assert_error,
    invoke,
    read_table,
    without_detector,
    write_digits,
)


def test_model_accepts_a_run_or_a_bundle_file(augan: Augan, digits_bundle: Bundle) -> None:
    add_run(digits_bundle, "new")
    older = add_run(
        replace(digits_bundle, metrics=BundleMetrics(warnings=("older",))), "old", age=100
    )
    write_digits(Path("images"), 3)
    for model in ("runs/old", older):
        result = augan("detect", "images", "--model", model)
        assert result.stderr == f"model: {older}\n"
    assert Path("runs/old/detect-images/scores.csv").is_file()
    assert not Path("runs/new/detect-images").exists()


def test_model_default_is_the_newest_run_with_the_part(augan: Augan, digits_bundle: Bundle) -> None:
    write_digits(Path("images"), 3)
    add_run(digits_bundle, "oldest", age=200)
    add_run(replace(digits_bundle, metrics=BundleMetrics(warnings=("middle",))), "middle", age=100)
    add_run(without_detector(digits_bundle), "newest")
    os.symlink("newest", "runs/latest")
    assert augan("detect", "images").stderr == "model: runs/middle/bundle.augan\n"
    made = augan("augment", "--class", "1", "--n", 1, "--no-filter")
    assert made.stderr == "model: runs/newest/bundle.augan\n"


@pytest.mark.slow
def test_model_default_depends_on_the_command(
    two_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(two_runs)
    detected = invoke("detect", "parts", "--out", two_runs / "a")
    generated = invoke("generate", "--n", 3, "--out", two_runs / "b")
    assert (detected.exit_code, generated.exit_code) == (0, 0)
    assert re.fullmatch(r"model: runs/2\S+-parts/bundle\.augan\n", detected.stderr)
    assert generated.stderr == "model: runs/second/bundle.augan\n"
    assert {row["class"] for row in read_table(two_runs / "b" / "manifest.csv")} == {""}


@pytest.mark.parametrize("command", ["augment --class 3 --n 1", "generate --n 1", "detect images"])
def test_model_default_without_runs_names_augan_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_digits(Path("images"), 1)
    assert_error(invoke(*command.split()), "augan train")
    assert os.listdir() == ["images"]

"""Tests of `augan train`."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from augan import load_bundle
from augan.config import Config
from augan.data.datasets import digits
from augan.io.images import write_png
from augan.training.training_data import load_training_data
from tests.cli._helpers import (
    NARROW,
    SMALL,
    Augan,
    invoke,
    only_object,
    shell,
    write_as,
    write_digits,
)


@pytest.fixture(scope="module")
def labeled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folder of a run with most options at once, and the summary that it printed."""
    folder = tmp_path_factory.mktemp("labeled")
    write_digits(folder / "parts" / "train", 230, by_class=True)
    (folder / "parts" / "test" / "0").mkdir(parents=True)
    (folder / "parts" / "test" / "0" / "broken.png").write_bytes(b"training never reads this")
    (folder / "mine.yaml").write_text("seed: 3\ntraining:\n  steps: 999\ndetect:\n  far: 0.2\n")
    files = sorted((folder / "parts" / "train").rglob("*.png"))
    with open(folder / "groups.csv", "w", encoding="utf-8") as table:
        table.write("path,group\n")
        for row, file in enumerate(files):
            table.write(f"{file.relative_to(folder)},pair {row // 2}\n")
        table.write("parts/elsewhere.png,ignored\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        options = "--out trained/here --config mine.yaml --groups groups.csv --seed 7 --json"
        result = invoke("train", "parts", *options.split(), *SMALL)
        yield folder, only_object(result)


def test_train_options_are_stored_in_the_bundle(labeled: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = labeled
    bundle = load_bundle(folder / "trained" / "here")
    assert summary["bundle"] == "trained/here/bundle.augan"
    assert summary["id"] == bundle.bundle_id
    assert (summary["task"], summary["data"]["num_samples"]) == ("both", 230)
    config = Config.from_dict(bundle.config)
    assert config.seed == 7  # an option comes before the file
    assert config.training.steps == 20
    assert config.training.max_minutes is None
    assert (config.detect.far, config.generator.width) == (0.2, 8)
    assert bundle.metrics.steps == {"gan": 20, "encoder": 10, "classifier": 5}
    assert bundle.data.class_names == tuple("0123456789")
    assert all(bundle.has(part) for part in ("generator", "classes", "detector", "latents"))
    assert {"gan", "encoder", "classifier"} <= summary["seconds"].keys()
    written = yaml.safe_load((folder / "trained/here/config.yaml").read_text())
    assert written == bundle.config.to_dict()


def test_train_groups_stay_in_one_split(labeled: tuple[Path, dict[str, Any]]) -> None:
    bundle = load_bundle(labeled[0] / "trained" / "here")
    split = bundle.splits
    rows = np.concatenate([split.train, split.val, split.calibration])
    assert sorted(rows.tolist()) == list(range(230))
    calibration = bundle.detector.methods[0].calibration
    assert 2 * calibration.num_groups == len(calibration.scores) == len(split.calibration)


def test_train_out_elsewhere_creates_no_runs_folder(labeled: tuple[Path, dict[str, Any]]) -> None:
    names = {path.name for path in labeled[0].iterdir()}
    assert names == {"parts", "mine.yaml", "groups.csv", "trained"}


@pytest.mark.slow
def test_train_task_decides_the_networks(two_runs: Path) -> None:
    second = two_runs / "runs" / "second"
    (first,) = (path for path in (two_runs / "runs").glob("2*-parts") if path != second)
    detecting, generating = load_bundle(first), load_bundle(second)
    assert detecting.config.task == "detect"  # auto, with one class
    assert detecting.networks.keys() == {
        "generator",
        "discriminator",
        "transformation_head",
        "rotation",
    }
    assert not detecting.has("classes")
    assert len(detecting.splits.calibration) == 130 // 3
    assert generating.networks.keys() == {"generator", "discriminator", "rotation"}
    assert generating.latents is None
    assert generating.detector is None
    assert len(generating.splits.calibration) == 0


@pytest.mark.slow
def test_train_links_latest_to_the_newest_run(two_runs: Path) -> None:
    assert os.readlink(two_runs / "runs" / "latest") == "second"


@pytest.mark.parametrize("task", ["generate", "detect", "both", "auto"])
def test_train_dry_run_prints_settings_and_writes_nothing(augan: Augan, task: str) -> None:
    result = augan("train", "--dry-run", "--task", task, "--set", "generator.width=16")
    settings = Config.from_dict(yaml.safe_load(result.stdout))
    assert settings.task == ("both" if task == "auto" else task)
    assert settings.generator.width == 16
    assert settings.data.size == 8
    assert settings.training.steps
    assert settings.training.max_minutes
    assert settings.generator.learning_rate
    assert os.listdir() == []


def test_train_dry_run_counts_unlabeled_images(augan: Augan) -> None:
    write_digits(Path("photos/train"), 20, by_class=True)
    write_digits(Path("photos/unlabeled"), 7)
    result = augan("train", "photos", "--dry-run")
    assert "photos: 20 images of 9 classes and 7 unlabeled as 8x8 gray; task both" in result.stderr
    alone = augan("train", "photos", "--dry-run", "--task", "detect")
    assert "photos: 20 images of 9 classes as" in alone.stderr
    assert alone.stderr.count("the 7 unlabeled images are not used") == 1


def test_train_dry_run_as_json_prints_the_same_settings(augan: Augan) -> None:
    as_text = augan("train", "--dry-run", "--steps", 5, "--seed", 4)
    as_json = augan("train", "--dry-run", "--steps", 5, "--seed", 4, "--json")
    assert only_object(as_json) == yaml.safe_load(as_text.stdout)
    assert only_object(as_json)["training"]["steps"] == 5


def test_train_max_minutes_alone_leaves_steps_open(augan: Augan) -> None:
    settings = only_object(augan("train", "--dry-run", "--max-minutes", 0.5, "--json"))
    assert settings["training"]["max_minutes"] == 0.5
    assert settings["training"]["steps"] is None


def test_train_dry_run_output_is_a_configuration_file(augan: Augan) -> None:
    first = augan("train", "--dry-run", "--seed", 9)
    Path("again.yaml").write_text(first.stdout)
    assert augan("train", "--dry-run", "--config", "again.yaml").stdout == first.stdout


@pytest.mark.slow
def test_train_max_minutes_covers_the_whole_command(tmp_path: Path) -> None:
    begun = time.monotonic()
    done = shell("augan train --max-minutes 0.5 --json", tmp_path)
    wall = time.monotonic() - begun
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert wall < 33
    assert sum(summary["seconds"].values()) == pytest.approx(wall, abs=3)
    assert summary["metrics"]["steps"]["gan"] > 20


@pytest.mark.slow
@pytest.mark.parametrize("task", ["detect", "generate"])
def test_train_task_on_classes_decides_the_contents(augan: Augan, task: str) -> None:
    write_digits(Path("parts"), 130, by_class=True)
    augan("train", "parts", "--task", task, *SMALL)
    bundle = load_bundle("runs/latest")
    assert bundle.has("detector") == (task == "detect")
    assert bundle.has("classes") == (task == "generate")


@pytest.mark.slow
def test_train_npz_file_names_the_run_after_it(augan: Augan) -> None:
    data = digits()
    np.savez("parts.npz", x=np.asarray(data.images)[:130], y=np.asarray(data.labels)[:130])
    result = augan("train", "parts.npz", *SMALL)
    assert "bundle: runs/" in result.stdout
    assert load_bundle("runs/latest").data.name == "parts"


def test_train_skips_an_unreadable_file_with_an_undecodable_name(augan: Augan) -> None:
    write_digits(Path("images"), 30)
    write_as(b"images/\xff.png", Path("images/000.png").read_bytes())
    write_as(b"images/\xfe.png", b"no image")
    widths = [setting for setting in NARROW if "latent" not in setting]
    small = [*widths, "--set=gan.architecture=mlp", "--set=gan.latent_dim=4"]
    small += ["--set=training.batch_size=8", "--set=evaluation.enabled=false"]
    result = augan("train", "images", "--out", "run", "--task", "generate", "--steps", 2, *small)
    assert "1 file could not be read; see skipped.csv" in result.stdout
    (header, line) = Path("run/skipped.csv").read_bytes().splitlines()
    assert header == b"path,reason"
    assert line.startswith(b"\xfe.png,")
    assert load_bundle("run").data.num_samples == 31


@pytest.mark.slow
def test_a_run_with_labels_reads_its_data_again(augan: Augan, tmp_path: Path) -> None:
    dataset = digits()
    rows = ["file,kind"]
    Path("images").mkdir()
    for row in np.flatnonzero(np.isin(dataset.labels, (0, 1)))[:80]:
        write_png(Path(f"images/{row}.png"), dataset.images[row])
        rows.append(f"{row}.png,{'zero' if dataset.labels[row] == 0 else 'one'}")
    Path("table.csv").write_text("\n".join(rows))
    wanted = ("--labels", "table.csv", "--label-column", "kind", "--path-column", "file")
    augan("train", "images", *wanted, *SMALL, "--task", "generate", "--out", "run")
    bundle = load_bundle("run")
    assert bundle.data.class_names == ("one", "zero")
    # Compares the fingerprint of the samples and their labels.
    found = load_training_data(bundle, bundle.preprocessing).samples.dataset
    assert (len(found), found.class_names) == (80, ("one", "zero"))

"""Cross-conformal detectors end to end: train, resume, detect, inspect, calibrate, evaluate."""

import csv
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from augan import DetectionRequest, GANDetector, detect_folder, recalibrate
from augan.bundle import Bundle, restore_network
from augan.config import Config
from augan.data.dataset import Dataset, from_arrays
from augan.data.datasets import digits
from augan.data.loading import load_dataset
from augan.data.splits import make_folds
from augan.detect.conformal.cross_conformal import max_false_alarm_rate
from augan.detect.conformal.guarantee import guarantee_void_reason
from augan.detect.cross_conformal_ensemble import RANK_CORRECTION
from augan.detect.detector import Detector
from augan.detect.fitting import fit_folds
from augan.exceptions import ConfigError, DataError, RunInterruptedError
from augan.io.images import read_image, write_png
from augan.training import checkpoints, loop
from augan.workflow.prepare import prepare_data, resolve_config
from augan.workflow.train import train
from augan_cli.main import app
from tests._helpers import with_detector

COUNT = 50
SMALL = {
    "training__steps": 20,
    "training__batch_size": 8,
    "gan__architecture": "mlp",
    "gan__latent_dim": 3,
    "generator__width": 1,
    "discriminator__width": 4,
    "detect__method": "features",
    "gan__negative_augmentations": [],
    "gan__self_supervision": False,
    "evaluation__enabled": False,
}
CONFIG = Config().replace(task="detect", detect__cross_conformal=True, **SMALL)


def normal_digits(split: str, count: int) -> np.ndarray:
    data = digits(split)
    return np.asarray(data.images)[np.asarray(data.labels) < 2][:count]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return from_arrays(normal_digits("train", COUNT), name="normal")


@pytest.fixture(scope="module")
def bundle(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return train(CONFIG, dataset, out=tmp_path_factory.mktemp("cross") / "run")


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty normal images and ten images of noise."""
    folder = tmp_path_factory.mktemp("new")
    noise = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 1), dtype=np.uint8)
    for row, image in enumerate([*normal_digits("test", 40), *noise]):
        place = folder / ("noise" if row >= 40 else "normal")
        place.mkdir(exist_ok=True)
        write_png(place / f"{row:02}.png", image)
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_bundle_contains_five_detectors(bundle: Bundle, dataset: Dataset) -> None:
    assert sorted(bundle.networks) == [f"fold{k}-discriminator" for k in range(1, 6)]
    weights = [next(iter(net.weights.values())) for net in bundle.networks.values()]
    assert not any(np.array_equal(weights[0], other) for other in weights[1:])
    assert bundle.detector.num_folds == 5
    fold = bundle.splits.fold
    assert np.bincount(fold).tolist() == [0, 10, 10, 10, 10, 10]
    calibration = bundle.detector.methods[0].calibration
    assert (len(calibration.scores), calibration.fold_sizes) == (COUNT, (10,) * 5)
    assert len(bundle.metrics.folds) == 5
    assert not bundle.has("generator")
    # The calibration score of each image is that of the detector not trained on its fold.
    detector = Detector.from_bundle(bundle)
    images = detector.preprocessing.normalize(np.asarray(dataset.images))
    for k, member in enumerate(detector.method._members, 1):  # type: ignore[attr-defined]
        own = np.sort(member.score_components(images[fold == k]).sum(axis=1))
        np.testing.assert_allclose(
            own, bundle.detector.methods[0].state[f"fold{k}.scores"], atol=1e-5
        )


@pytest.mark.slow
def test_detection_follows_the_formula(bundle: Bundle, new: Path, tmp_path: Path) -> None:
    result = detect_folder(bundle, DetectionRequest(new, far=0.1, save_maps=True), tmp_path / "out")
    assert result.guarantee.expected == max_false_alarm_rate(5, [10] * 5)
    assert result.guarantee.sentence.startswith(
        "On average at most 22.8 % of normal images like the 50 calibration images are flagged "
        "(twice the chosen rate of 10.0 %, plus 2.8 % because folds are small)"
    )
    rows = table(tmp_path / "out" / "scores.csv")
    assert list(rows[0])[-1] == "rank_correction"
    detector = Detector.from_bundle(bundle)
    members = detector.method._members  # type: ignore[attr-defined]
    for row in rows:
        components = [float(value) for value in list(row.values())[4:]]
        assert float(row["score"]) == sum(components)
        assert row["anomaly"] == str(int(float(row["p_value"]) <= 0.1))
        # By the formula, from the calibration scores of the bundle.
        image = detector.preprocessing.normalize(read_image(new / row["path"])[None])
        scores = [member.score_components(image).sum() for member in members]
        lines = [bundle.detector.methods[0].state[f"fold{k}.scores"] for k in range(1, 6)]
        above = sum(int((line >= score).sum()) for line, score in zip(lines, scores))
        assert float(row["p_value"]) == pytest.approx((1 + above) / (COUNT + 1))
    by_score = sorted(rows, key=lambda row: float(row["score"]))
    p_values = [float(row["p_value"]) for row in by_score]
    assert p_values == sorted(p_values, reverse=True)
    noise = [row for row in rows if row["path"].startswith("noise")]
    assert all(row["anomaly"] == "1" for row in noise)
    assert result.num_anomalies < 10 + 0.35 * 40
    blank = [
        not read_image(tmp_path / "out" / "maps" / f"{row['path']}.png").any()
        for row in rows
        if row["path"].startswith("normal")
    ]
    assert np.mean(blank) > 0.65
    with pytest.raises(ConfigError, match=r"needs 99 calibration images, this model has 50"):
        detect_folder(bundle, DetectionRequest(new, far=0.01), tmp_path / "out")
    assert not detect_folder(
        bundle, DetectionRequest(new, fdr=0.2), tmp_path / "fdr"
    ).guarantee.exact


@pytest.mark.slow
def test_groups_and_trimming(bundle: Bundle, dataset: Dataset) -> None:
    """With the trained networks: five images of each of ten parts."""
    groups = np.array([f"part {i % 10}" for i in range(COUNT)])
    splits = make_folds(COUNT, seed=0, groups=groups)
    models = [
        {"discriminator": restore_network(bundle, f"fold{k}-discriminator")} for k in range(1, 6)
    ]
    preprocessing = Detector.from_bundle(bundle).preprocessing
    arguments = ("features", models, preprocessing, np.asarray(dataset.images), splits)
    calibration = fit_folds(*arguments, groups=groups).require_calibration()
    assert (calibration.n, calibration.num_groups, calibration.fold_sizes) == (50, 10, (10,) * 5)
    promise = calibration.guarantee(0.1)
    assert not promise.exact
    assert "approximate: 50 images of 10 groups" in promise.sentence
    # Two of ten samples of each fold are removed, which voids the guarantee.
    assert fit_folds(*arguments, trim_fraction=0.2).require_calibration().fold_sizes == (8,) * 5
    trimmed = with_detector(bundle, trim_fraction=0.2)
    assert "no guarantee" in (guarantee_void_reason(trimmed) or "")


@pytest.mark.slow
def test_recalibrated_ensemble_has_the_guarantee_of_one_detector(
    bundle: Bundle, new: Path, tmp_path: Path
) -> None:
    again = recalibrate(bundle, new / "normal")
    assert again.networks.keys() == bundle.networks.keys()
    detector = Detector.from_bundle(again)
    assert RANK_CORRECTION not in detector.method.components
    line = detector.require_calibration()
    assert (line.n, line.fold_sizes) == (40, ())
    assert "with 95 % confidence" in line.guarantee(0.1).sentence
    result = detect_folder(again, DetectionRequest(new, far=0.1), tmp_path / "out")
    assert 10 <= result.num_anomalies <= 14  # at most four of the calibration images
    pixels = np.stack([read_image(path) for path in sorted((new / "normal").iterdir())])
    estimator = GANDetector(method="features", far=0.1, bundle=bundle).fit(pixels)
    np.testing.assert_array_equal(-estimator.score_samples(pixels), detector.score(pixels))


@pytest.mark.slow
@pytest.mark.parametrize(("fold", "step"), [(1, 10), (3, 20)])
def test_interrupted_training_equals_uninterrupted_training(
    fold: int,
    step: int,
    bundle: Bundle,
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "STEPS_PER_CALL", 10)
    monkeypatch.setattr(checkpoints, "STEPS_BETWEEN", 10)
    part, seen = f"fold {fold} of 5 gan", []

    class Stopper:
        def on_progress(self, name: str, at: int, budget: Any, losses: Any) -> None:
            seen.append((name, at))
            if (name, at) == (part, step):
                os.kill(os.getpid(), signal.SIGTERM)

    out = tmp_path / "run"
    with pytest.raises(
        RunInterruptedError, match=f"stopped by SIGTERM in fold {fold} of 5 after step"
    ):
        train(CONFIG, dataset, out=out, callbacks=[Stopper()])
    assert seen[-1] == (part, step)
    (out / "checkpoints" / f"fold{fold}" / ".gan.part").write_text("half")
    stopped, seen = list(seen), []
    resumed = train(CONFIG, dataset, out=out, resume=True, callbacks=[Stopper()])
    assert not set(seen) & set(stopped)  # no step is repeated
    assert resumed.sha256 == bundle.sha256
    assert not list(out.rglob("*.part"))
    logged = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert {entry["stage"] for entry in logged} == {f"fold {k} of 5 gan" for k in range(1, 6)}
    assert len(logged) == 10


@pytest.mark.slow
def test_commands(new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def augan(*words: object) -> Any:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.stderr
        return done

    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for row, image in enumerate(normal_digits("train", 30)):
        write_png(Path("photos", f"{row}.png"), image)
    small = [f"--set={key.replace('__', '.')}={json.dumps(v)}" for key, v in SMALL.items()]
    done = augan("train", "photos", "--cross-conformal", *small, "--out", "run")
    assert "in 5 folds" in done.stderr
    assert "fold 5 of 5 gan 100%" in done.stderr
    assert (
        "each of 5 detectors is calibrated on the images that it was not trained on" in done.stdout
    )
    told = json.loads(augan("inspect", "run", "--json").stdout)
    assert (told["calibration_size"], told["detector"]["num_folds"]) == (30, 5)
    augan("detect", new, "--model", "run", "--ignore-mask", _mask(tmp_path), "--out", "found")
    page = Path("found", "report.html").read_text()
    assert "30 images in 5 folds" in page
    words = ("evaluate", "detection", new, "--labels", "folders", "--model", "run", "--json")
    judged = json.loads(augan(*words).stdout)["summary"]
    assert judged["num_baseline_training"] == 30
    assert judged["false_alarms"]["exact"] is False
    assert judged["auroc"]["value"] > 0.9


def _mask(folder: Path) -> Path:
    mask = np.zeros((8, 8, 1), np.uint8)
    mask[0, 0] = 255
    write_png(folder / "mask.png", mask)
    return folder / "mask.png"


@pytest.mark.slow
def test_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(80, 1))
    frame = pd.DataFrame(base + 0.3 * rng.normal(size=(80, 4)), columns=list("abcd"))
    frame[:60].to_csv(tmp_path / "normal.csv", index=False)
    odd = frame[60:] + 20 * (np.arange(20)[:, None] % 4 == 0) * rng.normal(size=(20, 4))
    odd.to_csv(tmp_path / "new.csv", index=False)
    config = Config().replace(
        task="detect",
        detect__cross_conformal=True,
        detect__methods=("fanogan",),
        training__steps=20,
    )
    bundle = train(config, load_dataset(tmp_path / "normal.csv"), out=tmp_path / "run")
    result = detect_folder(
        bundle, DetectionRequest(tmp_path / "new.csv", far=0.05), tmp_path / "out"
    )
    assert result.guarantee.n == 60
    # Every row is a calibration row and affects the scaling of the columns.
    assert "with `cross_conformal` every row is a calibration row" in result.guarantee.sentence
    assert 3 <= result.num_anomalies <= 9
    assert {f"fold5-{role}" for role in ("discriminator", "generator", "encoder")} <= set(
        bundle.networks
    )
    other = detect_folder(
        bundle, DetectionRequest(tmp_path / "new.csv", method="fanogan"), tmp_path / "out"
    )
    assert (other.method, other.guarantee.n) == ("fanogan", 60)
    assert other.num_anomalies >= 3


@pytest.mark.slow
def test_large_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(120, 10, (32, 130, 140)).clip(0, 255).astype(np.uint8)
    images[-1, 60:80, 60:80] = 250
    for row, image in enumerate(images):
        place = tmp_path / ("new" if row >= 26 else "normal")
        place.mkdir(exist_ok=True)
        write_png(place / f"{row}.png", image[..., None])
    config = Config().replace(
        task="detect",
        detect__cross_conformal=True,
        training__steps=2,
        training__batch_size=4,
        data__size=32,
        data__tiling=True,
        generator__width=4,
        discriminator__width=4,
        evaluation__enabled=False,
    )
    bundle = train(config, load_dataset(tmp_path / "normal"), out=tmp_path / "run")
    assert {name.split("-")[1] for name in bundle.networks} == {
        "discriminator",
        "localization_head",
    }
    result = detect_folder(
        bundle, DetectionRequest(tmp_path / "new", far=0.05, save_maps=True), tmp_path / "out"
    )
    assert result.most_anomalous[0].path == "31.png"
    assert read_image(tmp_path / "out" / "maps" / "31.png.png").shape == (130, 140, 1)


# What is said before anything is trained ---------------------------------------------------------


def told(count: int, groups: int = 0, **settings: Any) -> list[str]:
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8), dtype=np.uint8)
    names = [str(i % groups) for i in range(count)] if groups else None
    config = Config(task="detect").replace(**settings)
    return prepare_data(resolve_config(config, from_arrays(images, groups=names))).warnings


def test_training_suggests_folds_for_few_images() -> None:
    (hint,) = told(60)
    assert hint == (
        "only 20 of 60 images are available for calibration, which are few for a false-alarm rate "
        "of 0.05: `cross_conformal` uses all, in 5 trainings"
    )
    assert told(60, detect__far=0.2) == told(24) == told(150) == told(230) == []
    assert "few for a false-alarm rate of 0.02" in told(150, detect__far=0.02)[0]
    assert told(60, groups=4) == []
    assert told(60, detect__cross_conformal=True) == []
    (needless,) = told(230, detect__cross_conformal=True)
    assert "230 images are enough for a training without `cross_conformal`" in needless


def test_unsupported_rate_is_refused_before_training(tmp_path: Path) -> None:
    def refused(count: int, **settings: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            told(count, **settings)
        return str(caught.value)

    assert refused(60, detect__far=0.01) == (
        "a false-alarm rate of 0.01 needs 99 calibration images, but only 20 of 60 images are "
        "available for calibration; choose a larger detect.far, or give more normal images"
    )
    assert "calibration; use all in 5 trainings with --cross-conformal; or" in refused(
        150, detect__far=0.01
    )
    assert "--cross-conformal" not in refused(60, detect__far=0.01, detect__cross_conformal=True)
    assert "only 60 of 60 images" in refused(60, detect__far=0.01, detect__cross_conformal=True)
    # Twenty images support a rate of 1/21; trimmed images do not calibrate.
    told(60, detect__far=0.048)
    assert "only 18 of 60 images" in refused(60, detect__far=0.048, detect__trim_fraction=0.1)
    told(60, detect__far=0.01, task="generate")
    config = Config(task="detect").replace(detect__far=0.01, training__steps=1)
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    with pytest.raises(ConfigError, match="needs 99 calibration images"):
        train(config, from_arrays(images), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_impossible_folds_are_refused() -> None:
    with pytest.raises(DataError, match="24 images are too few for 5 folds"):
        told(24, detect__cross_conformal=True)
    with pytest.raises(DataError, match="60 images of 4 groups are too few for 5 folds"):
        told(60, groups=4, detect__cross_conformal=True)
    few = digits().subset(np.arange(24))
    with pytest.raises(DataError, match="24 images are too few for 5 folds"):
        resolve_config(
            Config().replace(task="detect", detect__cross_conformal=True), few
        )  # before any training
    for task in ("generate", "both", "auto"):
        data = digits().subset(np.arange(60))
        with pytest.raises(ConfigError, match=r"add --task detect, or leave --cross-conformal out"):
            resolve_config(Config().replace(task=task, detect__cross_conformal=True), data)


def test_copies_in_different_folds_warn(dataset: Dataset) -> None:
    images = np.asarray(dataset.images).copy()
    images[:6] = images[20:26]
    resolved = resolve_config(CONFIG, replace(dataset, images=images))
    (warning,) = [text for text in prepare_data(resolved).warnings if "nearly identical" in text]
    assert "give the groups of images with `groups` or `group_by`" in warning


def test_five_folds_have_five_times_the_default_minutes() -> None:
    data = from_arrays(np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8))
    minutes = [
        resolve_config(
            Config().replace(task="detect", detect__cross_conformal=cross), data
        ).config.training
        for cross in (False, True)
    ]
    assert minutes[1].max_minutes == 5 * (minutes[0].max_minutes or 0)
    assert minutes[0].steps == minutes[1].steps

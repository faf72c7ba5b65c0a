"""Tests of `evaluate_detection` and `augan evaluate detection`."""

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from augan import DetectionRequest, evaluate_detection
from augan.bundle import Bundle, save_bundle
from augan.data.dataset import Dataset
from augan.data.datasets import digits
from augan.detect.detector import Detector
from augan.evaluation.detection.api import DetectionEvaluation
from augan.evaluation.detection.baselines import BASELINES
from augan.evaluation.detection.detection_limit import (
    CONTRASTS,
    DETECTION_TARGET,
    SPOT_SIZES,
    paint_spot,
)
from augan.evaluation.detection.pixel_metrics import aupro, pixel_auroc
from augan.exceptions import BundleError, ConfigError, DataError
from augan.io.images import read_image, write_png
from augan.report.text import format_detection_evaluation
from augan_cli.main import app
from tests._helpers import with_data, with_detector

NAMES = ["a/0.png", "a/1.png", "b/0.png", "c.png"]


def save_all(folder: Path, images: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for row, image in enumerate(images):
        write_png(folder / f"{row:02d}.png", image)


@pytest.fixture(scope="module")
def site(tiny_digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 held-out digits, 8 with a bright bar and 6 of noise; masks of the bars; training data."""
    root = tmp_path_factory.mktemp("site")
    held_out = np.asarray(digits("test").images)
    barred = held_out[30:38].copy()
    barred[:, 2:4, 1:7] = 255 - barred[:, 2:4, 1:7]
    save_all(root / "test/good", held_out[:30])
    save_all(root / "test/bar", barred)
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), dtype=np.uint8)
    save_all(root / "test/noise", noise)
    mask = np.zeros((8, 8, 1), np.uint8)
    mask[2:4, 1:7] = 1
    save_all(root / "masks/bar", np.stack([mask] * 8))
    np.savez(root / "train.npz", x=tiny_digits.images, y=tiny_digits.labels)
    return root


@pytest.fixture(scope="module")
def evaluated(digits_bundle: Bundle, site: Path) -> DetectionEvaluation:
    return evaluate_detection(
        digits_bundle,
        DetectionRequest(site / "test", far=0.1),
        "folders",
        masks=site / "masks",
        training_data=site / "train.npz",
        out=site / "out",
    )


def pixels_of(site: Path, kind: str) -> np.ndarray:
    return np.stack([read_image(path) for path in sorted((site / "test" / kind).iterdir())])


@pytest.fixture(scope="module")
def scores(digits_bundle: Bundle, site: Path) -> dict[str, np.ndarray]:
    detector = Detector.from_bundle(digits_bundle)
    return {kind: detector.score(pixels_of(site, kind)) for kind in ("good", "bar", "noise")}


def area(normal: np.ndarray, anomaly: np.ndarray) -> float:
    labels = [0] * len(normal) + [1] * len(anomaly)
    return float(roc_auc_score(labels, np.concatenate([normal, anomaly])))


def test_summary_follows_from_the_scores(
    evaluated: DetectionEvaluation, scores: dict[str, np.ndarray], digits_bundle: Bundle
) -> None:
    summary, calibration = evaluated.summary, digits_bundle.detector.methods[0].calibration.scores
    both = np.concatenate([scores["bar"], scores["noise"]])
    assert summary["auroc"]["value"] == pytest.approx(area(scores["good"], both))
    assert summary["auroc"]["low"] <= summary["auroc"]["value"] <= summary["auroc"]["high"]
    assert (summary["normal"], summary["num_normal"], summary["num_anomalies"]) == ("good", 30, 14)
    # 99 calibration images: at a rate of 0.1 the threshold is the tenth highest of them.
    threshold = np.sort(calibration)[-10]
    num_alarms = int((scores["good"] > threshold).sum())
    false_alarms = summary["false_alarms"]
    assert (summary["threshold"], false_alarms["count"], false_alarms["n"]) == (
        threshold,
        num_alarms,
        30,
    )
    assert false_alarms["high"] == pytest.approx(beta.ppf(0.975, num_alarms + 1, 30 - num_alarms))
    expected = Detector.from_bundle(digits_bundle).require_calibration().false_alarm_range(0.1, 30)
    assert (false_alarms["expected_low"], false_alarms["expected_high"]) == expected
    assert false_alarms["as_expected"] == (expected[0] <= num_alarms <= expected[1])
    assert false_alarms["exact"] is True
    assert summary["detected"]["count"] == (both > threshold).sum()
    assert summary["best_f1"]["oracle"] is True
    flagged_good = (scores["good"] >= summary["best_f1"]["threshold"]).sum()
    hits = (both >= summary["best_f1"]["threshold"]).sum()
    f1 = 2 * hits / (hits + flagged_good + 14)
    assert summary["best_f1"]["value"] == pytest.approx(f1)


def test_detector_without_guarantee_has_no_exact_range(digits_bundle: Bundle, site: Path) -> None:
    trimmed = with_detector(digits_bundle, trim_fraction=0.1)
    evaluation = evaluate_detection(
        trimmed,
        DetectionRequest(site / "test", far=0.1),
        "folders",
        training_data=site / "train.npz",
    )
    assert evaluation.summary["false_alarms"]["exact"] is False
    assert any("no guarantee" in text for text in evaluation.summary["warnings"])
    assert any("has no guarantee" in line for line in format_detection_evaluation(evaluation))


def test_anomaly_types_follow_from_the_scores(
    evaluated: DetectionEvaluation, scores: dict[str, np.ndarray], digits_bundle: Bundle
) -> None:
    threshold = np.sort(digits_bundle.detector.methods[0].calibration.scores)[-10]
    assert [
        (anomaly_type["type"], anomaly_type["count"]) for anomaly_type in evaluated.anomaly_types
    ] == [
        ("bar", 8),
        ("noise", 6),
    ]
    for anomaly_type in evaluated.anomaly_types:
        of_type = scores[anomaly_type["type"]]
        assert anomaly_type["auroc"]["value"] == pytest.approx(area(scores["good"], of_type))
        assert anomaly_type["detected"]["count"] == (of_type > threshold).sum()
        assert anomaly_type["detected"]["n"] == len(of_type)


def test_baselines_fit_to_the_training_and_validation_splits(
    evaluated: DetectionEvaluation, digits_bundle: Bundle, tiny_digits: Dataset, site: Path
) -> None:
    split = digits_bundle.splits
    rows = np.sort(np.concatenate([split.train, split.val]))
    assert evaluated.summary["num_baseline_training"] == len(rows) == 141
    assert [row["method"] for row in evaluated.baselines] == list(BASELINES)
    scale = Detector.from_bundle(digits_bundle).preprocessing.normalize
    for row in evaluated.baselines:
        fitted = BASELINES[row["method"]](0).fit(scale(np.asarray(tiny_digits.images)[rows]))
        scores = {
            kind: -fitted.score_samples(scale(pixels_of(site, kind)))
            for kind in ("good", "bar", "noise")
        }
        for kind in ("bar", "noise"):
            assert row["anomaly_types"][kind] == pytest.approx(area(scores["good"], scores[kind]))
        both = np.concatenate([scores["bar"], scores["noise"]])
        assert row["auroc"]["value"] == pytest.approx(area(scores["good"], both))
        assert row["auroc"]["low"] <= row["auroc"]["value"] <= row["auroc"]["high"]


def test_pixel_metrics_follow_from_the_maps(
    evaluated: DetectionEvaluation, digits_bundle: Bundle, site: Path
) -> None:
    detector = Detector.from_bundle(digits_bundle)
    images = np.concatenate([pixels_of(site, "bar"), pixels_of(site, "good")])
    maps = detector.maps(images)
    masks = np.zeros((38, 8, 8), bool)
    masks[:8, 2:4, 1:7] = True
    pixels = evaluated.summary["pixels"]
    assert pixels["auroc"] == pytest.approx(pixel_auroc(list(maps[..., 0]), list(masks)))
    assert pixels["aupro"] == pytest.approx(aupro(list(maps[..., 0]), list(masks)))
    assert (pixels["num_images"], pixels["num_anomalies"]) == (38, 8)
    assert pixels["without_mask"] == [f"noise/{row:02d}.png" for row in range(6)]


@pytest.fixture(scope="module")
def limits(digits_bundle: Bundle, site: Path) -> dict[str, Any]:
    evaluation = evaluate_detection(
        digits_bundle,
        DetectionRequest(site / "test", far=0.1),
        "folders",
        training_data=site / "train.npz",
        detection_limit=True,
    )
    assert any(
        "spots painted on 30 normal" in line for line in format_detection_evaluation(evaluation)
    )
    return evaluation.summary


class TestDetectionLimit:
    def test_without_a_spot_there_are_the_false_alarms(self, limits: dict[str, Any]) -> None:
        rows = limits["detection_limit"]["rows"]
        assert len(rows) == len(SPOT_SIZES) * len(CONTRASTS)
        for row in rows:
            if row["size"] == 0:
                assert row["count"] == limits["false_alarms"]["count"]

    def test_large_spots_are_caught(self, limits: dict[str, Any]) -> None:
        rates = {
            (row["size"], row["contrast"]): row["rate"] for row in limits["detection_limit"]["rows"]
        }
        assert rates[16, 1.0] >= DETECTION_TARGET > rates[0, 1.0]
        smallest = limits["detection_limit"]["smallest"]["1"]
        assert rates[smallest, 1.0] >= DETECTION_TARGET
        assert all(rates[size, 1.0] < DETECTION_TARGET for size in SPOT_SIZES if size < smallest)

    @pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
    def test_a_spot_is_as_large_and_as_strong_as_it_says(self, kind: str) -> None:
        rng = np.random.default_rng(0)
        whole = kind != "float32"
        top = np.iinfo(kind).max if whole else 1.0
        picture = np.zeros((40, 60, 3), kind)
        picture[0, 0] = top  # the range of floating-point images is their own
        spoilt = paint_spot(picture, 8, 0.5, rng)
        assert spoilt.dtype == picture.dtype
        change = (spoilt.astype(float) - picture)[..., 0] / top
        assert change.max() == pytest.approx(0.5, abs=0.01)
        assert change.sum() == pytest.approx(0.5 * np.pi * 4**2, rel=0.05)
        np.testing.assert_array_equal(paint_spot(picture, 0, 0.5, rng), picture)


def test_written_files_equal_the_result(
    evaluated: DetectionEvaluation, scores: dict[str, np.ndarray], site: Path
) -> None:
    assert json.loads((site / "out/evaluation.json").read_text()) == evaluated.to_dict()
    with open(site / "out/scores.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "label", "score", "p_value", "anomaly", *BASELINES]
    for kind, values in scores.items():
        of_label = [row for row in rows if row["label"] == kind]
        np.testing.assert_array_equal([float(row["score"]) for row in of_label], values)
    flagged = sum(row["anomaly"] == "1" for row in rows)
    summary = evaluated.summary
    assert flagged == summary["false_alarms"]["count"] + summary["detected"]["count"]


def test_file_names_that_are_not_utf8_are_kept(
    digits_bundle: Bundle, site: Path, tmp_path: Path
) -> None:
    shutil.copytree(site / "test", tmp_path / "test")
    try:
        os.rename(tmp_path / "test/good/00.png", os.fsencode(tmp_path) + b"/test/good/\xff.png")
    except OSError as error:
        pytest.skip(f"no such names here: {error}")
    evaluate_detection(
        digits_bundle,
        DetectionRequest(tmp_path / "test"),
        "folders",
        training_data=site / "train.npz",
        out=tmp_path / "out",
    )
    lines = (tmp_path / "out/scores.csv").read_bytes().splitlines()
    assert len(lines) == 45
    assert sum(line.startswith(b"good/\xff.png,good,") for line in lines) == 1


def test_evaluation_is_deterministic(
    evaluated: DetectionEvaluation, digits_bundle: Bundle, site: Path
) -> None:
    again = evaluate_detection(
        digits_bundle,
        DetectionRequest(site / "test", far=0.1),
        "folders",
        masks=site / "masks",
        training_data=site / "train.npz",
        out=site / "out",
    )
    assert again.to_dict() == evaluated.to_dict()


def test_label_table_with_groups(
    digits_bundle: Bundle, scores: dict[str, np.ndarray], site: Path, tmp_path: Path
) -> None:
    lines = [f"good/{row:02d}.png,fine,part {row // 5}" for row in range(25)]
    lines += [f"./noise/{row:02d}.png,odd," for row in range(6)] + ["bar/00.png,,"]
    (tmp_path / "labels.csv").write_text("\ufeffpath,label,group\n" + "\n".join(lines), "utf-8")
    evaluation = evaluate_detection(
        digits_bundle, DetectionRequest(site / "test"), tmp_path / "labels.csv", normal="fine"
    )
    summary = evaluation.summary
    assert summary["auroc"]["value"] == pytest.approx(area(scores["good"][:25], scores["noise"]))
    assert summary["num_groups"] == 5 + 6
    assert summary["false_alarms"]["exact"] is False
    assert summary["unlabeled"] == [
        *(f"bar/{row:02d}.png" for row in range(8)),
        *(f"good/{row:02d}.png" for row in range(25, 30)),
    ]
    assert [kind["type"] for kind in evaluation.anomaly_types] == ["odd"]
    # The bundle remembers scikit-learn's digits, of which it was trained on 240 only.
    assert evaluation.baselines == []
    assert "no longer, the data" in summary["baselines_skipped"]
    text = "\n".join(format_detection_evaluation(evaluation))
    assert "without a label: 3 more, 13 in all" in text
    assert "approximately" in text
    assert "no baselines: digits is not" in text


def test_training_images_in_the_test_warn(
    digits_bundle: Bundle, tiny_digits: Dataset, site: Path, tmp_path: Path
) -> None:
    save_all(tmp_path / "test/normal", np.asarray(tiny_digits.images)[:12])
    save_all(tmp_path / "test/noise", pixels_of(site, "noise"))
    (tmp_path / "test/noise/broken.png").write_bytes(b"no image")
    evaluation = evaluate_detection(
        digits_bundle,
        DetectionRequest(tmp_path / "test"),
        "folders",
        training_data=site / "train.npz",
    )
    (warning,) = evaluation.summary["warnings"]
    assert warning.startswith("12 of the 18 test images equal training or calibration images")
    assert [file["path"] for file in evaluation.summary["unreadable"]] == ["noise/broken.png"]
    assert evaluation.summary["num_anomalies"] == 6


def test_other_training_data_raises_or_skips_baselines(digits_bundle: Bundle, site: Path) -> None:
    for data, message in (("digits", "is not, or no longer"), ("nowhere", "no file or folder")):
        with pytest.raises(DataError, match=message):
            evaluate_detection(
                digits_bundle, DetectionRequest(site / "test"), "folders", training_data=data
            )
    arrays = with_data(digits_bundle, source=None)
    moved = with_data(digits_bundle, source="gone", name="x")
    for bundle, message in (
        (arrays, "arrays in memory"),
        (moved, "not at gone, relative to the current folder"),
    ):
        evaluation = evaluate_detection(bundle, DetectionRequest(site / "test"), "folders")
        assert message in evaluation.summary["baselines_skipped"]


def test_invalid_masks_raise(digits_bundle: Bundle, site: Path, tmp_path: Path) -> None:
    def judge(masks: Path) -> Any:
        return evaluate_detection(
            digits_bundle, DetectionRequest(site / "test"), "folders", masks=masks
        )

    with pytest.raises(DataError, match="no folder"):
        judge(tmp_path / "none")
    with pytest.raises(DataError, match="no anomaly has a mask"):
        judge(tmp_path)
    save_all(tmp_path / "good", np.ones((1, 8, 8, 1), np.uint8))
    with pytest.raises(DataError, match=r"marks a defect in good/00\.png"):
        judge(tmp_path)
    (tmp_path / "good/00.png").unlink()
    save_all(tmp_path / "bar", np.ones((1, 7, 9, 1), np.uint8))
    with pytest.raises(DataError, match=r"bar/00\.png has 9 x 7 pixels.*8 x 8"):
        judge(tmp_path)


def test_masks_are_found_by_the_image_name(
    digits_bundle: Bundle, site: Path, tmp_path: Path
) -> None:
    (tmp_path / "bar").mkdir()
    mark = np.ones((8, 8, 1), np.uint8)
    mark[0] = 0
    write_png(tmp_path / "bar/03_mask.png", mark)
    write_png(tmp_path / "07.png", mark)  # two images are called 07: whose is it?
    evaluation = evaluate_detection(
        digits_bundle, DetectionRequest(site / "test"), "folders", masks=tmp_path
    )
    assert evaluation.summary["pixels"]["num_anomalies"] == 1
    assert len(evaluation.summary["pixels"]["without_mask"]) == 13


def invoke(*words: object) -> Any:
    return CliRunner().invoke(app, ["evaluate", "detection", *map(str, words)])


def test_command_prints_and_writes_the_result(
    digits_bundle: Bundle, evaluated: DetectionEvaluation, site: Path, tmp_path: Path
) -> None:
    words = ["--labels", "folders", "--far", 0.1, "--masks", site / "masks"]
    words += ["--model", digits_bundle.path, "--training-data", site / "train.npz"]
    done = invoke(site / "test", *words, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.stderr
    printed = json.loads(done.stdout)
    assert list(printed) == ["summary", "anomaly_types", "baselines", "mistakes"]
    expected, report = evaluated.to_dict(), tmp_path / "out" / "report.html"
    paths = {"out": str(tmp_path / "out"), "report": str(report)}
    assert printed == {**expected, "summary": {**expected["summary"], **paths}}
    assert report.is_file()
    lines = invoke(site / "test", *words, "--out", tmp_path / "out").stdout.splitlines()
    ends = [f"evaluation: {tmp_path / 'out'}", f"report: {report}"]
    assert lines == [*format_detection_evaluation(evaluated)[:-1], *ends]
    assert "30 normal images (good) and 14 anomalies of 2 types" in lines
    assert sum(line.startswith("no defect in the mask: noise/") for line in lines) == 6
    assert any(line.startswith("  thumbnails: AUROC ") for line in lines)
    assert any("oracle" in line for line in lines)


def test_command_writes_next_to_the_bundle(
    digits_bundle: Bundle, site: Path, tmp_path: Path
) -> None:
    bundle = save_bundle(replace(digits_bundle), tmp_path / "run/bundle.augan")
    done = invoke(site / "test", "--labels", "folders", "--model", bundle)
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "run/evaluate-test/evaluation.json").is_file()


def test_invalid_options_exit_with_2_and_one_line(
    digits_bundle: Bundle, site: Path, tmp_path: Path
) -> None:
    without_detector = save_bundle(
        replace(digits_bundle, detector=None), tmp_path / "run/bundle.augan"
    )
    valid, unmanaged = digits_bundle.path, tmp_path / "unmanaged"
    unmanaged.mkdir()
    for name in ("evaluation.json", "weights.pt"):
        (unmanaged / name).write_text("{}")
    for words, message in (
        (
            [site / "test", "--labels", "folders", "--model", without_detector],
            "no anomaly detector",
        ),
        ([site / "none", "--labels", "folders", "--model", valid], "no folder or image"),
        ([site / "test", "--labels", "none.csv", "--model", valid], "cannot read the labels"),
        (
            [site / "test", "--labels", "folders", "--normal", "goood", "--model", valid],
            "did you mean good",
        ),
        ([site / "test", "--labels", "folders", "--far", 0.001, "--model", valid], "999"),
        (
            [site / "test", "--labels", "folders", "--model", valid, "--out", site],
            "holds other files",
        ),
        (
            [site / "test", "--labels", "folders", "--model", valid, "--out", unmanaged],
            "would be lost: weights.pt",
        ),
    ):
        done = invoke(*words)
        assert done.exit_code == 2, message
        assert message in done.stderr.splitlines()[-1]
        assert done.stdout == ""


def test_evaluate_detection_raises_typed_errors(digits_bundle: Bundle, site: Path) -> None:
    with pytest.raises(ConfigError):
        evaluate_detection(digits_bundle, DetectionRequest(site / "test", far=0.001), "folders")
    with pytest.raises(BundleError):
        evaluate_detection(
            replace(digits_bundle, detector=None), DetectionRequest(site / "test"), "folders"
        )


def test_a_category_is_evaluated_on_its_test_images_with_its_masks(
    evaluated: DetectionEvaluation, digits_bundle: Bundle, site: Path, tmp_path: Path
) -> None:
    root = tmp_path / "bottle"
    shutil.copytree(site / "test", root / "test")
    shutil.copytree(site / "masks", root / "ground_truth")
    shutil.copytree(site / "test/good", root / "train/good")
    evaluation = evaluate_detection(
        digits_bundle,
        DetectionRequest(root, far=0.1),
        "folders",
        training_data=site / "train.npz",
    )
    for key in ("auroc", "num_normal", "num_anomalies", "pixels"):
        assert evaluation.summary[key] == evaluated.summary[key]
    assert "is laid out like MVTec AD: evaluated on test" in evaluation.summary["warnings"][0]


def test_an_evaluation_names_the_files_that_it_does_not_look_at(
    digits_bundle: Bundle, site: Path, tmp_path: Path
) -> None:
    shutil.copytree(site / "test", tmp_path / "test")
    (tmp_path / "test/bar/photo.cr2").write_bytes(b"II*\0\x08\0\0\0CR")
    evaluation = evaluate_detection(
        digits_bundle,
        DetectionRequest(tmp_path / "test", far=0.1),
        "folders",
        training_data=site / "train.npz",
    )
    (left_out,) = evaluation.summary["not_looked_at"]
    assert left_out["path"] == "bar/photo.cr2"
    lines = format_detection_evaluation(evaluation)
    assert any(
        line.startswith("not looked at: bar/photo.cr2 (it is a camera raw") for line in lines
    )

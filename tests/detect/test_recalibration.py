"""Recalibration on new normal images: only the calibrations change."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from augan import DetectionRequest, detect_folder, load_bundle, recalibrate
from augan.bundle import Bundle, CalibrationSamples
from augan.data.datasets import digits
from augan.detect.detector import Detector
from augan.detect.predictor import Predictor
from augan.detect.recalibration import recalibrate_run
from augan.exceptions import BundleError, DataError
from augan.export.detector import describe_detector
from augan_cli.main import app
from tests._helpers import with_data, with_detector, write_images


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.asarray(digits("test").images)[:60]


@pytest.fixture(scope="module")
def normals(pixels: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("new") / "normals", pixels)


def test_only_the_calibrations_change(
    digits_bundle: Bundle, pixels: np.ndarray, normals: Path
) -> None:
    before = digits_bundle.sha256
    new = recalibrate(digits_bundle, normals)
    assert digits_bundle.sha256 == before != new.sha256
    assert new.path is None
    scores = Detector.from_bundle(digits_bundle).score(pixels)
    np.testing.assert_array_equal(new.detector.methods[0].calibration.scores, np.sort(scores))
    np.testing.assert_array_equal(Detector.from_bundle(new).score(pixels), scores)
    assert new.detector.calibrated_on == CalibrationSamples(
        "normals", num_samples=60, num_groups=60, image_shape=(8, 8)
    )
    fanogan = Detector.from_bundle(digits_bundle, "fanogan").score(pixels)
    stored = new.detector.methods[1]
    assert stored.name == "fanogan"
    np.testing.assert_array_equal(stored.calibration.scores, np.sort(fanogan))
    former = {method.name: method for method in digits_bundle.detector.methods}
    methods = tuple(
        replace(
            method,
            calibration=former[method.name].calibration,
            map_calibration=former[method.name].map_calibration,
        )
        for method in new.detector.methods
    )
    undone = with_detector(
        replace(new, versions=digits_bundle.versions), methods=methods, calibrated_on=None
    )
    assert undone.sha256 == before
    assert recalibrate(digits_bundle, normals).sha256 == new.sha256  # deterministic


def test_recalibration_ends_false_alarms_and_drift_of_a_new_camera(
    digits_bundle: Bundle, tmp_path: Path
) -> None:
    """With more contrast all scores rise."""
    images = np.asarray(digits("test").images)[:300]
    bright = np.clip(images * 1.5, 0, 255).astype(np.uint8)
    old = write_images(tmp_path / "calibration", bright[:150])
    new = write_images(tmp_path / "incoming", bright[150:])
    before = detect_folder(digits_bundle, DetectionRequest(new, far=0.05), tmp_path / "before")
    after = detect_folder(
        recalibrate(digits_bundle, old), DetectionRequest(new, far=0.05), tmp_path / "after"
    )
    assert before.drift.alarm
    assert before.drift.sentence in before.warnings
    assert before.to_dict()["drift"]["alarm"] is True
    assert before.num_anomalies > 0.12 * 150
    assert not after.drift.alarm
    assert after.num_anomalies < 0.12 * 150
    assert (after.guarantee.n, after.warnings) == (150, [])


def test_groups_make_the_guarantee_approximate(digits_bundle: Bundle, normals: Path) -> None:
    table = normals.parent / "groups.csv"
    lines = [f"normals/{row:03d}.png,part {row // 3}" for row in range(60)]
    table.write_text("\n".join(["path,group", *lines]))
    calibration = Detector.from_bundle(
        recalibrate(digits_bundle, normals, table)
    ).require_calibration()
    assert (calibration.n, calibration.num_groups) == (60, 20)
    assert not calibration.guarantee(0.1).exact
    table.write_text("\n".join(["path,group", *lines[:-1]]))
    with pytest.raises(DataError, match="1 of 60 images"):
        recalibrate(digits_bundle, normals, table)


def test_groups_are_read_before_scoring(
    digits_bundle: Bundle, normals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scored(*_: object) -> None:
        raise AssertionError("images were scored")

    monkeypatch.setattr("augan.detect.recalibration._calibration_scores", scored)
    with pytest.raises(DataError, match=r"cannot read the groups in .*gorups\.csv"):
        recalibrate(digits_bundle, normals, tmp_path / "gorups.csv")
    table = tmp_path / "groups.csv"
    table.write_text(f"path,group\n{normals}/000.png,a\n")
    with pytest.raises(DataError, match=r"gives no group for 59 of 60 images"):
        recalibrate(digits_bundle, normals, table)


def test_unreadable_images_need_no_group(
    digits_bundle: Bundle, pixels: np.ndarray, tmp_path: Path
) -> None:
    folder = write_images(tmp_path / "new", pixels[:20])
    (folder / "005.png").write_bytes(b"no image")
    lines = [f"new/{row:03d}.png,part {row // 5}" for row in range(20) if row not in (5, 6)]
    table = tmp_path / "groups.csv"
    table.write_text("\n".join(["path,group", *lines, "new/006.png,alone"]))
    calibration = Detector.from_bundle(
        recalibrate(digits_bundle, folder, table)
    ).require_calibration()
    assert (calibration.n, calibration.num_groups) == (19, 5)


def test_unreadable_images_are_left_out_with_a_warning(
    digits_bundle: Bundle, pixels: np.ndarray, tmp_path: Path
) -> None:
    folder = write_images(tmp_path / "new", pixels[:20])
    (folder / "005.png").write_bytes(b"no image")
    new = recalibrate(digits_bundle, folder)
    samples = new.detector.calibrated_on
    assert (samples.num_samples, samples.num_left_out) == (19, 1)
    assert "1 of 20 could not be used" in samples.warnings[0]
    assert "005.png" in samples.warnings[0]


def test_files_that_are_no_images_are_named_and_links_followed(
    digits_bundle: Bundle, pixels: np.ndarray, tmp_path: Path
) -> None:
    folder = write_images(tmp_path / "new", pixels[:20])
    (folder / "notes.txt").write_text("text")
    others = write_images(tmp_path / "others", pixels[20:25])
    (folder / "link").symlink_to(others, target_is_directory=True)
    samples = recalibrate(digits_bundle, folder).detector.calibrated_on
    assert samples.num_samples == 20
    assert "2 files were not looked at: link/ " in samples.warnings[0]
    assert "notes.txt" in samples.warnings[0]
    followed = recalibrate(digits_bundle, folder, follow_links=True).detector.calibrated_on
    assert followed.num_samples == 25
    assert "1 file was not looked at: notes.txt" in followed.warnings[0]


def test_images_from_the_training_folder_warn(digits_bundle: Bundle, normals: Path) -> None:
    trained = with_data(digits_bundle, source=str(normals.parent))
    (warning,) = recalibrate(trained, normals).detector.calibrated_on.warnings
    assert "the model was trained on images from" in warning


BAD = {
    "no image below": lambda images: images[:0],
    "1 usable image, at least 2": lambda images: images[:1],
    "same score": lambda images: np.repeat(images[:1], 5, axis=0),
    "a single color": lambda images: (
        np.arange(5, dtype=np.uint8)[:, None, None, None] * 50 + np.zeros_like(images[:5])
    ),
    "none of the 4 images .* channel": lambda images: np.repeat(images[:4], 3, axis=-1),
}


@pytest.mark.parametrize("message", BAD)
def test_images_that_allow_no_calibration_are_refused(
    digits_bundle: Bundle, pixels: np.ndarray, tmp_path: Path, message: str
) -> None:
    folder = write_images(tmp_path / "bad", BAD[message](pixels))
    with pytest.raises(DataError, match=message):
        recalibrate_run(digits_bundle, folder, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["bad"]


def test_bundle_without_detector_and_missing_folder_are_refused(
    digits_bundle: Bundle, normals: Path, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="no anomaly detector"):
        recalibrate(replace(digits_bundle, detector=None), normals)
    with pytest.raises(DataError, match="no folder or image"):
        recalibrate(digits_bundle, tmp_path / "gone")


def test_command_writes_next_to_the_run_and_replaces_nothing(
    digits_bundle: Bundle, normals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs/first").mkdir(parents=True)
    Path("runs/latest").symlink_to("first")
    assert digits_bundle.path is not None
    content = digits_bundle.path.read_bytes()
    Path("runs/first/bundle.augan").write_bytes(content)
    done = CliRunner().invoke(app, ["calibrate", "runs/latest", str(normals), "--json"])
    assert done.exit_code == 0, done.output
    output = json.loads(done.stdout)
    assert Path(output["bundle"]).samefile("runs/first-calibrated/bundle.augan")
    assert output["calibrated_on"]["num_samples"] == output["guarantee"]["n"] == 60
    made = load_bundle("runs/first-calibrated")
    assert made.bundle_id == output["id"]
    assert Path("runs/first/bundle.augan").read_bytes() == content
    again = CliRunner().invoke(app, ["calibrate", "runs/first", str(normals)])
    assert again.exit_code == 2
    assert "first-calibrated holds other files" in again.stderr
    done = CliRunner().invoke(app, ["calibrate", "runs/first", str(normals), "--out", "mine"])
    assert "calibrated on 60 images of normals" in done.stdout
    assert "uses this threshold with --model mine/bundle.augan" in done.stdout  # it is not in runs/
    assert load_bundle("mine").sha256 == made.sha256


def test_too_few_images_for_the_rate_of_the_model_warn(
    digits_bundle: Bundle, pixels: np.ndarray, tmp_path: Path
) -> None:
    from augan.report.text import format_calibration

    config = digits_bundle.config.replace(detect__method="fanogan", detect__far=0.01)
    folder = write_images(tmp_path / "few", pixels[:10])
    made = recalibrate(replace(digits_bundle, config=config), folder)
    lines = format_calibration(made)
    assert "detect.far=0.01" in lines[0]
    assert "99 images" in lines[0]
    assert "default false-alarm rate of 0.05 needs 19" in lines[1]
    exported = describe_detector(
        made, Detector.from_bundle(made), has_map=False
    )  # contains the same warnings
    assert f"warning: {exported['warning']}" == f"{lines[0]}; {lines[1].removeprefix('warning: ')}"
    assert exported["rate"] == pytest.approx(1 / 11)


def test_frames_of_a_video_count_as_groups(
    digits_bundle: Bundle, pixels: np.ndarray, tmp_path: Path
) -> None:
    """Thirty scenes of two frames each are thirty independent images, not sixty."""
    frames = np.repeat(pixels[:30], 2, axis=0)
    folder = write_images(tmp_path / "frames", frames)
    new = recalibrate(digits_bundle, folder)
    assert new.detector.methods[0].calibration.num_groups == 30
    (warning,) = new.detector.calibrated_on.warnings
    assert "only 30 of 60 images differ clearly" in warning
    result = detect_folder(new, DetectionRequest(folder, far=0.1), tmp_path / "out", verbose=0)
    assert not result.guarantee.exact
    assert "60 images of 30 groups" in result.guarantee.sentence
    named = recalibrate(digits_bundle, folder, group_by=4)
    assert named.detector.methods[0].calibration.num_groups == 15
    assert named.detector.calibrated_on.warnings == ()


def test_a_new_calibration_ends_the_doubt_about_the_former(
    digits_bundle: Bundle, normals: Path, tmp_path: Path
) -> None:
    doubt = "4 calibration images are nearly identical to training images"
    doubted = replace(digits_bundle, detector=replace(digits_bundle.detector, doubts=(doubt,)))
    result = detect_folder(doubted, DetectionRequest(normals), tmp_path / "out", verbose=0)
    record = json.loads((tmp_path / "out" / "detection.json").read_text())
    assert record["guarantee"]["exact"] is False
    assert record["guarantee"]["sentence"] == f"No guarantee: {doubt}"
    assert f"no guarantee: {doubt}" in result.warnings
    prediction = Predictor.from_bundle(doubted).predict(np.zeros((8, 8), np.uint8))
    assert f"no guarantee: {doubt}" in prediction.warnings
    assert not prediction.guarantee.exact
    assert recalibrate(doubted, normals).detector.doubts == ()

"""Detection on files: scores, decisions, records and pictures of a folder."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augan import DetectionRequest, detect_folder, recalibrate
from augan.bundle import Bundle, CalibrationScores, read_weights, restore_network
from augan.choices import DETECTION_METHODS
from augan.data.datasets import digits
from augan.data.modalities.images import ImagePreprocessing
from augan.detect.detector import Detector
from augan.detect.output_paths import default_output_folder
from augan.exceptions import BundleError, ConfigError, DataError
from augan.io.images import write_png
from augan.io.layout import DETECTION_FILE, SCORES_FILE
from augan.report.html.detection import write_top_samples_image
from tests._helpers import tree, with_method, write_images

COMPONENTS = ["feature_neighbors", "mahalanobis", "input_neighbors"]


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.asarray(digits("test").images)[:70]  # more than one batch of inference


@pytest.fixture(scope="module")
def detector(digits_bundle: Bundle) -> Detector:
    return Detector.from_bundle(digits_bundle)


@pytest.fixture(scope="module")
def folder(pixels: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "images", pixels)


def read_rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / SCORES_FILE, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def numbers(rows: list[dict[str, str]], column: str = "score") -> np.ndarray:
    return np.array([float(row[column]) for row in rows])


def overlays(out: Path) -> set[str]:
    """The expected overlay files."""
    flagged = (row["path"] for row in read_rows(out) if row["anomaly"] == "1")
    return {f"overlays/{path}.png" for path in flagged}


def test_table_contains_the_scores_of_the_detector(
    digits_bundle: Bundle, detector: Detector, pixels: np.ndarray, folder: Path, tmp_path: Path
) -> None:
    result = detect_folder(digits_bundle, DetectionRequest(folder, far=0.05), tmp_path / "out")
    rows = read_rows(tmp_path / "out")
    assert list(rows[0]) == ["path", "score", "p_value", "anomaly", *COMPONENTS]
    assert [row["path"] for row in rows] == [f"{i:03d}.png" for i in range(70)]
    components = detector.score_components(pixels)
    np.testing.assert_array_equal(numbers(rows), detector.score(pixels))
    np.testing.assert_array_equal(
        np.stack([numbers(rows, t) for t in COMPONENTS], axis=1), components
    )
    np.testing.assert_array_equal(numbers(rows), components.sum(axis=1))
    assert result.num_scored == 70
    assert result.num_anomalies == sum(row["anomaly"] == "1" for row in rows)


def test_p_values_and_flags_follow_from_the_scores(
    digits_bundle: Bundle, folder: Path, tmp_path: Path
) -> None:
    detect_folder(digits_bundle, DetectionRequest(folder, far=0.2), tmp_path / "out")
    rows = read_rows(tmp_path / "out")
    scores, p_values = numbers(rows), numbers(rows, "p_value")
    assert (p_values > 0).all()
    assert (p_values <= 1).all()
    calibration = np.asarray(digits_bundle.detector.methods[0].calibration.scores)
    expected = (1 + (calibration[None] >= scores[:, None]).sum(axis=1)) / (len(calibration) + 1)
    np.testing.assert_array_equal(p_values, expected)
    assert [row["anomaly"] for row in rows] == [str(int(p <= 0.2)) for p in p_values]
    assert {"0", "1"} == {row["anomaly"] for row in rows}


def test_score_does_not_depend_on_other_images(
    digits_bundle: Bundle, pixels: np.ndarray, folder: Path, tmp_path: Path
) -> None:
    detect_folder(digits_bundle, DetectionRequest(folder), tmp_path / "all")
    together = numbers(read_rows(tmp_path / "all"))
    write_images(tmp_path / "reversed", pixels[::-1])
    detect_folder(digits_bundle, DetectionRequest(tmp_path / "reversed"), tmp_path / "back")
    np.testing.assert_array_equal(numbers(read_rows(tmp_path / "back"))[::-1], together)
    for row in (0, 37, 69):
        detect_folder(
            digits_bundle, DetectionRequest(folder / f"{row:03d}.png"), tmp_path / "alone"
        )
        (alone,) = read_rows(tmp_path / "alone")
        assert alone["path"] == f"{row:03d}.png"
        assert float(alone["score"]) == together[row]


def test_paths_of_subfolders_are_relative_and_sorted(
    digits_bundle: Bundle, pixels: np.ndarray, tmp_path: Path
) -> None:
    names = ["b/deep/er/1.png", "a.png", "b/0.png", 'Ü, "x".png']
    write_images(tmp_path / "images", pixels[:4], names)
    (tmp_path / "images" / "notes.txt").write_text("not an image")
    (tmp_path / "images" / ".hidden.png").write_bytes(b"")
    detect_folder(digits_bundle, DetectionRequest(tmp_path / "images"), tmp_path / "out")
    assert [row["path"] for row in read_rows(tmp_path / "out")] == sorted(names)


def test_unreadable_files_keep_their_row(
    digits_bundle: Bundle, detector: Detector, pixels: np.ndarray, tmp_path: Path
) -> None:
    images = write_images(tmp_path / "images", pixels[:3], ["a.png", "c.png", "e.png"])
    whole = (images / "a.png").read_bytes()
    (images / "b.png").write_bytes(whole[: len(whole) // 2])
    (images / "d.png").write_bytes(b"")
    result = detect_folder(digits_bundle, DetectionRequest(images), tmp_path / "out")
    rows = read_rows(tmp_path / "out")
    assert [row["path"] for row in rows] == ["a.png", "b.png", "c.png", "d.png", "e.png"]
    for row in (rows[1], rows[3]):
        assert [row[name] for name in ("score", "p_value", "anomaly", *COMPONENTS)] == [""] * 6
    readable = [rows[i] for i in (0, 2, 4)]
    np.testing.assert_array_equal(numbers(readable), detector.score(pixels[:3]))
    assert result.num_scored == 3
    assert [path for path, _ in result.unreadable] == ["b.png", "d.png"]
    assert "0 bytes" in result.unreadable[1][1]
    assert not any(str(tmp_path) in reason for _, reason in result.unreadable)


def test_images_with_other_channels_have_a_reason(
    digits_bundle: Bundle, pixels: np.ndarray, tmp_path: Path
) -> None:
    images = write_images(tmp_path / "images", pixels[:1], ["good.png"])
    write_png(images / "colour.png", np.repeat(pixels[0], 3, axis=-1))
    write_png(images / "deep.png", pixels[0].astype(np.uint16) * 257)
    result = detect_folder(digits_bundle, DetectionRequest(images), tmp_path / "out")
    reasons = dict(result.unreadable)
    assert reasons.keys() == {"colour.png", "deep.png"}
    assert "channel" in reasons["colour.png"]
    assert "uint16" in reasons["deep.png"]
    assert "uint8" in reasons["deep.png"]


def test_chunks_of_unreadable_files_only(
    digits_bundle: Bundle, detector: Detector, pixels: np.ndarray, tmp_path: Path
) -> None:
    images = write_images(tmp_path / "images", pixels[:2], ["z1.png", "z2.png"])
    for number in range(ImagePreprocessing.reading_chunk_size + 1):
        (images / f"a{number:04d}.png").write_bytes(b"")
    result = detect_folder(digits_bundle, DetectionRequest(images), tmp_path / "out")
    with open(tmp_path / "out" / SCORES_FILE, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert {len(row) for row in rows} == {7}
    assert len(rows) == 1 + ImagePreprocessing.reading_chunk_size + 3
    assert [row[0] for row in rows[-2:]] == ["z1.png", "z2.png"]
    assert [float(row[1]) for row in rows[-2:]] == detector.score(pixels[:2]).tolist()
    assert len(result.unreadable) == ImagePreprocessing.reading_chunk_size + 1


def test_top_samples_have_the_highest_scores(
    digits_bundle: Bundle, pixels: np.ndarray, folder: Path, tmp_path: Path
) -> None:
    result = detect_folder(
        digits_bundle, DetectionRequest(folder, method="fanogan"), tmp_path / "out"
    )
    rows = read_rows(tmp_path / "out")
    scores = numbers(rows)
    worst = np.argsort(-scores)[:24]
    assert [image.path for image in result.top_samples] == [f"{i:03d}.png" for i in worst]
    assert [image.score for image in result.top_samples] == scores[worst].tolist()
    assert len(result.most_anomalous) == 8
    for image, row in zip(result.top_samples, worst):
        np.testing.assert_array_equal(image.sample, pixels[row])
        assert image.components == {name: float(rows[row][name]) for name in image.components}
        assert image.thumbnail is not None
        assert image.thumbnail.shape == (256, 256, 3)
    for image in result.most_anomalous:
        assert image.reconstruction is not None
        assert image.reconstruction.shape == image.sample.shape


def test_earlier_result_is_replaced_completely(
    digits_bundle: Bundle, pixels: np.ndarray, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    detect_folder(digits_bundle, DetectionRequest(write_images(tmp_path / "few", pixels[:2])), out)
    (out / "overlays").mkdir(exist_ok=True)
    (out / "overlays" / "stale.png").write_text("from before")
    (out / "report.html").write_text("from before")
    result = detect_folder(digits_bundle, DetectionRequest(folder), out)
    assert tree(out).keys() == {SCORES_FILE, DETECTION_FILE, *overlays(out)}
    assert len(overlays(out)) == result.num_anomalies
    assert len(read_rows(out)) == 70
    assert {path.name for path in tmp_path.iterdir()} == {"out", "few"}


def test_failure_keeps_the_earlier_result(
    digits_bundle: Bundle, pixels: np.ndarray, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    detect_folder(digits_bundle, DetectionRequest(write_images(tmp_path / "good", pixels[:2])), out)
    before = tree(out)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"none of the 1 images.*x\.png"):
        detect_folder(digits_bundle, DetectionRequest(tmp_path / "bad"), out)
    with pytest.raises(ConfigError):
        detect_folder(digits_bundle, DetectionRequest(tmp_path / "good", far=1e-6), out)
    assert tree(out) == before
    assert {path.name for path in tmp_path.iterdir()} == {"out", "good", "bad"}


def test_unmanaged_files_are_never_replaced(
    digits_bundle: Bundle, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="other files"):
        detect_folder(digits_bundle, DetectionRequest(folder), tmp_path / "out")
    assert tree(tmp_path) == {"out/thesis.txt": b"mine"}


def test_scores_of_another_command_are_not_replaced(
    digits_bundle: Bundle, folder: Path, tmp_path: Path
) -> None:
    """For example those of `augan evaluate detection`."""
    (tmp_path / "out").mkdir()
    for name in (SCORES_FILE, "evaluation.json"):
        (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(DataError, match=r"other files.* lost: evaluation\.json"):
        detect_folder(digits_bundle, DetectionRequest(folder), tmp_path / "out")
    assert tree(tmp_path / "out") == {SCORES_FILE: b"mine", "evaluation.json": b"mine"}


def test_scoring_changes_no_weights(
    digits_bundle: Bundle, pixels: np.ndarray, folder: Path, tmp_path: Path
) -> None:
    models = {
        role: restore_network(digits_bundle, role)
        for role in DETECTION_METHODS.get("fanogan").required_networks
    }
    scorer_class = DETECTION_METHODS.load("fanogan")
    method = scorer_class(models).set_state(digits_bundle.detector.methods[1].state)
    before = {role: read_weights(model) for role, model in models.items()}
    images = (pixels / 127.5 - 1).astype(np.float32)
    first = method.score_components(images)
    np.testing.assert_array_equal(method.score_components(images), first)
    for role, model in models.items():
        after = read_weights(model)
        assert after.keys() == before[role].keys()
        for name, value in after.items():
            np.testing.assert_array_equal(value, before[role][name], err_msg=f"{role} {name}")
    sha256 = digits_bundle.sha256
    detect_folder(digits_bundle, DetectionRequest(folder), tmp_path / "out")
    assert digits_bundle.sha256 == sha256


def test_reconstructions_depend_on_the_image(
    digits_bundle: Bundle, detector: Detector, pixels: np.ndarray
) -> None:
    images = detector.preprocessing.normalize(pixels[:30])
    again = Detector.from_bundle(digits_bundle, "fanogan").method.reconstruct(images)
    assert again.shape == images.shape
    assert np.abs(again).max() <= 1
    # By how much is asked of a trained model, in test_quickstart.
    assert len({image.tobytes() for image in again}) == 30


class TestRate:
    def test_default_rate_is_five_percent(
        self, digits_bundle: Bundle, folder: Path, tmp_path: Path
    ) -> None:
        result = detect_folder(digits_bundle, DetectionRequest(folder), tmp_path / "out")
        assert result.guarantee.far == 0.05
        assert result.guarantee.n == 99
        assert result.warnings == []

    def test_rate_of_the_training_precedes_the_default(
        self, digits_bundle: Bundle, folder: Path, tmp_path: Path
    ) -> None:
        config = digits_bundle.config.replace(detect__method="fanogan", detect__far=0.3)
        bundle = replace(digits_bundle, config=config)
        assert detect_folder(bundle, DetectionRequest(folder), tmp_path / "a").guarantee.far == 0.3
        assert (
            detect_folder(bundle, DetectionRequest(folder, far=0.1), tmp_path / "b").guarantee.far
            == 0.1
        )

    def test_too_few_calibration_images_warn_or_refuse(
        self, digits_bundle: Bundle, folder: Path, tmp_path: Path
    ) -> None:
        bundle = with_method(digits_bundle, calibration=CalibrationScores(np.arange(9.0), 9))
        result = detect_folder(bundle, DetectionRequest(folder), tmp_path / "out")
        assert result.guarantee.far == pytest.approx(0.1)
        assert len(result.warnings) == 1
        with pytest.raises(ConfigError, match="19"):
            detect_folder(bundle, DetectionRequest(folder, far=0.05), tmp_path / "out")

    @pytest.mark.parametrize("far", [0.0, 1.0, -0.1, float("nan")])
    def test_a_rate_outside_0_to_1_is_refused(
        self, digits_bundle: Bundle, folder: Path, tmp_path: Path, far: float
    ) -> None:
        with pytest.raises(ConfigError, match="between 0 and 1"):
            detect_folder(digits_bundle, DetectionRequest(folder, far=far), tmp_path / "out")
        assert not (tmp_path / "out").exists()


class TestFalseDiscoveryRate:
    @pytest.fixture
    def incoming(self, pixels: np.ndarray, tmp_path: Path) -> Path:
        """70 digits and a file that is no image."""
        folder = write_images(tmp_path / "incoming", pixels)
        (folder / "0505.png").write_bytes(b"no image")
        return folder

    @staticmethod
    def exceeded_by(count: int, bundle: Bundle, detector: Detector, pixels: np.ndarray) -> Bundle:
        """The bundle, calibrated so that `count` of the images exceed its 99 scores."""
        scores = np.sort(detector.score(pixels))
        lines = np.linspace(scores[0], scores[-1 - count], 99)
        return with_method(bundle, calibration=CalibrationScores(lines, 99))

    def test_decision_depends_on_all_p_values(
        self,
        digits_bundle: Bundle,
        detector: Detector,
        pixels: np.ndarray,
        incoming: Path,
        tmp_path: Path,
    ) -> None:
        bundle = self.exceeded_by(20, digits_bundle, detector, pixels)
        result = detect_folder(bundle, DetectionRequest(incoming, fdr=0.1), tmp_path / "out")
        rows = [row for row in read_rows(tmp_path / "out") if row["score"]]
        p_values = np.sort(numbers(rows, "p_value"))
        kept = p_values[p_values <= 0.1 * np.arange(1, 71) / 70 * (1 + 1e-12)]
        assert 14 <= kept.size < 64  # the first 6 ranks pass only because a later one does
        expected = [str(int(float(row["p_value"]) <= kept[-1])) for row in rows]
        assert [row["anomaly"] for row in rows] == expected
        assert result.num_anomalies == expected.count("1")
        assert [image.anomaly for image in result.most_anomalous] == [True] * 8
        assert result.guarantee.to_dict()["min_discoveries"] == 7
        assert "7 or more are flagged, or none" in result.guarantee.sentence
        assert tree(tmp_path / "out").keys() == {
            SCORES_FILE,
            DETECTION_FILE,
            *overlays(tmp_path / "out"),
        }

    def test_scores_equal_those_with_a_false_alarm_rate(
        self, digits_bundle: Bundle, incoming: Path, tmp_path: Path
    ) -> None:
        detect_folder(digits_bundle, DetectionRequest(incoming, fdr=0.1), tmp_path / "a")
        detect_folder(digits_bundle, DetectionRequest(incoming, far=0.1), tmp_path / "b")
        a, b = (
            [{**row, "anomaly": row["anomaly"] != ""} for row in read_rows(tmp_path / name)]
            for name in "ab"
        )
        assert a == b

    def test_too_few_anomalies_warn(
        self,
        digits_bundle: Bundle,
        detector: Detector,
        pixels: np.ndarray,
        folder: Path,
        tmp_path: Path,
    ) -> None:
        bundle = self.exceeded_by(2, digits_bundle, detector, pixels)
        result = detect_folder(bundle, DetectionRequest(folder, fdr=0.02), tmp_path / "out")
        assert result.num_anomalies == 0
        (warning,) = [text for text in result.warnings if "nothing is flagged" in text]
        assert "although 2 images score higher than all 99" in warning
        assert "can only flag 35 or more of 70" in warning

    @pytest.mark.parametrize(("far", "fdr"), [(0.1, 0.1), (None, 0.001), (None, 0.0), (None, 1.0)])
    def test_impossible_rates_are_refused(
        self, digits_bundle: Bundle, folder: Path, tmp_path: Path, far: float, fdr: float
    ) -> None:
        message = "choose one" if far else "999" if fdr == 0.001 else "between 0 and 1"
        with pytest.raises(ConfigError, match=message):
            detect_folder(
                digits_bundle, DetectionRequest(folder, far=far, fdr=fdr), tmp_path / "out"
            )
        assert not (tmp_path / "out").exists()


def test_another_method_of_the_bundle_scores(
    digits_bundle: Bundle, pixels: np.ndarray, folder: Path, tmp_path: Path
) -> None:
    result = detect_folder(
        digits_bundle, DetectionRequest(folder, method="fanogan"), tmp_path / "out"
    )
    rows = read_rows(tmp_path / "out")
    assert list(rows[0])[4:] == ["image_residual", "feature_residual"]
    expected = Detector.from_bundle(digits_bundle, "fanogan").score(pixels)
    np.testing.assert_array_equal(numbers(rows), expected)
    said = result.to_dict()
    assert (said["method"], said["methods"]) == ("fanogan", ["auto", "fanogan"])
    with pytest.raises(BundleError, match="no detector 'anogan', only auto, fanogan"):
        detect_folder(digits_bundle, DetectionRequest(folder, method="anogan"), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_images_of_another_size_warn(
    digits_bundle: Bundle, pixels: np.ndarray, tmp_path: Path
) -> None:
    images = write_images(tmp_path / "images", pixels[:20])
    assert detect_folder(digits_bundle, DetectionRequest(images), tmp_path / "out").warnings == []
    large = write_images(tmp_path / "large", pixels[:3].repeat(2, axis=1).repeat(2, axis=2))
    write_images(images, pixels[:3].repeat(2, axis=1), ["b.png", "a.png", "c.png"])
    (warning,) = detect_folder(digits_bundle, DetectionRequest(images), tmp_path / "out").warnings
    assert (
        "3 of 23 images do not have the expected size, 8 x 8 pixels, for example a.png" in warning
    )
    # The last calibration sets the expected size.
    recalibrated = recalibrate(digits_bundle, large)
    assert not any("expected size" in text for text in warnings_of(recalibrated, large, tmp_path))
    assert any("3 of 3" in text for text in warnings_of(digits_bundle, large, tmp_path))
    several = replace(
        digits_bundle, preprocessing=replace(digits_bundle.preprocessing, original_shape=None)
    )
    assert not any("expected size" in text for text in warnings_of(several, large, tmp_path))


def test_picture_of_top_samples_of_several_sizes(
    digits_bundle: Bundle, folder: Path, tmp_path: Path
) -> None:
    result = detect_folder(digits_bundle, DetectionRequest(folder), tmp_path / "out")
    sides = [np.zeros((20 + 4 * (row > 2), 20, 3), np.uint8) for row in range(8)]
    worst = [
        replace(scored, reconstruction=None, thumbnail=side, overlay=side)
        for scored, side in zip(result.most_anomalous, sides)
    ]
    preprocessing = digits_bundle.preprocessing
    for shown, rows in ((worst[:2], 2), (worst, 1)):  # with overlays, where they fit together
        path = write_top_samples_image(replace(result, top_samples=shown), preprocessing)
        with Image.open(path) as picture:
            width, height = picture.size
        assert round(width / height) == round(len(shown) / rows)


def warnings_of(bundle: Bundle, images: Path, tmp_path: Path) -> list[str]:
    return detect_folder(bundle, DetectionRequest(images), tmp_path / "out").warnings


def test_summaries_of_the_components(digits_bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    result = detect_folder(digits_bundle, DetectionRequest(folder, far=0.2), tmp_path / "out")
    rows = read_rows(tmp_path / "out")
    flags = np.array([row["anomaly"] == "1" for row in rows])
    values = np.stack([numbers(rows, name) for name in COMPONENTS], axis=1)
    assert [component.name for component in result.components] == COMPONENTS
    means = [[c.mean_flagged, c.mean_unflagged] for c in result.components]
    np.testing.assert_allclose(
        means, np.stack([values[flags].mean(axis=0), values[~flags].mean(axis=0)], axis=1)
    )
    assert all(component.description for component in result.components)
    counts = np.bincount(values[flags].argmax(axis=1), minlength=len(COMPONENTS))
    assert [component.num_largest for component in result.components] == counts.tolist()


def test_a_bundle_without_detector_or_calibration_is_refused(
    digits_bundle: Bundle, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="no anomaly detector"):
        detect_folder(
            replace(digits_bundle, detector=None), DetectionRequest(folder), tmp_path / "out"
        )
    with pytest.raises(BundleError, match="never calibrated"):
        detect_folder(
            with_method(digits_bundle, calibration=None), DetectionRequest(folder), tmp_path / "out"
        )
    assert list(tmp_path.iterdir()) == []


def test_missing_and_empty_folders_are_refused(digits_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder or image"):
        detect_folder(digits_bundle, DetectionRequest(tmp_path / "none"), tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image below"):
        detect_folder(digits_bundle, DetectionRequest(tmp_path / "empty"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_default_folder_is_inside_the_run(digits_bundle: Bundle, tmp_path: Path) -> None:
    bundle = replace(digits_bundle, path=tmp_path / "run" / "bundle.augan")
    assert default_output_folder(bundle, tmp_path / "parts") == tmp_path / "run" / "detect-parts"
    assert default_output_folder(bundle, f"{tmp_path}/parts/") == tmp_path / "run" / "detect-parts"
    with pytest.raises(BundleError, match="never saved"):
        default_output_folder(replace(digits_bundle, path=None), "parts")


def test_default_folders_of_images_with_one_name_differ(
    digits_bundle: Bundle, tmp_path: Path
) -> None:
    bundle = replace(digits_bundle, path=tmp_path / "run" / "bundle.augan")
    outs = []
    for day in ("day1", "day2", "day1"):
        images = tmp_path / day / "images"
        images.mkdir(parents=True, exist_ok=True)
        write_png(images / "a.png", np.asarray(digits("test").images)[0])
        outs.append(default_output_folder(bundle, images))
        detect_folder(bundle, DetectionRequest(images), outs[-1])
    assert [out.name for out in outs] == ["detect-images", "detect-images-2", "detect-images"]
    record = json.loads((outs[1] / DETECTION_FILE).read_text())
    assert record["images"] == str(tmp_path / "day2" / "images")
    assert record["num_scored"] == 1
    assert record["guarantee"]["sentence"]


def test_several_files_and_folders_are_scored_together(
    digits_bundle: Bundle, pixels: np.ndarray, folder: Path, tmp_path: Path
) -> None:
    write_images(tmp_path / "a" / "deep", pixels[:3])
    write_images(tmp_path / "b", pixels[3:5])
    paths = [tmp_path / "b" / "001.png", tmp_path / "a", str(tmp_path / "b" / "001.png")]
    request = DetectionRequest(paths)
    result = detect_folder(digits_bundle, request, tmp_path / "out", verbose=0)
    rows = read_rows(tmp_path / "out")
    names = [row["path"] for row in rows]
    assert names == ["b/001.png", "a/deep/000.png", "a/deep/001.png", "a/deep/002.png"]
    assert result.num_scored == 4
    alone = detect_folder(digits_bundle, DetectionRequest([folder]), tmp_path / "alone", verbose=0)
    assert alone.images == str(folder)
    of_all = {row["path"]: row["score"] for row in read_rows(tmp_path / "alone")}
    assert rows[0]["score"] == of_all["004.png"]
    with pytest.raises(DataError, match=r"no folder or image .*missing\.png"):
        detect_folder(
            digits_bundle, DetectionRequest([folder, tmp_path / "missing.png"]), tmp_path / "no"
        )
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    "images",
    [[np.zeros((8, 8))], np.zeros((2, 8, 8)), [], [b"png"], [["a.png"]], {"a.png"}, [""], [None]],
)
def test_other_lists_than_paths_are_refused_at_once(images: object) -> None:
    with pytest.raises(DataError, match=r"`images`.*(load_detector|at least one)"):
        DetectionRequest(images)  # type: ignore[arg-type]


def test_folder_of_a_file_has_no_ending_and_of_several_paths_names_the_first(
    digits_bundle: Bundle, folder: Path
) -> None:
    assert default_output_folder(digits_bundle, folder / "003.png").name == "detect-003"
    several = [DetectionRequest([folder / "003.png", folder / f"{n}.png"]) for n in (1, 2)]
    names = [
        default_output_folder(digits_bundle, request.path, names=request.names).name
        for request in several
    ]
    assert all(name.startswith("detect-003-and-1-more-") for name in names)
    assert names[0] != names[1]

"""Calibrated anomaly maps, overlays and ignore masks."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binom

from augan import DetectionRequest, detect_folder, recalibrate
from augan.bundle import Bundle
from augan.data.datasets import digits
from augan.detect.conformal.calibration import Calibration
from augan.detect.detector import Detector
from augan.detect.ignore_mask import IgnoreMask
from augan.detect.visualization.anomaly_map import MapScale
from augan.detect.visualization.overlay import COLORS, colors, render_overlay
from augan.detect.visualization.renderer import MAX_NAME_BYTES, image_path
from augan.exceptions import BundleError, DataError
from augan.io.images import read_image, write_png
from tests._helpers import with_method, write_images


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.asarray(digits("test").images)[:300]


def files_below(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


class TestMapScale:
    def test_units_by_hand(self) -> None:
        scale = MapScale(
            Calibration.fit(np.arange(1.0, 100.0)), 0.05
        )  # 1 to 99: the threshold is 95
        units = scale(np.array([[0, 95, 95.5], [99, 100, 198]]))
        # 95.5: four scores are at least as high, so p = 5/100. 99: p = 2/100. Above: p = 1/100.
        expected = [[0, 0, -np.log10(0.05)], [-np.log10(0.02), 2 + 1 / 99, 3]]
        np.testing.assert_allclose(units, expected, rtol=1e-6)
        assert scale.min_unit == pytest.approx(-np.log10(0.05))
        assert scale.max_calibration_unit == pytest.approx(2)
        stored = scale.to_uint16(np.array([0, 1.3014, 2.0, 1e9]))
        assert (stored.dtype, stored.tolist()) == (np.uint16, [0, 1301, 2000, 65535])

    def test_unsupported_rate_is_raised_to_the_smallest_supported_rate(self) -> None:
        scale = MapScale(Calibration.fit([1.0, 2.0]), 0.05)
        assert scale.rate == pytest.approx(1 / 3)
        assert scale(np.array([2.0, 2.5])).tolist() == pytest.approx([0, np.log10(3) + 0.25])
        assert MapScale(Calibration.fit([0.0, 0.0]), 0.5)(np.array([0.0, 1.0]))[0] == 0

    @pytest.mark.parametrize("rate", [0.05, 0.2])
    def test_share_of_good_images_with_significant_pixels_keeps_to_the_rate(
        self, rate: float
    ) -> None:
        """The pixels of a map are correlated."""
        rng, significant, repeats = np.random.default_rng(3), 0, 400

        def maps(count: int) -> np.ndarray:
            return np.abs(rng.normal(size=(count, 6, 6, 1)) + rng.normal(size=(count, 1, 1, 1)))

        for _ in range(repeats):
            scale = MapScale(Calibration.fit(maps(39).max(axis=(1, 2, 3))), rate)
            significant += int((scale(maps(1)) > 0).any())
        assert significant <= binom.ppf(1 - 1e-4, repeats, rate)
        assert significant >= binom.ppf(1e-4, repeats, rate - 1 / 40)  # the bound is tight

    def test_maps_of_good_images_keep_to_the_rate_of_a_bundle(
        self, digits_bundle: Bundle, pixels: np.ndarray
    ) -> None:
        for method in ("auto", "fanogan"):
            detector = Detector.from_bundle(digits_bundle, method)
            calibration = detector.map_calibration
            assert calibration is not None
            for rate in (0.05, 0.2):
                units = MapScale(calibration, rate)(detector.maps(pixels))
                _, most = calibration.false_alarm_range(rate, len(pixels), level=0.999)
                assert (units > 0).any(axis=(1, 2, 3)).sum() <= most


def test_colors_get_lighter_with_the_unit() -> None:
    scale = MapScale(Calibration.fit(np.arange(1.0, 100.0)), 0.05)
    found = colors(np.linspace(scale.min_unit, 3, 50), scale)
    lightness = found @ [0.299, 0.587, 0.114]
    assert (np.diff(lightness) > 0).all()
    np.testing.assert_allclose(found[[0, -1]], [COLORS[0], COLORS[-1]])
    np.testing.assert_allclose(colors(np.array([99.0]), scale)[0], COLORS[-1])


def test_overlay_colors_significant_pixels_only() -> None:
    scale = MapScale(Calibration.fit(np.arange(1.0, 100.0)), 0.05)
    picture = np.full((300, 400, 3), (200, 100, 50), np.uint8)
    raw = np.zeros((300, 400), np.float32)
    raw[100:150, 200:260] = 120
    rendered = render_overlay(picture, raw, scale)
    assert rendered.shape == (300, 400, 3)
    is_gray = (rendered == rendered[..., :1]).all(axis=2)
    inside = np.zeros((300, 400), bool)
    inside[101:149, 201:259] = True
    assert not is_gray[inside].any()
    assert is_gray[~inside].all()
    assert rendered[100, 220].tolist() == [255] * 3  # the double outline
    assert rendered[99, 220].tolist() == [0] * 3
    blank = render_overlay(picture, 0 * raw, scale)
    assert len(np.unique(blank)) == 1
    small = render_overlay(picture[:6, :8], raw[:6, :8], scale)
    assert small.shape == (192, 256, 3)


@pytest.mark.parametrize("name", ["a.png", "b/c d/ü.jpg", 'x"<b>.tif', "é" * 126 + ".png"])
def test_image_path_keeps_names_apart_and_within_the_limit(tmp_path: Path, name: str) -> None:
    path = image_path(tmp_path, name)
    assert path.is_relative_to(tmp_path)
    assert path.parent == (tmp_path / name).parent
    assert path.suffix == ".png"
    assert len(path.name.encode()) <= MAX_NAME_BYTES + 4
    if len(name) < 50:
        assert path.name == f"{Path(name).name}.png"
    assert image_path(tmp_path, name + "x") != path


@pytest.mark.parametrize("name", ["../a.png", "/etc/a.png", "a/../../b.png"])
def test_image_path_refuses_names_that_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="leads out"):
        image_path(tmp_path, name)


class TestFiles:
    def test_maps_of_all_images_and_overlays_of_flagged_images(
        self, digits_bundle: Bundle, pixels: np.ndarray, tmp_path: Path
    ) -> None:
        names = ["a.png", "a.jpg", "deep/er/a.png", "Ü <b>.png", *(f"{i}.png" for i in range(26))]
        images = write_images(tmp_path / "images", pixels[:30], names)
        (images / "bad.png").write_bytes(b"no image")
        out = tmp_path / "out"
        result = detect_folder(
            digits_bundle, DetectionRequest(images, far=0.2, save_maps=True), out
        )
        assert files_below(out / "maps") == {f"{name}.png" for name in names}
        with open(out / "scores.csv", newline="", encoding="utf-8") as file:
            flagged = [row["path"] for row in csv.DictReader(file) if row["anomaly"] == "1"]
        assert 0 < len(flagged) == result.num_anomalies < 30
        assert files_below(out / "overlays") == {f"{name}.png" for name in flagged}
        detector = Detector.from_bundle(digits_bundle)
        assert detector.map_calibration is not None
        scale, raw = MapScale(detector.map_calibration, 0.2), detector.maps(pixels[:30])
        for name, one in zip(names, raw):
            stored = read_image(out / "maps" / f"{name}.png")
            assert (stored.dtype, stored.shape) == (np.uint16, (8, 8, 1))
            np.testing.assert_allclose(stored / 1000, scale(one), atol=5e-4)
        with Image.open(out / "maps" / "a.png.png") as file:
            assert "thousandths" in file.text["augan"]

    def test_map_has_the_size_of_its_image(
        self, digits_bundle: Bundle, pixels: np.ndarray, tmp_path: Path
    ) -> None:
        wide = pixels[:3].repeat(5, axis=1).repeat(7, axis=2)
        images = write_images(tmp_path / "images", wide)
        write_images(images, pixels[3:4], ["small.png"])
        detect_folder(digits_bundle, DetectionRequest(images, save_maps=True), tmp_path / "out")
        assert read_image(tmp_path / "out" / "maps" / "000.png.png").shape == (40, 56, 1)
        assert read_image(tmp_path / "out" / "maps" / "small.png.png").shape == (8, 8, 1)
        preprocessing = Detector.from_bundle(digits_bundle).preprocessing
        raw = np.abs(np.random.default_rng(0).normal(size=(8, 8, 1))).astype(np.float32)
        assert preprocessing.resize_map(raw, (40, 56)).max() <= raw.max()

    def test_uncalibrated_maps_are_refused(
        self, digits_bundle: Bundle, pixels: np.ndarray, tmp_path: Path
    ) -> None:
        uncalibrated = with_method(digits_bundle, map_calibration=None)
        images = write_images(tmp_path / "images", pixels[:30])
        with pytest.raises(BundleError, match="never calibrated; run augan calibrate"):
            detect_folder(uncalibrated, DetectionRequest(images, save_maps=True), tmp_path / "out")
        detect_folder(uncalibrated, DetectionRequest(images, far=0.2), tmp_path / "out")
        assert files_below(tmp_path / "out") == {"detection.json", "scores.csv"}


class TestIgnoreMask:
    @pytest.fixture
    def mask(self, tmp_path: Path) -> Path:
        """The upper left quarter."""
        white = np.zeros((8, 8, 1), np.uint8)
        white[:4, :4] = 255
        write_png(tmp_path / "mask.png", white)
        return tmp_path / "mask.png"

    @staticmethod
    def with_stamp(images: np.ndarray, seed: int) -> np.ndarray:
        result = images.copy()
        result[:, :4, :4] = np.random.default_rng(seed).integers(0, 255, result[:, :4, :4].shape)
        return result

    def test_filling_by_hand(self) -> None:
        mask = np.zeros((3, 4), bool)
        mask[0, :2] = True
        image = np.arange(24, dtype=np.uint8).reshape(3, 4, 2)
        filled = IgnoreMask(mask).fill(image)
        np.testing.assert_array_equal(filled[~mask], image[~mask])
        assert filled[0, 1].tolist() in ([4, 5], [10, 11])  # its right or its lower neighbor
        assert filled[0, 0].tolist() == [8, 9]
        assert image[0, 0].tolist() == [0, 1]
        with pytest.raises(DataError, match=r"4 x 3 pixels, the image has 3 x 3"):
            IgnoreMask(mask).fill(image[:, :3])
        for wrong in (np.zeros((3, 4), bool), np.ones((3, 4), bool)):
            with pytest.raises(DataError, match="some but not all"):
                IgnoreMask(wrong)

    def test_masked_pixels_do_not_affect_scores(
        self, digits_bundle: Bundle, pixels: np.ndarray, mask: Path, tmp_path: Path
    ) -> None:
        normals = write_images(tmp_path / "normals", self.with_stamp(pixels[:150], 0))
        recalibrated = recalibrate(digits_bundle, normals, ignore_mask=mask)
        assert recalibrated.detector.ignore_mask.sum() == 16
        tables = []
        for seed in (1, 2):  # with different pixels under the mask
            images = write_images(tmp_path / f"{seed}", self.with_stamp(pixels[150:], seed))
            result = detect_folder(
                recalibrated, DetectionRequest(images, far=0.1, save_maps=True), tmp_path / "out"
            )
            tables.append((tmp_path / "out" / "scores.csv").read_bytes())
            for path in (tmp_path / "out" / "maps").iterdir():
                assert not read_image(path)[:4, :4].any()
        assert tables[0] == tables[1]
        calibration = Detector.from_bundle(recalibrated).require_calibration()
        assert result.num_anomalies <= calibration.false_alarm_range(0.1, 150, level=0.999)[1]
        assert (result.guarantee.exact, result.masked_fraction) == (True, 0.25)
        # The mask of the calibration does not void the guarantee.
        again = detect_folder(
            recalibrated, DetectionRequest(images, far=0.1, ignore_mask=mask), tmp_path / "out"
        )
        assert again.guarantee == result.guarantee
        assert recalibrate(recalibrated, normals).detector.ignore_mask.sum() == 16
        assert digits_bundle.detector.ignore_mask is None

    def test_masked_maps_keep_to_the_rate(
        self, digits_bundle: Bundle, pixels: np.ndarray, mask: Path, tmp_path: Path
    ) -> None:
        recalibrated = recalibrate(
            digits_bundle, write_images(tmp_path / "n", pixels[:150]), ignore_mask=mask
        )
        images = write_images(tmp_path / "images", pixels[150:])
        detect_folder(
            recalibrated, DetectionRequest(images, far=0.1, save_maps=True), tmp_path / "out"
        )
        significant = sum(read_image(path).any() for path in (tmp_path / "out" / "maps").iterdir())
        calibration = Detector.from_bundle(recalibrated).map_calibration
        assert calibration is not None
        assert significant <= calibration.false_alarm_range(0.1, 150, level=0.999)[1]

    def test_another_mask_than_in_calibration_voids_the_guarantee(
        self, digits_bundle: Bundle, pixels: np.ndarray, mask: Path, tmp_path: Path
    ) -> None:
        images = write_images(tmp_path / "images", pixels[:30])
        result = detect_folder(
            digits_bundle, DetectionRequest(images, ignore_mask=mask), tmp_path / "out"
        )
        assert "no guarantee: calibrated without this mask" in result.warnings[0]
        assert "augan calibrate RUN NORMALS --ignore-mask" in result.guarantee.sentence
        assert not result.guarantee.exact

    def test_mask_of_another_size_is_refused(
        self, digits_bundle: Bundle, pixels: np.ndarray, mask: Path, tmp_path: Path
    ) -> None:
        images = write_images(tmp_path / "images", pixels[:5].repeat(2, axis=1))
        with pytest.raises(DataError, match="8 x 8 pixels, the image has 8 x 16"):
            detect_folder(
                digits_bundle, DetectionRequest(images, ignore_mask=mask), tmp_path / "out"
            )
        with pytest.raises(DataError, match="8 x 8 pixels, the image has 8 x 16"):
            recalibrate(digits_bundle, images, ignore_mask=mask)
        with pytest.raises(DataError, match=r"cannot read .*gone\.png"):
            detect_folder(
                digits_bundle,
                DetectionRequest(images, ignore_mask=tmp_path / "gone.png"),
                tmp_path / "out",
            )

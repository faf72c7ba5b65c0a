"""Maps in calibrated units, overlays, and pixels that never count."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binom

from augan import detect_folder, recalibrate
from augan.bundle import Bundle
from augan.data.datasets import digits
from augan.detect.conformal.calibration import Calibration
from augan.detect.detector import Detector
from augan.detect.ignore_mask import IgnoreMask
from augan.detect.visualization.anomaly_map import MapScale, resize_map
from augan.detect.visualization.overlay import (
    COLORS,
    MAX_NAME_BYTES,
    colors,
    image_path,
    render_overlay,
)
from augan.exceptions import BundleError, DataError
from augan.io.images import read_image, write_png


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.asarray(digits("test").images)[:300]


def write_images(folder: Path, images: np.ndarray, names: list[str] | None = None) -> Path:
    for row, image in enumerate(images):
        path = folder / (names[row] if names else f"{row:03d}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, image)
    return folder


def pictures(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


class TestHeat:
    def test_by_hand(self) -> None:
        heat = MapScale(Calibration.fit(np.arange(1.0, 100.0)), 0.05)  # 1 to 99: the line is at 95
        units = heat(np.array([[0, 95, 95.5], [99, 100, 198]]))
        # Four at least as high and oneself: 5 of 100. 99 itself: 2 of 100. Beyond: 1 of 100.
        expected = [[0, 0, -np.log10(0.05)], [-np.log10(0.02), 2 + 1 / 99, 3]]
        np.testing.assert_allclose(units, expected, rtol=1e-6)
        assert heat.min_unit == pytest.approx(-np.log10(0.05))
        assert heat.max_calibration_unit == pytest.approx(2)
        stored = heat.to_uint16(np.array([0, 1.3014, 2.0, 1e9]))
        assert (stored.dtype, stored.tolist()) == (np.uint16, [0, 1301, 2000, 65535])

    def test_a_rate_that_so_few_do_not_support_is_raised(self) -> None:
        heat = MapScale(Calibration.fit([1.0, 2.0]), 0.05)
        assert heat.rate == pytest.approx(1 / 3)
        assert heat(np.array([2.0, 2.5])).tolist() == pytest.approx([0, np.log10(3) + 0.25])
        assert MapScale(Calibration.fit([0.0, 0.0]), 0.5)(np.array([0.0, 1.0]))[0] == 0

    @pytest.mark.parametrize("rate", [0.05, 0.2])
    def test_good_images_are_blank_as_often_as_promised(self, rate: float) -> None:
        """Maps whose places depend on each other, of sizes undone after calibration."""
        rng, hot, draws = np.random.default_rng(3), 0, 400

        def maps(count: int) -> np.ndarray:
            return np.abs(rng.normal(size=(count, 6, 6, 1)) + rng.normal(size=(count, 1, 1, 1)))

        for _ in range(draws):
            heat = MapScale(Calibration.fit(maps(39).max(axis=(1, 2, 3))), rate)
            hot += int((heat(maps(1)) > 0).any())
        assert hot <= binom.ppf(1 - 1e-4, draws, rate)
        assert hot >= binom.ppf(1e-4, draws, rate - 1 / 40)  # and no line that is never reached

    def test_good_images_of_a_bundle_are_blank(
        self, digits_bundle: Bundle, pixels: np.ndarray
    ) -> None:
        for method in ("auto", "fanogan"):
            detector = Detector.from_bundle(digits_bundle, method)
            line = detector.map_calibration
            assert line is not None
            for rate in (0.05, 0.2):
                hot = (MapScale(line, rate)(detector.maps(pixels)) > 0).any(axis=(1, 2, 3)).sum()
                assert hot <= line.false_alarm_range(rate, len(pixels), level=0.999)[1]


def test_colours_get_lighter_and_mean_the_same_in_all_images() -> None:
    heat = MapScale(Calibration.fit(np.arange(1.0, 100.0)), 0.05)
    found = colors(np.linspace(heat.min_unit, 3, 50), heat)
    lightness = found @ [0.299, 0.587, 0.114]
    assert (np.diff(lightness) > 0).all()
    np.testing.assert_allclose(found[[0, -1]], [COLORS[0], COLORS[-1]])
    np.testing.assert_allclose(colors(np.array([99.0]), heat)[0], COLORS[-1])


def test_an_overlay_colours_hot_places_only() -> None:
    heat = MapScale(Calibration.fit(np.arange(1.0, 100.0)), 0.05)
    picture = np.full((300, 400, 3), (200, 100, 50), np.uint8)
    raw = np.zeros((300, 400), np.float32)
    raw[100:150, 200:260] = 120
    drawn = render_overlay(picture, raw, heat)
    assert drawn.shape == (300, 400, 3)
    is_gray = (drawn == drawn[..., :1]).all(axis=2)
    inside = np.zeros((300, 400), bool)
    inside[101:149, 201:259] = True
    assert not is_gray[inside].any()
    assert is_gray[~inside].all()
    assert drawn[100, 220].tolist() == [255] * 3  # a double line around it
    assert drawn[99, 220].tolist() == [0] * 3
    blank = render_overlay(picture, 0 * raw, heat)
    assert len(np.unique(blank)) == 1
    small = render_overlay(picture[:6, :8], raw[:6, :8], heat)
    assert small.shape == (192, 256, 3)


@pytest.mark.parametrize("name", ["a.png", "b/c d/ü.jpg", 'x"<b>.tif', "é" * 126 + ".png"])
def test_names_of_pictures(tmp_path: Path, name: str) -> None:
    path = image_path(tmp_path, name)
    assert path.is_relative_to(tmp_path)
    assert path.parent == (tmp_path / name).parent
    assert path.suffix == ".png"
    assert len(path.name.encode()) <= MAX_NAME_BYTES + 4
    if len(name) < 50:
        assert path.name == f"{Path(name).name}.png"
    assert image_path(tmp_path, name + "x") != path


@pytest.mark.parametrize("name", ["../a.png", "/etc/a.png", "a/../../b.png"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="leads out"):
        image_path(tmp_path, name)


class TestFiles:
    def test_maps_of_all_and_overlays_of_the_flagged(
        self, digits_bundle: Bundle, pixels: np.ndarray, tmp_path: Path
    ) -> None:
        names = ["a.png", "a.jpg", "deep/er/a.png", "Ü <b>.png", *(f"{i}.png" for i in range(26))]
        images = write_images(tmp_path / "images", pixels[:30], names)
        (images / "bad.png").write_bytes(b"no image")
        out = tmp_path / "out"
        result = detect_folder(digits_bundle, images, out, far=0.2, save_maps=True)
        assert pictures(out / "maps") == {f"{name}.png" for name in names}
        with open(out / "scores.csv", newline="", encoding="utf-8") as file:
            flagged = [row["path"] for row in csv.DictReader(file) if row["anomaly"] == "1"]
        assert 0 < len(flagged) == result.num_anomalies < 30
        assert pictures(out / "overlays") == {f"{name}.png" for name in flagged}
        detector = Detector.from_bundle(digits_bundle)
        assert detector.map_calibration is not None
        heat, raw = MapScale(detector.map_calibration, 0.2), detector.maps(pixels[:30])
        for name, one in zip(names, raw):
            stored = read_image(out / "maps" / f"{name}.png")
            assert (stored.dtype, stored.shape) == (np.uint16, (8, 8, 1))
            np.testing.assert_allclose(stored / 1000, heat(one), atol=5e-4)
        with Image.open(out / "maps" / "a.png.png") as file:
            assert "thousandths" in file.text["augan"]

    def test_a_map_is_as_large_as_its_own_image(
        self, digits_bundle: Bundle, pixels: np.ndarray, tmp_path: Path
    ) -> None:
        wide = pixels[:3].repeat(5, axis=1).repeat(7, axis=2)
        images = write_images(tmp_path / "images", wide)
        write_images(images, pixels[3:4], ["small.png"])
        detect_folder(digits_bundle, images, tmp_path / "out", save_maps=True)
        assert read_image(tmp_path / "out" / "maps" / "000.png.png").shape == (40, 56, 1)
        assert read_image(tmp_path / "out" / "maps" / "small.png.png").shape == (8, 8, 1)
        geometry = Detector.from_bundle(digits_bundle).preprocessing
        raw = np.abs(np.random.default_rng(0).normal(size=(8, 8, 1))).astype(np.float32)
        assert resize_map(raw, geometry, (40, 56)).max() <= raw.max()

    def test_maps_that_were_never_calibrated(
        self, digits_bundle: Bundle, pixels: np.ndarray, tmp_path: Path
    ) -> None:
        tables = {
            k: v for k, v in digits_bundle.tables.items() if not k.startswith("map_calibration")
        }
        old = replace(digits_bundle, tables=tables)
        images = write_images(tmp_path / "images", pixels[:30])
        with pytest.raises(BundleError, match="never calibrated; run augan calibrate"):
            detect_folder(old, images, tmp_path / "out", save_maps=True)
        detect_folder(old, images, tmp_path / "out", far=0.2)
        assert pictures(tmp_path / "out") == {"detection.json", "scores.csv"}


class TestIgnore:
    @pytest.fixture
    def mask(self, tmp_path: Path) -> Path:
        """The upper left quarter."""
        white = np.zeros((8, 8, 1), np.uint8)
        white[:4, :4] = 255
        write_png(tmp_path / "mask.png", white)
        return tmp_path / "mask.png"

    @staticmethod
    def stamped(images: np.ndarray, seed: int) -> np.ndarray:
        again = images.copy()
        again[:, :4, :4] = np.random.default_rng(seed).integers(0, 255, again[:, :4, :4].shape)
        return again

    def test_filling_by_hand(self) -> None:
        mask = np.zeros((3, 4), bool)
        mask[0, :2] = True
        image = np.arange(24, dtype=np.uint8).reshape(3, 4, 2)
        filled = IgnoreMask(mask).fill(image)
        np.testing.assert_array_equal(filled[~mask], image[~mask])
        assert filled[0, 1].tolist() in ([4, 5], [10, 11])  # its right or its lower neighbour
        assert filled[0, 0].tolist() == [8, 9]
        assert image[0, 0].tolist() == [0, 1]
        with pytest.raises(DataError, match=r"4 x 3 pixels, the image has 3 x 3"):
            IgnoreMask(mask).fill(image[:, :3])
        for wrong in (np.zeros((3, 4), bool), np.ones((3, 4), bool)):
            with pytest.raises(DataError, match="some but not all"):
                IgnoreMask(wrong)

    def test_what_is_masked_never_counts(
        self, digits_bundle: Bundle, pixels: np.ndarray, mask: Path, tmp_path: Path
    ) -> None:
        normals = write_images(tmp_path / "normals", self.stamped(pixels[:150], 0))
        anew = recalibrate(digits_bundle, normals, ignore_mask=mask)
        assert anew.tables["ignore_mask"]["mask"].sum() == 16
        tables = []
        for seed in (1, 2):  # whatever lies under the mask
            images = write_images(tmp_path / f"{seed}", self.stamped(pixels[150:], seed))
            result = detect_folder(anew, images, tmp_path / "out", far=0.1, save_maps=True)
            tables.append((tmp_path / "out" / "scores.csv").read_bytes())
            for path in (tmp_path / "out" / "maps").iterdir():
                assert not read_image(path)[:4, :4].any()
        assert tables[0] == tables[1]
        line = Detector.from_bundle(anew).require_calibration()
        assert result.num_anomalies <= line.false_alarm_range(0.1, 150, level=0.999)[1]
        assert (result.guarantee.exact, result.masked_fraction) == (True, 0.25)
        # A mask that the model knows takes nothing from the promise, and so stays with it.
        again = detect_folder(anew, images, tmp_path / "out", far=0.1, ignore_mask=mask)
        assert again.guarantee == result.guarantee
        assert "ignore_mask" in recalibrate(anew, normals).tables
        assert digits_bundle.tables.keys().isdisjoint({"ignore_mask"})

    def test_maps_are_blank_as_often_as_promised(
        self, digits_bundle: Bundle, pixels: np.ndarray, mask: Path, tmp_path: Path
    ) -> None:
        anew = recalibrate(
            digits_bundle, write_images(tmp_path / "n", pixels[:150]), ignore_mask=mask
        )
        images = write_images(tmp_path / "images", pixels[150:])
        detect_folder(anew, images, tmp_path / "out", far=0.1, save_maps=True)
        hot = sum(read_image(path).any() for path in (tmp_path / "out" / "maps").iterdir())
        line = Detector.from_bundle(anew).map_calibration
        assert line is not None
        assert hot <= line.false_alarm_range(0.1, 150, level=0.999)[1]

    def test_a_mask_that_calibration_did_not_know_promises_nothing(
        self, digits_bundle: Bundle, pixels: np.ndarray, mask: Path, tmp_path: Path
    ) -> None:
        images = write_images(tmp_path / "images", pixels[:30])
        result = detect_folder(digits_bundle, images, tmp_path / "out", ignore_mask=mask)
        assert "no guarantee: calibrated without this mask" in result.warnings[0]
        assert "augan calibrate RUN NORMALS --ignore-mask" in result.guarantee.sentence
        assert not result.guarantee.exact

    def test_masks_that_do_not_fit(
        self, digits_bundle: Bundle, pixels: np.ndarray, mask: Path, tmp_path: Path
    ) -> None:
        images = write_images(tmp_path / "images", pixels[:5].repeat(2, axis=1))
        with pytest.raises(DataError, match="8 x 8 pixels, the image has 8 x 16"):
            detect_folder(digits_bundle, images, tmp_path / "out", ignore_mask=mask)
        with pytest.raises(DataError, match="8 x 8 pixels, the image has 8 x 16"):
            recalibrate(digits_bundle, images, ignore_mask=mask)
        with pytest.raises(DataError, match=r"cannot read .*gone\.png"):
            detect_folder(
                digits_bundle, images, tmp_path / "out", ignore_mask=tmp_path / "gone.png"
            )
        broken = {**digits_bundle.tables, "ignore_mask": {"mask": np.zeros(3)}}
        with pytest.raises(BundleError, match="ignore mask"):
            detect_folder(replace(digits_bundle, tables=broken), images, tmp_path / "out")

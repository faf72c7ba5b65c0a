"""Tests of the pixel metrics against values by hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augan.evaluation.detection.labels import Labels
from augan.evaluation.detection.pixel_metrics import LabeledMaps, aupro, pixel_auroc, read_masks
from augan.exceptions import DataError
from augan.io.images import read_mask, write_png

# A defect of one pixel, one of two, and ten pixels of neither: seven here and three beside.
MAPS = [np.array([[9, 8, 6, 5, 5], [1, 1, 1, 7, 5.0]]), np.array([[2, 0, 0.0]])]
MASKS = [
    np.array([[1, 0, 0, 0, 0], [0, 0, 0, 1, 1]], bool),
    np.zeros((1, 3), bool),
]


def test_aupro_by_hand() -> None:
    # From the highest score down: the small defect is covered (overlap 1/2), a false pixel (rate
    # 0.1), half of the other (3/4), a false pixel (0.2), then at once two false pixels and the
    # last of the defect: (0.4, 1). Up to 0.3: 0.1/2 + 0.1*3/4 + 0.1*(3/4 + 7/8)/2 = 0.20625.
    assert aupro(MAPS, MASKS) == pytest.approx(0.20625 / 0.3)
    # To exactly 0.2, where a point lies, and to 0.4 and beyond, all by the same curve.
    assert aupro(MAPS, MASKS, 0.2) == pytest.approx(0.125 / 0.2)
    assert aupro(MAPS, MASKS, 1.0) == pytest.approx(0.125 + 0.2 * 0.875 + 0.6)


def test_pixel_auroc_by_hand() -> None:
    # 9 beats ten, 7 beats nine, 5 beats six and ties with two.
    assert pixel_auroc(MAPS, MASKS) == pytest.approx((10 + 9 + 7) / 30)


def test_aupro_of_perfect_wrong_and_constant_maps() -> None:
    perfect = [mask.astype(float) for mask in MASKS]
    assert aupro(perfect, MASKS) == pytest.approx(1)
    assert aupro([-one for one in perfect], MASKS) == 0
    assert aupro([np.zeros_like(one) for one in perfect], MASKS) == pytest.approx(0.15)  # chance


def test_aupro_regions_are_eight_connected() -> None:
    mask = np.array([[1, 0, 0, 0], [0, 1, 0, 1]], bool)
    lone_first = np.where(np.arange(8).reshape(2, 4) == 7, 2.0, np.where(mask, -1.0, 0.0))
    # Two regions, of which the lone pixel is all of one: 1/2 before any false pixel, of three 1/3;
    # all five false pixels then come at once, and the overlap stays.
    assert aupro([lone_first], [mask]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("maps", "masks"),
    [
        ([np.zeros((2, 2))], [np.zeros((2, 3), bool)]),
        ([np.zeros((2, 2))], [np.zeros((2, 2), bool)]),
        ([np.zeros((2, 2))], [np.ones((2, 2), bool)]),
        ([np.zeros((2, 2, 1))], [np.ones((2, 2, 1), bool)]),
        ([np.zeros((2, 2))], []),
    ],
)
def test_pixel_metrics_of_invalid_maps_raise(maps: list, masks: list) -> None:
    for figure in (aupro, pixel_auroc):
        with pytest.raises(DataError):
            figure(maps, masks)


def test_labeled_maps_keep_the_maps_of_images_with_a_mask() -> None:
    masks = LabeledMaps({"wide": np.zeros((4, 8), bool), "large": np.ones((16, 16), bool)}, [])
    maps = [np.full(shape, row, np.float32) for row, shape in enumerate([(4, 8), (2, 2), (16, 16)])]
    masks.add(["wide", "other", "large"], maps)
    assert masks._maps.keys() == {"wide", "large"}
    np.testing.assert_array_equal(masks._maps["wide"], maps[0])
    np.testing.assert_array_equal(masks._maps["large"], maps[2])


def test_masks_painted_on_a_transparent_layer_mark_the_paint_only(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("good", "bad", "all"):
        write_png(tmp_path / "images" / f"{name}.png", np.zeros((8, 8), np.uint8))
    layer = np.zeros((8, 8, 4), np.uint8)
    layer[2:4, 2:5] = (255, 0, 0, 255)
    (tmp_path / "masks").mkdir()
    Image.fromarray(layer).save(tmp_path / "masks" / "bad.png")
    write_png(tmp_path / "masks" / "all.png", np.full((8, 8), 255, np.uint8))
    labels = Labels({"good.png": "ok", "bad.png": "x", "all.png": "x"}, "ok", None, [])
    maps = read_masks(tmp_path / "masks", tmp_path / "images", labels)
    assert maps.masks["bad.png"].sum() == 6
    assert maps.masks["bad.png"][2:4, 2:5].all()
    (warning,) = maps.warnings
    assert "masks of 1 of 3 images, for example all.png, mark every pixel" in warning


@pytest.mark.parametrize(
    ("color", "alpha", "marked"),
    [((0, 0, 0), 255, 4), ((255, 255, 255), 255, 4), ((0, 9, 0), 3, 4), ((9, 9, 9), 0, 0)],
)
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_counts_in_masks(
    tmp_path: Path, mode: str, color: tuple[int, int, int], alpha: int, marked: int
) -> None:
    layer = np.zeros((8, 8, 4), np.uint8)
    layer[2:4, 2:4] = (*color, alpha)
    Image.fromarray(layer).convert(mode).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").sum() == marked

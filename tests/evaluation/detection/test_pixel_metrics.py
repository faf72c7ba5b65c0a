"""Figures of maps and of scores against values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augan.evaluation.detection import metrics
from augan.evaluation.detection.baselines import ThumbnailDetector
from augan.evaluation.detection.metrics import auroc, average_precision, best_f1, bootstrap_auroc
from augan.evaluation.detection.pixel_metrics import aupro, pixel_auroc
from augan.exceptions import DataError

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


def test_the_ends_of_aupro() -> None:
    perfect = [mask.astype(float) for mask in MASKS]
    assert aupro(perfect, MASKS) == pytest.approx(1)
    assert aupro([-one for one in perfect], MASKS) == 0
    assert aupro([np.zeros_like(one) for one in perfect], MASKS) == pytest.approx(0.15)  # chance


def test_pixels_that_touch_at_a_corner_are_one_region() -> None:
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
def test_pixel_figures_refuse_what_they_cannot_judge(maps: list, masks: list) -> None:
    for figure in (aupro, pixel_auroc):
        with pytest.raises(DataError):
            figure(maps, masks)


def test_best_f1_and_average_precision_by_hand() -> None:
    normal, anomaly = np.array([1.0, 2, 4]), np.array([3.0, 5])
    # At 3 or more: 3, 4 and 5 are flagged, precision 2/3 and recall 1; at 5 it would be 1 and 1/2.
    assert best_f1(normal, anomaly) == (pytest.approx(0.8), 3.0)
    assert average_precision(normal, anomaly) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert best_f1(normal, anomaly + 9) == (1.0, 12.0)


@given(seed=st.integers(0, 2**31), values=st.integers(1, 9))
def test_a_resample_is_auroc_of_the_images_drawn(seed: int, values: int) -> None:
    """Ties included: a single resample's interval is the AUROC of the images that it draws."""
    rng = np.random.default_rng(seed)
    normal, anomaly = rng.integers(values, size=7) / 1.0, rng.integers(values, size=4) + 0.0
    groups = ["a", "a", "b", "c", "c", "c", "d"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "NUM_RESAMPLES", 1)
        found = bootstrap_auroc(normal, anomaly, np.random.default_rng(seed), groups)
    again = np.random.default_rng(seed)
    of_group = np.array([0, 0, 1, 2, 2, 2, 3])
    times = np.bincount(again.integers(4, size=4), minlength=4)[of_group]
    drawn = anomaly[again.integers(4, size=4)]
    assert found.value == auroc(normal, anomaly)
    assert found.low == found.high == pytest.approx(auroc(np.repeat(normal, times), drawn))


def test_groups_widen_the_interval_and_one_group_cannot_vary() -> None:
    rng = np.random.default_rng(0)
    part = np.repeat(rng.normal(size=10), 10)  # ten views of each of ten parts, all alike
    anomaly, groups = rng.normal(1, 1, 50), np.repeat(np.arange(10), 10).tolist()
    alone = bootstrap_auroc(part, anomaly, np.random.default_rng(1))
    together = bootstrap_auroc(part, anomaly, np.random.default_rng(1), groups)
    assert alone.low < alone.value < alone.high
    assert together.high - together.low > 1.5 * (alone.high - alone.low)
    one = bootstrap_auroc(part, anomaly, np.random.default_rng(1), ["x"] * 100, ["y"] * 50)
    assert one.low == pytest.approx(one.value) == one.high


def test_thumbnails_by_hand() -> None:
    detector = ThumbnailDetector().fit([[0.0, 1.0]])
    scores = detector.score_samples([[5.0, 9.0], [1.0, 0.0], [3.0, 3.0]])
    np.testing.assert_allclose(scores, [0, -2, -1], atol=1e-6)  # 1 - correlation 1, -1, none
    scores = ThumbnailDetector().fit([[0.0, 1.0], [7.0, 7.0]]).score_samples([[3.0, 3.0]])
    np.testing.assert_allclose(scores, [0], atol=1e-6)  # blank images resemble each other


def test_thumbnails_ignore_light_size_and_colour_but_not_shape() -> None:
    rng = np.random.default_rng(0)
    small = rng.random((3, 24, 24, 1)).astype(np.float32)
    detector = ThumbnailDetector().fit(small)
    large = np.repeat(small.repeat(2, axis=1).repeat(2, axis=2), 3, axis=3) * 0.5 + 0.2
    np.testing.assert_allclose(detector.score_samples(large), 0, atol=1e-5)
    assert (detector.score_samples(small[:, ::-1]) < -0.5).all()

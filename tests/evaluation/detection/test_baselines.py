"""Tests of the baselines of anomaly detection."""

import pickle

import numpy as np
import pytest

from augan.evaluation.detection.baselines import (
    BASELINES,
    NearestNeighborsDetector,
    PCADetector,
    ThumbnailDetector,
)
from augan.evaluation.detection.metrics import auroc
from augan.exceptions import DataError


def stripes(n: int, seed: int = 0) -> np.ndarray:
    """Gray 8x8 images of one striped part under varying light, [n, 8, 8, 1]."""
    rng = np.random.default_rng(seed)
    part = np.tile([0.2, 0.8], (8, 4))[..., None]
    light = rng.uniform(0.8, 1.2, (n, 1, 1, 1))
    return (light * part + rng.normal(0, 0.02, (n, 8, 8, 1))).astype(np.float32)


def with_defect(images: np.ndarray) -> np.ndarray:
    images = images.copy()
    images[:, 2:6, 2:6] = 0
    return images


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_detect_an_obvious_defect(name: str) -> None:
    train = stripes(60)
    test = np.concatenate([stripes(20, seed=1), with_defect(stripes(20, seed=1))])
    detector, flat = BASELINES[name](7), BASELINES[name](7)
    scores = detector.fit(train).score_samples(test)
    value = auroc(-scores[:20], -scores[20:])
    # The forest looks at single pixels and takes the brightest normal images for unusual as well.
    assert value > 0.8 if name == "isolation-forest" else value == 1
    # The same seed gives the same detector, on [N, D] as on [N, H, W, C].
    flat = pickle.loads(pickle.dumps(flat.fit(train.reshape(60, -1))))
    np.testing.assert_array_equal(flat.score_samples(test.reshape(40, -1)), scores)


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("shape", [(2, 8, 8, 1), (3, 1), (5, 2)])
def test_baselines_work_on_tiny_data(name: str, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    scores = BASELINES[name](0).fit(images).score_samples(images)
    assert scores.shape == (shape[0],)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_refuse_broken_images(name: str) -> None:
    images = stripes(4)
    images[2, 0, 0, 0] = np.nan
    for broken in (images, stripes(0), np.zeros(4)):
        with pytest.raises(DataError):
            BASELINES[name](0).fit(broken)


def test_nearest_neighbors_by_hand() -> None:
    detector = NearestNeighborsDetector().fit(np.array([[0.0], [1.0], [5.0]]))
    np.testing.assert_allclose(detector.score_samples(np.array([[0.0], [7.0]])), [-0.5, -4.0])


def test_pca_by_hand() -> None:
    """Training points on the line y = x: the score is minus the distance to that line."""
    points = np.arange(5.0)[:, None] * [1.0, 1.0]
    detector = PCADetector().fit(points)
    scores = detector.score_samples(np.array([[9.0, 9.0], [1.0, 0.0]]))
    np.testing.assert_allclose(scores, [0, -np.sqrt(0.5)], atol=1e-12)
    with pytest.raises(DataError, match="but got 1"):
        PCADetector().fit(points[:1])


def test_thumbnails_by_hand() -> None:
    detector = ThumbnailDetector().fit([[0.0, 1.0]])
    scores = detector.score_samples([[5.0, 9.0], [1.0, 0.0], [3.0, 3.0]])
    np.testing.assert_allclose(scores, [0, -2, -1], atol=1e-6)  # 1 - correlation 1, -1, none
    scores = ThumbnailDetector().fit([[0.0, 1.0], [7.0, 7.0]]).score_samples([[3.0, 3.0]])
    np.testing.assert_allclose(scores, [0], atol=1e-6)  # blank images resemble each other


def test_thumbnails_ignore_light_size_and_color() -> None:
    rng = np.random.default_rng(0)
    small = rng.random((3, 24, 24, 1)).astype(np.float32)
    detector = ThumbnailDetector().fit(small)
    large = np.repeat(small.repeat(2, axis=1).repeat(2, axis=2), 3, axis=3) * 0.5 + 0.2
    np.testing.assert_allclose(detector.score_samples(large), 0, atol=1e-5)
    assert (detector.score_samples(small[:, ::-1]) < -0.5).all()

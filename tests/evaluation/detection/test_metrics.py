"""Evaluation: AUROC and intervals against hand values, baselines on an obvious outlier."""

import pickle
from functools import partial

import numpy as np
import pytest

from augan.evaluation.detection.baselines import BASELINES, NearestNeighborsDetector, PCADetector
from augan.evaluation.detection.metrics import auroc, estimate_rate
from augan.exceptions import DataError
from benchmarks.detection.one_class import evaluate_one_class


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


def test_auroc_by_hand_with_ties() -> None:
    # Pairs: 1<2, 1<3, 2=2 (half), 2<3, 3>2 (none), 3=3 (half): 4 of 6.
    assert auroc([1, 2, 3], [2, 3]) == pytest.approx(4 / 6)
    assert auroc([0, 1], [2, 3]) == 1
    assert auroc([2, 3], [0, 1]) == 0
    assert auroc([5, 5, 5], [5]) == 0.5


@pytest.mark.parametrize(
    ("normal", "anomaly"),
    [([], [1.0]), ([1.0], []), ([1.0, np.nan], [1.0]), ([1.0], [np.inf]), ([[1.0]], [1.0])],
)
def test_auroc_refuses_what_it_cannot_judge(normal: list[float], anomaly: list[float]) -> None:
    with pytest.raises(DataError):
        auroc(normal, anomaly)


def test_clopper_pearson_by_hand() -> None:
    none = estimate_rate(np.zeros(20, bool))
    assert (none.rate, none.low, none.count, none.n) == (0, 0, 0, 20)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 20))
    every = estimate_rate(np.ones(20, bool))
    assert (every.low, every.high) == (pytest.approx(0.025 ** (1 / 20)), 1)
    # 5 of 100: (0.0164, 0.1128) in every table of the interval.
    some = estimate_rate(np.arange(100) < 5)
    assert (some.low, some.high) == (pytest.approx(0.01643, abs=1e-5), pytest.approx(0.11284, 1e-4))
    assert some.to_dict() == {
        "rate": 0.05, "low": some.low, "high": some.high, "count": 5, "n": 100
    }  # fmt: skip


def test_clopper_pearson_covers_at_least_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    for rate in (0.02, 0.1, 0.5):
        estimates = [estimate_rate(rng.random(60) < rate) for _ in range(500)]
        covered = np.mean([e.low <= rate <= e.high for e in estimates])
        assert covered > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 500)


@pytest.mark.parametrize("flags", [[], [0, 1], [[True]], ["yes"]])
def test_rate_refuses_what_is_not_a_flag(flags: list[object]) -> None:
    with pytest.raises(DataError, match="True or False"):
        estimate_rate(flags)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_find_an_obvious_defect_again_on_flat_pixels(name: str) -> None:
    train = stripes(60)
    test = np.concatenate([stripes(20, seed=1), with_defect(stripes(20, seed=1))])
    detector, flat = BASELINES[name](7), BASELINES[name](7)
    scores = detector.fit(train).score_samples(test)
    value = auroc(-scores[:20], -scores[20:])
    # The forest looks at single pixels and takes the brightest good images for unusual as well.
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


def test_nearest_neighbours_by_hand() -> None:
    detector = NearestNeighborsDetector().fit(np.array([[0.0], [1.0], [5.0]]))
    np.testing.assert_allclose(detector.score_samples(np.array([[0.0], [7.0]])), [-0.5, -4.0])


def test_pca_by_hand() -> None:
    """Training points on the line y = x: the score is minus the distance to that line."""
    line = np.arange(5.0)[:, None] * [1.0, 1.0]
    detector = PCADetector().fit(line)
    scores = detector.score_samples(np.array([[9.0, 9.0], [1.0, 0.0]]))
    np.testing.assert_allclose(scores, [0, -np.sqrt(0.5)], atol=1e-12)
    with pytest.raises(DataError, match="but got 1"):
        PCADetector().fit(line[:1])


class Brightness:
    """A detector that owes nothing to scikit-learn's base classes."""

    fits = 0

    def fit(self, X: np.ndarray, y: object = None) -> "Brightness":
        self.fits += 1
        self.mean_ = X.mean()
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        return -np.abs(X.mean(axis=(1, 2, 3)) - self.mean_)


def test_evaluate_one_class_gives_one_row_a_detector() -> None:
    test = np.concatenate([stripes(10, seed=1), with_defect(stripes(10, seed=2))])
    is_anomaly = np.arange(20) >= 10
    detectors = {name: partial(make, 0) for name, make in BASELINES.items()}
    rows = evaluate_one_class({**detectors, "own": Brightness}, stripes(40), test, is_anomaly)
    assert [row["method"] for row in rows] == [*BASELINES, "own"]
    for row in rows:
        assert set(row) == {"method", "auroc", "fit_seconds", "ms_per_image"}
        assert row["auroc"] > 0.8
        assert row["fit_seconds"] >= 0
        assert row["ms_per_image"] > 0


@pytest.mark.parametrize("make", [Brightness, partial(BASELINES["pca"], 0)])
def test_a_fitted_detector_is_used_as_it_is(make: object) -> None:
    test = np.concatenate([stripes(5, seed=1), with_defect(stripes(5, seed=2))])
    fitted = make().fit(stripes(40))  # type: ignore[operator]
    before = fitted.score_samples(test)
    # All-black training images would change every score if it were fitted again.
    row = evaluate_one_class(
        {"fitted": lambda: fitted}, np.zeros((9, 8, 8, 1)), test, np.arange(10) >= 5
    )[0]
    assert row["fit_seconds"] is None
    assert row["auroc"] == auroc(-before[:5], -before[5:])
    np.testing.assert_array_equal(fitted.score_samples(test), before)


def test_evaluate_one_class_refuses_labels_that_do_not_fit() -> None:
    images, never = stripes(4), {"never called": Brightness}
    for labels in ([True, False], [0, 1, 0, 1], [False] * 4, [True] * 4):
        with pytest.raises(DataError):
            evaluate_one_class(never, images, images, labels)


def test_evaluate_one_class_names_a_detector_with_scores_of_another_shape() -> None:
    class Wrong(Brightness):
        def score_samples(self, X: np.ndarray) -> np.ndarray:
            return X

    labels = [True, False, True, False]
    with pytest.raises(DataError, match=r"'wrong' returned scores of shape \(4, 8, 8, 1\)"):
        evaluate_one_class({"wrong": Wrong}, stripes(4), stripes(4), labels)

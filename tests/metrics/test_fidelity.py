"""Fidelity metrics against hand values, naive references and limiting cases."""

import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from augan.exceptions import ConfigError, DataError
from augan.metrics import distances
from augan.metrics.fidelity import (
    MIN_RELIABLE_COUNT,
    diversity,
    fidelity,
    frechet_distance,
    kernel_distance,
    real_vs_real,
)
from augan.metrics.precision_recall import density_coverage, precision_recall

# On a line, k = 1: the real radii are 10, 1, 1, 2 and the generated ones 1.25, 1.25, 18.25.
LINE_REAL = np.array([[-10.0], [0], [1], [3]])
LINE_GENERATED = np.array([[0.5], [1.75], [20]])

# A wide cloud and, between two of its points, a tight cluster.
CLOUD = np.arange(10.0)[:, None]
CLUSTER = np.linspace(4.4, 4.6, 6)[:, None]

PAIRS: list[Callable[..., Any]] = [
    frechet_distance,
    kernel_distance,
    precision_recall,
    density_coverage,
]


def two_sets(seed: int, n: int = 17, m: int = 13, f: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Two different correlated Gaussian samples, [n, f] and [m, f]."""
    rng = np.random.default_rng(seed)
    real = rng.normal(size=(n, f)) @ rng.normal(size=(f, f)) + 1
    return real, rng.normal(size=(m, f)) @ rng.normal(size=(f, f))


def figures(real: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    """Every number of `fidelity`, and diversity."""
    result = fidelity(real=real, generated=generated, extractor="raw").to_dict()
    del result["extractor"]
    return result | {"diversity": diversity(generated)}


def naive_kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (float(a @ b) / len(a) + 1) ** 3

    n, m = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j)
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j)
    xy = sum(k(a, b) for a in x for b in y)
    return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)


def naive_inside(points: np.ndarray, centres: np.ndarray, k: int) -> np.ndarray:
    """Whether each point lies in each ball, [points, centres], by double loops."""
    inside = np.zeros((len(points), len(centres)), bool)
    for j, centre in enumerate(centres):
        others = sorted(np.linalg.norm(c - centre) for i, c in enumerate(centres) if i != j)
        for i, point in enumerate(points):
            inside[i, j] = np.linalg.norm(point - centre) <= others[k - 1]
    return inside


# Frechet distance


def test_frechet_distance_by_hand() -> None:
    # Variances 2 and 8, means 0 and 3: 9 + 2 + 8 - 2 * sqrt(16) = 11.
    assert frechet_distance(real=[[-1], [1]], generated=[[1], [5]]) == pytest.approx(11)
    # Variances along different axes have no product: 2 + 2.
    across, along = [[-1, 0], [1, 0]], [[0, -1], [0, 1]]
    assert frechet_distance(real=across, generated=along) == pytest.approx(4)


@pytest.mark.parametrize("seed", range(5))
def test_frechet_distance_against_matrix_root(seed: int) -> None:
    real, generated = two_sets(seed)
    c, d = np.cov(real, rowvar=False), np.cov(generated, rowvar=False)
    shift = real.mean(axis=0) - generated.mean(axis=0)
    expected = shift @ shift + np.trace(c + d - 2 * np.real(sqrtm(c @ d)))
    assert frechet_distance(real, generated) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [5, 40])
def test_frechet_distance_with_singular_covariances(n: int) -> None:
    # Fewer images than features, and dead features. A shift of equal samples counts exactly.
    real = np.random.default_rng(0).normal(size=(n, 30))
    real[:, 20:] = 0.3
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-12)
    assert frechet_distance(real, real + 2) == pytest.approx(30 * 4, rel=1e-12)
    # Doubling adds |mean|^2 and the sum of variances (2 - 1)^2.
    variance, mean = real.var(axis=0, ddof=1).sum(), real.mean(axis=0)
    expected = variance + mean @ mean
    assert frechet_distance(real, 2 * real) == pytest.approx(expected, rel=1e-12)


def test_frechet_distance_takes_float32_at_full_precision() -> None:
    real = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    assert frechet_distance(real, real + np.float32(1024)) == pytest.approx(4 * 1024**2, rel=1e-6)


# Kernel distance


def test_kernel_distance_by_hand() -> None:
    # Real: k(0, 1) = 1. Generated: k(1, 2) = 27. Between: 1, 1, 8, 27, mean 37 / 4.
    assert kernel_distance(real=[[0], [1]], generated=[[1], [2]]) == pytest.approx(28 - 37 / 2)


@pytest.mark.parametrize("seed", range(5))
def test_kernel_distance_against_double_loops(seed: int) -> None:
    real, generated = two_sets(seed)
    expected = naive_kernel_distance(real, generated)
    assert kernel_distance(real, generated) == pytest.approx(expected, rel=1e-10)


def test_kernel_distance_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    values = np.array(
        [kernel_distance(rng.normal(size=(10, 3)), rng.normal(size=(15, 3))) for _ in range(600)]
    )
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean()) < 4 * error
    assert (values < 0).any()
    # The biased form, with each row paired with itself, would lie far outside that margin.
    own = np.mean((1 + (rng.normal(size=(10000, 3)) ** 2).sum(axis=1) / 3) ** 3)
    assert (own - 1) / 15 > 8 * error


# Precision, recall, density, coverage


def test_neighborhoods_by_hand() -> None:
    # Only 20 lies in no real ball; only -10 in no generated one, and only its ball is empty.
    near = precision_recall(LINE_REAL, LINE_GENERATED, k=1)
    assert (near.precision, near.recall) == (2 / 3, 3 / 4)
    # 0.5 lies in the balls of 0 and 1, 1.75 in those of 1 and 3.
    dense = density_coverage(LINE_REAL, LINE_GENERATED, k=1)
    assert (dense.density, dense.coverage) == (pytest.approx(4 / 3), 3 / 4)


def test_cluster_in_cloud() -> None:
    # Credible but repetitive: each generated point lies in the balls of 4 and 5, no other is met.
    near, dense = precision_recall(CLOUD, CLUSTER, k=1), density_coverage(CLOUD, CLUSTER, k=1)
    assert (near.precision, near.recall) == (1, 0)
    assert (dense.density, dense.coverage) == (2, 0.2)


def test_cloud_around_cluster() -> None:
    # Varied but not credible: the reverse.
    near, dense = precision_recall(CLUSTER, CLOUD, k=1), density_coverage(CLUSTER, CLOUD, k=1)
    assert (near.precision, near.recall) == (0, 1)
    assert (dense.density, dense.coverage) == (0, 0)


def test_one_real_outlier_increases_precision_not_density() -> None:
    # Naeem et al., figure 1: generated images far from all real ones but the outlier.
    rng = np.random.default_rng(0)
    real = np.vstack([rng.normal(size=(50, 2)), [[30.0, 0.0]]])
    generated = rng.normal(size=(50, 2)) + np.array([15.0, 10.0])
    assert precision_recall(real, generated, k=5).precision == 1
    assert density_coverage(real, generated, k=5).density == pytest.approx(1 / 5)


def test_edges_of_balls_are_inside() -> None:
    assert precision_recall([[0], [2]], [[4], [9]], k=1).precision == 0.5
    assert density_coverage([[0], [2]], [[4], [9]], k=1).coverage == 0.5


@pytest.mark.parametrize("seed", range(8))
def test_edges_of_balls_are_inside_despite_rounding(seed: int) -> None:
    # Three equal steps of a length that no float holds exactly.
    rng = np.random.default_rng(seed)
    start, step = rng.normal(size=(2, 30))
    near = precision_recall([start, start + step], [start + 2 * step, start - step], k=1)
    assert near.precision == 1


def test_copies_are_inside_balls_of_radius_zero() -> None:
    rng = np.random.default_rng(0)
    real = np.repeat(rng.normal(1e3, 1, (5, 40)), 7, axis=0)
    near, dense = precision_recall(real, real), density_coverage(real, real)
    assert (near.precision, near.recall, dense.coverage) == (1, 1, 1)
    assert dense.density == pytest.approx(7 / 5)


def test_perfect_generator() -> None:
    real, generated = np.random.default_rng(0).normal(size=(2, 800, 3))
    dense = density_coverage(real, generated)
    assert dense.density == pytest.approx(1, abs=0.1)
    assert dense.coverage == pytest.approx(1 - 2**-5, abs=0.02)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 5), f=st.integers(1, 4))
def test_neighborhoods_against_double_loops(seed: int, k: int, f: int) -> None:
    real, generated = two_sets(seed, n=9, m=7, f=f)
    in_real = naive_inside(generated, real, k)
    in_generated = naive_inside(real, generated, k)
    near, dense = precision_recall(real, generated, k), density_coverage(real, generated, k)
    assert near.precision == pytest.approx(in_real.any(axis=1).mean())
    assert near.recall == pytest.approx(in_generated.any(axis=1).mean())
    assert dense.density == pytest.approx(in_real.sum() / (k * len(generated)))
    assert dense.coverage == pytest.approx(in_real.any(axis=0).mean())


# Diversity


def test_diversity_by_hand() -> None:
    assert diversity([[0, 0], [3, 4], [0, 4]]) == pytest.approx((5 + 4 + 3) / 3)
    assert diversity(np.full((6, 3), 0.1)) == pytest.approx(0, abs=1e-12)


def test_diversity_against_double_loops() -> None:
    x, _ = two_sets(0)
    pairs = [np.linalg.norm(a - b) for i, a in enumerate(x) for b in x[:i]]
    assert diversity(x + 1e3) == pytest.approx(np.mean(pairs), rel=1e-9)


# What holds for all


@pytest.mark.parametrize("rows", [1, 4, 16, 17, 1000])
def test_blocks_do_not_matter(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real, generated = two_sets(0)
    expected = figures(real, generated)
    monkeypatch.setattr(distances, "_BLOCK_ROWS", rows)
    assert figures(real, generated) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_swapping_real_and_generated(seed: int) -> None:
    real, generated = two_sets(seed)
    there = fidelity(real=real, generated=generated, extractor="raw")
    back = fidelity(real=generated, generated=real, extractor="raw")
    assert back.frechet_distance == pytest.approx(there.frechet_distance, rel=1e-9, abs=1e-9)
    assert back.kernel_distance == pytest.approx(there.kernel_distance, rel=1e-9, abs=1e-9)
    assert (back.precision, back.recall) == (there.recall, there.precision)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    shift=st.floats(-1e3, 1e3),
    scale=st.floats(0.01, 100),
)
def test_translation_of_both_sides(seed: int, shift: float, scale: float) -> None:
    real, generated = two_sets(seed)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0] * scale
    before = fidelity(real=real, generated=generated, extractor="raw")
    moved = fidelity(real=real @ turn + shift, generated=generated @ turn + shift, extractor="raw")
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(moved, name) == getattr(before, name)
    assert moved.frechet_distance == pytest.approx(scale**2 * before.frechet_distance, rel=1e-6)
    assert diversity(real @ turn + shift) == pytest.approx(scale * diversity(real), rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_order_of_images_does_not_matter(seed: int) -> None:
    real, generated = two_sets(seed)
    order = np.random.default_rng(seed).permutation(len(real))
    expected = figures(real, generated)
    assert figures(real[order], generated[::-1]) == pytest.approx(expected, rel=1e-9, abs=1e-9)


# All figures together


def test_fidelity_returns_every_metric() -> None:
    real, generated = two_sets(0)
    result = fidelity(real=real, generated=generated, extractor="classifier-1a2b")
    near, dense = precision_recall(real, generated), density_coverage(real, generated)
    assert result.to_dict() == {
        "n_real": 17,
        "n_generated": 13,
        "extractor": "classifier-1a2b",
        "frechet_distance": frechet_distance(real, generated),
        "kernel_distance": kernel_distance(real, generated),
        "precision": near.precision,
        "recall": near.recall,
        "density": dense.density,
        "coverage": dense.coverage,
        "is_small_sample": True,
    }
    assert near == precision_recall(real, generated, k=3)
    assert dense == density_coverage(real, generated, k=5)
    assert json.loads(json.dumps(result.to_dict())) == result.to_dict()
    with pytest.raises(FrozenInstanceError):
        result.precision = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("n", "m", "few"),
    [
        (MIN_RELIABLE_COUNT, MIN_RELIABLE_COUNT, False),
        (MIN_RELIABLE_COUNT - 1, MIN_RELIABLE_COUNT, True),
        (MIN_RELIABLE_COUNT, MIN_RELIABLE_COUNT - 1, True),
    ],
)
def test_small_samples_are_marked(n: int, m: int, few: bool) -> None:
    rng = np.random.default_rng(0)
    result = fidelity(
        real=rng.normal(size=(n, 2)), generated=rng.normal(size=(m, 2)), extractor="raw"
    )
    assert result.is_small_sample is few


def test_real_vs_real_compares_two_halves() -> None:
    real = np.random.default_rng(0).normal(size=(201, 3))
    result = real_vs_real(real, "raw", np.random.default_rng(1))
    assert result == real_vs_real(real, "raw", np.random.default_rng(1))
    assert result != real_vs_real(real, "raw", np.random.default_rng(2))
    assert (result.n_real, result.n_generated, result.extractor) == (100, 101, "raw")
    worse = fidelity(real=real[:100], generated=real[100:] + 1, extractor="raw")
    assert result.frechet_distance < worse.frechet_distance / 5
    assert abs(result.kernel_distance) < worse.kernel_distance / 5
    assert result.coverage > worse.coverage


def test_real_vs_real_halves_are_disjoint() -> None:
    # Sorted images: the halves must be mixed. Distinct rows: no generated row is a copy.
    real = np.arange(40.0)[:, None]
    result = real_vs_real(real, "raw", np.random.default_rng(0))
    assert result.frechet_distance < 40
    copies = fidelity(real=real, generated=real, extractor="raw")
    assert copies.frechet_distance == pytest.approx(0, abs=1e-9)
    assert result.frechet_distance > 1e-3


# Errors


@pytest.mark.parametrize("metric", PAIRS)
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.full((20, 3), np.nan), "20 of 20 {side} images have NaN"),
        (np.array([[np.inf, 0, 0]] + [[0.0, 0, 0]] * 9), "1 of 10 {side} images have NaN"),
        (np.zeros(20), r"{side} features have shape \(20,\)"),
        (np.zeros((20, 2, 2)), r"{side} features have shape \(20, 2, 2\)"),
        (np.zeros((20, 0)), r"{side} features have shape \(20, 0\)"),
        (np.full((20, 3), "a"), "{side} features .* type <U1"),
        (np.zeros((20, 3), complex), "{side} features .* type complex128"),
        (np.zeros((0, 3)), "There are 0 {side} images"),
    ],
)
def test_bad_features_are_named(metric: Callable[..., Any], bad: np.ndarray, message: str) -> None:
    good = np.ones((20, 3))
    with pytest.raises(DataError, match=message.format(side="real")):
        metric(real=bad, generated=good)
    with pytest.raises(DataError, match=message.format(side="generated")):
        metric(real=good, generated=bad)


@pytest.mark.parametrize("metric", PAIRS)
def test_different_extractors_are_refused(metric: Callable[..., Any]) -> None:
    with pytest.raises(DataError, match="have 3 features and generated ones 4"):
        metric(real=np.ones((20, 3)), generated=np.ones((20, 4)))


@pytest.mark.parametrize(
    ("metric", "least_real", "least_generated"),
    [
        (frechet_distance, 2, 2),
        (kernel_distance, 2, 2),
        (lambda real, generated: precision_recall(real, generated, k=4), 5, 5),
        (lambda real, generated: density_coverage(real, generated, k=4), 5, 1),
        (lambda real, generated: fidelity(real=real, generated=generated, extractor="e"), 6, 4),
    ],
)
def test_too_few_images_say_how_many_are_needed(
    metric: Callable[..., Any], least_real: int, least_generated: int
) -> None:
    rows = np.random.default_rng(0).normal(size=(20, 3))
    metric(rows[:least_real], rows[:least_generated])
    with pytest.raises(DataError, match=f"{least_real - 1} real images, at least {least_real} "):
        metric(rows[: least_real - 1], rows)
    message = f"{least_generated - 1} generated images, at least {least_generated} "
    with pytest.raises(DataError, match=message):
        metric(rows, rows[: least_generated - 1])


def test_one_set_functions_say_how_many_are_needed() -> None:
    with pytest.raises(DataError, match="1 input images, at least 2"):
        diversity(np.zeros((1, 3)))
    with pytest.raises(DataError, match="11 real images, at least 12"):
        real_vs_real(np.zeros((11, 3)), "raw", np.random.default_rng(0))
    real_vs_real(np.zeros((12, 3)), "raw", np.random.default_rng(0))


@pytest.mark.parametrize("metric", [precision_recall, density_coverage])
@pytest.mark.parametrize("k", [0, -1, 1.5, True, None])
def test_impossible_k(metric: Callable[..., Any], k: Any) -> None:
    with pytest.raises(ConfigError, match="whole number >= 1"):
        metric(np.ones((9, 2)), np.ones((9, 2)), k=k)


def test_inputs_are_not_changed() -> None:
    real, generated = two_sets(0)
    before = real.copy(), generated.copy()
    fidelity(real=real, generated=generated, extractor="raw")
    diversity(real)
    np.testing.assert_array_equal(real, before[0])
    np.testing.assert_array_equal(generated, before[1])

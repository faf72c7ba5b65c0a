"""False-discovery rate: the procedure by its definition, the bound by simulation."""

import json
from fractions import Fraction

import numpy as np
import pytest

from augan.detect.conformal.calibration import Calibration
from augan.detect.conformal.fdr import (
    discovery_cutoff,
    discovery_guarantee,
    min_discoveries,
    validate_fdr,
)
from augan.exceptions import ConfigError


def uniform(n: int, groups: int | None = None) -> Calibration:
    names = None if groups is None else [i % groups for i in range(n)]
    return Calibration.fit(np.random.default_rng(n).random(n), names)


def by_definition(ranks: list[int], n: int, fdr: str) -> float:
    """The definition, in fractions: the largest k with p_(k) <= k fdr / m."""
    ordered = [Fraction(rank, n + 1) for rank in sorted(ranks)]
    allowed = [p for k, p in enumerate(ordered, 1) if p <= k * Fraction(fdr) / len(ordered)]
    return float(max(allowed, default=0))


def test_cutoff_follows_the_definition() -> None:
    rng, some = np.random.default_rng(0), 0
    for _ in range(300):
        n, m, fdr = int(rng.integers(9, 200)), int(rng.integers(1, 60)), rng.choice(["0.1", "0.3"])
        ranks = rng.integers(1, np.where(rng.random(m) < 0.4, 5, n + 2)).tolist()
        cutoff = discovery_cutoff(np.array(ranks) / (n + 1), float(fdr))
        assert cutoff == by_definition(ranks, n, fdr)
        some += cutoff > 0
    assert 30 < some < 300


@pytest.mark.parametrize("n", [19, 20, 99, 299, 1999])
@pytest.mark.parametrize("m", [1, 2, 7, 30, 100])
@pytest.mark.parametrize("fdr", [0.05, 0.1, 1 / 3])
def test_min_discoveries_are_flagged_and_one_fewer_is_not(n: int, m: int, fdr: float) -> None:
    count = min_discoveries(n, m, fdr)
    assert 1 <= count <= m
    p_values = np.ones(m)
    p_values[: count - 1] = 1 / (n + 1)
    assert discovery_cutoff(p_values, fdr) == 0
    p_values[count - 1] = 1 / (n + 1)
    assert discovery_cutoff(p_values, fdr) == 1 / (n + 1)


def shares(fdr: float, factor: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Share of normal images among the flagged, and of anomalies found, in each of many calls."""
    rng, n, good, bad, wrong, found = np.random.default_rng(1), 199, 40, 10, [], []
    for _ in range(600):
        calibration = Calibration.fit(factor * rng.normal(size=n))
        scores = np.concatenate([rng.normal(size=good), rng.normal(3.5, 1, bad)])
        p_values = calibration.p_values(scores)
        flags = p_values <= discovery_cutoff(p_values, fdr)
        wrong.append(flags[:good].sum() / max(1, flags.sum()))
        found.append(flags[good:].mean())
    return np.array(wrong), np.array(found)


def test_share_of_good_images_among_flagged_images() -> None:
    """The bound is fdr times the share of normal images, and the share reaches the bound."""
    wrong, found = shares(0.25)
    margin = 4 * wrong.std() / np.sqrt(wrong.size)
    assert 0.2 - 2 * margin < wrong.mean() < 0.2 + margin
    assert found.mean() > 0.8


def test_calibrating_on_training_scores_breaks_the_bound() -> None:
    """Must fail: scores of training images are systematically lower."""
    assert shares(0.25, factor=0.6)[0].mean() > 0.35


def test_unsupported_rate_is_refused() -> None:
    assert validate_fdr(uniform(19), 0.05) == 0.05
    message = r"0\.05 needs 19 calibration images, this model has 18: .* choose `fdr=0\.0527` or"
    with pytest.raises(ConfigError, match=message):
        validate_fdr(uniform(18), 0.05)
    assert validate_fdr(uniform(18), 0.0527) == 0.0527


@pytest.mark.parametrize("fdr", [0, 1, -0.1, 5, float("nan"), "0.05", None, True])
def test_impossible_rates_are_refused(fdr: object) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        validate_fdr(uniform(99), fdr)  # type: ignore[arg-type]


def test_sentence_of_the_guarantee() -> None:
    guarantee = discovery_guarantee(uniform(99), 0.05, 100)
    assert (guarantee.min_discoveries, guarantee.exact) == (20, True)
    assert guarantee.sentence == (
        "On average at most 5.0 % of the images flagged are normal images like the 99 calibration "
        "images. Of these 100 images, either 20 or more are flagged, or none: fewer anomalies are "
        "missed however clear they are; with 1999 calibration images a single anomaly can be "
        "flagged."
    )
    assert min_discoveries(1999, 100, 0.05) == 1 < min_discoveries(1998, 100, 0.05)
    assert "or none" not in discovery_guarantee(uniform(1999), 0.05, 100).sentence
    assert json.loads(json.dumps(guarantee.to_dict())) == guarantee.to_dict()


def test_groups_void_the_guarantee() -> None:
    guarantee = discovery_guarantee(uniform(100, groups=25), 0.1, 10, "row")
    assert (guarantee.exact, guarantee.num_groups) == (False, 25)
    assert "approximate: 100 rows of 25 groups" in guarantee.sentence
    assert "On average" not in guarantee.sentence

"""Drift test: a shift of the scores of all new images relative to the calibration images.

Rates and p-values assume that normal images look like the calibration images. If the light, the
camera or the product changes, all scores shift. After a shift upward, normal images are flagged far
too often; after a shift downward (for example darker, softer images), defects stay below the
threshold unnoticed. The anomalies that the user looks for must not trigger the alarm. There are
three tests:

- shape, in both directions: among the images below the score that a tenth of the calibration images
  exceed, the new images score higher, or lower, than the calibration images (Mann-Whitney). Clear
  anomalies lie above this cut and are not tested, however many they are. Without drift, given the
  cut and the numbers below it, both samples have the same distribution, so the test keeps its
  level, with and without ties;
- share: more new images exceed the median of the calibration images than chance explains, even if
  half of the new images are anomalies (exact beta-binomial distribution). This test detects a shift
  upward that leaves nothing below the cut. The cause is drift, or most images are anomalies; the
  sentence states both. A shift downward needs no such test: the scores stay below the cut.

Upward (shape and share, equally) and downward (shape) get half of `LEVEL` each.

References
----------
Mann, Whitney (1947), On a test of whether one of two random variables is stochastically larger
than the other. Vovk (2012), Conditional validity of inductive conformal predictors (the
distribution of the share).
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import betabinom, mannwhitneyu, norm

from augan.data.dataset import plural
from augan.detect.conformal.calibration import Calibration

LEVEL = 0.01  # maximum share of calls without drift that alarm
CUT_RATE = 0.1  # share of the calibration images above the cut of the shape test
MAX_ANOMALY_SHARE = 0.5  # share of the new images that may be anomalies without an alarm


@dataclass(frozen=True)
class Drift:
    """Result of the test whether the scores of new images have shifted as a whole.

    Attributes
    ----------
    p_value : float
        Combined p-value of all tests; a small value means drift.
    alarm : bool
        True if `p_value` is at most 0.01, which is also the rate of alarms without drift if the
        images are independent.
    direction : str
        "higher" or "lower", the direction of the shift; empty without an alarm.
    sentence : str
        The observation and the advice; empty without an alarm.
    """

    p_value: float
    alarm: bool
    direction: str
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as a JSON-able dict."""
        return asdict(self)


def detect_drift(calibration: Calibration, scores: ArrayLike, sample_type: str = "image") -> Drift:
    """Test whether the scores of new images have shifted, apart from anomalies among them.

    Parameters
    ----------
    calibration : Calibration
        If it has groups, the tests count groups instead of images and assume that the new images
        have groups of the same size.
    scores : array-like, shape [m]
        Anomaly scores of all images of one call.
    sample_type : str
        "image" or "row".

    Examples
    --------
    >>> calibration = Calibration.fit(np.arange(100.0))
    >>> detect_drift(calibration, np.arange(0.5, 100.0, 2)).alarm
    False
    >>> detect_drift(calibration, np.arange(50.5, 150.0, 2)).direction
    'higher'
    >>> detect_drift(calibration, np.arange(-49.5, 50.0, 2)).direction
    'lower'
    """
    samples = plural(sample_type)
    values = np.asarray(scores, dtype=np.float64)
    shape, lower = (
        _discount_groups(_shape_p_value(calibration, values, side), calibration)
        for side in ("greater", "less")
    )
    share = _discount_groups(_share_p_value(calibration, values), calibration)
    higher = 2 * min(shape, share)
    p_value = min(1.0, 2 * min(higher, lower))
    if p_value > LEVEL:
        return Drift(p_value, False, "", "")
    if lower < higher:
        consequence = "the threshold is too high for them, and defects may be missed; "
        observation = _observation(calibration, sample_type, "lower")
    else:
        consequence = "if they are normal, more of them are flagged than the rate says; then "
        observation = (
            _observation(calibration, sample_type, "higher") + ", not only a few anomalies"
            if shape <= share
            else f"{np.mean(values > calibration.threshold(0.5)):.0%} of these {samples} score "
            f"above the median of the {calibration.n} calibration {samples}: most are anomalies, "
            "or all have changed"
        )
    sentence = (
        f"drift: {observation} (p = {p_value:.1g}; without drift, at most {LEVEL:.0%} of calls "
        f"alarm). Look at the {samples}: {consequence}calibrate on new normal {samples} with augan "
        "calibrate RUN NORMALS"
    )
    return Drift(p_value, True, "lower" if lower < higher else "higher", sentence)


def _observation(calibration: Calibration, sample_type: str, direction: str) -> str:
    """Return the statement that scores are "higher" or "lower" than those of the calibration."""
    samples = plural(sample_type)
    n = calibration.n
    return f"these {samples} score {direction} as a whole than the {n} calibration {samples}"


def _shape_p_value(calibration: Calibration, scores: np.ndarray, side: str) -> float:
    """Return the Mann-Whitney p-value for a shift of the scores below the cut.

    Parameters
    ----------
    calibration : Calibration
    scores : ndarray of float64 [m]
        Anomaly scores of new images.
    side : {"greater", "less"}
        Direction of the shift of the new scores relative to the calibration scores.

    Returns
    -------
    float
        1.0 if there are no scores below the cut, or all of them are equal.
    """
    cut = calibration.scores[calibration.n - max(1, math.floor(CUT_RATE * (calibration.n + 1)))]
    new, old = scores[scores < cut], calibration.scores[calibration.scores < cut]
    if not (new.size and old.size) or min(new.min(), old.min()) == max(new.max(), old.max()):
        return 1.0
    # The exact distribution would take minutes for some sizes; the normal one alarms less often.
    return float(mannwhitneyu(new, old, alternative=side, method="asymptotic").pvalue)


def _share_p_value(calibration: Calibration, scores: np.ndarray) -> float:
    """Return the p-value for too many new images above the calibration median.

    Half of the new images are taken for anomalies and not counted.
    """
    anomalies = math.floor(MAX_ANOMALY_SHARE * scores.size)
    count = int(calibration.flags(scores, 0.5).sum()) - anomalies
    k = (calibration.n + 1) // 2
    return float(betabinom.sf(count - 1, scores.size - anomalies, k, calibration.n + 1 - k))


def _discount_groups(p_value: float, calibration: Calibration) -> float:
    """Weaken a p-value as if all images of a group were copies of one image.

    Without groups and folds, the p-value is returned as it is. With folds, the images count as
    those of one fold: scores of new images are means over folds, with less spread than the
    calibration scores.
    """
    share = calibration.num_groups / calibration.n / max(1, len(calibration.fold_sizes))
    weight = math.sqrt(share)
    return float(norm.sf(weight * norm.isf(p_value)))

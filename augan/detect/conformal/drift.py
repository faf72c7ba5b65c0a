"""Notice that new images as a whole are not like those the detector was calibrated on.

Rates and p-values suppose that good images look like the calibration images. When the light, the
camera or the product changes, all scores move: up, and good images are flagged far too often; or
down (a darker, softer picture), and defects stay below the line without anybody noticing. What must
not raise this alarm are the anomalies that the user is looking for. So three things are tested:

- shape, twice: of the images below the cut that a tenth of the calibration images exceed, the new
  ones score higher than the calibration ones, or lower (Mann-Whitney). Clear anomalies lie above
  the cut and do not enter, however many they are. Given the cut and the numbers below it, both
  samples are drawn from one law if nothing has drifted, so the test keeps its level, ties or not;
- share: so many new images exceed the median of the calibration images that chance does not
  explain it, even if half of the new ones are anomalies (beta-binomial law, exact). This sees a
  change upward that leaves nothing below the cut. It is drift, or most images are anomalies; the
  sentence says both. Downward needs no such test: what falls stays below the cut.

Upward (shape and share, equally) and downward (shape) have half of `LEVEL` each.

References
----------
Mann, Whitney (1947), On a test of whether one of two random variables is stochastically larger
than the other. Vovk (2012), Conditional validity of inductive conformal predictors (the law of the
share).
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import betabinom, mannwhitneyu, norm

from augan.data.dataset import plural
from augan.detect.conformal.calibration import Calibration

LEVEL = 0.01  # share of the calls without drift that alarm, at most
CUT = 0.1  # share of the calibration images above the cut of the first test
MANY = 0.5  # share of the new images that may be anomalies without an alarm


@dataclass(frozen=True)
class Drift:
    """Whether new images are unlike the calibration images as a whole.

    Attributes
    ----------
    p_value : float
        Of all tests together; small = drift.
    alarm : bool
        `p_value` is at most 0.01: so often it alarms without drift, if images are independent.
    direction : str
        With an alarm "higher" or "lower", where the scores have moved; else empty.
    sentence : str
        What was seen and what to try; empty without an alarm.
    """

    p_value: float
    alarm: bool
    direction: str
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain Python values, ready for JSON."""
        return asdict(self)


def detect_drift(calibration: Calibration, scores: ArrayLike, sample_type: str = "image") -> Drift:
    """Test whether the scores of new images have moved, apart from the anomalies among them.

    Parameters
    ----------
    calibration : Calibration
        Where it knows of groups, the tests count groups and no longer images: they suppose that
        the new images come in groups of the same size.
    scores : array-like, shape [m]
        Anomaly scores of all images that were scored together.
    sample_type : str
        "image" or "row".

    Examples
    --------
    >>> calibration = Calibration.fit(np.arange(100.0))
    >>> find_drift(calibration, np.arange(0.5, 100.0, 2)).alarm
    False
    >>> find_drift(calibration, np.arange(50.5, 150.0, 2)).direction
    'higher'
    >>> find_drift(calibration, np.arange(-49.5, 50.0, 2)).direction
    'lower'
    """
    samples = plural(sample_type)
    values = np.asarray(scores, dtype=np.float64)
    shape, lower = (
        _spread_over_groups(_shape_p_value(calibration, values, side), calibration)
        for side in ("greater", "less")
    )
    share = _spread_over_groups(_share_p_value(calibration, values), calibration)
    higher = 2 * min(shape, share)
    p_value = min(1.0, 2 * min(higher, lower))
    if p_value > LEVEL:
        return Drift(p_value, False, "", "")
    if lower < higher:
        so = "the line is too high for them, and defects may be missed; "
        seen = _seen(calibration, sample_type, "lower")
    else:
        so = "if they are good, more of them are flagged than the rate says; then "
        seen = (
            _seen(calibration, sample_type, "higher") + ", not only in a few anomalies"
            if shape <= share
            else f"{np.mean(values > calibration.threshold(0.5)):.0%} of these {samples} score "
            f"above the middle of the {calibration.n} calibration {samples}: most are "
            "anomalies, or all have changed"
        )
    sentence = (
        f"drift: {seen} (p = {p_value:.1g}; such an alarm comes in at most {LEVEL:.0%} of calls "
        f"without drift). Look at the {samples}: {so}calibrate on new normal ones with augan "
        "calibrate RUN NORMALS"
    )
    return Drift(p_value, True, "lower" if lower < higher else "higher", sentence)


def _seen(calibration: Calibration, sample_type: str, direction: str) -> str:
    samples = plural(sample_type)
    return f"these {samples} score {direction} as a whole than the {calibration.n} calibration "
    f"{samples}"


def _shape_p_value(calibration: Calibration, scores: np.ndarray, side: str) -> float:
    cut = calibration.scores[calibration.n - max(1, math.floor(CUT * (calibration.n + 1)))]
    new, old = scores[scores < cut], calibration.scores[calibration.scores < cut]
    if not (new.size and old.size) or min(new.min(), old.min()) == max(new.max(), old.max()):
        return 1.0
    # The exact law would take minutes for some sizes; the normal one errs on the quiet side.
    return float(mannwhitneyu(new, old, alternative=side, method="asymptotic").pvalue)


def _share_p_value(calibration: Calibration, scores: np.ndarray) -> float:
    anomalies = math.floor(MANY * scores.size)
    count = int(calibration.flags(scores, 0.5).sum()) - anomalies
    k = (calibration.n + 1) // 2
    return float(betabinom.sf(count - 1, scores.size - anomalies, k, calibration.n + 1 - k))


def _spread_over_groups(p_value: float, calibration: Calibration) -> float:
    """Weaken a p-value as if all images of one group were copies: so few are independent.

    Of folds only one is counted. Scores of new images are means over folds, which spread less than
    the calibration scores that they are compared with.
    """
    share = calibration.num_groups / calibration.n / max(1, len(calibration.fold_sizes))
    weight = math.sqrt(share)
    return float(norm.sf(weight * norm.isf(p_value)))

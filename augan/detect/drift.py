"""Notice that new images as a whole are not like those the detector was calibrated on.

Rates and p-values suppose that good images look like the calibration images. When the light, the
camera or the product changes, all scores move, and good images are flagged far too often. What
must not raise this alarm are the anomalies that the user is looking for. So two things are tested,
each towards higher scores only:

- shape: of the images below the cut that a tenth of the calibration images exceed, the new ones
  score higher than the calibration ones (Mann-Whitney). Clear anomalies lie above the cut and do
  not enter, however many they are. Given the cut and the numbers below it, both samples are drawn
  from one law if nothing has drifted, so the test keeps its level, ties or not;
- share: so many new images exceed the median of the calibration images that chance does not
  explain it, even if half of the new ones are anomalies (beta-binomial law, exact). This sees a
  change that leaves nothing below the cut. It is drift, or most images are anomalies; the sentence
  says both.

Each has half of `LEVEL`.

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

from augan.detect.calibration import Calibration

LEVEL = 0.01  # share of the calls without drift that alarm, at most
CUT = 0.1  # share of the calibration images above the cut of the first test
MANY = 0.5  # share of the new images that may be anomalies without an alarm


@dataclass(frozen=True)
class Drift:
    """Whether new images are unlike the calibration images as a whole.

    Attributes
    ----------
    p_value : float
        Of both tests together; small = drift.
    alarm : bool
        `p_value` is at most 0.01: so often it alarms without drift, if images are independent.
    sentence : str
        What was seen and what to try; empty without an alarm.
    """

    p_value: float
    alarm: bool
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain Python values, ready for JSON."""
        return asdict(self)


def find_drift(calibration: Calibration, scores: ArrayLike, noun: str = "images") -> Drift:
    """Test whether the scores of new images have moved, apart from the anomalies among them.

    Parameters
    ----------
    calibration : Calibration
        Where it knows of groups, the tests count groups and no longer images: they suppose that
        the new images come in groups of the same size.
    scores : array-like, shape [m]
        Anomaly scores of all images that were scored together.
    noun : str
        "images" or "rows".

    Examples
    --------
    >>> calibration = Calibration.fit(np.arange(100.0))
    >>> find_drift(calibration, np.arange(0.5, 100.0, 2)).alarm
    False
    >>> find_drift(calibration, np.arange(30.5, 130.0, 2)).alarm
    True
    """
    values = np.asarray(scores, dtype=np.float64)
    shape = _spread_over_groups(_shape_p_value(calibration, values), calibration)
    share = _spread_over_groups(_share_p_value(calibration, values), calibration)
    p_value = min(1.0, 2 * min(shape, share))
    if p_value > LEVEL:
        return Drift(p_value, False, "")
    seen = (
        f"these {noun} score higher as a whole than the {calibration.n} calibration {noun}, not "
        "only in a few anomalies"
        if shape <= share
        else f"{np.mean(values > calibration.threshold(0.5)):.0%} of these {noun} score above the "
        f"middle of the {calibration.n} calibration {noun}: most are anomalies, or all have changed"
    )
    sentence = (
        f"drift: {seen} (p = {p_value:.1g}; such an alarm comes in at most {LEVEL:.0%} of calls "
        f"without drift). Look at the {noun}: if they are good, more of them are flagged than the "
        "rate says; then calibrate on new normal ones with augan calibrate RUN NORMALS"
    )
    return Drift(p_value, True, sentence)


def _shape_p_value(calibration: Calibration, scores: np.ndarray) -> float:
    cut = calibration.scores[calibration.n - max(1, math.floor(CUT * (calibration.n + 1)))]
    new, old = scores[scores < cut], calibration.scores[calibration.scores < cut]
    if not (new.size and old.size) or min(new.min(), old.min()) == max(new.max(), old.max()):
        return 1.0
    # The exact law would take minutes for some sizes; the normal one errs on the quiet side.
    return float(mannwhitneyu(new, old, alternative="greater", method="asymptotic").pvalue)


def _share_p_value(calibration: Calibration, scores: np.ndarray) -> float:
    anomalies = math.floor(MANY * scores.size)
    count = int(calibration.flags(scores, 0.5).sum()) - anomalies
    k = (calibration.n + 1) // 2
    return float(betabinom.sf(count - 1, scores.size - anomalies, k, calibration.n + 1 - k))


def _spread_over_groups(p_value: float, calibration: Calibration) -> float:
    """Weaken a p-value as if all images of one group were copies: so few are independent."""
    weight = math.sqrt(calibration.num_groups / calibration.n)
    return float(norm.sf(weight * norm.isf(p_value)))

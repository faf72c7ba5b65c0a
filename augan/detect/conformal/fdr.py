"""Flag images so that few of the flagged ones are good: the false-discovery rate.

A false-alarm rate bounds the share of the good images that is flagged, whatever the number of
anomalies: of 10,000 good images 2 % are 200 false alarms, even where there are 10 defects. Here the
user bounds the share of good images **among those flagged** instead. Benjamini-Hochberg does that
for conformal p-values although they share one calibration set and so depend on each other: they
are positively dependent (PRDS), which is all it needs.

Nothing here is random, and nothing is known of images: p-values in, a cut-off out.

References
----------
Benjamini, Hochberg (1995), Controlling the false discovery rate.
Benjamini, Yekutieli (2001), The control of the false discovery rate in multiple testing under
dependency, theorem 1.2.
Bates, Candès, Lei, Romano, Sesia (2023), Testing for outliers with conformal p-values, theorem 2.
"""

import math
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import false_discovery_control

from augan.data.dataset import plural
from augan.detect.conformal.calibration import Calibration, min_calibration_size
from augan.detect.conformal.guarantee import percent, rounded_up
from augan.exceptions import ConfigError

# 0.01 * 100 / 20 may come out a little above 0.05: what is equal on paper counts as equal.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class DiscoveryGuarantee:
    """What a chosen false-discovery rate promises, in numbers and in one sentence.

    Attributes
    ----------
    fdr : float
        The rate asked for.
    n, num_groups : int
        Calibration images, and the groups (parts, patients, days) that they come from.
    num_scored : int
        Images that were judged together.
    min_discoveries : int
        Fewer images than this are never flagged: it is so many, or none.
    exact : bool
        False when groups hold several images, which are then not exchangeable with new ones, and
        for folds, whose p-values are not known to be dependent in the way that this needs.
    sentence : str
        The promise in words, or why there is none.
    """

    fdr: float
    n: int
    num_groups: int
    num_scored: int
    min_discoveries: int
    exact: bool
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain Python values, ready for JSON."""
        return asdict(self)


def validate_fdr(calibration: Calibration, fdr: float, sample_type: str = "image") -> float:
    """Return the rate as a float, if anything could ever be flagged at it.

    The smallest p-value is 1/(n+1). Where that is larger than the rate, even images that are all
    unlike every calibration image stay unflagged, however many they are.

    Raises
    ------
    ConfigError
        If it is no number between 0 and 1, or the calibration images are too few for it.
    """
    samples = plural(sample_type)
    if isinstance(fdr, bool) or not isinstance(fdr, Real) or not 0 < fdr < 1:
        raise ConfigError(
            f"The false-discovery rate is {fdr!r}, a number between 0 and 1 was expected, both "
            f"excluded: with 0.1, about 1 in 10 flagged {samples} is a good one."
        )
    if not calibration.supports(float(fdr)):
        raise ConfigError(
            f"a false-discovery rate of {fdr!r} needs {min_calibration_size(float(fdr))} "
            f"calibration {samples}, this model has {calibration.n}: with fewer nothing could "
            f"ever be flagged; choose --fdr {rounded_up(calibration.min_rate)} or more, or "
            f"calibrate on more normal {samples} (augan calibrate)"
        )
    return float(fdr)


def discovery_cutoff(p_values: ArrayLike, fdr: float) -> float:
    """Return the largest p-value that is flagged, 0 if none is (Benjamini-Hochberg).

    Parameters
    ----------
    p_values : array-like, shape [m]
        Of all images that are judged together; valid, and positively dependent at most.
    fdr : float
        The expected share of good images among the flagged ones is at most this, and smaller by
        the share of good images among all.

    Examples
    --------
    >>> discovery_cutoff([0.01, 0.02, 0.03, 0.5], 0.05)
    0.03
    >>> discovery_cutoff([0.2, 0.5], 0.05)
    0.0
    """
    values = np.asarray(p_values, dtype=np.float64)
    if not values.size:
        return 0.0
    flagged = values[false_discovery_control(values, method="bh") <= fdr * (1 + _ROUNDING)]
    return float(flagged.max(initial=0.0))


def min_discoveries(n: int, m: int, fdr: float) -> int:
    """Return the fewest images that can be flagged: the smallest k with m / (n+1) <= k fdr.

    All k then have the smallest p-value there is, 1/(n+1). More than m means that none ever is.

    Examples
    --------
    >>> min_discoveries(99, 100, 0.05), min_discoveries(1999, 100, 0.05)
    (20, 1)
    """
    return max(1, math.ceil(m / (fdr * (n + 1)) * (1 - _ROUNDING)))


def discovery_guarantee(
    calibration: Calibration, fdr: float, num_scored: int, sample_type: str = "image"
) -> DiscoveryGuarantee:
    """Say what the rate promises about the images that are flagged among `num_scored`.

    Raises
    ------
    ConfigError
        As for `validate_fdr`.
    """
    samples = plural(sample_type)
    fdr, n = validate_fdr(calibration, fdr, sample_type), calibration.n
    count, folds = min_discoveries(n, num_scored, fdr), calibration.fold_sizes
    exact = calibration.num_groups == n and not folds
    if exact:
        sentence = (
            f"On average at most {percent(fdr)} of the {samples} flagged are good {samples} like "
            f"the {n} calibration {samples}."
        )
    elif folds:
        sentence = (
            f"The false-discovery rate of {percent(fdr)} is approximate: {len(folds)} detectors, "
            f"each calibrated on the {samples} that it has not seen, {n} in all, keep a "
            "false-alarm rate only within a factor of two."
        )
    else:
        sentence = (
            f"The false-discovery rate of {percent(fdr)} is approximate: {n} {samples} of "
            f"{calibration.num_groups} groups. {samples.capitalize()} of one group resemble each "
            "other, so the rate on new groups can be higher."
        )
    if count > 1:
        enough = math.ceil(num_scored / fdr * (1 - _ROUNDING)) - 1
        sentence += (
            f" Of these {num_scored} {samples}, {count} or more are flagged, or none: fewer "
            f"anomalies than that can be missed however clear they are; with {enough} calibration "
            f"{samples} one is enough."
        )
    groups = calibration.num_groups
    return DiscoveryGuarantee(fdr, n, groups, num_scored, count, exact, sentence)

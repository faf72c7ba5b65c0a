"""False-discovery rate: the share of normal images among the flagged images.

A false-alarm rate bounds the share of the normal images that is flagged, for any number of
anomalies: 2 % of 10,000 normal images are 200 false alarms, even if there are only 10 defects. The
false-discovery rate bounds the share of normal images **among the flagged images** instead. The
Benjamini-Hochberg procedure controls it for conformal p-values, although they share one calibration
set and so depend on each other: they are positively dependent (PRDS), which is sufficient.

The functions are deterministic and work on p-values only.

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

# 0.01 * 100 / 20 may exceed 0.05 by a rounding error; exactly equal numbers must count as equal.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class DiscoveryGuarantee:
    """Guarantee of a false-discovery rate for one detection, in numbers and in one sentence.

    Attributes
    ----------
    fdr : float
        The requested false-discovery rate.
    n, num_groups : int
        Number of calibration images, and of the groups (parts, patients, days) they belong to.
    num_scored : int
        Number of images that are scored together.
    min_discoveries : int
        Either at least this many images are flagged, or none.
    exact : bool
        False if groups have several images, which are then not exchangeable with new ones, and with
        folds, whose p-values are not known to be positively dependent.
    sentence : str
        The guarantee in words, or the reason why there is none.
    """

    fdr: float
    n: int
    num_groups: int
    num_scored: int
    min_discoveries: int
    exact: bool
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as a JSON-able dict."""
        return asdict(self)


def validate_fdr(calibration: Calibration, fdr: float, sample_type: str = "image") -> float:
    """Return a false-discovery rate as a float if the calibration supports it.

    The smallest p-value is 1/(n+1). If it exceeds the rate, no image is ever flagged, however many
    images differ from every calibration image.

    Parameters
    ----------
    calibration : Calibration
    fdr : float
        False-discovery rate, between 0 and 1.
    sample_type : str
        "image" or "row", for messages.

    Raises
    ------
    ConfigError
        If the rate is not a number between 0 and 1, or the calibration images are too few for it.
    """
    samples, fdr = plural(sample_type), check_fdr(fdr)
    if not calibration.supports(fdr):
        raise ConfigError(
            f"a false-discovery rate of {fdr!r} needs {min_calibration_size(fdr)} "
            f"calibration {samples}, this model has {calibration.n}: with fewer, nothing can be "
            f"flagged; choose `fdr={rounded_up(calibration.min_rate)}` or more, or calibrate on "
            f"more normal {samples} (augan calibrate)"
        )
    return fdr


def check_fdr(fdr: float) -> float:
    """Return a false-discovery rate as a float; ConfigError unless it is a number in (0, 1)."""
    if isinstance(fdr, bool) or not isinstance(fdr, Real) or not 0 < fdr < 1:
        raise ConfigError(
            f"the false-discovery rate is {fdr!r}, a number between 0 and 1 was expected, both "
            "excluded; with 0.1, about 1 in 10 flagged images is normal"
        )
    return float(fdr)


def discovery_cutoff(p_values: ArrayLike, fdr: float) -> float:
    """Return the Benjamini-Hochberg cutoff: the largest flagged p-value, 0.0 if none is flagged.

    Parameters
    ----------
    p_values : array-like, shape [m]
        P-values of all images of one detection; valid and positively dependent. May be empty.
    fdr : float
        Upper bound of the expected share of normal images among the flagged images. The achieved
        share is at most `fdr` times the share of normal images among all images.

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
    """Return how many images are flagged at least, if any: the smallest k with m / (n+1) <= k fdr.

    The k images all have the smallest possible p-value, 1/(n+1). A result greater than m means that
    nothing can be flagged.

    Parameters
    ----------
    n : int
        Number of calibration images.
    m : int
        Number of images that are scored together.
    fdr : float
        False-discovery rate.

    Examples
    --------
    >>> min_discoveries(99, 100, 0.05), min_discoveries(1999, 100, 0.05)
    (20, 1)
    """
    return max(1, math.ceil(m / (fdr * (n + 1)) * (1 - _ROUNDING)))


def discovery_guarantee(
    calibration: Calibration, fdr: float, num_scored: int, sample_type: str = "image"
) -> DiscoveryGuarantee:
    """Return the guarantee of a false-discovery rate for `num_scored` images scored together.

    Parameters
    ----------
    calibration : Calibration
    fdr : float
        False-discovery rate.
    num_scored : int
        Number of images.
    sample_type : str
        "image" or "row", for the sentence.

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
            f"On average at most {percent(fdr)} of the {samples} flagged are normal {samples} like "
            f"the {n} calibration {samples}."
        )
    elif folds:
        sentence = (
            f"The false-discovery rate of {percent(fdr)} is approximate: {len(folds)} detectors, "
            f"each calibrated on the {samples} that it was not trained on, {n} in all, guarantee a "
            "false-alarm rate only within a factor of two."
        )
    else:
        sentence = (
            f"The false-discovery rate of {percent(fdr)} is approximate: {n} {samples} of "
            f"{calibration.num_groups} groups. {samples.capitalize()} of one group resemble each "
            "other, so the rate on new groups can be higher."
        )
    if count > 1:
        sufficient = math.ceil(num_scored / fdr * (1 - _ROUNDING)) - 1
        sentence += (
            f" Of these {num_scored} {samples}, either {count} or more are flagged, or none: fewer "
            f"anomalies are missed however clear they are; with {sufficient} calibration {samples} "
            "a single anomaly can be flagged."
        )
    groups = calibration.num_groups
    return DiscoveryGuarantee(fdr, n, groups, num_scored, count, exact, sentence)

"""Guarantee of a false-alarm rate, as numbers and as one sentence for the user."""

from dataclasses import asdict, dataclass
from decimal import ROUND_CEILING, Context, Decimal
from typing import Any

from augan.bundle.bundle import Bundle
from augan.data.dataset import plural


@dataclass(frozen=True)
class Guarantee:
    """Guarantee of a calibrated detector's false-alarm rate, in numbers and in one sentence.

    Attributes
    ----------
    far : float
        The requested false-alarm rate.
    n, num_groups : int
        Number of calibration images, and of the groups (parts, patients, days) they belong to.
    expected : float
        Upper bound of the realized rate, on average over calibration sets: k/(n+1) <= far, or about
        twice as much for cross-conformal detectors (`augan.detect.conformal.cross_conformal`).
    rate_upper_95 : float or None
        Upper bound of this model's realized rate, with 95 % confidence over the sampling of the
        calibration set. It assumes independent images and is not a guarantee unless `exact`. None
        for cross-conformal detectors, for which no useful bound is known.
    exact : bool
        False if groups have several images, which are then not exchangeable with new ones, or if
        the guarantee is void.
    sentence : str
        The guarantee in words, or the reason why there is none.
    """

    far: float
    n: int
    num_groups: int
    expected: float
    rate_upper_95: float | None
    exact: bool
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as a JSON-able dict."""
        return asdict(self)


def describe_guarantee(expected: float, rate_upper_95: float, n: int, sample_type: str) -> str:
    """Return the guarantee of a detector without folds as a sentence for the user.

    Parameters
    ----------
    expected : float
        Upper bound of the average false-alarm rate.
    rate_upper_95 : float
        Upper bound of this model's false-alarm rate, with 95 % confidence.
    n : int
        Number of calibration images or rows.
    sample_type : str
        "image" or "row".
    """
    samples = plural(sample_type)
    return (
        f"On average at most {percent(expected)} of normal {samples} like the {n} calibration "
        f"{samples} are flagged; with 95 % confidence at most {percent(rate_upper_95)}."
    )


def describe_fold_guarantee(
    expected: float, far: float, n: int, num_folds: int, sample_type: str
) -> str:
    """Return the guarantee of a cross-conformal detector as a sentence: about twice the rate.

    Parameters
    ----------
    expected : float
        Upper bound of the average false-alarm rate.
    far : float
        Requested false-alarm rate.
    n : int
        Number of calibration images or rows of all folds.
    num_folds : int
    sample_type : str
        "image" or "row".
    """
    samples = plural(sample_type)
    more = expected - 2 * far
    rate = f"twice the chosen rate of {percent(far)}"
    bound = (
        f"{rate}, plus {percent(more)} because folds are small" if more > 0 else f"at most {rate}"
    )
    return (
        f"On average at most {percent(expected)} of normal {samples} like the {n} calibration "
        f"{samples} are flagged ({bound}): each of {num_folds} "
        f"detectors is calibrated on the {samples} that it was not trained on."
    )


def describe_group_caveat(
    rate: float, n: int, num_groups: int, sample_type: str, fold_rate: float | None = None
) -> str:
    """Return the sentence that a rate is approximate because several images share a group.

    Parameters
    ----------
    rate : float
        Approximate false-alarm rate.
    n, num_groups : int
        Number of calibration images or rows, and of their groups.
    sample_type : str
        "image" or "row".
    fold_rate : float or None
        Rate that cross-conformal calibration would guarantee without groups; None: there are no
        folds.
    """
    samples = plural(sample_type)
    folds = (
        ""
        if fold_rate is None
        else f"; folds guarantee only {percent(fold_rate)} even without groups"
    )
    return (
        f"The false-alarm rate of {percent(rate)} is approximate: {n} {samples} of {num_groups} "
        f"groups. {samples.capitalize()} of one group resemble each other, so the rate on new "
        f"groups can be higher{folds}."
    )


def rounded_up(rate: float) -> str:
    """Format a rate with three digits, rounded up, so that the printed rate is supported too."""
    return f"{float(Context(prec=3, rounding=ROUND_CEILING).create_decimal(repr(rate))):g}"


def percent(rate: float) -> str:
    """Format a rate as a percentage such as "5.0 %", rounded up because it follows "at most".

    Rates below 1 % have two significant digits.
    """
    value = Decimal(repr(rate)).scaleb(2)
    if value < 1:
        return f"{float(Context(prec=2, rounding=ROUND_CEILING).create_decimal(value)):g} %"
    return f"{value.quantize(Decimal('0.1'), rounding=ROUND_CEILING)} %"


def guarantee_void_reason(bundle: Bundle) -> str | None:
    """Return why the calibration stored in a bundle guarantees nothing; None: the guarantee holds.

    The reasons are doubts about the calibration samples, such as near-duplicates of training
    samples, removed calibration samples (`trim_fraction`), and cross-conformal training on rows of
    a table.
    """
    detector = bundle.detector
    if detector is None:
        return None
    fits_values = bundle.preprocessing.fits_values
    if fits_values and detector.num_folds is not None and detector.calibrated_on is None:
        return (
            "no guarantee: with `cross_conformal` every row is a calibration row and also affects "
            "the scaling of the columns, so more normal rows than requested may be flagged; run "
            "augan calibrate RUN NORMALS on other normal rows, or train without `cross_conformal`"
        )
    if detector.doubts:
        return f"no guarantee: {'; '.join(detector.doubts)}"
    if not detector.trim_fraction:
        return None
    return (
        f"no guarantee: {detector.trim_fraction:.0%} of the calibration samples, those with the "
        "highest scores, were removed as contaminated, so more normal samples than requested "
        "may be flagged; run augan calibrate RUN NORMALS on clean samples"
    )

"""What a false-alarm rate promises about the images to come, in numbers and in words."""

from dataclasses import asdict, dataclass
from decimal import ROUND_CEILING, Context, Decimal
from typing import Any

from augan.bundle.bundle import Bundle
from augan.data.dataset import plural
from augan.data.modalities.tabular import TabularPreprocessing

CALIBRATION_KEY = "calibrated_on"  # in the bundle's detector: which images the line was drawn from


@dataclass(frozen=True)
class Guarantee:
    """What a chosen false-alarm rate promises, in numbers and in one sentence.

    Attributes
    ----------
    far : float
        The rate asked for.
    n, num_groups : int
        Calibration images, and the groups (parts, patients, days) that they come from.
    expected : float
        The realised rate on average over calibration sets is at most this: k/(n+1) <= far, or of
        folds about twice as much (`augan.detect.conformal.cross_conformal`).
    rate_upper_95 : float or None
        With 95 % confidence over the draw of the calibration set, the realised rate of this very
        model is at most this. It supposes independent images: no promise unless `exact`. None of
        folds: nothing useful is known.
    exact : bool
        False when groups hold several images; these are then not exchangeable with new ones.
    sentence : str
        The promise in words, or why there is none.
    """

    far: float
    n: int
    num_groups: int
    expected: float
    rate_upper_95: float | None
    exact: bool
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain Python values, ready for JSON."""
        return asdict(self)


def describe_guarantee(expected: float, rate_upper_95: float, n: int, sample_type: str) -> str:
    """Say what one detector promises."""
    samples = plural(sample_type)
    return (
        f"On average at most {percent(expected)} of good {samples} like the {n} calibration "
        f"{samples} are flagged; with 95 % confidence at most {percent(rate_upper_95)}."
    )


def describe_fold_guarantee(
    expected: float, far: float, n: int, folds: int, sample_type: str
) -> str:
    """Say what the detectors of several folds promise together: twice the rate, and a little."""
    samples = plural(sample_type)
    more = expected - 2 * far
    excess = f", and {percent(more)} more for small folds" if more > 0 else " at most"
    return (
        f"On average at most {percent(expected)} of good {samples} like the {n} calibration "
        f"{samples} are flagged (twice the rate of {percent(far)}{excess}): each of {folds} "
        f"detectors is calibrated on the {samples} that it has not seen."
    )


def describe_group_caveat(
    rate: float, n: int, num_groups: int, sample_type: str, alone: float | None = None
) -> str:
    """Say why nothing exact is promised; of folds `alone` is what they would without groups."""
    samples = plural(sample_type)
    folds = "" if alone is None else f": folds promise {percent(alone)} even without groups"
    return (
        f"The false-alarm rate of {percent(rate)} is approximate: {n} {samples} of {num_groups} "
        f"groups. {samples.capitalize()} of one group resemble each other, so the rate on new "
        f"groups can be higher{folds}."
    )


def rounded_up(rate: float) -> str:
    """Return three digits, rounded up: a rate printed as supported must be supported."""
    return f"{float(Context(prec=3, rounding=ROUND_CEILING).create_decimal(repr(rate))):g}"


def percent(rate: float) -> str:
    """Return `5.0 %`, rounded up because it follows "at most"; two digits below 1 %."""
    value = Decimal(repr(rate)).scaleb(2)
    if value < 1:
        return f"{float(Context(prec=2, rounding=ROUND_CEILING).create_decimal(value)):g} %"
    return f"{value.quantize(Decimal('0.1'), rounding=ROUND_CEILING)} %"


def guarantee_void_reason(bundle: Bundle) -> str | None:
    """Return why the calibration of a bundle promises nothing, None if it does."""
    detector: Any = bundle.detector or {}
    trim = detector.get("trim_fraction")
    is_of_rows = bundle.preprocessing.get("kind") == TabularPreprocessing.kind
    if is_of_rows and "num_folds" in detector and CALIBRATION_KEY not in detector:
        return (
            "no guarantee: with --cross every row calibrates, and so every row has a part in how "
            "columns are scaled, so more good ones than asked for may be flagged; calibrate on "
            "other normal rows with augan calibrate RUN NORMALS, or train without --cross"
        )
    if not trim:
        return None
    return (
        f"no guarantee: {trim:.0%} of the calibration samples, those of the highest scores, were "
        "set aside as dirty, so more good ones than asked for may be flagged; calibrate on clean "
        "ones with augan calibrate RUN NORMALS"
    )

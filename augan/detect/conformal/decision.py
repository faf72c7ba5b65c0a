"""Decision rule and decision: the flagged p-values at the requested rate, and the guarantee."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from augan.bundle.bundle import Bundle
from augan.data.dataset import plural
from augan.detect.conformal.calibration import Calibration, check_far, min_calibration_size
from augan.detect.conformal.fdr import (
    DiscoveryGuarantee,
    check_fdr,
    discovery_cutoff,
    discovery_guarantee,
    validate_fdr,
)
from augan.detect.conformal.guarantee import Guarantee
from augan.exceptions import ConfigError


@dataclass(frozen=True)
class DecisionRule:
    """Kind and value of the error rate at which samples are flagged as anomalies.

    Attributes
    ----------
    rate : float
        False-alarm rate or false-discovery rate.
    is_fdr : bool
        Whether `rate` is a false-discovery rate.
    warning : str or None
        Set if the default rate of 0.05 is replaced by the smallest supported rate.
    """

    rate: float
    is_fdr: bool
    warning: str | None = None

    def map_rate(self, calibration: Calibration) -> float:
        """Return the share of normal images that may have a significant pixel in the anomaly map.

        The share is the false-alarm rate of the scores; with a false-discovery rate, it is 0.05 or
        the smallest rate that `calibration`, the calibration of the maps, supports.
        """
        return calibration.choose_rate(None)[0] if self.is_fdr else self.rate


@dataclass(frozen=True)
class Decision:
    """Cutoff, threshold and guarantee with which the samples of one detection are flagged.

    Attributes
    ----------
    cutoff : float
        Samples with a p-value up to the cutoff are flagged; 0 if nothing is flagged.
    threshold : float or None
        Samples with a greater score are flagged; None if nothing is flagged.
    guarantee : Guarantee or DiscoveryGuarantee
    warning : str or None
        Set if samples score higher than all calibration samples, but the calibration samples are
        too few to flag them.
    """

    cutoff: float
    threshold: float | None
    guarantee: Guarantee | DiscoveryGuarantee
    warning: str | None = None

    def flags(self, p_values: ArrayLike) -> np.ndarray:
        """Return whether each sample is flagged, bool, in the shape of the p-values."""
        return np.asarray(p_values) <= self.cutoff

    def without_guarantee(self, reason: str) -> "Decision":
        """Return the same decision with a void guarantee, whose sentence is the reason."""
        sentence = reason[0].upper() + reason[1:]
        return replace(self, guarantee=replace(self.guarantee, exact=False, sentence=sentence))


def trained_rate(bundle: Bundle) -> float | None:
    """Return the false-alarm rate that the bundle was trained for, `detect.far`; None: not set."""
    return bundle.config.detect.far


def default_rate(
    bundle: Bundle, calibration: Calibration, sample_type: str, far: float | None = None
) -> tuple[float, str | None]:
    """Return the false-alarm rate of a detection, and a warning if 0.05 is not supported.

    Parameters
    ----------
    bundle : Bundle
    calibration : Calibration
        Calibration of the bundle's detector.
    sample_type : str
        "image" or "row", for messages.
    far : float or None
        The user's rate; None: the rate of the bundle, else 0.05 or the smallest rate that the
        calibration supports.

    Returns
    -------
    rate : float
    warning : str or None
        Set if neither the user nor the bundle sets a rate, and the rate is not 0.05.

    Raises
    ------
    ConfigError
        If the calibration does not support the rate of the user or of the bundle.
    """
    return calibration.choose_rate(trained_rate(bundle) if far is None else far, sample_type)


def achievable_rate(
    bundle: Bundle, calibration: Calibration, sample_type: str
) -> tuple[float, list[str]]:
    """Return a false-alarm rate to display, even if `augan detect` would refuse the bundle's.

    Parameters
    ----------
    bundle : Bundle
    calibration : Calibration
        Calibration of the bundle's detector.
    sample_type : str
        "image" or "row", for messages.

    Returns
    -------
    rate : float
        The rate of the bundle if the calibration supports it, else 0.05 or the smallest supported
        rate.
    warnings : list of str
        Empty if the rate is the one that the bundle was trained for, or 0.05.
    """
    samples = plural(sample_type)
    far = trained_rate(bundle)
    if far is None or calibration.supports(far):
        rate, warning = default_rate(bundle, calibration, sample_type)
        return rate, [warning] if warning else []
    unsupported = (
        f"too few calibration {samples} for the model's rate, detect.far={far:g}: choose "
        f"another `far`, or calibrate on at least {min_calibration_size(far)} {samples}"
    )
    rate, warning = calibration.choose_rate(None, sample_type)
    return rate, [unsupported, *([warning] if warning else [])]


def check_rates(far: float | None, fdr: float | None) -> None:
    """Raise ConfigError if both rates are given, or one is no number between 0 and 1."""
    if far is not None and fdr is not None:
        raise ConfigError(
            f"both a false-alarm rate (far {far!r}) and a false-discovery rate (fdr {fdr!r}) were "
            "given; choose one: far is the share of normal images that is flagged, fdr the share "
            "of normal images among the flagged images"
        )
    if far is not None:
        check_far(far)
    if fdr is not None:
        check_fdr(fdr)


def choose_decision_rule(
    bundle: Bundle, calibration: Calibration, far: float | None, fdr: float | None, sample_type: str
) -> DecisionRule:
    """Return the decision rule of a detection: the user's, else the bundle's, else the default.

    Parameters
    ----------
    bundle : Bundle
    calibration : Calibration
        Calibration of the bundle's detector.
    far : float or None
        The user's false-alarm rate.
    fdr : float or None
        The user's false-discovery rate, in place of `far`.
    sample_type : str
        "image" or "row", for messages.

    Raises
    ------
    ConfigError
        If a rate is invalid, both rates are given, or the calibration samples are too few for the
        rate.
    """
    check_rates(far, fdr)
    if fdr is not None:
        return DecisionRule(validate_fdr(calibration, fdr, sample_type), True)
    rate, warning = default_rate(bundle, calibration, sample_type, far)
    return DecisionRule(rate, False, warning)


def decide(
    calibration: Calibration, p_values: np.ndarray, rule: DecisionRule, sample_type: str
) -> Decision:
    """Return cutoff, threshold and guarantee for the samples of one detection.

    Parameters
    ----------
    calibration : Calibration
        Calibration of the detector.
    p_values : ndarray [m]
        Conformal p-values of all samples of the detection.
    rule : DecisionRule
        The rate at which samples are flagged.
    sample_type : str
        "image" or "row", for messages.
    """
    if not rule.is_fdr:
        far_guarantee = calibration.guarantee(rule.rate, sample_type)
        return Decision(rule.rate, calibration.threshold(rule.rate), far_guarantee)
    guarantee = discovery_guarantee(calibration, rule.rate, p_values.size, sample_type)
    cutoff = discovery_cutoff(p_values, rule.rate)
    threshold = calibration.threshold(cutoff) if 0 < cutoff < 1 else None
    return Decision(
        cutoff, threshold, guarantee, _unflagged(guarantee, cutoff, p_values, sample_type)
    )


def _unflagged(
    guarantee: DiscoveryGuarantee, cutoff: float, p_values: np.ndarray, sample_type: str
) -> str | None:
    """Return a warning if only the size of the calibration set prevents flags; otherwise None."""
    samples = plural(sample_type)
    count = int((p_values * (guarantee.n + 1) < 1.5).sum())
    if not 0 < count < guarantee.min_discoveries or cutoff:
        return None
    return (
        f"nothing is flagged, although {count} {samples} score higher than all {guarantee.n} "
        f"calibration {samples}: with so few calibration {samples} this false-discovery rate can "
        f"only flag {guarantee.min_discoveries} or more of {guarantee.num_scored}; look at the "
        f"highest scores, choose `far`, or calibrate on more normal {samples}"
    )

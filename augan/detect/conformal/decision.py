"""Decision rule and decision: the flagged p-values at the requested rate, and the guarantee."""

from dataclasses import dataclass, replace

import numpy as np

from augan.bundle.bundle import Bundle
from augan.data.dataset import plural
from augan.detect.conformal.calibration import Calibration, min_calibration_size
from augan.detect.conformal.fdr import (
    DiscoveryGuarantee,
    discovery_cutoff,
    discovery_guarantee,
    validate_fdr,
)
from augan.detect.conformal.guarantee import Guarantee
from augan.exceptions import ConfigError


@dataclass(frozen=True)
class DecisionRule:
    """Rate at which samples are flagged.

    Attributes
    ----------
    rate : float
        False-alarm rate or false-discovery rate.
    is_fdr : bool
        True: `rate` is a false-discovery rate.
    warning : str or None
        Set if the rate is not the default rate.
    """

    rate: float
    is_fdr: bool
    warning: str | None = None

    def map_rate(self, calibration: Calibration) -> float:
        """Return the share of normal images that may have a significant pixel.

        It is the false-alarm rate of scores; with a false-discovery rate, the default rate.
        """
        return calibration.choose_rate(None)[0] if self.is_fdr else self.rate


@dataclass(frozen=True)
class Decision:
    """Cutoff, threshold and guarantee of one call.

    Attributes
    ----------
    cutoff : float
        The largest p-value that is flagged; 0 if nothing is flagged.
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

    def without_guarantee(self, reason: str) -> "Decision":
        """Return the same decision with a void guarantee, whose sentence is `reason`."""
        sentence = reason[0].upper() + reason[1:]
        return replace(self, guarantee=replace(self.guarantee, exact=False, sentence=sentence))


def trained_rate(bundle: Bundle) -> float | None:
    """Return the false-alarm rate of the bundle's configuration, `detect.far`, if it is set."""
    far: float | None = bundle.config.get("detect", {}).get("far")
    return far


def default_rate(
    bundle: Bundle, calibration: Calibration, sample_type: str, far: float | None = None
) -> tuple[float, str | None]:
    """Return the false-alarm rate to use, and a warning if it is not the default of 0.05.

    The rate is `far` if the user set it, else the rate of the bundle, else 0.05 or the smallest
    rate that the calibration supports.

    Raises
    ------
    ConfigError
        The calibration does not support the rate of the user or of the bundle.
    """
    return calibration.choose_rate(trained_rate(bundle) if far is None else far, sample_type)


def achievable_rate(
    bundle: Bundle, calibration: Calibration, sample_type: str
) -> tuple[float, list[str]]:
    """Return the rate that `augan detect` uses without options, and warnings about it.

    If the calibration does not support the rate of the bundle (`augan detect` refuses then), the
    default rate is returned, so that a threshold can be shown.
    """
    samples = plural(sample_type)
    far = trained_rate(bundle)
    if far is None or calibration.supports(far):
        rate, warning = default_rate(bundle, calibration, sample_type)
        return rate, [warning] if warning else []
    unsupported = (
        f"too few calibration {samples} for the model's rate, detect.far={far:g}: pass another "
        f"--far to augan detect, or calibrate on at least {min_calibration_size(far)} {samples}"
    )
    rate, warning = calibration.choose_rate(None, sample_type)
    return rate, [unsupported, *([warning] if warning else [])]


def choose_decision_rule(
    bundle: Bundle, calibration: Calibration, far: float | None, fdr: float | None, sample_type: str
) -> DecisionRule:
    """Return the user's rule, else the rule of the bundle, else the default rule."""
    if far is not None and fdr is not None:
        raise ConfigError(
            f"both a false-alarm rate (far {far!r}) and a false-discovery rate (fdr {fdr!r}) were "
            "given; choose one: far is the share of normal images that is flagged, fdr the share "
            "of normal images among the flagged images"
        )
    if fdr is not None:
        return DecisionRule(validate_fdr(calibration, fdr, sample_type), True)
    rate, warning = default_rate(bundle, calibration, sample_type, far)
    return DecisionRule(rate, False, warning)


def decide(
    calibration: Calibration, p_values: np.ndarray, rule: DecisionRule, sample_type: str
) -> Decision:
    """Apply the rule to the p-values of all samples of one call."""
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
    """Return a warning if only the size of the calibration set prevents flags."""
    samples = plural(sample_type)
    count = int((p_values * (guarantee.n + 1) < 1.5).sum())
    if not 0 < count < guarantee.min_discoveries or cutoff:
        return None
    return (
        f"nothing is flagged, although {count} {samples} score higher than all {guarantee.n} "
        f"calibration {samples}: with so few calibration {samples} this false-discovery rate can "
        f"only flag {guarantee.min_discoveries} or more of {guarantee.num_scored}; look at the "
        f"highest scores, choose --far, or calibrate on more normal {samples}"
    )

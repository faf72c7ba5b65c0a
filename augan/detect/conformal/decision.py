"""Which p-values are flagged at the rate that was asked for, and what that promises."""

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
    """How to decide.

    Attributes
    ----------
    rate : float
        False-alarm rate, or false-discovery rate.
    is_fdr : bool
        Which of the two.
    warning : str or None
        Where the rate is not the one usually taken.
    """

    rate: float
    is_fdr: bool
    warning: str | None = None

    def map_rate(self, calibration: Calibration) -> float:
        """Return the share of good images that may have a hot place: of scores, or the usual."""
        return calibration.choose_rate(None)[0] if self.is_fdr else self.rate


@dataclass(frozen=True)
class Decision:
    """What was decided.

    Attributes
    ----------
    cutoff : float
        The largest p-value that is flagged; 0 if none is.
    line : float or None
        What is flagged scores more than this; None where nothing is flagged.
    guarantee : Guarantee or DiscoveryGuarantee
    warning : str or None
        That what stands out was not flagged only because calibration images are too few.
    """

    cutoff: float
    line: float | None
    guarantee: Guarantee | DiscoveryGuarantee
    warning: str | None = None

    def without_guarantee(self, reason: str) -> "Decision":
        """Return the same with a guarantee that promises nothing, because of `reason`."""
        sentence = reason[0].upper() + reason[1:]
        return replace(self, guarantee=replace(self.guarantee, exact=False, sentence=sentence))


def trained_rate(bundle: Bundle) -> float | None:
    """Return the false-alarm rate that a bundle was trained for, `detect.far`, if one was named."""
    far: float | None = bundle.config.get("detect", {}).get("far")
    return far


def default_rate(
    bundle: Bundle, calibration: Calibration, sample_type: str, far: float | None = None
) -> tuple[float, str | None]:
    """Return the false-alarm rate to work at, and a warning where it is not the one usually taken.

    It is `far` if the user asked for one, else that of the bundle, else 0.05 or the smallest that
    the calibration supports.

    Raises
    ------
    ConfigError
        The calibration does not support the rate of the user or of the bundle.
    """
    return calibration.choose_rate(trained_rate(bundle) if far is None else far, sample_type)


def achievable_rate(
    bundle: Bundle, calibration: Calibration, sample_type: str
) -> tuple[float, list[str]]:
    """Return the rate that `augan detect` takes by itself, and warnings about it.

    Where the bundle's own is not supported, which `augan detect` refuses, it is the usual one: a
    line is shown all the same.
    """
    samples = plural(sample_type)
    far = trained_rate(bundle)
    if far is None or calibration.supports(far):
        rate, warning = default_rate(bundle, calibration, sample_type)
        return rate, [warning] if warning else []
    unsupported = (
        f"too few {samples} for the model's own rate, detect.far={far:g}: give "
        f"detect another --far, or calibrate on {min_calibration_size(far)} {samples} or more"
    )
    rate, warning = calibration.choose_rate(None, sample_type)
    return rate, [unsupported, *([warning] if warning else [])]


def choose_decision_rule(
    bundle: Bundle, calibration: Calibration, far: float | None, fdr: float | None, sample_type: str
) -> DecisionRule:
    """Return the rule that the user asked for, else that of the bundle, else the usual one."""
    if far is not None and fdr is not None:
        raise ConfigError(
            f"both a false-alarm rate (far {far!r}) and a false-discovery rate (fdr {fdr!r}) came; "
            "choose one: far is the share of good images that is flagged, fdr the share of good "
            "images among the flagged ones"
        )
    if fdr is not None:
        return DecisionRule(validate_fdr(calibration, fdr, sample_type), True)
    rate, warning = default_rate(bundle, calibration, sample_type, far)
    return DecisionRule(rate, False, warning)


def decide(
    calibration: Calibration, p_values: np.ndarray, rule: DecisionRule, sample_type: str
) -> Decision:
    """Decide over all p-values of one call."""
    if not rule.is_fdr:
        promise = calibration.guarantee(rule.rate, sample_type)
        return Decision(rule.rate, calibration.threshold(rule.rate), promise)
    guarantee = discovery_guarantee(calibration, rule.rate, p_values.size, sample_type)
    cutoff = discovery_cutoff(p_values, rule.rate)
    line = calibration.threshold(cutoff) if 0 < cutoff < 1 else None
    return Decision(cutoff, line, guarantee, _unflagged(guarantee, cutoff, p_values, sample_type))


def _unflagged(
    guarantee: DiscoveryGuarantee, cutoff: float, p_values: np.ndarray, sample_type: str
) -> str | None:
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

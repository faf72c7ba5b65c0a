"""What a detector promises, and what it was calibrated on."""

from pathlib import Path
from typing import Any

from augan.bundle import Bundle
from augan.data.modalities.registry import sample_noun
from augan.detect.conformal.calibration import Calibration
from augan.detect.conformal.decision import supported_rate
from augan.detect.conformal.guarantee import Guarantee
from augan.detect.fitting import broken_promise
from augan.detect.inputs import ORIGIN


def detector_promise(bundle: Bundle) -> str | None:
    """Say what the detector promises at the rate that it would take by itself, if there is one."""
    if not bundle.has("detector"):
        return None
    return broken_promise(bundle) or promised(bundle)[0].sentence


def promised(bundle: Bundle) -> tuple[Guarantee, list[str]]:
    """Return what `augan detect` promises by itself, and warnings about the rate that it takes."""
    calibration = Calibration.from_arrays(bundle.tables["calibration"])
    noun = sample_noun(bundle.preprocessing)
    rate, warnings = supported_rate(bundle, calibration, noun)
    return calibration.guarantee(rate, noun), warnings


def calibration_lines(bundle: Bundle) -> list[str]:
    """Say what a detector was calibrated on, and what that promises."""
    summary, noun = calibration_summary(bundle), sample_noun(bundle.preprocessing)
    n, name = summary["guarantee"]["n"], summary["calibrated_on"]["name"]
    return [
        *(f"warning: {text}" for text in summary["warnings"]),
        f"calibrated on {n} {noun} of {name}",
        f"detector: {summary['guarantee']['sentence']}",
        f"bundle: {bundle.path}",
        _who_takes_it(bundle),
    ]


def _who_takes_it(bundle: Bundle) -> str:
    path = bundle.path
    if path is None or path.parent.parent.resolve() == Path("runs").resolve():
        return "augan detect takes this line from now on, as the newest; --model RUN that of RUN"
    return f"augan detect takes this line with --model {path}"


def calibration_summary(bundle: Bundle) -> dict[str, Any]:
    """Return the same, JSON-able, at the rate that `augan detect` will take by itself."""
    origin = dict((bundle.detector or {})[ORIGIN])
    warnings, (guarantee, more) = origin.pop("warnings"), promised(bundle)
    return {
        "bundle": str(bundle.path),
        "id": bundle.bundle_id,
        "calibrated_on": origin,
        "guarantee": guarantee.to_dict(),
        "warnings": [*warnings, *more],
    }

"""Results as lines for a person."""

from collections.abc import Iterator, Mapping
from typing import Any

from augan.augment.filters.doubts import doubts
from augan.augment.folder import AugmentationResult
from augan.bundle import Bundle
from augan.config import Config
from augan.data.dataset import Dataset
from augan.data.prepared import AnyPreprocessing, sample_noun
from augan.data.splits import FOLDS
from augan.detect.conformal.calibration import Calibration, images_needed
from augan.detect.conformal.decision import own_rate, usual_rate
from augan.detect.conformal.guarantee import Guarantee
from augan.detect.fitting import broken_promise
from augan.detect.folder import DetectionResult
from augan.detect.sources import ORIGIN


def plan_line(config: Config, dataset: Dataset, preprocessing: AnyPreprocessing) -> str:
    """Say what will be trained on what, and for how long."""
    classes = f" of {dataset.num_classes} classes" if dataset.num_classes > 1 else ""
    more = f" and {dataset.num_unlabelled} unlabelled" if dataset.num_unlabelled else ""
    folds = f" in {FOLDS} folds, each with a training of its own" if config.detect.cross else ""
    limits = []
    if config.training.steps is not None:
        limits.append(f"{config.training.steps} steps")
    if config.training.max_minutes is not None:
        limits.append(f"at most {config.training.max_minutes:g} minutes")
    return (
        f"{dataset.name}: {len(dataset)} {dataset.noun}{classes}{more} as "
        f"{preprocessing.describe()}; task {config.task}{folds}; {', '.join(limits)}"
    )


def training_lines(bundle: Bundle, seconds: Mapping[str, float]) -> list[str]:
    """Say what a training left behind and where its time went."""
    lines = [f"warning: {text}" for text in bundle.metrics.get("warnings", ())]
    noun = sample_noun(bundle.preprocessing)
    total = sum(seconds.values())
    shares = ", ".join(f"{part} {t:.1f} s ({t / total:.0%})" for part, t in seconds.items())
    lines.append(f"time: {total:.1f} s = {shares}")
    lines += _updates(bundle)
    figures = bundle.metrics.get("fidelity")
    if figures:
        lines.append(
            f"fidelity: kernel distance {figures['kernel_distance']:.3f} (real against real "
            f"{figures['floor']['kernel_distance']:.3f}, untrained "
            f"{figures['untrained_kernel_distance']:.3f}) on {figures['n_real']} held-out {noun}"
            f"{', few' if figures['few'] else ''}, features {figures['extractor']}"
        )
    unlabelled = bundle.metrics.get("unlabelled")
    if unlabelled:
        lines.append(
            f"unlabelled: the GAN learned from {unlabelled['used']} of {unlabelled['n']} images "
            "whose class the classifier guessed"
        )
    accuracy = bundle.metrics.get("classifier")
    if accuracy:
        lines.append(
            f"classifier: {accuracy['accuracy']:.1%} of {accuracy['n']} held-out real {noun} right"
        )
    if bundle.has("detector"):
        lines += [f"warning: {text}" for text in _promised(bundle)[1]]
        lines.append(f"detector: {detector_promise(bundle)}")
    lines.append(f"bundle: {bundle.path}")
    return lines


def _updates(bundle: Bundle) -> Iterator[str]:
    """Say how long each part trained, and that the time was up where it was."""
    steps = bundle.metrics.get("steps")
    if not steps:
        return
    asked, of = bundle.config["training"]["steps"], ""
    if asked is not None and steps["gan"] < asked and not bundle.metrics.get("alarm"):
        of = f" of {asked:,} (the time was up; a larger --max-minutes or --steps sets it)"
    yield "updates: " + ", ".join(
        f"{part} {count:,}{of if part == 'gan' else ''}" for part, count in steps.items()
    )
    yield from (f"warning: {text}" for text in doubts(bundle) if bundle.has("classes"))


def detector_promise(bundle: Bundle) -> str | None:
    """Say what the detector promises at the rate that it would take by itself, if there is one."""
    if not bundle.has("detector"):
        return None
    return broken_promise(bundle) or _promised(bundle)[0].sentence


def _promised(bundle: Bundle) -> tuple[Guarantee, list[str]]:
    """Return what `augan detect` promises by itself, and warnings about the rate that it takes.

    Where the bundle's own rate is not supported, which `augan detect` refuses, it is the usual one.
    """
    calibration = Calibration.from_arrays(bundle.tables["calibration"])
    noun, far = sample_noun(bundle.preprocessing), own_rate(bundle)
    if far is None or calibration.supports(far):
        rate, warning = usual_rate(bundle, calibration, noun)
        return calibration.guarantee(rate, noun), [warning] if warning else []
    unsupported = (
        f"too few {noun} for the model's own rate, detect.far={far:g}: give "
        f"detect another --far, or calibrate on {images_needed(far)} {noun} or more"
    )
    rate, warning = calibration.choose_rate(None, noun)
    return calibration.guarantee(rate, noun), [unsupported, *([warning] if warning else [])]


def training_summary(bundle: Bundle, seconds: Mapping[str, float]) -> dict[str, Any]:
    """Return the same as `training_lines`, JSON-able."""
    return {
        "run": str(bundle.path.parent) if bundle.path else None,
        "bundle": str(bundle.path),
        "id": bundle.bundle_id,
        "task": bundle.config["task"],
        "data": bundle.data,
        "metrics": bundle.metrics,
        "seconds": dict(seconds),
    }


def augmentation_lines(result: AugmentationResult) -> list[str]:
    """Say what was written, and what became of the candidates of each class."""
    what = f" of class {result.classes[0]}" if len(result.classes) == 1 else ""
    lines = [f"warning: {text}" for text in result.warnings]
    for found in result.yields:
        why = ", ".join(f"{reason} {count}" for reason, count in found.rejected.items() if count)
        if why:
            lines.append(
                f"class {found.name}: {found.kept} kept of {found.generated} candidates; "
                f"left out: {why}"
            )
    return [*lines, f"{result.num_images} {result.noun}{what} in {result.out}"]


def calibration_lines(bundle: Bundle) -> list[str]:
    """Say what a detector was calibrated on, and what that promises."""
    summary, noun = calibration_summary(bundle), sample_noun(bundle.preprocessing)
    n, name = summary["guarantee"]["n"], summary["calibrated_on"]["name"]
    return [
        *(f"warning: {text}" for text in summary["warnings"]),
        f"calibrated on {n} {noun} of {name}",
        f"detector: {summary['guarantee']['sentence']}",
        f"bundle: {bundle.path}",
        "augan detect takes this line from now on, as the newest; --model RUN the line of RUN",
    ]


def calibration_summary(bundle: Bundle) -> dict[str, Any]:
    """Return the same, JSON-able, at the rate that `augan detect` will take by itself."""
    origin = dict((bundle.detector or {})[ORIGIN])
    warnings, (guarantee, more) = origin.pop("warnings"), _promised(bundle)
    return {
        "bundle": str(bundle.path),
        "id": bundle.bundle_id,
        "calibrated_on": origin,
        "guarantee": guarantee.to_dict(),
        "warnings": [*warnings, *more],
    }


def detection_lines(result: DetectionResult) -> list[str]:
    """Say how many images were flagged, which most, and what the rate promises."""
    noun, lines = result.noun, [f"warning: {text}" for text in result.warnings]
    lines += [f"unreadable: {path} ({reason})" for path, reason in result.unreadable[:10]]
    if len(result.unreadable) > 10:
        lines.append(f"unreadable: {len(result.unreadable) - 10} more, see scores.csv")
    lines.append(f"{result.num_anomalies} of {result.num_scored} {noun} flagged as anomalies")
    flagged = [scored for scored in result.most_anomalous if scored.anomaly]
    row = "row " if noun == "rows" else ""
    lines += [f"  {scored.score:8.2f}  {row}{scored.path}" for scored in flagged]
    if more := result.num_anomalies - len(flagged):
        lines.append(f"  and {more:,} more, see scores.csv")
    lines.append(result.guarantee.sentence)
    lines.append(f"scores: {result.out / 'scores.csv'}")
    return lines

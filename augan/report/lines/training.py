"""What is about to be trained, and what a training left behind."""

from collections.abc import Iterator, Mapping
from typing import Any

from augan.augment.filters.acceptance import doubts
from augan.bundle import Bundle
from augan.config import Config
from augan.data.dataset import Dataset
from augan.data.modalities.registry import AnyPreprocessing, sample_noun
from augan.data.splits import FOLDS
from augan.report.lines.calibration import detector_promise, promised


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
        lines += [f"warning: {text}" for text in promised(bundle)[1]]
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
    yield from (f"warning: {text}" for text in doubts(bundle) if bundle.config["task"] != "detect")


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

"""Results as lines of text for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from augan.augment.filters.acceptance import generator_warnings
from augan.bundle import Bundle
from augan.data.dataset import plural
from augan.data.modalities.registry import AnyPreprocessing, sample_type_of
from augan.data.splits import NUM_FOLDS
from augan.detect.conformal.calibration import Calibration
from augan.detect.conformal.decision import achievable_rate
from augan.detect.conformal.guarantee import CALIBRATION_KEY, Guarantee, guarantee_void_reason
from augan.doctor.checks import GIB, SystemReport, install
from augan.evaluation.augmentation.experiment import AugmentationGain, format_points
from augan.io.layout import RUNS_FOLDER

if TYPE_CHECKING:
    from augan.augment.api import AugmentationResult
    from augan.config import Config
    from augan.data.dataset import Dataset
    from augan.detect.api import DetectionResult
    from augan.evaluation.detection.api import DetectionEvaluation


def describe_guarantee(bundle: Bundle) -> str | None:
    """Say what the detector promises at the rate that it would take by itself, if there is one."""
    if not bundle.has("detector"):
        return None
    return guarantee_void_reason(bundle) or default_guarantee(bundle)[0].sentence


def default_guarantee(bundle: Bundle) -> tuple[Guarantee, list[str]]:
    """Return what `augan detect` promises by itself, and warnings about the rate that it takes."""
    calibration = Calibration.from_arrays(bundle.tables["calibration"])
    sample_type = sample_type_of(bundle.preprocessing)
    rate, warnings = achievable_rate(bundle, calibration, sample_type)
    return calibration.guarantee(rate, sample_type), warnings


def format_calibration(bundle: Bundle) -> list[str]:
    """Say what a detector was calibrated on, and what that promises."""
    summary, samples = summarize_calibration(bundle), plural(sample_type_of(bundle.preprocessing))
    n, name = summary["guarantee"]["n"], summary["calibrated_on"]["name"]
    return [
        *(f"warning: {text}" for text in summary["warnings"]),
        f"calibrated on {n} {samples} of {name}",
        f"detector: {summary['guarantee']['sentence']}",
        f"bundle: {bundle.path}",
        _who_takes_it(bundle),
    ]


def _who_takes_it(bundle: Bundle) -> str:
    path = bundle.path
    if path is None or path.parent.parent.resolve() == RUNS_FOLDER.resolve():
        return "augan detect takes this line from now on, as the newest; --model RUN that of RUN"
    return f"augan detect takes this line with --model {path}"


def summarize_calibration(bundle: Bundle) -> dict[str, Any]:
    """Return the same, JSON-able, at the rate that `augan detect` will take by itself."""
    origin = dict((bundle.detector or {})[CALIBRATION_KEY])
    warnings, (guarantee, more) = origin.pop("warnings"), default_guarantee(bundle)
    return {
        "bundle": str(bundle.path),
        "id": bundle.bundle_id,
        "calibrated_on": origin,
        "guarantee": guarantee.to_dict(),
        "warnings": [*warnings, *more],
    }


def format_plan(config: "Config", dataset: "Dataset", preprocessing: AnyPreprocessing) -> str:
    """Say what will be trained on what, and for how long."""
    classes = f" of {dataset.num_classes} classes" if dataset.num_classes > 1 else ""
    more = f" and {dataset.num_unlabeled} unlabeled" if dataset.num_unlabeled else ""
    folds = (
        f" in {NUM_FOLDS} folds, each with a training of its own"
        if config.detect.cross_conformal
        else ""
    )
    limits = []
    if config.training.steps is not None:
        limits.append(f"{config.training.steps} steps")
    if config.training.max_minutes is not None:
        limits.append(f"at most {config.training.max_minutes:g} minutes")
    return (
        f"{dataset.name}: {len(dataset)} {plural(dataset.sample_type)}{classes}{more} as "
        f"{preprocessing.describe()}; task {config.task}{folds}; {', '.join(limits)}"
    )


def format_training(bundle: Bundle, seconds: Mapping[str, float]) -> list[str]:
    """Say what a training left behind and where its time went."""
    lines = [f"warning: {text}" for text in bundle.metrics.get("warnings", ())]
    samples = plural(sample_type_of(bundle.preprocessing))
    total = sum(seconds.values())
    shares = ", ".join(f"{part} {t:.1f} s ({t / total:.0%})" for part, t in seconds.items())
    lines.append(f"time: {total:.1f} s = {shares}")
    lines += _updates(bundle)
    figures = bundle.metrics.get("fidelity")
    if figures:
        lines.append(
            f"fidelity: kernel distance {figures['kernel_distance']:.3f} (real against real "
            f"{figures['floor']['kernel_distance']:.3f}, untrained "
            f"{figures['untrained_kernel_distance']:.3f}) on {figures['n_real']} held-out {samples}"
            f"{', few' if figures['few'] else ''}, features {figures['extractor']}"
        )
    unlabeled = bundle.metrics.get("pseudo_labels")
    if unlabeled:
        lines.append(
            f"unlabeled: the GAN learned from {unlabeled['used']} of {unlabeled['n']} images "
            "whose class the classifier guessed"
        )
    accuracy = bundle.metrics.get("classifier")
    if accuracy:
        lines.append(
            f"classifier: {accuracy['accuracy']:.1%} of {accuracy['n']} held-out real {samples} "
            "right"
        )
    if bundle.has("detector"):
        lines += [f"warning: {text}" for text in default_guarantee(bundle)[1]]
        lines.append(f"detector: {describe_guarantee(bundle)}")
    lines.append(f"bundle: {bundle.path}")
    return lines


def _updates(bundle: Bundle) -> Iterator[str]:
    """Say how long each part trained, and that the time was up where it was."""
    steps = bundle.metrics.get("steps")
    if not steps:
        return
    asked, of = bundle.config["training"]["steps"], ""
    if asked is not None and steps["gan"] < asked and not bundle.metrics.get("failure"):
        of = f" of {asked:,} (the time was up; a larger --max-minutes or --steps sets it)"
    yield "updates: " + ", ".join(
        f"{part} {count:,}{of if part == 'gan' else ''}" for part, count in steps.items()
    )
    yield from (
        f"warning: {text}"
        for text in generator_warnings(bundle)
        if bundle.config["task"] != "detect"
    )


def summarize_training(bundle: Bundle, seconds: Mapping[str, float]) -> dict[str, Any]:
    """Return the same as `format_training`, JSON-able."""
    return {
        "run": str(bundle.path.parent) if bundle.path else None,
        "bundle": str(bundle.path),
        "id": bundle.bundle_id,
        "task": bundle.config["task"],
        "data": bundle.data,
        "metrics": bundle.metrics,
        "seconds": dict(seconds),
    }


def format_augmentation(result: "AugmentationResult") -> list[str]:
    """Say what was written, and what became of the candidates of each class."""
    what = f" of class {result.classes[0]}" if len(result.classes) == 1 else ""
    lines = [f"warning: {text}" for text in result.warnings]
    for found in result.acceptance:
        why = ", ".join(f"{reason} {count}" for reason, count in found.rejected.items() if count)
        if why:
            lines.append(
                f"class {found.class_name}: {found.accepted} of {found.generated} candidates "
                f"accepted; rejected: {why}"
            )
    return [*lines, f"{result.num_samples} {plural(result.sample_type)}{what} in {result.out}"]


def format_detection(result: "DetectionResult") -> list[str]:
    """Say how many images were flagged, which most, and what the rate promises."""
    sample_type, lines = result.sample_type, [f"warning: {text}" for text in result.warnings]
    samples = plural(sample_type)
    lines += [f"unreadable: {path} ({reason})" for path, reason in result.unreadable[:10]]
    if len(result.unreadable) > 10:
        lines.append(f"unreadable: {len(result.unreadable) - 10} more, see scores.csv")
    lines.append(f"{result.num_anomalies} of {result.num_scored} {samples} flagged as anomalies")
    flagged = [scored for scored in result.most_anomalous if scored.anomaly]
    row = "row " if sample_type == "row" else ""
    lines += [f"  {scored.score:8.2f}  {row}{scored.path}" for scored in flagged]
    if more := result.num_anomalies - len(flagged):
        lines.append(f"  and {more:,} more, see scores.csv")
    lines.append(result.guarantee.sentence)
    lines.append(f"scores: {result.out / 'scores.csv'}")
    return lines


NUM_SHOWN_SKIPPED = 10  # of the files that were left out


def format_detection_evaluation(evaluation: "DetectionEvaluation") -> list[str]:
    """Say how well a detector separates, what it flags, and what baselines reach."""
    summary, samples = evaluation.summary, plural(evaluation.summary["sample_type"])
    lines = [f"warning: {text}" for text in summary["warnings"]]
    broken = [f"{item['path']} ({item['reason']})" for item in summary["unreadable"]]
    lines += _left_out("unreadable", broken) + _left_out("without a label", summary["unlabeled"])
    lines.append(
        f"{summary['num_normal']} normal {samples} ({summary['normal']}) and "
        f"{summary['num_anomalies']} anomalies of {_count(evaluation.anomaly_types, 'kind')}"
    )
    best = summary["best_f1"]
    lines.append(
        f"AUROC {_area(summary['auroc'])}, average precision {summary['average_precision']:.3f}, "
        f"best F1 {best['value']:.3f} (oracle: its threshold is chosen on these labels)"
    )
    lines += _decisions(summary)
    lines += [
        f"  {kind['type']}: {kind['count']}, AUROC {_area(kind['auroc'])}, "
        f"detected {_rate(kind['detected'])}"
        for kind in evaluation.anomaly_types
    ]
    lines += _pixels(summary["pixels"])
    lines += _power(summary["detection_limit"])
    lines += _baselines(evaluation)
    if summary["out"] is not None:
        lines.append(f"evaluation: {summary['out']}")
    return lines


def _decisions(summary: Mapping[str, Any]) -> Iterator[str]:
    alarms = summary["false_alarms"]
    verdict = "as" if alarms["as_expected"] else "NOT as"
    alike = "folds share images" if alarms["num_folds"] else "groups resemble each other"
    alike = alike if alarms["guaranteed"] else "nothing is promised of this detector"
    about = "" if alarms["exact"] else f"approximately, because {alike}, "
    yield (
        f"false alarms at rate {summary['far']:.3g}: {_rate(alarms)}; {verdict} calibrated: "
        f"{about}{alarms['expected_low']} to {alarms['expected_high']} are expected"
    )
    yield f"detected at that rate: {_rate(summary['detected'])}"


def _pixels(pixels: Mapping[str, Any] | None) -> Iterator[str]:
    if pixels is None:
        return
    yield from _left_out("no defect marked", pixels["without_mask"])
    yield (
        f"pixels: AUROC {pixels['auroc']:.3f}, AUPRO {pixels['aupro']:.3f} (to a false-positive "
        f"rate of {pixels['max_fpr']:g}) on {pixels['num_images']} images, "
        f"{pixels['num_anomalies']} with a defect"
    )


def _power(power: Mapping[str, Any] | None) -> Iterator[str]:
    if power is None:
        return
    yield f"spots painted on {power['num_images']} normal images, at rate {power['rate']:g}:"
    for contrast, smallest in power["smallest"].items():
        shares = ", ".join(
            f"{row['size']} px {row['rate']:.0%}"
            for row in power["rows"]
            if f"{row['contrast']:g}" == contrast
        )
        found = f"caught in 90 % from {smallest} px" if smallest else "never caught in 90 %"
        yield f"  contrast {contrast}: {found} ({shares})"


def _baselines(evaluation: "DetectionEvaluation") -> Iterator[str]:
    summary = evaluation.summary
    if summary["baselines_skipped"] is not None:
        yield f"no baselines: {summary['baselines_skipped']}"
        return
    samples = plural(summary["sample_type"])
    yield f"baselines on {summary['num_baseline_training']} of the training {samples}:"
    for row in evaluation.baselines:
        kinds = ", ".join(f"{kind} {value:.3f}" for kind, value in row["anomaly_types"].items())
        more = f"; {kinds}" if len(row["anomaly_types"]) > 1 else ""
        yield f"  {row['method']}: AUROC {_area(row['auroc'])}{more}"


def _left_out(why: str, names: Sequence[str]) -> list[str]:
    more = (
        [f"{why}: {len(names) - NUM_SHOWN_SKIPPED} more, {len(names)} in all"]
        if names[NUM_SHOWN_SKIPPED:]
        else []
    )
    return [f"{why}: {name}" for name in names[:NUM_SHOWN_SKIPPED]] + more


def _count(kinds: Sequence[Mapping[str, Any]], word: str) -> str:
    return f"{len(kinds)} {word}{'' if len(kinds) == 1 else 's'}"


def _area(interval: Mapping[str, float]) -> str:
    return f"{interval['value']:.3f} ({interval['low']:.3f} to {interval['high']:.3f})"


def _rate(estimate: Mapping[str, Any]) -> str:
    return (
        f"{estimate['count']} of {estimate['n']} = {estimate['rate']:.1%} "
        f"({estimate['low']:.1%} to {estimate['high']:.1%})"
    )


NUM_SHOWN_DUPLICATES = 5  # near-duplicates


def format_augmentation_evaluation(lift: AugmentationGain) -> list[str]:
    """Say what each arm reached, and whether synthetic images lift."""
    summary = lift.summary
    lines = [f"warning: {text}" for text in summary["warnings"]]
    twins = summary["near_duplicates"][:NUM_SHOWN_DUPLICATES]
    lines += [f"  {one['test']} resembles {one['train']}" for one in twins]
    groups = summary["num_test_groups"]
    of = "" if groups is None else f" of {groups} groups"
    lines.append(
        f"{summary['metric']} on {summary['num_test']} test images{of}, mean of "
        f"{summary['num_repeats']} repeats:"
    )
    lines += [
        f"  {row['arm']:13} {row['balanced_accuracy']:6.1%}  accuracy {row['accuracy']:6.1%}  "
        f"macro-F1 {row['macro_f1']:6.1%}  {row['label']}"
        for row in sorted(lift.arms, key=lambda row: -row["balanced_accuracy"])
    ]
    lines += format_secondary_gains(summary)
    lines += [f"evaluation: {summary['out']}", lift.sentence]
    return lines


def format_secondary_gains(summary: Mapping[str, Any]) -> Iterator[str]:
    """Say the gain over arms that have less data, and the lift without near-duplicates."""
    gain, strict = summary["gain_over_labeled_only"], summary["without_near_duplicates"]
    if gain is not None:
        yield f"over arms without the unlabeled images, which is no lift: {_said(gain)}"
    if strict is not None:
        yield f"without near-duplicates among the test images: {_said(strict)}"


def _said(figure: Mapping[str, Any]) -> str:
    return (
        f"{format_points(figure['value'])} points [{100 * figure['low']:.1f}, "
        f"{100 * figure['high']:.1f}] against {figure['best_baseline']}"
    )


PURPOSES = {
    "parquet": "tables in Parquet files",
    "tensorboard": "curves of a training in TensorBoard",
    "test": "augan's own tests",
    "docs": "building the documentation",
    "bench": "benchmarks against other libraries",
}


def format_system_report(found: SystemReport) -> list[str]:
    """Say what there is, what is missing, and what to do about it."""
    lines = [f"augan {found.augan or '(version unknown)'}, Python {found.python}, {found.system}"]
    needed = [f"{p.name} {p.installed}" for p in found.packages if not p.extra and p.installed]
    lines += [f"packages: {', '.join(needed)}"] if needed else []
    lines += [*_machine(found), *_engine(found)]
    for extra in found.missing_extras:
        purpose = f" ({PURPOSES[extra]})" if extra in PURPOSES else ""
        lines.append(f"not installed: {extra}{purpose}: {install(f'augan[{extra}]')}")
    lines += [f"note: {advice}" for advice in found.notes]
    lines += [f"problem: {advice}" for advice in found.problems]
    lines.append(f"augan {'can' if found.usable else 'cannot'} work here")
    return lines


def _machine(found: SystemReport) -> Iterator[str]:
    kind, running, room = found.processor, found.threads, found.memory
    features = "" if kind.features is None else f": {', '.join(kind.features) or 'no AVX'}"
    yield f"processor: {kind.name} ({kind.architecture}){features}"
    quota = "" if running.quota is None else f", with the time of {running.quota:g}"
    yield (
        f"cores: {running.usable} of {running.cores} may be used{quota}; "
        f"TensorFlow starts {running.started} thread{'' if running.started == 1 else 's'}"
    )
    limit = "" if room.limit is None else f", {_gib(room.limit)} allowed to this container"
    yield f"memory: {_gib(room.total)}{limit}, {_gib(room.available)} available"
    for name, place in found.disks.items():
        yield f"disk: {_gib(place.free)} free for the {name} in {place.folder}"


def _engine(found: SystemReport) -> Iterator[str]:
    if found.engine is not None and found.engine.error is None:
        gpus = ", ".join(found.engine.gpus) or "none is seen, the processor does the work"
        yield f"GPU: {gpus}"
        yield f"start: {found.engine.seconds:.1f} s until TensorFlow is ready"


def _gib(number: int | None) -> str:
    return "unknown" if number is None else f"{number / GIB:.1f} GiB"

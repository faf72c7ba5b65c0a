"""Summaries of results: lines of text for a terminal, and JSON-able dicts for `--json`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from augan.augment.filters.acceptance import generator_is_used, generator_warnings
from augan.bundle import Bundle
from augan.data.cameras import common_class_names
from augan.data.dataset import plural
from augan.data.modalities.base import Preprocessing
from augan.data.splits import NUM_FOLDS
from augan.detect.conformal.decision import achievable_rate
from augan.detect.conformal.guarantee import Guarantee, guarantee_void_reason
from augan.detect.detector import load_calibrations
from augan.doctor.checks import GIB, SystemReport, install
from augan.evaluation.augmentation.result import (
    AugmentationGain,
    format_interval,
    format_points,
)
from augan.io.layout import RUNS_FOLDER
from augan.metrics.statistics import ConfidenceInterval

if TYPE_CHECKING:
    from augan.augment.api import AugmentationResult
    from augan.data.dataset import Dataset
    from augan.detect.result import DetectionResult
    from augan.evaluation.detection.api import DetectionEvaluation
    from augan.evaluation.translation.result import TranslationGain
    from augan.translate.api import TranslationResult
    from augan.workflow.prepare import ResolvedConfig

NUM_SHOWN_SKIPPED = 10  # files that a result could not use
_NAME_PREFIXES = {"row": "row "}  # of the names of samples, which are numbers for rows
MAX_CLASSES_SHOWN = 10  # with the accuracy of each
NUM_SHOWN_DUPLICATES = 5  # pairs of near-duplicates


# Training -----------------------------------------------------------------------------------------


def format_plan(resolved: "ResolvedConfig") -> str:
    """Return the line that `augan train` prints before the training.

    The line names the data, the preprocessing, the task and the limits; for a translation also the
    data of the new camera and the common classes.
    """
    config = resolved.config
    folds = f" in {NUM_FOLDS} folds, one training each" if config.detect.cross_conformal else ""
    limits = []
    if config.training.steps is not None:
        limits.append(f"{config.training.steps} steps")
    if config.training.max_minutes is not None:
        limits.append(f"at most {config.training.max_minutes:g} minutes")
    data = _describe_data(resolved.dataset, resolved.preprocessing)
    if resolved.new is not None:
        common = common_class_names(resolved.dataset, resolved.new.dataset)
        data += f"; new camera {_describe_data(*resolved.new)}; {len(common)} common "
        data += "class" if len(common) == 1 else "classes"
    return f"{data}; task {config.task}{folds}; {', '.join(limits)}"


def _describe_data(dataset: "Dataset", preprocessing: Preprocessing) -> str:
    """Return name, number, classes and preprocessing of the samples of a dataset."""
    classes = f" of {dataset.num_classes} classes" if dataset.num_classes > 1 else ""
    unlabeled = f" and {dataset.num_unlabeled} unlabeled" if dataset.num_unlabeled else ""
    return (
        f"{dataset.name}: {len(dataset)} {plural(dataset.sample_type)}{classes}{unlabeled} as "
        f"{preprocessing.describe()}"
    )


def format_training(bundle: Bundle, seconds: Mapping[str, float]) -> list[str]:
    """Return the lines that `augan train` prints at the end.

    The lines hold warnings, times, steps, fidelity, the detector's guarantee and the bundle's path.

    Parameters
    ----------
    bundle : Bundle
        Saved bundle of the training.
    seconds : mapping of str to float
        Seconds of each stage, as `Stopwatch.seconds`; their sum must be above 0.
    """
    samples = plural(bundle.preprocessing.sample_type)
    total = sum(seconds.values())
    times = ", ".join(f"{stage} {t:.1f} s ({t / total:.0%})" for stage, t in seconds.items())
    lines = [f"warning: {text}" for text in bundle.metrics.warnings]
    lines.append(f"time: {total:.1f} s = {times}")
    lines += _steps(bundle)
    if (fidelity := bundle.metrics.fidelity) is not None:
        lines.append(
            f"fidelity: kernel distance {fidelity.kernel_distance:.3f} (real against real "
            f"{fidelity.floor.kernel_distance:.3f}, untrained "
            f"{fidelity.untrained_kernel_distance:.3f}) on {fidelity.n_real} held-out "
            f"{samples}{', few' if fidelity.is_small_sample else ''}, features "
            f"{fidelity.extractor}"
        )
    if (pseudo_labels := bundle.metrics.pseudo_labels) is not None:
        lines.append(
            f"unlabeled: the GAN trained on {pseudo_labels.used} of {pseudo_labels.n} "
            "unlabeled images, with classes that the classifier predicted"
        )
    if (classifier := bundle.metrics.classifier) is not None:
        lines.append(
            f"classifier: accuracy {classifier.accuracy:.1%} on {classifier.n} held-out real "
            f"{samples}"
        )
        lines += _per_class(dict(zip(bundle.data.class_names, classifier.by_class)))
    lines += _translation(bundle)
    if bundle.has("detector"):
        lines += [f"warning: {text}" for text in default_guarantee(bundle)[1]]
        lines.append(f"detector: {guarantee_sentence(bundle)}")
    lines.append(f"bundle: {bundle.path}")
    return lines


def _translation(bundle: Bundle) -> Iterator[str]:
    """Yield lines on the quality of a translation and on its use; none without a translation."""
    if bundle.translation is None:
        return
    metrics = bundle.translation.metrics
    if metrics is not None:
        flips = ""
        if metrics.label_flips is not None:
            flips = f"; another class after a translation there and back: {metrics.label_flips:.0%}"
        yield (
            f"translation: kernel distance {metrics.two_sample:.3f} to real images of the new "
            f"camera (untranslated {metrics.two_sample_untranslated:.3f}, real against real "
            f"{metrics.two_sample_floor:.3f}) on {metrics.num_new} held-out images; diversity "
            f"{metrics.diversity:.0%} of that of real images{flips}"
        )
    run = bundle.path.parent if bundle.path else "RUN"
    yield f"translate images with: augan translate IMAGES --model {run}"


def _steps(bundle: Bundle) -> Iterator[str]:
    """Yield a line with the steps of each stage, and warnings about a poorly trained generator."""
    steps = bundle.metrics.steps
    if not steps:
        return
    requested, note = bundle.config.training.steps, ""
    main = "gan" if bundle.translation is None else "translation"
    if requested is not None and steps[main] < requested and bundle.metrics.failure is None:
        note = f" of {requested:,} (time limit reached; see --max-minutes and --steps)"
    yield "steps: " + ", ".join(
        f"{stage} {count:,}{note if stage == main else ''}" for stage, count in steps.items()
    )
    is_idle = bundle.has("generator") and not generator_is_used(bundle)
    if is_idle and bundle.metrics.fidelity and generator_warnings(bundle, always=True):
        yield "the generator has learned little, which the detector does not need"


def summarize_training(bundle: Bundle, seconds: Mapping[str, float]) -> dict[str, Any]:
    """Return the result of a training as a JSON-able dict, for `augan train --json`.

    `seconds` are the seconds of each stage, as `Stopwatch.seconds`.
    """
    return {
        "run": str(bundle.path.parent) if bundle.path else None,
        "bundle": str(bundle.path),
        "id": bundle.bundle_id,
        "task": bundle.config.task,
        "data": bundle.data.to_dict(),
        "metrics": bundle.metrics.to_dict(),
        "translation": None if bundle.translation is None else bundle.translation.to_dict(),
        "seconds": dict(seconds),
    }


# Calibration --------------------------------------------------------------------------------------


def guarantee_sentence(bundle: Bundle) -> str | None:
    """Return one sentence on the false-alarm rate that a bundle's detector guarantees.

    The rate is the default of `augan detect`. If the guarantee is void, the sentence says why. A
    bundle without a detector gives None.
    """
    if not bundle.has("detector"):
        return None
    return guarantee_void_reason(bundle) or default_guarantee(bundle)[0].sentence


def default_guarantee(bundle: Bundle) -> tuple[Guarantee, list[str]]:
    """Return the guarantee of `augan detect` without `--far`, and warnings about that rate.

    The bundle must have a detector.
    """
    calibration = load_calibrations(bundle)[0]
    sample_type = bundle.preprocessing.sample_type
    rate, warnings = achievable_rate(bundle, calibration, sample_type)
    return calibration.guarantee(rate, sample_type), warnings


def format_calibration(bundle: Bundle) -> list[str]:
    """Return the lines that `augan calibrate` prints about a newly calibrated bundle.

    The lines hold warnings, the calibration data, the guarantee and the use of the bundle.
    """
    summary, samples = summarize_calibration(bundle), plural(bundle.preprocessing.sample_type)
    n, name = summary["guarantee"]["n"], summary["calibrated_on"]["name"]
    return [
        *(f"warning: {text}" for text in summary["warnings"]),
        f"calibrated on {n} {samples} of {name}",
        f"detector: {summary['guarantee']['sentence']}",
        f"bundle: {bundle.path}",
        _how_to_use(bundle),
    ]


def _how_to_use(bundle: Bundle) -> str:
    """Return a line that says how `augan detect` uses the threshold of a new bundle."""
    path = bundle.path
    if path is None or path.parent.parent.resolve() == RUNS_FOLDER.resolve():
        return (
            "augan detect now uses this threshold, because this bundle is the newest; --model RUN "
            "selects another one"
        )
    return f"augan detect uses this threshold with --model {path}"


def summarize_calibration(bundle: Bundle) -> dict[str, Any]:
    """Return the result of a new calibration as a JSON-able dict, for `augan calibrate --json`."""
    samples = bundle.require_detector().calibrated_on
    calibrated_on = {} if samples is None else samples.to_dict()
    warnings = calibrated_on.pop("warnings", [])
    guarantee, rate_warnings = default_guarantee(bundle)
    return {
        "bundle": str(bundle.path),
        "id": bundle.bundle_id,
        "calibrated_on": calibrated_on,
        "guarantee": guarantee.to_dict(),
        "warnings": [*warnings, *rate_warnings],
    }


# Augmentation -------------------------------------------------------------------------------------


def format_augmentation(result: "AugmentationResult") -> list[str]:
    """Return the lines that `augan augment` and `augan generate` print.

    The lines hold warnings, the rejected candidates of each class, the number of samples and the
    folder.
    """
    lines = [f"warning: {text}" for text in result.warnings]
    for stats in result.acceptance:
        reasons = ", ".join(f"{reason} {n}" for reason, n in stats.rejected.items() if n)
        if reasons:
            lines.append(
                f"class {stats.class_name}: {stats.accepted} of {stats.generated} candidates "
                f"accepted; rejected: {reasons}"
            )
    name = f" of class {result.classes[0]}" if len(result.classes) == 1 else ""
    return [*lines, f"{result.num_samples} {plural(result.sample_type)}{name} in {result.out}"]


def format_translation(result: "TranslationResult") -> list[str]:
    """Return the lines about a folder of translated images.

    Parameters
    ----------
    result : TranslationResult
        Result of `augan.translate_folder`.
    """
    images = f"{result.num_images:,} image{'s' * (result.num_images != 1)}"
    camera = "new" if result.request.direction == "old-to-new" else "old"
    return [
        f"{images} in the look of the {camera} camera: {result.out}",
        *(f"warning: {warning}" for warning in result.warnings),
        *_skipped("not translated", [f"{name} ({why})" for name, why in result.skipped]),
        *_skipped("not looked at", [f"{name} ({why})" for name, why in result.not_looked_at]),
    ]


# Detection ----------------------------------------------------------------------------------------


def format_detection(result: "DetectionResult") -> list[str]:
    """Return the lines that `augan detect` prints.

    The lines hold warnings, files without a score, the highest flagged scores, the guarantee and
    the path of the scores.
    """
    samples, prefix = plural(result.sample_type), _NAME_PREFIXES.get(result.sample_type, "")
    lines = [f"warning: {text}" for text in result.warnings]
    unreadable = [f"{path} ({reason})" for path, reason in result.unreadable]
    lines += _skipped("unreadable", unreadable, "see scores.csv")
    not_looked_at = [f"{path} ({reason})" for path, reason in result.not_looked_at]
    lines += _skipped("not looked at", not_looked_at, "see detection.json")
    lines.append(
        f"{result.num_anomalies} of {result.num_scored} {samples} flagged as anomalies"
        f"{_without_score(result)}"
    )
    flagged = [sample for sample in result.most_anomalous if sample.anomaly]
    lines += [f"  {sample.score:8.2f}  {prefix}{sample.path}" for sample in flagged]
    if more := result.num_anomalies - len(flagged):
        lines.append(f"  and {more:,} more, see scores.csv")
    return [*lines, result.guarantee.sentence, f"scores: {result.out / 'scores.csv'}"]


def _without_score(result: "DetectionResult") -> str:
    """Return the numbers of files without a score, as the end of a sentence; "" if there are none.

    A detector that skips a file has passed it, so the sentence says both.
    """
    texts = []
    if count := len(result.unreadable):
        texts.append(f"{count:,} could not be read")
    if count := len(result.not_looked_at):
        texts.append(f"{count:,} file{'' if count == 1 else 's'} not looked at")
    return "".join(f"; {text}" for text in texts)


# Evaluation of a detector -------------------------------------------------------------------------


def format_detection_evaluation(evaluation: "DetectionEvaluation") -> list[str]:
    """Return the lines that `augan evaluate detection` prints.

    The lines hold AUROC and other metrics of the detector, its false alarms, each type of anomaly,
    pixel metrics, the detection limit and the baselines, as far as they were evaluated.
    """
    summary, samples = evaluation.summary, plural(evaluation.summary["sample_type"])
    types = evaluation.anomaly_types
    num_types = f"{len(types)} type{'' if len(types) == 1 else 's'}"
    unreadable = [f"{file['path']} ({file['reason']})" for file in summary["unreadable"]]
    lines = [
        *(f"warning: {text}" for text in summary["warnings"]),
        *_skipped("unreadable", unreadable),
        *_skipped(
            "not looked at",
            [f"{file['path']} ({file['reason']})" for file in summary.get("not_looked_at", ())],
        ),
        *_skipped("without a label", summary["unlabeled"]),
        f"{summary['num_normal']} normal {samples} ({summary['normal']}) and "
        f"{summary['num_anomalies']} anomalies of {num_types}",
        f"AUROC {_auroc(summary['auroc'])}, average precision {summary['average_precision']:.3f}, "
        f"best F1 {summary['best_f1']['value']:.3f} (oracle: its threshold is chosen on these "
        "labels)",
        *_decisions(summary),
    ]
    lines += [
        f"  {row['type']}: {row['count']}, AUROC {_auroc(row['auroc'])}, "
        f"detected {_rate(row['detected'])}"
        for row in types
    ]
    lines += _pixels(summary["pixels"])
    lines += _detection_limit(summary["detection_limit"])
    lines += _baselines(evaluation)
    if summary["out"] is not None:
        lines.append(f"evaluation: {summary['out']}")
    return lines


def _decisions(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line on false alarms against the calibrated rate, and a line on detections."""
    alarms = summary["false_alarms"]
    agreement = "as" if alarms["as_expected"] else "NOT as"
    caveat = ""
    if not alarms["exact"]:
        reason = "folds share images" if alarms["num_folds"] else "groups resemble each other"
        reason = reason if alarms["guaranteed"] else "this detector has no guarantee"
        caveat = f"approximately, because {reason}, "
    yield (
        f"false alarms at rate {summary['far']:.3g}: {_rate(alarms)}; {agreement} calibrated: "
        f"{caveat}{alarms['expected_low']} to {alarms['expected_high']} are expected"
    )
    yield f"detected at that rate: {_rate(summary['detected'])}"


def _pixels(pixels: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield lines on the pixel metrics of anomaly maps; none without masks."""
    if pixels is None:
        return
    yield from _skipped("no defect in the mask", pixels["without_mask"])
    yield (
        f"pixels: AUROC {pixels['auroc']:.3f}, AUPRO {pixels['aupro']:.3f} (to a false-positive "
        f"rate of {pixels['max_fpr']:g}) on {pixels['num_images']} images, "
        f"{pixels['num_anomalies']} with a defect"
    )


def _detection_limit(limit: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield lines on the smallest painted spots that are detected; none if not evaluated."""
    if limit is None:
        return
    yield (
        f"detection limit, with spots painted on {limit['num_images']} normal images, at rate "
        f"{limit['rate']:g}:"
    )
    for contrast, smallest in limit["smallest"].items():
        rates = ", ".join(
            f"{row['size']} px {row['rate']:.0%}"
            for row in limit["rows"]
            if f"{row['contrast']:g}" == contrast
        )
        result = f"90 % detected from {smallest} px on" if smallest else "never 90 % detected"
        yield f"  contrast {contrast}: {result} ({rates})"


def _baselines(evaluation: "DetectionEvaluation") -> Iterator[str]:
    """Yield lines on the AUROC of the baselines, or the reason for their absence."""
    summary = evaluation.summary
    if summary["baselines_skipped"] is not None:
        yield f"no baselines: {summary['baselines_skipped']}"
        return
    samples = plural(summary["sample_type"])
    yield f"baselines, fitted on {summary['num_baseline_training']} of the training {samples}:"
    for row in evaluation.baselines:
        types = ", ".join(f"{name} {value:.3f}" for name, value in row["anomaly_types"].items())
        types = f"; {types}" if len(row["anomaly_types"]) > 1 else ""
        yield f"  {row['method']}: AUROC {_auroc(row['auroc'])}{types}"


def _auroc(interval: Mapping[str, float]) -> str:
    """Return an AUROC with its 95 % interval as text."""
    return f"{interval['value']:.3f} ({interval['low']:.3f} to {interval['high']:.3f})"


def _rate(estimate: Mapping[str, Any]) -> str:
    """Return a rate with its count and its 95 % interval as text."""
    return (
        f"{estimate['count']} of {estimate['n']} = {estimate['rate']:.1%} "
        f"({estimate['low']:.1%} to {estimate['high']:.1%})"
    )


# Evaluation of augmentation -----------------------------------------------------------------------


def format_augmentation_evaluation(result: AugmentationGain) -> list[str]:
    """Return the lines that `augan evaluate augmentation` prints.

    The lines hold the metrics of each arm, best first, near-duplicates in the test images, and as
    the last line the sentence on the gain.
    """
    summary = result.summary
    lines = [f"warning: {text}" for text in summary["warnings"]]
    pairs = summary["near_duplicates"][:NUM_SHOWN_DUPLICATES]
    lines += [f"  {pair['test']} resembles {pair['train']}" for pair in pairs]
    num_groups = summary["num_test_groups"]
    groups = "" if num_groups is None else f" of {num_groups} groups"
    lines.append(
        f"{summary['metric']} on {summary['num_test']} test images{groups}, mean of "
        f"{summary['num_repeats']} repeats:"
    )
    width = max(len(row["arm"]) for row in result.arms)
    for row in sorted(result.arms, key=lambda row: -row["balanced_accuracy"]):
        lines.append(
            f"  {row['arm']:{width}} {row['balanced_accuracy']:6.1%}  "
            f"accuracy {row['accuracy']:6.1%}  macro-F1 {row['macro_f1']:6.1%}  {row['label']}"
        )
        lines += [f"  {line}" for line in _per_class(row["recall"])]
    lines += format_secondary_gains(summary)
    return [*lines, f"evaluation: {summary['out']}", result.sentence]


def _per_class(accuracy: Mapping[str, float | None]) -> list[str]:
    """Return a line with the accuracy of each class, or of the worst of many; none if unknown."""
    known = {name: value for name, value in accuracy.items() if value is not None}
    if not known:
        return []
    shown, title = list(known), "per class"
    if len(known) > MAX_CLASSES_SHOWN:
        shown = sorted(known, key=lambda name: known[name])[:MAX_CLASSES_SHOWN]
        title = f"per class, the lowest of {len(known)}"
    return [f"  {title}: {', '.join(f'{name} {known[name]:.0%}' for name in shown)}"]


def format_translation_evaluation(result: "TranslationGain") -> list[str]:
    """Return the lines that `augan evaluate augmentation --translate-to` prints.

    The accuracy of the chosen arm on the hidden classes comes first, then the metrics of each arm,
    best first, and as the last line the sentence on the gain.
    """
    summary = result.summary
    lines = [f"warning: {text}" for text in summary["warnings"]]
    chosen = next(row for row in result.arms if row["key"] == summary["chosen"])
    if summary["hidden_accuracy"] is not None:
        groups = "; ".join(", ".join(group) for group in summary["hidden_groups"])
        lines.append(
            f"chosen: {chosen['label']}, balanced accuracy {summary['hidden_accuracy']:.1%} where "
            f"common classes were hidden in turn ({groups})"
        )
    lines.append(
        f"{summary['metric']} on {summary['num_test']} test images of the new camera, mean of "
        f"{summary['num_repeats']} repeats; recall of {', '.join(summary['missing'])}; balanced "
        "accuracy with hidden classes:"
    )
    width = max(len(row["key"]) for row in result.arms)
    for row in sorted(result.arms, key=lambda row: -row["balanced_accuracy"]):
        hidden = "" if row["hidden_accuracy"] is None else f"{row['hidden_accuracy']:6.1%}"
        lines.append(
            f"  {row['key']:{width}} {row['balanced_accuracy']:6.1%}  missing "
            f"{row['missing_recall']:6.1%}  hidden {hidden or '-':>6}  {row['label']}"
        )
    for name, comparison in summary["comparisons"].items():
        interval = ConfidenceInterval(*(comparison[key] for key in ("value", "low", "high")))
        lines.append(
            f"{name.replace('_adabn', ' AdaBN')}: {comparison['gan']} against "
            f"{comparison['rival']}, {format_interval(interval)}"
        )
    return [*lines, f"evaluation: {summary['out']}", result.sentence]


def format_secondary_gains(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield the gains that complement the main gain of an evaluation of augmentation.

    These are the gain over arms without the unlabeled images, and the gain without near-duplicates
    among the test images, as far as they were measured. `summary` is that of `AugmentationGain`.
    """
    over_labeled_only = summary["gain_over_labeled_only"]
    without_duplicates = summary["without_near_duplicates"]
    if over_labeled_only is not None:
        yield (
            "compared with arms without the unlabeled images, which is not a fair comparison: "
            f"{_gain(over_labeled_only)}"
        )
    if without_duplicates is not None:
        yield f"without near-duplicates among the test images: {_gain(without_duplicates)}"


def _gain(gain: Mapping[str, Any]) -> str:
    """Return a gain in percentage points, with its interval and its best baseline, as text."""
    return (
        f"{format_points(gain['value'])} points [{100 * gain['low']:.1f}, "
        f"{100 * gain['high']:.1f}] against {gain['best_baseline']}"
    )


# Doctor -------------------------------------------------------------------------------------------

PURPOSES = {
    "parquet": "tables in Parquet files",
    "tensorboard": "training curves in TensorBoard",
    "test": "augan's own tests",
    "docs": "building the documentation",
    "bench": "benchmarks against other libraries",
}


def format_system_report(report: SystemReport) -> list[str]:
    """Return the lines that `augan doctor` prints.

    The lines hold versions, hardware, missing extras, notes, problems with their fixes, and whether
    augan can work on this machine.
    """
    version = report.augan or "(version unknown)"
    lines = [f"augan {version}, Python {report.python}, {report.system}"]
    required = [f"{p.name} {p.installed}" for p in report.packages if not p.extra and p.installed]
    lines += [f"packages: {', '.join(required)}"] if required else []
    lines += [*_hardware(report), *_tensorflow(report)]
    for extra in report.missing_extras:
        purpose = f" ({PURPOSES[extra]})" if extra in PURPOSES else ""
        lines.append(f"not installed: {extra}{purpose}: {install(f'augan[{extra}]')}")
    lines += [f"note: {issue}" for issue in report.notes]
    lines += [f"problem: {issue}" for issue in report.problems]
    lines.append(f"augan {'can' if report.usable else 'cannot'} work here")
    return lines


def _hardware(report: SystemReport) -> Iterator[str]:
    """Yield lines on processor, cores, memory and disks."""
    processor, threads, memory = report.processor, report.threads, report.memory
    features = ""
    if processor.features is not None:
        features = f": {', '.join(processor.features) or 'no AVX'}"
    yield f"processor: {processor.name} ({processor.architecture}){features}"
    quota = "" if threads.quota is None else f", with the time of {threads.quota:g}"
    yield (
        f"cores: {threads.usable} of {threads.cores} may be used{quota}; "
        f"TensorFlow starts {threads.started} thread{'' if threads.started == 1 else 's'}"
    )
    limit = "" if memory.limit is None else f", {_gib(memory.limit)} allowed to this container"
    yield f"memory: {_gib(memory.total)}{limit}, {_gib(memory.available)} available"
    for name, disk in report.disks.items():
        yield f"disk: {_gib(disk.free)} free for the {name} in {disk.folder}"


def _tensorflow(report: SystemReport) -> Iterator[str]:
    """Yield lines on TensorFlow's GPUs and start-up time; none if TensorFlow does not work."""
    if report.tensorflow is not None and report.tensorflow.error is None:
        yield f"GPU: {', '.join(report.tensorflow.gpus) or 'none; TensorFlow uses the CPU'}"
        yield f"start: {report.tensorflow.seconds:.1f} s to import TensorFlow"


def _gib(size: int | None) -> str:
    """Return a number of bytes in GiB as text; "unknown" for None."""
    return "unknown" if size is None else f"{size / GIB:.1f} GiB"


# Shared -------------------------------------------------------------------------------------------


def _skipped(reason: str, names: Sequence[str], hint: str | None = None) -> list[str]:
    """Return a line for each of the first skipped files, and one with the number of the others.

    Parameters
    ----------
    reason : str
        Start of each line, such as "unreadable".
    names : sequence of str
        Names of all skipped files.
    hint : str or None
        Where the others are listed; None: the total number is given instead.
    """
    lines = [f"{reason}: {name}" for name in names[:NUM_SHOWN_SKIPPED]]
    if (num_more := len(names) - NUM_SHOWN_SKIPPED) > 0:
        lines.append(f"{reason}: {num_more} more, {hint or f'{len(names)} in all'}")
    return lines

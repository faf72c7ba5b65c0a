"""Result of an evaluation of translation: the chosen arm, its gain, and a table of all arms."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from augan.evaluation.augmentation.evaluator import classification_metrics
from augan.evaluation.augmentation.result import format_interval
from augan.evaluation.translation.selection import ArmOption, choose, mean_recall
from augan.metrics.statistics import BootstrapComparison, ConfidenceInterval
from augan.seeding import child_rng

if TYPE_CHECKING:
    from augan.evaluation.translation.experiment import ShiftExperiment, ShiftPredictions


@dataclass(frozen=True)
class TranslationGain:
    """Result of an evaluation of translation.

    Attributes
    ----------
    sentence : str
        The gain of translated images with its 95 % interval, in percentage points of balanced
        accuracy, or that nothing should be added.
    arms : list of dict
        Metrics of each arm without and with AdaBN: means over the repeats, and the balanced
        accuracy on the hidden groups, by which arms are chosen.
    summary : dict
        Keys of the arms that a user would choose: `chosen` among all, `gan` among arms with a
        translator, `rival` among the others; `hidden_accuracy` of the chosen arm; `gain` of `gan`
        over `rival` with `low`, `high` and `significant`; comparisons without and with AdaBN, and
        all settings.
    """

    sentence: str
    arms: list[dict[str, Any]]
    summary: dict[str, Any]

    @property
    def is_significant(self) -> bool:
        """Whether translated images are chosen, and the interval of their gain lies above 0."""
        return bool(self.summary["significant"])

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON-able values, as in `evaluation.json`."""
        return {"sentence": self.sentence, "arms": self.arms, "summary": self.summary}


def summarize_shift(
    experiment: "ShiftExperiment", predictions: "ShiftPredictions", class_names: tuple[str, ...]
) -> TranslationGain:
    """Compare the arms with and without a translator that a user would choose.

    Without hidden groups, which need two common classes, the arms with the highest balanced
    accuracy on the test images are compared, and the sentence says so.

    Returns
    -------
    TranslationGain
        The summary has no settings yet.
    """
    labels = experiment.test_labels
    scores: Mapping[ArmOption, list[float]] = predictions.scores
    has_groups = bool(predictions.groups)
    if not has_groups:
        scores = {
            option: [mean_recall(classes, labels) for classes in of_repeats]
            for option, of_repeats in predictions.predicted.items()
        }
    bootstrap = BootstrapComparison(
        {option.key: classes == labels for option, classes in predictions.predicted.items()},
        labels,
        child_rng(experiment.shifts[0].seed, "bootstrap"),
        groups=experiment.test_groups,
    )
    gan, rival = (choose(scores, uses_translator) for uses_translator in (True, False))
    if gan is None or rival is None:
        raise ValueError("the options must hold arms with and without a translator")
    best = choose(scores)
    chosen = rival if best is None else best
    interval = bootstrap.difference(gan.key, rival.key)
    comparisons = {}
    for name, is_adapted in (("without_adabn", False), ("with_adabn", True)):
        part = {o: score for o, score in scores.items() if o.is_adapted == is_adapted}
        one, other = choose(part, True), choose(part, False)
        if one is not None and other is not None:
            difference = bootstrap.difference(one.key, other.key)
            comparisons[name] = {"gan": one.key, "rival": other.key, **difference.to_dict()}
    confusions = {
        option.key: _confusions(predictions.predicted[option], labels, len(class_names))
        for option in dict.fromkeys((chosen, gan, rival))
    }
    summary = {
        "metric": "balanced accuracy",
        "class_names": list(class_names),
        "missing": [class_names[label] for label in experiment.shifts[0].missing],
        "hidden_groups": [[class_names[label] for label in g] for g in predictions.groups],
        "chosen": chosen.key,
        "gan": gan.key,
        "rival": rival.key,
        "hidden_accuracy": float(np.mean(scores[chosen])) if has_groups else None,
        "significant": has_groups and chosen.uses_translator and interval.low > 0,
        "gain": interval.value,
        "low": interval.low,
        "high": interval.high,
        "comparisons": comparisons,
        "confusions": confusions,
    }
    rows = [
        _row(experiment, option, classes, predictions.scores[option], class_names)
        for option, classes in predictions.predicted.items()
    ]
    text = _sentence(has_groups, chosen, (gan, rival), interval)
    return TranslationGain(text, rows, summary)


def _sentence(
    has_groups: bool,
    chosen: ArmOption,
    compared: tuple[ArmOption, ArmOption],
    interval: ConfidenceInterval,
) -> str:
    """Return the result in one sentence.

    Parameters
    ----------
    has_groups : bool
        Whether the arms were chosen by hidden classes.
    chosen : ArmOption
        The arm that a user would choose.
    compared : (ArmOption, ArmOption)
        The arm with a translator and the arm without.
    interval : ConfidenceInterval
        Difference of their balanced accuracies on the test images.
    """
    (gan, rival), points = compared, format_interval(interval)
    if not has_groups:
        return (
            f"no choice without test labels, since fewer than two classes are common: {points} for "
            f"{gan.label} against {rival.label}, both chosen by the test"
        )
    if not chosen.uses_translator:
        return (
            f"add no translated images: {chosen.label} is best on the hidden classes; on images of "
            f"the new camera {gan.label} differs from it by {points}"
        )
    start = "gain of" if interval.low > 0 else "no evidence of benefit:"
    return (
        f"{start} {points} for {gan.label} over {rival.label}, both chosen by hidden classes, on "
        "images of the new camera"
    )


def _row(
    experiment: "ShiftExperiment",
    option: ArmOption,
    predicted: np.ndarray,
    scores: list[float],
    class_names: tuple[str, ...],
) -> dict[str, Any]:
    """Return the JSON-able entry of an option: its metrics as means over the repeats."""
    metrics = [
        classification_metrics(classes, experiment.test_labels, len(class_names))
        for classes in predicted
    ]
    values = np.array([of_repeat["balanced_accuracy"] for of_repeat in metrics])
    recall = np.mean([of_repeat["recall"] for of_repeat in metrics], axis=0)
    return {
        "key": option.key,
        "arm": option.arm,
        "share": option.share,
        "adabn": option.is_adapted,
        "label": option.label,
        "balanced_accuracy": float(values.mean()),
        "std": float(values.std(ddof=1)),
        "by_repeat": values.tolist(),
        "accuracy": float(np.mean([of_repeat["accuracy"] for of_repeat in metrics])),
        "missing_recall": float(np.mean(recall[list(experiment.shifts[0].missing)])),
        "recall": dict(zip(class_names, recall.tolist())),
        "hidden_accuracy": float(np.mean(scores)) if scores else None,
    }


def _confusions(predicted: np.ndarray, labels: np.ndarray, num_classes: int) -> list[list[float]]:
    """Return the share of the images of each class (rows) with each prediction (columns)."""
    counts = np.zeros((num_classes, num_classes))
    for classes in predicted:
        np.add.at(counts, (labels, classes), 1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    rounded: list[list[float]] = np.round(shares, 4).tolist()
    return rounded

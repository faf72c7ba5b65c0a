"""Choosing the GAN, and how much of it, inside each draw: nested cross-validation.

The choice sees the draw's labels only, so that it costs labels nothing and the test nothing. No
synthetic image at all is one of the choices.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedKFold

from augan.evaluation.augmentation.arms import ABLATION, ARMS, GAN, with_synthetic
from augan.evaluation.augmentation.protocol import EvaluationProtocol, figures
from augan.evaluation.augmentation.results_log import PredictionLog
from augan.evaluation.augmentation.subsets import LabelPool, LabelSubset, SubsetSpec, make_draw
from augan.evaluation.augmentation.synthetic import GanArm, synthetic_images
from augan.exceptions import ConfigError, Interrupted
from augan.metrics.statistics import BootstrapComparison, ConfidenceInterval, PairedComparison
from augan.seeding import child_rng, child_seed

SHARES = (0.25, 0.5, 0.75)  # beside 0
FOLDS = 3


def choose(trial: EvaluationProtocol, candidates: Sequence[GanArm], draw: LabelSubset) -> GanArm:
    """Return the candidate and share of best balanced accuracy within the draw; ties: the less.

    Parameters
    ----------
    trial : Trial
        Its test images are not looked at.
    candidates : sequence of GanArm

    Raises
    ------
    ConfigError
        A class has fewer than 4 labels, of which no two halves could learn from each other.
    """
    least = int(np.bincount(draw.labels, minlength=draw.num_classes).min())
    folds = min(FOLDS, least // 2)
    if folds < 2:
        raise ConfigError(
            f"--select divides the labels of each class, and one has {least}; give it 4 or more"
        )
    splitter = StratifiedKFold(folds, shuffle=True, random_state=child_seed(draw.seed, "select"))
    reached: dict[tuple[int, float], list[float]] = {}
    for fold, (fit, held) in enumerate(splitter.split(draw.images, draw.labels)):
        inner = replace(
            draw,
            seed=child_seed(draw.seed, "select", fold),
            rows=draw.rows[fit],
            images=draw.images[fit],
            labels=draw.labels[fit],
        )
        judge = replace(trial, test=draw.images[held])
        for place, candidate in enumerate(candidates):
            for share, value in _of_fold(judge, candidate, inner, draw.labels[held]).items():
                reached.setdefault((place, share), []).append(value)
    # Less synthetic first, so that equal figures add nothing.
    options = sorted(reached, key=lambda option: (option[1], option[0]))
    best, share = max(options, key=lambda option: float(np.mean(reached[option])))
    return replace(candidates[best], share=share)


def _of_fold(
    trial: EvaluationProtocol, arm: GanArm, draw: LabelSubset, truth: np.ndarray
) -> dict[float, float]:
    """Return the balanced accuracy of each share."""
    base = ARMS[arm.base].make(draw, trial.policy, trial.classifier)
    images, labels = synthetic_images(arm, draw)
    lessons = {0.0: base}
    lessons |= {share: with_synthetic(base, images, labels, share) for share in SHARES}
    found = {share: trial.predict(lesson, draw) for share, lesson in lessons.items()}
    return {
        share: figures(predicted, truth, draw.num_classes)["balanced_accuracy"]
        for share, predicted in found.items()
    }


Made = tuple[np.ndarray, np.ndarray]  # synthetic images and their classes
WITHOUT = "the same without synthetic images"
SHOWN_TWINS = 20  # of the near-duplicates in the summary


@dataclass(frozen=True, eq=False)
class GainExperiment:
    """Everything that an evaluation of lift is about.

    Attributes
    ----------
    pool, recipe : Pool, Recipe
        What draws are made from, and how.
    trial : Trial
    labels : ndarray of int [m]
        Classes of the test images; every class occurs.
    arms : tuple of str
        With `GAN` among them, and at least one other.
    num_draws, seed : int
    candidates : tuple of GanArm
        What is chosen from within each draw; none: `trial.gan` is judged as it is.
    groups : ndarray [m] or None
        Which test images show one thing; None: each another.
    """

    pool: LabelPool
    recipe: SubsetSpec
    trial: EvaluationProtocol
    labels: np.ndarray
    arms: tuple[str, ...]
    num_draws: int
    seed: int
    candidates: tuple[GanArm, ...] = ()
    groups: np.ndarray | None = None

    @property
    def rivals(self) -> list[str]:
        """The arms without a GAN.

        The ablation is one of them where it is no copy of another: what the GAN arm owes to the
        arm that it stands on is no lift.
        """
        is_copy = self.trial.gan.base in self.arms and not self.candidates
        return [arm for arm in self.arms if arm in ARMS or (arm == ABLATION and not is_copy)]

    @property
    def has_unlabeled(self) -> bool:
        """Whether draws have images without a label."""
        return self.recipe.num_unlabeled(self.pool) > 0

    def is_labeled_only(self, arm: str) -> bool:
        """Whether an arm learns from labeled images alone."""
        bases = [one.base for one in self.candidates] or [self.trial.gan.base]
        return not any(ARMS[one].unlabeled for one in ([arm] if arm in ARMS else bases))

    def said(self, arm: str) -> str:
        """Return what an arm is called in sentences."""
        if arm in ARMS:
            return ARMS[arm].said
        if arm == GAN:
            return "with synthetic images"
        if self.candidates:
            return WITHOUT
        return ARMS[self.trial.gan.base].said


@dataclass(frozen=True)
class AugmentationGain:
    """What an evaluation found.

    Attributes
    ----------
    sentence : str
        The lift with its 95 % interval, in points, or that there is no evidence of any.
    arms : list of dict
        For each arm its mean figures over the draws, and how far the GAN arm is ahead of it.
    summary : dict
        `lift` (a fraction) with `low` and `high`, `proven`, `rival`, and all that it depends on.
    """

    sentence: str
    arms: list[dict[str, Any]]
    summary: dict[str, Any]

    @property
    def is_proven(self) -> bool:
        """Whether a lift was found."""
        return bool(self.summary["proven"])

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able result."""
        return {"sentence": self.sentence, "arms": self.arms, "summary": self.summary}


def run_draws(
    question: GainExperiment,
    journal: PredictionLog,
    on_arm: Callable[[int, str, Mapping[str, Any]], None] = lambda number, arm, about: None,
    on_made: Callable[[LabelSubset, Made], None] = lambda draw, made: None,
) -> dict[str, np.ndarray]:
    """Train and judge all arms on all draws; what the journal has is not done again.

    Parameters
    ----------
    question : Question
    journal : Journal
    on_arm : callable
        Told of each arm that was judged: draw, arm, its figures.
    on_made : callable
        Given the first draw and what the GAN arm made of it.

    Returns
    -------
    dict of str to ndarray of int [D, m]
        Arm -> predicted classes.

    Raises
    ------
    Interrupted
        The user stopped it; finished arms are kept.
    """
    try:
        for number in range(question.num_draws):
            _run_draw(question, number, journal, on_arm, on_made)
    except KeyboardInterrupt:
        # An earlier call may have noted other arms, or more draws.
        wanted = [(number, arm) for number in range(question.num_draws) for arm in question.arms]
        done = sum(journal.get(*one) is not None for one in wanted)
        raise Interrupted(
            f"interrupted with {done} of {len(wanted)} arms finished, which are kept in "
            f"{journal.folder}; the same command goes on from there"
        ) from None
    numbers = range(question.num_draws)
    return {
        arm: np.stack([np.asarray(journal.get(number, arm)) for number in numbers])
        for arm in question.arms
    }


def _run_draw(
    question: GainExperiment,
    number: int,
    journal: PredictionLog,
    on_arm: Callable,
    on_made: Callable,
) -> None:
    missing = [arm for arm in question.arms if journal.get(number, arm) is None]
    if not missing:
        return
    draw = make_draw(question.pool, question.recipe, question.seed, number)
    for arm in missing:
        trial, about = question.trial, {}
        if arm in (GAN, ABLATION) and question.candidates:
            trial = replace(trial, gan=_chosen(question, draw, journal))
            about = {"gan": trial.gan.name, "share": trial.gan.share}
        done = journal.get(number, trial.gan.base) if arm == ABLATION else None
        if done is None:
            lesson, made = trial.lesson(arm, draw)
            if made is not None and number == 0:
                on_made(draw, made)
            done = trial.predict(lesson, draw)
        about |= figures(done, question.labels, len(question.pool.class_names))
        journal.add(number, arm, done, about)
        on_arm(number, arm, about)


def _chosen(question: GainExperiment, draw: LabelSubset, journal: PredictionLog) -> GanArm:
    """Return the choice of a draw, which is made once."""
    for arm in (GAN, ABLATION):
        if journal.get(draw.number, arm) is not None:
            known = journal.about(draw.number, arm)
            same = next(one for one in question.candidates if one.name == known["gan"])
            return replace(same, share=known["share"])
    return choose(question.trial, question.candidates, draw)


def conclude(
    question: GainExperiment, predictions: Mapping[str, np.ndarray], twins: np.ndarray
) -> AugmentationGain:
    """Return the verdict.

    Parameters
    ----------
    question : Question
    predictions : mapping of str to ndarray of int [D, m]
        What `run_draws` returned.
    twins : ndarray of int
        Test images that nearly equal seen ones: the lift is also given without them.
    """
    resampled = _resampled(question, predictions, np.ones(len(question.labels), bool))
    lead = resampled.lead(GAN, question.rivals)
    labeled = [arm for arm in question.rivals if question.is_labeled_only(arm)]
    has_more = len(labeled) < len(question.rivals)
    gain = resampled.lead(GAN, labeled) if labeled and has_more else None
    kept = np.ones(len(question.labels), bool)
    kept[twins] = False
    whole = len(np.unique(question.labels[kept])) == len(question.pool.class_names)
    strict = None
    if len(twins) and whole:
        strict = _resampled(question, predictions, kept).lead(GAN, question.rivals)
    summary = {
        "metric": "balanced accuracy",
        "proven": lead.is_real,
        "lift": lead.interval.value,
        "low": lead.interval.low,
        "high": lead.interval.high,
        "rival": lead.rival,
        "gain_over_labeled_only": None if gain is None else _described(gain),
        "without_near_duplicates": None if strict is None else _described(strict),
    }
    behind = {arm: resampled.difference(GAN, arm) for arm in question.arms if arm != GAN}
    rows = [_arm_row(question, arm, predictions[arm], behind.get(arm)) for arm in question.arms]
    return AugmentationGain(sentence(lead, question.said(lead.rival)), rows, summary)


def sentence(lead: PairedComparison, said: str) -> str:
    """Say what was found, in points of balanced accuracy; `said` is what the rival is called."""
    of = lead.interval
    interval = f"{points(of.value)} points [{_bound(of.low)}, {_bound(of.high)}]"
    if lead.is_real:
        return f"lift of {interval} over {said}, on new images like these"
    return f"no evidence of benefit: {interval} against {said}, on new images like these"


def points(fraction: float) -> str:
    """Write a difference of fractions in points, with its sign."""
    return f"{100 * fraction:+.1f}"


def _bound(fraction: float) -> str:
    # A bound just above nothing must not read as nothing, for the claim hangs on it.
    digits = 1 if abs(fraction) >= 0.0005 else 3
    return f"{100 * fraction:.{digits}f}"


def _described(lead: PairedComparison) -> dict[str, Any]:
    interval = lead.interval
    return {
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
        "rival": lead.rival,
        "proven": lead.is_real,
    }


def _resampled(
    question: GainExperiment, predictions: Mapping[str, np.ndarray], kept: np.ndarray
) -> BootstrapComparison:
    truth = question.labels[kept]
    right = {arm: predictions[arm][:, kept] == truth for arm in question.arms}
    groups = None if question.groups is None else question.groups[kept]
    return BootstrapComparison(
        right, truth, child_rng(question.seed, "lift", "bootstrap"), groups=groups
    )


def _said_of(question: GainExperiment, arm: str) -> str:
    # The sentence calls the ablation by what it is; a row must also be told from that arm's own.
    said = question.said(arm)
    return said if arm != ABLATION or said == WITHOUT else f"{said}, {WITHOUT}"


def _arm_row(
    question: GainExperiment, arm: str, predicted: np.ndarray, behind: ConfidenceInterval | None
) -> dict[str, Any]:
    num = len(question.pool.class_names)
    each = [figures(one, question.labels, num) for one in predicted]
    values = np.array([one["balanced_accuracy"] for one in each])
    recall = np.mean([one["recall"] for one in each], axis=0)
    return {
        "arm": arm,
        "said": _said_of(question, arm),
        "balanced_accuracy": float(values.mean()),
        "std": float(values.std(ddof=1)),
        "by_draw": values.tolist(),
        "accuracy": float(np.mean([one["accuracy"] for one in each])),
        "macro_f1": float(np.mean([one["macro_f1"] for one in each])),
        "recall": dict(zip(question.pool.class_names, recall.tolist())),
        "unlabeled": question.has_unlabeled if arm == GAN else not question.is_labeled_only(arm),
        "gan_minus_this": None if behind is None else behind.to_dict(),
    }

"""Null controls of the gain benchmark: the rate of claimed gains where there is none, on digits.

Each run has its own test digits and 5 repeats. The classifier is logistic regression, or the
network of `augan evaluate augmentation` with `--classifier cnn`. The only baseline is oversampling
with classic augmentation, which makes claims easiest. In three controls synthetic images cannot
help and a claim is false; it may occur in 2.5 % of the runs.

- `shuffled`: the labels of the subset and of the synthetic images are permuted at random;
- `noise`: the synthetic images are noise;
- `copies`: the synthetic images are copies of the images of the subset.

In the fourth control, `others`, the synthetic images are real images of other digits, which do
help: its claim rate is the power of 5 repeats. No GAN is trained in a run. The synthetic images of
`shuffled` come from one GAN, which is trained on digits that no run uses.
"""

import argparse
import functools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import augan
from augan.augment.oversampler import GANOverSampler
from augan.data.loading import load_dataset
from augan.evaluation.augmentation.arms import GAN
from augan.evaluation.augmentation.classifiers import logistic
from augan.evaluation.augmentation.evaluator import ArmEvaluator
from augan.evaluation.augmentation.subsets import (
    LabelPool,
    LabelSubset,
    SubsetSpec,
    sample_subset,
)
from augan.evaluation.augmentation.synthetic import GanArm
from augan.evaluation.augmentation.training_set import Classifier
from augan.metrics.statistics import BootstrapComparison, PairedComparison
from augan.seeding import child_rng
from augan.training.defaults import native_dtype
from benchmarks.common.harness import Results, Row, Task, digest, run, write_json

NAME = "lift-controls"  # the name of the first measurement, kept in rows, files and seeds
CONTROLS = ("shuffled", "noise", "copies", "others")
NUM_RUNS = 200
RUNS_PER_TASK = 20
NUM_REPEATS = 5
SPEC = SubsetSpec(labels_per_class=10, rare={"3": 4, "8": 4})
NUM_TEST = 359
NUM_GAN_DIGITS = 480  # digits that the GAN trains on and that no run uses
NUM_SYNTHETIC_PER_CLASS = 10
GAN_STEPS = 500
BASELINE = "oversampling"

Generate = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Images and labels of a subset -> synthetic images and labels."""


class AppendingSampler:
    """A sampler that appends the synthetic images of a function.

    Parameters
    ----------
    generate : callable
        See `Generate`.
    """

    def __init__(self, generate: Generate) -> None:
        self._generate = generate

    def fit_resample(self, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the images and labels, followed by the synthetic images and labels."""
        images, labels = self._generate(X, y)
        return np.concatenate([X, images]), np.concatenate([y, labels])


@functools.cache
def all_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels of the training and the test part, in random order."""
    parts = [load_dataset("digits", subset="train"), load_dataset("digits", subset="test")]
    images = np.concatenate([np.asarray(part.images) for part in parts])
    labels = np.concatenate([np.asarray(part.labels) for part in parts])
    order = child_rng(0, NAME).permutation(len(labels))
    return images[order], labels[order]


@functools.cache
def generated_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return images and classes of a GAN that is trained on digits that no run uses."""
    images, labels = (part[:NUM_GAN_DIGITS] for part in all_digits())
    counts = {label: int((labels == label).sum()) + 500 for label in range(10)}
    sampler = GANOverSampler(sampling_strategy=counts, steps=GAN_STEPS, random_state=0)
    resampled, classes = sampler.fit_resample(images, labels)
    return resampled[NUM_GAN_DIGITS:], classes[NUM_GAN_DIGITS:]


def _choose(rng: np.random.Generator, images: np.ndarray, labels: np.ndarray) -> Any:
    chosen = [
        rng.permutation(np.flatnonzero(labels == label))[:NUM_SYNTHETIC_PER_CLASS]
        for label in range(10)
    ]
    rows = np.concatenate(chosen)
    return images[rows], labels[rows]


def generators(
    rng: np.random.Generator, others: tuple[np.ndarray, np.ndarray]
) -> dict[str, Generate]:
    """Return the function that generates the synthetic images of each control.

    `others` are the images and labels of digits that are not in the subset.
    """

    def shuffled(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        images, labels = _choose(rng, *generated_digits())
        return images, rng.permutation(labels)

    def noise(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        labels = np.repeat(np.arange(10), NUM_SYNTHETIC_PER_CLASS)
        return rng.integers(0, 256, (len(labels), *X.shape[1:])).astype(np.uint8), labels

    def copies(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return X, y

    return {
        "shuffled": shuffled,
        "noise": noise,
        "copies": copies,
        "others": lambda X, y: _choose(rng, *others),
    }


def _scale(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / 127.5 - 1


@functools.cache
def make_classifier(name: str) -> Classifier:
    """Return the classifier "logistic" or "cnn"."""
    if name == "logistic":
        return logistic(_scale)
    from augan.evaluation.augmentation.cnn import CnnClassifier

    return CnnClassifier(_scale, dtype=native_dtype())


def run_once(control: str, number: int, classifier: str = "logistic") -> PairedComparison:
    """Return the comparison of the GAN arm with the baseline in one run of a control."""
    rng = child_rng(0, NAME, control, number)
    images, labels = (part[NUM_GAN_DIGITS:] for part in all_digits())
    order = rng.permutation(len(labels))
    test, train = order[:NUM_TEST], order[NUM_TEST:]
    pool = LabelPool(images[train], labels[train], tuple(map(str, range(10))))

    def make_sampler(subset: LabelSubset) -> AppendingSampler:
        return AppendingSampler(generators(rng, _unused_digits(pool, subset))[control])

    evaluator = ArmEvaluator(
        make_classifier(classifier),
        "shift",
        GanArm(control, make_sampler),
        images[test],
    )
    correct: dict[str, list[np.ndarray]] = {BASELINE: [], GAN: []}
    for repeat in range(NUM_REPEATS):
        subset = sample_subset(pool, SPEC, number, repeat)
        if control == "shuffled":
            subset = replace(subset, labels=rng.permutation(subset.labels))
        for arm, of_arm in correct.items():
            training_set, _ = evaluator.training_set(arm, subset)
            of_arm.append(evaluator.predict(training_set, subset) == labels[test])
    stacked = {arm: np.stack(of_arm) for arm, of_arm in correct.items()}
    return BootstrapComparison(stacked, labels[test], rng).compare(GAN, [BASELINE])


def _unused_digits(pool: LabelPool, subset: LabelSubset) -> tuple[np.ndarray, np.ndarray]:
    rows = np.setdiff1d(np.arange(len(pool.labels)), subset.indices)
    return pool.images[rows], pool.labels[rows]


def measure(control: str, runs: range, classifier: str) -> Row:
    """Return the number of claimed gains in a block of runs, and the mean difference."""
    comparisons = [run_once(control, number, classifier) for number in runs]
    return {
        "claims": sum(comparison.is_significant for comparison in comparisons),
        "mean_lift": float(np.mean([c.interval.value for c in comparisons])),
        "mean_low": float(np.mean([c.interval.low for c in comparisons])),
        "runs": len(comparisons),
    }


def tasks(num_runs: int, classifier: str) -> list[Task]:
    """Return a task for each control and block of runs."""
    settings: list[Any] = [
        SPEC.labels_per_class,
        dict(SPEC.rare),
        NUM_TEST,
        NUM_SYNTHETIC_PER_CLASS,
        GAN_STEPS,
        NUM_REPEATS,
        BASELINE,
    ]
    key: Row = {}
    if classifier == "cnn":
        from augan.evaluation.augmentation.cnn import BATCH_SIZE, STEPS

        settings += [STEPS, BATCH_SIZE, native_dtype()]
        key = {"classifier": classifier}
    block = min(RUNS_PER_TASK, num_runs)
    return [
        Task(
            {
                "benchmark": NAME,
                "data": "digits",
                "method": control,
                "first_run": first_run,
                "block": block,
                "augan": augan.__version__,
                "settings": digest(settings),
                **key,
            },
            partial(measure, control, range(first_run, first_run + block), classifier),
            20.0,
        )
        for control in CONTROLS
        for first_run in range(0, num_runs, block)
    ]


def run_controls(arguments: argparse.Namespace) -> None:
    """Run the controls and print the number of claimed gains."""
    suffix = "" if arguments.classifier == "logistic" else f"-{arguments.classifier}"
    file = arguments.results / f"{NAME}{suffix}.jsonl"
    rows = run(tasks(arguments.runs, arguments.classifier), Results(file))
    summary = {}
    for control in CONTROLS:
        of_control = [row for row in rows if row["method"] == control]
        claims = sum(row["claims"] for row in of_control)
        runs = sum(row["runs"] for row in of_control)
        mean = float(np.mean([row["mean_lift"] for row in of_control]))
        summary[control] = {"claims": claims, "runs": runs, "mean_gain": mean}
        print(f"{control:10} {claims:4} claims in {runs} runs, mean gain {100 * mean:+.2f} points")
    write_json(arguments.json, {"rows": rows, "summary": summary})

"""Null controls of `augan evaluate augmentation`: gains claimed where there is none, on digits.

Each run has its own test digits and 5 draws of labels, logistic regression judges, and the only
rival is oversampling with classic augmentation, which makes claims easiest. In three controls
synthetic images cannot help, and a claim is a false one: it may happen in 2.5 % of runs.

- `shuffled`: the labels of the draw, and those of the synthetic images, are dealt out at random;
- `noise`: the synthetic images are noise;
- `copies`: they are copies of the draw's own images.

In the fourth, `others`, they are real images of other digits, which do help: it tells how much of
a true lift so few draws find. No GAN is trained in a run. The synthetic images of `shuffled` come
from one GAN, trained on digits that no run uses.
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
from augan.evaluation.augmentation.protocol import EvaluationProtocol
from augan.evaluation.augmentation.subsets import LabelPool, LabelSubset, SubsetSpec, sample_subset
from augan.evaluation.augmentation.synthetic import GanArm
from augan.metrics.statistics import BootstrapComparison, PairedComparison
from augan.seeding import child_rng
from benchmarks.common.harness import Results, Row, Task, digest, run, write_json

NAME = "lift-controls"
CONTROLS = ("shuffled", "noise", "copies", "others")
RUNS, BLOCK, DRAWS = 200, 20, 5
RECIPE = SubsetSpec(labels_per_class=10, rare={"3": 4, "8": 4})
TEST = 359
FOR_THE_GAN = 480  # digits that no run uses
EACH = 10  # synthetic images of a class in a draw
STEPS = 500
RIVAL = "oversampling"

Make = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class Adding:
    """A sampler that puts what `make` makes of the images behind them."""

    def __init__(self, make: Make) -> None:
        self._make = make

    def fit_resample(self, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the images and labels, and the new ones."""
        images, labels = self._make(X, y)
        return np.concatenate([X, images]), np.concatenate([y, labels])


@functools.cache
def all_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels of both parts, in an order of their own."""
    parts = [load_dataset("digits", part="train"), load_dataset("digits", part="test")]
    images = np.concatenate([np.asarray(part.images) for part in parts])
    labels = np.concatenate([np.asarray(part.labels) for part in parts])
    order = child_rng(0, NAME).permutation(len(labels))
    return images[order], labels[order]


@functools.cache
def generated() -> tuple[np.ndarray, np.ndarray]:
    """Return images and classes from a GAN that was trained on digits that no run uses."""
    images, labels = (part[:FOR_THE_GAN] for part in all_digits())
    wanted = {label: int((labels == label).sum()) + 500 for label in range(10)}
    sampler = GANOverSampler(sampling_strategy=wanted, steps=STEPS, random_state=0)
    more, classes = sampler.fit_resample(images, labels)
    return more[FOR_THE_GAN:], classes[FOR_THE_GAN:]


def _some(rng: np.random.Generator, images: np.ndarray, labels: np.ndarray) -> Any:
    chosen = [rng.permutation(np.flatnonzero(labels == label))[:EACH] for label in range(10)]
    rows = np.concatenate(chosen)
    return images[rows], labels[rows]


def makers(rng: np.random.Generator, others: tuple[np.ndarray, np.ndarray]) -> dict[str, Make]:
    """Return what makes the synthetic images of each control."""

    def shuffled(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        images, labels = _some(rng, *generated())
        return images, rng.permutation(labels)

    def noise(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        labels = np.repeat(np.arange(10), EACH)
        return rng.integers(0, 256, (len(labels), *X.shape[1:])).astype(np.uint8), labels

    def copies(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return X, y

    return {
        "shuffled": shuffled,
        "noise": noise,
        "copies": copies,
        "others": lambda X, y: _some(rng, *others),
    }


def one_run(control: str, number: int) -> PairedComparison:
    """Return how far the GAN arm of a control is ahead of its rival in one run."""
    rng = child_rng(0, NAME, control, number)
    images, labels = (part[FOR_THE_GAN:] for part in all_digits())
    order = rng.permutation(len(labels))
    test, learn = order[:TEST], order[TEST:]
    pool = LabelPool(images[learn], labels[learn], tuple(map(str, range(10))))
    arm = GanArm(control, lambda draw: Adding(makers(rng, _unused(pool, draw))[control]))
    trial = EvaluationProtocol(
        logistic(lambda x: x.astype(np.float32) / 127.5 - 1), "shift", arm, images[test]
    )
    right: dict[str, list[np.ndarray]] = {RIVAL: [], GAN: []}
    for place in range(DRAWS):
        draw = sample_subset(pool, RECIPE, number, place)
        if control == "shuffled":
            draw = replace(draw, labels=rng.permutation(draw.labels))
        for name, found in right.items():
            lesson, _ = trial.training_set(name, draw)
            found.append(trial.predict(lesson, draw) == labels[test])
    stacked = {name: np.stack(found) for name, found in right.items()}
    return BootstrapComparison(stacked, labels[test], rng).compare(GAN, [RIVAL])


def _unused(pool: LabelPool, draw: LabelSubset) -> tuple[np.ndarray, np.ndarray]:
    rows = np.setdiff1d(np.arange(len(pool.labels)), draw.indices)
    return pool.images[rows], pool.labels[rows]


def measure(control: str, first: int) -> Row:
    """Return how many runs of a block claim a lift, and their mean difference."""
    leads = [one_run(control, number) for number in range(first, first + BLOCK)]
    return {
        "claims": sum(lead.is_significant for lead in leads),
        "mean_lift": float(np.mean([lead.interval.value for lead in leads])),
        "mean_low": float(np.mean([lead.interval.low for lead in leads])),
        "runs": len(leads),
    }


def tasks(runs: int) -> list[Task]:
    """Return a task for each control and block of runs."""
    settings = digest([RECIPE.labels_per_class, dict(RECIPE.rare), TEST, EACH, STEPS, DRAWS, RIVAL])
    return [
        Task(
            {
                "benchmark": NAME,
                "data": "digits",
                "method": control,
                "first_run": first,
                "block": BLOCK,
                "augan": augan.__version__,
                "settings": settings,
            },
            partial(measure, control, first),
            20.0,
        )
        for control in CONTROLS
        for first in range(0, runs, BLOCK)
    ]


def compare(arguments: argparse.Namespace) -> None:
    """Run the controls and print how many of their runs claim a lift."""
    rows = run(tasks(arguments.runs), Results(arguments.results / f"{NAME}.jsonl"))
    summary = {}
    for control in CONTROLS:
        own = [row for row in rows if row["method"] == control]
        summary[control] = {
            "claims": sum(row["claims"] for row in own),
            "runs": sum(row["runs"] for row in own),
            "mean_lift": float(np.mean([row["mean_lift"] for row in own])),
        }
        of = summary[control]
        print(
            f"{control:10} {of['claims']:4} claims in {of['runs']} runs, mean difference "
            f"{100 * of['mean_lift']:+.2f} points"
        )
    write_json(arguments.json, {"rows": rows, "summary": summary})

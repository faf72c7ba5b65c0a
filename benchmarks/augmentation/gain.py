"""Do a GAN's images lift a classifier over what else can be done with the same labels?

    python -m benchmarks.augmentation.gain imbalanced --repeats 20 --split dev --json lift.json
    python -m benchmarks.augmentation.gain few-labels --repeats 20 --split dev --json lift.json
    python -m benchmarks.augmentation.gain controls --json controls.json

`imbalanced`: three classes of Fashion-MNIST (pullover, coat, bag) have 20 labels, the others 300.
`few-labels`: 20 labels of each class, and 10,000 images without. Of another data set, `--rare` and
`--labels-per-class` say how many. The split dev judges on 2,000 images cut from the training files
and makes draws 100, 101, ...; the split test judges on the test files and makes draws 0, 1, ...

Rows are kept one by one. Several processes may share the work: start them with `--repeats 0-9` and
`--repeats 10-19`, and then once more with all draws, which only reads. Which test images the
classifiers recognised is kept beside the rows, in a folder of verdicts, for the interval of a lift.
"""

import argparse
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import augan
from augan.augment.transforms import TRANSFORMS
from augan.data.cache import decode_all
from augan.data.dataset import Dataset
from augan.data.loading import load_dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.evaluation.augmentation.arms import ABLATION, ARMS, GAN, default_base, select_arms
from augan.evaluation.augmentation.classifiers import forest, logistic
from augan.evaluation.augmentation.gan_arms import DEFAULT_GAN_ARM, GAN_ARMS
from augan.evaluation.augmentation.protocol import (
    EvaluationProtocol,
    classification_metrics,
    default_transform,
)
from augan.evaluation.augmentation.subsets import LabelPool, LabelSubset, SubsetSpec, sample_subset
from augan.evaluation.augmentation.synthetic import GanArm
from augan.evaluation.augmentation.training_set import Classifier
from augan.exceptions import AuganError, DataError
from augan.io.hashing import sha256_array
from augan.metrics.statistics import BootstrapComparison
from augan.seeding import child_rng
from benchmarks.augmentation import gain_null_controls
from benchmarks.common.harness import (
    RESULTS,
    Results,
    Row,
    Task,
    add_arguments,
    digest,
    run,
    span,
    write_json,
)
from benchmarks.common.prediction_store import Verdicts

NAME = "lift"
PROTOCOLS = {
    "imbalanced": SubsetSpec(labels_per_class=300, rare={"2": 20, "4": 20, "8": 20}),
    "few-labels": SubsetSpec(labels_per_class=20, rest_unlabeled=True, max_unlabeled=10_000),
}
VERSION = 2  # rises when anything about a protocol changes; 2: rows have verdicts
DEV_IMAGES = 2000
FIRST = {"dev": 100, "test": 0}  # draws of the two splits are never the same
SECONDS = {GAN: 600.0}  # guesses, until the first row is there
FIGURES = ("balanced_accuracy", "accuracy", "macro_f1")


@dataclass(frozen=True, eq=False)
class Material:
    """The images that draws are made from, and those that are judged."""

    name: str
    pool: LabelPool
    test: np.ndarray
    labels: np.ndarray
    scale: Callable[[np.ndarray], np.ndarray]
    sha256: str

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.pool.class_names)


@functools.cache
def material(data: str, split: str) -> Material:
    """Read a data set; the split dev never opens its test part."""
    train = load_dataset(data)
    if train.labels is None:
        raise DataError(f"{train.name} has no classes; give a folder of class folders")
    preprocessing = ImagePreprocessing.fit(train)
    images, labels = _squares(train, preprocessing, train.class_names)
    if split == "test":
        part = load_dataset(data, part="test")
        test, truth = _squares(part, preprocessing, train.class_names)
    else:
        held = _cut(labels)
        test, truth = images[held], labels[held]
        images, labels = images[~held], labels[~held]
    pool = LabelPool(images, labels, train.class_names)
    sha256 = digest([sha256_array(part) for part in (images, labels, test, truth)])
    return Material(train.name, pool, test, truth, preprocessing.normalize, sha256)


def _squares(
    dataset: Dataset, preprocessing: ImagePreprocessing, class_names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    dataset, squares = decode_all(dataset, preprocessing)
    number = np.array([class_names.index(name) for name in dataset.class_names])
    return squares, number[dataset.labels]


def _cut(labels: np.ndarray) -> np.ndarray:
    """Return which training images the split dev judges on: of each class as many, at most half."""
    held = np.zeros(len(labels), bool)
    each = DEV_IMAGES // len(np.unique(labels))
    for label in np.unique(labels):
        rows = child_rng(0, "lift", "dev", int(label)).permutation(np.flatnonzero(labels == label))
        held[rows[: min(each, len(rows) // 2)]] = True
    return held


def make_classifier(name: str, scale: Callable, steps: int | None) -> Classifier:
    """Return a judge by its name; only the network takes steps."""
    if name == "cnn":
        from augan.evaluation.augmentation.cnn import STEPS, CnnClassifier

        return CnnClassifier(scale, steps=steps or STEPS)
    return {"logistic": logistic, "forest": forest}[name](scale)


@dataclass(frozen=True)
class Study:
    """All that the rows of one command share."""

    protocol: str
    recipe: SubsetSpec
    data: str
    split: str
    classifier: str
    transform: str | None
    steps: int | None
    gan: GanArm
    gan_steps: int | None
    variant: str
    results: Path

    def tasks(self, draws: Sequence[int], arms: Sequence[str]) -> list[Task]:
        """Return a task for each draw and arm."""
        return [
            Task(self.key(draw, arm), partial(self.measure, draw, arm), SECONDS.get(arm, 40.0))
            for draw in draws
            for arm in arms
        ]

    def key(self, number: int, arm: str) -> Row:
        """Return what identifies a row; rows without a GAN serve all variants of it."""
        of, recipe = material(self.data, self.split), self.recipe
        counts = recipe.class_counts(of.pool).tolist()
        settings: list[Any] = [counts, recipe.rest_unlabeled, recipe.max_unlabeled, self.transform]
        settings += [self.classifier, self.steps]
        if arm == GAN:
            settings += [self.gan.name, self.gan.synthetic_fraction, self.gan.base, self.gan_steps]
        return {
            "benchmark": NAME,
            "protocol": self.protocol,
            "version": VERSION,
            "data": of.name,
            "sha256": of.sha256,
            "split": self.split,
            "draw": FIRST[self.split] + number,
            "arm": arm,
            "gan": self.gan.name if arm == GAN else None,
            "classifier": self.classifier,
            "variant": self.variant if arm == GAN else "default",
            "augan": augan.__version__,
            "settings": digest(settings),
        }

    def measure(self, number: int, arm: str) -> Row:
        """Train and judge one arm on one draw, and keep what its classifier said."""
        of = material(self.data, self.split)
        draw = _draw(self.data, self.split, FIRST[self.split] + number, self.recipe_key())
        transform = self.transform or default_transform(of.test.shape[1])
        judge = make_classifier(self.classifier, of.scale, self.steps)
        trial = EvaluationProtocol(judge, transform, self.gan, of.test)
        lesson, made = trial.training_set(arm, draw)
        predicted = trial.predict(lesson, draw)
        self.verdicts(arm).add(self.key(number, arm), predicted == of.labels)
        return {
            **classification_metrics(predicted, of.labels, of.num_classes),
            "n_train": len(draw.labels),
            "n_synthetic": 0 if made is None else len(made[1]),
            "n_test": len(of.labels),
        }

    def recipe_key(self) -> tuple[Any, ...]:
        """Return the recipe as a value that can be a key."""
        recipe = self.recipe
        rare = tuple(sorted(recipe.rare.items()))
        return recipe.labels_per_class, rare, recipe.rest_unlabeled, recipe.max_unlabeled

    @property
    def name(self) -> str:
        """What the files of this study are called."""
        return f"{NAME}-{self.protocol}-{material(self.data, self.split).name}"

    def verdicts(self, arm: str) -> Verdicts:
        """Return what classifiers of an arm said of single test images."""
        labels = material(self.data, self.split).labels
        folder = self.results / f"{self.name}-{self.split}-verdicts"
        return Verdicts(folder / f"{arm}.jsonl", labels)


@functools.lru_cache(maxsize=1)  # all arms of a draw come one after another
def _draw(data: str, split: str, number: int, recipe: tuple[Any, ...]) -> LabelSubset:
    labels, rare, rest, most = recipe
    of = material(data, split)
    return sample_subset(of.pool, SubsetSpec(labels, dict(rare), rest, most), 0, number)


def summarise(study: Study, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the mean figures of each arm, and the lift of the GAN arm where it was measured."""
    of, first = material(study.data, study.split), FIRST[study.split]
    means: dict[str, Any] = {}
    right: dict[str, np.ndarray] = {}
    for arm in dict.fromkeys(row["arm"] for row in rows):
        own = [row for row in rows if row["arm"] == arm]
        means[arm] = {name: float(np.mean([row[name] for row in own])) for name in FIGURES}
        means[arm]["recall"] = np.mean([row["recall"] for row in own], axis=0).tolist()
        verdicts = study.verdicts(arm)
        found = [verdicts.find(study.key(row["draw"] - first, arm)) for row in own]
        known = [one for one in found if one is not None]
        if len(known) < len(own):
            print(f"note: of {len(own) - len(known)} of {len(own)} rows of {arm} are no verdicts")
            continue
        right[arm] = np.stack(known)
    whole = len(right) == len(means)  # a lift must be one over all arms
    lift = _lift(study, right, of.labels) if whole else {}
    return {"gan_arm": study.gan.name, "arms": means, **lift}


def _lift(study: Study, right: dict[str, np.ndarray], labels: np.ndarray) -> dict[str, Any]:
    draws = {len(values) for values in right.values()}
    others = [arm for arm in right if arm != GAN]
    if GAN not in right or not others or len(draws) != 1 or draws == {1}:
        return {}
    if study.gan.base not in others:
        print(f"note: {study.gan.base}, which the GAN arm stands on, is no rival: that is no lift")
    bootstrap = BootstrapComparison(right, labels, child_rng(0, "lift", "bootstrap"))
    lead = bootstrap.compare(GAN, others)
    labeled = [arm for arm in others if not ARMS[arm].uses_unlabeled]
    only = bootstrap.compare(GAN, labeled or others)
    return {
        "best_other": lead.best_baseline,
        "lift": lead.interval.value,
        "ci_low": lead.interval.low,
        "ci_high": lead.interval.high,
        "over": {arm: interval.to_dict() for arm, interval in lead.differences.items()},
        "lift_vs_labeled_only": only.interval.value,
        "labeled_only": {"best_baseline": only.best_baseline, **only.interval.to_dict()},
        "draws": draws.pop(),
    }


def show(summary: dict[str, Any]) -> None:
    """Print the means of the arms, and the lift."""
    for arm, of in sorted(summary["arms"].items(), key=lambda item: -item[1]["balanced_accuracy"]):
        print(
            f"{arm:15} balanced accuracy {of['balanced_accuracy']:.4f}  "
            f"macro-F1 {of['macro_f1']:.4f}  accuracy {of['accuracy']:.4f}"
        )
    if "lift" in summary:
        print(
            f"{summary['gan_arm']} against {summary['best_other']}: {100 * summary['lift']:+.2f} "
            f"points [{100 * summary['ci_low']:.2f}, {100 * summary['ci_high']:.2f}], "
            f"{summary['draws']} draws"
        )


def study_of(arguments: argparse.Namespace) -> Study:
    """Return the study that the command line describes."""
    recipe = PROTOCOLS[arguments.protocol]
    if arguments.labels_per_class is not None:
        recipe = replace(recipe, labels_per_class=arguments.labels_per_class, rare={})
    if arguments.rare:
        recipe = replace(recipe, rare=dict(arguments.rare))
    gan = GAN_ARMS[arguments.gan](arguments.gan_steps)
    base = default_base(recipe.rest_unlabeled, arguments.classifier == "cnn")
    changes = {"synthetic_fraction": arguments.synthetic_fraction, "base": arguments.base or base}
    return Study(
        protocol=arguments.protocol,
        recipe=recipe,
        data=arguments.data,
        split=arguments.split,
        classifier=arguments.classifier,
        transform=arguments.transform,
        steps=arguments.steps,
        gan=replace(gan, **{k: v for k, v in changes.items() if v is not None}),
        gan_steps=arguments.gan_steps,
        variant=arguments.variant,
        results=arguments.results,
    )


def _compare(arguments: argparse.Namespace) -> None:
    study = study_of(arguments)
    of = material(study.data, study.split)
    counts = study.recipe.class_counts(of.pool)
    has_rare = bool(counts.min() < counts.max())
    is_network = study.classifier == "cnn"
    usual = select_arms(None, study.recipe.rest_unlabeled, is_network, has_rare)
    arms = arguments.arms or [arm for arm in usual if arm != ABLATION]
    tasks = study.tasks(arguments.repeats, arms)
    rows = run(tasks, Results(arguments.results / f"{study.name}.jsonl"))
    summary = summarise(study, rows)
    write_json(arguments.json, {"rows": rows, "summary": summary})
    show(summary)


def _draws(text: str) -> list[int]:
    numbers = span(text)
    if numbers is None:
        raise argparse.ArgumentTypeError(f"expected a number such as 20, or 0-9, got {text!r}")
    return list(numbers) if "-" in text else list(range(numbers[0]))


def _arms(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in (*ARMS, GAN)]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"there is no arm {', '.join(unknown)}; choose from {', '.join((*ARMS, GAN))}"
        )
    return names


def _rare(text: str) -> tuple[str, int]:
    name, equals, count = text.rpartition("=")
    if not equals or not count.isdecimal():
        raise argparse.ArgumentTypeError(f"expected CLASS=N, got {text!r}")
    return name, int(count)


def _add_protocol(commands: Any, name: str, about: str) -> None:
    parser = commands.add_parser(name, help=about)
    parser.add_argument("--data", default="fashion-mnist", help="a built-in name or a folder")
    parser.add_argument("--repeats", type=_draws, default=list(range(20)), help="20, or 0-9")
    parser.add_argument("--arms", type=_arms, help="comma between them; default: all that fit")
    parser.add_argument("--labels-per-class", type=int, help="of each class, if not the protocol's")
    parser.add_argument("--rare", type=_rare, action="append", help="CLASS=N; may be repeated")
    parser.add_argument("--classifier", choices=("cnn", "logistic", "forest"), default="cnn")
    parser.add_argument("--transform", choices=TRANSFORMS, help="if not the usual one")
    parser.add_argument("--steps", type=int, help="of the network that judges")
    parser.add_argument("--gan", choices=GAN_ARMS, default=DEFAULT_GAN_ARM)
    parser.add_argument("--gan-steps", type=int, help="updates of the GAN")
    parser.add_argument("--synthetic-fraction", type=float, help="of synthetic images")
    parser.add_argument("--base", choices=ARMS, help="the arm that they are added to")
    add_arguments(parser, NAME, seeds=False)
    parser.set_defaults(run=_compare, protocol=name)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.augmentation.gain", description=__doc__
    )
    commands = parser.add_subparsers(required=True)
    _add_protocol(commands, "imbalanced", "three classes are rare")
    _add_protocol(commands, "few-labels", "20 labels of each class, 10,000 images without")
    controls = commands.add_parser(
        "controls", help="how often a lift is claimed where there is none"
    )
    controls.add_argument(
        "--runs", type=int, default=gain_null_controls.RUNS, help="of each control"
    )
    controls.add_argument("--json", type=Path, required=True, metavar="FILE")
    controls.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    controls.set_defaults(run=gain_null_controls.compare)
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except AuganError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()

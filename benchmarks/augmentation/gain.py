"""Gain benchmark: does a classifier benefit from the images of a GAN?

    python -m benchmarks.augmentation.gain imbalanced --repeats 20 --split dev --json gain.json
    python -m benchmarks.augmentation.gain few-labels --repeats 20 --split dev --json gain.json
    python -m benchmarks.augmentation.gain controls --json controls.json

`imbalanced`: three classes of Fashion-MNIST (pullover, coat, bag) have 20 labels, the others 300.
`few-labels`: each class has 20 labels, and there are 10,000 unlabeled images. `--rare` and
`--labels-per-class` set the numbers for other data. The split dev tests on 2,000 images cut from
the training files, in the repeats 100, 101, ...; the split test tests on the test files, in the
repeats 0, 1, ...

Rows are written one by one. Several processes may share the work: start them with `--repeats 0-9`
and `--repeats 10-19`, and then once more with all repeats, which only reads. The correct
predictions of the classifiers are stored next to the rows, for the confidence interval of the gain.
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
from augan.augment.methods.registry import generator_method_names
from augan.augment.transforms import TRANSFORMS
from augan.choices import ARMS
from augan.data.cache import decode_all
from augan.data.dataset import Dataset
from augan.data.loading import load_dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.evaluation.augmentation.arms import ABLATION, GAN, default_base, select_arms
from augan.evaluation.augmentation.classifiers import forest, logistic
from augan.evaluation.augmentation.evaluator import (
    ArmEvaluator,
    classification_metrics,
    default_transform,
)
from augan.evaluation.augmentation.gan_arms import DEFAULT_GAN_ARM, gan_arm
from augan.evaluation.augmentation.subsets import (
    LabelPool,
    LabelSubset,
    SubsetSpec,
    sample_subset,
)
from augan.evaluation.augmentation.synthetic import GanArm
from augan.evaluation.augmentation.training_set import Classifier
from augan.exceptions import AuganError, DataError
from augan.io.hashing import sha256_array
from augan.metrics.statistics import BootstrapComparison
from augan.seeding import child_rng
from augan.training.defaults import native_dtype
from benchmarks.augmentation import gain_null_controls
from benchmarks.common.harness import (
    RESULTS,
    Results,
    Row,
    Task,
    add_arguments,
    digest,
    parse_range,
    run,
    write_json,
)
from benchmarks.common.prediction_store import PredictionStore

NAME = "lift"  # the name of the first measurement, kept in rows, files and seeds
PROTOCOLS = {
    "imbalanced": SubsetSpec(labels_per_class=300, rare={"2": 20, "4": 20, "8": 20}),
    "few-labels": SubsetSpec(labels_per_class=20, rest_unlabeled=True, max_unlabeled=10_000),
}
VERSION = 3  # of the protocols: 2 added correct predictions, 3 has smaller batches
NUM_DEV_IMAGES = 2000
FIRST_REPEAT = {"dev": 100, "test": 0}  # the splits share no repeat
SECONDS = {GAN: 600.0}  # expected seconds of a row
METRICS = ("balanced_accuracy", "accuracy", "macro_f1")


@dataclass(frozen=True, eq=False)
class GainData:
    """Training and test images of a split."""

    name: str
    pool: LabelPool
    test_images: np.ndarray
    test_labels: np.ndarray
    normalize: Callable[[np.ndarray], np.ndarray]
    sha256: str

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.pool.class_names)


@functools.cache
def load_gain_data(data: str, split: str) -> GainData:
    """Load a dataset; the split dev never opens the test part."""
    train = load_dataset(data)
    if train.labels is None:
        raise DataError(f"{train.name} has no classes; give a folder of class folders")
    preprocessing = ImagePreprocessing.fit(train)
    images, labels = _prepare(train, preprocessing, train.class_names)
    if split == "test":
        test = load_dataset(data, subset="test")
        test_images, test_labels = _prepare(test, preprocessing, train.class_names)
    else:
        is_test = _cut_dev_images(labels)
        test_images, test_labels = images[is_test], labels[is_test]
        images, labels = images[~is_test], labels[~is_test]
    pool = LabelPool(images, labels, train.class_names)
    arrays = (images, labels, test_images, test_labels)
    sha256 = digest([sha256_array(array) for array in arrays])
    return GainData(train.name, pool, test_images, test_labels, preprocessing.normalize, sha256)


def _prepare(
    dataset: Dataset, preprocessing: ImagePreprocessing, class_names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    dataset, images = decode_all(dataset, preprocessing)
    index = np.array([class_names.index(name) for name in dataset.class_names])
    return images, index[dataset.labels]


def _cut_dev_images(labels: np.ndarray) -> np.ndarray:
    """Return which training images the split dev tests on, bool `[N]`.

    These are equally many of each class, at most half of a class.
    """
    is_test = np.zeros(len(labels), bool)
    per_class = NUM_DEV_IMAGES // len(np.unique(labels))
    for label in np.unique(labels):
        rows = child_rng(0, "lift", "dev", int(label)).permutation(np.flatnonzero(labels == label))
        is_test[rows[: min(per_class, len(rows) // 2)]] = True
    return is_test


def make_classifier(name: str, normalize: Callable, steps: int | None) -> Classifier:
    """Return a classifier by its name; `steps` applies to the network only."""
    if name == "cnn":
        from augan.evaluation.augmentation.cnn import STEPS, CnnClassifier

        return CnnClassifier(normalize, steps=steps or STEPS, dtype=native_dtype())
    return {"logistic": logistic, "forest": forest}[name](normalize)


@dataclass(frozen=True)
class Study:
    """Settings that all rows of a command share."""

    protocol: str
    spec: SubsetSpec
    data: str
    split: str
    classifier: str
    transform: str | None
    steps: int | None
    gan_arm: GanArm
    gan_steps: int | None
    variant: str
    results: Path

    @property
    def name(self) -> str:
        """Stem of the files of the study."""
        return f"{NAME}-{self.protocol}-{self.load().name}"

    def load(self) -> GainData:
        """Return the data of the study."""
        return load_gain_data(self.data, self.split)

    def tasks(self, repeats: Sequence[int], arms: Sequence[str]) -> list[Task]:
        """Return a task for each repeat and arm."""
        return [
            Task(self.key(repeat, arm), partial(self.measure, repeat, arm), SECONDS.get(arm, 40.0))
            for repeat in repeats
            for arm in arms
        ]

    def key(self, repeat: int, arm: str) -> Row:
        """Return the key of a row; rows without a GAN are the same for all variants of the GAN."""
        data, spec = self.load(), self.spec
        counts = spec.class_counts(data.pool).tolist()
        settings: list[Any] = [counts, spec.rest_unlabeled, spec.max_unlabeled, self.transform]
        settings += [self.classifier, self.steps]
        if arm == GAN:
            gan_arm = self.gan_arm
            settings += [gan_arm.name, gan_arm.synthetic_fraction, gan_arm.base, self.gan_steps]
        return {
            "benchmark": NAME,
            "protocol": self.protocol,
            "version": VERSION,
            "data": data.name,
            "sha256": data.sha256,
            "split": self.split,
            "draw": FIRST_REPEAT[self.split] + repeat,
            "arm": arm,
            "gan": self.gan_arm.name if arm == GAN else None,
            "classifier": self.classifier,
            "variant": self.variant if arm == GAN else "default",
            "augan": augan.__version__,
            "settings": digest(settings),
        }

    def measure(self, repeat: int, arm: str) -> Row:
        """Train and test one arm of a repeat, and store its correct predictions."""
        data = self.load()
        number = FIRST_REPEAT[self.split] + repeat
        subset = _sample_subset(self.data, self.split, number, self._hashable_spec())
        transform = self.transform or default_transform(data.test_images.shape[1])
        classifier = make_classifier(self.classifier, data.normalize, self.steps)
        evaluator = ArmEvaluator(classifier, transform, self.gan_arm, data.test_images)
        training_set, synthetic = evaluator.training_set(arm, subset)
        predicted = evaluator.predict(training_set, subset)
        self.predictions(arm).add(self.key(repeat, arm), predicted == data.test_labels)
        return {
            **classification_metrics(predicted, data.test_labels, data.num_classes),
            "n_train": len(subset.labels),
            "n_synthetic": 0 if synthetic is None else len(synthetic[1]),
            "n_test": len(data.test_labels),
        }

    def predictions(self, arm: str) -> PredictionStore:
        """Return the store of the correct predictions of an arm."""
        folder = self.results / f"{self.name}-{self.split}-verdicts"
        return PredictionStore(folder / f"{arm}.jsonl", self.load().test_labels)

    def _hashable_spec(self) -> tuple[Any, ...]:
        spec = self.spec
        rare = tuple(sorted(spec.rare.items()))
        return spec.labels_per_class, rare, spec.rest_unlabeled, spec.max_unlabeled


@functools.lru_cache(maxsize=1)  # the arms of a repeat follow each other
def _sample_subset(data: str, split: str, repeat: int, spec: tuple[Any, ...]) -> LabelSubset:
    labels_per_class, rare, rest_unlabeled, max_unlabeled = spec
    pool = load_gain_data(data, split).pool
    return sample_subset(
        pool, SubsetSpec(labels_per_class, dict(rare), rest_unlabeled, max_unlabeled), 0, repeat
    )


def summarize(study: Study, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the mean metrics of each arm, and the gain of the GAN arm if it was measured."""
    first = FIRST_REPEAT[study.split]
    means: dict[str, Any] = {}
    correct: dict[str, np.ndarray] = {}
    for arm in dict.fromkeys(row["arm"] for row in rows):
        arm_rows = [row for row in rows if row["arm"] == arm]
        means[arm] = {name: float(np.mean([row[name] for row in arm_rows])) for name in METRICS}
        means[arm]["recall"] = np.mean([row["recall"] for row in arm_rows], axis=0).tolist()
        store = study.predictions(arm)
        stored = [store.find(study.key(row["draw"] - first, arm)) for row in arm_rows]
        available = [predictions for predictions in stored if predictions is not None]
        if len(available) < len(arm_rows):
            missing = len(arm_rows) - len(available)
            print(f"note: {missing} of {len(arm_rows)} rows of {arm} have no stored predictions")
            continue
        correct[arm] = np.stack(available)
    is_complete = len(correct) == len(means)  # the gain is the difference to the best of all arms
    gain = _gain(study, correct) if is_complete else {}
    return {"gan_arm": study.gan_arm.name, "arms": means, **gain}


def _gain(study: Study, correct: dict[str, np.ndarray]) -> dict[str, Any]:
    num_repeats = {len(values) for values in correct.values()}
    baselines = [arm for arm in correct if arm != GAN]
    if GAN not in correct or not baselines or len(num_repeats) != 1 or num_repeats == {1}:
        return {}
    base = study.gan_arm.base
    if base not in baselines:
        print(f"note: {base}, the base of the GAN arm, was not measured: the gain is too high")
    labels = study.load().test_labels
    bootstrap = BootstrapComparison(correct, labels, child_rng(0, "lift", "bootstrap"))
    comparison = bootstrap.compare(GAN, baselines)
    labeled_only = [arm for arm in baselines if not ARMS.get(arm).uses_unlabeled]
    over_labeled = bootstrap.compare(GAN, labeled_only or baselines)
    return {
        "best_baseline": comparison.best_baseline,
        "gain": comparison.interval.value,
        "ci_low": comparison.interval.low,
        "ci_high": comparison.interval.high,
        "differences": {
            arm: interval.to_dict() for arm, interval in comparison.differences.items()
        },
        "gain_over_labeled_only": {
            "best_baseline": over_labeled.best_baseline,
            **over_labeled.interval.to_dict(),
        },
        "num_repeats": num_repeats.pop(),
    }


def print_summary(summary: dict[str, Any]) -> None:
    """Print the means of the arms, and the gain."""
    by_accuracy = sorted(summary["arms"].items(), key=lambda item: -item[1]["balanced_accuracy"])
    for arm, means in by_accuracy:
        print(
            f"{arm:15} balanced accuracy {means['balanced_accuracy']:.4f}  "
            f"macro-F1 {means['macro_f1']:.4f}  accuracy {means['accuracy']:.4f}"
        )
    if "gain" in summary:
        print(
            f"{summary['gan_arm']} against {summary['best_baseline']}: "
            f"{100 * summary['gain']:+.2f} points [{100 * summary['ci_low']:.2f}, "
            f"{100 * summary['ci_high']:.2f}], {summary['num_repeats']} repeats"
        )


def parse_study(arguments: argparse.Namespace) -> Study:
    """Return the study of the command line."""
    spec = PROTOCOLS[arguments.protocol]
    if arguments.labels_per_class is not None:
        spec = replace(spec, labels_per_class=arguments.labels_per_class, rare={})
    if arguments.rare:
        spec = replace(spec, rare=dict(arguments.rare))
    base = arguments.base or default_base(spec.rest_unlabeled, arguments.classifier == "cnn")
    arm = gan_arm(arguments.gan, arguments.gan_steps, base=base)
    if arguments.synthetic_fraction is not None:
        arm = replace(arm, synthetic_fraction=arguments.synthetic_fraction)
    return Study(
        protocol=arguments.protocol,
        spec=spec,
        data=arguments.data,
        split=arguments.split,
        classifier=arguments.classifier,
        transform=arguments.transform,
        steps=arguments.steps,
        gan_arm=arm,
        gan_steps=arguments.gan_steps,
        variant=arguments.variant,
        results=arguments.results,
    )


def _run_study(arguments: argparse.Namespace) -> None:
    study = parse_study(arguments)
    counts = study.spec.class_counts(study.load().pool)
    is_imbalanced = bool(counts.min() < counts.max())
    is_network = study.classifier == "cnn"
    eligible = select_arms(None, study.spec.rest_unlabeled, is_network, is_imbalanced)
    arms = arguments.arms or [arm for arm in eligible if arm != ABLATION]
    tasks = study.tasks(arguments.repeats, arms)
    rows = run(tasks, Results(arguments.results / f"{study.name}.jsonl"))
    summary = summarize(study, rows)
    write_json(arguments.json, {"rows": rows, "summary": summary})
    print_summary(summary)


def _parse_repeats(text: str) -> list[int]:
    numbers = parse_range(text)
    if numbers is None:
        raise argparse.ArgumentTypeError(f"expected a number such as 20, or 0-9, got {text!r}")
    return list(numbers) if "-" in text else list(range(numbers[0]))


def _parse_arms(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in (*ARMS.names(), GAN)]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"unknown arm {', '.join(unknown)}; choose from {', '.join((*ARMS.names(), GAN))}"
        )
    return names


def _parse_rare(text: str) -> tuple[str, int]:
    name, equals, count = text.rpartition("=")
    if not equals or not count.isdecimal():
        raise argparse.ArgumentTypeError(f"expected CLASS=N, got {text!r}")
    return name, int(count)


def _add_protocol(commands: Any, name: str, about: str) -> None:
    parser = commands.add_parser(name, help=about)
    parser.add_argument("--data", default="fashion-mnist", help="a built-in name or a folder")
    parser.add_argument(
        "--repeats", type=_parse_repeats, default=list(range(20)), help="20, or 0-9"
    )
    parser.add_argument("--arms", type=_parse_arms, help="comma-separated; default: all eligible")
    parser.add_argument("--labels-per-class", type=int, help="default: that of the protocol")
    parser.add_argument("--rare", type=_parse_rare, action="append", help="CLASS=N; repeatable")
    parser.add_argument("--classifier", choices=("cnn", "logistic", "forest"), default="cnn")
    parser.add_argument("--transform", choices=TRANSFORMS, help="classic augmentation")
    parser.add_argument("--steps", type=int, help="updates of the classifier cnn")
    parser.add_argument("--gan", choices=generator_method_names(), default=DEFAULT_GAN_ARM)
    parser.add_argument("--gan-steps", type=int, help="updates of the GAN")
    parser.add_argument("--synthetic-fraction", type=float, help="of the samples of a class")
    parser.add_argument(
        "--base", choices=ARMS.names(), help="arm that synthetic images are added to"
    )
    add_arguments(parser, NAME, seeds=False)
    parser.set_defaults(run=_run_study, protocol=name)


def main(argv: Sequence[str] | None = None) -> None:
    """Run a protocol, or the null controls."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.augmentation.gain", description=__doc__
    )
    commands = parser.add_subparsers(required=True)
    _add_protocol(commands, "imbalanced", "three classes are rare")
    _add_protocol(commands, "few-labels", "20 labels of each class, 10,000 unlabeled images")
    controls = commands.add_parser("controls", help="rate of claimed gains where there is none")
    controls.add_argument(
        "--runs", type=int, default=gain_null_controls.NUM_RUNS, help="of each control"
    )
    controls.add_argument("--classifier", choices=("logistic", "cnn"), default="logistic")
    controls.add_argument("--json", type=Path, required=True, metavar="FILE")
    controls.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    controls.set_defaults(run=gain_null_controls.run_controls)
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except AuganError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()

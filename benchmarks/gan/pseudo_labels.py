"""Pseudo-label benchmark: the value of unlabeled images for a conditional GAN.

    python -m benchmarks.gan.pseudo_labels --json F

In four fifths of the training digits, 10 images of each class keep their label and the others
become unlabeled. The GAN is trained with each kind of pseudo-labels. The metrics use the last
fifth, real images that no network trains on: the accuracies of a logistic regression and of the 3
nearest neighbors, both fitted to 2,000 generated labeled images alone, and the kernel distance in
the features of a classifier that is trained on all four fifths. Test digits are not used, so
`--split` has one value.
"""

import argparse
import functools
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import augan
from augan import Config, from_arrays, load_dataset
from augan.augment.generator import GeneratorSampler
from augan.bundle import Bundle, restore_network
from augan.data.dataset import Dataset
from augan.features.classifier import FeatureExtractor
from augan.gan.inference import BatchInference
from augan.metrics.fidelity import kernel_distance
from augan.seeding import child_rng
from augan.training.budget import TrainingBudget
from augan.training.defaults import resolve_defaults
from augan.training.trainer import TrainingData, train_stages
from augan.workflow.train import train
from benchmarks.common.harness import (
    Results,
    Row,
    Task,
    add_arguments,
    digest,
    run,
    spread,
    write_json,
)

NAME = "unlabelled"  # the name of the first measurement, kept in rows, files and seeds
METHODS = ("labelled only", "hard", "confident", "soft")
PSEUDO_LABELS = {"confident": "thresholded"}
"""Method -> its setting; rows keep the name of the first measurement."""
LABELS_PER_CLASS = 10
NUM_GENERATED = 2000
STEPS = 1000
SECONDS = 25.0  # expected seconds of a row
METRICS = ("logistic_regression", "neighbours", "kernel_distance", "guessed_right")


def split_digits() -> tuple[Dataset, Dataset]:
    """Return the training and the test images, both with their labels."""
    training = load_dataset("digits")
    is_test = child_rng(0, "unlabelled dev").random(len(training)) < 0.2
    return training.subset(~is_test), training.subset(is_test)


def remove_labels(training: Dataset, seed: int) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """Return a dataset with few labels, its unlabeled images, and their true labels."""
    labels = np.asarray(training.labels)
    order = child_rng(seed, "labelled").permutation(len(training))
    chosen = [
        order[labels[order] == label][:LABELS_PER_CLASS] for label in range(training.num_classes)
    ]
    labeled = np.sort(np.concatenate(chosen))
    rest = np.setdiff1d(np.arange(len(training)), labeled)
    images = np.asarray(training.images)
    dataset = from_arrays(images[labeled], labels[labeled], unlabeled=images[rest])
    return dataset, images[rest], labels[rest]


def measure(method: str, seed: int, steps: int) -> Row:
    """Train with one kind of pseudo-labels, and return the metrics."""
    training, test = split_digits()
    dataset, unlabeled, true_labels = remove_labels(training, seed)
    config = Config(seed=seed, task="generate").replace(
        training__steps=steps, training__store_latents=False
    )
    if method == "labelled only":
        dataset = dataset.without_unlabeled()
    else:
        config = config.replace(gan__pseudo_labels=PSEUDO_LABELS.get(method, method))
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        bundle = train(config, dataset, out=Path(folder) / "run")
    seconds = round(time.monotonic() - begun, 1)
    sampler = GeneratorSampler(bundle)
    blocks = list(sampler.sample_by_frequency(NUM_GENERATED, seed))
    generated = np.concatenate([images for images, _ in blocks])
    classes = np.concatenate([labels for _, labels in blocks])
    real, labels = np.asarray(test.images), np.asarray(test.labels)
    classifiers = {
        "logistic_regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        "neighbours": KNeighborsClassifier(3),
    }
    features, normalize = extractor(steps), sampler.preprocessing.normalize
    return {
        **{
            name: float(classifier.fit(_flatten(generated), classes).score(_flatten(real), labels))
            for name, classifier in classifiers.items()
        },
        "kernel_distance": kernel_distance(
            real=features(normalize(real)), generated=features(normalize(generated))
        ),
        "guessed_right": pseudo_label_accuracy(bundle, unlabeled, true_labels),
        "used": bundle.metrics.pseudo_labels.used if bundle.metrics.pseudo_labels else 0,
        "train_s": seconds,
    }


def pseudo_label_accuracy(bundle: Bundle, images: np.ndarray, true_labels: np.ndarray) -> float:
    """Return the accuracy of the classifier of a bundle on unlabeled images."""
    model = restore_network(bundle, "classifier")
    classify = BatchInference(lambda images: model(images, training=False), model.input_shape[1:])
    inputs = bundle.preprocessing.normalize(images)
    return float((classify(inputs)[0].argmax(axis=1) == true_labels).mean())


@functools.cache
def extractor(steps: int) -> FeatureExtractor:
    """Return the features of a classifier of all labels, the same for all methods."""
    training, _ = split_digits()
    config, preprocessing = resolve_defaults(Config(task="generate"), training)
    pixels = preprocessing.prepare_all(training.images)
    data = TrainingData(pixels, training.labels, training.num_classes, preprocessing)
    networks = train_stages(config, data, ["classifier"], TrainingBudget(2 * steps))
    return FeatureExtractor(
        "classifier", networks.models["classifier"], preprocessing.normalize(pixels)
    )


def _flatten(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float32)


def tasks(seeds: Sequence[int], steps: int, variant: str) -> list[Task]:
    """Return a task for each seed and kind of pseudo-labels."""
    return [
        Task(
            {
                "benchmark": NAME,
                "data": "digits",
                "split": "dev",
                "method": method,
                "seed": seed,
                "settings": digest(
                    {"labels": LABELS_PER_CLASS, "generated": NUM_GENERATED, "steps": steps}
                ),
                "steps": steps,
                "augan": augan.__version__,
                "variant": variant,
            },
            partial(measure, method, seed, steps),
            SECONDS,
        )
        for seed in seeds
        for method in METHODS
    ]


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the spread over seeds of each metric, by method."""
    return {
        method: {
            name: spread([row[name] for row in rows if row["method"] == method]) for name in METRICS
        }
        for method in dict.fromkeys(row["method"] for row in rows)
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all kinds of pseudo-labels, and print their table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gan.pseudo_labels", description=__doc__
    )
    parser.add_argument("--steps", type=int, default=STEPS, help="updates of the GAN")
    add_arguments(parser, NAME)
    arguments = parser.parse_args(argv)
    rows = run(
        tasks(arguments.seeds, arguments.steps, arguments.variant),
        Results(arguments.results / f"{NAME}.jsonl"),
    )
    summary = summarize(rows)
    write_json(arguments.json, {"rows": rows, "summary": summary})
    for method, spreads in summary.items():
        means = "  ".join(f"{name} {spreads[name]['mean']:.4f}" for name in METRICS)
        print(f"{method:10} {means}")


if __name__ == "__main__":
    main()

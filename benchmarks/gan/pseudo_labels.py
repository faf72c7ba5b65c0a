"""What are unlabeled images worth to a conditional GAN, and how should their class be guessed?

    python -m benchmarks.gan.pseudo_labels --json unlabelled.json

Of four fifths of the training digits, 10 of each class keep their label and the others lose it.
The GAN is trained with each way to guess their class. It is judged on the last fifth, real images
that no network saw: by the accuracy of a logistic regression and of 3 nearest neighbours, both
fitted on 2,000 generated labeled images alone, and by the kernel distance in features of a
classifier of all four fifths. Test digits are not used, so `--split` has one value.
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
from augan.augment.methods.prior import GeneratorSampler
from augan.bundle import Bundle, restore_network
from augan.data.dataset import Dataset
from augan.data.modalities.images import ImagePreprocessing
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

NAME = "unlabelled"
METHODS = ("labelled only", "hard", "confident", "soft")
SETTINGS = {"confident": "thresholded"}  # the rows keep the name of the first measurement
LABELS = 10  # of each class
GENERATED = 2000
STEPS = 1000
SECONDS = 25.0
FIGURES = ("logistic_regression", "neighbours", "kernel_distance", "guessed_right")


def parts() -> tuple[Dataset, Dataset]:
    """Return the images to train on and those to judge on, both with their labels."""
    training = load_dataset("digits")
    judged = child_rng(0, "unlabelled dev").random(len(training)) < 0.2
    return training.subset(~judged), training.subset(judged)


def few_labels(training: Dataset, seed: int) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """Return a dataset of which most images lost their label, these images, and their labels."""
    labels = np.asarray(training.labels)
    order = child_rng(seed, "labelled").permutation(len(training))
    chosen = [order[labels[order] == label][:LABELS] for label in range(training.num_classes)]
    labeled = np.sort(np.concatenate(chosen))
    rest = np.setdiff1d(np.arange(len(training)), labeled)
    images = np.asarray(training.images)
    dataset = from_arrays(images[labeled], labels[labeled], unlabeled=images[rest])
    return dataset, images[rest], labels[rest]


def measure(method: str, seed: int, steps: int) -> Row:
    """Train with one way to guess the classes, and return the figures."""
    training, judged = parts()
    dataset, unlabeled, truth = few_labels(training, seed)
    config = Config(seed=seed, task="generate").replace(
        training__steps=steps, training__store_latents=False
    )
    if method == "labelled only":
        dataset = dataset.without_unlabeled()
    else:
        config = config.replace(gan__pseudo_labels=SETTINGS.get(method, method))
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        bundle = train(config, dataset, out=Path(folder) / "run")
    seconds = round(time.monotonic() - begun, 1)
    sampler = GeneratorSampler(bundle)
    blocks = list(sampler.sample_by_frequency(GENERATED, seed))
    made = np.concatenate([images for images, _ in blocks])
    classes = np.concatenate([labels for _, labels in blocks])
    real, labels = np.asarray(judged.images), np.asarray(judged.labels)
    judges = {
        "logistic_regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        "neighbours": KNeighborsClassifier(3),
    }
    features, scale = extractor(steps), sampler.preprocessing.normalize
    return {
        **{
            name: float(judge.fit(_flat(made), classes).score(_flat(real), labels))
            for name, judge in judges.items()
        },
        "kernel_distance": kernel_distance(
            real=features(scale(real)), generated=features(scale(made))
        ),
        "guessed_right": guessed_right(bundle, unlabeled, truth),
        "used": (bundle.metrics.get("pseudo_labels") or {"used": 0})["used"],
        "train_s": seconds,
    }


def guessed_right(bundle: Bundle, images: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of unlabeled images whose class the agreement classifier guesses."""
    model = restore_network(bundle, "classifier")
    classify = BatchInference(lambda images: model(images, training=False), model.input_shape[1:])
    squares = ImagePreprocessing.from_dict(bundle.preprocessing).normalize(images)
    return float((classify(squares)[0].argmax(axis=1) == truth).mean())


@functools.cache
def extractor(steps: int) -> FeatureExtractor:
    """Return features of a classifier that was fitted on all labels, the same for all methods."""
    training, _ = parts()
    config, preprocessing = resolve_defaults(Config(task="generate"), training)
    squares = preprocessing.prepare_all(training.images)
    data = TrainingData(squares, training.labels, training.num_classes, preprocessing)
    networks = train_stages(config, data, ["classifier"], TrainingBudget(2 * steps))
    return FeatureExtractor(
        "classifier", networks.models["classifier"], preprocessing.normalize(squares)
    )


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float32)


def tasks(seeds: Sequence[int], steps: int, variant: str) -> list[Task]:
    """Return one task for each seed and way to guess."""
    return [
        Task(
            {
                "benchmark": NAME,
                "data": "digits",
                "split": "dev",
                "method": method,
                "seed": seed,
                "settings": digest({"labels": LABELS, "generated": GENERATED, "steps": steps}),
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


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the spread over seeds of each figure, by method."""
    return {
        method: {
            name: spread([row[name] for row in rows if row["method"] == method]) for name in FIGURES
        }
        for method in dict.fromkeys(row["method"] for row in rows)
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure every way to guess and print their table."""
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
    summary = summarise(rows)
    write_json(arguments.json, {"rows": rows, "summary": summary})
    for method, figures in summary.items():
        shown = "  ".join(f"{name} {figures[name]['mean']:.4f}" for name in FIGURES)
        print(f"{method:10} {shown}")


if __name__ == "__main__":
    main()

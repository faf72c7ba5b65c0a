"""Classification accuracy score: a classifier that trains on generated images alone.

    python -m benchmarks.gan.classification_accuracy_score --data fashion-mnist --max-minutes 15
        --split test --json F

A conditional GAN is trained for the given number of minutes. A small CNN is then trained on 10,000
generated labeled images alone, and the same CNN on 10,000 real images. Both are tested on real
images (Ravuri and Vinyals 2019, "Classification Accuracy Score"). `--split dev` trains on four
fifths of the training images and tests on the rest; `--split test` trains on all training images
and tests on the test part. No choice depends on the test images.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import augan
from augan import Config, load_dataset
from augan.augment.generator import GeneratorSampler
from augan.bundle import Bundle
from augan.data.dataset import Dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.exceptions import AuganError
from augan.seeding import child_rng
from augan.workflow.train import train
from benchmarks.common.harness import Results, Row, Task, add_arguments, digest, run, write_json

NAME = "fidelity"  # the name of the first measurement, kept in rows, files and seeds
NUM_IMAGES = 10_000
EPOCHS = 12


@dataclass(frozen=True)
class Images:
    """Prepared images with their classes."""

    pixels: np.ndarray
    labels: np.ndarray


def split_dataset(data: str, split: str) -> tuple[Dataset, Dataset]:
    """Return the training and the test images."""
    training = load_dataset(data, subset="train")
    if split == "test":
        return training, load_dataset(data, subset="test")
    held_out = child_rng(0, "fidelity dev").random(len(training)) < 0.2
    return training.subset(~held_out), training.subset(held_out)


def measure(data: str, split: str, seed: int, config: Config) -> Row:
    """Train the GAN and both classifiers; return their accuracies and the metrics of the GAN."""
    training, testing = split_dataset(data, split)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        bundle = train(config.replace(seed=seed), training, out=Path(folder) / "run")
    minutes = (time.monotonic() - begun) / 60
    preprocessing = bundle.preprocessing
    test_images = Images(preprocessing.prepare_all(testing.images), np.asarray(testing.labels))
    subset = training.subset(child_rng(seed, "real").permutation(len(training))[:NUM_IMAGES])
    real = Images(preprocessing.prepare_all(subset.images), np.asarray(subset.labels))
    synthetic, metrics = generate(bundle, seed), bundle.metrics.fidelity
    return {
        "synthetic_only_accuracy": accuracy(synthetic, test_images, preprocessing, seed),
        "real_accuracy": accuracy(real, test_images, preprocessing, seed),
        "kernel_distance": metrics.kernel_distance,
        "kernel_distance_floor": metrics.floor.kernel_distance,
        "untrained_kernel_distance": metrics.untrained_kernel_distance,
        "coverage": metrics.coverage,
        "gan_steps": bundle.metrics.steps["gan"],
        "minutes": round(minutes, 2),
    }


def generate(bundle: Bundle, seed: int) -> Images:
    """Return generated images in the class proportions of the training, prepared."""
    sampler = GeneratorSampler(bundle)
    blocks = list(sampler.sample_by_frequency(NUM_IMAGES, seed))
    pixels = sampler.preprocessing.prepare_all(np.concatenate([images for images, _ in blocks]))
    return Images(pixels, np.concatenate([labels for _, labels in blocks]))


def accuracy(
    train_images: Images, test_images: Images, preprocessing: ImagePreprocessing, seed: int
) -> float:
    """Train a small CNN, and return its accuracy on the test images."""
    from augan.gan import keras

    keras.utils.set_random_seed(seed)
    classes = int(test_images.labels.max()) + 1
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(train_images.pixels.shape[1:]),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.4),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.4),
            layers.Dense(classes),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    scaled = preprocessing.normalize(train_images.pixels)
    model.fit(scaled, train_images.labels, batch_size=128, epochs=EPOCHS, verbose=0)
    scores = model.predict(preprocessing.normalize(test_images.pixels), batch_size=500, verbose=0)
    return float((scores.argmax(axis=1) == test_images.labels).mean())


def main(argv: Sequence[str] | None = None) -> None:
    """Measure a row for each seed, and print the means."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gan.classification_accuracy_score", description=__doc__
    )
    parser.add_argument("--data", default="fashion-mnist", help="a built-in name or a folder")
    parser.add_argument("--max-minutes", type=float, default=15.0, help="of the GAN training")
    parser.add_argument("--set", action="append", default=[], help="section.key=value")
    add_arguments(parser, NAME)
    parser.set_defaults(seeds=(0,))
    arguments = parser.parse_args(argv)
    config = Config(task="generate").override(
        [f"training.max_minutes={arguments.max_minutes}", "training.store_latents=false"]
    )
    config = config.override(arguments.set)
    tasks = [
        Task(
            {
                "benchmark": NAME,
                "data": Path(arguments.data).name,
                "split": arguments.split,
                "method": "conditional GAN",
                "seed": seed,
                "settings": digest(config.to_dict()),
                "set": arguments.set,
                "max_minutes": arguments.max_minutes,
                "augan": augan.__version__,
                "variant": arguments.variant,
            },
            partial(measure, arguments.data, arguments.split, seed, config),
            60 * arguments.max_minutes + 120,
        )
        for seed in arguments.seeds
    ]
    try:
        rows = run(tasks, Results(arguments.results / f"{NAME}.jsonl"))
    except AuganError as error:
        parser.exit(1, f"{error}\n")
    summary: dict[str, Any] = {
        name: float(np.mean([row[name] for row in rows]))
        for name in (
            "synthetic_only_accuracy",
            "real_accuracy",
            "kernel_distance",
            "kernel_distance_floor",
            "minutes",
        )
    }
    write_json(arguments.json, {"rows": rows, "summary": summary})
    for name, value in summary.items():
        print(f"{name:26} {value:.4f}")


if __name__ == "__main__":
    main()

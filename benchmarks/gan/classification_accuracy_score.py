"""Are generated images good enough to train on, in place of the real ones?

    python -m benchmarks.gan.classification_accuracy_score --data fashion-mnist --max-minutes 15
    --split test --json F

A conditional GAN is trained for the stated minutes. A small CNN is then trained on 10,000 generated
labeled images alone, and the same CNN on 10,000 real ones; both are judged on real images (Ravuri
and Vinyals 2019, "Classification Accuracy Score"). `--split dev` trains on four fifths of the
training images and judges on the rest; `--split test` trains on all of them and judges on the test
part. Nothing is chosen on the images that judge.
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
from augan.augment.methods.prior import GeneratorSampler
from augan.bundle import Bundle
from augan.data.dataset import Dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.exceptions import AuganError
from augan.seeding import child_rng
from augan.workflow.train import train
from benchmarks.common.harness import Results, Row, Task, add_arguments, digest, run, write_json

NAME = "fidelity"
IMAGES = 10_000
EPOCHS = 12


@dataclass(frozen=True)
class Images:
    """Stored squares with their classes."""

    squares: np.ndarray
    labels: np.ndarray


def parts(data: str, split: str) -> tuple[Dataset, Dataset]:
    """Return the images to train on and those to judge on."""
    training = load_dataset(data, part="train")
    if split == "test":
        return training, load_dataset(data, part="test")
    held_out = child_rng(0, "fidelity dev").random(len(training)) < 0.2
    return training.subset(~held_out), training.subset(held_out)


def measure(data: str, split: str, seed: int, config: Config) -> Row:
    """Train the GAN and both classifiers; return their accuracies and the GAN's figures."""
    training, judging = parts(data, split)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        bundle = train(config.replace(seed=seed), training, out=Path(folder) / "run")
    minutes = (time.monotonic() - begun) / 60
    preprocessing = ImagePreprocessing.from_dict(bundle.preprocessing)
    judged = Images(preprocessing.prepare_all(judging.images), np.asarray(judging.labels))
    chosen = child_rng(seed, "real").permutation(len(training))[:IMAGES]
    some = training.subset(chosen)
    real = Images(preprocessing.prepare_all(some.images), np.asarray(some.labels))
    figures = bundle.metrics["fidelity"]
    return {
        "synthetic_only_accuracy": accuracy(generated(bundle, seed), judged, preprocessing, seed),
        "real_accuracy": accuracy(real, judged, preprocessing, seed),
        "kernel_distance": figures["kernel_distance"],
        "kernel_distance_floor": figures["floor"]["kernel_distance"],
        "untrained_kernel_distance": figures["untrained_kernel_distance"],
        "coverage": figures["coverage"],
        "gan_steps": bundle.metrics["steps"]["gan"],
        "minutes": round(minutes, 2),
    }


def generated(bundle: Bundle, seed: int) -> Images:
    """Return generated images in training proportions, as squares."""
    sampler = GeneratorSampler(bundle)
    blocks = list(sampler.sample_by_frequency(IMAGES, seed))
    squares = sampler.preprocessing.prepare_all(np.concatenate([images for images, _ in blocks]))
    return Images(squares, np.concatenate([labels for _, labels in blocks]))


def accuracy(given: Images, judged: Images, preprocessing: ImagePreprocessing, seed: int) -> float:
    """Train a small CNN on `given` and return its accuracy on `judged`."""
    from augan.gan import keras

    keras.utils.set_random_seed(seed)
    classes = int(judged.labels.max()) + 1
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(given.squares.shape[1:]),
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
    scaled = preprocessing.normalize(given.squares)
    model.fit(scaled, given.labels, batch_size=128, epochs=EPOCHS, verbose=0)
    scores = model.predict(preprocessing.normalize(judged.squares), batch_size=500, verbose=0)
    return float((scores.argmax(axis=1) == judged.labels).mean())


def main(argv: Sequence[str] | None = None) -> None:
    """Measure one row for each seed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gan.classification_accuracy_score", description=__doc__
    )
    parser.add_argument("--data", default="fashion-mnist", help="a built-in name or a folder")
    parser.add_argument("--max-minutes", type=float, default=15.0, help="for the GAN's training")
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

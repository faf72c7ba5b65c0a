"""Detection speed: milliseconds per image of each detection method.

    python -m benchmarks.speed.detection --json F

All methods score the same images with networks of the same size, in turns, after a first call of
each that compiles. The reference is the search of AnoGAN, with a full batch and with one image at a
time. The detectors of PyOD take part if PyOD is installed.
"""

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import augan
from augan import DetectionRequest
from augan.choices import DETECTION_METHODS
from augan.config import Config
from augan.data.dataset import from_arrays
from augan.data.loading import load_dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.detect.api import detect_folder
from augan.detect.detector import Detector
from augan.workflow.train import train
from benchmarks.common.harness import write_json

Score = Callable[[np.ndarray], Any]
TURNS = 7
NUM_SEARCHED = 64  # images of one search, a full batch
NUM_FILES = 2000
NUM_TRAIN = 600  # images; the search is calibrated on a sixth, one minute for 64 images


def detectors(images: np.ndarray, steps: int, folder: Path) -> tuple[augan.bundle.Bundle, dict]:
    """Train a bundle with all detection methods, and return it with a score function of each."""
    config = Config(task="detect").replace(
        training__steps=steps,
        detect__methods=DETECTION_METHODS.names(),
        gan__self_supervision=True,
    )
    bundle = train(config, from_arrays(images), out=folder)
    return bundle, {
        name: Detector.from_bundle(bundle, name).score for name in DETECTION_METHODS.names()
    }


def pyod_detectors(images: np.ndarray) -> dict[str, Score]:
    """Return score functions of fitted PyOD detectors, if PyOD is installed."""
    if importlib.util.find_spec("pyod") is None:
        return {}
    from pyod.models.knn import KNN

    fitted = {"PyOD KNN": KNN(n_neighbors=2, method="mean").fit(_flatten(images))}
    if importlib.util.find_spec("torch") is not None:
        from pyod.models.anogan import AnoGAN

        fitted["PyOD AnoGAN"] = AnoGAN(epochs=1).fit(_flatten(images[:200]))
    return {name: lambda x, d=d: d.decision_function(_flatten(x)) for name, d in fitted.items()}


def _flatten(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float32) / 255


def time_all(scorers: dict[str, Score], images: np.ndarray, turns: int) -> dict[str, Any]:
    """Return the milliseconds per image of each method: median, minimum and maximum."""
    cases = {name: (score, images) for name, score in scorers.items()}
    if "anogan" in scorers:
        cases["anogan"] = (scorers["anogan"], images[:NUM_SEARCHED])
        # A batch is padded to its full size, so a single image takes as long as a batch.
        cases["anogan, one at a time"] = (scorers["anogan"], images[:1])
    for score, samples in cases.values():
        score(samples[:1])
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(turns):
        for name, (score, samples) in cases.items():
            if name.startswith("anogan") and turn > 1:
                continue  # a search takes minutes, so two turns must suffice
            begun = time.perf_counter()
            score(samples)
            seconds[name].append(1000 * (time.perf_counter() - begun) / len(samples))
    return {
        name: {"ms": statistics.median(times), "min": min(times), "max": max(times)}
        for name, times in seconds.items()
    }


def files_per_second(bundle: augan.bundle.Bundle, images: np.ndarray, folder: Path) -> float:
    """Return the JPEG files per second that `augan detect` reads, scores and reports."""
    (folder / "files").mkdir()
    for row, image in enumerate(images[np.arange(NUM_FILES) % len(images)]):
        pixels = image[..., 0] if image.shape[-1] == 1 else image
        Image.fromarray(pixels).save(folder / "files" / f"{row:05}.jpg", quality=95)
    begun = time.perf_counter()
    detect_folder(bundle, DetectionRequest(folder / "files"), folder / "out")
    return NUM_FILES / (time.perf_counter() - begun)


def main(argv: Sequence[str] | None = None) -> None:
    """Time all methods, and print their ratios to the batched search."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.detection", description=__doc__
    )
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--steps", type=int, default=100, help="updates of the GAN")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")
    options = parser.parse_args(argv)
    dataset = load_dataset(options.data)
    dataset = dataset.subset(np.arange(min(len(dataset), options.images + NUM_TRAIN)))
    pixels = ImagePreprocessing.fit(dataset).prepare_all(dataset.require_images())
    train_images, test_images = pixels[options.images :], pixels[: options.images]
    with tempfile.TemporaryDirectory(prefix="augan-speed-") as name:
        folder = Path(name)
        bundle, scorers = detectors(train_images, options.steps, folder / "run")
        times = time_all({**scorers, **pyod_detectors(train_images)}, test_images, options.turns)
        rate = files_per_second(bundle, test_images, folder)
    reference = times["anogan"]["ms"]
    rows = [
        {"method": method, **of_method, "times_faster": reference / of_method["ms"]}
        for method, of_method in times.items()
    ]
    summary = {"jpeg_files_per_second": rate, "images": options.images, "data": dataset.name}
    write_json(options.json, {"rows": rows, "summary": summary})
    for row in rows:
        print(f"{row['method']:24} {row['ms']:10.3f} ms  {row['times_faster']:8.1f} times faster")
    print(f"{rate:.0f} JPEG files per second")


if __name__ == "__main__":
    main()

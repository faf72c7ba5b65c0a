"""How fast each method scores: `python -m benchmarks.speed.detection`.

All methods judge the same images with the same networks' sizes in one run, alternating, after a
first call of each that compiles. What they are compared with is the search of AnoGAN, all images of
a batch at once and one at a time. PyOD's detectors take part where PyOD is installed.
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
from augan.config import Config
from augan.data.dataset import from_arrays
from augan.data.loading import load_dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.detect.api import detect_folder
from augan.detect.detector import Detector
from augan.detect.methods.registry import METHODS
from augan.workflow.train import train
from benchmarks.common.harness import write_json

Score = Callable[[np.ndarray], Any]
ALTERNATIONS = 7
SEARCHED = 64  # images of one search, a whole batch
FILES = 2000
LEARNED = 600  # images; the search is calibrated on a sixth of them, a minute for each 64


def detectors(images: np.ndarray, steps: int, folder: Path) -> tuple[augan.bundle.Bundle, dict]:
    """Train one bundle with all of augan's methods and return it with their scorers."""
    config = Config(task="detect").replace(
        training__steps=steps, detect__methods=tuple(METHODS)[1:], gan__self_supervision=True
    )
    bundle = train(config, from_arrays(images), out=folder)
    known = {name: Detector.from_bundle(bundle, name) for name in METHODS}
    return bundle, {name: detector.score for name, detector in known.items()}


def peers(images: np.ndarray) -> dict[str, Score]:
    """Return PyOD's detectors, fitted, if it is installed."""
    if importlib.util.find_spec("pyod") is None:
        return {}
    from pyod.models.knn import KNN

    fitted = {"PyOD KNN": KNN(n_neighbors=2, method="mean").fit(_flat(images))}
    if importlib.util.find_spec("torch") is not None:
        from pyod.models.anogan import AnoGAN

        fitted["PyOD AnoGAN"] = AnoGAN(epochs=1).fit(_flat(images[:200]))
    return {name: lambda x, d=d: d.decision_function(_flat(x)) for name, d in fitted.items()}


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float32) / 255


def time_all(scorers: dict[str, Score], images: np.ndarray, alternations: int) -> dict[str, Any]:
    """Return milliseconds an image of each method: median, smallest and largest."""
    plans = {name: (score, images) for name, score in scorers.items()}
    if "anogan" in scorers:
        plans["anogan"] = (scorers["anogan"], images[:SEARCHED])
        # A batch is padded to its full size: what one image takes alone.
        plans["anogan, one at a time"] = (scorers["anogan"], images[:1])
    for score, some in plans.values():
        score(some[:1])
    seconds: dict[str, list[float]] = {name: [] for name in plans}
    for turn in range(alternations):
        for name, (score, some) in plans.items():
            if name.startswith("anogan") and turn > 1:
                continue  # minutes each; twice is enough to see that it is slow
            begun = time.perf_counter()
            score(some)
            seconds[name].append(1000 * (time.perf_counter() - begun) / len(some))
    return {
        name: {"ms": statistics.median(times), "min": min(times), "max": max(times)}
        for name, times in seconds.items()
    }


def files_per_second(bundle: augan.bundle.Bundle, images: np.ndarray, folder: Path) -> float:
    """Return how many JPEG files a second `augan detect` reads, scores and reports."""
    (folder / "files").mkdir()
    for row, image in enumerate(images[np.arange(FILES) % len(images)]):
        pixels = image[..., 0] if image.shape[-1] == 1 else image
        Image.fromarray(pixels).save(folder / "files" / f"{row:05}.jpg", quality=95)
    begun = time.perf_counter()
    detect_folder(bundle, folder / "files", folder / "out")
    return FILES / (time.perf_counter() - begun)


def main(argv: Sequence[str] | None = None) -> None:
    """Time every method and print ratios to the batched search."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.detection", description=__doc__
    )
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--steps", type=int, default=100, help="updates of the GAN")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--alternations", type=int, default=ALTERNATIONS)
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")
    options = parser.parse_args(argv)
    dataset = load_dataset(options.data)
    dataset = dataset.subset(np.arange(min(len(dataset), options.images + LEARNED)))
    squares = ImagePreprocessing.fit(dataset).prepare_all(dataset.pictures)
    learned, judged = squares[options.images :], squares[: options.images]
    with tempfile.TemporaryDirectory(prefix="augan-speed-") as name:
        folder = Path(name)
        bundle, scorers = detectors(learned, options.steps, folder / "run")
        found = time_all({**scorers, **peers(learned)}, judged, options.alternations)
        rate = files_per_second(bundle, judged, folder)
    searched = found["anogan"]["ms"]
    rows = [
        {"method": method, **times, "times_faster": searched / times["ms"]}
        for method, times in found.items()
    ]
    summary = {"jpeg_files_per_second": rate, "images": options.images, "data": dataset.name}
    write_json(options.json, {"rows": rows, "summary": summary})
    for row in rows:
        print(f"{row['method']:24} {row['ms']:10.3f} ms  {row['times_faster']:8.1f} times faster")
    print(f"{rate:.0f} JPEG files a second")


if __name__ == "__main__":
    main()

"""Defect benchmark: small defects in large images.

    python -m benchmarks.detection.one_class defects --data FOLDER --groups FILE --json defects.json

Detectors train on the normal images of a folder and are tested on other images. Images of one group
(one part, photographed several times) are never on both sides. The split test has real defects. The
split dev has painted defects on held-out training images. The defect types are split into halves:
the detectors train with the negative augmentations of one half and are tested on the other half.
"""

import argparse
import csv
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

import augan
from augan.choices import CORRUPTIONS
from augan.config import Config
from augan.data.files import find_images
from augan.data.loading import load_dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.detect.predictor import load_detector
from augan.evaluation.detection.baselines import BASELINES
from augan.exceptions import DataError
from augan.gan import tf
from augan.io.images import read_image
from augan.seeding import child_rng
from augan.workflow.train import train
from benchmarks.common.harness import Row, Task, digest

NAME = "defects"
PROTOCOL = "normal images of other groups and defects of each kind, 1"
NORMAL = "normal"
DEFECT_TYPES = tuple(kind.name for kind in CORRUPTIONS if "tiles" in kind.default_for)
HALVES = (DEFECT_TYPES[::2], DEFECT_TYPES[1::2])
HELD_OUT_FRACTION = 0.2  # of the training groups, in the split dev
PAINTED_SIDE = 96  # pixels of the square that a defect is painted in
NUM_RESAMPLES = 1000
UNTRAINED = ("training.steps=1", "discriminator.learning_rate=1e-12")
METHODS: dict[str, tuple[str, ...]] = {
    "auto": (),
    "features": ("detect.method=features",),
    "untrained": UNTRAINED,
}
"""Name -> settings of the detectors of augan; `BASELINES` has the others."""

ROW_NAMES = {"nearest-neighbors": "nearest-neighbours"}
"""Method -> its name in the rows; rows keep the spelling of the first measurement."""


@dataclass(frozen=True)
class Site:
    """Training images, and test images in one folder for each type.

    Attributes
    ----------
    train : Path
        Folder that contains `normal`.
    test : Path
        Folder with one folder for each type.
    groups_file : Path
        CSV file `path,group` of the training images.
    test_groups : dict of str to str
        Group of each normal test image.
    """

    train: Path
    test: Path
    groups_file: Path
    test_groups: dict[str, str]

    def identity(self) -> str:
        """Return the digest of the names and sizes of all images."""
        files = [p for root in (self.train, self.test) for p in sorted(root.rglob("*"))]
        return digest([[p.name, p.stat().st_size] for p in files if p.is_file()])


def tasks(arguments: argparse.Namespace) -> list[Task]:
    """Return a task for each seed and method."""
    all_tasks = []
    for seed in arguments.seeds:
        for method in arguments.methods or (*METHODS, *BASELINES):
            key = {
                "benchmark": NAME,
                "protocol": PROTOCOL,
                "data": Path(arguments.data).name,
                "split": arguments.split,
                "seed": seed,
                "method": ROW_NAMES.get(method, method),
                "variant": arguments.variant,
                "augan": augan.__version__,
            }
            measure = partial(_measure, method, seed, arguments)
            all_tasks.append(Task(key, measure, 400.0 if method in METHODS else 20.0))
    return all_tasks


def _measure(method: str, seed: int, arguments: argparse.Namespace) -> Row:
    root, groups = Path(arguments.data), read_groups(arguments.groups)
    scratch = Path(tempfile.mkdtemp(prefix="augan-defects-"))
    try:
        if arguments.split == "test":
            site = real_site(root, arguments.groups, groups)
            return measure_site(method, seed, site, (), scratch)
        rows = []
        for i, half in enumerate(HALVES):
            site = painted_site(root, groups, HALVES[1 - i], seed, scratch / f"site{i}")
            setting = f"gan.negative_augmentations=[{','.join(half)}]"
            rows.append(measure_site(method, seed, site, (setting,), scratch))
        by_type = rows[0]["kinds"] | rows[1]["kinds"]
        mean = float(np.mean(list(by_type.values())))
        seconds = sum(row["train_s"] for row in rows)
        return {**rows[0], "auroc": mean, "kinds": by_type, "train_s": seconds, "interval": None}
    finally:
        shutil.rmtree(scratch)


def measure_site(
    method: str, seed: int, site: Site, settings: tuple[str, ...], scratch: Path
) -> Row:
    """Train on `site.train`, and return the AUROC of each defect type of `site.test`."""
    names = find_images(site.test)
    types = np.array([Path(name).parts[0] for name in names])
    begun = time.perf_counter()
    if method in METHODS:
        score = _train_augan(method, seed, site, settings, scratch)
    else:
        score = _fit_baseline(method, seed, site)
    trained = time.perf_counter()
    scores = score(site.test, names)
    scored = time.perf_counter()
    normal = scores[types == NORMAL]
    normal_names = [name for name, kind in zip(names, types) if kind == NORMAL]
    groups = [site.test_groups.get(name, name) for name in normal_names]
    anomalies = {kind: scores[types == kind] for kind in sorted(set(types) - {NORMAL})}
    by_type, interval = mean_auroc(normal, groups, anomalies, seed)
    return {
        "auroc": float(np.mean(list(by_type.values()))),
        "interval": interval,
        "kinds": by_type,
        "train_s": round(trained - begun, 1),
        "ms_per_image": round(1000 * (scored - trained) / len(names), 2),
        "n_train": len(find_images(site.train)),
        "n_normal": len(normal),
        "n_groups": len(set(groups)),
        "n_anomalies": {kind: len(of_type) for kind, of_type in anomalies.items()},
        "sha256": site.identity(),
    }


def _train_augan(
    method: str, seed: int, site: Site, settings: tuple[str, ...], scratch: Path
) -> Callable[[Path, list[str]], np.ndarray]:
    config = Config(seed=seed, task="detect").override([*settings, *METHODS[method]])
    dataset = load_dataset(site.train, groups=site.groups_file)
    bundle = train(config, dataset, out=Path(tempfile.mkdtemp(dir=scratch)) / "run")
    predictor = load_detector(bundle)
    return lambda root, names: predictor.score([root / name for name in names])


def _fit_baseline(method: str, seed: int, site: Site) -> Callable[[Path, list[str]], np.ndarray]:
    preprocessing = ImagePreprocessing.fit(load_dataset(site.train))

    def read(root: Path, names: list[str]) -> np.ndarray:
        images = [preprocessing.prepare(read_image(root / name)) for name in names]
        return preprocessing.normalize(np.stack(images))

    baseline = BASELINES[method](seed).fit(read(site.train, find_images(site.train)))
    return lambda root, names: -baseline.score_samples(read(root, names))


def mean_auroc(
    normal: np.ndarray, groups: list[str], anomalies: dict[str, np.ndarray], seed: int
) -> tuple[dict[str, float], list[float]]:
    """Return the AUROC of each defect type, and the 95 % percentile interval of their mean.

    The groups of the normal images and the images of each defect type are resampled.

    Parameters
    ----------
    normal : ndarray [n]
        Scores of the normal images.
    groups : list of str
        Group of each normal image.
    anomalies : dict of str to ndarray
        Defect type -> scores.
    seed : int
    """
    wins = {
        kind: (scores[:, None] > normal) + 0.5 * (scores[:, None] == normal)
        for kind, scores in anomalies.items()
    }
    _, group_of = np.unique(groups, return_inverse=True)
    num_groups = group_of.max() + 1
    rng, means = child_rng(seed, "benchmarks", NAME), []
    for _ in range(NUM_RESAMPLES):
        sampled = rng.integers(num_groups, size=num_groups)
        times = np.bincount(sampled, minlength=num_groups)[group_of]
        resampled = [rows[rng.integers(len(rows), size=len(rows))] for rows in wins.values()]
        means.append(np.mean([rows.mean(axis=0) @ times / times.sum() for rows in resampled]))
    by_type = {kind: float(rows.mean()) for kind, rows in wins.items()}
    return by_type, [float(q) for q in np.quantile(means, (0.025, 0.975))]


def real_site(root: Path, groups_file: Path, groups: dict[str, str]) -> Site:
    """Return the folder unchanged: `train/normal` to train on, `test` to test on."""
    if not (root / "train").is_dir() or not (root / "test" / NORMAL).is_dir():
        raise DataError(
            f"{root} must hold train/{NORMAL} and test/{NORMAL} next to test/<defect type>"
        )
    test_groups = {k.removeprefix("test/"): v for k, v in groups.items() if k.startswith("test/")}
    return Site(root / "train", root / "test", groups_file, test_groups)


def painted_site(
    root: Path, groups: dict[str, str], types: tuple[str, ...], seed: int, folder: Path
) -> Site:
    """Hold out some groups of the training images, and paint defects on copies of their images."""
    names = [f"train/{name}" for name in find_images(root / "train")]
    rng = child_rng(seed, "benchmarks", NAME, "dev")
    all_groups = sorted({groups[name] for name in names})
    num_held_out = max(2, round(HELD_OUT_FRACTION * len(all_groups)))
    held_out = set(rng.permutation(all_groups)[:num_held_out])
    test = [name for name in names if groups[name] in held_out]
    for name in names:
        target = folder / ("test" if name in test else "train") / NORMAL / Path(name).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, target)
    for kind in types:
        (folder / "test" / kind).mkdir()
        for row, name in enumerate(test):
            other = read_image(root / test[(row + 1) % len(test)])
            painted = paint(read_image(root / name), other, kind, rng)
            pixels = painted[..., 0] if painted.shape[-1] == 1 else painted
            Image.fromarray(pixels).save(folder / "test" / kind / f"{Path(name).stem}.png")
    with open(folder / "groups.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "group"])
        train_names = [name for name in names if name not in test]
        writer.writerows(
            [f"train/{NORMAL}/{Path(name).name}", groups[name]] for name in train_names
        )
    test_groups = {f"{NORMAL}/{Path(name).name}": groups[name] for name in test}
    return Site(folder / "train", folder / "test", folder / "groups.csv", test_groups)


def paint(
    image: np.ndarray, other: np.ndarray, defect_type: str, rng: np.random.Generator
) -> np.ndarray:
    """Return a copy of an 8-bit image `[H, W, C]` with one defect at a random position.

    `other` is an image that some defect types copy pixels from.
    """
    side = min(PAINTED_SIDE, *image.shape[:2], *other.shape[:2])
    squares = []
    for source in (image, other):
        top, left = (int(rng.integers(length - side + 1)) for length in source.shape[:2])
        squares.append((source[top : top + side, left : left + side], top, left))
    batch = tf.constant(np.stack([square for square, *_ in squares]) / 127.5 - 1, tf.float32)
    seed = tf.constant(rng.integers(2**31, size=2), tf.int32)
    corrupted = np.clip(CORRUPTIONS.load(defect_type)(batch, seed).numpy()[0], -1, 1)
    _, top, left = squares[0]
    painted = image.copy()
    painted[top : top + side, left : left + side] = np.rint((corrupted + 1) * 127.5)
    return painted


def read_groups(path: Path) -> dict[str, str]:
    """Return the group of each image of a CSV file `path,group`."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        return {row["path"]: row["group"] for row in csv.DictReader(file)}

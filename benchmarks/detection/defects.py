"""Small defects in large images: `python -m benchmarks.detection.one_class defects`.

Detectors learn from the normal images of a folder and judge others, of which nothing that they
resemble was seen: images of one group (one part, photographed several times) are never on both
sides. The split test has real defects. The split dev has painted ones, on held-out training images
of half of the kinds, for detectors that learned to find the other half.
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
from typing import Any

import numpy as np
from PIL import Image

import augan
from augan.config import Config
from augan.data.folders import find_images
from augan.data.loading import load_dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.detect.detector import Detector
from augan.detect.inputs import ImageFolderSource
from augan.evaluation.detection.baselines import BASELINES
from augan.exceptions import DataError
from augan.gan import tf
from augan.gan.corruptions import CORRUPTIONS, SYNTHETIC_DEFECTS
from augan.io.images import read_image
from augan.seeding import child_rng
from augan.workflow.train import train
from benchmarks.common.harness import Row, Task, digest

DEFECTS_OF = "defects"
PROTOCOL = "normal images of other groups and defects of each kind, 1"
NORMAL = "normal"
KINDS = ("cut_paste", "perlin", *SYNTHETIC_DEFECTS)
HALVES = (KINDS[::2], KINDS[1::2])  # what is learned and what is judged, and the other way round
HELD_OUT = 0.2  # of the groups of training, in the split dev
PAINTED = 96  # pixels, the side of the square that a defect is painted in
RESAMPLES = 1000
UNTRAINED = ("training.steps=1", "discriminator.learning_rate=1e-12")
METHODS: dict[str, tuple[str, ...]] = {
    "auto": (),
    "features": ("detect.method=features",),
    "untrained": UNTRAINED,
}
"""Name -> settings of augan's own; the baselines are named in `BASELINES`."""

ROW_NAMES = {"nearest-neighbors": "nearest-neighbours"}
"""Method -> its name in the rows; rows keep the spelling of the first measurement."""


@dataclass(frozen=True)
class Site:
    """A folder with `train/normal` and what is judged, one folder for each kind."""

    learned: Path
    judged: Path
    groups_file: Path  # of learned images
    groups: dict[str, str]  # of judged normal images

    def identity(self) -> str:
        """Return the digest of all images."""
        files = [p for root in (self.learned, self.judged) for p in sorted(root.rglob("*"))]
        return digest([[p.name, p.stat().st_size] for p in files if p.is_file()])


def defects_tasks(arguments: argparse.Namespace) -> list[Task]:
    """Return a task for each seed and method."""
    tasks = []
    for seed in arguments.seeds:
        for method in arguments.methods or (*METHODS, *BASELINES):
            key = {
                "benchmark": DEFECTS_OF,
                "protocol": PROTOCOL,
                "data": Path(arguments.data).name,
                "split": arguments.split,
                "seed": seed,
                "method": ROW_NAMES.get(method, method),
                "variant": arguments.variant,
                "augan": augan.__version__,
            }
            measure = partial(_measure, method, seed, arguments)
            tasks.append(Task(key, measure, 400.0 if method in METHODS else 20.0))
    return tasks


def _measure(method: str, seed: int, arguments: argparse.Namespace) -> Row:
    home, groups = Path(arguments.data), read_groups(arguments.groups)
    scratch = Path(tempfile.mkdtemp(prefix="augan-defects-"))
    try:
        if arguments.split == "test":
            site = real_site(home, arguments.groups, groups)
            return judge(method, seed, site, (), scratch)
        rows = []
        for i, half in enumerate(HALVES):
            site = painted_site(home, groups, HALVES[1 - i], seed, scratch / f"site{i}")
            learned = f"gan.negative_augmentations=[{','.join(half)}]"
            rows.append(judge(method, seed, site, (learned,), scratch))
        kinds = rows[0]["kinds"] | rows[1]["kinds"]
        mean = float(np.mean(list(kinds.values())))
        seconds = sum(row["train_s"] for row in rows)
        return {**rows[0], "auroc": mean, "kinds": kinds, "train_s": seconds, "interval": None}
    finally:
        shutil.rmtree(scratch)


def judge(
    method: str, seed: int, site: Site, settings: tuple[str, ...], scratch: Path
) -> dict[str, Any]:
    """Fit on `site.learned` and return AUROC of each kind of `site.judged`, their mean, times."""
    names = find_images(site.judged)
    kinds = np.array([Path(name).parts[0] for name in names])
    begun = time.perf_counter()
    score = _own(method, seed, site, settings, scratch) if method in METHODS else None
    score = score or _baseline(method, seed, site)
    trained = time.perf_counter()
    scores = score(site.judged, names)
    scored = time.perf_counter()
    normal, groups = (
        scores[kinds == NORMAL],
        [site.groups.get(name, name) for name, kind in zip(names, kinds) if kind == NORMAL],
    )
    anomalies = {kind: scores[kinds == kind] for kind in sorted(set(kinds) - {NORMAL})}
    values, interval = mean_auroc(normal, groups, anomalies, seed)
    return {
        "auroc": float(np.mean(list(values.values()))),
        "interval": interval,
        "kinds": values,
        "train_s": round(trained - begun, 1),
        "ms_per_image": round(1000 * (scored - trained) / len(names), 2),
        "n_train": len(find_images(site.learned)),
        "n_normal": len(normal),
        "n_groups": len(set(groups)),
        "n_anomalies": {kind: len(found) for kind, found in anomalies.items()},
        "sha256": site.identity(),
    }


def _own(
    method: str, seed: int, site: Site, settings: tuple[str, ...], scratch: Path
) -> Callable[[Path, list[str]], np.ndarray]:
    config = Config(seed=seed, task="detect").override([*settings, *METHODS[method]])
    dataset = load_dataset(site.learned, groups=site.groups_file)
    bundle = train(config, dataset, out=Path(tempfile.mkdtemp(dir=scratch)) / "run")
    detector = Detector.from_bundle(bundle)

    def score(root: Path, names: list[str]) -> np.ndarray:
        source = ImageFolderSource(root, detector.preprocessing)
        parts = [source.read(names[i : i + 32])[0] for i in range(0, len(names), 32)]
        return np.concatenate([detector.score(part) for part in parts])

    return score


def _baseline(method: str, seed: int, site: Site) -> Callable[[Path, list[str]], np.ndarray]:
    preprocessing = ImagePreprocessing.fit(load_dataset(site.learned))

    def read(root: Path, names: list[str]) -> np.ndarray:
        squares = [preprocessing.prepare(read_image(root / name)) for name in names]
        return preprocessing.normalize(np.stack(squares))

    fitted = BASELINES[method](seed).fit(read(site.learned, find_images(site.learned)))
    return lambda root, names: -fitted.score_samples(read(root, names))


def mean_auroc(
    normal: np.ndarray, groups: list[str], anomalies: dict[str, np.ndarray], seed: int
) -> tuple[dict[str, float], list[float]]:
    """Return AUROC of each kind, and the 95 % percentile interval of their mean.

    Groups of normal images and images of each kind are drawn anew with replacement.
    """
    beats = {
        kind: (found[:, None] > normal) + 0.5 * (found[:, None] == normal)
        for kind, found in anomalies.items()
    }
    _, member = np.unique(groups, return_inverse=True)
    rng, draws = child_rng(seed, "benchmarks", DEFECTS_OF), []
    for _ in range(RESAMPLES):
        count = member.max() + 1
        times = np.bincount(rng.integers(count, size=count), minlength=count)[member]
        drawn = [rows[rng.integers(len(rows), size=len(rows))] for rows in beats.values()]
        draws.append(np.mean([rows.mean(axis=0) @ times / times.sum() for rows in drawn]))
    values = {kind: float(rows.mean()) for kind, rows in beats.items()}
    return values, [float(q) for q in np.quantile(draws, (0.025, 0.975))]


def real_site(home: Path, groups_file: Path, groups: dict[str, str]) -> Site:
    """Return the folder as it is: `train/normal` to learn from, `test` to judge."""
    if not (home / "train").is_dir() or not (home / "test" / NORMAL).is_dir():
        raise DataError(f"{home} must hold train/{NORMAL} and test/{NORMAL} beside test/<defect>")
    ours = {k.removeprefix("test/"): v for k, v in groups.items() if k.startswith("test/")}
    return Site(home / "train", home / "test", groups_file, ours)


def painted_site(
    home: Path, groups: dict[str, str], kinds: tuple[str, ...], seed: int, place: Path
) -> Site:
    """Hold out some groups of the training images and paint defects on copies of them."""
    names = [f"train/{name}" for name in find_images(home / "train")]
    rng = child_rng(seed, "benchmarks", DEFECTS_OF, "dev")
    known = sorted({groups[name] for name in names})
    held = set(rng.permutation(known)[: max(2, round(HELD_OUT * len(known)))])
    judged = [name for name in names if groups[name] in held]
    for name in names:
        target = place / ("judged" if name in judged else "train") / NORMAL / Path(name).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(home / name, target)
    for kind in kinds:
        (place / "judged" / kind).mkdir()
        for row, name in enumerate(judged):
            another = read_image(home / judged[(row + 1) % len(judged)])
            painted = paint(read_image(home / name), another, kind, rng)
            pixels = painted[..., 0] if painted.shape[-1] == 1 else painted
            Image.fromarray(pixels).save(place / "judged" / kind / f"{Path(name).stem}.png")
    with open(place / "groups.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "group"])
        learned = [name for name in names if name not in judged]
        writer.writerows([f"train/{NORMAL}/{Path(name).name}", groups[name]] for name in learned)
    ours = {f"{NORMAL}/{Path(name).name}": groups[name] for name in judged}
    return Site(place / "train", place / "judged", place / "groups.csv", ours)


def paint(
    image: np.ndarray, another: np.ndarray, kind: str, rng: np.random.Generator
) -> np.ndarray:
    """Return a copy of an 8-bit image `[H, W, C]` with one defect at a random place."""
    side = min(PAINTED, *image.shape[:2], *another.shape[:2])
    pieces = []
    for one in (image, another):
        top, left = (int(rng.integers(length - side + 1)) for length in one.shape[:2])
        pieces.append((one[top : top + side, left : left + side], top, left))
    batch = tf.constant(np.stack([piece for piece, *_ in pieces]) / 127.5 - 1, tf.float32)
    seed = tf.constant(rng.integers(2**31, size=2), tf.int32)
    spoilt = np.clip(CORRUPTIONS[kind](batch, seed).numpy()[0], -1, 1)
    _, top, left = pieces[0]
    painted = image.copy()
    painted[top : top + side, left : left + side] = np.rint((spoilt + 1) * 127.5)
    return painted


def read_groups(path: Path) -> dict[str, str]:
    """Return the group of each image of a CSV file `path,group`."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        return {row["path"]: row["group"] for row in csv.DictReader(file)}

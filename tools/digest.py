"""Bit-exact comparison of the results of two versions of augan.

    python tools/digest.py BASE [--runs NAME ...] [--quick] [--fresh] [--list] [--json FILE]

Eight short runs are trained with the code of the commit BASE and with the working tree, on the same
machine. Four groups of results are compared:

- weights: the arrays of every safetensors member of a bundle,
- arrays: the numeric arrays of every npz file (splits, calibration scores, latent codes),
- pixels: the decoded pixels of every image,
- scores: the columns of every CSV table.

Each array becomes a digest of its type, shape and bytes, and the sorted digests of a group are
compared. Names (of files, arrays, columns, settings) and JSON are never compared, so that a
renaming changes no digest. Both versions run through the command line only.

The exit code is 0 if everything is equal, 1 if something differs or a command fails, and 2 if an
argument is wrong. A cache stores the results of a commit, so that the next comparison with this
commit repeats only the runs of the working tree.
"""

import argparse
import csv
import functools
import hashlib
import importlib.metadata
import inspect
import io
import itertools
import json
import math
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
CODE = ("augan", "cli", "configs")  # inputs of a run
GROUPS = ("weights", "arrays", "pixels", "scores")
REQUIRED_GROUPS = ("weights", "arrays")  # a run without these groups compares nothing
QUICK = ("generate", "detect")
MAX_SHOWN = 4  # printed digests per side of a difference
TIMEOUT = 600.0  # seconds of one command
PIL_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp"})
HASH = re.compile(r"[0-9a-f]{12,64}")  # may look like a number

# New spelling -> old spelling of options and settings. Each version gets the one that it knows, so
# that a run may be written in either.
RENAMES = {
    "--cross-conformal": "--cross",
    "--balance-to": "--to",
    "--ignore-mask": "--ignore",
    "--store-latents": "--training-codes",
    "--no-store-latents": "--no-training-codes",
    "--training-data": "--data",
    "--save-maps": "--maps",
    "--transform": "--policy",
    "augment.transform": "augment.policy",
    "data.tiling": "data.patches",
    "detect.cross_conformal": "detect.cross",
    "detect.trim_fraction": "detect.trim",
    "discriminator.weight_clip": "discriminator.clip",
    "evaluation.enabled": "monitor.enabled",
    "evaluation.interval": "monitor.every",
    "gan.generator_interval": "gan.every",
    "gan.latent_prior": "gan.noise",
    "gan.localization_head": "gan.places",
    "gan.negative_augmentations": "gan.negatives",
    "gan.pseudo_labels": "gan.unlabelled",
    "gan.regularizer": "gan.penalty",
    "gan.regularizer_interval": "gan.penalty_every",
    "gan.regularizer_weight": "gan.penalty_weight",
    "gan.self_supervision": "gan.transformations",
    "gan.unrolled_learning_rate": "gan.unrolled_rate",
    "training.sample_interval": "training.sample_every",
    "training.store_latents": "training.keep_codes",
}


class UsageError(Exception):
    """An argument of the tool is wrong."""


class RunError(Exception):
    """A command of a run failed or wrote no comparable results."""


# ---------------------------------------------------------------- inputs


def spots(seed: int, count: int, side: int = 16, *, dark: bool = False) -> list[np.ndarray]:
    """Return gray images `[side, side]` of one bright spot each, or of one dark spot."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    images = []
    for _ in range(count):
        center = rng.uniform(0.25, 0.75, 2) * side
        distance = np.hypot(y - center[0], x - center[1])
        spot = np.clip(side * rng.uniform(0.12, 0.3) - distance, 0, 1)
        image = 40 + 150 * spot + rng.normal(0, 8, (side, side))
        images.append(np.clip(255 - image if dark else image, 0, 255).astype(np.uint8))
    return images


def write_images(folder: Path, images: Sequence[np.ndarray]) -> None:
    """Write images as PNG files, numbered."""
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:03}.png")


def class_folders(folder: Path) -> None:
    """Write two classes of images to train on, and images to score."""
    write_images(folder / "train" / "light", spots(0, 120))
    write_images(folder / "train" / "dark", spots(1, 120, dark=True))
    write_images(folder / "new", [*spots(2, 3), *spots(3, 3, dark=True)])


def normal_folder(folder: Path) -> None:
    """Write normal images to train on, images to score, and a mask for them."""
    write_images(folder / "train", spots(0, 60))
    write_images(folder / "new", [*spots(2, 4), *spots(3, 2, dark=True)])
    mask = np.zeros((16, 16), np.uint8)
    mask[:3, :4] = 255
    Image.fromarray(mask).save(folder / "mask.png")


def large_images(folder: Path) -> None:
    """Write images larger than a tile."""
    write_images(folder / "train", spots(0, 12, 136))
    write_images(folder / "new", [*spots(2, 2, 136), *spots(3, 1, 136, dark=True)])


def unlabeled_images(folder: Path) -> None:
    """Write few images with a class, and many without one."""
    write_images(folder / "train" / "train" / "light", spots(0, 24))
    write_images(folder / "train" / "train" / "dark", spots(1, 24, dark=True))
    write_images(folder / "train" / "unlabeled", [*spots(4, 40), *spots(5, 40, dark=True)])


def tables(folder: Path) -> None:
    """Write a table of two classes to train on, and one of rows to score."""
    folder.mkdir(parents=True)
    for name, seed, count in (("train", 0, 240), ("new", 1, 8)):
        rng = np.random.default_rng(seed)
        label = np.arange(count) % 2
        length = rng.normal(10 + 4 * label, 1)
        width = 0.5 * length + rng.normal(0, 0.3, count)
        number = rng.integers(0, 5, count)
        color = rng.choice(["red", "green", "blue"], count)
        with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["length", "width", "number", "color", "label"])
            writer.writerows(zip(length.round(4), width.round(4), number, color, label))


# ---------------------------------------------------------------- runs


@dataclass(frozen=True)
class Command:
    """One call of the command line; the words are options and settings in either spelling."""

    words: tuple[str, ...]
    processes: int = 1  # more than one: workers of one training, joined through TF_CONFIG


@dataclass(frozen=True)
class Run:
    """Inputs and the commands that use them, in a folder that holds the inputs in `input/`."""

    about: str
    inputs: Callable[[Path], None]
    commands: tuple[Command, ...]


SETTINGS = {
    "training.batch_size": "16",
    "gan.latent_dim": "8",
    "gan.ema": "0.9",
    "generator.width": "8",
    "generator.learning_rate": "0.005",
    "discriminator.width": "4",
    "encoder.width": "4",
    "classifier.width": "4",
    "classifier.learning_rate": "0.02",
}


def train(data: str, task: str, steps: int, *words: str, processes: int = 1) -> Command:
    """Return a training of the smallest networks into `run`; later words come before `SETTINGS`."""
    settings = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    fixed = ["train", data, "--task", task, "--steps", str(steps), "--out", "run"]
    return Command((*fixed, *settings, *words), processes)


def augment(out: str, *words: str) -> Command:
    """Return a call of `augan augment` with the bundle of `train`."""
    return Command(("augment", "--model", "run", "--out", out, *words))


def detect(out: str, data: str, *words: str) -> Command:
    """Return a call of `augan detect` with the bundle of `train`."""
    return Command(("detect", data, "--model", "run", "--out", out, *words))


RUNS = {
    "generate": Run(
        "two classes of images: a generator, samples of the prior and of latent codes",
        class_folders,
        (
            train("input/train", "generate", 200, "--set", "evaluation.interval=80"),
            augment("prior", "--class", "light", "--n", "6"),
            augment(
                "latent",
                *("--class", "dark", "--n", "4", "--method", "interpolate", "--no-filter"),
                *("--format", "npz", "--transform", "shift-flip"),
            ),
        ),
    ),
    "detect": Run(
        "normal images: a detector of two methods, maps and a mask",
        normal_folder,
        (
            train("input/train", "detect", 20, "--set", "detect.methods=[fanogan]"),
            detect("scores", "input/new", "--save-maps", "--ignore-mask", "input/mask.png"),
            detect("fanogan", "input/new", "--method", "fanogan"),
        ),
    ),
    "both": Run(
        "two classes of images: a generator and a detector",
        class_folders,
        (
            train("input/train", "both", 200),
            augment("samples", "--class", "light", "--class", "dark", "--n", "6"),
            detect("scores", "input/new"),
        ),
    ),
    "cross-conformal": Run(
        "few normal images: five detectors, each calibrated on the fold it was not trained on",
        normal_folder,
        (
            train("input/train", "detect", 8, "--cross-conformal"),
            detect("scores", "input/new"),
        ),
    ),
    "table": Run(
        "a table of two classes: a generator and a detector",
        tables,
        (
            train("input/train.csv", "both", 40, "--target", "label"),
            augment("rows", "--class", "1", "--n", "12", "--no-filter"),
            detect("scores", "input/new.csv"),
        ),
    ),
    "large-images": Run(
        "images larger than a tile: a detector that scores tiles",
        large_images,
        (
            train("input/train", "detect", 4),
            detect("scores", "input/new", "--save-maps"),
        ),
    ),
    "unlabeled": Run(
        "few images with a class and many without: pseudo-labels",
        unlabeled_images,
        (
            train("input/train", "generate", 20),
            augment("samples", "--class", "dark", "--n", "4", "--no-filter"),
        ),
    ),
    "two-workers": Run(
        "a training of two processes, and results made by two worker processes",
        class_folders,
        (
            train("input/train", "both", 20, "--distribute", "multiworker", processes=2),
            augment("samples", "--class", "dark", "--n", "4", "--no-filter", "--workers", "2"),
            detect("scores", "input/new", "--workers", "2"),
        ),
    ),
}


# ---------------------------------------------------------------- digests


@dataclass(frozen=True)
class Digest:
    """One array.

    Attributes
    ----------
    group
        One of `GROUPS`.
    value
        Type, shape and hash of the bytes: all that is compared.
    place
        Where the array is, for whoever reads a difference.
    """

    group: str
    value: str
    place: str


def digest_folder(folder: Path) -> list[Digest]:
    """Return the digests of everything below a folder but `input/`."""
    digests = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and name.parts[0] != "input":
            digests += digest_file(name.as_posix(), path.read_bytes())
    return digests


def digest_file(name: str, raw: bytes, *, in_archive: bool = False) -> list[Digest]:
    """Return the digests of one file, and of the members of an archive."""
    suffix = Path(name).suffix.lower()
    if suffix == ".safetensors":  # a checkpoint, unless it is in a bundle
        return list(digest_weights(name, raw)) if in_archive else []
    if suffix == ".npy":
        return digest_npy(name, raw)
    if suffix in PIL_SUFFIXES:
        return [digest_image(name, raw)]
    if suffix == ".csv":
        return list(digest_table(name, raw.decode("utf-8", "surrogateescape")))
    if raw.startswith(b"PK\x03\x04"):  # a bundle or npz
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            return [
                digest
                for member in archive.namelist()
                for digest in digest_file(f"{name}/{member}", archive.read(member), in_archive=True)
            ]
    return []


def digest_weights(name: str, raw: bytes) -> Iterator[Digest]:
    """Yield the digest of each array of a safetensors file, of any type."""
    start = 8 + int.from_bytes(raw[:8], "little")
    for key, entry in json.loads(raw[8:start]).items():
        if key != "__metadata__":
            first, end = entry["data_offsets"]
            value = _value(entry["dtype"], entry["shape"], raw[start + first : start + end])
            yield Digest("weights", value, f"{name}/{key}")


def digest_npy(name: str, raw: bytes) -> list[Digest]:
    """Return the digest of an array of numbers; text holds names, which are not compared."""
    if Path(name).stem in ("num_groups", "fold_sizes"):  # counts, which a later bundle has as JSON
        return []
    array = np.load(io.BytesIO(raw), allow_pickle=False)
    return [_digest_array("arrays", array, name)] if array.dtype.kind in "biufc" else []


def digest_image(name: str, raw: bytes) -> Digest:
    """Return the digest of the pixels of an image file."""
    with Image.open(io.BytesIO(raw)) as image:
        pixels = image.convert("RGBA") if image.mode == "P" else image
        return _digest_array("pixels", np.asarray(pixels), name)


def digest_table(name: str, text: str) -> Iterator[Digest]:
    """Yield the digest of each column of a CSV file.

    Of a column of text, such as class names, only which rows are equal is compared.
    """
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    for title, *cells in zip(header, *rows):
        numbers = as_numbers(cells)
        if numbers is None:
            codes = {cell: code for code, cell in enumerate(dict.fromkeys(cells))}
            numbers = np.array([codes[cell] for cell in cells], np.int64)
        yield _digest_array("scores", numbers, f"{name}/{title}")


def as_numbers(cells: Sequence[str]) -> np.ndarray | None:
    """Return a column of numbers, NaN where a cell is empty, or None of a column of text."""
    if any(HASH.fullmatch(cell) for cell in cells):
        return None
    try:
        return np.array([float(cell) if cell else math.nan for cell in cells], np.float64)
    except ValueError:
        return None


def _digest_array(group: str, array: np.ndarray, place: str) -> Digest:
    return Digest(group, _value(array.dtype.str, array.shape, array.tobytes()), place)


def _value(dtype: str, shape: Sequence[int], raw: bytes) -> str:
    sizes = "x".join(str(size) for size in shape) or "scalar"
    return f"{dtype} {sizes} {hashlib.sha256(raw).hexdigest()[:32]}"


def compare(
    base: Sequence[Digest], tree: Sequence[Digest]
) -> dict[str, tuple[list[Digest], list[Digest]]]:
    """Return the digests only in base and only in the tree, for each group with differences."""
    differences = {}
    for group in GROUPS:
        sides = [[digest for digest in side if digest.group == group] for side in (base, tree)]
        only = (_without(sides[0], sides[1]), _without(sides[1], sides[0]))
        if any(only):
            differences[group] = only
    return differences


def _without(digests: Sequence[Digest], others: Sequence[Digest]) -> list[Digest]:
    """Return the digests that are missing in `others`, each as often as it is missing."""
    left, remaining = Counter(digest.value for digest in others), []
    for digest in digests:
        if left[digest.value]:
            left[digest.value] -= 1
        else:
            remaining.append(digest)
    return remaining


# ---------------------------------------------------------------- versions


@dataclass(frozen=True)
class Version:
    """The code of one side.

    Attributes
    ----------
    label
        Name of the version in messages.
    root
        Folder with `augan`, `cli` and `configs`.
    commit
        Full hash. None: a working tree with uncommitted changes.
    """

    label: str
    root: Path
    commit: str | None

    @property
    def environment(self) -> dict[str, str]:
        """Environment of a command: this code first, the CPU only, no settings of TensorFlow."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "AUGAN_"))}
        path = os.pathsep.join([str(self.root), str(self.root / "cli")])
        plain = {"COLUMNS": "400", "TERM": "dumb", "NO_COLOR": "1", "CUDA_VISIBLE_DEVICES": "-1"}
        return {**kept, **plain, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}

    def spell(self, word: str, known: frozenset[str]) -> str:
        """Return an option or a setting as this version spells it."""
        spellings = _spellings(word)
        for spelling in spellings:
            if spelling in known:
                return spelling
        raise RunError(
            f"the {self.label} knows none of {', '.join(spellings)}; add its spelling to RENAMES"
        )

    def command_words(self, words: Sequence[str]) -> list[str]:
        """Return the words of a command as this version spells them."""
        spelled = [words[0]]
        for before, word in itertools.pairwise(words):
            if before == "--set":
                key, _, value = word.partition("=")
                spelled.append(f"{self.spell(key, known_settings(self.root))}={value}")
            elif word.startswith("--"):
                spelled.append(self.spell(word, known_options(self, words[0])))
            else:
                spelled.append(word)
        return spelled


def _spellings(word: str) -> list[str]:
    return [word, *(b if word == a else a for a, b in RENAMES.items() if word in (a, b))]


@functools.cache
def known_options(version: Version, command: str) -> frozenset[str]:
    """Return the options that `--help` of a command names."""
    words = [sys.executable, "-m", "augan_cli", command, "--help"]
    done = subprocess.run(words, env=version.environment, capture_output=True, text=True)
    if done.returncode:
        raise RunError(f"`augan {command} --help` fails in the {version.label}:\n{done.stderr}")
    return frozenset(re.findall(r"(?<![\w-])--[a-z][a-z-]*", done.stdout))


@functools.cache
def known_settings(root: Path) -> frozenset[str]:
    """Return the dotted names of the settings in `configs/default.yaml`."""
    values = yaml.safe_load((root / "configs" / "default.yaml").read_text(encoding="utf-8"))
    names = set()
    for name, value in values.items():
        names |= {f"{name}.{key}" for key in value} if isinstance(value, dict) else {name}
    return frozenset(names)


def git(*words: str) -> bytes:
    """Return the output of a git command in this repository."""
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True)
    if done.returncode:
        stderr = done.stderr.decode(errors="replace").strip()
        raise UsageError(f"`git {' '.join(words)}` failed: {stderr}")
    return done.stdout


def resolve_commit(name: str) -> str:
    """Return the full hash of a commit."""
    try:
        return git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").decode().strip()
    except UsageError:
        raise UsageError(
            f"there is no commit '{name}' in {ROOT}; give a hash, a branch or a tag"
        ) from None


def base_version(name: str, folder: Path) -> Version:
    """Write the code of a commit into a folder."""
    commit = resolve_commit(name)
    with tarfile.open(fileobj=io.BytesIO(git("archive", commit, *CODE))) as archive:
        archive.extractall(folder, filter="data")
    return Version("base", folder, commit)


def tree_version(folder: Path) -> Version:
    """Copy the code of the working tree, because it may change during the runs."""
    for name in CODE:
        ignored = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    is_clean = not git("status", "--porcelain", "--", *CODE).strip()
    return Version("working tree", folder, resolve_commit("HEAD") if is_clean else None)


def check_import(version: Version) -> None:
    """Check that a command would import this version, not an installed one."""
    code = "import augan, augan_cli; print(augan.__file__); print(augan_cli.__file__)"
    words = [sys.executable, "-c", code]
    with tempfile.TemporaryDirectory() as cwd:
        done = subprocess.run(
            words, env=version.environment, cwd=cwd, capture_output=True, text=True
        )
    places = [Path(line).resolve() for line in done.stdout.splitlines()]
    if len(places) != 2 or not all(p.is_relative_to(version.root.resolve()) for p in places):
        raise RunError(
            f"{sys.executable} does not import the {version.label}:\n{done.stderr}{done.stdout}"
        )


# ---------------------------------------------------------------- execution


def make_run(run: Run, version: Version) -> list[Digest]:
    """Make a run in a temporary folder and return the digests of what it wrote."""
    with tempfile.TemporaryDirectory(prefix="augan-digest-") as temporary:
        folder = Path(temporary, "run")
        run.inputs(folder / "input")
        for command in run.commands:
            call(command, version, folder, Path(temporary, "cache"))
        digests = digest_folder(folder)
    missing = set(REQUIRED_GROUPS) - {digest.group for digest in digests}
    if missing:
        raise RunError(f"the {version.label} wrote no {' and no '.join(sorted(missing))}")
    return digests


def call(command: Command, version: Version, cwd: Path, cache: Path) -> None:
    """Call the command line, as one process or as several workers of one training."""
    words = version.command_words(command.words)
    environment = {**version.environment, "AUGAN_CACHE": str(cache)}
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "augan_cli", *words],
            env={**environment, **more},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for more in worker_environments(command.processes)
    ]
    try:
        messages = [worker.communicate(timeout=TIMEOUT)[1] for worker in workers]
    except subprocess.TimeoutExpired:
        raise RunError(
            f"`augan {' '.join(words)}` took more than {TIMEOUT:.0f} s in the {version.label}"
        ) from None
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    for worker, text in zip(workers, messages):
        if worker.returncode:
            last = "\n".join(text.strip().splitlines()[-5:])
            raise RunError(
                f"`augan {' '.join(words)}` ended with {worker.returncode} in the {version.label}:"
                f"\n{last}"
            )


def worker_environments(count: int) -> list[dict[str, str]]:
    """Return the TF_CONFIG variable of each process; empty for a single process."""
    if count == 1:
        return [{}]
    holders = [socket.socket() for _ in range(count)]
    for holder in holders:
        holder.bind(("127.0.0.1", 0))
    cluster = {"worker": [f"127.0.0.1:{holder.getsockname()[1]}" for holder in holders]}
    for holder in holders:
        holder.close()
    tasks = [{"type": "worker", "index": index} for index in range(count)]
    return [{"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks]


# ---------------------------------------------------------------- cache


def user_cache() -> Path:
    """Return the default folder of the cache."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "augan-digest"
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "augan-digest"


def cache_file(folder: Path, name: str, version: Version) -> Path | None:
    """Return the cache file of a run, or None for code that no commit contains."""
    if version.commit is None:
        return None
    key = hashlib.sha256(json.dumps([machine(), definition(RUNS[name])]).encode()).hexdigest()
    return folder / version.commit / f"{name}-{key[:16]}.json"


@functools.cache
def machine() -> list[str]:
    """Return the properties of the machine that change results: processor, Python, packages."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    models = sorted(set(re.findall(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)))
    packages = {f"{p.name}=={p.version}" for p in importlib.metadata.distributions()}
    cores = str(os.cpu_count())
    return [platform.machine(), *models, cores, platform.python_version(), *sorted(packages)]


def definition(run: Run) -> list[Any]:
    """Return the definition of a run and its digests; an edit invalidates the cached results."""
    commands = [[command.words, command.processes] for command in run.commands]
    steps: list[Callable[..., Any]] = [spots, write_images, run.inputs, digest_file]
    steps += [digest_weights, digest_npy, digest_image, digest_table, as_numbers]
    steps += [_digest_array, _value]
    return [commands, HASH.pattern, *(inspect.getsource(step) for step in steps)]


def read_cache(path: Path | None) -> list[Digest] | None:
    """Return the cached digests, or None."""
    try:
        return None if path is None else [Digest(*row) for row in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError):
        return None


def write_cache(path: Path | None, digests: Sequence[Digest]) -> None:
    """Write digests to the cache atomically."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.{time.monotonic_ns()}")
        part.write_text(json.dumps([[d.group, d.value, d.place] for d in digests]))
        part.replace(path)


# ---------------------------------------------------------------- command line


@dataclass(frozen=True)
class Result:
    """The digests of a run on one side, and the seconds of the run (None: from the cache)."""

    digests: list[Digest]
    seconds: float | None


def obtain(name: str, version: Version, cache: Path, fresh: bool) -> Result:
    """Return the digests of a run from the cache, or make the run."""
    path = cache_file(cache, name, version)
    cached = None if fresh else read_cache(path)
    if cached is not None:
        return Result(cached, None)
    since = time.monotonic()
    digests = make_run(RUNS[name], version)
    write_cache(path, digests)
    return Result(digests, time.monotonic() - since)


def report(name: str, base: Result, tree: Result) -> tuple[list[str], dict[str, Any]]:
    """Return the text lines and the JSON values of a run."""
    differences = compare(base.digests, tree.digests)
    costs = [
        f"{label} {'cached' if side.seconds is None else f'{side.seconds:.0f} s'}"
        for label, side in (("base", base), ("working tree", tree))
    ]
    counts = Counter(digest.group for digest in base.digests)
    summary = ", ".join(f"{counts[group]} {group}" for group in GROUPS)
    state = "DIFFERS" if differences else "equal"
    lines = [f"{name:<16} {state:<8} {summary} ({', '.join(costs)})"]
    for group, only in differences.items():
        lines.append(
            f"  {group}: {len(only[0])} only in base, {len(only[1])} only in the working tree"
        )
        for label, digests in zip(("base", "working tree"), only):
            lines += [f"    {label}: {d.value}  {d.place}" for d in digests[:MAX_SHOWN]]
            if len(digests) > MAX_SHOWN:
                lines.append(f"    {label}: and {len(digests) - MAX_SHOWN} more")
    data = {
        group: {
            label: [[digest.value, digest.place] for digest in digests]
            for label, digests in zip(("base", "tree"), only)
        }
        for group, only in differences.items()
    }
    return lines, {"equal": not differences, "counts": dict(counts), "only_in": data}


def compare_versions(base: Version, tree: Version, args: argparse.Namespace) -> dict[str, Any]:
    """Make the runs of both sides, print one line per run, and return the JSON values."""
    results: dict[str, Any] = {}
    with ThreadPoolExecutor(args.jobs) as pool:
        futures: dict[str, list[Future[Result]]] = {
            name: [
                pool.submit(obtain, name, version, args.cache, args.fresh)
                for version in (base, tree)
            ]
            for name in args.runs
        }
        for name, sides in futures.items():
            try:
                lines, results[name] = report(name, *(side.result() for side in sides))
            except RunError as error:
                lines = [f"{name:<16} FAILED   {error}"]
                results[name] = {"equal": False, "error": str(error)}
            print("\n".join(lines), flush=True)
    return results


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Return the parsed options; argparse exits with code 2 where they are wrong."""
    parser = argparse.ArgumentParser(
        prog="digest",
        description="Compare to the last bit what a commit and the working tree compute.",
    )
    parser.add_argument("base", nargs="?", help="commit to compare the working tree with")
    parser.add_argument("--runs", nargs="+", metavar="NAME", help="only these runs")
    parser.add_argument("--quick", action="store_true", help=f"only {' and '.join(QUICK)}")
    parser.add_argument("--fresh", action="store_true", help="make all runs, cached or not")
    parser.add_argument("--list", action="store_true", help="print the runs and stop")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result as JSON")
    parser.add_argument("--jobs", type=int, default=2, help="runs made at a time; default: 2")
    parser.add_argument("--cache", type=Path, default=None, help="folder of the cache")
    args = parser.parse_args(words)
    if args.base is None and not args.list:
        parser.error("BASE is missing: give the commit to compare the working tree with")
    if args.quick and args.runs:
        parser.error("--quick and --runs exclude each other; give one of them")
    if args.jobs < 1:
        parser.error(f"--jobs must be 1 or more, got {args.jobs}")
    args.runs = args.runs or list(QUICK if args.quick else RUNS)
    unknown = [name for name in args.runs if name not in RUNS]
    if unknown:
        parser.error(f"there is no run '{unknown[0]}'; choose from {', '.join(RUNS)}")
    args.cache = args.cache or user_cache()
    return args


def main(words: Sequence[str] | None = None) -> int:
    """Run the tool and return the exit code."""
    args = parse(words)
    if args.list:
        print("\n".join(f"{name:<16} {run.about}" for name, run in RUNS.items()))
        return 0
    since = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="augan-digest-") as folder:
        try:
            base = base_version(args.base, Path(folder, "base"))
            tree = tree_version(Path(folder, "tree"))
            check_import(base)
            check_import(tree)
        except (UsageError, RunError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        print(f"base: {base.commit}; working tree: {tree.commit or 'changed since HEAD'}")
        if base.commit == tree.commit and not args.fresh:
            print("note: both sides are the same commit; --fresh makes every run twice")
        results = compare_versions(base, tree, args)
    differing = [name for name, result in results.items() if not result["equal"]]
    last = f"differ: {', '.join(differing)}" if differing else "all equal"
    print(f"{last}; {time.monotonic() - since:.0f} s")
    if args.json:
        write_json(args.json, {"base": base.commit, "tree": tree.commit, "runs": results})
    return 1 if differing else 0


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write values as indented JSON."""
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

"""One-class benchmark: detectors that train on one class and are tested on all classes.

    python -m benchmarks.detection.one_class one-class --data digits --json one-class.json

A detector is any class with scikit-learn's `fit` and `score_samples` (higher = more normal).
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

import augan
from augan.config import Config
from augan.data.cache import decode_all
from augan.data.dataset import Dataset, from_arrays
from augan.data.loading import load_dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.data.splits import make_split
from augan.detect.detector import Detector
from augan.evaluation.detection.baselines import BASELINES, OutlierDetector
from augan.evaluation.detection.metrics import auroc
from augan.exceptions import AuganError, DataError
from augan.gan.networks.build import build_network
from augan.io.hashing import sha256_parts
from augan.seeding import child_rng
from augan.training.defaults import resolve_defaults
from augan.training.network_specs import NetworkSpecs
from benchmarks.common.harness import (
    Results,
    Row,
    Task,
    add_arguments,
    digest,
    parse_range,
    run,
    spread,
    write_json,
)
from benchmarks.detection import defects
from benchmarks.detection.defects import ROW_NAMES


def evaluate_one_class(
    detectors: Mapping[str, Callable[[], OutlierDetector]],
    x_train: np.ndarray,
    x_test: np.ndarray,
    is_anomaly: ArrayLike,
) -> list[dict[str, Any]]:
    """Fit each detector on normal images, and measure its AUROC on labeled images.

    Parameters
    ----------
    detectors : mapping of name to a function without arguments
        The function returns a detector. A fitted detector is not fitted again.
    x_train : ndarray, shape [N, ...]
        Normal images only.
    x_test : ndarray, shape [M, ...]
    is_anomaly : array-like of bool, shape [M]
        Used for the AUROC only, after all scoring.

    Returns
    -------
    list of dict
        `method`, `auroc`, `fit_seconds` (None for a fitted detector) and `ms_per_image` (scoring
        all test images in one call), in the order of `detectors`.

    Raises
    ------
    DataError
        The labels or the scores do not match the test images, or there is only one kind of image.
    """
    labels = np.asarray(is_anomaly)
    if labels.shape != (len(x_test),) or labels.dtype != np.bool_:
        raise DataError(
            f"is_anomaly has shape {labels.shape} and type {labels.dtype}, but one True or False "
            f"for each of the {len(x_test)} test images is needed"
        )
    if labels.all() or not labels.any():
        raise DataError(
            f"{int(labels.sum())} of the {labels.size} test images are anomalies, but AUROC needs "
            "both normal images and anomalies"
        )
    rows = []
    for name, make in detectors.items():
        detector = make()
        fit_seconds = None if _is_fitted(detector) else _timed(detector.fit, x_train)[1]
        scores, seconds = _timed(detector.score_samples, x_test)
        scores = np.asarray(scores)
        if scores.shape != labels.shape:
            raise DataError(
                f"the detector {name!r} returned scores of shape {scores.shape} for {labels.size} "
                "images; score_samples must return one number for each image"
            )
        rows.append(
            {
                "method": name,
                "auroc": auroc(-scores[~labels], -scores[labels]),
                "fit_seconds": fit_seconds,
                "ms_per_image": 1000 * seconds / labels.size,
            }
        )
    return rows


def _is_fitted(detector: OutlierDetector) -> bool:
    if not hasattr(detector, "__sklearn_tags__"):
        # check_is_fitted accepts estimators of scikit-learn only; the rule is the same.
        return any(name.endswith("_") and not name.startswith("__") for name in vars(detector))
    try:
        check_is_fitted(detector)
    except NotFittedError:
        return False
    return True


def _timed(function: Callable[[Any], Any], argument: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    result = function(argument)
    return result, time.perf_counter() - start


NAME = "one-class"
PROTOCOL = "one class normal, all others anomalies, 1"  # increase the number with any change
DEV_FRACTION = 0.2  # of the training images of each class are tested on in the split dev
STARTUP_SECONDS = 6.0  # until the compiled updates of a GAN run
SECONDS_PER_UPDATE = 1e-4  # for each pixel, encoder included; two cores


@dataclass(frozen=True, eq=False)
class Images:
    """Prepared images `[N, S, S, C]` and the class name of each image, text `[N]`."""

    pixels: np.ndarray
    classes: np.ndarray

    def subset(self, rows: np.ndarray) -> "Images":
        """Return the images at `rows`."""
        return Images(self.pixels[rows], self.classes[rows])

    def sha256(self) -> str:
        """Return the SHA-256 of the images and class names."""
        about = repr((self.pixels.shape, self.pixels.dtype.str)) + "\n".join(self.classes.tolist())
        return sha256_parts([np.ascontiguousarray(self.pixels).data, about.encode()])


@dataclass(frozen=True, eq=False)
class OneClassData:
    """A dataset: training images, and test images in the split test."""

    name: str
    class_names: tuple[str, ...]
    train: Images
    test: Images | None

    @classmethod
    def load(cls, data: str, split: str) -> Self:
        """Load a dataset as `augan.load_dataset` does; the split dev never opens the test part."""
        train = load_dataset(data)
        preprocessing = ImagePreprocessing.fit(train)
        test = load_dataset(data, subset="test") if split == "test" else None
        return cls(
            train.name,
            train.class_names,
            _images(train, preprocessing),
            None if test is None else _images(test, preprocessing),
        )

    def split(self, seed: int) -> tuple[Images, Images]:
        """Return the training images and the test images, the same for every method."""
        if self.test is not None:
            return self.train, self.test
        is_test = np.zeros(len(self.train.classes), bool)
        for name in np.unique(self.train.classes):
            rows = np.flatnonzero(self.train.classes == name)
            order = child_rng(seed, "benchmarks", "dev", str(name)).permutation(rows)
            is_test[order[: max(1, round(DEV_FRACTION * len(rows)))]] = True
        return self.train.subset(~is_test), self.train.subset(is_test)

    def identity(self) -> Row:
        """Return the fields of a row that identify the data."""
        parts = [self.train] if self.test is None else [self.train, self.test]
        return {
            "data": self.name,
            "images": sum(len(part.classes) for part in parts),
            "sha256": digest([part.sha256() for part in parts]),
        }


def _images(dataset: Dataset, preprocessing: ImagePreprocessing) -> Images:
    if dataset.labels is None:
        raise DataError(
            f"{dataset.name} has no classes; give a folder with one subfolder for each class"
        )
    dataset, pixels = decode_all(dataset, preprocessing)
    return Images(pixels, np.array(dataset.class_names)[dataset.labels])


class UntrainedDetector(BaseEstimator):
    """Control of `GANDetector`: the same detector on networks before their first update.

    The result does not depend on any training of the networks.
    """

    def __init__(self, method: str = "fanogan", random_state: int = 0) -> None:
        self.method = method
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Build the networks and fit the detector with the splits of `GANDetector`."""
        settings = _config(self.random_state, None, self.method)
        config, preprocessing = resolve_defaults(settings, from_arrays(X))
        pixels = preprocessing.prepare_all(X)
        split = make_split(len(X), seed=config.seed, calibrate=False)
        self.specs_ = _specs(config, preprocessing, pixels)
        models = {role: build_network(spec) for role, spec in self.specs_.items()}
        self.detector_ = Detector.fit(
            self.method, models, preprocessing, pixels, train=split.train, val=split.val
        )
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return how normal each image is, higher = more normal."""
        return -self.detector_.score(self.detector_.preprocessing.prepare_all(X))


def _config(seed: int, steps: int | None, method: str) -> Config:
    settings = Config(seed=seed, task="detect")
    return settings.replace(training__steps=steps, detect__method=method)


def _specs(
    config: Config, preprocessing: ImagePreprocessing, pixels: np.ndarray
) -> dict[str, dict[str, Any]]:
    specs_of = NetworkSpecs(config, pixels.shape[1:], 0, preprocessing)
    specs = {role: specs_of.spec(role) for role in ("generator", "discriminator", "encoder")}
    discriminator = build_network(specs["discriminator"])
    optional = {
        "transformation_head": config.gan.self_supervision,
        "localization_head": config.gan.localization_head,
    }
    return specs | {
        role: specs_of.head_spec(role, discriminator)
        for role, is_wanted in optional.items()
        if is_wanted
    }


def _trained(method: str, seed: int, steps: int | None) -> OutlierDetector:
    return augan.GANDetector(method=method, far=None, steps=steps, random_state=seed)


def _untrained(method: str, seed: int, steps: int | None) -> OutlierDetector:
    return UntrainedDetector(method, seed)


def _baseline(name: str, seed: int, steps: int | None) -> OutlierDetector:
    return BASELINES[name](seed)


TRAINED = ("auto", "features", "fanogan", "anogan")
UNTRAINED = {"untrained": "fanogan"} | {f"untrained-{name}": name for name in TRAINED[:2]}
ANOGAN_CLASSES = (0, 4)  # classes that the slow search of AnoGAN is measured on
MAX_ANOGAN_IMAGES = 500
METHODS: dict[str, Callable[[int, int | None], OutlierDetector]] = {
    **{name: partial(_trained, name) for name in TRAINED},
    **{name: partial(_untrained, scorer) for name, scorer in UNTRAINED.items()},
    **{name: partial(_baseline, name) for name in BASELINES},
}
"""Name -> function of a seed and the updates of the GAN (None: augan's default)."""


def settings_of(method: str, steps: int | None, normal: np.ndarray) -> tuple[int | None, str]:
    """Return the updates of the GAN and the digest of all settings except the seed."""
    if method in BASELINES:
        estimator: Any = BASELINES[method](0)
        last = estimator[-1]
        parameters = {k: v for k, v in last.get_params().items() if k != "random_state"}
        return None, digest([type(last).__name__, parameters])
    is_trained = method in TRAINED
    settings = _config(0, steps if is_trained else None, UNTRAINED.get(method, method))
    config, _ = resolve_defaults(settings, from_arrays(normal))
    updates = config.training.steps if is_trained else 0
    return updates, digest({**config.to_dict(), "seed": None, "updates": updates})


def one_class_tasks(arguments: argparse.Namespace) -> list[Task]:
    """Return a task for each seed, class and method."""
    data = OneClassData.load(arguments.data, arguments.split)
    classes = parse_classes(arguments.classes, data.class_names)
    identity = {"benchmark": NAME, "protocol": PROTOCOL, **data.identity()}
    tasks = []
    for seed in arguments.seeds:
        train, test = data.split(seed)
        for name in classes:
            normal = train.pixels[train.classes == name]
            for method in arguments.methods:
                if method == "anogan" and data.class_names.index(name) not in ANOGAN_CLASSES:
                    continue
                updates, settings = settings_of(method, arguments.steps, normal)
                key = {
                    **identity,
                    "split": arguments.split,
                    "class": name,
                    "seed": seed,
                    "method": ROW_NAMES.get(method, method),
                    "variant": arguments.variant,
                    "augan": augan.__version__,
                    "steps": updates,
                    "settings": settings,
                }
                make = partial(METHODS[method], seed, arguments.steps)
                measure = partial(measure_one_class, method, make, normal, test, name)
                pixels = normal.shape[1] * normal.shape[2]
                guess = STARTUP_SECONDS + SECONDS_PER_UPDATE * updates * pixels if updates else 1.0
                tasks.append(Task(key, measure, guess))
    return tasks


def measure_one_class(
    method: str, make: Callable[[], OutlierDetector], normal: np.ndarray, test: Images, name: str
) -> Row:
    """Fit to the images `normal` of the class `name`, and test against all other classes."""
    if method == "anogan" and len(test.classes) > MAX_ANOGAN_IMAGES:
        # The same images for every seed.
        order = child_rng(0, "benchmarks", "searched").permutation(len(test.classes))
        test = test.subset(np.sort(order[:MAX_ANOGAN_IMAGES]))
    is_anomaly = test.classes != name
    (result,) = evaluate_one_class({method: make}, normal, test.pixels, is_anomaly)
    return {
        "auroc": result["auroc"],
        "train_s": round(result["fit_seconds"], 4),
        "ms_per_image": round(result["ms_per_image"], 4),
        "n_train": len(normal),
        "n_normal": int((~is_anomaly).sum()),
        "n_anomalies": int(is_anomaly.sum()),
    }


def parse_classes(text: str, class_names: Sequence[str]) -> list[str]:
    """Return the class names of a text: "all", or names and positions such as 3 or 0-9."""
    if text == "all":
        return list(class_names)
    if text in class_names:
        return [text]
    chosen: list[str] = []
    for item in text.split(","):
        numbers = parse_range(item)
        if item in class_names:
            chosen.append(item)
        elif numbers and numbers[-1] < len(class_names):
            chosen += [class_names[number] for number in numbers]
        else:
            raise DataError(f"there is no class {item!r}; the classes are {', '.join(class_names)}")
    return list(dict.fromkeys(chosen))


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Return for each method the mean over classes of the mean over seeds, and its components.

    `over_seeds` is the spread, over the seeds, of the mean over classes.
    """
    return {
        method: _summary([row for row in rows if row["method"] == method])
        for method in dict.fromkeys(row["method"] for row in rows)
    }


def _summary(rows: Sequence[Row]) -> dict[str, Any]:
    by_class = {name: _mean(rows, "auroc", name) for name in _values(rows, "class")}
    seeds = _values(rows, "seed")
    over_seeds = [_mean([row for row in rows if row["seed"] == seed], "auroc") for seed in seeds]
    return {
        "auroc": statistics.fmean(by_class.values()),
        "auroc_by_class": by_class,
        "over_seeds": spread(over_seeds),
        "seeds": len(seeds),
        "train_s": _mean(rows, "train_s"),
        "ms_per_image": _mean(rows, "ms_per_image"),
    }


def _values(rows: Sequence[Row], field: str) -> list[Any]:
    return list(dict.fromkeys(row[field] for row in rows))


def _mean(rows: Sequence[Row], field: str, name: str | None = None) -> float:
    return statistics.fmean(row[field] for row in rows if name in (None, row["class"]))


def _print_table(summary: dict[str, Any]) -> None:
    for method, means in sorted(summary.items(), key=lambda item: -item[1]["auroc"]):
        by_class = means["auroc_by_class"].items()
        classes = "  ".join(f"{name} {value:.3f}" for name, value in by_class)
        print(f"{method:20} {means['auroc']:.4f}  |  {classes}")


def _run_one_class(arguments: argparse.Namespace) -> None:
    tasks = one_class_tasks(arguments)
    name = tasks[0].key["data"] if tasks else "nothing"
    rows = run(tasks, Results(arguments.results / f"{NAME}-{name}.jsonl"))
    summary = summarize(rows)
    write_json(arguments.json, {"rows": rows, "summary": summary})
    _print_table(summary)


def _parse_methods(text: str, methods: Iterable[str] = METHODS) -> list[str]:
    names = text.split(",")
    unknown = sorted(set(names) - set(methods))
    if unknown:
        raise argparse.ArgumentTypeError(
            f"unknown method {', '.join(unknown)}; choose from {', '.join(methods)}"
        )
    return names


_parse_defect_methods = partial(_parse_methods, methods=(*defects.METHODS, *BASELINES))


def _run_defects(arguments: argparse.Namespace) -> None:
    rows = run(defects.tasks(arguments), Results(arguments.results / f"{defects.NAME}.jsonl"))
    methods = dict.fromkeys(row["method"] for row in rows)
    summary = {m: spread([row["auroc"] for row in rows if row["method"] == m]) for m in methods}
    write_json(arguments.json, {"rows": rows, "summary": summary})
    for method, aurocs in sorted(summary.items(), key=lambda item: -item[1]["mean"]):
        print(f"{method:20} {aurocs['mean']:.4f}  from {aurocs['min']:.4f} to {aurocs['max']:.4f}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the one-class benchmark or the defect benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection.one_class", description=__doc__
    )
    commands = parser.add_subparsers(required=True)
    one_class = commands.add_parser(NAME, help="each class in turn is normal")
    one_class.add_argument("--data", default="digits", help="a built-in name or a folder")
    one_class.add_argument("--classes", default="all", help="names or positions: 0-9, cat,dog")
    one_class.add_argument("--methods", type=_parse_methods, default=list(METHODS))
    one_class.add_argument("--steps", type=int, help="updates of the GAN; default: that of augan")
    add_arguments(one_class, NAME)
    one_class.set_defaults(run=_run_one_class)
    defect = commands.add_parser(defects.NAME, help="small defects in large images")
    defect.add_argument("--data", required=True, help="folder with train/normal and test/<type>")
    defect.add_argument("--groups", type=Path, required=True, help="CSV path,group")
    defect.add_argument("--methods", type=_parse_defect_methods, help="default: all")
    add_arguments(defect, defects.NAME)
    defect.set_defaults(run=_run_defects)
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except AuganError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()

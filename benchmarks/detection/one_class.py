"""Fit detectors on one class and judge them on images of all.

Anything with scikit-learn's `fit` and `score_samples` (higher = more normal) can be judged.
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
from augan.gan.networks.registry import build_network
from augan.io.hashing import sha256_parts
from augan.seeding import child_rng
from augan.training.defaults import resolve_defaults
from augan.training.network_specs import NetworkSpecs
from benchmarks.common.harness import Results, Row, Task, add_arguments, digest, run, span, spread
from benchmarks.common.harness import write_json as write
from benchmarks.detection.defects import DEFECTS_OF, ROW_NAMES, defects_tasks
from benchmarks.detection.defects import METHODS as DEFECT_METHODS


def evaluate_one_class(
    detectors: Mapping[str, Callable[[], OutlierDetector]],
    x_train: np.ndarray,
    x_test: np.ndarray,
    is_anomaly: ArrayLike,
) -> list[dict[str, Any]]:
    """Fit each detector on normal images and judge it on labeled ones.

    Parameters
    ----------
    detectors : mapping of name to a function without arguments
        It returns a detector. One that is fitted already is used as it is.
    x_train : ndarray, shape [N, ...]
        Normal images only.
    x_test : ndarray, shape [M, ...]
    is_anomaly : array-like of bool, shape [M]
        Used for the AUROC only, after all scoring.

    Returns
    -------
    list of dict
        `method`, `auroc`, `fit_seconds` (None where it was fitted already) and `ms_per_image`
        (scoring all test images in one call), in the order given.

    Raises
    ------
    DataError
        If labels or scores do not match the test images, or one side is empty.
    """
    labels = np.asarray(is_anomaly)
    if labels.shape != (len(x_test),) or labels.dtype != np.bool_:
        raise DataError(
            f"is_anomaly has shape {labels.shape} and type {labels.dtype}, True or False for "
            f"each of the {len(x_test)} test images was expected."
        )
    if labels.all() or not labels.any():
        raise DataError(
            f"{int(labels.sum())} of the {labels.size} test images are anomalies: AUROC needs "
            "both normal images and anomalies."
        )
    rows = []
    for name, make in detectors.items():
        detector = make()
        fit_seconds = None if _is_fitted(detector) else _timed(detector.fit, x_train)[1]
        scores, seconds = _timed(detector.score_samples, x_test)
        scores = np.asarray(scores)
        if scores.shape != labels.shape:
            raise DataError(
                f"The detector {name!r} gave scores of shape {scores.shape} for "
                f"{labels.size} images: score_samples must give one number per image."
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
        # check_is_fitted takes scikit-learn's own classes only; the rule is the same for others.
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


ONE_CLASS = "one-class"
PROTOCOL = "one class normal, all others anomalies, 1"  # the number rises when anything changes
DEV_SHARE = 0.2  # of the training images of each class are judged in the split dev
START_UP = 6.0  # seconds until the compiled updates of a GAN run
UPDATE = 1e-4  # seconds of one update, with its share of the encoder's, for each pixel; two cores


@dataclass(frozen=True, eq=False)
class Images:
    """Stored squares `[N, S, S, C]` and the name of the class of each, text `[N]`."""

    squares: np.ndarray
    classes: np.ndarray

    def subset(self, rows: np.ndarray) -> "Images":
        """Return the images at `rows`."""
        return Images(self.squares[rows], self.classes[rows])

    def sha256(self) -> str:
        """Return what tells these images and labels from all others."""
        about = repr((self.squares.shape, self.squares.dtype.str)) + "\n".join(
            self.classes.tolist()
        )
        return sha256_parts([np.ascontiguousarray(self.squares).data, about.encode()])


@dataclass(frozen=True, eq=False)
class Material:
    """One data set: the images of training, and those of the test where they may be seen."""

    name: str
    class_names: tuple[str, ...]
    train: Images
    test: Images | None

    @classmethod
    def load(cls, data: str, split: str) -> Self:
        """Read a data set as `augan.load_dataset` does; the split dev never opens the test part."""
        train = load_dataset(data)
        preprocessing = ImagePreprocessing.fit(train)
        test = load_dataset(data, part="test") if split == "test" else None
        return cls(
            train.name,
            train.class_names,
            _images(train, preprocessing),
            None if test is None else _images(test, preprocessing),
        )

    def parts(self, seed: int) -> tuple[Images, Images]:
        """Return the images to learn from and those to judge on, the same for every method."""
        if self.test is not None:
            return self.train, self.test
        judged = np.zeros(len(self.train.classes), bool)
        for name in np.unique(self.train.classes):
            rows = np.flatnonzero(self.train.classes == name)
            order = child_rng(seed, "benchmarks", "dev", str(name)).permutation(rows)
            judged[order[: max(1, round(DEV_SHARE * len(rows)))]] = True
        return self.train.subset(~judged), self.train.subset(judged)

    def identity(self) -> Row:
        """Return the fields of a row that say which data it is about."""
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
    dataset, squares = decode_all(dataset, preprocessing)
    return Images(squares, np.array(dataset.class_names)[dataset.labels])


class UntrainedDetector(BaseEstimator):
    """The control of `GANDetector`: its scorer on its networks before their first update.

    Whatever it detects owes nothing to training.
    """

    def __init__(self, method: str = "fanogan", random_state: int = 0) -> None:
        self.method = method
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Build the networks and fit the scorer on the rows that `GANDetector` would tune on."""
        settings = _config(self.random_state, None, self.method)
        config, preprocessing = resolve_defaults(settings, from_arrays(X))
        squares = preprocessing.prepare_all(X)
        split = make_split(len(X), seed=config.seed, calibrate=False)
        self.specs_ = _specs(config, preprocessing, squares)
        models = {role: build_network(spec) for role, spec in self.specs_.items()}
        self.detector_ = Detector.fit(
            self.method, models, preprocessing, squares, train=split.train, val=split.val
        )
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return how normal each image is, higher = more normal."""
        return -self.detector_.score(self.detector_.preprocessing.prepare_all(X))


def _config(seed: int, steps: int | None, method: str) -> Config:
    settings = Config(seed=seed, task="detect")
    return settings.replace(training__steps=steps, detect__method=method)


def _specs(
    config: Config, preprocessing: ImagePreprocessing, squares: np.ndarray
) -> dict[str, dict[str, Any]]:
    blueprint = NetworkSpecs(config, squares.shape[1:], 0, preprocessing)
    specs = {role: blueprint.spec(role) for role in ("generator", "discriminator", "encoder")}
    discriminator = build_network(specs["discriminator"])
    readers = {"heads": config.gan.self_supervision, "places": config.gan.localization_head}
    return specs | {
        role: blueprint.head_spec(role, discriminator) for role, wanted in readers.items() if wanted
    }


def _trained(method: str, seed: int, steps: int | None) -> OutlierDetector:
    return augan.GANDetector(method=method, far=None, steps=steps, random_state=seed)


def _untrained(method: str, seed: int, steps: int | None) -> OutlierDetector:
    return UntrainedDetector(method, seed)


def _baseline(name: str, seed: int, steps: int | None) -> OutlierDetector:
    return BASELINES[name](seed)


TRAINED = ("auto", "features", "fanogan", "anogan")
UNTRAINED = {"untrained": "fanogan"} | {f"untrained-{name}": name for name in TRAINED[:2]}
SEARCHED = (0, 4)  # the classes that the search of AnoGAN, which takes long, is judged on
MOST_SEARCHED = 500  # images
METHODS: dict[str, Callable[[int, int | None], OutlierDetector]] = {
    **{name: partial(_trained, name) for name in TRAINED},
    **{name: partial(_untrained, scorer) for name, scorer in UNTRAINED.items()},
    **{name: partial(_baseline, name) for name in BASELINES},
}
"""Name -> function of a seed and the updates of the GAN (None: augan's default)."""


def settings_of(method: str, steps: int | None, normal: np.ndarray) -> tuple[int | None, str]:
    """Return the updates of the GAN and the digest of all settings but the seed."""
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
    material = Material.load(arguments.data, arguments.split)
    classes = choose_classes(arguments.classes, material.class_names)
    identity = {"benchmark": ONE_CLASS, "protocol": PROTOCOL, **material.identity()}
    tasks = []
    for seed in arguments.seeds:
        learn, judged = material.parts(seed)
        for name in classes:
            normal = learn.squares[learn.classes == name]
            for method in arguments.methods:
                if method == "anogan" and material.class_names.index(name) not in SEARCHED:
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
                measure = partial(measure_one_class, method, make, normal, judged, name)
                pixels = normal.shape[1] * normal.shape[2]
                guess = START_UP + UPDATE * updates * pixels if updates else 1.0
                tasks.append(Task(key, measure, guess))
    return tasks


def measure_one_class(
    method: str, make: Callable[[], OutlierDetector], normal: np.ndarray, judged: Images, name: str
) -> Row:
    """Fit on the squares `normal` of the class `name` and judge against all other classes."""
    if method == "anogan" and len(judged.classes) > MOST_SEARCHED:
        # The same ones for every seed.
        some = child_rng(0, "benchmarks", "searched").permutation(len(judged.classes))
        judged = judged.subset(np.sort(some[:MOST_SEARCHED]))
    anomalous = judged.classes != name
    (result,) = evaluate_one_class({method: make}, normal, judged.squares, anomalous)
    return {
        "auroc": result["auroc"],
        "train_s": round(result["fit_seconds"], 4),
        "ms_per_image": round(result["ms_per_image"], 4),
        "n_train": len(normal),
        "n_normal": int((~anomalous).sum()),
        "n_anomalies": int(anomalous.sum()),
    }


def choose_classes(text: str, known: Sequence[str]) -> list[str]:
    """Return the classes that `text` names: "all", or names and positions such as 3 or 0-9."""
    if text == "all":
        return list(known)
    if text in known:
        return [text]
    chosen: list[str] = []
    for item in text.split(","):
        numbers = span(item)
        if item in known:
            chosen.append(item)
        elif numbers and numbers[-1] < len(known):
            chosen += [known[number] for number in numbers]
        else:
            raise DataError(f"there is no class {item!r}; the classes are {', '.join(known)}")
    return list(dict.fromkeys(chosen))


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Return for each method the mean over classes of the mean over seeds, and what is behind it.

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
    for method, of in sorted(summary.items(), key=lambda item: -item[1]["auroc"]):
        classes = "  ".join(f"{name} {value:.3f}" for name, value in of["auroc_by_class"].items())
        print(f"{method:20} {of['auroc']:.4f}  |  {classes}")


def _one_class(arguments: argparse.Namespace) -> None:
    tasks = one_class_tasks(arguments)
    name = tasks[0].key["data"] if tasks else "nothing"
    rows = run(tasks, Results(arguments.results / f"{ONE_CLASS}-{name}.jsonl"))
    summary = summarise(rows)
    write(arguments.json, {"rows": rows, "summary": summary})
    _print_table(summary)


def _method_names(text: str, known: Iterable[str] = METHODS) -> list[str]:
    names = text.split(",")
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise argparse.ArgumentTypeError(
            f"there is no method {', '.join(unknown)}; choose from {', '.join(known)}"
        )
    return names


_defect_methods = partial(_method_names, known=(*DEFECT_METHODS, *BASELINES))


def _defects(arguments: argparse.Namespace) -> None:
    rows = run(defects_tasks(arguments), Results(arguments.results / f"{DEFECTS_OF}.jsonl"))
    methods = dict.fromkeys(row["method"] for row in rows)
    summary = {m: spread([row["auroc"] for row in rows if row["method"] == m]) for m in methods}
    write(arguments.json, {"rows": rows, "summary": summary})
    for method, of in sorted(summary.items(), key=lambda item: -item[1]["mean"]):
        print(f"{method:20} {of['mean']:.4f}  from {of['min']:.4f} to {of['max']:.4f}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection.one_class", description=__doc__
    )
    commands = parser.add_subparsers(required=True)
    one_class = commands.add_parser(ONE_CLASS, help="one class is normal, in turn")
    one_class.add_argument("--data", default="digits", help="a built-in name or a folder")
    one_class.add_argument("--classes", default="all", help="names or positions: 0-9, cat,dog")
    one_class.add_argument("--methods", type=_method_names, default=list(METHODS))
    one_class.add_argument("--steps", type=int, help="updates of the GAN, if not the default")
    add_arguments(one_class, ONE_CLASS)
    one_class.set_defaults(run=_one_class)
    defects = commands.add_parser(DEFECTS_OF, help="small defects in large images")
    defects.add_argument("--data", required=True, help="folder with train/normal and test/<kind>")
    defects.add_argument("--groups", type=Path, required=True, help="CSV path,group")
    defects.add_argument("--methods", type=_defect_methods, help="all")
    add_arguments(defects, DEFECTS_OF)
    defects.set_defaults(run=_defects)
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except AuganError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()

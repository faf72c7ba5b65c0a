"""Translation benchmark: does a translator help a classifier for a new camera?

    python -m benchmarks.augmentation.translation missing --cameras dev --json missing.json \
        --garments FASHION_MNIST --photographs RGB32
    python -m benchmarks.augmentation.translation missing --labels-per-class 5 ...
    python -m benchmarks.augmentation.translation unlabeled ...
    python -m benchmarks.augmentation.translation fonts --json fonts.json
    python -m benchmarks.augmentation.translation exposures --tiles MAGNETIC_TILE --json tiles.json
    python -m benchmarks.augmentation.translation detector ...
    python -m benchmarks.augmentation.translation cameras --cameras dev --grid dev.png ...
    python -m benchmarks.augmentation.translation cyclegan --photographs RGB32 --grid birds.png ...

`missing`: the old camera has labels of ten classes of garments, the new camera, one of the random
cameras, has labels of seven. `unlabeled`: the new camera has no label. `fonts`: digits of fonts and
handwritten digits. `exposures`: magnetic tiles at two exposures, the negative control. `detector`:
normal images of the old camera, translated for an anomaly detector of the new one. `cyclegan`: gray
to color without any label. `cameras`: the operations of each camera, and the filter of the bank
that explains them best.

Each training of a classifier is one row. To choose an arm without the missing labels, two groups of
common classes are hidden in turn on the new camera, and every arm is trained again without them;
the labels that were hidden then tell which arm is best. Several processes may share the work: start
them with `--only dev-0,dev-1` and so on, and then once more with all, which only reads.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import augan
from augan.config import Config
from augan.evaluation.translation.classifier import STEPS, CameraClassifier
from augan.evaluation.translation.experiment import TRANSLATIONS, ArmTrainer
from augan.evaluation.translation.filter_bank import (
    apply_filter,
    filter_bank_sha256,
    filter_names,
)
from augan.evaluation.translation.pixel_translation import with_channels
from augan.evaluation.translation.selection import (
    VALIDATION_SHARE,
    ArmOption,
    Hidden,
    arm_options,
    hidden_groups,
    hide_classes,
    recall_by_class,
)
from augan.exceptions import AuganError, ConfigError
from augan.io.images import read_image, write_png
from augan.seeding import child_rng, child_seed
from augan.training.defaults import native_dtype
from augan.translate.translator import TRANSLATION_BATCH_SIZE, train_translator
from benchmarks.augmentation.arm_choice import print_summary, summarize
from benchmarks.augmentation.camera_data import (
    CameraExperiment,
    font_digits,
    garments,
    load_garments,
    load_photographs,
    tile_exposures,
    unlabeled_garments,
)
from benchmarks.augmentation.random_cameras import RandomCamera, random_cameras
from benchmarks.common.harness import (
    Results,
    Row,
    Task,
    add_outputs,
    add_variant,
    digest,
    run,
    write_json,
)
from benchmarks.detection.translated_normals import detector_tasks

NAME = "translation"
VERSION = 1
ABLATION = "ablation"  # never chosen, so that it is not trained with hidden classes
NORMAL_CLASSES = (0, 7)  # T-shirts and sneakers, for the detector


@dataclass(frozen=True, eq=False)
class Study:
    """Experiment on pairs of cameras.

    Attributes
    ----------
    experiment : str
        Name of the command.
    split : str
        "dev" or "test"; "natural" for two kinds of real images.
    load : callable
        Name of a camera and repeat -> images.
    cells : tuple of (camera, repeat)
    labels_per_class : int
        Labels of each missing class on the new camera.
    flips : bool
        Whether training images of the classifier are mirrored.
    variant : str
        Name of the idea under test.
    config : Config or None
        Settings of the translator; None: the defaults.
    """

    experiment: str
    split: str
    load: Callable[[str, int], CameraExperiment]
    cells: tuple[tuple[str, int], ...]
    labels_per_class: int = 0
    flips: bool = True
    variant: str = "default"
    config: Config | None = None

    def tasks(self, arms: Sequence[str] | None) -> list[Task]:
        """Return the trainings of the arms; those of one translator follow each other.

        First the trainings that are tested, of all cameras, then those with hidden classes.

        Parameters
        ----------
        arms : sequence of str or None
            None: all arms that the images allow.
        """
        trainings = []
        for number, (camera, repeat) in enumerate(self.cells):
            experiment = self.load(camera, repeat)
            options = arm_options(experiment.shift, arms)
            for stage, hidden in enumerate(((), *hidden_groups(experiment.shift))):
                training = _Trainings(self, camera, repeat, hidden)
                trainings.append((stage, number, training, options, experiment.sha256))
        tasks = []
        for _, _, training, options, sha256 in sorted(trainings, key=lambda of_cell: of_cell[:2]):
            for option in options:
                if training.hidden and option.arm == ABLATION:
                    continue
                key = {
                    "benchmark": NAME,
                    "experiment": self.experiment,
                    "version": VERSION,
                    "split": self.split,
                    "camera": training.camera,
                    "repeat": training.repeat,
                    "sha256": sha256,
                    "labels_per_class": self.labels_per_class,
                    "hidden": list(training.hidden),
                    "arm": option.arm,
                    "share": option.share,
                    "variant": self.variant,
                    "augan": augan.__version__,
                    "settings": self.settings(option.uses_translator),
                }
                measure = functools.partial(training.measure, option)
                tasks.append(Task(key, measure, 60.0 if option.uses_translator else 15.0))
        return tasks

    def settings(self, uses_translator: bool) -> str:
        """Return the digest of the settings; arms without a translator do not depend on its own."""
        settings: list[Any] = [STEPS, VALIDATION_SHARE, self.flips]
        if uses_translator:
            config = None if self.config is None else self.config.model_dump(mode="json")
            settings += [config, TRANSLATIONS]
        return digest(settings)


@dataclass(frozen=True)
class _Trainings:
    """Trainings of one pair of cameras, where some common classes may be hidden.

    Attributes
    ----------
    study : Study
    camera : str
    repeat : int
    hidden : tuple of int
        Common classes whose labels the arms do not see on the new camera. Empty: none, and the test
        images are classified.
    """

    study: Study
    camera: str
    repeat: int
    hidden: Hidden

    def measure(self, option: ArmOption) -> Row:
        """Train one arm, and return its figures without and with AdaBN."""
        trainer, images, labels, pool = _trainer(self)
        begun = time.process_time()
        # The translator is trained here, so that the times of the arms do not include it.
        translations = trainer.translations() if option.uses_translator else None
        translated = time.process_time()
        trained = trainer.train(option)
        trained_at = time.process_time()
        rare = self.hidden or trainer.shift.missing
        row: Row = {"cpu_train": round(trained_at - translated, 2)}
        if translations is not None:
            row["cpu_translator"] = round(translated - begun, 2)
        for suffix, model in (("", trained), ("_adabn", trained.adapted(pool))):
            recalls = recall_by_class(model.predict(images), labels)
            row[f"balanced_accuracy{suffix}"] = round(statistics.fmean(recalls.values()), 5)
            rare_recall = statistics.fmean(recalls[label] for label in rare)
            row[f"rare_recall{suffix}"] = round(rare_recall, 5)
            if not self.hidden:
                row[f"recalls{suffix}"] = [round(recall, 3) for recall in recalls.values()]
        return row


@functools.lru_cache(maxsize=1)  # the tasks of one pair of cameras follow each other
def _trainer(trainings: _Trainings) -> tuple[ArmTrainer, np.ndarray, np.ndarray, np.ndarray]:
    """Return the trainer, images and classes that measure arms, and the pool of AdaBN."""
    study = trainings.study
    experiment = study.load(trainings.camera, trainings.repeat)
    shift, images, labels = experiment.shift, experiment.test_images, experiment.test_labels
    if trainings.hidden:
        shift, images, labels = hide_classes(shift, trainings.hidden, study.labels_per_class)
        seed = child_seed(shift.seed, "hidden", *trainings.hidden)
        shift = replace(shift, seed=seed)
    classifier = _classifier(shift.old_images.shape[1:], shift.num_classes, study.flips)
    return ArmTrainer(shift, classifier, study.config), images, labels, experiment.pool


@functools.lru_cache(maxsize=2)
def _classifier(shape: tuple[int, int, int], num_classes: int, flips: bool) -> CameraClassifier:
    """Return the classifier, whose graphs are compiled once for all arms."""
    return CameraClassifier(shape, num_classes, flips=flips, dtype=native_dtype())


# Command line -------------------------------------------------------------------------------------


def study_of(arguments: argparse.Namespace) -> Study:
    """Return the study of the command line."""
    config = translator_config(arguments.set)
    common = {"variant": arguments.variant, "config": config}
    if arguments.experiment in ("fonts", "exposures"):
        load = (
            functools.partial(_load_fonts, arguments.fonts)
            if arguments.experiment == "fonts"
            else functools.partial(_load_exposures, arguments.tiles)
        )
        cells = [(arguments.experiment, repeat) for repeat in range(arguments.repeats)]
        return Study(
            arguments.experiment,
            "natural",
            functools.lru_cache(maxsize=2)(load),
            tuple(cells),
            flips=arguments.experiment == "exposures",
            **common,
        )
    cameras = {camera.name: camera for camera in random_cameras(arguments.cameras)}
    names = arguments.only or list(cameras)[: 3 if arguments.experiment == "unlabeled" else None]
    folders = (arguments.garments, arguments.photographs)

    def load_camera(name: str, repeat: int) -> CameraExperiment:
        if arguments.experiment == "unlabeled":
            return unlabeled_garments(cameras[name], repeat, folders)
        return garments(cameras[name], repeat, folders, rare_labels=arguments.labels_per_class)

    return Study(
        arguments.experiment,
        arguments.cameras,
        functools.lru_cache(maxsize=2)(load_camera),
        tuple((name, repeat) for repeat in range(arguments.repeats) for name in names),
        labels_per_class=arguments.labels_per_class,
        **common,
    )


def _load_fonts(folder: Path, camera: str, repeat: int) -> CameraExperiment:
    return font_digits(folder, repeat)


def _load_exposures(folder: Path, camera: str, repeat: int) -> CameraExperiment:
    return tile_exposures(folder, repeat)


def translator_config(settings: Sequence[str]) -> Config | None:
    """Return the configuration of `--set NAME=VALUE`; None: the defaults."""
    if not settings:
        return None
    changes = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"expected NAME=VALUE, got {setting!r}")
        changes[name.replace(".", "__")] = yaml.safe_load(value)
    base = {
        "training__batch_size": TRANSLATION_BATCH_SIZE,
        "training__dtype": native_dtype(),
    }
    return Config().replace(**(base | changes))


def _run_study(arguments: argparse.Namespace) -> None:
    study = study_of(arguments)
    tasks = study.tasks(arguments.arms)
    rows = []
    for repeat in range(
        arguments.repeats
    ):  # one file each, because files in a repository are small
        of_repeat = [task for task in tasks if task.key["repeat"] == repeat]
        name = f"{NAME}-{study.experiment}-{study.split}-{repeat}.jsonl"
        rows += run(of_repeat, Results(arguments.results / name))
    summary = summarize(rows)
    write_json(arguments.json, {"rows": rows, "summary": summary})
    print_summary(summary)


def _run_detector(arguments: argparse.Namespace) -> None:
    cameras = [
        camera
        for camera in random_cameras(arguments.cameras)
        if not arguments.only or camera.name in arguments.only
    ]
    folders = (arguments.garments, arguments.photographs)
    tasks = detector_tasks(
        cameras[: len(arguments.only or cameras[:3])],
        arguments.repeats,
        NORMAL_CLASSES,
        folders,
        arguments.variant,
    )
    rows = run(tasks, Results(arguments.results / f"{NAME}-detector.jsonl"))
    methods = dict.fromkeys(row["method"] for row in rows)
    fields = ("auroc", "false_alarms", "detected")
    summary = {
        method: {
            field: statistics.fmean(row[field] for row in rows if row["method"] == method)
            for field in fields
        }
        for method in methods
    }
    write_json(arguments.json, {"rows": rows, "summary": summary})
    for method, means in summary.items():
        print(f"{method:25}" + "  ".join(f"{field} {means[field]:.3f}" for field in fields))


def _run_cyclegan(arguments: argparse.Namespace) -> None:
    key = {
        "benchmark": NAME,
        "experiment": "cyclegan",
        "version": VERSION,
        "class": arguments.class_name,
        "variant": arguments.variant,
        "augan": augan.__version__,
        "settings": digest(arguments.set),
    }
    measure = functools.partial(_color, arguments)
    results = Results(arguments.results / f"{NAME}-cyclegan.jsonl")
    rows = run([Task(key, measure, 900.0)], results)
    write_json(arguments.json, {"rows": rows})


def _color(arguments: argparse.Namespace) -> Row:
    """Train gray -> color on unpaired photographs of a class, and write a grid of the test ones.

    Half of the training photographs are gray, and the other half are in color. The colors of the
    test photographs are known, so that the error of the translation can be measured.
    """
    paths = {
        subset: sorted((arguments.photographs / subset / arguments.class_name).glob("*"))
        for subset in ("train", "test")
    }
    train, test = (np.stack([read_image(path) for path in paths[s]]) for s in ("train", "test"))
    order = child_rng(0, "cyclegan").permutation(len(train))
    gray, color = with_channels(train[order[: len(train) // 2]], 1), train[order[len(train) // 2 :]]
    config = translator_config(["translation.cycle=two-sided", *arguments.set])
    begun = time.process_time()
    translator = train_translator(gray, None, color, None, 0, config=config)
    seconds = time.process_time() - begun
    test_gray = with_channels(test, 1)
    colored = translator.translate(test_gray)
    back = translator.translate(colored, direction="new-to-old")
    shown = [np.repeat(test_gray, 3, -1), colored, test, np.repeat(back, 3, -1)]
    grid = np.concatenate([np.concatenate(list(images[:24]), axis=1) for images in shown])
    if arguments.grid is not None:
        write_png(arguments.grid, grid.repeat(2, 0).repeat(2, 1))
    truth = test.astype(np.float64)

    def error(images: np.ndarray) -> float:
        return float(np.abs(images - truth).mean() / 255)

    def colorfulness(images: np.ndarray) -> float:
        return float(np.ptp(images.astype(np.float64), axis=-1).mean() / 255)

    return {
        "error": error(colored),
        "error_of_gray": error(test_gray),
        "cycle_error": float(np.abs(back.astype(np.float64) - test_gray).mean() / 255),
        "colorfulness": colorfulness(colored),
        "colorfulness_of_real": colorfulness(test),
        "cpu_train": round(seconds, 1),
    }


def nearest_filter(camera: RandomCamera, images: np.ndarray) -> tuple[str, float]:
    """Return the filter of the bank that explains a camera best, and the share it explains.

    Structure and tone of the camera are compared with each filter followed by any map from its gray
    levels to colors: the share is that of the variance of all pixels. Background and finish, which
    are random, are left out.

    Parameters
    ----------
    camera : RandomCamera
    images : ndarray of uint8 [N, S, S]
        Gray images.
    """
    wanted = camera.operation(images).reshape(-1, 3)
    total = wanted.var(axis=0).sum()
    colors = np.repeat(images[..., None], 3, axis=-1)
    explained = {}
    for name in filter_names(3):
        levels = with_channels(apply_filter(name, colors, 3), 1).ravel()
        counts = np.maximum(np.bincount(levels, minlength=256), 1)
        rest = sum(
            (wanted[:, c] - (np.bincount(levels, wanted[:, c], 256) / counts)[levels]).var()
            for c in range(3)
        )
        explained[name] = float(1 - rest / total)
    best = max(explained, key=explained.__getitem__)
    return best, explained[best]


def _run_cameras(arguments: argparse.Namespace) -> None:
    images, labels = load_garments(arguments.garments, "train")
    photographs = load_photographs(arguments.photographs, "train")
    examples = images[np.concatenate([np.flatnonzero(labels == c)[:2] for c in range(10)])]
    cameras = random_cameras(arguments.cameras)

    def measure(camera: RandomCamera) -> Row:
        name, share = nearest_filter(camera, images[:500])
        return {
            "operations": [camera.structure, camera.tone, camera.background, camera.finish],
            "parameters": camera.parameters,
            "nearest_filter": name,
            "explained": round(share, 4),
        }

    tasks = [
        Task(
            {
                "benchmark": NAME,
                "experiment": "cameras",
                "version": VERSION,
                "split": arguments.cameras,
                "camera": camera.name,
                "bank": filter_bank_sha256()[:16],
                "variant": arguments.variant,
                "augan": augan.__version__,
            },
            functools.partial(measure, camera),
            5.0,
        )
        for camera in cameras
    ]
    rows = run(tasks, Results(arguments.results / f"{NAME}-cameras.jsonl"))
    if arguments.grid is not None:
        shown = [np.repeat(examples[..., None], 3, axis=-1)]
        shown += [camera.render(examples, 0, photographs) for camera in cameras]
        grid = np.concatenate([np.concatenate(list(row), axis=1) for row in shown])
        write_png(arguments.grid, grid.repeat(2, 0).repeat(2, 1))
    write_json(arguments.json, {"rows": rows})
    for row in rows:
        print(f"{row['camera']:8}{row['nearest_filter']:24}{row['explained']:.3f}")


def _parse_names(text: str) -> list[str]:
    return text.split(",")


def _add_study(commands: Any, name: str, about: str) -> None:
    parser = commands.add_parser(name, help=about)
    parser.add_argument("--arms", type=_parse_names, help="comma-separated; default: all eligible")
    parser.add_argument("--repeats", type=int, default=1, help="repeats of each camera, default 1")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="setting of the translator"
    )
    parser.set_defaults(run=_run_study, experiment=name, labels_per_class=0)
    if name in ("missing", "unlabeled"):
        add_cameras(parser)
    elif name == "fonts":
        default = Path("/usr/share/fonts/truetype")
        parser.add_argument("--fonts", type=Path, default=default, help=f"default {default}")
    else:
        parser.add_argument("--tiles", type=Path, required=True, help="folder of magnetic tiles")
    if name == "missing":
        parser.add_argument(
            "--labels-per-class", type=int, default=0, help="of a missing class, default 0"
        )
    add_variant(parser)
    add_outputs(parser, NAME)


def add_cameras(parser: argparse.ArgumentParser) -> None:
    """Add the options of the random cameras and of their images."""
    parser.add_argument("--cameras", choices=("dev", "test"), default="dev", help="test: run once")
    parser.add_argument("--only", type=_parse_names, help="names of cameras, such as dev-0,dev-3")
    parser.add_argument("--garments", type=Path, required=True, help="folder with Fashion-MNIST")
    parser.add_argument("--photographs", type=Path, required=True, help="folder like rgb32")


def main(argv: Sequence[str] | None = None) -> None:
    """Run an experiment."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.augmentation.translation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    _add_study(commands, "missing", "the new camera has no label, or few, of three classes")
    _add_study(commands, "unlabeled", "the new camera has no label at all")
    _add_study(commands, "fonts", "digits of fonts and handwritten digits")
    _add_study(commands, "exposures", "magnetic tiles at two exposures, the negative control")
    detector = commands.add_parser("detector", help="translated normal images for a detector")
    add_cameras(detector)
    detector.add_argument("--repeats", type=int, default=1, help="repeats of each camera")
    detector.set_defaults(run=_run_detector)
    cyclegan = commands.add_parser("cyclegan", help="gray to color without any label")
    cyclegan.add_argument("--photographs", type=Path, required=True, help="folder like rgb32")
    cyclegan.add_argument("--class-name", default="bird", help="subfolder, default bird")
    cyclegan.add_argument("--grid", type=Path, help="PNG file: gray, translated, real, back")
    cyclegan.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="setting of the translator"
    )
    cyclegan.set_defaults(run=_run_cyclegan)
    sheet = commands.add_parser("cameras", help="the cameras, and what the filter bank holds")
    add_cameras(sheet)
    sheet.add_argument("--grid", type=Path, help="PNG file: garments, and each camera's images")
    sheet.set_defaults(run=_run_cameras)
    for other in (detector, cyclegan, sheet):
        add_variant(other)
        add_outputs(other, NAME)
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except AuganError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()

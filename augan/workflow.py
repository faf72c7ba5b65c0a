"""A whole task: images in, one bundle out.

This is the only place that knows both applications: it trains the networks, fits and calibrates the
detector, and puts everything into one bundle. Data flows one way: dataset -> squares -> split ->
networks -> detector -> bundle.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from augan.bundle import BUNDLE_NAME, Bundle, load_bundle, save_bundle
from augan.config import Config
from augan.data.cache import Squares, cached_squares
from augan.data.dataset import Dataset, Skipped
from augan.data.duplicates import near_duplicates
from augan.data.identity import data_sha256
from augan.data.patches import Patches
from augan.data.pictures import Pictures
from augan.data.prepared import AnyPreprocessing, training_samples
from augan.data.splits import Split, make_split
from augan.data.stacked import Stacked
from augan.detect.detector import add_detectors, method_class, methods_of
from augan.detect.fitting import fit_detector
from augan.exceptions import BundleError, DataError
from augan.gan.inference import Inference
from augan.training.checkpoints import Checkpoints
from augan.training.clock import Clock
from augan.training.interrupt import stop_on_signals
from augan.training.loop import Observer
from augan.training.networks import TrainedNetworks, TrainingData, train_networks
from augan.training.plan import Plan
from augan.training.resolved import Resolved, resolve
from augan.training.runs import RunFolder, refuse_occupied

AFTER_TRAINING = 0.05  # share of the minutes kept for fitting the detector and saving
CODES_CHUNK = 1024  # images that are float32 at once while they are encoded
_TWINS_REMEDY = {
    "images": "name what belongs together with --groups",
    "rows": "remove repeated rows",
}
DUPLICATE_SHARE = 0.005  # of the calibration images; below it, look-alikes are chance


@dataclass(frozen=True)
class _Material:
    """Everything that is known before training starts."""

    config: Config
    squares: Squares
    preprocessing: AnyPreprocessing
    split: Split
    warnings: list[str]
    unlabelled: Squares | None = None

    @property
    def dataset(self) -> Dataset:
        """The images that could be decoded."""
        return self.squares.dataset

    @property
    def pixels(self) -> np.ndarray:
        """`[N, S, S, C]`, perhaps a memory map: what indexes all rows at once copies all."""
        return self.squares.pixels

    @property
    def stored(self) -> np.ndarray | Pictures:
        """The same as a detector takes them: of large images, each in its own size."""
        if isinstance(self.preprocessing, Patches):
            return self.preprocessing.pictures(self.dataset, self.pixels)
        return self.pixels

    @property
    def all_pixels(self) -> np.ndarray | Stacked:
        """The same, and the unlabelled images in the rows from N on."""
        more = self.unlabelled
        return self.pixels if more is None else Stacked(self.pixels, more.pixels)

    @property
    def unlabelled_rows(self) -> np.ndarray:
        """The rows of `all_pixels` with unlabelled images to train on.

        Those whose group is held out stay out, or what was learned would be measured.
        """
        if self.unlabelled is None:
            return np.empty(0, np.int64)
        rows, groups = np.arange(len(self.unlabelled.pixels)), self.unlabelled.dataset.groups
        if groups is not None and self.dataset.groups is not None:
            held = np.concatenate([self.split.tune, self.split.calibrate])
            rows = rows[~np.isin(groups, self.dataset.groups[held])]
        return len(self.dataset) + rows

    @property
    def skipped(self) -> Skipped:
        """Files that could not be read, unlabelled ones too."""
        return self.dataset.skipped + (self.unlabelled.dataset.skipped if self.unlabelled else ())

    @property
    def num_classes(self) -> int:
        """Classes of the generator: 0 unless they will be used."""
        classes = self.dataset.num_classes
        return classes if classes > 1 and self.config.task != "detect" else 0

    @property
    def parts(self) -> tuple[str, ...]:
        """What trains, in order."""
        task, methods = self.config.task, methods_of(self.config.detect)
        classes = [method_class(method, self.preprocessing) for method in methods]
        # Codes are for augmentation; a detector alone trains an encoder only to score by it.
        encoder = self.config.training.keep_codes if task != "detect" else False
        needed = any("encoder" in known.needs for known in classes)
        encoder = encoder or (task != "generate" and needed)
        wanted = {
            "classifier": self.num_classes > 0,
            "rotation": self.num_classes == 0
            and self.config.monitor.enabled
            and self.preprocessing.noun == "images",
            "gan": True,
            "encoder": encoder,
        }
        return tuple(part for part, is_wanted in wanted.items() if is_wanted)


def train(
    config: Config,
    dataset: Dataset,
    *,
    out: str | Path | None = None,
    observers: Sequence[Observer] = (),
    clock: Clock | None = None,
    resume: bool = False,
) -> Bundle:
    """Train a GAN and what the task needs on it, and save one bundle in a run folder.

    Parameters
    ----------
    config : Config
        Settings; what is None is decided from the data.
    dataset : Dataset
        Training images, as `augan.load_dataset` returns them.
    out : path or None
        The run folder, new or empty; None: `runs/<time>-<data>`.
    observers : sequence of Observer
        Told of the progress.
    clock : Clock or None
        Started earlier if more than this call counts towards `training.max_minutes`.
    resume : bool
        Go on with the run in `out` (None: the newest of this data) from its last checkpoint. With
        equal `training.steps` the result equals that of a training that never stopped. A finished
        run is returned as it is.

    Returns
    -------
    Bundle
        Saved as `bundle.augan` in the run folder; its `path` tells where.
    """
    clock = clock or Clock()
    with clock.part("data"):
        resolved = resolve(config, dataset)
    return train_resolved(resolved, out=out, observers=observers, clock=clock, resume=resume)


def train_resolved(
    resolved: Resolved,
    *,
    out: str | Path | None = None,
    observers: Sequence[Observer] = (),
    clock: Clock | None = None,
    resume: bool = False,
) -> Bundle:
    """Do what `train` does, with what `resolve` returned."""
    clock = clock or Clock()
    if out is not None and not resume:
        refuse_occupied(out)  # before the images are decoded, which may take minutes
    with clock.part("data"):
        material = _gather(resolved)
    described = _describe_data(material)
    identity = {**_flat(material.config.to_dict()), "data": described["sha256"]}
    name = material.dataset.name
    with closing(RunFolder(out, name, identity, resume=resume)) as run, run.writing():
        if run.finished:
            run.finish()  # in case the process died between the two
            return load_bundle(run.path)
        return _train_in(run, material, described, observers, clock)


def _train_in(
    run: RunFolder,
    material: _Material,
    described: dict[str, Any],
    observers: Sequence[Observer],
    clock: Clock,
) -> Bundle:
    run.write_text("config.yaml", material.config.to_yaml())
    run.write_skipped(material.skipped)
    run.cut_log(Checkpoints(run.checkpoints).steps())
    with stop_on_signals() as stop:
        networks = train_networks(
            material.config,
            _fit_data(material),
            Plan(material.parts, material.config.training.steps, _deadline(material.config, clock)),
            observers=[run, *observers],
            samples=run.samples,
            clock=clock,
            checkpoints=run.checkpoints,
            stop=stop,
        )
    with clock.part("detector and bundle"):
        bundle = _assemble(material, networks, described)
        _save(bundle, run)
    run.write_json("summary.json", {"seconds": clock.seconds, "warnings": material.warnings})
    run.finish()
    return bundle


def _save(bundle: Bundle, run: RunFolder) -> None:
    try:
        save_bundle(bundle, run.path / BUNDLE_NAME)
    except BundleError as error:
        raise BundleError(
            f"{error}; nothing trained is lost: the same command with --resume saves it"
        ) from error


def _gather(resolved: Resolved) -> _Material:
    config, preprocessing, more = resolved.config, resolved.preprocessing, None
    squares = cached_squares(resolved.dataset, preprocessing)
    dataset = squares.dataset
    if resolved.dataset.unlabelled is not None:
        more = cached_squares(resolved.dataset.unlabelled, preprocessing)
    split = make_split(
        len(dataset),
        seed=config.seed,
        groups=dataset.groups,
        labels=dataset.labels,
        calibrate=config.task != "generate",
    )
    if not len(split.tune):
        raise DataError(
            f"{dataset.name} has too few {dataset.noun} ({len(dataset)}): each class's only one is "
            f"needed to train, and none is left to check with; add {dataset.noun}"
        )
    material = _Material(config, squares, preprocessing, split, list(resolved.warnings), more)
    material.warnings.extend(preprocessing.warnings)
    if material.skipped:
        n = len(material.skipped)
        material.warnings.append(
            f"{n} file{'' if n == 1 else 's'} could not be read; see skipped.csv"
        )
    material.warnings.extend(_duplicate_warnings(material))
    return material


def _duplicate_warnings(material: _Material) -> list[str]:
    split, names = material.split, material.dataset.names
    if material.unlabelled is not None:
        names += material.unlabelled.dataset.names
    trained = replace(split, fit=np.union1d(split.fit, material.unlabelled_rows))
    twins = near_duplicates(material.all_pixels, trained)
    if len(twins) <= DUPLICATE_SHARE * len(split.calibrate):
        return []
    (outside, inside, _), noun = twins[0], material.dataset.noun
    return [
        f"{len(twins)} calibration {noun} are nearly identical to training {noun} (for example "
        f"{names[inside]} and {names[outside]}): false alarms will exceed the chosen rate; "
        f"{_TWINS_REMEDY[noun]}"
    ]


def _fit_data(material: _Material) -> TrainingData:
    classes = None
    if material.num_classes:
        unknown = len(material.all_pixels) - len(material.pixels)
        classes = np.concatenate([np.asarray(material.dataset.labels), np.full(unknown, -1)])
    stored = material.stored if material.unlabelled is None else material.all_pixels
    samples, rows_of = training_samples(stored, material.preprocessing)
    return TrainingData(
        samples,
        classes,
        material.num_classes,
        material.preprocessing,
        rows=rows_of(material.split.fit),
        held_out=rows_of(material.split.tune) if material.config.monitor.enabled else None,
        unlabelled=material.unlabelled_rows,
    )


def _deadline(config: Config, clock: Clock) -> float | None:
    minutes = config.training.max_minutes
    return None if minutes is None else clock.started + minutes * 60 * (1 - AFTER_TRAINING)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted ones."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


def _assemble(material: _Material, networks: TrainedNetworks, described: dict[str, Any]) -> Bundle:
    bundle = Bundle(
        config=material.config.to_dict(),
        data=described,
        preprocessing=material.preprocessing.to_dict(),
        networks=networks.for_bundle(),
        tables={"split": vars(material.split).copy()},
        metrics={
            "steps": networks.steps,
            "warnings": material.warnings + ([networks.alarm.sentence] if networks.alarm else []),
            "alarm": networks.alarm.to_dict() if networks.alarm else None,
            "fidelity": networks.fidelity,
            "health": [health.to_dict() for health in networks.health],
        },
    )
    if networks.unlabelled:
        bundle.metrics["unlabelled"] = networks.unlabelled
    if "encoder" in networks.models and material.config.training.keep_codes:
        bundle.tables["codes"] = _codes(material, networks)
    if "classifier" in networks.models:
        bundle.metrics["classifier"] = _classifier_accuracy(material, networks)
    if material.config.task != "generate":
        _add_detector(bundle, material, networks)
    return bundle


def _describe_data(material: _Material) -> dict[str, Any]:
    dataset = material.dataset
    counts = np.zeros(0, int)
    if dataset.labels is not None:
        counts = np.bincount(dataset.labels, minlength=dataset.num_classes)
    more = material.unlabelled
    return {
        "name": dataset.name,
        "source": dataset.source,
        "num_images": len(dataset),
        "num_unlabelled": 0 if more is None else len(more.pixels),
        "class_names": list(dataset.class_names),
        "class_counts": counts.tolist(),
        "sha256": data_sha256(material.squares, material.preprocessing, more),
    }


def _codes(material: _Material, networks: TrainedNetworks) -> dict[str, np.ndarray]:
    """Latent codes of the fit split, for augmentation around real images."""
    encoder = networks.models["encoder"]
    encode = Inference(lambda images: encoder(images, training=False), encoder.input_shape[1:])
    rows, scale = material.split.fit, material.preprocessing.scale
    chunks = (rows[start : start + CODES_CHUNK] for start in range(0, len(rows), CODES_CHUNK))
    parts = [encode(scale(material.pixels[chunk])) for chunk in chunks]
    outputs = [np.concatenate(output) for output in zip(*parts)]
    codes = {"rows": rows, "noise": outputs[0]}
    if len(outputs) > 1:
        codes["classes"] = outputs[1]
        codes["labels"] = np.asarray(material.dataset.labels)[rows]
    return codes


def _classifier_accuracy(material: _Material, networks: TrainedNetworks) -> dict[str, Any]:
    """How often the agreement classifier is right on real images it was not fitted on."""
    model, labels = networks.models["classifier"], material.dataset.labels
    classify = Inference(lambda images: model(images, training=False), model.input_shape[1:])
    rows = material.split.tune
    (logits,) = classify(material.preprocessing.scale(material.pixels[rows]))
    right = logits.argmax(axis=1) == np.asarray(labels)[rows]
    return {"accuracy": float(right.mean()), "n": len(rows), "split": "tune"}


def _add_detector(bundle: Bundle, material: _Material, networks: TrainedNetworks) -> None:
    settings = material.config.detect
    detectors = [
        fit_detector(
            method,
            networks.models,
            material.preprocessing,
            material.stored,
            material.split,
            groups=material.dataset.groups,
            trim=settings.trim,
        )
        for method in methods_of(settings)
    ]
    add_detectors(bundle, detectors, settings.trim)

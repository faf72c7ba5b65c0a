"""What will be trained on what: decided once, shown to the user, and then trained as shown."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from augan.config import Config
from augan.data.cache import PreparedImages, load_prepared
from augan.data.dataset import Dataset, Skipped, plural
from augan.data.duplicates import MAX_CALIBRATION, find_near_duplicates
from augan.data.fingerprint import dataset_fingerprint
from augan.data.modalities.registry import AnyPreprocessing, training_samples
from augan.data.modalities.tiles import TiledPreprocessing
from augan.data.sequences import ConcatRows, RaggedImages
from augan.data.splits import MIN_FOLD_SIZE, NUM_FOLDS, Split, make_folds, split_dataset
from augan.detect.conformal.calibration import DEFAULT_RATE, min_calibration_size
from augan.detect.detector import configured_methods
from augan.detect.fitting import trimmed_size
from augan.detect.methods.registry import get_method_spec
from augan.exceptions import ConfigError, DataError
from augan.training import defaults
from augan.training.cross_validation import Fold

if TYPE_CHECKING:
    from augan.training.trainer import TrainingData


@dataclass(frozen=True)
class ResolvedConfig:
    """What will be trained on what, decided from the headers of the images.

    Attributes
    ----------
    config : Config
        Every setting that the data decides is filled in.
    dataset : Dataset
        What will be trained on; without the unlabeled images where the task cannot use them.
    preprocessing : ImagePreprocessing
        Fitted to the dataset.
    warnings : tuple of str
        What the user should know before it starts.
    """

    config: Config
    dataset: Dataset
    preprocessing: AnyPreprocessing
    warnings: tuple[str, ...] = ()


def resolve_config(config: Config, dataset: Dataset) -> ResolvedConfig:
    """Decide from the data what the configuration leaves open; no image is decoded.

    Raises
    ------
    ConfigError
        If the data cannot serve the task.
    """
    config, preprocessing = defaults.resolve_defaults(config, dataset)
    warnings, unused = list(dataset.warnings), dataset.num_unlabeled
    if unused and config.task == "detect":
        dataset = dataset.without_unlabeled()
        warnings.append(
            f"the {unused} unlabeled images are not used: a detector alone (task detect) learns "
            "from normal images, and these may hold anomalies"
        )
    return ResolvedConfig(config, dataset, preprocessing, tuple(warnings))


_TWINS_REMEDY = {
    "image": "name what belongs together with --groups",
    "row": "remove repeated rows",
}
DUPLICATE_SHARE = (
    0.005  # of the calibration images that are compared; below it, look-alikes are chance
)
ENOUGH = 200  # samples from which a plain split has enough to train and to calibrate


@dataclass(frozen=True)
class PreparedData:
    """Everything that is known before training starts.

    Attributes
    ----------
    split : Split
        With folds, each of which has its own, all samples fit and all calibrate.
    folds : tuple of Split
        Empty where one training is all.
    """

    config: Config
    prepared: PreparedImages
    preprocessing: AnyPreprocessing
    split: Split
    warnings: list[str]
    unlabeled: PreparedImages | None = None
    folds: tuple[Split, ...] = ()

    def for_fold(self, fold: Fold) -> "PreparedData":
        """Return what the training of one fold starts from."""
        if not self.folds:
            return self
        config = self.config.replace(seed=fold.seed(self.config.seed))
        return replace(self, config=config, split=self.folds[fold.number - 1], folds=())

    @property
    def dataset(self) -> Dataset:
        """The images that could be decoded."""
        return self.prepared.dataset

    @property
    def pixels(self) -> np.ndarray:
        """`[N, S, S, C]`, perhaps a memory map: what indexes all rows at once copies all."""
        return self.prepared.pixels

    @property
    def samples(self) -> np.ndarray | RaggedImages:
        """The same as a detector takes them: of large images, each in its own size."""
        if isinstance(self.preprocessing, TiledPreprocessing):
            return self.preprocessing.ragged_images(self.dataset, self.pixels)
        return self.pixels

    @property
    def all_samples(self) -> np.ndarray | ConcatRows:
        """The same, and the unlabeled images in the rows from N on."""
        more = self.unlabeled
        return self.pixels if more is None else ConcatRows(self.pixels, more.pixels)

    @property
    def unlabeled_indices(self) -> np.ndarray:
        """The rows of `all_samples` with unlabeled images to train on.

        Those whose group is held out stay out, or what was learned would be measured.
        """
        if self.unlabeled is None:
            return np.empty(0, np.int64)
        rows, groups = np.arange(len(self.unlabeled.pixels)), self.unlabeled.dataset.groups
        if groups is not None and self.dataset.groups is not None:
            held = np.concatenate([self.split.val, self.split.calibration])
            rows = rows[~np.isin(groups, self.dataset.groups[held])]
        return len(self.dataset) + rows

    @property
    def skipped(self) -> Skipped:
        """Files that could not be read, unlabeled ones too."""
        return self.dataset.skipped + (self.unlabeled.dataset.skipped if self.unlabeled else ())

    @property
    def num_classes(self) -> int:
        """Classes of the generator: 0 unless they will be used."""
        classes = self.dataset.num_classes
        return classes if classes > 1 and self.config.task != "detect" else 0

    @property
    def stages(self) -> tuple[str, ...]:
        """What trains, in order."""
        task, methods = self.config.task, configured_methods(self.config.detect)
        classes = [get_method_spec(method, self.preprocessing) for method in methods]
        # Codes are for augmentation; a detector alone trains an encoder only to score by it.
        encoder = self.config.training.store_latents if task != "detect" else False
        needed = any("encoder" in known.required_networks for known in classes)
        encoder = encoder or (task != "generate" and needed)
        wanted = {
            "classifier": self.num_classes > 0,
            "rotation": self.num_classes == 0
            and self.config.evaluation.enabled
            and self.preprocessing.sample_type == "image",
            "gan": True,
            "encoder": encoder,
        }
        return tuple(part for part, is_wanted in wanted.items() if is_wanted)

    def training_data(self) -> "TrainingData":
        """Return what the networks are trained on."""
        from augan.training.trainer import TrainingData

        classes = None
        if self.num_classes:
            unknown = len(self.all_samples) - len(self.pixels)
            classes = np.concatenate([np.asarray(self.dataset.labels), np.full(unknown, -1)])
        stored = self.samples if self.unlabeled is None else self.all_samples
        samples, rows_of = training_samples(stored, self.preprocessing)
        return TrainingData(
            samples,
            classes,
            self.num_classes,
            self.preprocessing,
            train=rows_of(self.split.train),
            val=rows_of(self.split.val) if self.config.evaluation.enabled else None,
            unlabeled=self.unlabeled_indices,
        )

    def describe(self) -> dict[str, Any]:
        """Return what the bundle says of the data, JSON-able."""
        dataset = self.dataset
        counts = np.zeros(0, int)
        if dataset.labels is not None:
            counts = np.bincount(dataset.labels, minlength=dataset.num_classes)
        more = self.unlabeled
        return {
            "name": dataset.name,
            "source": dataset.source,
            "num_samples": len(dataset),
            "num_unlabeled": 0 if more is None else len(more.pixels),
            "class_names": list(dataset.class_names),
            "class_counts": counts.tolist(),
            "fingerprint": dataset_fingerprint(self.prepared, self.preprocessing, more),
        }


def prepare_data(resolved: ResolvedConfig) -> PreparedData:
    """Decode the samples, divide them, and look for what the user should know.

    Raises
    ------
    DataError
        There are too few samples, or too many that cannot be read.
    ConfigError
        Too few of them calibrate for the false-alarm rate that was asked for.
    """
    config, preprocessing, more = resolved.config, resolved.preprocessing, None
    prepared = load_prepared(resolved.dataset, preprocessing)
    dataset = prepared.dataset
    if resolved.dataset.unlabeled is not None:
        more = load_prepared(resolved.dataset.unlabeled, preprocessing)
    split, folds = _divide(config, dataset)
    _check_rate(config, dataset, folds or (split,))
    data = PreparedData(
        config, prepared, preprocessing, split, list(resolved.warnings), more, folds
    )
    data.warnings.extend(preprocessing.warnings)
    if data.skipped:
        n = len(data.skipped)
        data.warnings.append(f"{n} file{'' if n == 1 else 's'} could not be read; see skipped.csv")
    data.warnings.extend(_duplicate_warnings(data))
    data.warnings.extend(_fold_warnings(data))
    return data


def _divide(config: Config, dataset: Dataset) -> tuple[Split, tuple[Split, ...]]:
    n = len(dataset)
    if config.detect.cross_conformal:
        folds = make_folds(n, seed=config.seed, groups=dataset.groups)
        everything = np.arange(n)
        return Split(everything, np.empty(0, np.int64), everything), folds
    split = split_dataset(config, dataset, calibrate=config.task != "generate")
    if not len(split.val):
        raise DataError(
            f"{dataset.name} has too few {plural(dataset.sample_type)} ({n}): each class's only "
            "one is needed to train, and none is left to check with; add "
            f"{plural(dataset.sample_type)}"
        )
    return split, ()


def _check_rate(config: Config, dataset: Dataset, splits: Sequence[Split]) -> None:
    """Refuse a rate that the detector would refuse to work at, once it was trained."""
    far, trim_fraction, n, samples = (
        config.detect.far,
        config.detect.trim_fraction,
        len(dataset),
        plural(dataset.sample_type),
    )
    if far is None or config.task == "generate":
        return
    needed = min_calibration_size(far)
    calibrating = sum(trimmed_size(len(split.calibration), trim_fraction) for split in splits)
    if calibrating >= needed:
        return
    helps = _can_cross(config, dataset) and trimmed_size(n, trim_fraction) >= needed
    cross = (
        f"add --cross-conformal, with which all calibrate, in {NUM_FOLDS} trainings; or "
        if helps
        else ""
    )
    raise ConfigError(
        f"a false-alarm rate of {far} needs {needed} calibration {samples}, but of {n} {samples} "
        f"{calibrating} calibrate; {cross}choose a larger detect.far, or give more normal {samples}"
    )


def _can_cross(config: Config, dataset: Dataset) -> bool:
    """Whether folds can be made where they are not."""
    n = len(dataset)
    groups = n if dataset.groups is None else len(set(dataset.groups))
    alone = config.task == "detect" and not config.detect.cross_conformal
    return alone and n >= NUM_FOLDS * MIN_FOLD_SIZE and groups >= NUM_FOLDS


def _fold_warnings(data: PreparedData) -> list[str]:
    """Say that folds are needless, or that they would help.

    They would where a detector alone has fewer than 200 samples, folds can be made of them, and
    fewer than two calibration scores may be exceeded at the rate asked for (else the usual one):
    either nothing can be flagged, or the line is the one highest score, whatever that may be.
    """
    dataset, detect = data.dataset, data.config.detect
    n, samples = len(dataset), plural(dataset.sample_type)
    if data.folds:
        if n < ENOUGH:
            return []
        return [
            f"{n} {samples} are enough for the plain split: without --cross-conformal, training "
            "takes a fifth of the time, and the rate is promised once and not twice"
        ]
    able = n < ENOUGH and _can_cross(data.config, dataset)
    calibrating = len(data.split.calibration)
    if not able or (detect.far or DEFAULT_RATE) * (calibrating + 1) >= 2:
        return []
    return [
        f"only {calibrating} of {n} {samples} calibrate, which is few for a false-alarm rate of "
        f"{detect.far or DEFAULT_RATE:g}: with --cross-conformal all do, in {NUM_FOLDS} trainings"
    ]


def _duplicate_warnings(data: PreparedData) -> list[str]:
    names = data.dataset.names
    if data.unlabeled is not None:
        names += data.unlabeled.dataset.names
    twins = []
    for split in data.folds or (data.split,):
        trained = replace(split, train=np.union1d(split.train, data.unlabeled_indices))
        twins += find_near_duplicates(data.all_samples, trained)
    parts = data.folds or (data.split,)
    compared = sum(min(len(split.calibration), MAX_CALIBRATION) for split in parts)
    if len(twins) <= DUPLICATE_SHARE * compared:
        return []
    (outside, inside, _), sample_type = twins[0], data.dataset.sample_type
    samples = plural(sample_type)
    return [
        f"{len(twins)} calibration {samples} are nearly identical to training {samples} (for "
        f"example {names[inside]} and {names[outside]}): false alarms will exceed the chosen "
        f"rate; {_TWINS_REMEDY[sample_type]}"
    ]

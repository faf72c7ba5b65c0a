"""Preparation of a training: the resolved configuration, the decoded samples and their split."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from augan.bundle import DatasetInfo
from augan.config import Config
from augan.data.cache import PreparedDataset, load_prepared
from augan.data.cameras import check_cameras, check_different_images, joint_class_names
from augan.data.dataset import Dataset, Skipped, plural
from augan.data.duplicates import MAX_CALIBRATION, find_near_duplicates
from augan.data.files import describe_not_looked_at
from augan.data.fingerprint import dataset_fingerprint
from augan.data.modalities.base import Preprocessing
from augan.data.modalities.images import ImagePreprocessing
from augan.data.sequences import ConcatRows, RaggedImages
from augan.data.splits import MIN_FOLD_SIZE, NUM_FOLDS, Split, make_folds, split_dataset
from augan.detect.conformal.calibration import DEFAULT_RATE, min_calibration_size
from augan.detect.detector import configured_methods
from augan.detect.fitting import trimmed_size
from augan.detect.methods.registry import get_method
from augan.exceptions import ConfigError, DataError
from augan.training import defaults
from augan.training.folds import Fold
from augan.training.stages.base import TrainingPlan, planned_stages

if TYPE_CHECKING:
    from augan.training.trainer import TrainingData


@dataclass(frozen=True)
class ResolvedConfig:
    """Complete settings and checked dataset of a training, before any image is decoded.

    Attributes
    ----------
    config : Config
        The configuration with every setting that is derived from the data.
    dataset : Dataset
        The training data; without the unlabeled images if the task cannot use them.
    preprocessing : Preprocessing
        Preprocessing that was fitted to the dataset.
    warnings : tuple of str
        Warnings to show before the training starts.
    new : NewCamera or None
        Images of the new camera of a translation; None (default): no translation.
    """

    config: Config
    dataset: Dataset
    preprocessing: Preprocessing
    warnings: tuple[str, ...] = ()
    new: "NewCamera | None" = None


class NewCamera(NamedTuple):
    """Images of the new camera of a translation, with the preprocessing that was fitted to them."""

    dataset: Dataset
    preprocessing: Preprocessing


def resolve_config(
    config: Config, dataset: Dataset, translate_to: Dataset | None = None
) -> ResolvedConfig:
    """Fill in the settings that the user left open, from the dataset; no image is decoded.

    Parameters
    ----------
    config : Config
        Settings of the user; a setting of None is open.
    dataset : Dataset
        Training data. For the task "detect", unlabeled images are dropped with a warning.
    translate_to : Dataset or None
        Images of a new camera, for the task "translate"; None (default): another task.

    Raises
    ------
    ConfigError
        The data does not fit the task, or settings contradict each other.
    DataError
        A translation between the two cameras is not possible.
    """
    if translate_to is not None:
        return _resolve_translation(config, dataset, translate_to)
    config, preprocessing = defaults.resolve_defaults(config, dataset)
    warnings, unused = list(dataset.warnings), dataset.num_unlabeled
    if dataset.not_looked_at:
        warnings.append(describe_not_looked_at(dataset.not_looked_at))
    if unused and config.task == "detect":
        dataset = dataset.without_unlabeled()
        warnings.append(
            f"the {unused} unlabeled images are not used: task detect trains on normal images, and "
            "unlabeled images may be anomalies"
        )
    return ResolvedConfig(config, dataset, preprocessing, tuple(warnings))


def _resolve_translation(config: Config, old: Dataset, new: Dataset) -> ResolvedConfig:
    """Fill in the settings of a translation from an old to a new camera, see `resolve_config`."""
    warnings = [*old.warnings, *new.warnings, *check_cameras(old, new)]
    config, of_old, of_new = defaults.resolve_translation_defaults(config, old, new)
    warnings += _conversion_warnings(of_old, of_new)
    return ResolvedConfig(config, old, of_old, tuple(warnings), NewCamera(new, of_new))


def _conversion_warnings(old: ImagePreprocessing, new: ImagePreprocessing) -> list[str]:
    """Return a warning if the images of two cameras differ in size, channels or type."""
    differences = []
    shapes = (old.original_shape, new.original_shape)
    if shapes[0] != shapes[1] and None not in shapes:
        sizes = (f"{shape[0]}x{shape[1]}" for shape in shapes if shape)
        differences.append("{} and {} pixels".format(*sizes))
    if old.channels != new.channels:
        kinds = ("gray" if camera.channels == 1 else "color" for camera in (old, new))
        differences.append("{} and {}".format(*kinds))
    if old.dtype != new.dtype:
        differences.append(f"{old.dtype} and {new.dtype}")
    if not differences:
        return []
    return [
        f"the images of the old and the new camera differ: {', '.join(differences)}; the "
        f"translators take both at {old.size}x{old.size} pixels, and a translation has the "
        "channels and the type of its camera"
    ]


# Of the compared calibration samples; fewer near-duplicates occur by chance.
MAX_DUPLICATE_FRACTION = 0.005
MIN_PLAIN_SPLIT = 200  # samples that suffice for a training and a calibration split


@dataclass(frozen=True)
class PreparedData:
    """Decoded samples of a training, with their split, settings and warnings.

    Attributes
    ----------
    config : Config
        Resolved settings.
    prepared : PreparedDataset
        The labeled (or all) samples.
    preprocessing : Preprocessing
        Preprocessing of the samples.
    split : Split
        The split of the samples. With folds, all samples are training and calibration samples.
    warnings : list of str
        Warnings about the data, for the user.
    unlabeled : PreparedDataset or None
        The unlabeled samples.
    folds : tuple of Split
        The split of each fold; empty without cross-conformal training.
    new : PreparedData or None
        The images of the new camera of a translation; None: no translation.
    doubts : tuple of str
        Why a calibration with these samples guarantees nothing; they are among the warnings too.
    """

    config: Config
    prepared: PreparedDataset
    preprocessing: Preprocessing
    split: Split
    warnings: list[str]
    unlabeled: PreparedDataset | None = None
    folds: tuple[Split, ...] = ()
    new: "PreparedData | None" = None
    doubts: tuple[str, ...] = ()

    def for_fold(self, fold: Fold) -> "PreparedData":
        """Return the data for the training of one fold, with the fold's seed and split.

        Without cross-conformal training, the data is returned unchanged.
        """
        if not self.folds:
            return self
        config = self.config.replace(seed=fold.seed(self.config.seed))
        return replace(self, config=config, split=self.folds[fold.number - 1], folds=())

    @property
    def dataset(self) -> Dataset:
        """The dataset of the samples that could be decoded, without the unlabeled samples."""
        return self.prepared.dataset

    @property
    def pixels(self) -> np.ndarray:
        """Prepared samples `[N, S, S, C]` or `[N, F]` without the unlabeled; maybe a memory map."""
        return self.prepared.pixels

    @property
    def samples(self) -> np.ndarray | RaggedImages:
        """Prepared samples for a detector; large images that are tiled keep their sizes."""
        return self.preprocessing.detector_samples(self.pixels, self.dataset)

    @property
    def all_samples(self) -> np.ndarray | ConcatRows:
        """Prepared samples, followed by the unlabeled samples from index N on."""
        more = self.unlabeled
        return self.pixels if more is None else ConcatRows(self.pixels, more.pixels)

    @property
    def unlabeled_indices(self) -> np.ndarray:
        """Indices in `all_samples` of the unlabeled samples to train on, int64.

        Unlabeled samples of a group in the validation or calibration split are left out.
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
        """Path and reason of each file that could not be read, including unlabeled files."""
        skipped = self.dataset.skipped + (self.unlabeled.dataset.skipped if self.unlabeled else ())
        if self.new is None:
            return skipped
        source = Path(self.new.dataset.source or self.new.dataset.name)
        return skipped + tuple((str(source / path), why) for path, why in self.new.skipped)

    @property
    def num_classes(self) -> int:
        """Number of classes of the generator; 0 for the task "detect" or fewer than two classes.

        For a translation, the number of classes of the old camera's classifier.
        """
        classes = self.dataset.num_classes
        return classes if classes > 1 and self.config.task != "detect" else 0

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the training stages that task, settings and data need, in order."""
        networks: frozenset[str] = frozenset()
        if has_detector(self.config):
            methods = configured_methods(self.config.detect)
            specs = [get_method(method, self.preprocessing) for method in methods]
            networks = frozenset(name for spec in specs for name in spec.required_networks)
        plan = TrainingPlan(self.config, self.num_classes, self.preprocessing, networks)
        return planned_stages(plan)

    def training_data(self) -> "TrainingData":
        """Return the samples, classes and splits that the networks train on.

        The samples are all samples, the unlabeled ones last, or the windows of large images; the
        splits are indices in them. There are classes if the generator is conditional, with -1 for
        unlabeled samples. Without `evaluation.enabled` there is no validation split. For a
        translation, class indices are positions in `class_names`.
        """
        return self._training_data(self.class_names if self.new else self.dataset.class_names)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes of the samples; with a new camera, those of both, see `joint_class_names`."""
        if self.new is None:
            return self.dataset.class_names
        return joint_class_names(self.dataset, self.new.dataset)

    def joint_labels(self, class_names: tuple[str, ...]) -> np.ndarray:
        """Return the position of each sample's class in a list of classes, int64; -1 unlabeled."""
        if self.dataset.labels is None:
            return np.full(len(self.dataset), -1)
        positions = np.array([class_names.index(name) for name in self.dataset.class_names])
        return positions[self.dataset.labels]

    def _training_data(self, class_names: tuple[str, ...]) -> "TrainingData":
        """Return the samples of `training_data`, with classes as positions in `class_names`."""
        from augan.training.trainer import TrainingData

        num_classes = len(class_names) if self.config.task == "translate" else self.num_classes
        classes = None
        if num_classes and self.dataset.labels is not None:
            unknown = len(self.all_samples) - len(self.pixels)
            classes = np.concatenate([self.joint_labels(class_names), np.full(unknown, -1)])
        stored = self.samples if self.unlabeled is None else self.all_samples
        samples, rows_of = self.preprocessing.training_samples(stored)
        return TrainingData(
            samples,
            classes,
            num_classes,
            self.preprocessing,
            train=rows_of(self.split.train),
            val=rows_of(self.split.val) if self.config.evaluation.enabled else None,
            unlabeled=self.unlabeled_indices,
            new=None if self.new is None else self.new._training_data(class_names),
        )

    @cached_property
    def description(self) -> DatasetInfo:
        """Description of the data that a bundle stores.

        The fingerprint hashes all samples, which takes time for large data.
        """
        dataset = self.dataset
        counts = np.zeros(0, int)
        if dataset.labels is not None:
            counts = np.bincount(dataset.labels, minlength=dataset.num_classes)
        more = self.unlabeled
        return DatasetInfo(
            name=dataset.name,
            source=dataset.source,
            num_samples=len(dataset),
            num_unlabeled=0 if more is None else len(more.pixels),
            class_names=tuple(dataset.class_names),
            class_counts=tuple(counts.tolist()),
            fingerprint=dataset_fingerprint(self.prepared, self.preprocessing, more),
            **dataset.loading,
        )


def has_detector(config: Config) -> bool:
    """Return whether the task of a training has a detector."""
    return config.task in ("detect", "both")


def prepare_data(resolved: ResolvedConfig) -> PreparedData:
    """Decode and split the samples of a training, and collect warnings for the user.

    Parameters
    ----------
    resolved : ResolvedConfig
        Result of `resolve_config`.

    Raises
    ------
    DataError
        There are too few samples, or too many samples cannot be read.
    ConfigError
        The calibration samples are too few for the requested false-alarm rate.
    """
    data = _prepare(resolved.config, resolved.dataset, resolved.preprocessing, resolved.warnings)
    if resolved.new is not None:
        new = _prepare(resolved.config, resolved.new.dataset, resolved.new.preprocessing)
        data.warnings.extend([*new.warnings, *check_different_images(data.prepared, new.prepared)])
        data = replace(data, new=new)
    if data.skipped:
        n = len(data.skipped)
        data.warnings.append(f"{n} file{'' if n == 1 else 's'} could not be read; see skipped.csv")
    doubts = _duplicate_warnings(data)
    data.warnings.extend(doubts)
    data.warnings.extend(_fold_warnings(data))
    return replace(data, doubts=tuple(doubts))


def _prepare(
    config: Config, dataset: Dataset, preprocessing: Preprocessing, warnings: Sequence[str] = ()
) -> PreparedData:
    """Decode and split the samples of one dataset.

    Raises ConfigError or DataError as `prepare_data`.
    """
    prepared, more = load_prepared(dataset, preprocessing), None
    if dataset.unlabeled is not None:
        more = load_prepared(dataset.unlabeled, preprocessing)
    split, folds = _split(config, prepared.dataset)
    _check_far(config, prepared.dataset, folds or (split,))
    all_warnings = [*warnings, *preprocessing.warnings]
    return PreparedData(config, prepared, preprocessing, split, all_warnings, more, folds)


def _split(config: Config, dataset: Dataset) -> tuple[Split, tuple[Split, ...]]:
    """Return the split of the samples, and the splits of the folds (empty without folds).

    Raises DataError if no sample is left for validation.
    """
    n = len(dataset)
    if config.detect.cross_conformal:
        folds = make_folds(n, seed=config.seed, groups=dataset.groups)
        indices = np.arange(n)
        return Split(indices, np.empty(0, np.int64), indices), folds
    split = split_dataset(config, dataset, calibrate=has_detector(config))
    if not len(split.val):
        samples = plural(dataset.sample_type)
        raise DataError(
            f"{dataset.name} has too few {samples} ({n}): at least one of each class is needed to "
            f"train, so none is left for validation; add {samples}"
        )
    return split, ()


def _check_far(config: Config, dataset: Dataset, splits: Sequence[Split]) -> None:
    """Raise ConfigError if there are too few calibration samples for the false-alarm rate.

    A rate that is left open (`detect.far` None) needs no check. `splits` are the split, or those of
    all folds.
    """
    far, trim_fraction = config.detect.far, config.detect.trim_fraction
    if far is None or not has_detector(config):
        return
    n, samples = len(dataset), plural(dataset.sample_type)
    needed = min_calibration_size(far)
    available = sum(trimmed_size(len(split.calibration), trim_fraction) for split in splits)
    if available >= needed:
        return
    folds_suffice = _can_make_folds(config, dataset) and trimmed_size(n, trim_fraction) >= needed
    folds_hint = f"use all in {NUM_FOLDS} trainings with --cross-conformal; or " * folds_suffice
    raise ConfigError(
        f"a false-alarm rate of {far} needs {needed} calibration {samples}, but only {available} "
        f"of {n} {samples} are available for calibration; {folds_hint}choose a larger detect.far, "
        f"or give more normal {samples}"
    )


def _can_make_folds(config: Config, dataset: Dataset) -> bool:
    """Return whether a plain training of a detector could use cross-conformal training.

    Folds need enough samples and enough groups.
    """
    n = len(dataset)
    num_groups = n if dataset.groups is None else len(set(dataset.groups))
    is_eligible = config.task == "detect" and not config.detect.cross_conformal
    return is_eligible and n >= NUM_FOLDS * MIN_FOLD_SIZE and num_groups >= NUM_FOLDS


def _fold_warnings(data: PreparedData) -> list[str]:
    """Return a warning if cross-conformal training is not needed, or if it would help.

    Folds would help a detector with fewer than 200 samples, if fewer than two calibration scores
    may be exceeded at the false-alarm rate: then either nothing can be flagged, or the threshold is
    the single highest score.
    """
    dataset, detect = data.dataset, data.config.detect
    n, samples = len(dataset), plural(dataset.sample_type)
    if data.folds:
        if n < MIN_PLAIN_SPLIT:
            return []
        return [
            f"{n} {samples} are enough for a training without `cross_conformal`, which takes a "
            "fifth of the time and guarantees the rate instead of twice the rate"
        ]
    would_help = n < MIN_PLAIN_SPLIT and _can_make_folds(data.config, dataset)
    far, available = detect.far or DEFAULT_RATE, len(data.split.calibration)
    if not would_help or far * (available + 1) >= 2:
        return []
    return [
        f"only {available} of {n} {samples} are available for calibration, which are few for a "
        f"false-alarm rate of {far:g}: `cross_conformal` uses all, in {NUM_FOLDS} trainings"
    ]


def _duplicate_warnings(data: PreparedData) -> list[str]:
    """Return a warning if many calibration samples are near-duplicates of training samples.

    Near-duplicates make calibration scores too low, so false alarms exceed the chosen rate.
    """
    names = data.dataset.names
    if data.unlabeled is not None:
        names += data.unlabeled.dataset.names
    splits = data.folds or (data.split,)
    duplicates = []
    for split in splits:
        trained = replace(split, train=np.union1d(split.train, data.unlabeled_indices))
        duplicates += find_near_duplicates(data.all_samples, trained)
    num_compared = sum(min(len(split.calibration), MAX_CALIBRATION) for split in splits)
    if len(duplicates) <= MAX_DUPLICATE_FRACTION * num_compared:
        return []
    calibration_index, train_index, _ = duplicates[0]
    samples = plural(data.dataset.sample_type)
    return [
        f"{len(duplicates)} calibration {samples} are nearly identical to training {samples} (for "
        f"example {names[train_index]} and {names[calibration_index]}): false alarms will exceed "
        f"the chosen rate; {data.preprocessing.duplicates_remedy}"
    ]

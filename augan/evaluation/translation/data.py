"""Images of an evaluation of translation: both cameras, the test, and a pool without labels.

The new camera's images are split into a test part and a training part. A share of the training part
is the pool: its labels are not used. Labels of the missing classes are hidden from the arms.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from augan.data.cache import PreparedDataset, load_prepared
from augan.data.cameras import (
    check_cameras,
    check_different_images,
    joint_class_names,
    read_class_map,
    rename_classes,
)
from augan.data.dataset import Dataset, resolve_class
from augan.data.folders import warn_synthetic
from augan.data.loading import load_dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.evaluation.augmentation.data import (
    EvaluationData,
    check_loaded,
    labels_in,
    split_dataset,
    unit_range,
)
from augan.evaluation.augmentation.result import as_bytes
from augan.evaluation.augmentation.subsets import LabelPool
from augan.evaluation.translation.camera_shift import CameraShift
from augan.evaluation.translation.pixel_translation import with_channels
from augan.evaluation.translation.protocol import TranslationProtocol
from augan.exceptions import DataError
from augan.seeding import child_rng, child_seed

POOL_SHARE = 0.2  # of the new camera's training images of each class
MIN_UNLABELED = 50  # unlabeled images of the new camera that are a pool of their own
MIN_LABELED = 2  # labeled images of a common class on either camera
_NUM_SHOWN = 5  # classes in a message


@dataclass(frozen=True, eq=False)
class CameraData:
    """Images of an evaluation of translation.

    Attributes
    ----------
    leakage : EvaluationData
        Test images, and all other images with the channels of the new camera; for the search for
        test images among the others. Its class names are those of both cameras together.
    old : (ndarray of uint8 [n, S, S, C], ndarray of int64 [n])
        Images of the old camera and their classes.
    new : (ndarray of uint8 [m, S, S, C], ndarray of int64 [m])
        Images of the new camera that may be labeled, of all classes.
    pool : ndarray of uint8 [p, S, S, C]
        Images of the new camera without labels.
    missing : tuple of int
        Classes without labels on the new camera.
    warnings : sequence of str
        Sentences for the user.
    """

    leakage: EvaluationData
    old: tuple[np.ndarray, np.ndarray]
    new: tuple[np.ndarray, np.ndarray]
    pool: np.ndarray
    missing: tuple[int, ...] = ()
    warnings: Sequence[str] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes of both cameras together."""
        return self.leakage.pool.class_names

    @property
    def test_images(self) -> np.ndarray:
        """Images of the new camera that nothing is trained on, uint8 `[t, S, S, C]`."""
        return as_bytes(self.leakage.test_images)

    def shift(self, seed: int, repeat: int, num_labels: int) -> CameraShift:
        """Return the images that the arms of a repeat may use.

        Parameters
        ----------
        seed : int
            Seed of the evaluation.
        repeat : int
            Number of the repeat from 0.
        num_labels : int
            Labels of each missing class, drawn anew in each repeat.
        """
        images, labels = self.new
        is_labeled, rng = ~np.isin(labels, self.missing), child_rng(seed, "labels", repeat)
        for label in self.missing:
            rows = rng.permutation(np.flatnonzero(labels == label))
            is_labeled[rows[:num_labels]] = True
        return CameraShift(
            *self.old,
            images[is_labeled],
            labels[is_labeled],
            len(self.class_names),
            self.missing,
            self.pool,
            child_seed(seed, "translation", repeat),
        )


def load_camera_data(old: Any, new: Any, protocol: TranslationProtocol) -> CameraData:
    """Load the images of both cameras, prepared for the networks.

    Classes that the test images do not show are left out, with a warning.

    Parameters
    ----------
    old, new : str, path, tuple or Dataset
        Labeled images of each camera, as `augan.load_dataset` takes them. A test part of the old
        camera is not used.
    protocol : TranslationProtocol

    Raises
    ------
    DataError
        The images cannot be used, both cameras are the same data, no class is common, a missing
        class does not exist on the old camera or in the test, or a class has too few images.
    ConfigError
        `test_size` does not fit the data.
    """
    if isinstance(new, Dataset):
        check_loaded(protocol.test_size, protocol.groups)
    old_data = old if isinstance(old, Dataset) else load_dataset(old)
    new_data = new if isinstance(new, Dataset) else load_dataset(new, groups=protocol.groups)
    for camera, dataset in (("old", old_data), ("new", new_data)):
        if dataset.labels is None:
            raise DataError(
                f"the {camera} camera ({dataset.name}) has no labels, but the evaluation compares "
                "classifiers; put the images into one folder for each class"
            )
    train, test = split_dataset(new, new_data, protocol.test_size, protocol.groups, protocol.seed)
    if protocol.class_map is not None:
        train, test = _renamed(protocol.class_map, old_data, train, test)
    warnings = [*check_cameras(old_data, train), *warn_synthetic(test)]
    classes = _Classes(old_data, train, test)
    missing = classes.missing(protocol.missing)
    warnings += classes.warnings()
    size = None if protocol.config is None else protocol.config.data.size
    of_old = ImagePreprocessing.fit(old_data, size)
    of_new = ImagePreprocessing.fit(train, of_old.side)
    prepared_old, prepared_new = load_prepared(old_data, of_old), load_prepared(train, of_new)
    warnings += check_different_images(prepared_old, prepared_new)
    parts = [
        classes.select(prepared_old, of_old),
        classes.select(prepared_new, of_new),
        classes.select(load_prepared(test, of_new), of_new),
    ]
    unlabeled = None
    if train.unlabeled is not None:
        prepared = load_prepared(train.unlabeled, of_new)
        unlabeled = _Part(_bytes(prepared, of_new), np.empty(0), prepared.dataset.names, 0)
    name = f"{old_data.name}-to-{train.name}"
    data = _assemble(parts, unlabeled, classes.names, name, protocol.seed)
    data = replace(data, missing=missing, warnings=warnings)
    _check_counts(data, protocol.labels_per_class)
    return data


@dataclass(frozen=True, eq=False)
class _Part:
    """Prepared images of one part of the data.

    Attributes
    ----------
    images : ndarray of uint8 [n, S, S, C]
    labels : ndarray of int64 [n]
    names : sequence of str
    num_unreadable : int
    groups : ndarray [n] or None
    """

    images: np.ndarray
    labels: np.ndarray
    names: Sequence[str]
    num_unreadable: int
    groups: np.ndarray | None = None


class _Classes:
    """Classes of both cameras and the test; those of the evaluation are the classes of the test.

    Parameters
    ----------
    old, train, test : Dataset
        The old camera, and the two parts of the new camera.
    """

    def __init__(self, old: Dataset, train: Dataset, test: Dataset) -> None:
        self._old = old
        joint = joint_class_names(old, train)
        labels = labels_in(test, joint)
        self.names = tuple(joint[label] for label in np.unique(labels))
        self._left_out = [name for name in joint if name not in self.names]

    def missing(self, names: Sequence[str]) -> tuple[int, ...]:
        """Return the missing classes as indices, ascending.

        Raises
        ------
        DataError
            A class does not exist on the old camera or in the test, or no common class remains.
        """
        found = {
            self._old.class_names[resolve_class(name, self._old.class_names)] for name in names
        }
        unseen = sorted(found.difference(self.names))
        if unseen:
            raise DataError(
                f"the test images of the new camera show no {', '.join(unseen[:_NUM_SHOWN])}, so "
                "nothing tells whether a classifier recognizes the class there; add test images "
                "of the class, or name another class with `missing`"
            )
        if len(found) == len(self.names):
            raise DataError(
                "`missing` names every class, but a translator learns the look from common "
                "classes; leave out at least one class"
            )
        return tuple(sorted(self.names.index(name) for name in found))

    def warnings(self) -> list[str]:
        """Return a warning if classes are left out."""
        if not self._left_out:
            return []
        return [
            f"the test images show no {', '.join(self._left_out[:_NUM_SHOWN])}: images of "
            "classes without test images are left out of the evaluation"
        ]

    def select(self, prepared: PreparedDataset, preprocessing: ImagePreprocessing) -> _Part:
        """Return the images of the classes of the evaluation, as 8-bit images."""
        dataset = prepared.dataset
        of_class = [
            self.names.index(name) if name in self.names else -1 for name in dataset.class_names
        ]
        labels = np.array(of_class, np.int64)[np.asarray(dataset.labels)]
        rows = np.flatnonzero(labels >= 0)
        return _Part(
            _bytes(prepared, preprocessing)[rows],
            labels[rows],
            [dataset.names[row] for row in rows],
            len(dataset.skipped),
            None if dataset.groups is None else np.asarray(dataset.groups)[rows],
        )


def _renamed(
    class_map: str | Path, old: Dataset, train: Dataset, test: Dataset
) -> tuple[Dataset, Dataset]:
    """Return both parts of the new camera with the class names of the old camera.

    A part may lack some classes of the table, such as a missing class, but not both.
    """
    names = tuple(dict.fromkeys((*train.class_names, *test.class_names)))
    mapping = read_class_map(class_map, old, replace(train, class_names=names))
    return rename_classes(train, mapping), rename_classes(test, mapping)


def _bytes(prepared: PreparedDataset, preprocessing: ImagePreprocessing) -> np.ndarray:
    """Return prepared images as 8-bit images `[n, S, S, C]`."""
    to_unit, _ = unit_range(preprocessing)
    return as_bytes(to_unit(np.asarray(prepared.pixels)))


def _assemble(
    parts: Sequence[_Part],
    unlabeled: _Part | None,
    class_names: tuple[str, ...],
    name: str,
    seed: int,
) -> CameraData:
    """Return the data of the parts: old camera, training and test part of the new camera."""
    old, new, test = parts
    is_pool = np.zeros(len(new.labels), bool)
    if unlabeled is None or len(unlabeled.images) < MIN_UNLABELED:
        is_pool = _pool_rows(new.labels, seed)
    pool = [new.images[is_pool], *([] if unlabeled is None else [unlabeled.images])]
    leakage = EvaluationData(
        name=name,
        pool=LabelPool(
            np.concatenate([with_channels(old.images, new.images.shape[-1]), new.images]),
            np.concatenate([old.labels, new.labels]),
            class_names,
            None if unlabeled is None else unlabeled.images,
        ),
        test_images=test.images,
        test_labels=test.labels,
        names=[*old.names, *new.names, *([] if unlabeled is None else unlabeled.names)],
        test_names=test.names,
        scale=lambda images: images.astype(np.float32) / 127.5 - 1,
        num_unreadable=sum(part.num_unreadable for part in parts),
        test_groups=test.groups,
    )
    leakage.check()
    return CameraData(
        leakage,
        (old.images, old.labels),
        (new.images[~is_pool], new.labels[~is_pool]),
        np.concatenate(pool),
    )


def _pool_rows(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return which training images of the new camera become the pool: a share of each class."""
    is_pool, rng = np.zeros(len(labels), bool), child_rng(seed, "pool")
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        is_pool[rows[: max(1, round(POOL_SHARE * len(rows)))]] = True
    return is_pool


def _check_counts(data: CameraData, num_labels: int) -> None:
    """Check that every class has enough labeled images.

    Raises
    ------
    DataError
        The old camera has too few images of a class, the new camera too few images of a missing
        class for `labels_per_class`, or too few images of every common class.
    """
    num_classes = len(data.class_names)
    old, new = (np.bincount(labels, minlength=num_classes) for _, labels in (data.old, data.new))
    for label, name in enumerate(data.class_names):
        if label in data.missing and old[label] < MIN_LABELED:
            raise DataError(
                f"the old camera has {old[label]} images of the missing class {name}, but at least "
                f"{MIN_LABELED} are needed; add images of the class to the old camera"
            )
        if label in data.missing and new[label] < num_labels:
            raise DataError(
                f"`labels_per_class={num_labels}` needs {num_labels} training images of {name} on "
                f"the new camera, but there are {new[label]} besides the pool; lower the number"
            )
    common = [
        label
        for label in range(num_classes)
        if label not in data.missing and min(old[label], new[label]) >= MIN_LABELED
    ]
    if not common:
        raise DataError(
            f"no common class has {MIN_LABELED} labeled images on both cameras, so no translator "
            "can be trained with classes; add images"
        )
